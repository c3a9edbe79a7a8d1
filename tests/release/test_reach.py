"""Affiliations that a release could be answered otherwise by, on a handful of organisations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from resolver.encoder import Encoder
from resolver.encoder.lexical import query_vector
from resolver.encoder.loading import load as load_encoder
from resolver.encoder.statistics import learnt
from resolver.index.build import INDEXED
from resolver.matching.judge_file import load_sieve
from resolver.registry.change import Change
from resolver.registry.document import Document, documents
from resolver.registry.organisation import (
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)
from resolver.release import reach
from resolver.release.reach import Names, Search, changed_names
from resolver.settings import BUILTIN

SWITZERLAND = Place("CH", "Switzerland", "Zurich", "Zurich")


def organisation(ror_id: str, *names: str, place: Place = SWITZERLAND) -> Organisation:
    return Organisation(
        ror_id,
        OrganisationStatus.ACTIVE,
        tuple(
            Name(name, frozenset({NameKind.LABEL if i else NameKind.DISPLAY}))
            for i, name in enumerate(names)
        ),
        types=("education",),
        places=(place,),
    )


UZH = organisation("02crff812", "University of Zurich", "Universität Zürich")
HOSPITAL = organisation("01462r250", "University Hospital of Zurich")
ETH = organisation("05a28rw58", "ETH Zurich", "Swiss Federal Institute of Technology in Zurich")
OSLO = organisation("01xtthb56", "University of Oslo", place=Place("NO", "Norway", "Oslo", "Oslo"))
PORELAB = organisation("00n8a1j31", "PoreLab", place=Place("NO", "Norway", "Oslo", "Oslo"))
ICELAND = organisation(
    "01db6h964", "University of Iceland", place=Place("IS", "Iceland", "Reykjavík")
)
NANTES = organisation("03gnr7b55", "Nantes Université", place=Place("FR", "France", "Nantes"))
REGISTRY = (UZH, HOSPITAL, ETH, OSLO, NANTES)


# What of a release weighs

RENAMED = replace(UZH, names=(replace(UZH.names[0], value="Zurich University"), *UZH.names[1:]))
MOVED = replace(HOSPITAL, places=(Place("CH", "Switzerland", "Winterthur", "Zurich"),))


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        pytest.param(UZH, UZH, [], id="unchanged"),
        pytest.param(UZH, replace(UZH, established=1833), [], id="the year"),
        pytest.param(
            UZH,
            replace(UZH, relations=(Relation(RelationKind.CHILD, "01462r250", "Hospital"),)),
            [],
            id="a child, which its own record tells",
        ),
        pytest.param(
            HOSPITAL,
            replace(HOSPITAL, relations=(Relation(RelationKind.PARENT, "02crff812", "UZH"),)),
            ["University Hospital of Zurich"],
            id="a parent, which its links may be put at",
        ),
        pytest.param(
            UZH,
            RENAMED,
            ["Zurich University", "Universität Zürich", "University of Zurich"],
            id="renamed: the new names, and the one that is left",
        ),
        pytest.param(HOSPITAL, MOVED, ["University Hospital of Zurich"] * 2, id="moved: both"),
        pytest.param(None, ICELAND, ["University of Iceland"], id="added"),
        pytest.param(OSLO, None, ["University of Oslo"], id="removed"),
        pytest.param(
            OSLO,
            replace(OSLO, status=OrganisationStatus.WITHDRAWN),
            ["University of Oslo"],
            id="withdrawn",
        ),
        pytest.param(
            OSLO,
            replace(OSLO, status=OrganisationStatus.INACTIVE),
            ["University of Oslo"],
            id="closed",
        ),
        pytest.param(
            None, replace(OSLO, status=OrganisationStatus.WITHDRAWN), [], id="never indexed"
        ),
    ],
)
def test_an_organisation_weighs_when_its_names_or_what_decides_differ(
    before: Organisation | None, after: Organisation | None, names: list[str]
) -> None:
    found = changed_names([(before, after)], INDEXED)
    assert [document.name for own in found.values() for document in own] == names
    assert list(found) == [(after or before).ror_id for _ in names[:1]]  # type: ignore[union-attr]


# Names near a text


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(BUILTIN, None)


def searched(changes: Sequence[Change], encoder: Encoder) -> Names:
    known = [document for one in REGISTRY for document in documents(one)]
    return Names.of(changed_names(changes, INDEXED).values(), learnt(known), encoder)


TEXTS = (
    "Faculty of Law, University of Iceland, Reykjavík",
    "PoreLab, the Njord Centre, Department of Physics, University of Oslo, Oslo, Norway",
    "UNIVERSITY OF ICELAND",
    "Univ. of Iceland",
    "Institut für Physik, 8057 Zürich",
    "",
    "Independent researcher",
)


def test_scores_are_those_of_the_first_stage(encoder: Encoder) -> None:
    changes = [(None, ICELAND), (None, PORELAB), (UZH, RENAMED)]
    found = searched(changes, encoder).near(TEXTS)
    statistics = learnt([document for one in REGISTRY for document in documents(one)])
    assert len(found) == len(TEXTS)
    assert [bool(near) for near in found] == [True, True, True, True, False, False, False]
    for text, near in zip(TEXTS, found, strict=True):
        query = query_vector(text).indices.tolist()
        whole = encoder.encode_queries([text])[0]
        for one in near:
            (vector,) = statistics.vectors([one.document])
            weights = dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
            assert one.sparse == pytest.approx(sum(weights.get(term, 0.0) for term in query))
            (own,) = encoder.encode_documents([one.document.dense_text])
            # Of the whole text or of a part of it, whichever is nearer.
            assert one.dense >= float(whole @ own) - 1e-5
            assert one.fit == one.sparse + 2 * one.dense >= reach.LEAST_FIT


def test_texts_are_searched_for_alike_alone_and_together(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = searched([(None, ICELAND), (None, PORELAB), (UZH, RENAMED)], encoder)
    together = names.near(TEXTS)
    monkeypatch.setattr(reach, "_CELLS", 1)
    one_by_one = names.near(TEXTS)
    for near, alone in zip(together, one_by_one, strict=True):
        assert [one.document for one in near] == [one.document for one in alone]
        assert np.allclose([one.fit for one in near], [one.fit for one in alone], atol=1e-5)


def test_the_nearest_names_are_read_where_there_are_many(encoder: Encoder) -> None:
    many = [
        organisation(f"0{number:08d}", f"Zurich Institute {number} of Fine Arts")
        for number in range(3 * reach.NEAREST)
    ]
    (near,) = searched([(None, one) for one in many], encoder).near(
        ["Zurich Institute 7 of Fine Arts, Zurich"]
    )
    assert len(near) == reach.NEAREST
    best = max(near, key=lambda one: one.sparse)
    assert best.document.name == "Zurich Institute 7 of Fine Arts"


def test_nothing_changed_is_near_nothing(encoder: Encoder) -> None:
    assert searched([], encoder).near(["University of Zurich"]) == [[]]
    assert searched([(None, ICELAND)], encoder).near([]) == []


# Answers that could change


@dataclass(frozen=True)
class Link:
    ror_id: str
    matched_name: str
    probability: float
    threshold: float = 0.5
    sparse: float | None = 4.0
    dense: float | None = 0.9


@dataclass(frozen=True)
class Nearest:
    probability: float
    threshold: float = 0.5


@dataclass(frozen=True)
class Stored:
    text: str
    links: tuple[Link, ...] = ()
    nearest: tuple[Nearest, ...] = ()


def linked(text: str, one: Organisation, probability: float, **scores: float | None) -> Stored:
    return Stored(text, (Link(one.ror_id, one.display_name, probability, **scores),))  # type: ignore[arg-type]


def unlinked(text: str, *nearest: float) -> Stored:
    return Stored(text, nearest=tuple(map(Nearest, nearest)))


def known(ror_ids: Collection[str]) -> dict[str, Document]:
    return {one.ror_id: next(documents(one)) for one in REGISTRY if one.ror_id in ror_ids}


PHYSICS = "Department of Physics, University of Oslo, Oslo, Norway"
PORE = "PoreLab, the Njord Centre, Department of Physics, University of Oslo, Oslo, Norway"


@pytest.mark.parametrize(
    ("answer", "reached"),
    [
        pytest.param(unlinked("University of Iceland, Reykjavík"), True, id="it is named now"),
        pytest.param(unlinked("Háskóli Íslands"), False, id="by a name that nobody knows"),
        pytest.param(unlinked("Independent researcher"), False, id="nothing is near"),
        pytest.param(
            unlinked("Independent researcher", 0.49), True, id="but a link is hardly missed"
        ),
        pytest.param(linked(PORE, OSLO, 0.99), True, id="named beside what is linked"),
        pytest.param(linked(PHYSICS, OSLO, 0.99), False, id="sure, and another one is linked"),
        pytest.param(linked(PHYSICS, OSLO, 0.53), True, id="hardly above the threshold"),
        pytest.param(
            Stored(PHYSICS, (Link("01xtthb56", "University of Oslo", 0.81, threshold=0.8),)),
            True,
            id="hardly above the threshold of its policy",
        ),
        pytest.param(
            Stored(PHYSICS, (Link("01xtthb56", "University of Oslo", 0.99, threshold=0.97),)),
            False,
            id="far above a high threshold",
        ),
        pytest.param(
            Stored(
                PHYSICS,
                (
                    Link("01xtthb56", "University of Oslo", 0.99),
                    Link("03gnr7b55", "Nantes Université", 0.51),
                ),
            ),
            True,
            id="one of the links hardly is",
        ),
        pytest.param(
            linked("University of Iceland, Reykjavík", OSLO, 0.99, sparse=None, dense=None),
            True,
            id="a better one than what is linked",
        ),
        pytest.param(
            linked("University of Iceland, Reykjavík", ICELAND, 0.99),
            False,
            id="it is what is linked already",
        ),
        pytest.param(
            Stored(
                "University of Iceland, Reykjavík, and University of Oslo",
                (Link("01xtthb56", "University of Oslo", 0.99),),
                (Nearest(0.6, threshold=0.7),),
            ),
            True,
            id="linked by one policy and not by another",
        ),
        pytest.param(
            Stored(
                "University of Iceland, Reykjavík, Iceland; University of Oslo, Oslo, Norway",
                (Link("01xtthb56", "University of Oslo", 0.99),),
            ),
            True,
            id="named in a statement without a link",
        ),
        pytest.param(
            Stored(
                "University of Bonn, Bonn, Germany; University of Oslo, Oslo, Norway",
                (Link("01xtthb56", "University of Oslo", 0.99),),
            ),
            False,
            id="named in no statement",
        ),
    ],
)
def test_answers_are_reached(answer: Stored, reached: bool, encoder: Encoder) -> None:
    names = searched([(None, ICELAND), (None, PORELAB)], encoder)
    search = Search(names, load_sieve(BUILTIN, encoder), known)
    assert search.may_change([answer]) == [reached]


def test_answers_are_reached_alike_alone_and_together(encoder: Encoder) -> None:
    answers = [
        linked(PORE, OSLO, 0.99),
        linked(PHYSICS, OSLO, 0.99),
        unlinked("University of Iceland"),
        unlinked(""),
        linked(PHYSICS, OSLO, 0.51),
    ]
    names = searched([(None, ICELAND), (None, PORELAB)], encoder)
    search = Search(names, load_sieve(BUILTIN, encoder), known)
    together = search.may_change(answers)
    assert together == [True, False, True, False, True]
    assert [search.may_change([one]) for one in answers] == [[one] for one in together]
    assert search.may_change([]) == []


def test_without_a_sieve_whatever_is_near_counts(encoder: Encoder) -> None:
    names = searched([(None, ICELAND), (None, PORELAB)], encoder)
    search = Search(names, None, known)
    near = linked("University of Iceland and of Oslo", OSLO, 0.99)
    assert search.may_change([near, unlinked("Independent researcher")]) == [True, False]


def test_links_to_what_is_gone_are_no_rivals(encoder: Encoder) -> None:
    """What the new release has not any more is marked by the link; the rest must not fail on it."""
    names = searched([(PORELAB, None), (None, ICELAND)], encoder)
    search = Search(names, load_sieve(BUILTIN, encoder), known)
    assert search.may_change([linked(PORE, PORELAB, 0.99)]) == [False]
