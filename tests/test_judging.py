import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hashing_encoder import HashingEncoder

from resolver.domain.evidence import FEATURES, Judge
from resolver.errors import ModelError
from resolver.judging import fingerprint, load_judge, save_judge
from resolver.reranker import Calibration, Pair


class Overlap:
    """A real, tiny reranker: the share of common characters."""

    name = "overlap"
    truncated = 0
    fingerprint = "overlap-1"
    calibration = Calibration(2.0, -1.0)

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        return np.array([len(set(a) & set(b)) / max(1, len(set(b))) for a, b in pairs], np.float32)


JUDGE = Judge(tuple(float(i) for i in range(len(FEATURES))), -3.0)
ENCODER = HashingEncoder()


def test_a_judge_comes_back_for_the_models_it_was_fitted_with(tmp_path: Path) -> None:
    save_judge(JUDGE, ENCODER, Overlap(), tmp_path / "judge.json")
    assert load_judge(str(tmp_path / "judge.json"), ENCODER, Overlap()) == JUDGE


def test_other_models_get_the_rerankers_own_calibration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_judge(JUDGE, HashingEncoder(32), Overlap(), tmp_path / "judge.json")
    with caplog.at_level(logging.WARNING):
        judge = load_judge(str(tmp_path / "judge.json"), ENCODER, Overlap())
    assert judge == Judge.of_logit(2.0, -1.0)
    assert "no judge was fitted" in caplog.text


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"encoder": "a", "reranker": "b"}'])
def test_a_damaged_file_is_an_error_not_a_fallback(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "judge.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelError, match="judge"):
        load_judge(str(path), ENCODER, Overlap())


def test_a_weight_missing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "judge.json"
    save_judge(JUDGE, ENCODER, Overlap(), path)
    stored = json.loads(path.read_text())
    del stored["weights"]["logit"]
    path.write_text(json.dumps(stored))
    with pytest.raises(ModelError, match="logit"):
        load_judge(str(path), ENCODER, Overlap())


def test_the_fingerprint_follows_the_weights() -> None:
    assert fingerprint(JUDGE) == fingerprint(Judge(JUDGE.weights, JUDGE.intercept))
    assert fingerprint(JUDGE) != fingerprint(Judge(JUDGE.weights, -3.5))
