"""One case for each kind, and those that two kinds could claim."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from resolver.evaluation.mistake import Mistake, MistakeKind, Side, mistakes, unknown
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Fate, Scored
from resolver.matching.outcome import Link, Outcome, Reason
from resolver.matching.policy import Policy
from resolver.registry.document import Document
from resolver.text.affiliation import Affiliation

OXFORD = Document(
    "052gg0110", "University of Oxford", "University of Oxford", False,
    "Oxford", None, "GB", "United Kingdom",
)  # fmt: skip
LONDON_GB = Document(
    "041kmwe10", "Imperial College", "Imperial College", False,
    "London", None, "GB", "United Kingdom",
)  # fmt: skip
TRINITY_IE = Document(
    "02tyrky19", "Trinity College", "Trinity College", False, "Dublin", None, "IE", "Ireland"
)
TRINITY_US = Document(
    "01mcfas38", "Trinity College", "Trinity College", False,
    "Hartford", None, "US", "United States",
)  # fmt: skip
YORK_GB = Document(
    "04m01e293", "University of York", "University of York", False,
    "York", None, "GB", "United Kingdom",
)  # fmt: skip
YORK_CA = Document(
    "05fq50484", "York University", "York University", False, "Toronto", None, "CA", "Canada"
)
PHYSICS = Document(
    "01aaaaa11", "Clarendon Laboratory", "Clarendon Laboratory", False,
    "Oxford", None, "GB", "United Kingdom", parents=("052gg0110",),
)  # fmt: skip
OLD = Document(
    "01bbbbb22", "Oxford Polytechnic", "Oxford Polytechnic", False,
    "Oxford", None, "GB", "United Kingdom", successors=("01ccccc33",),
)  # fmt: skip
NEW = Document(
    "01ccccc33", "Oxford Brookes University", "Oxford Brookes University", False,
    "Oxford", None, "GB", "United Kingdom",
)  # fmt: skip
BROAD = Document(
    "05a0ya142", "Broad Institute", "Broad Institute", False,
    "Cambridge", None, "US", "United States",
)  # fmt: skip
TODAI = Document(
    "057zh3y96", "University of Tokyo", "University of Tokyo", False, "Tokyo", None, "JP", "Japan"
)
CNRS = Document(
    "02feahw73", "Centre National de la Recherche Scientifique",
    "Centre National de la Recherche Scientifique", False, "Paris", None, "FR", "France",
)  # fmt: skip

MISSED, WRONG = Side.MISSED, Side.WRONG


@dataclass
class Case:
    """`seen` are the candidates with the judge's probability, in the first stage's order; None
    was not reranked. `known` are documents from elsewhere."""

    text: str
    gold: list[Document]
    linked: list[Document]
    seen: list[tuple[Document, float | None]]
    expected: list[tuple[Document, Side, MistakeKind]]
    against: list[list[Document]] | None = None
    known: list[Document] = field(default_factory=list)
    policy: Policy = field(default_factory=Policy)


CASES = {
    "all is right": Case("University of Oxford", [OXFORD], [OXFORD], [(OXFORD, 0.9)], []),
    "not among the candidates": Case(
        "Univ. of Oxford", [OXFORD], [], [(YORK_CA, 0.1)],
        [(OXFORD, MISSED, MistakeKind.FIRST_STAGE_MISSED)],
    ),
    "beyond the reranker": Case(
        "Univ. of Oxford", [OXFORD], [], [(YORK_CA, 0.1), (OXFORD, None)],
        [(OXFORD, MISSED, MistakeKind.NOT_RERANKED)],
    ),
    "not probable enough": Case(
        "Univ. of Oxford", [OXFORD], [], [(OXFORD, 0.4)],
        [(OXFORD, MISSED, MistakeKind.BELOW_THRESHOLD)],
    ),
    "probable, but has an equal": Case(
        "York Univ.", [YORK_GB], [], [(YORK_GB, 0.8), (YORK_CA, 0.8)],
        [(YORK_GB, MISSED, MistakeKind.OUTRANKED)], [[YORK_CA]],
    ),
    "probable, but has a namesake that is as good": Case(
        "Trinity College", [TRINITY_IE], [], [(TRINITY_IE, 0.8), (TRINITY_US, 0.8)],
        [(TRINITY_IE, MISSED, MistakeKind.SAME_NAME_ELSEWHERE)], [[TRINITY_US]],
    ),
    "refused for its country": Case(
        "York Univ., Trinity College, USA", [YORK_CA], [], [(YORK_CA, 0.8), (TRINITY_US, 0.1)],
        [(YORK_CA, MISSED, MistakeKind.WRONG_COUNTRY)], [[]],
    ),
    "left out by the policy": Case(
        "Univ. of Oxford", [OXFORD], [], [(OXFORD, 0.9)],
        [(OXFORD, MISSED, MistakeKind.NOT_ADMITTED)], None, [], Policy(countries=frozenset({"FR"})),
    ),
    "a rival has the words": Case(
        "Univ. of York", [YORK_GB], [YORK_CA], [(YORK_CA, 0.8), (YORK_GB, 0.4)],
        [(YORK_GB, MISSED, MistakeKind.OUTRANKED), (YORK_CA, WRONG, MistakeKind.OUTRANKED)],
        [[YORK_CA], [YORK_GB]],
    ),
    "the rival is in another country": Case(
        "Univ. of York, England", [YORK_GB], [YORK_CA], [(YORK_CA, 0.8), (YORK_GB, 0.4)],
        [(YORK_GB, MISSED, MistakeKind.WRONG_COUNTRY), (YORK_CA, WRONG, MistakeKind.WRONG_COUNTRY)],
        [[YORK_CA], []],
    ),
    "the same name elsewhere, in another country too": Case(
        "Trinity College, Hartford, USA", [TRINITY_US], [TRINITY_IE],
        [(TRINITY_IE, 0.8), (TRINITY_US, 0.4)],
        [
            (TRINITY_US, MISSED, MistakeKind.SAME_NAME_ELSEWHERE),
            (TRINITY_IE, WRONG, MistakeKind.SAME_NAME_ELSEWHERE),
        ],
        [[TRINITY_IE], [TRINITY_US]],
    ),
    "the parent in place of the child": Case(
        "Clarendon Lab., Oxford", [PHYSICS], [OXFORD], [(OXFORD, 0.8), (PHYSICS, 0.4)],
        [(PHYSICS, MISSED, MistakeKind.PARENT_OR_CHILD), (OXFORD, WRONG, MistakeKind.PARENT_OR_CHILD)],
        [[OXFORD], [PHYSICS]],
    ),
    "the parent beside a child that is right": Case(
        "Clarendon Lab., Oxford", [PHYSICS], [PHYSICS, OXFORD], [(OXFORD, 0.8), (PHYSICS, 0.9)],
        [(OXFORD, WRONG, MistakeKind.PARENT_OR_CHILD)], [[PHYSICS]],
    ),
    "the successor in place of the predecessor": Case(
        "Polytechnic of Oxford", [OLD], [NEW], [(NEW, 0.8), (OLD, 0.4)],
        [
            (OLD, MISSED, MistakeKind.PREDECESSOR_OR_SUCCESSOR),
            (NEW, WRONG, MistakeKind.PREDECESSOR_OR_SUCCESSOR),
        ],
        [[NEW], [OLD]],
    ),
    "a relation that only a document from elsewhere tells": Case(
        "Clarendon, Oxford", [PHYSICS], [OXFORD], [(OXFORD, 0.8)],
        [(PHYSICS, MISSED, MistakeKind.FIRST_STAGE_MISSED), (OXFORD, WRONG, MistakeKind.PARENT_OR_CHILD)],
        [[], [PHYSICS]], [PHYSICS],
    ),
    "no organisation in the label": Case(
        "Oxford researcher, United Kingdom", [], [OXFORD], [(OXFORD, 0.8)],
        [(OXFORD, WRONG, MistakeKind.NO_ORGANISATION_LINKED)],
    ),
    "no label, and yet the name is there in full": Case(
        "Imperial College, London", [], [LONDON_GB], [(LONDON_GB, 0.9)],
        [(LONDON_GB, WRONG, MistakeKind.LABEL_DOUBTFUL)],
    ),
    "a full name without its place is no doubt": Case(
        "Imperial College", [], [LONDON_GB], [(LONDON_GB, 0.9)],
        [(LONDON_GB, WRONG, MistakeKind.NO_ORGANISATION_LINKED)],
    ),
    "its place must be beside the name, not in it": Case(
        "University of York", [], [YORK_GB], [(YORK_GB, 0.9)],
        [(YORK_GB, WRONG, MistakeKind.NO_ORGANISATION_LINKED)],
    ),
    "a full name beside the label's": Case(
        "Broad Institute, Cambridge, and University of Oxford", [OXFORD], [OXFORD, BROAD],
        [(OXFORD, 0.9), (BROAD, 0.9)],
        [(BROAD, WRONG, MistakeKind.LABEL_DOUBTFUL)],
    ),
    "a full name within a longer one is no doubt": Case(
        "University of York Hospital, York", [OXFORD], [YORK_GB], [(YORK_GB, 0.9)],
        [
            (OXFORD, MISSED, MistakeKind.FIRST_STAGE_MISSED),
            (YORK_GB, WRONG, MistakeKind.EXTRA),
        ],
    ),
    "a full name that is the label's too": Case(
        "Trinity College, Dublin, formerly Hartford", [TRINITY_US], [TRINITY_IE],
        [(TRINITY_IE, 0.9), (TRINITY_US, 0.3)],
        [
            (TRINITY_US, MISSED, MistakeKind.SAME_NAME_ELSEWHERE),
            (TRINITY_IE, WRONG, MistakeKind.SAME_NAME_ELSEWHERE),
        ],
    ),
    "a label that shares no word": Case(
        "Dept. of Physics, Univ. of Oxford", [BROAD], [], [(OXFORD, 0.4)],
        [(BROAD, MISSED, MistakeKind.LABEL_DOUBTFUL)], None, [BROAD],
    ),
    "initials are as good as words": Case(
        "CNRS, Grenoble", [CNRS], [], [(CNRS, 0.3)], [(CNRS, MISSED, MistakeKind.BELOW_THRESHOLD)]
    ),
    "initials without the last, or with one more": Case(
        "CNRSX, Grenoble", [CNRS], [], [(CNRS, 0.3)], [(CNRS, MISSED, MistakeKind.BELOW_THRESHOLD)]
    ),
    "another script cannot be compared": Case(
        "東京大学", [TODAI], [], [(TODAI, 0.3)], [(TODAI, MISSED, MistakeKind.BELOW_THRESHOLD)]
    ),
    "one too many": Case(
        "University of Oxford, Toronto Road, York", [OXFORD], [OXFORD, YORK_CA],
        [(OXFORD, 0.9), (YORK_CA, 0.6)],
        [(YORK_CA, WRONG, MistakeKind.EXTRA)], [[]],
    ),
}  # fmt: skip


def found(case: Case) -> list[Mistake]:
    candidates = [Candidate(document, None, None, 0.0) for document, _ in case.seen]
    scored = [
        Scored(candidate, 10 * probability, probability)
        for candidate, (_, probability) in zip(candidates, case.seen, strict=True)
        if probability is not None
    ]
    links = tuple(
        Link(d.ror_id, d.display_name, d.name, 0.0, 0.9, rank)
        for rank, d in enumerate(case.linked, start=1)
    )
    return mistakes(
        Affiliation.of(case.text),
        [document.ror_id for document in case.gold],
        Outcome(case.text, links, None if links else Reason.BELOW_THRESHOLD),
        candidates,
        sorted(scored, key=lambda s: -s.score),
        policy=case.policy,
        known={document.ror_id: document for document in case.known},
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kinds(case: Case) -> None:
    made = found(case)
    assert [(m.ror_id, m.side, m.kind) for m in made] == [
        (document.ror_id, side, kind) for document, side, kind in case.expected
    ]
    if case.against is not None:
        assert [[one.ror_id for one in m.against] for m in made] == [
            [document.ror_id for document in group] for group in case.against
        ]


def test_every_kind_has_a_case() -> None:
    assert {kind for case in CASES.values() for _, _, kind in case.expected} == set(MistakeKind)


def test_a_mistake_tells_what_is_known_of_it() -> None:
    case = Case(
        "Univ. of York", [YORK_GB, OXFORD], [YORK_CA],
        [(TRINITY_IE, 0.01), (YORK_CA, 0.8), (YORK_GB, 0.4)], [],
    )  # fmt: skip
    missed, never_seen, wrong = found(case)
    assert (missed.name, missed.city, missed.country_code) == ("University of York", "York", "GB")
    assert (missed.probability, missed.logit) == (0.4, 4.0)
    assert (missed.first_stage_rank, missed.reranker_rank, missed.judge_rank) == (3, 2, 2)
    assert (missed.step, never_seen.step, wrong.step) == (Fate.BELOW_THRESHOLD, None, Fate.LINKED)
    assert (never_seen.name, never_seen.probability, never_seen.judge_rank) == (None, None, None)
    assert [(one.ror_id, one.name, one.probability) for one in wrong.labels] == [
        (YORK_GB.ror_id, "University of York", 0.4),
        (OXFORD.ror_id, None, None),
    ]
    assert [one.ror_id for one in wrong.links] == [YORK_CA.ror_id]


def test_unknown_asks_only_for_what_went_wrong() -> None:
    link = Link(OXFORD.ror_id, "", "", 0.0, 0.9, 1)
    right = Outcome("x", (link,))
    assert unknown([OXFORD.ror_id], right) == set()
    assert unknown([YORK_CA.ror_id], right) == {OXFORD.ror_id, YORK_CA.ror_id}
    assert unknown([], Outcome("x", (replace(link, rank=1),))) == {OXFORD.ror_id}
