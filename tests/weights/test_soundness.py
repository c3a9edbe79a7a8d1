"""A checkpoint answers with its own weights and tokens, or is refused.

Each case is a small whole checkpoint with one thing wrong; transformers would load most of them
with a warning.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from support.tiny_models import (
    save_bert,
    save_causal,
    save_older_gte,
    save_sentence_transformer,
    save_tokenizer,
)

from resolver.encoder.loading import load as load_encoder
from resolver.errors import ModelError
from resolver.reranker.loading import load as load_reranker

pytestmark = pytest.mark.slow


def weights(folder: Path, change: Callable[[dict], object]) -> Path:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})
    return folder


def config(folder: Path, **change: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return folder


def tokenizer(folder: Path, **change: object) -> Path:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return folder


def _made_anew(folder: Path) -> Path:
    """A class that transformers builds from the vocabulary, with word pieces for its pieces."""
    return tokenizer(folder, tokenizer_class="BertTokenizer", mask_token="<unk>")


def _grown(folder: Path) -> None:
    """Twice the word embeddings."""

    def double(tensors: dict) -> None:
        (key,) = (key for key in tensors if "word_embeddings" in key)
        tensors[key] = tensors[key].repeat(2, axis=0)
        config(folder, vocab_size=len(tensors[key]))

    weights(folder, double)


CROSS_ENCODERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a head is missing": (
        lambda folder: weights(
            folder, lambda all_: [all_.pop(k) for k in ("classifier.bias", "classifier.weight")]
        ),
        r"lacks 2 weights \(classifier.bias, classifier.weight\) of a BertForSeq",
    ),
    "a layer is missing": (
        lambda folder: weights(
            folder, lambda all_: [all_.pop(k) for k in list(all_) if "layer.1." in k]
        ),
        r"lacks 16 weights .*…",
    ),
    "a layer too many": (
        lambda folder: config(folder, num_hidden_layers=1),
        "has 16 weights .* does not use",
    ),
    "weights of another network": (
        lambda folder: weights(
            folder, lambda all_: all_.update(gate=all_["classifier.bias"].copy())
        ),
        r"has 1 weights \(gate\)",
    ),
    "another shape": (lambda folder: config(folder, intermediate_size=32), "another shape"),
    "another number of labels": (
        lambda folder: config(folder, id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1}),
        r"another shape.*classifier.*\(1,?\) for \(2,?\)",
    ),
    "two labels": (lambda folder: save_bert(folder, labels=2), "has 2 labels"),
    "an encoder": (lambda folder: save_bert(folder, labels=None), "a BertModel.*no classification"),
    "an embedding model": (save_sentence_transformer, "a BertModel.*model of embeddings"),
    "a language model": (save_causal, "ForCausalLM.*generative"),
    "a tokenizer too large": (
        lambda folder: weights(
            config(folder, vocab_size=50),
            lambda all_: all_.update({k: v[:50] for k, v in all_.items() if "word_emb" in k}),
        ),
        r"ids up to \d+, its model 50",
    ),
    "a tokenizer too small": (_grown, r"has \d+ tokens.*do not belong together"),
    "another padding token": (lambda folder: config(folder, pad_token_id=0), "pads with 1"),
    "no padding token": (lambda folder: tokenizer(folder, pad_token=None), "no pad_token"),
    "texts not told apart": (
        lambda folder: save_tokenizer(folder, separators=False),
        "tell the texts of a pair apart",
    ),
    "a tokenizer made anew": (_made_anew, "other tokens of some texts"),
    "a damaged tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        "tokenizer.json .* damaged",
    ),
    "no tokenizer": (
        lambda folder: [path.unlink() for path in folder.glob("tokenizer*")],
        "has no tokenizer",
    ),
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"), labels=1)


@pytest.mark.parametrize("case", CROSS_ENCODERS)
def test_an_unsound_cross_encoder_is_refused(bert: Path, tmp_path: Path, case: str) -> None:
    damage, said = CROSS_ENCODERS[case]
    folder = Path(shutil.copytree(bert, tmp_path / "copy"))
    damage(folder)
    with pytest.raises(ModelError, match=said) as caught:
        load_reranker(str(folder), "cpu")
    assert caught.value.problem.count(str(folder)) == 1
    assert caught.value.remedy


def _harmless(all_: dict) -> None:
    import numpy as np

    all_["bert.embeddings.position_ids"] = np.arange(64)[None]


def test_buffers_of_older_versions_do_no_harm(bert: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bert, tmp_path / "copy"))
    weights(folder, _harmless)
    pairs = [("Oslo", "University of Oslo")]
    scores = load_reranker(str(folder), "cpu").score(pairs)
    assert scores == pytest.approx(load_reranker(str(bert), "cpu").score(pairs), abs=1e-5)


@pytest.mark.parametrize("missing", ["qkv_proj", "up_gate_proj", "pooler", "classifier", "attn_ln"])
def test_a_gte_that_lacks_weights_is_refused(tmp_path: Path, missing: str) -> None:
    folder = save_older_gte(tmp_path / "gte")
    weights(folder, lambda all_: [all_.pop(k) for k in list(all_) if f"{missing}." in k])
    with pytest.raises(ModelError, match="lacks"):
        load_reranker(str(folder), "cpu")


def test_an_older_gte_with_separate_products_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pack_qkv"):
        load_reranker(str(save_older_gte(tmp_path / "gte", pack_qkv=False)), "cpu")


def test_an_older_gte_with_only_its_type_edited_is_refused(tmp_path: Path) -> None:
    folder = config(save_older_gte(tmp_path / "gte"), model_type="gte")
    with pytest.raises(ModelError, match="rank badly"):
        load_reranker(str(folder), "cpu")


ENCODERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a layer is missing": (
        lambda folder: weights(
            folder, lambda all_: [all_.pop(k) for k in list(all_) if "layer.1." in k]
        ),
        "lacks 16 weights",
    ),
    "a layer too many": (lambda folder: config(folder, num_hidden_layers=1), "has 16 weights"),
    "another shape": (lambda folder: config(folder, intermediate_size=32), "another shape"),
}


@pytest.mark.parametrize("case", ENCODERS)
def test_an_unsound_encoder_is_refused(tmp_path: Path, case: str) -> None:
    damage, said = ENCODERS[case]
    folder = save_sentence_transformer(tmp_path / "encoder")
    damage(folder)
    with pytest.raises(ModelError, match=said) as caught:
        load_encoder(str(folder), "cpu")
    assert caught.value.remedy


def test_an_encoder_may_lack_the_pooler_that_it_does_not_use(tmp_path: Path) -> None:
    import numpy as np

    folder = save_sentence_transformer(tmp_path / "encoder")
    before = load_encoder(str(folder), "cpu").encode_queries(["Oslo"])
    weights(folder, lambda all_: [all_.pop(k) for k in list(all_) if "pooler" in k])
    np.testing.assert_array_equal(load_encoder(str(folder), "cpu").encode_queries(["Oslo"]), before)
