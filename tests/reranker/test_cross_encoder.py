import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest
from tiny_models import save_bert, save_tokenizer

from resolver.errors import ModelError
from resolver.reranker import Calibration, Pair
from resolver.reranker.gte import native_config
from resolver.reranker.loading import load

PAIRS: list[Pair] = [
    ("Department of Physics, University of Oslo, Oslo, Norway", "University of Oslo, Oslo, Norway"),
    ("東京大学", "東京大学 (The University of Tokyo), Tokyo, Japan"),
    ("", ""),
    ("lone \ud800", "Oslo"),
    ("東京大学", "東京大学 (The University of Tokyo), Tokyo, Japan"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("cross-encoder"), labels=1)


@pytest.mark.slow
def test_scores_are_the_bare_logits_in_any_company(folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    reranker = load(str(folder), "cpu")
    scores = reranker.score(PAIRS)
    assert scores.dtype == np.float32
    assert scores[1] == scores[4]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        expected = [
            float(model(**tokenizer(*pair, return_tensors="pt")).logits) for pair in PAIRS[:2]
        ]
    np.testing.assert_allclose(scores[:2], expected, atol=1e-4)
    alone = np.concatenate([reranker.score([pair]) for pair in PAIRS])
    np.testing.assert_allclose(alone, scores, atol=1e-4)
    assert reranker.score([]).shape == (0,)


@pytest.mark.slow
def test_a_calibration_beside_the_weights_is_used(folder: Path, tmp_path: Path) -> None:
    assert load(str(folder), "cpu").calibration == Calibration()
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "calibration.json").write_text('{"slope": 2, "intercept": -1}')
    assert load(str(copy), "cpu").calibration == Calibration(2.0, -1.0)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["pickled", "cut", "no config", "two labels", "remote code"])
def test_unfit_checkpoints_are_refused(folder: Path, tmp_path: Path, damage: str) -> None:
    import torch
    from safetensors.torch import load_file

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights, config = copy / "model.safetensors", copy / "config.json"
    match damage:
        case "pickled":
            torch.save(load_file(weights), copy / "pytorch_model.bin")
            weights.unlink()
        case "cut":
            weights.write_bytes(weights.read_bytes()[:1000])
        case "no config":
            config.unlink()
        case "two labels":
            copy = save_bert(tmp_path / "two", labels=2)
        case "remote code":
            (copy / "own.py").write_text("raise SystemExit('the code ran')")
            settings = orjson.loads(config.read_bytes())
            settings |= {
                "model_type": "own",
                "auto_map": {
                    "AutoConfig": "own.Config",
                    "AutoModelForSequenceClassification": "own.Model",
                },
            }
            config.write_bytes(orjson.dumps(settings))
    with pytest.raises(ModelError) as caught:
        load(str(copy), "cpu")
    assert caught.value.remedy


LEGACY = {
    "model_type": "new",
    "architectures": ["NewForSequenceClassification"],
    "auto_map": {"AutoConfig": "configuration.NewConfig"},
    "hidden_size": 128,
    "num_attention_heads": 2,
    "rope_theta": 20000,
    "rope_scaling": {"factor": 8.0, "type": "ntk"},
    "classifier_dropout": None,
}


@pytest.mark.parametrize(
    ("change", "rope"),
    [
        # The figures of the published 306M checkpoint, whose heads are 64 wide.
        (
            {},
            {
                "rope_type": "linear",
                "rope_theta": 160000.0,
                "factor": pytest.approx(1.06714, abs=1e-5),
            },
        ),
        ({"rope_scaling": None}, {"rope_type": "default", "rope_theta": 20000.0}),
    ],
    ids=["NTK", "plain"],
)
def test_native_gte_config(change: dict[str, object], rope: dict[str, object]) -> None:
    native = native_config(LEGACY | change)
    assert native["model_type"] == "gte"
    assert native["rope_parameters"] == rope
    assert native["classifier_dropout"] == 0.0
    assert not {"auto_map", "rope_scaling", "rope_theta"} & native.keys()


@pytest.mark.parametrize(
    "change",
    [{"rope_scaling": {"type": "yarn", "factor": 2.0}}, {"position_embedding_type": "absolute"}],
    ids=["scaling", "positions"],
)
def test_an_unknown_gte_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        native_config(LEGACY | change)


@pytest.mark.slow
def test_a_remote_code_gte_scores_as_the_native_one(tmp_path: Path) -> None:
    """The same weights under the old names and config give the same logits."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import GteConfig, GteForSequenceClassification

    native, legacy = tmp_path / "native", tmp_path / "legacy"
    tokenizer = save_tokenizer(native)
    sizes = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "initializer_range": 0.5,
        "pad_token_id": 1,
    }
    torch.manual_seed(0)
    rope = native_config(LEGACY | sizes)["rope_parameters"]
    model = GteForSequenceClassification(
        GteConfig(**sizes, rope_parameters=rope, num_labels=1, classifier_dropout=0.0)
    )
    model.save_pretrained(native)
    shutil.copytree(native, legacy)
    tensors = load_file(native / "model.safetensors")
    # Native checkpoints are saved under the published names; only the configuration is older.
    save_file(tensors, legacy / "model.safetensors", metadata={"format": "pt"})
    config = LEGACY | sizes | {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    (legacy / "config.json").write_bytes(orjson.dumps(config))
    pairs = PAIRS[:3]
    np.testing.assert_allclose(
        load(str(legacy), "cpu").score(pairs), load(str(native), "cpu").score(pairs), atol=1e-5
    )
    assert np.ptp(load(str(native), "cpu").score(pairs)) > 1e-3
