import json
import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from resolver import weights
from resolver.errors import ModelError, PairError
from resolver.hardware import hardware
from resolver.reranker import Pair
from resolver.reranker.loading import load
from resolver.reranker.onnx import BATCH_TOKENS, OnnxReranker, batches, load_onnx

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


@pytest.mark.parametrize(
    ("lengths", "threads", "expected"),
    [
        ([], 2, []),
        ([5], 2, [[0]]),
        ([90, 30, 50], 1, [[1, 2, 0]]),
        ([90, 30, 50], 2, [[0], [2], [1]]),
        ([30, 30, 30, 30], 2, [[2, 3], [0, 1]]),
        ([400, 10, 250, 250], 1, [[0], [3], [1, 2]]),
        ([900, 900], 1, [[1], [0]]),
    ],
)
def test_batches(lengths: list[int], threads: int, expected: list[list[int]]) -> None:
    found = batches(np.array(lengths, np.int64), threads)
    assert [batch.tolist() for batch in found] == expected


def test_many_pairs_fill_their_batches() -> None:
    lengths = np.random.default_rng(0).integers(10, 100, 2000)
    work = batches(lengths, 2)
    assert sorted(np.concatenate(work).tolist()) == list(range(2000))
    padded = [lengths[batch].max() * len(batch) for batch in work]
    assert max(padded) <= BATCH_TOKENS
    assert np.mean(padded) > 0.8 * BATCH_TOKENS
    assert sum(padded) < 1.05 * lengths.sum()


def many_pairs() -> list[Pair]:
    """Pairs of all lengths, so that each is padded otherwise in other company."""
    names = [case["right"] for case in RANKINGS] + [text for c in RANKINGS for text in c["wrong"]]
    rng = np.random.default_rng(0)
    return [
        (f"{RANKINGS[n % len(RANKINGS)]['affiliation']}{', Dept. of Physics' * (n % 7)}", name)
        for n, name in enumerate(rng.choice(names, 60))
    ]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_and_company_do_not_change_scores(builtin: OnnxReranker, threads: int) -> None:
    pairs = many_pairs()
    reranker = load_onnx(BUILTIN, name="mine", threads=threads)
    together = reranker.score(pairs)
    np.testing.assert_allclose(builtin.score(pairs), together, atol=1e-4)
    few = np.concatenate([reranker.score(pairs[n : n + 3]) for n in range(0, len(pairs), 3)])
    np.testing.assert_allclose(few, together, atol=1e-4)


def test_calls_at_the_same_time(builtin: OnnxReranker) -> None:
    pairs = many_pairs()
    expected = builtin.score(pairs)
    parts = [pairs[n : n + 15] for n in range(0, len(pairs), 15)]
    with ThreadPoolExecutor(4) as pool:
        found = np.concatenate(list(pool.map(builtin.score, parts)))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_it_runs_on_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="resolver"):
        load_onnx(BUILTIN, name="mine", threads=2)
    assert caplog.messages == [f"mine: 8-bit products in ONNX Runtime, {hardware(2)}"]


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
