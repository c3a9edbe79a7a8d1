"""The models of the two published cards, used as the cards say.

The weights are random and few; names, form and configuration are those of the hub.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.gte_reference import Reference
from support.tiny_models import save_bert, save_older_gte

from resolver.encoder.loading import load as load_encoder
from resolver.errors import ModelError
from resolver.reranker import checking
from resolver.reranker.loading import load
from resolver.weights import soundness
from resolver.weights.checkpoints import convert, opened

pytestmark = pytest.mark.slow

# https://huggingface.co/cometadata/gte-multilingual-reranker-affiliations
QUERY = "Université Toulouse"
DOCUMENTS = [
    "a Université de Toulouse, Mines Albi, CNRS, Centre RAPSODEE , Albi , France",
    "National Polytechnic Institute of Toulouse",
    "Center for Supercentenarian Research, Keio University, Tokyo, Japan",
    "g Toin Human Science and Technology Center, Department of Materials Science and Technology, "
    "Toin University of Yokohama, 1614 Kurogane-cho, Aoba-ku, Yokohama 225, Japan",
    "Lineberger Comprehensive Cancer Center, University of North Carolina at Chapel Hill, 101 "
    "Manning Drive, CB# 7295, Chapel Hill, NC 27599, USA",
]
KEIO = (
    "School of Fundamental Science and Technology, Keio University 1 , 3-14-1 Hiyoshi, "
    "Kohoku-ku, Yokohama 223-8522, Japan"
)
PAIRS = [
    [QUERY, DOCUMENTS[0]],
    [QUERY, DOCUMENTS[1]],
    [KEIO, DOCUMENTS[2]],
    [KEIO, DOCUMENTS[3]],
    [
        "Division of Pulmonary and Critical Care Medicine, University of North Carolina School of "
        "Medicine, Chapel Hill, North Carolina",
        DOCUMENTS[4],
    ],
]
# https://huggingface.co/Alibaba-NLP/gte-multilingual-reranker-base
BASE_PAIRS = [
    ["中国的首都在哪儿", "北京"],
    ["what is the capital of China?", "北京"],
    ["how to implement quick sort in python?", "Introduction of quick sort"],
]


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As fine-tunes were saved: with the older code's names, and CrossEncoder's activation."""
    folder = save_older_gte(
        tmp_path_factory.mktemp("named") / "older",
        sentence_transformers={
            "activation_fn": "torch.nn.modules.linear.Identity",
            "version": "5.2.0",
        },
    )
    settings = folder / "tokenizer_config.json"
    stored = json.loads(settings.read_text())
    stored |= {"tokenizer_class": "XLMRobertaTokenizerFast", "model_max_length": 8192}
    del stored["backend"]
    settings.write_text(json.dumps(stored))
    return folder


@pytest.fixture(scope="module")
def native(older: Path) -> Path:
    return convert(older, older.with_name("native"))


@pytest.fixture(scope="module")
def expected(older: Path, native: Path) -> np.ndarray:
    """The reference's logits of `PAIRS`, from the ids of tokenizer.json."""
    reference = Reference(older)
    return np.array([reference.logit(ids) for ids in _ids(native, PAIRS)])


def _ids(folder: Path, pairs: list[list[str]]) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [tokenizer.encode(*pair).ids for pair in pairs]


def test_the_fine_tunes_card(native: Path, expected: np.ndarray) -> None:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(native), device="cpu")
    scores = model.predict(PAIRS)
    assert scores.shape == (5,)
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    ranks = model.rank(QUERY, DOCUMENTS)
    assert sorted(one["corpus_id"] for one in ranks) == [0, 1, 2, 3, 4]
    found = [one["score"] for one in ranks]
    assert found == sorted(found, reverse=True)
    by_document = {one["corpus_id"]: one["score"] for one in ranks}
    assert [by_document[0], by_document[1]] == pytest.approx(expected[:2].tolist(), abs=1e-4)


