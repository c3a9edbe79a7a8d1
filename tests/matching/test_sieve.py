import json

import numpy as np
import pytest

from resolver.matching.candidate import Candidate, Ranked
from resolver.matching.evidence import NAMES, Shortlist, evidence
from resolver.matching.reading import Reading
from resolver.matching.sieve import COLUMNS, Sieve, columns
from resolver.matching.trees import Trees
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation

COVERAGE = COLUMNS.index("coverage")

# A name of which the text holds more than 0.9 has odds of 2, one of more than 0.4 of 0, else -3.
SIEVE = Sieve(
    Trees(
        columns=COLUMNS,
        roots=np.array([0]),
        feature=np.array([COVERAGE, COVERAGE, -1, -1, -1]),
        threshold=np.array([0.9, 0.4, 0.0, 0.0, 0.0]),
        left=np.array([1, 3, -1, -1, -1]),
        right=np.array([2, 4, -1, -1, -1]),
        value=np.array([-1.0, -2.0, 2.0, -3.0, 0.0]),
    )
)


def reading(text: str, *names: str, identifiers: tuple[str, ...] = ()) -> Reading:
    """The last of the names has the identifiers."""
    return Reading(
        Affiliation.of(text),
        [
            Candidate(
                Document(
                    name,
                    name,
                    name,
                    False,
                    None,
                    None,
                    None,
                    None,
                    identifiers=identifiers if name == names[-1] else (),
                ),
                Ranked(1, 1.0),
                None,
                1.0,
            )
            for name in names
        ],
    )


YORK = reading("University of York", "Ghent", "York Minster", "University of York", "York")


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (0.0, 50, [0, 1, 2, 3]),
        (0.1, 50, [1, 2, 3]),
        (0.5, 50, [1, 2, 3]),
        (0.6, 50, [2, 3]),
        (0.1, 2, [2, 3]),
        (0.1, 1, [2]),
        (0.99, 50, [2]),
    ],
    ids=["all", "the improbable left out", "no more than half sure", "the sure", "the most "
         "probable two", "the first of equals", "never none"],
)  # fmt: skip
def test_what_passes(least: float, most: int, expected: list[int]) -> None:
    assert SIEVE.shortlists([YORK], least=least, most=most) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("York, ror.org/052gg0110", [0, 1]),
        ("York, a@ghent.be", [0]),
    ],
)
def test_whose_identifier_the_text_has_passes(text: str, expected: list[int]) -> None:
    ghent = reading(text, "York", "Ghent", identifiers=("domain:ghent.be", "ror:052gg0110"))
    assert SIEVE.shortlists([ghent], least=0.6, most=9) == [expected]


def test_each_reading_by_itself() -> None:
    nothing, other = reading("Paris"), reading("Ghent", "York", "Ghent")
    assert SIEVE.shortlists([YORK, nothing, other], least=0.6, most=9) == [[2, 3], [], [1]]
    assert SIEVE.shortlists([], least=0.6, most=9) == []


def test_it_comes_back_from_json() -> None:
    again = Sieve.of_object(json.loads(json.dumps(SIEVE.as_object())))
    assert again.probability([YORK])[0].tolist() == SIEVE.probability([YORK])[0].tolist()


def test_a_column_that_it_may_not_ask_for_is_refused() -> None:
    stored = {**SIEVE.as_object(), "feature": [len(COLUMNS), COVERAGE, -1, -1, -1]}
    with pytest.raises(ValueError, match="not between"):
        Sieve.of_object(stored)
    with pytest.raises(ValueError, match="fitted to other columns: without"):
        Sieve.of_object({**SIEVE.as_object(), "columns": ["novelty", *COLUMNS[1:]]})


def test_it_asks_for_the_judge_s_evidence_by_name() -> None:
    ranks = columns(YORK)[:, COLUMNS.index("reciprocal_rank")]
    assert ranks.tolist() == [1, 1 / 2, 1 / 3, 1 / 4]
    whole = evidence(Shortlist(YORK, range(4)), [0.0] * 4)
    of_judge = whole[:, [NAMES.index(name) for name in COLUMNS]]
    assert columns(YORK).tolist() == of_judge.tolist()
