from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.matching.lineage import apply, needed
from resolver.matching.outcome import Link
from resolver.matching.policy import Level, Policy, Succession
from resolver.registry.document import Document
from resolver.registry.organisation import OrganisationStatus

ACTIVE, INACTIVE, WITHDRAWN = OrganisationStatus


def organisation(
    ror_id: str,
    *,
    parents: str = "",
    successors: str = "",
    status: OrganisationStatus = ACTIVE,
    types: str = "education",
    country: str = "CH",
) -> Document:
    """One whose id is a letter, as are its relatives."""
    return Document(
        ror_id, f"name of {ror_id}", f"Name of {ror_id}", False, None, None, country, None,
        types=(types,), status=status, parents=tuple(parents), successors=tuple(successors),
    )  # fmt: skip


def registry(*organisations: Document) -> dict[str, Document | None]:
    return {document.ror_id: document for document in organisations}


def links(*named: tuple[str, float]) -> list[Link]:
    return [
        Link(ror_id, f"Name of {ror_id}", f"name of {ror_id}", score, score, rank)
        for rank, (ror_id, score) in enumerate(named, start=1)
    ]


def shown(found: tuple[Link, ...]) -> list[tuple[str, float, str]]:
    """Who, how probable, and for whom."""
    return [(link.ror_id, link.probability, "".join(link.stands_for)) for link in found]


# A university with a faculty that has an institute, a laboratory of two universities.
FAMILY = registry(
    organisation("u"),
    organisation("f", parents="u"),
    organisation("i", parents="f", types="facility"),
    organisation("w", country="DE"),
    organisation("l", parents="uw"),
    organisation("a", parents="b"),
    organisation("b", parents="a"),
    organisation("c", parents="a"),
    organisation("x", parents="?"),
    organisation("m", parents="n"),
    organisation("n", parents="g", types="government"),
    organisation("g", types="government"),
) | {"?": None}


