"""Configurations of GTE checkpoints: translated exactly, or refused."""

from typing import Any

import pytest

from resolver.errors import ModelError
from resolver.weights.gte import native_config, require_native_rope

OLDER: dict[str, Any] = {
    # As published with Alibaba-NLP/gte-multilingual-reranker-base.
    "model_type": "new",
    "architectures": ["NewForSequenceClassification"],
    "auto_map": {"AutoConfig": "configuration.NewConfig"},
    "classifier_dropout": 0.0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_type": "layer_norm",
    "logn_attention_clip1": False,
    "logn_attention_scale": False,
    "max_position_embeddings": 8192,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pack_qkv": True,
    "pad_token_id": 1,
    "position_embedding_type": "rope",
    "rope_scaling": {"factor": 8.0, "type": "ntk"},
    "rope_theta": 20000,
    "type_vocab_size": 1,
    "unpad_inputs": False,
    "use_memory_efficient_attention": False,
    "vocab_size": 250048,
}

PUBLISHED_ROPE = {
    "rope_type": "linear",
    "rope_theta": 160000.0,
    "factor": pytest.approx(1.06714, abs=1e-5),
}


@pytest.mark.parametrize(
    ("change", "key", "expected"),
    [
        ({}, "rope_parameters", PUBLISHED_ROPE),
        (
            {"rope_scaling": {"factor": 8, "rope_type": "ntk"}},
            "rope_parameters",
            PUBLISHED_ROPE,
        ),
        (
            {"rope_scaling": None},
            "rope_parameters",
            {"rope_type": "default", "rope_theta": 20000.0},
        ),
        ({}, "model_type", "gte"),
        ({}, "architectures", ["GteForSequenceClassification"]),
        ({"architectures": ["NewModel"]}, "architectures", ["GteModel"]),
        ({}, "classifier_dropout", 0.0),
        ({"classifier_dropout": None}, "classifier_dropout", 0.0),
        ({"classifier_dropout": 0.2}, "classifier_dropout", 0.2),
        ({}, "hidden_dropout_prob", 0.1),
        ({"hidden_dropout_prob": 0.0}, "hidden_dropout_prob", 0.0),
        ({}, "pad_token_id", 1),
        ({"id2label": {"0": "fits"}}, "id2label", {"0": "fits"}),
        ({"torch_dtype": "float16"}, "torch_dtype", "float16"),
        # The activation of a fine-tune, which CrossEncoder reads.
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}},
            "sentence_transformers",
            {"activation_fn": "torch.nn.modules.linear.Identity"},
        ),
        ({"unpad_inputs": True, "use_memory_efficient_attention": True}, "hidden_size", 768),
    ],
)
def test_a_configuration_is_translated(
    change: dict[str, object], key: str, expected: object
) -> None:
    assert native_config(OLDER | change)[key] == expected


def test_nothing_of_the_older_code_is_left() -> None:
    native = native_config(OLDER)
    assert not {
        "auto_map", "layer_norm_type", "logn_attention_scale", "pack_qkv",
        "position_embedding_type", "rope_scaling", "rope_theta", "unpad_inputs",
        "use_memory_efficient_attention",
    } & native.keys()  # fmt: skip


def test_what_is_not_said_is_what_the_older_code_took() -> None:
    said = {"model_type", "hidden_size", "num_attention_heads", "rope_theta", "rope_scaling"}
    native = native_config({key: value for key, value in OLDER.items() if key in said})
    assert (native["vocab_size"], native["max_position_embeddings"]) == (30528, 2048)


@pytest.mark.parametrize(
    "change",
    [
        {"rope_scaling": {"type": "yarn", "factor": 2.0}},
        {"rope_scaling": {"type": "ntk", "factor": 8.0, "mixed_b": 0.6}},
        {"rope_scaling": {"type": "ntk", "factor": 0.5}},
        {"rope_scaling": {"type": "ntk", "factor": float("inf")}},
        {"rope_scaling": {"type": "ntk", "factor": "eight"}},
        {"rope_scaling": {"type": "ntk"}},
        {"rope_scaling": "ntk"},
        {"rope_theta": None},
        {"position_embedding_type": "absolute"},
        {"layer_norm_type": "rms_norm"},
        {"logn_attention_scale": True},
        {"pack_qkv": False},
        {"num_attention_heads": 0},
        {"num_attention_heads": 7},
        {"architectures": ["BertModel"]},
    ],
    ids=str,
)
def test_what_the_native_network_does_not_have_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError) as caught:
        native_config(OLDER | change)
    assert caught.value.remedy


@pytest.mark.parametrize("key", ["rope_theta", "rope_scaling", "hidden_size"])
def test_an_edited_configuration_is_refused(key: str) -> None:
    with pytest.raises(ModelError, match=key):
        native_config({name: value for name, value in OLDER.items() if name != key})


NATIVE = {"rope_type": "linear", "rope_theta": 160000.0, "factor": 1.0671404006768237}


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        {"rope_parameters": NATIVE},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
        {"rope_parameters": NATIVE, "rope_theta": 160000.0},
        {"rope_parameters": NATIVE, "rope_scaling": None},
    ],
)
def test_a_whole_native_rope_is_taken(config: dict[str, object]) -> None:
    require_native_rope({"model_type": "gte", **config})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "said"),
    [
        # Only model_type was edited.
        (OLDER | {"model_type": "gte"}, "rank badly.*linear.*160000"),
        (OLDER | {"model_type": "gte", "rope_scaling": None}, "rank badly.*default.*20000"),
        ({"rope_theta": 20000}, "rank badly"),
        ({}, "rank badly"),
        ({"rope_parameters": None}, "rank badly"),
        ({"rope_parameters": {"rope_theta": 160000.0}}, "rank badly"),
        ({"rope_parameters": {"rope_type": "default"}}, "rank badly"),
        ({"rope_parameters": NATIVE, "rope_theta": 20000}, "two bases"),
        ({"rope_parameters": NATIVE, "rope_scaling": {"type": "ntk", "factor": 8}}, "rank badly"),
        ({"rope_parameters": {**NATIVE, "rope_type": "ntk"}}, "unknown kind"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rope_that_would_load_wrong_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        require_native_rope(config)
    assert caught.value.remedy