def test_the_base_models_card(native: Path, older: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(native)
    model = AutoModelForSequenceClassification.from_pretrained(native, dtype=torch.float32)
    model.eval()
    with torch.no_grad():
        inputs = tokenizer(
            BASE_PAIRS + PAIRS,
            padding=True,
            truncation=True,
            return_tensors="pt",
            max_length=512,
        )
        scores = model(**inputs, return_dict=True).logits.view(-1).float()
    reference = Reference(older)
    expected = [reference.logit(ids) for ids in _ids(native, BASE_PAIRS + PAIRS)]
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("form", ["older", "native"])
def test_the_service_takes_both_forms(
    form: str, older: Path, native: Path, expected: np.ndarray
) -> None:
    reranker = load(str({"older": older, "native": native}[form]), "cpu")
    scores = reranker.score([(one, other) for one, other in PAIRS])
    short = np.array([len(ids) <= 128 for ids in _ids(native, PAIRS)])
    assert short.any()
    np.testing.assert_allclose(scores[short], expected[short], atol=1e-4)
    assert reranker.truncated == np.count_nonzero(~short)


def test_ids_are_those_of_the_file(older: Path) -> None:
    """The tokenizer that the checkpoint names would be made anew, without its normaliser."""
    from transformers import AutoTokenizer

    from resolver.weights import read_tokenizer

    own = read_tokenizer(older / "tokenizer.json")
    with opened(older) as folder:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    assert soundness.same_ids(tokenizer, own)
    assert tokenizer.model_input_names == ["input_ids", "attention_mask"]
    from transformers import XLMRobertaTokenizer

    assert not soundness.same_ids(XLMRobertaTokenizer.from_pretrained(older), own)


def test_the_encoders_of_the_family_are_read_too(tmp_path: Path) -> None:
    """As Alibaba-NLP/gte-multilingual-base is published: with a head that encoding leaves aside."""
    from tokenizers import Tokenizer

    folder = save_older_gte(tmp_path / "gte", architectures=["NewForTokenClassification"])
    encoder = load_encoder(str(folder), "cpu")
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(QUERY).ids
    # sentence-transformers takes the mean where the model names no pooling.
    expected = Reference(folder).hidden(ids).mean(0)
    found = encoder.encode_queries([QUERY])[0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_shards_are_read_together(older: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = Path(shutil.copytree(older, tmp_path / "sharded"))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    where = {key: names[i % 2] for i, key in enumerate(tensors)}
    for name in names:
        part = {key: value for key, value in tensors.items() if where[key] == name}
        save_file(part, folder / name, {"format": "pt"})
    index = {"metadata": {}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    pairs = [(one, other) for one, other in PAIRS]
    np.testing.assert_allclose(
        load(str(folder), "cpu").score(pairs), load(str(older), "cpu").score(pairs), atol=1e-5
    )
    (folder / names[1]).unlink()
    with pytest.raises(ModelError):
        load(str(folder), "cpu")


def test_every_model_of_ones_own_can_be_converted(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder

    source = save_bert(tmp_path / "bert", labels=1)
    settings = source / "tokenizer_config.json"
    stored = json.loads(settings.read_text())
    # transformers makes this class from the vocabulary alone, and other ids with it.
    stored |= {"tokenizer_class": "BertTokenizer", "mask_token": "<unk>"}
    settings.write_text(json.dumps(stored))
    out = convert(source, tmp_path / "out")
    model = CrossEncoder(str(out), device="cpu")
    ids = model.tokenizer(*PAIRS[0])["input_ids"]
    assert ids == _ids(out, PAIRS[:1])[0]


def test_a_check_finds_what_is_wrong(older: Path, tmp_path: Path) -> None:
    golden = tmp_path / "golden.json"
    reranker = load(str(older), "cpu")
    checking.write_golden(reranker, str(older), golden)
    lines = checking.check(reranker, str(older), golden=str(golden))
    assert {line.name: line.passed for line in lines} == {
        "architecture": True,
        "parameters": True,
        "form": True,
        "rotary embedding": True,
        "weights": True,
        "tokenizer": True,
        "alone as in a batch": True,
        "golden logits": True,
        "speed": None,
    }
    details = {line.name: line.detail for line in lines}
    assert "GteForSequenceClassification" in details["architecture"]
    assert "translated" in details["form"]
    assert "linear" in details["rotary embedding"]
    # Another rotary embedding is another model: what the golden logits are for.
    other = save_older_gte(tmp_path / "other", rope_scaling=None)
    lines = checking.check(load(str(other), "cpu"), str(other), golden=str(golden))
    assert [line.name for line in lines if line.passed is False] == ["golden logits"]
    # Those of the published model are not those of random weights.
    published = "Alibaba-NLP/gte-multilingual-reranker-base"
    (line,) = (
        line
        for line in checking.check(reranker, str(older), golden=published)
        if line.name == "golden logits"
    )
    assert line.passed is False
    assert "4 pairs" in line.detail


def test_parameters_are_counted(older: Path) -> None:
    from safetensors.numpy import load_file

    count = sum(value.size for value in load_file(older / "model.safetensors").values())
    lines = checking.check(load(str(older), "cpu"), str(older))
    details = {line.name: line.detail for line in lines}
    assert details["parameters"].startswith(f"{count / 1e6:.2f} million")
    assert details["golden logits"] == "none are known for this model"
