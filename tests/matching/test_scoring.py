from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import pytest
from support.small_trees import leaf, stump

from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.evidence import KNOWN, NAMES, Shortlist
from resolver.matching.forecaster import Forecaster, RoundTrees
from resolver.matching.judge import LogitJudge
from resolver.matching.reading import Reading
from resolver.matching.scoring import Scoring, decisive, scoring
from resolver.registry.document import Document
from resolver.reranker import Calibration, Pair
from resolver.text.affiliation import Affiliation


class Letters:
    """A real, tiny reranker: 10 times the share of the document's letters that the text has, less
    6. It keeps what it was asked, call by call."""

    name = fingerprint = "letters"
    truncated = 0
    calibration = Calibration(1.0, 0.0)

    def __init__(self) -> None:
        self.calls: list[list[Pair]] = []

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        self.calls.append(list(pairs))
        return np.array([10 * len(set(b) & set(a)) / len(set(b)) - 6 for a, b in pairs], np.float32)

    def close(self) -> None:
        pass


JUDGE = LogitJudge(1.0, 0.0)


def shortlist(text: str, *names: str) -> Shortlist:
    candidates = [
        Candidate(
            Document(str(number), name, name, False, None, None, None, None),
            Ranked(1, 1.0),
            None,
            1.0,
        )
        for number, name in enumerate(names)
    ]
    return Shortlist(Reading(Affiliation.of(text), candidates), range(len(names)))


def forecaster(
    *,
    second_need: float = -9.0,
    expected: float = -4.0,
    first_from: float = 0.9,
    doubt: float = 0.0,
) -> Forecaster:
    """Before the first round what has all words of a name is needed; of the rest the second round
    has the need with these log odds, and expects this logit."""
    first = RoundTrees(stump(KNOWN, "coverage", 0.9, -3.0, 2.0), leaf(KNOWN, -2.0))
    second = RoundTrees(leaf(NAMES, second_need), leaf(NAMES, expected))
    return Forecaster(first, second, first_from=first_from, doubt=doubt)


YORK = shortlist("University of York", "Ghent", "York Minster", "University of York", "York")
OSLO = shortlist("Oslo, Norway", "Bergen", "Oslo")
NOTHING = shortlist("nothing")
ALL = [0, 1, 2, 3]


def read(found: Scoring) -> list[int]:
    return np.flatnonzero(~np.isnan(found.score)).tolist()


@pytest.mark.parametrize(
    ("by", "calls"),
    [
        (None, [ALL]),
        (forecaster(), [[2]]),
        (forecaster(first_from=0.8), [[2, 3]]),
        (forecaster(second_need=0.0), [[2], [0, 1, 3]]),
        (forecaster(expected=1.0), [[2], [0, 1, 3]]),
        (forecaster(expected=-0.1), [[2]]),
        (forecaster(expected=-0.1, doubt=0.2), [[2], [0, 1, 3]]),
        (forecaster(expected=-0.3, doubt=0.2), [[2]]),
    ],
    ids=["without a forecaster", "the one of most need", "those of enough need",
         "what the second round needs", "what could be linked", "what could not quite",
         "all where one is in doubt", "what is in no doubt"],
)  # fmt: skip
def test_what_is_read(by: Forecaster | None, calls: list[list[int]]) -> None:
    reranker = Letters()
    found = scoring([YORK], reranker, JUDGE, by, linked_from=0.5)
    names = [document.text for document in YORK.documents]
    assert [[names.index(b) for _, b in call] for call in reranker.calls] == calls
    assert sorted(chain.from_iterable(calls)) == read(found)
    assert found.pairs == len(read(found))
    scores = Letters().score([(YORK.affiliation.model_text, name) for name in names])
    assert found.score[read(found)] == pytest.approx(scores[read(found)])
    assert np.isnan(found.forecast).tolist() == (~np.isnan(found.score)).tolist()
    # Nothing that could be linked goes by a forecast.
    assert not (found.probability >= 0.5)[np.isnan(found.score)].any()


@pytest.mark.parametrize(
    ("probability", "linked_from", "expected"),
    [
        ([0.6, 0.01, 0.99, 0.01, 0.1], 0.5, [1, 1, 1, 0, 0]),
        ([0.4, 0.01, 0.2, 0.01, 0.99], 0.5, [1, 1, 0, 0, 1]),
        ([0.6, 0.01, 0.92, 0.01, 0.1], 0.9, [0, 0, 1, 1, 0]),
        ([0.6, 0.0, 0.99, 0.01, 0.1], 0.0, [1, 1, 1, 1, 1]),
        ([0.6, 0.01, 0.99, 0.01, 1.0], 1.0, [0, 0, 0, 0, 1]),
    ],
    ids=["just above", "just below", "another threshold", "all are linked", "hardly any is"],
)
def test_what_an_answer_may_hang_on(
    probability: list[float], linked_from: float, expected: list[int]
) -> None:
    owner = np.array([0, 0, 2, 2, 3])
    assert decisive(np.array(probability), owner, linked_from, 1.0).tolist() == expected


def test_the_judge_goes_by_scores_and_forecasts() -> None:
    found = scoring([YORK], Letters(), JUDGE, forecaster(expected=-4.0), linked_from=0.5)
    logit = found.features[:, NAMES.index("logit")]
    assert logit.tolist() == [-4.0, -4.0, found.score[2], -4.0]
    assert found.probability == pytest.approx(1 / (1 + np.exp(-logit)))


def test_an_explanation_reads_the_rest_and_changes_nothing() -> None:
    found, explained = (
        scoring([YORK], Letters(), JUDGE, forecaster(), linked_from=0.5, explained=explained)
        for explained in (False, True)
    )
    assert (read(found), read(explained)) == ([2], ALL)
    assert (found.pairs, explained.pairs) == (1, 4)
    assert explained.features.tolist() == found.features.tolist()
    assert explained.probability.tolist() == found.probability.tolist()
    assert np.array_equal(explained.forecast, found.forecast, equal_nan=True)


@pytest.mark.parametrize("by", [None, forecaster(), forecaster(second_need=0.0)])
def test_each_shortlist_by_itself(by: Forecaster | None) -> None:
    together = scoring([YORK, NOTHING, OSLO], Letters(), JUDGE, by, linked_from=0.5)
    alone = [scoring([one], Letters(), JUDGE, by, linked_from=0.5) for one in (YORK, OSLO)]
    for name in ("score", "forecast", "features", "probability"):
        found = np.concatenate([getattr(one, name) for one in alone])
        assert np.array_equal(getattr(together, name), found, equal_nan=True)
    assert together.pairs == sum(one.pairs for one in alone)
    empty = scoring([NOTHING], Letters(), JUDGE, by, linked_from=0.5)
    assert (len(empty.probability), empty.pairs) == (0, 0)


def test_organisations_of_one_text_share_a_pair() -> None:
    reranker = Letters()
    twice = shortlist("University of York", "York", "York")
    found = scoring([twice], reranker, JUDGE, None, linked_from=0.5)
    assert found.score[0] == found.score[1]
    assert found.pairs == len(reranker.calls[0]) == 1
