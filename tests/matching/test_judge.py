import json

import numpy as np
import pytest

from resolver.matching.evidence import NAMES
from resolver.matching.judge import IDENTIFIED, Judge, LogitJudge, TreeJudge, judge_of
from resolver.matching.trees import Trees

LOGIT, COVERAGE = (NAMES.index(name) for name in ("logit", "coverage"))


def evidence_of(*rows: tuple[float, float]) -> np.ndarray:
    """Rows of (logit, coverage); all else is 0."""
    table = np.zeros((len(rows), len(NAMES)))
    table[:, LOGIT], table[:, COVERAGE] = zip(*rows, strict=True)
    return table


# Tree 0: logit > 0 ? (coverage > 0.5 ? 3 : 1) : -2; tree 1: nothing but 0.5.
TREES = TreeJudge(
    Trees(
        columns=NAMES,
        roots=np.array([0, 5]),
        feature=np.array([LOGIT, -1, COVERAGE, -1, -1, -1]),
        threshold=np.array([0.0, 0.0, 0.5, 0.0, 0.0, 0.0]),
        left=np.array([1, -1, 3, -1, -1, -1]),
        right=np.array([2, -1, 4, -1, -1, -1]),
        value=np.array([-1.0, -2.0, 1.5, 1.0, 3.0, 0.5]),
    )
)


def sigmoid(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))


@pytest.mark.parametrize(
    ("logit", "coverage", "odds", "weighed"),
    [
        (-1.0, 1.0, -2 + 0.5, {"logit": -1.0}),
        (0.0, 1.0, -2 + 0.5, {"logit": -1.0}),
        (0.1, 0.5, 1 + 0.5, {"logit": 2.5, "coverage": -0.5}),
        (9.0, 0.6, 3 + 0.5, {"logit": 2.5, "coverage": 1.5}),
        (1e300, 1e300, 3 + 0.5, {"logit": 2.5, "coverage": 1.5}),
    ],
)
def test_a_row_goes_down_every_tree(
    logit: float, coverage: float, odds: float, weighed: dict[str, float]
) -> None:
    table = evidence_of((logit, coverage))
    assert TREES.probability(table)[0] == pytest.approx(sigmoid(odds))
    assert dict(TREES.weighed(table)[0]) == pytest.approx(weighed)


def test_what_is_weighed_sums_to_the_log_odds() -> None:
    table = evidence_of((-3.0, 0.2), (0.5, 0.7), (0.5, 0.1))
    constant = -1.0 + 0.5
    for said, probability in zip(
        TREES.weighed(table), TREES.probability(table).tolist(), strict=True
    ):
        assert sigmoid(constant + sum(added for _, added in said)) == pytest.approx(probability)


def test_a_judge_of_the_logit_is_platt_scaling() -> None:
    table = evidence_of((2.0, 0.0), (-1.0, 0.0))
    judge = LogitJudge(1.5, -0.5)
    assert judge.probability(table).tolist() == pytest.approx([sigmoid(2.5), sigmoid(-2.0)])
    assert judge.weighed(table) == [(("logit", 3.0),), (("logit", -1.5),)]


@pytest.mark.parametrize("judge", [TREES, LogitJudge(1.5, -0.5)], ids=["trees", "logit"])
def test_an_identifier_adds_a_constant_to_the_log_odds(judge: Judge) -> None:
    table = evidence_of((-3.0, 0.2), (-3.0, 0.2))
    table[1, NAMES.index("identifier")] = 1
    without, identified = judge.probability(table).tolist()
    assert np.log(identified / (1 - identified)) - np.log(without / (1 - without)) == pytest.approx(
        IDENTIFIED
    )
    assert [dict(of).get("identifier", 0) for of in judge.weighed(table)] == [0, IDENTIFIED]


def test_a_judge_survives_extreme_evidence() -> None:
    judge = LogitJudge(1e6, 0.0)
    assert judge.probability(evidence_of((1e3, 0.0), (-1e3, 0.0))).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("judge", [TREES, LogitJudge(1.5, -0.5)], ids=["trees", "logit"])
def test_a_judge_comes_back_from_json(judge: Judge) -> None:
    again = judge_of(json.loads(json.dumps(judge.as_object())))
    table = evidence_of((-3.0, 0.2), (0.5, 0.7), (0.5, 1.0))
    assert again.probability(table).tolist() == judge.probability(table).tolist()
    assert again.weighed(table) == judge.weighed(table)


def test_no_candidates() -> None:
    nothing = np.empty((0, len(NAMES)))
    for judge in (TREES, LogitJudge(1.0, 0.0)):
        assert judge.probability(nothing).shape == (0,)
        assert judge.weighed(nothing) == []


@pytest.mark.parametrize(
    "stored", [{}, {"intercept": "0", "slope": 1}, {**TREES.as_object(), "value": "x"}], ids=str
)
def test_another_form_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        judge_of(stored)


def test_trees_that_ask_for_other_columns_are_refused() -> None:
    leaf = np.array([-1, -1, -1])
    other = np.array([len(NAMES), -1, -1])
    left, right = np.array([1, -1, -1]), np.array([2, -1, -1])
    rest = (np.zeros(3), left, right, np.zeros(3))
    with pytest.raises(ValueError, match="not between"):
        Trees(NAMES, np.array([0]), other, *rest)
    one_more = Trees((*NAMES, "novelty"), np.array([0]), other, *rest)
    with pytest.raises(ValueError, match="fitted to other columns: with novelty"):
        TreeJudge(one_more)
    with pytest.raises(ValueError, match="entries for"):
        judge_of({**one_more.as_object(), "feature": leaf[:2].tolist()})
