import json

import numpy as np
import pytest
from support.small_trees import leaf, stump

from resolver.matching.evidence import KNOWN, NAMES
from resolver.matching.forecaster import Forecaster, RoundTrees, most_needed

FIRST = RoundTrees(stump(KNOWN, "coverage", 0.5, -4.0, 0.0), stump(KNOWN, "coverage", 0.5, -3, 2))
SECOND = RoundTrees(leaf(NAMES, -4.0), stump(NAMES, "logit", 0.0, -2.0, 1.0))
FORECASTER = Forecaster(FIRST, SECOND, first_from=0.5, second_from=0.2, doubt=2.0)


@pytest.mark.parametrize(
    ("need", "owner", "expected"),
    [
        ([], [], []),
        ([0.1], [0], [1]),
        ([0.1, 0.2, 0.15], [0, 0, 0], [0, 1, 0]),
        ([0.1, 0.1], [0, 0], [1, 0]),
        ([0.9, 0.5, 0.4], [0, 0, 0], [1, 1, 0]),
        ([0.9, 0.6, 0.1, 0.0, 0.2], [0, 0, 1, 3, 3], [1, 1, 1, 0, 1]),
    ],
    ids=["none", "alone", "the most", "the first of equals", "with enough", "of each shortlist"],
)
def test_what_is_most_needed(need, owner, expected) -> None:
    needed = most_needed(np.array(need), np.array(owner, np.int64), least=0.5)
    assert needed.tolist() == expected


def test_a_round_forecasts_need_and_logit() -> None:
    table = np.zeros((2, len(KNOWN)))
    table[1, KNOWN.index("coverage")] = 1.0
    need, logit = FORECASTER.first.forecast(table)
    assert need == pytest.approx([1 / (1 + np.exp(4)), 0.5])
    assert logit.tolist() == [-3, 2]
    assert all(len(column) == 0 for column in FORECASTER.first.forecast(table[:0]))


def test_it_comes_back_from_json() -> None:
    again = Forecaster.of_object(json.loads(json.dumps(FORECASTER.as_object())))
    assert again.as_object() == FORECASTER.as_object()
    assert (again.first_from, again.second_from, again.doubt) == (0.5, 0.2, 2.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SECOND, SECOND),
        (FIRST, FIRST),
        (RoundTrees(FIRST.need, leaf(KNOWN[1:], 0.0)), SECOND),
    ],
    ids=["the first sees scores", "the second sees none", "a column less"],
)
def test_trees_for_other_evidence_are_refused(first: RoundTrees, second: RoundTrees) -> None:
    with pytest.raises(ValueError, match="fitted to other columns"):
        Forecaster(first, second)
