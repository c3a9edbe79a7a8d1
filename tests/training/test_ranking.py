import numpy as np
import pytest

from resolver.errors import ModelError
from resolver.training.calibration import fit
from resolver.training.ranking import LabelledShortlist, first_stage_order, judged, ranking


def shortlist(*verdicts: int | None) -> LabelledShortlist:
    return LabelledShortlist(tuple(("a", f"d{i}") for i in range(len(verdicts))), verdicts)


@pytest.mark.parametrize(
    ("verdicts", "scores", "top1", "mrr", "ndcg"),
    [
        ((1, 0, 0), [3, 2, 1], 1.0, 1.0, 1.0),
        ((0, 1, 0), [3, 2, 1], 0.0, 0.5, 1 / np.log2(3)),
        ((0, None, 1), [1, 2, 3], 1.0, 1.0, 1.0),
        ((1, 0, 1), [3, 2, 1], 1.0, 1.0, 1.5 / (1 + 1 / np.log2(3))),
        ((0,) * 10 + (1,), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1], 0.0, 0.0, 0.0),
        ((1, 0), [1, 1], 1.0, 1.0, 1.0),
    ],
    ids=["first", "second", "unknown is wrong", "two right", "past the cut", "tie"],
)
def test_ranking(
    verdicts: tuple[int | None, ...], scores: list[float], top1: float, mrr: float, ndcg: float
) -> None:
    measured = ranking([shortlist(*verdicts)], [scores])
    assert measured.strings == 1
    assert (measured.top1, measured.mrr, measured.ndcg) == pytest.approx((top1, mrr, ndcg))


def test_strings_without_a_right_candidate_do_not_count() -> None:
    lists = [shortlist(0, 0), shortlist(1, 0)]
    assert ranking(lists, first_stage_order(lists)).strings == 1
    assert ranking([], []).strings == 0


def test_judged_leaves_the_unknown_out() -> None:
    scored = [np.array([1.0, 2.0, 3.0], np.float32)]
    logits, labels = judged([shortlist(1, None, 0)], scored)
    assert logits.tolist() == [1.0, 3.0]
    assert labels.tolist() == [True, False]


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.4, -2.0), (3.0, 1.0)])
def test_calibration_finds_the_curve_that_made_the_labels(slope: float, intercept: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, 50_000).astype(np.float32)
    probability = 1 / (1 + np.exp(-(slope * logits.astype(np.float64) + intercept)))
    found = fit(logits, rng.random(len(logits)) < probability)
    assert found.slope == pytest.approx(slope, rel=0.05)
    assert found.intercept == pytest.approx(intercept, abs=0.1)


def test_separable_labels_give_a_finite_slope() -> None:
    logits = np.array([-3, -2, 2, 3], np.float32)
    found = fit(logits, logits > 0)
    assert 0 < found.slope < 100


@pytest.mark.parametrize(
    "labels", [[True, True], [False, False], [True, False]], ids=["right", "wrong", "reversed"]
)
def test_what_cannot_be_calibrated(labels: list[bool]) -> None:
    with pytest.raises(ModelError):
        fit(np.array([-1, 1], np.float32), np.array(labels))
