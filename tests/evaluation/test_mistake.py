"""One case for each kind, those that two kinds could claim, and one for each way to be lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from resolver.evaluation.gold import Gold
from resolver.evaluation.measurement import LOSING
from resolver.evaluation.mistake import Mistake, MistakeKind, Side, mistakes, unknown
from resolver.evaluation.stage import Stage
from resolver.matching.candidate import Candidate
from resolver.matching.decision import Fate, Scored
from resolver.matching.outcome import Link, Outcome, Reason
from resolver.matching.policy import Policy, Succession
from resolver.matching.statement import JudgedStatement
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

DEFAULT = Policy()


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
    maybe: list[Document] = field(default_factory=list)
    ruled_out: list[Document] = field(default_factory=list)


CASES = {
    "all is right": Case("University of Oxford", [OXFORD], [OXFORD], [(OXFORD, 0.9)], []),
    "nothing in its place": Case(
        "Univ. of Oxford", [OXFORD], [], [(YORK_CA, 0.1)],
        [(OXFORD, MISSED, MistakeKind.OMITTED)],
    ),
    "probable, but has an equal": Case(
        "York Univ.", [YORK_GB], [], [(YORK_GB, 0.8), (YORK_CA, 0.8)],
        [(YORK_GB, MISSED, MistakeKind.OUTRANKED)], [[YORK_CA]],
    ),
    "probable, but has a namesake that is as good": Case(
        "Trinity College", [TRINITY_IE], [], [(TRINITY_IE, 0.8), (TRINITY_US, 0.8)],
        [(TRINITY_IE, MISSED, MistakeKind.SAME_NAME_ELSEWHERE)], [[TRINITY_US]],
    ),
    "the words are a better link's": Case(
        "Univ. of York", [YORK_GB, YORK_CA], [YORK_GB], [(YORK_GB, 0.9), (YORK_CA, 0.8)],
        [(YORK_CA, MISSED, MistakeKind.OUTRANKED)], [[YORK_GB]],
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
        [(PHYSICS, MISSED, MistakeKind.PARENT_OR_CHILD), (OXFORD, WRONG, MistakeKind.PARENT_OR_CHILD)],
        [[OXFORD], [PHYSICS]], [PHYSICS],
    ),
    "no organisation in the label": Case(
        "Oxford researcher, United Kingdom", [], [OXFORD], [(OXFORD, 0.8)],
        [(OXFORD, WRONG, MistakeKind.NO_ORGANISATION_LABELLED)],
    ),
    "no label, and yet the name is there in full": Case(
        "Imperial College, London", [], [LONDON_GB], [(LONDON_GB, 0.9)],
        [(LONDON_GB, WRONG, MistakeKind.LABEL_DOUBTFUL)],
    ),
    "a full name without its place is no doubt": Case(
        "Imperial College", [], [LONDON_GB], [(LONDON_GB, 0.9)],
        [(LONDON_GB, WRONG, MistakeKind.NO_ORGANISATION_LABELLED)],
    ),
    "its place must be beside the name, not in it": Case(
        "University of York", [], [YORK_GB], [(YORK_GB, 0.9)],
        [(YORK_GB, WRONG, MistakeKind.NO_ORGANISATION_LABELLED)],
    ),
    "a full name beside the label's": Case(
        "Broad Institute, Cambridge, and University of Oxford", [OXFORD], [OXFORD, BROAD],
        [(OXFORD, 0.9), (BROAD, 0.9)],
        [(BROAD, WRONG, MistakeKind.LABEL_DOUBTFUL)],
    ),
    "a full name within a longer one is no doubt": Case(
        "University of York Hospital, York", [OXFORD], [YORK_GB], [(YORK_GB, 0.9)],
        [
            (OXFORD, MISSED, MistakeKind.OMITTED),
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
        "CNRS, Grenoble", [CNRS], [], [(CNRS, 0.3)], [(CNRS, MISSED, MistakeKind.OMITTED)]
    ),
    "initials without the last, or with one more": Case(
        "CNRSX, Grenoble", [CNRS], [], [(CNRS, 0.3)], [(CNRS, MISSED, MistakeKind.OMITTED)]
    ),
    "another script cannot be compared": Case(
        "東京大学", [TODAI], [], [(TODAI, 0.3)], [(TODAI, MISSED, MistakeKind.OMITTED)]
    ),
    "a full name beside the label's that was read and ruled out": Case(
        "Broad Institute, Cambridge, and University of Oxford", [OXFORD], [OXFORD, BROAD],
        [(OXFORD, 0.9), (BROAD, 0.9)],
        [(BROAD, WRONG, MistakeKind.EXTRA)], ruled_out=[BROAD],
    ),
    "a maybe that is linked": Case(
        "Clarendon Lab., Oxford", [PHYSICS], [PHYSICS, OXFORD], [(OXFORD, 0.8), (PHYSICS, 0.9)],
        [], maybe=[OXFORD],
    ),
    "a maybe that is not linked": Case(
        "Oxford researcher, United Kingdom", [], [], [(OXFORD, 0.4)], [], maybe=[OXFORD],
    ),
    "a maybe beside what is missed": Case(
        "Clarendon Lab., Oxford", [PHYSICS], [OXFORD], [(OXFORD, 0.8), (PHYSICS, 0.4)],
        [(PHYSICS, MISSED, MistakeKind.PARENT_OR_CHILD)], [[OXFORD]], maybe=[OXFORD],
    ),
    "one too many": Case(
        "University of Oxford, Toronto Road, York", [OXFORD], [OXFORD, YORK_CA],
        [(OXFORD, 0.9), (YORK_CA, 0.6)],
        [(YORK_CA, WRONG, MistakeKind.EXTRA)], [[]],
    ),
}  # fmt: skip


def ids(documents: Iterable[Document]) -> tuple[str, ...]:
    return tuple(document.ror_id for document in documents)


def found(case: Case, policy: Policy = DEFAULT) -> list[Mistake]:
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
    affiliation = Affiliation.of(case.text)
    judged = JudgedStatement(affiliation, candidates, sorted(scored, key=lambda s: -s.score))
    return mistakes(
        affiliation,
        Gold(case.text, ids(case.gold), maybe=ids(case.maybe), ruled_out=ids(case.ruled_out)),
        Outcome(case.text, links, None if links else Reason.BELOW_THRESHOLD),
        [judged],
        policy=policy,
        known={document.ror_id: document for document in case.known},
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kinds(case: Case) -> None:
    made = found(case)
    assert [(m.ror_id, m.side, m.kind) for m in made] == [
        (document.ror_id, side, kind) for document, side, kind in case.expected
    ]
    if case.against is not None:
        assert [tuple(one.ror_id for one in m.against) for m in made] == [
            ids(group) for group in case.against
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
    assert (missed.fate, never_seen.fate, wrong.fate) == (Fate.BELOW_THRESHOLD, None, Fate.LINKED)
    assert (missed.lost_at, never_seen.lost_at) == (Stage.JUDGE, Stage.FIRST_STAGE)
    assert (wrong.lost_at, wrong.rival) == (None, None)
    assert (never_seen.name, never_seen.probability, never_seen.judge_rank) == (None, None, None)
    assert [(one.ror_id, one.name, one.probability) for one in wrong.labels] == [
        (YORK_GB.ror_id, "University of York", 0.4),
        (OXFORD.ror_id, None, None),
    ]
    assert [one.ror_id for one in wrong.links] == [YORK_CA.ror_id]


Lost = tuple[Stage, Fate | None, Document | None]

LOST: dict[str, tuple[Case, Policy, Lost]] = {
    "never a candidate": (
        Case("Univ. of Oxford", [OXFORD], [], [(YORK_CA, 0.1)], []),
        DEFAULT, (Stage.FIRST_STAGE, None, None),
    ),
    "not passed on": (
        Case("Univ. of Oxford", [OXFORD], [], [(YORK_CA, 0.1), (OXFORD, None)], []),
        DEFAULT, (Stage.SIEVE, None, None),
    ),
    "not probable enough": (
        Case("Univ. of Oxford", [OXFORD], [], [(OXFORD, 0.4)], []),
        DEFAULT, (Stage.JUDGE, Fate.BELOW_THRESHOLD, None),
    ),
    "in another country": (
        Case("York Univ., UK", [YORK_CA], [], [(YORK_CA, 0.8), (YORK_GB, 0.1)], []),
        DEFAULT, (Stage.DECISION, Fate.OTHER_COUNTRY, YORK_GB),
    ),
    "the text is a place": (
        Case("Oxford, UK", [OXFORD], [], [(OXFORD, 0.8)], []),
        DEFAULT, (Stage.DECISION, Fate.ONLY_PLACES, None),
    ),
    "the text is a role": (
        Case("Freelance consultant", [OXFORD], [], [(OXFORD, 0.8)], []),
        DEFAULT, (Stage.DECISION, Fate.ONLY_ROLES, None),
    ),
    "its words are another's": (
        Case("Univ. of York", [YORK_CA], [YORK_GB], [(YORK_GB, 0.9), (YORK_CA, 0.8)], []),
        DEFAULT, (Stage.DECISION, Fate.WORDS_CLAIMED, YORK_GB),
    ),
    "its namesake's place is named": (
        Case("Trinity College, Hartford", [TRINITY_IE], [TRINITY_US], [(TRINITY_IE, 0.9), (TRINITY_US, 0.8)], []),
        DEFAULT, (Stage.DECISION, Fate.NAMESAKE_PLACED, TRINITY_US),
    ),
    "as good as its namesake": (
        Case("Trinity College", [TRINITY_IE], [], [(TRINITY_IE, 0.8), (TRINITY_US, 0.8)], []),
        DEFAULT, (Stage.DECISION, Fate.TIED, TRINITY_US),
    ),
    "left out by the policy": (
        Case("Univ. of Oxford", [OXFORD], [], [(OXFORD, 0.9)], []),
        Policy(countries=frozenset({"FR"})), (Stage.DECISION, Fate.NOT_ADMITTED, None),
    ),
    "one link too many": (
        Case("Broad Inst., and Univ. of Oxford", [OXFORD, BROAD], [OXFORD], [(OXFORD, 0.9), (BROAD, 0.8)], []),
        Policy(max_links=1), (Stage.DECISION, Fate.BEYOND_MAX_LINKS, None),
    ),
    "replaced by its successor": (
        Case("Oxford Polytechnic", [OLD], [NEW], [(OLD, 0.9)], [], known=[NEW]),
        Policy(succession=Succession.ROLL_FORWARD), (Stage.LINEAGE, Fate.LINKED, None),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("case", "policy", "expected"), LOST.values(), ids=LOST)
def test_where_a_missed_organisation_was_lost(case: Case, policy: Policy, expected: Lost) -> None:
    stage, fate, rival = expected
    missed = found(case, policy)[0]
    assert (missed.side, missed.lost_at, missed.fate) == (MISSED, stage, fate)
    assert (missed.rival and missed.rival.ror_id) == (rival and rival.ror_id)


def test_every_stage_and_every_fate_has_a_case() -> None:
    assert {stage for _, _, (stage, _, _) in LOST.values()} == set(LOSING)
    assert {fate for _, _, (_, fate, _) in LOST.values()} == {None, *Fate}


def test_unknown_asks_only_for_what_went_wrong() -> None:
    link = Link(OXFORD.ror_id, "", "", 0.0, 0.9, 1)
    right = Outcome("x", (link,))
    oxford, york, broad = ids([OXFORD, YORK_CA, BROAD])
    for label, expected in (
        (Gold("x", (oxford,)), set()),
        (Gold("x", (oxford,), maybe=(broad,)), set()),
        (Gold("x", (), maybe=(oxford,)), set()),
        (Gold("x", (york,)), {oxford, york}),
        (Gold("x", (york,), maybe=(broad,)), {oxford, york, broad}),
        (Gold("x", ()), {oxford}),
    ):
        assert unknown(label, right) == expected, label
