import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support.hashing_encoder import HashingEncoder
from support.small_trees import leaf

from resolver.errors import ModelError
from resolver.matching.evidence import FORM, KNOWN, NAMES
from resolver.matching.forecaster import Forecaster, RoundTrees
from resolver.matching.judge import LogitJudge, TreeJudge
from resolver.matching.judge_file import (
    fingerprint,
    load_forecaster,
    load_judge,
    load_operating,
    load_sieve,
    require_fitted,
    save_forecaster,
    save_judge,
)
from resolver.matching.sieve import COLUMNS, Sieve
from resolver.matching.trees import Trees
from resolver.reranker import Calibration, Pair
from resolver.settings import BUILTIN


class Overlap:
    """A real, tiny reranker: the share of common characters."""

    name = "overlap"
    truncated = 0
    fingerprint = "overlap-1"
    calibration = Calibration(2.0, -1.0)

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        return np.array([len(set(a) & set(b)) / max(1, len(set(b))) for a, b in pairs], np.float32)


LEAF = np.array([0])
LEAVES = (LEAF, np.array([-1]), np.zeros(1), LEAF, LEAF, np.array([-3.0]))
TREE = Trees(NAMES, *LEAVES)
JUDGE, SIEVE = TreeJudge(TREE), Sieve(Trees(COLUMNS, *LEAVES))
OPERATING = ((0.5, 0.9, 0.8), (0.9, 0.97, 0.6))
ENCODER = HashingEncoder()


def test_a_judge_comes_back_for_the_models_it_was_fitted_with(tmp_path: Path) -> None:
    save_judge(JUDGE, SIEVE, OPERATING, ENCODER, Overlap(), tmp_path / "judge.json")
    path = str(tmp_path / "judge.json")
    found = load_judge(path, ENCODER, Overlap())
    assert found.as_object() == JUDGE.as_object()
    assert load_operating(path, ENCODER, Overlap()) == OPERATING
    sieve = load_sieve(path, ENCODER)
    assert sieve is not None
    assert sieve.as_object() == SIEVE.as_object()


FORECASTER = Forecaster(
    RoundTrees(leaf(KNOWN, 1.0), leaf(KNOWN, 2.0)), RoundTrees(leaf(NAMES, 3.0), leaf(NAMES, 4.0))
)


@pytest.fixture
def with_forecaster(tmp_path: Path) -> str:
    save_judge(JUDGE, SIEVE, OPERATING, ENCODER, Overlap(), tmp_path / "judge.json")
    save_forecaster(FORECASTER, str(tmp_path / "judge.json"), tmp_path / "whole.json")
    return str(tmp_path / "whole.json")


def test_a_forecaster_is_kept_with_its_judge(tmp_path: Path, with_forecaster: str) -> None:
    found = load_forecaster(with_forecaster, ENCODER, Overlap())
    assert found is not None
    assert found.as_object() == FORECASTER.as_object()
    assert fingerprint(found) == fingerprint(FORECASTER)
    assert load_judge(with_forecaster, ENCODER, Overlap()).as_object() == JUDGE.as_object()
    assert load_operating(with_forecaster, ENCODER, Overlap()) == OPERATING
    assert load_forecaster(str(tmp_path / "judge.json"), ENCODER, Overlap()) is None


def test_a_forecaster_belongs_to_the_models_of_its_judge(with_forecaster: str) -> None:
    other = Overlap()
    other.fingerprint = "overlap-2"
    assert load_forecaster(with_forecaster, ENCODER, other) is None
    assert load_forecaster(with_forecaster, HashingEncoder(32), Overlap()) is None
    require_fitted(with_forecaster, ENCODER, Overlap())
    with pytest.raises(ModelError, match="no judge was fitted with") as told:
        require_fitted(with_forecaster, ENCODER, other)
    assert "--part judge" in told.value.remedy


def test_a_damaged_forecaster_is_an_error(with_forecaster: str) -> None:
    stored = json.loads(Path(with_forecaster).read_text())
    stored["forecaster"]["first"]["need"]["columns"].reverse()
    Path(with_forecaster).write_text(json.dumps(stored))
    with pytest.raises(ModelError, match="fitted to other columns"):
        load_forecaster(with_forecaster, ENCODER, Overlap())


