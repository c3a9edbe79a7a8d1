"""Pairs of two affiliations: what may stand beside what."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from resolver.matching.candidate import Candidate
from resolver.registry.document import documents
from resolver.registry.organisation import (
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)
from resolver.training.affiliations import (
    Pool,
    Sample,
    SampleKind,
    affiliation_pairs,
    apart,
    key,
    mixed,
    samples,
)
from resolver.training.pairs import Labelled, LabelledPair, held_out


def organisation(
    ror_id: str, name: str, city: str, *relations: tuple[RelationKind, str], country: str = "Norway"
) -> Organisation:
    return Organisation(
        ror_id,
        OrganisationStatus.ACTIVE,
        (Name(name, frozenset({NameKind.DISPLAY})),),
        places=(Place(country[:2].upper(), country, city),),
        relations=tuple(Relation(kind, other, "") for kind, other in relations),
    )


REGISTRY = {
    o.ror_id: o
    for o in (
        organisation("uio", "University of Oslo", "Oslo"),
        organisation("ous", "Oslo University Hospital", "Oslo"),
        organisation("uib", "University of Bergen", "Bergen"),
        organisation("ntnu", "Norwegian Technical College", "Trondheim"),
        organisation("new", "Metropolitan School", "Oslo", (RelationKind.PREDECESSOR, "uio")),
        organisation("part", "Polar Centre", "Oslo", (RelationKind.PARENT, "uio")),
        organisation("wien", "University of Vienna", "Vienna", country="Austria"),
    )
}
QUERY = Labelled("Physics, University of Oslo, Norway", frozenset({"uio"}))


def strings(*others: tuple[str, str]) -> list[Labelled]:
    return [QUERY, *(Labelled(text, frozenset(ids.split())) for text, ids in others)]


class Brings:
    """A first stage that brings the same organisations for every text."""

    def __init__(self, *ror_ids: str) -> None:
        self.ror_ids = ror_ids

    def candidates(self, texts: Sequence[str], *, depth: int) -> list[list[Candidate]]:
        found = [
            Candidate(next(iter(documents(REGISTRY[i]))), None, None, 0.0) for i in self.ror_ids
        ]
        return [found[:depth] for _ in texts]


def pairs(gold: Sequence[Labelled], *found: str, negatives: int = 5, seed: int = 1) -> list:
    return list(
        affiliation_pairs(
            gold, REGISTRY, Brings(*found), positives=1, negatives=negatives, seed=seed
        )
    )


def documents_of(made: Sequence[LabelledPair], label: int) -> list[str]:
    return [p.document for p in made if p.affiliation == QUERY.affiliation and p.label == label]


OTHER = ("Chemistry, University of Oslo", "uio")


@pytest.mark.parametrize(
    ("text", "ids", "label"),
    [
        ("Chemistry, University of Oslo", "uio", 1),
        ("PHYSICS; University of Oslo (Norway)", "uio", None),
        ("University of Oslo and University of Bergen", "uio uib", None),
        ("Law, University of Bergen", "uib", 0),
        ("Law, University of Bergen, with the University of Oslo", "uib", None),
        ("Surgery, Oslo University Hospital", "ous", 0),
        ("Law, University of Vienna", "wien", None),
        ("Design, Metropolitan School", "new", None),
        ("Ice, Polar Centre", "part", None),
        ("Law, Nowhere College", "gone", None),
        ("Nowhere at all", "", None),
    ],
    ids=[
        "same organisation",
        "same string in another spelling",
        "names two organisations",
        "another organisation",
        "names the query's too",
        "shares words only",
        "far away, and no candidate",
        "successor",
        "child",
        "not in the registry",
        "no organisation",
    ],
)
def test_what_a_string_is_beside_another(text: str, ids: str, label: int | None) -> None:
    # A second string of the query's organisation, for there to be a right one at all.
    gold = strings((text, ids)) if label == 1 else strings(OTHER, (text, ids))
    made = pairs(gold)
    assert [lab for lab in (0, 1) if text in documents_of(made, lab)] == (
        [] if label is None else [label]
    )


def test_an_organisation_named_in_the_query_is_not_wrong() -> None:
    query = Labelled("University of Oslo, formerly at University of Bergen", frozenset({"uio"}))
    made = pairs([query, *strings(OTHER, ("Law, University of Bergen", "uib"))])
    assert not [p for p in made if p.affiliation == query.affiliation and not p.label]


def test_near_ones_come_first() -> None:
    gold = strings(
        OTHER,
        ("Law, University of Bergen", "uib"),
        ("Surgery, Oslo University Hospital", "ous"),
        ("Law, University of Vienna", "wien"),
    )
    wrong = [documents_of(pairs(gold, "wien", negatives=n), 0) for n in (1, 2, 3)]
    assert wrong[0] == ["Law, University of Vienna"], "a candidate of the first stage"
    assert wrong[1][1:] == ["Surgery, Oslo University Hospital"], "the same city"
    assert wrong[2][2:] == ["Law, University of Bergen"], "the same country"


def test_a_string_without_another_of_its_organisation_gives_nothing() -> None:
    assert pairs(strings(("Law, University of Bergen", "uib"))) == []


def test_two_spellings_of_one_string_name_what_either_names() -> None:
    gold = [
        Labelled("University of Oslo / Bergen", frozenset({"uio"})),
        Labelled("university of oslo, bergen.", frozenset({"uib"})),
    ]
    pool = Pool(gold, REGISTRY)
    assert pool.named(gold[0]) == pool.named(gold[1]) == {"uio", "uib"}
    assert pool.same(gold[0]) == []


def test_pairs_repeat_with_the_seed() -> None:
    gold = strings(
        OTHER,
        *((f"Unit {n}, University of Bergen", "uib") for n in range(9)),
        *((f"Unit {n}, Norwegian Technical College", "ntnu") for n in range(9)),
    )
    first, again, other = (pairs(gold, negatives=1, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Université de Genève, CH", "universite de geneve ch", True),
        ("Univ. of Oslo", "Univ of Oslo", True),
        ("Univ of Oslo", "University of Oslo", False),
        ("東京大学", "東京大学 ", True),
        ("—", "…", False),
    ],
)
def test_near_identical_strings_have_one_key(one: str, other: str, same: bool) -> None:
    assert (key(one) == key(other)) is same


def test_no_string_is_trained_on_and_measured_on() -> None:
    rest = [Labelled("McGovern Institute, MIT", frozenset({"held"}))]
    train = [
        Labelled("mcgovern institute (MIT)", frozenset({"other"})),
        Labelled("McGovern Institute", frozenset({"other"})),
    ]
    assert apart(train, rest) == train[1:]


# Samples

OUT = next(f"org{i}" for i in range(1000) if held_out(f"org{i}"))
OUT_TOO = next(f"two{i}" for i in range(1000) if held_out(f"two{i}"))
IN = next(f"in{i}" for i in range(1000) if not held_out(f"in{i}"))
HELD = {
    OUT: organisation(OUT, "University of Oslo", "Oslo"),
    OUT_TOO: organisation(OUT_TOO, "University of Bergen", "Bergen"),
    IN: organisation(IN, "Norwegian Technical College", "Trondheim"),
}
REST = [
    Labelled("Physics, University of Oslo", frozenset({OUT})),
    Labelled("Law, University of Oslo", frozenset({OUT})),
    Labelled("Law, University of Bergen", frozenset({OUT_TOO})),
    Labelled("Norwegian Technical College; University of Oslo", frozenset({OUT, IN})),
]


class BringsAll:
    def candidates(self, texts: Sequence[str], *, depth: int) -> list[list[Candidate]]:
        found = [Candidate(next(iter(documents(o))), None, None, 0.0) for o in HELD.values()]
        return [found[:depth] for _ in texts]


def made_samples(limit: int | None = None) -> list[Sample]:
    return samples(REST, HELD, BringsAll(), negatives=9, limit=limit, seed=1)


def test_samples_are_of_both_kinds_and_of_held_out_organisations() -> None:
    found = {(s.kind, s.query): s for s in made_samples()}
    physics = "Physics, University of Oslo"
    assert found[SampleKind.AFFILIATION, physics] == Sample(
        SampleKind.AFFILIATION,
        physics,
        ("Law, University of Oslo",),
        ("Law, University of Bergen",),
    )
    assert found[SampleKind.ORGANISATION, physics] == Sample(
        SampleKind.ORGANISATION,
        physics,
        ("University of Oslo, Oslo, Norway",),
        (
            "University of Bergen, Bergen, Norway",
            "Norwegian Technical College, Trondheim, Norway",
        ),
    )
    both = found[SampleKind.ORGANISATION, REST[3].affiliation]
    assert both.positive == ("University of Oslo, Oslo, Norway",)
    assert both.negative == ("University of Bergen, Bergen, Norway",)
    # Bergen has no other string to be the right one.
    assert (SampleKind.AFFILIATION, "Law, University of Bergen") not in found


@pytest.mark.parametrize("limit", [0, 1, 2, 5, 100])
def test_samples_are_limited_evenly(limit: int) -> None:
    every = made_samples()
    found = made_samples(limit)
    assert len(found) == min(limit, len(every))
    assert set(found) <= set(every)
    kinds = [sum(s.kind is kind for s in found) for kind in SampleKind]
    if limit <= 4:
        assert max(kinds) - min(kinds) <= 1


# Mixing


def some(kind: str, queries: int, each: int) -> list[LabelledPair]:
    return [
        LabelledPair(f"{kind} {q}", f"document {d}", int(d == 0))
        for q in range(queries)
        for d in range(each)
    ]


@pytest.mark.parametrize(
    ("share", "most", "expected"),
    [
        (None, None, (600, 200)),
        (0.25, None, (600, 200)),
        (0.5, None, (200, 200)),
        (0.1, None, (600, 66)),
        (0.0, None, (600, 0)),
        (1.0, None, (0, 200)),
        (None, 400, (300, 100)),
        (0.5, 100, (50, 50)),
        (None, 10_000, (600, 200)),
    ],
)
def test_shares(share: float | None, most: int | None, expected: tuple[int, int]) -> None:
    made = mixed(some("o", 100, 6), some("a", 100, 2), share=share, most=most, seed=1)
    counts = [sum(p.affiliation.startswith(kind) for p in made) for kind in "oa"]
    assert counts == pytest.approx(expected, abs=6)
    # A query keeps all of its documents.
    for kind, each in (("o", 6), ("a", 2)):
        queries = [p.affiliation for p in made if p.affiliation.startswith(kind)]
        assert all(queries.count(query) == each for query in queries)
    again = mixed(some("o", 100, 6), some("a", 100, 2), share=share, most=most, seed=1)
    assert made == again
