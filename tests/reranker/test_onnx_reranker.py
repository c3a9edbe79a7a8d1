import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from resolver import weights
from resolver.errors import ModelError, PairError
from resolver.reranker import Pair
from resolver.reranker.loading import load
from resolver.reranker.onnx import OnnxReranker, PairTokens, batches, load_onnx

BUILTIN = weights.BUILTIN_FOLDER / "reranker"

PAIRS: list[Pair] = [
    ("Department of Physics, University of Oslo, Oslo, Norway", "University of Oslo, Norway"),
    ("Department of Physics, University of Oslo, Oslo, Norway", "Oslo University Hospital, Norway"),
    ("東京大学大学院医学系研究科", "東京大学 (The University of Tokyo), Tokyo, Japan"),
    ("MIT", "Massachusetts Institute of Technology"),
    ("x " * 3000, "University of Oslo, Oslo, Norway"),
    ("University of Oslo", "y " * 3000),
    ("\ud800 lone", "\udfff surrogate"),
    ("Department of Physics, University of Oslo, Oslo, Norway", "University of Oslo, Norway"),
]


@pytest.fixture(scope="module")
def builtin() -> OnnxReranker:
    reranker = load("builtin", None)
    assert isinstance(reranker, OnnxReranker)
    return reranker


def test_a_score_does_not_depend_on_its_company(builtin: OnnxReranker) -> None:
    together = builtin.score(PAIRS)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    assert together[0] == together[-1]
    backwards = builtin.score(PAIRS[::-1])[::-1]
    alone = np.concatenate([builtin.score([pair]) for pair in PAIRS])
    np.testing.assert_allclose(backwards, together, atol=1e-4)
    np.testing.assert_allclose(alone, together, atol=1e-4)


def test_pairs_that_are_cut_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    reranker = load_onnx(BUILTIN, name="mine")
    with caplog.at_level(logging.INFO, logger="resolver"):
        reranker.score([*PAIRS, *PAIRS])
    assert reranker.truncated == 2
    assert caplog.messages == ["mine: cut 2 of 7 pairs to 128 tokens"]
    reranker.score(PAIRS[:3])
    assert reranker.truncated == 2


def test_an_empty_text_is_refused(builtin: OnnxReranker) -> None:
    with pytest.raises(PairError, match="pair 1 of 2: the organisation text is empty"):
        builtin.score([PAIRS[0], ("Oslo", "\t\n")])


def test_no_pairs(builtin: OnnxReranker) -> None:
    assert builtin.score([]).shape == (0,)


RANKINGS = json.loads((Path(__file__).parent / "rankings.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", RANKINGS, ids=[case["affiliation"][:40] for case in RANKINGS])
def test_the_right_organisation_comes_first(
    builtin: OnnxReranker, case: dict[str, str | list[str]]
) -> None:
    affiliation = str(case["affiliation"])
    right, *wrong = builtin.score(
        [(affiliation, str(case["right"])), *((affiliation, text) for text in case["wrong"])]
    )
    assert right > max(wrong)


@pytest.mark.parametrize("max_length", [16, 128])
def test_ids_are_those_of_transformers(max_length: int) -> None:
    transformers = pytest.importorskip("transformers")
    path = weights.BUILTIN_FOLDER / weights.TOKENIZER
    reference = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path))
    tokens = PairTokens(weights.read_tokenizer(path), max_length=max_length)
    # transformers cannot encode a lone surrogate.
    pairs = [pair for pair in PAIRS if "\ud800" not in pair[0]]
    for pair, ids in zip(pairs, tokens.encode(pairs), strict=True):
        expected = reference(*pair)["input_ids"]
        if len(expected) <= max_length:
            assert ids.tolist() == expected
        else:
            assert len(ids) == max_length


def test_the_affiliation_is_cut_before_the_document() -> None:
    path = weights.BUILTIN_FOLDER / weights.TOKENIZER
    tokenizer = Tokenizer.from_file(str(path))
    document = tokenizer.encode("University of Oslo, Norway", add_special_tokens=False).ids
    tokens = PairTokens(weights.read_tokenizer(path), max_length=4 + 2 * len(document))
    (ids,) = tokens.encode([("a " * 100, "University of Oslo, Norway")])
    assert len(ids) == tokens.max_length
    assert ids[-1 - len(document) : -1].tolist() == document


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([], []),
        ([5], [[0]]),
        ([9, 3, 5], [[1, 2, 0]]),
        ([2000, 10, 1500, 1600], [[1, 2], [3], [0]]),
        ([9000, 9000], [[0], [1]]),
    ],
)
def test_batches(lengths: list[int], expected: list[list[int]]) -> None:
    assert list(batches(lengths)) == expected


def test_threads_do_not_change_scores() -> None:
    pairs = [("University of Bonn", "University of Bonn, Germany")] * 3
    one = load_onnx(BUILTIN, name="one", threads=1).score(pairs)
    assert one == pytest.approx(load_onnx(BUILTIN, name="all").score(pairs), abs=1e-4)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(BUILTIN, tmp_path / "reranker")
    shutil.copy(weights.BUILTIN_FOLDER / weights.TOKENIZER, tmp_path)
    return tmp_path / "reranker"


@pytest.mark.parametrize("damage", ["no model", "cut", "not onnx", "no tokenizer", "bad tokenizer"])
def test_damaged_files_are_refused(copy: Path, damage: str) -> None:
    model, tokenizer = copy / "model.onnx", copy.parent / weights.TOKENIZER
    match damage:
        case "no model":
            model.unlink()
        case "cut":
            model.write_bytes(model.read_bytes()[:1_000_000])
        case "not onnx":
            model.write_text("no model")
        case "no tokenizer":
            tokenizer.unlink()
        case "bad tokenizer":
            tokenizer.write_text("{}")
    with pytest.raises(ModelError) as caught:
        load_onnx(copy, name="copy")
    assert caught.value.remedy


def test_the_fingerprint_follows_the_weights(copy: Path, builtin: OnnxReranker) -> None:
    assert load_onnx(copy, name="copy").fingerprint == builtin.fingerprint
    tokenizer = copy.parent / weights.TOKENIZER
    tokenizer.write_text(tokenizer.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert load_onnx(copy, name="copy").fingerprint != builtin.fingerprint


def test_the_builtin_models_are_small() -> None:
    files = [path for path in weights.BUILTIN_FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 45e6