@pytest.mark.parametrize(
    ("level", "named", "expected"),
    [
        pytest.param("named", "iu", [("i", 0.9, ""), ("u", 0.8, "")], id="named"),
        pytest.param("most-specific", "iu", [("i", 0.9, "")], id="grandparent gives way"),
        pytest.param("most-specific", "ui", [("i", 0.8, "")], id="though it is more probable"),
        pytest.param("most-specific", "ufi", [("i", 0.7, "")], id="all that is above"),
        pytest.param("most-specific", "u", [("u", 0.9, "")], id="nothing below is named"),
        pytest.param("most-specific", "fl", [("f", 0.9, ""), ("l", 0.8, "")], id="siblings stay"),
        pytest.param("most-specific", "ab", [("a", 0.9, ""), ("b", 0.8, "")], id="a circle stays"),
        pytest.param("most-specific", "ac", [("c", 0.8, "")], id="a circle gives way to a child"),
        pytest.param("top-parent", "i", [("u", 0.9, "i")], id="topmost"),
        pytest.param("top-parent", "if", [("u", 0.9, "fi")], id="two of one family"),
        pytest.param("top-parent", "iu", [("u", 0.9, "i")], id="it is named itself"),
        pytest.param("top-parent", "wu", [("w", 0.9, ""), ("u", 0.8, "")], id="they are topmost"),
        pytest.param("top-parent", "l", [("u", 0.9, "l"), ("w", 0.9, "l")], id="each of two"),
        pytest.param("top-parent", "c", [("c", 0.9, "")], id="above is a circle"),
        pytest.param("top-parent", "x", [("x", 0.9, "")], id="a parent that nobody knows"),
        pytest.param("both", "i", [("i", 0.9, ""), ("u", 0.9, "i")], id="both"),
        pytest.param("both", "iu", [("i", 0.9, ""), ("u", 0.9, "i")], id="both are named"),
        pytest.param(
            "both",
            "wil",
            [("w", 0.9, "l"), ("i", 0.8, ""), ("u", 0.8, "il"), ("l", 0.7, "")],
            id="each followed by its own",
        ),
    ],
)
def test_levels(level: str, named: str, expected: list[tuple[str, float, str]]) -> None:
    given = links(*zip(named, (0.9, 0.8, 0.7), strict=False))
    found = apply(given, Policy(level=Level(level)), FAMILY)
    assert shown(found) == expected
    assert [link.rank for link in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize(
    ("named", "changes", "expected"),
    [
        pytest.param("m", {"types": {"education"}}, [("m", "")], id="no parent of that type"),
        pytest.param("m", {"types": {"education", "government"}}, [("g", "m")], id="both types"),
        pytest.param("l", {"countries": {"DE"}}, [("w", "l")], id="the one in the country"),
        pytest.param("l", {"countries": {"FR"}}, [("l", "")], id="none in the country"),
    ],
)
def test_a_parent_that_is_not_admitted_is_passed_over(
    named: str, changes: dict[str, set[str]], expected: list[tuple[str, str]]
) -> None:
    restricted = {name: frozenset(values) for name, values in changes.items()}
    policy = Policy(level=Level.TOP_PARENT, **restricted)  # type: ignore[arg-type]
    found = apply(links((named, 0.9)), policy, FAMILY)
    assert [(link.ror_id, "".join(link.stands_for)) for link in found] == expected


@pytest.mark.parametrize(
    ("level", "barred", "expected"),
    [
        pytest.param("top-parent", "u", [("w", "l")], id="the other one stands for it"),
        pytest.param("top-parent", "uw", [("l", "")], id="none is left"),
        pytest.param("both", "u", [("l", ""), ("w", "l")], id="it and the other one"),
        pytest.param("most-specific", "u", [("l", "")], id="none is brought in anyway"),
    ],
)
def test_a_parent_that_it_is_not_is_passed_over(
    level: str, barred: str, expected: list[tuple[str, str]]
) -> None:
    found = apply(links(("l", 0.9)), Policy(level=Level(level)), FAMILY, barred)
    assert [(link.ror_id, "".join(link.stands_for)) for link in found] == expected


PAST = registry(
    organisation("n"),
    organisation("z", country="DE"),
    organisation("o", status=INACTIVE, successors="n"),
    organisation("d", status=WITHDRAWN, successors="o"),
    organisation("s", status=INACTIVE, successors="nz"),
    organisation("r", status=INACTIVE, successors="on"),
    organisation("q", status=INACTIVE),
    organisation("p", status=INACTIVE, successors="q"),
    organisation("t", status=INACTIVE, successors="nq"),
    organisation("a", status=INACTIVE, successors="b"),
    organisation("b", status=INACTIVE, successors="a"),
    organisation("c", status=INACTIVE, successors="bn"),
    organisation("u", status=INACTIVE, successors="?"),
    organisation("e", successors="n"),
    organisation("f", status=INACTIVE, successors="z"),
) | {"?": None}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        pytest.param("o", [("n", 0.9, "o")], id="one successor"),
        pytest.param("d", [("n", 0.9, "d")], id="its successor's successor"),
        pytest.param("on", [("n", 0.9, "o")], id="the successor is named too"),
        pytest.param("no", [("n", 0.9, "o")], id="and is more probable"),
        pytest.param("od", [("n", 0.9, "do")], id="two of one successor"),
        pytest.param("s", [("s", 0.9, "")], id="split"),
        pytest.param("r", [("n", 0.9, "r")], id="two ways to one"),
        pytest.param("q", [("q", 0.9, "")], id="no successor"),
        pytest.param("p", [("p", 0.9, "")], id="the successor has ended too"),
        pytest.param("t", [("t", 0.9, "")], id="one of two has ended"),
        pytest.param("a", [("a", 0.9, "")], id="a circle"),
        pytest.param("c", [("n", 0.9, "c")], id="a circle beside a successor"),
        pytest.param("u", [("u", 0.9, "")], id="a successor that nobody knows"),
        pytest.param("e", [("e", 0.9, "")], id="an active one stays"),
    ],
)
def test_succession(named: str, expected: list[tuple[str, float, str]]) -> None:
    given = links(*zip(named, (0.9, 0.8), strict=False))
    assert shown(apply(given, Policy(succession=Succession.ROLL_FORWARD), PAST)) == expected
    assert [link.ror_id for link in apply(given, Policy(), PAST)] == list(named)


def test_a_successor_that_is_not_admitted_does_not_succeed() -> None:
    policy = Policy(succession=Succession.ROLL_FORWARD, countries=frozenset({"CH"}))
    assert shown(apply(links(("f", 0.9)), policy, PAST)) == [("f", 0.9, "")]


@pytest.mark.parametrize(("barred", "expected"), [("", "n"), ("n", "o")])
def test_a_successor_that_it_is_not_does_not_succeed(barred: str, expected: str) -> None:
    (found,) = apply(links(("o", 0.9)), Policy(succession=Succession.ROLL_FORWARD), PAST, barred)
    assert found.ror_id == expected