def test_other_models_get_the_rerankers_own_calibration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_judge(JUDGE, SIEVE, OPERATING, HashingEncoder(32), Overlap(), tmp_path / "judge.json")
    with caplog.at_level(logging.WARNING):
        judge = load_judge(str(tmp_path / "judge.json"), ENCODER, Overlap())
        assert load_sieve(str(tmp_path / "judge.json"), ENCODER) is None
    assert judge == LogitJudge(2.0, -1.0)
    assert load_operating(str(tmp_path / "judge.json"), ENCODER, Overlap()) == ()
    assert "no judge was fitted" in caplog.text
    assert "no sieve was fitted" in caplog.text


def test_another_reranker_keeps_the_sieve(tmp_path: Path) -> None:
    other = Overlap()
    other.fingerprint = "overlap-2"
    save_judge(JUDGE, SIEVE, OPERATING, ENCODER, other, tmp_path / "judge.json")
    assert load_sieve(str(tmp_path / "judge.json"), ENCODER) is not None


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"encoder": "a", "reranker": "b"}'])
def test_a_damaged_file_is_an_error_not_a_fallback(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "judge.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelError, match="judge"):
        load_judge(str(path), ENCODER, Overlap())
    with pytest.raises(ModelError, match="judge"):
        load_sieve(str(path), ENCODER)


Stored = dict[str, Any]


def _moved(stored: Stored) -> None:
    """A column in front of all, and nothing fitted again."""
    stored["judge"]["columns"].insert(0, "novelty")


def _swapped(stored: Stored) -> None:
    columns = stored["judge"]["columns"]
    columns[0], columns[1] = columns[1], columns[0]


CHANGES: dict[str, tuple[Callable[[Stored], object], str]] = {
    "without form": (lambda stored: stored.pop("form"), "names no form of evidence, this program"),
    "another form": (
        lambda stored: stored.update(form=FORM + 1),
        f"evidence form {FORM + 1}, this program makes form {FORM}",
    ),
    "a column more": (_moved, "fitted to other columns: with novelty"),
    "a column less": (
        lambda stored: stored["judge"]["columns"].remove("logit"),
        "fitted to other columns: without logit",
    ),
    "another order": (_swapped, "fitted to other columns: in another order"),
    "no columns": (lambda stored: stored["judge"].pop("columns"), "columns"),
    "no names": (lambda stored: stored["judge"].update(columns=[1]), "columns: no list of names"),
    "the sieve's": (
        lambda stored: stored["sieve"]["columns"].reverse(),
        "fitted to other columns: in another order",
    ),
}


def _load(path: str) -> None:
    load_judge(path, ENCODER, Overlap())
    load_sieve(path, ENCODER)


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_what_was_fitted_to_other_evidence_is_refused(
    tmp_path: Path, change: Callable[[Stored], object], said: str
) -> None:
    path = tmp_path / "judge.json"
    save_judge(JUDGE, SIEVE, OPERATING, ENCODER, Overlap(), path)
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    with pytest.raises(ModelError, match=said) as told:
        _load(str(path))
    assert "resolver train --part judge" in told.value.remedy
    assert str(path) in str(told.value)


@pytest.mark.parametrize(
    "columns",
    [("novelty", *NAMES), (*NAMES, "novelty"), NAMES[1:], (NAMES[1], NAMES[0], *NAMES[2:])],
    ids=["in front", "behind", "one less", "another order"],
)  # fmt: skip
def test_columns_that_move_in_the_code_are_told(
    monkeypatch: pytest.MonkeyPatch, columns: tuple[str, ...]
) -> None:
    """The shipped judge, when the code's columns are others than it was fitted to."""
    monkeypatch.setattr("resolver.matching.judge.NAMES", columns)
    with pytest.raises(ModelError, match="fitted to other columns") as told:
        load_judge(BUILTIN, ENCODER, Overlap())
    assert "install the package again" in told.value.remedy


def test_a_table_missing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "judge.json"
    save_judge(JUDGE, SIEVE, OPERATING, ENCODER, Overlap(), path)
    stored = json.loads(path.read_text())
    del stored["judge"]["threshold"]
    path.write_text(json.dumps(stored))
    with pytest.raises(ModelError, match="threshold"):
        load_judge(str(path), ENCODER, Overlap())


def test_the_fingerprint_follows_the_weights() -> None:
    assert fingerprint(JUDGE) == fingerprint(TreeJudge(replace(TREE)))
    assert fingerprint(JUDGE) != fingerprint(TreeJudge(replace(TREE, value=np.array([-3.5]))))
    assert fingerprint(JUDGE) != fingerprint(SIEVE)
