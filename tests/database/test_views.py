"""The views of what the registry knows, of since when a link holds, and of what was never linked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from resolver.database.answers import save
from resolver.database.connection import transaction
from resolver.database.records import intake, withdraw
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import put_in_use, register
from resolver.intake.record import SourceRecord
from resolver.matching import lineage
from resolver.matching.outcome import Link, Outcome, Reason
from resolver.matching.policy import Level, Policy
from resolver.registry.document import documents
from resolver.registry.organisation import (
    Identifier,
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Place,
    Relation,
    RelationKind,
)

Rows = list[tuple[object, ...]]


def key(letter: str) -> str:
    return f"0{letter * 6}00"


def organisation(letter: str, parents: str = "", status: str = "active") -> Organisation:
    return Organisation(
        ror_id=key(letter),
        status=OrganisationStatus(status),
        names=(Name(letter.upper(), frozenset({NameKind.DISPLAY})),),
        relations=tuple(
            Relation(RelationKind.PARENT, key(parent), parent.upper()) for parent in parents
        ),
    )


def load(engine: Engine, organisations: list[Organisation], release: str = "v2.9") -> int:
    return load_release(
        engine,
        ReleaseInfo(release, None, release, f"{release}.json"),
        organisations,
        rejected=lambda: 0,
        schema_version=lambda: None,
    ).release_id


def rows(engine: Engine, query: str, **values: object) -> Rows:
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


# Parents

REGISTRIES = {
    "none": ([organisation("a")], [], [("A", "A", 0)]),
    "a chain": (
        [organisation("a", "b"), organisation("b", "c"), organisation("c")],
        [("A", "B", 1), ("A", "C", 2), ("B", "C", 1)],
        [("A", "C", 2), ("B", "C", 1), ("C", "C", 0)],
    ),
    "two parents": (
        [organisation("a", "bc"), organisation("b"), organisation("c")],
        [("A", "B", 1), ("A", "C", 1)],
        [("A", "B", 1), ("A", "C", 1), ("B", "B", 0), ("C", "C", 0)],
    ),
    "two ways, of which the shortest counts": (
        [organisation("a", "bd"), organisation("b", "c"), organisation("c", "d"), organisation("d")],
        [("A", "B", 1), ("A", "C", 2), ("A", "D", 1), ("B", "C", 1), ("B", "D", 2), ("C", "D", 1)],
        [("A", "D", 1), ("B", "D", 2), ("C", "D", 1), ("D", "D", 0)],
    ),
    "a circle of two": (
        [organisation("a", "b"), organisation("b", "a")],
        [("A", "B", 1), ("B", "A", 1)],
        [("A", "A", 0), ("B", "B", 0)],
    ),
    "below a circle of three": (
        [
            organisation("a", "b"), organisation("b", "c"), organisation("c", "d"),
            organisation("d", "b"),
        ],
        [
            ("A", "B", 1), ("A", "C", 2), ("A", "D", 3), ("B", "C", 1), ("B", "D", 2),
            ("C", "B", 2), ("C", "D", 1), ("D", "B", 1), ("D", "C", 2),
        ],
        [("A", "A", 0), ("B", "B", 0), ("C", "C", 0), ("D", "D", 0)],
    ),
    "a circle, and a way out of it": (
        [organisation("a", "bc"), organisation("b", "a"), organisation("c")],
        [("A", "B", 1), ("A", "C", 1), ("B", "A", 1), ("B", "C", 2)],
        [("A", "C", 1), ("B", "C", 2), ("C", "C", 0)],
    ),
    "its own parent": ([organisation("a", "a")], [], [("A", "A", 0)]),
    "a parent that has ended is passed over on the way up": (
        [organisation("a", "b"), organisation("b", "c", "inactive"), organisation("c")],
        [("A", "B", 1), ("A", "C", 2), ("B", "C", 1)],
        [("A", "C", 2), ("B", "C", 1), ("C", "C", 0)],
    ),
    "a topmost one that has ended": (
        [organisation("a", "b"), organisation("b", "c"), organisation("c", "", "withdrawn")],
        [("A", "B", 1), ("A", "C", 2), ("B", "C", 1)],
        [("A", "B", 1), ("B", "B", 0), ("C", "C", 0)],
    ),
    "a parent that the release does not have": ([organisation("a", "x")], [], [("A", "A", 0)]),
}  # fmt: skip


@pytest.mark.parametrize("name", REGISTRIES)
def test_parents_and_topmost_parents(engine: Engine, name: str) -> None:
    organisations, parents, topmost = REGISTRIES[name]
    load(engine, organisations)
    columns = "organisation, parent, depth"
    assert rows(engine, f"SELECT {columns} FROM organisation_parents ORDER BY 1, 2") == parents
    found = rows(engine, f"SELECT {columns} FROM organisation_topmost_parents ORDER BY 1, 2")
    assert found == topmost
    # What the policy links in place of an organisation.
    known = {o.ror_id: document for o in organisations for document in documents(o)}
    for linked in organisations:
        link = Link(linked.ror_id, linked.display_name, linked.display_name, 1.0, 0.9, 1)
        instead = lineage.apply([link], Policy(level=Level.TOP_PARENT), known | {key("x"): None})
        assert sorted(link.name for link in instead) == [
            parent for name, parent, _ in found if name == linked.display_name
        ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "SELECT ror_id, ror_url, parent_ror_id, parent_ror_url, parent_status"
            " FROM organisation_parents WHERE organisation = 'A'",
            [
                (key("a"), f"https://ror.org/{key('a')}", key("b"), f"https://ror.org/{key('b')}",
                 "inactive"),
            ],
        ),
        (
            "SELECT ror_id, ror_url, parent_ror_id, parent_ror_url"
            " FROM organisation_topmost_parents WHERE organisation = 'A'",
            [(key("a"), f"https://ror.org/{key('a')}") * 2],
        ),
    ],
)  # fmt: skip
def test_the_columns_of_parents(engine: Engine, query: str, expected: Rows) -> None:
    load(engine, [organisation("a", "b"), organisation("b", "", "inactive")])
    assert rows(engine, query) == expected


# Identifiers and places


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        pytest.param((), [], id="none"),
        pytest.param(
            (Identifier("grid", ("grid.1.a",), "grid.1.a"),),
            [("grid", "grid.1.a", True)],
            id="one, preferred",
        ),
        pytest.param(
            (Identifier("isni", ("0000 0004 1936 8948",)),),
            [("isni", "0000 0004 1936 8948", False)],
            id="one, none preferred",
        ),
        pytest.param(
            (Identifier("fundref", ("501", "100", "200"), "100"), Identifier("wikidata", ("Q1",))),
            [
                ("fundref", "100", True), ("fundref", "200", False), ("fundref", "501", False),
                ("wikidata", "Q1", False),
            ],
            id="several",
        ),
        pytest.param(
            (Identifier("fundref", ("501",), "100"),),
            [("fundref", "100", True), ("fundref", "501", False)],
            id="the preferred one is not among the others",
        ),
        pytest.param(
            (Identifier("wikidata", (), "Q1"),), [("wikidata", "Q1", True)], id="it is the only one"
        ),
        pytest.param((Identifier("wikidata"),), [], id="a scheme without identifiers"),
    ],
)  # fmt: skip
def test_identifiers(engine: Engine, identifiers: tuple[Identifier, ...], expected: Rows) -> None:
    load(engine, [replace(organisation("a"), identifiers=identifiers), organisation("b")])
    query = "SELECT scheme, value, preferred FROM organisation_identifiers ORDER BY 1, 2"
    assert rows(engine, query) == expected


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param((), [], id="none"),
        pytest.param(
            (Place("DE", "Germany"),), [(1, "DE", None, None, None, None)], id="a country alone"
        ),
        pytest.param(
            (
                Place("CH", "Switzerland", "Zurich", "Zurich", 47.36667, 8.55, 2657896),
                Place("AQ", "Antarctica", "Base", None, -77.5, -166, 6696480),
            ),
            [
                (1, "CH", "Zurich", 47.36667, 8.55, 2657896),
                (2, "AQ", "Base", -77.5, -166.0, 6696480),
            ],
            id="two",
        ),
    ],
)
def test_places(engine: Engine, places: tuple[Place, ...], expected: Rows) -> None:
    load(engine, [replace(organisation("a"), places=places)])
    query = (
        "SELECT number, country_code, city, latitude, longitude, geonames_id"
        " FROM organisation_places ORDER BY number"
    )
    assert rows(engine, query) == expected


# Links: since when, and never


def link(letter: str, **changes: object) -> Link:
    return replace(
        Link(key(letter), letter.upper(), letter.upper(), 1.0, 0.9, 1),
        **changes,  # type: ignore[arg-type]
    )


@pytest.fixture
def answer(engine: Engine) -> Callable[..., None]:
    """Answers the text of one record, by a version of its own for each release."""
    versions: dict[str, int] = {}
    organisations = [organisation(letter) for letter in "abc"]

    def put(release: str, *links: Link, policy: Policy | None = None) -> None:
        if release not in versions:
            versions[release] = register(
                engine,
                release_id=load(engine, organisations, release),
                encoder=("builtin", "e"),
                reranker=("builtin", "r"),
                settings={},
            ).id
        version = put_in_use(engine, versions[release]).id
        policy = policy or Policy()
        (sent,) = intake(engine, version, [SourceRecord("crossref", "10.1/a", "A and B")], policy)
        outcome = Outcome("", links, None if links else Reason.NOT_IN_REGISTRY)
        save(engine, version, [(sent.id, outcome)], policy)

    return put


SINCE = {
    "the first answer": ([("v1", "a")], [("A", "v1", "source sent", 0)]),
    "confirmed by later releases": (
        [("v1", "a"), ("v2", "a"), ("v3", "a")], [("A", "v1", "source sent", 0)],
    ),
    "at another rank, beside another": (
        [("v1", "a"), ("v2", "ba")],
        [("A", "v1", "source sent", 0), ("B", "v2", "registry release", 1)],
    ),
    "interrupted by no link": (
        [("v1", "a"), ("v2", ""), ("v3", "a")], [("A", "v3", "registry release", 2)],
    ),
    "interrupted by another organisation": (
        [("v1", "a"), ("v2", "b"), ("v3", "a")], [("A", "v3", "registry release", 2)],
    ),
    "not any more": ([("v1", "a"), ("v2", "")], []),
    "back to the release before": (
        [("v1", "a"), ("v2", "ab"), ("v1", "a")], [("A", "v1", "source sent", 0)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SINCE)
def test_linked_since(engine: Engine, answer: Callable[..., None], name: str) -> None:
    answers, expected = SINCE[name]
    moments = []
    for release, letters in answers:
        answer(release, *(link(letter, rank=n) for n, letter in enumerate(letters, start=1)))
        moments += rows(engine, "SELECT resolved_at FROM outcome")
    found = rows(
        engine,
        "SELECT organisation, linked_since_release, linked_since_reason, linked_since"
        " FROM linked_since ORDER BY organisation",
    )
    assert found == [(*rest, *moments[answered]) for *rest, answered in expected]
    # The history tells the same of the links that hold.
    history = (
        "SELECT organisation, linked_since_release, linked_since_reason, linked_since"
        " FROM link_history WHERE valid_to IS NULL ORDER BY organisation"
    )
    assert rows(engine, history) == found


def test_a_withdrawn_record_is_linked_to_nothing(
    engine: Engine, answer: Callable[..., None]
) -> None:
    answer("v1", link("a"))
    withdraw(engine, [("crossref", "10.1/a", None)])
    assert rows(engine, "SELECT * FROM linked_since") == []


NEVER = {
    "no answer": ([], "ABC"),
    "a link": ([("v1", link("a"))], "BC"),
    "a link of the past": ([("v1", link("a")), ("v2", link("b"))], "C"),
    "it stood aside for another": ([("v1", link("a", stands_for=(key("b"),)))], "BC"),
}


@pytest.mark.parametrize("name", NEVER)
def test_never_linked(engine: Engine, answer: Callable[..., None], name: str) -> None:
    answers, expected = NEVER[name]
    if not answers:
        load(engine, [organisation(letter) for letter in "abc"])
    for release, linked in answers:
        answer(release, linked)
    assert rows(engine, "SELECT name FROM never_linked ORDER BY name") == [
        (letter,) for letter in expected
    ]