def test_succession_comes_before_level() -> None:
    known = registry(
        organisation("o", status=INACTIVE, successors="n"),
        organisation("n", parents="u"),
        organisation("u"),
    )
    both = Policy(level=Level.BOTH, succession=Succession.ROLL_FORWARD)
    named = links(("o", 0.9), ("n", 0.8))
    assert shown(apply(named, both, known)) == [("n", 0.9, "o"), ("u", 0.9, "no")]
    top = replace(both, level=Level.TOP_PARENT)
    assert shown(apply(named[:1], top, known)) == [("u", 0.9, "o")]


def test_name_is_the_organisation_s_and_the_rest_is_what_was_read() -> None:
    (top,) = apply(links(("i", 0.9)), Policy(level=Level.TOP_PARENT), FAMILY)
    assert (top.name, top.matched_name, top.score) == ("Name of u", "name of i", 0.9)
    (top,) = apply(links(("i", 0.9), ("u", 0.8)), Policy(level=Level.TOP_PARENT), FAMILY)
    assert (top.name, top.matched_name, top.score) == ("Name of u", "name of u", 0.8)


def look_up(
    named: list[Link], policy: Policy, register: dict[str, Document]
) -> tuple[dict[str, Document | None], int]:
    """All that is needed, asked for as the matcher does; and in how many rounds."""
    known: dict[str, Document | None] = {}
    rounds = 0
    while missing := needed(named, policy, known):
        assert not missing & known.keys()  # nothing is asked for twice
        known |= {ror_id: register.get(ror_id) for ror_id in missing}
        rounds += 1
    return known, rounds


def test_what_is_needed_comes_in_rounds() -> None:
    found = {ror_id: document for ror_id, document in FAMILY.items() if document}
    named = links(("i", 0.9), ("l", 0.8))
    known, rounds = look_up(named, Policy(level=Level.BOTH), found)
    assert (set(known), rounds) == ({"i", "f", "u", "l", "w"}, 2)
    assert look_up(named, Policy(), found) == ({}, 0)


LETTERS = "abcdefgh"


@st.composite
def registers(draw: st.DrawFn) -> dict[str, Document]:
    """Organisations with any relations at all: circles, and relatives that are not there."""
    relatives = st.text(st.sampled_from(LETTERS + "yz"), max_size=3)
    return {
        letter: organisation(
            letter,
            parents=draw(relatives),
            successors=draw(relatives),
            status=draw(st.sampled_from(OrganisationStatus)),
            types=draw(st.sampled_from(["education", "company"])),
            country=draw(st.sampled_from(["CH", "DE"])),
        )
        for letter in LETTERS
    }


@st.composite
def named_links(draw: st.DrawFn) -> list[Link]:
    named = draw(st.lists(st.sampled_from(LETTERS), unique=True, max_size=6))
    found = draw(st.lists(st.floats(0, 1), min_size=len(named), max_size=len(named)))
    return links(*zip(named, sorted(found, reverse=True), strict=True))


choices = st.builds(
    Policy,
    max_links=st.integers(1, 6),
    level=st.sampled_from(Level),
    succession=st.sampled_from(Succession),
    types=st.sampled_from([frozenset(), frozenset({"education"})]),
    countries=st.sampled_from([frozenset(), frozenset({"CH"})]),
)


@settings(max_examples=300)
@given(registers(), named_links(), choices)
def test_whatever_the_relations(
    register: dict[str, Document], named: list[Link], policy: Policy
) -> None:
    # As after deciding: what the policy excludes is not linked.
    named = [link for link in named if policy.admits(register[link.ror_id])]
    named = [replace(link, rank=rank) for rank, link in enumerate(named, start=1)]
    known, rounds = look_up(named, policy, register)
    assert rounds <= len(LETTERS) + 1
    found = apply(named, policy, known)
    ids = [link.ror_id for link in found]
    assert len(set(ids)) == len(ids) <= policy.max_links
    assert [link.rank for link in found] == list(range(1, len(ids) + 1))
    assert sorted((link.probability for link in found), reverse=True) == [
        link.probability for link in found
    ]
    was_named = {link.ror_id for link in named}
    for link in found:
        document = register[link.ror_id]
        assert policy.admits(document)
        assert link.ror_id in was_named or link.stands_for
        assert set(link.stands_for) <= was_named - {link.ror_id}
        assert link.name == document.display_name
    if named:
        assert found
        assert found[0].probability <= named[0].probability
    assert apply(found, policy, known) == found
    if policy.level is Level.NAMED and policy.succession is Succession.KEEP:
        assert list(found) == named[: policy.max_links]
    if policy.level is not Level.MOST_SPECIFIC and len(ids) < policy.max_links:
        accounted = set(ids) | {one for link in found for one in link.stands_for}
        assert was_named <= accounted
