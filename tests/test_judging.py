import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hashing_encoder import HashingEncoder

from resolver.domain.judge import LogitJudge, TreeJudge
from resolver.domain.sieve import Sieve
from resolver.domain.trees import Trees
from resolver.errors import ModelError
from resolver.judging import fingerprint, load_judge, load_operating, load_sieve, save_judge
from resolver.reranker import Calibration, Pair


class Overlap:
    """A real, tiny reranker: the share of common characters."""

    name = "overlap"
    truncated = 0
    fingerprint = "overlap-1"
    calibration = Calibration(2.0, -1.0)

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        return np.array([len(set(a) & set(b)) / max(1, len(set(b))) for a, b in pairs], np.float32)


LEAF = np.array([0])
TREE = Trees(LEAF, np.array([-1]), np.zeros(1), LEAF, LEAF, np.array([-3.0]))
JUDGE, SIEVE = TreeJudge(TREE), Sieve(TREE)
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
