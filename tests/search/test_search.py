"""resolver.search: what is found in the sample registry, in which order, and counted."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver import sample
from resolver.errors import QueryError, SearchError
from resolver.registry.dump import open_release
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus
from resolver.search import building
from resolver.search.fields import FIELDS, day
from resolver.search.search import Matches, OrganisationSearch
from resolver.search.syntax import MAX_CHARACTERS

Table = dict[str, Organisation]


@pytest.fixture(scope="module")
def registry() -> Table:
    records = open_release(sample.REGISTRY).records()
    organisations = [record for record in records if isinstance(record, Organisation)]
    return {o.ror_id: o for o in sorted(organisations, key=lambda o: o.ror_id)}


@pytest.fixture(scope="module")
def search(registry: Table, tmp_path_factory: pytest.TempPathFactory) -> OrganisationSearch:
    folder = tmp_path_factory.mktemp("search") / "sample"
    building.build(registry.values(), folder)
    return OrganisationSearch.open(folder)


def names(matches: Matches, registry: Table) -> list[str]:
    return [registry[ror_id].display_name for ror_id in matches.ror_ids(0, len(matches))]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        pytest.param("University of Oxford", "University of Oxford", id="exact"),
        pytest.param("university of oxford", "University of Oxford", id="lower case"),
        pytest.param("zürich eth", "ETH Zurich", id="any order"),
        pytest.param("Universite de Geneve", "University of Geneva", id="without accents"),
        pytest.param("Université de Genève", "University of Geneva", id="decomposed"),
        pytest.param("oxfrod", "University of Oxford", id="misspelt"),
        pytest.param("Oxford School of Nothing", "University of Oxford", id="a word too many"),
        pytest.param("Northwest*", "Northwestern University", id="prefix"),
        pytest.param("univ* of toro*", "University of Toronto", id="prefixes"),
        pytest.param("N?rthwe*ern", "Northwestern University", id="wildcards"),
        pytest.param('"university of toronto"', "University of Toronto", id="phrase"),
        pytest.param("torronto~", "University of Toronto", id="fuzzy"),
        pytest.param("cambridge AND NOT brookes", "University of Cambridge", id="and not"),
        pytest.param("東京大学", "The University of Tokyo", id="Japanese"),
        pytest.param("ξυλόφωνο~", None, id="nothing like it"),
        pytest.param(r"oxford\: \(university\)", "University of Oxford", id="escaped"),
        pytest.param("", None, id="empty"),
        pytest.param(" - ", None, id="no word"),
        pytest.param("xylophonium", None, id="no such word"),
    ],
)
def test_query(search: OrganisationSearch, registry: Table, query: str, first: str | None) -> None:
    found = names(search.query(query), registry)
    assert (found[0] if found else None) == first


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('"university of oxford"', {"University of Oxford"}),
        ("oxford AND brookes", {"Oxford Brookes University"}),
        ("+oxford -university", {"University of Oxford"}),
        ("(oxford OR cambridge) AND brookes", {"Oxford Brookes University"}),
    ],
)
def test_exactly(
    search: OrganisationSearch, registry: Table, query: str, expected: set[str]
) -> None:
    found = set(names(search.query(query), registry))
    assert expected <= found
    for name in found - expected:
        # Another of its names has what was asked for.
        organisation = next(o for o in registry.values() if o.display_name == name)
        assert any("oxford" in other.value.lower() for other in organisation.names)


def test_every_display_name_finds_its_organisation(
    search: OrganisationSearch, registry: Table
) -> None:
    for organisation in registry.values():
        escaped = re.sub(r'([-+=&|><!(){}\[\]^"~*?:\\/])', r"\\\1", organisation.display_name)
        first = search.query(escaped).ror_ids(0, 3)
        # Three of the sample share a name with another.
        assert organisation.ror_id in first, organisation.display_name


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("status:inactive", lambda o: o.status is OrganisationStatus.INACTIVE),
        ("NOT status:active", lambda o: o.status is not OrganisationStatus.ACTIVE),
        ("established:1851", lambda o: o.established == 1851),
        ("established:[1800 TO 1850]", lambda o: 1800 <= (o.established or 0) <= 1850),
        ("established:{1800 TO 1850}", lambda o: 1800 < (o.established or 0) < 1850),
        ("established:>1990", lambda o: (o.established or 0) > 1990),
        ("established:<=1500", lambda o: o.established is not None and o.established <= 1500),
        ("types:funder", lambda o: "funder" in o.types),
        ("types:(education AND funder)", lambda o: {"education", "funder"} <= set(o.types)),
        ("types:healthcare OR types:archive", lambda o: {"healthcare", "archive"} & set(o.types)),
        ("types:Funder", lambda o: False),
        ("types:fun*", lambda o: "funder" in o.types),
        (
            "locations.geonames_details.country_code:CH",
            lambda o: any(p.country_code == "CH" for p in o.places),
        ),
        ("locations.geonames_details.country_code:ch", lambda o: False),
        (
            'locations.geonames_details.country_name:"United States"',
            lambda o: any(p.country == "United States" for p in o.places),
        ),
        (
            "locations.geonames_details.lat:<-30",
            lambda o: any((p.latitude or 0) < -30 for p in o.places),
        ),
        (
            "locations.geonames_details.lat:[50 TO 60]",
            lambda o: any(50 <= (p.latitude or 0) <= 60 for p in o.places),
        ),
        ("names.lang:ja", lambda o: any(n.language == "ja" for n in o.names)),
        ("_exists_:domains", lambda o: bool(o.domains)),
        ("domains:*", lambda o: bool(o.domains)),
        ("NOT _exists_:domains", lambda o: not o.domains),
        ("_exists_:relationships.*", lambda o: bool(o.relations)),
        ("domains:ethz.ch", lambda o: "ethz.ch" in o.domains),
        ('id:"https://ror.org/000e0be47"', lambda o: o.ror_id == "000e0be47"),
        (r"id:https\://ror.org/000e0be47", lambda o: o.ror_id == "000e0be47"),
        (
            "admin.created.date:2018",
            lambda o: ((o.created and o.created.date) or "").startswith("2018"),
        ),
        (
            "admin.last_modified.date:[2026-01-01 TO *]",
            lambda o: ((o.last_modified and o.last_modified.date) or "") >= "2026",
        ),
        (
            "admin.last_modified.date:{* TO 2026}",
            lambda o: ((o.last_modified and o.last_modified.date) or "9") < "2026",
        ),
        (
            "admin.last_modified.date:{2025 TO *}",
            lambda o: ((o.last_modified and o.last_modified.date) or "") >= "2026",
        ),
        (
            "admin.last_modified.date:[2025-05 TO 2025-06]",
            lambda o: "2025-05" <= ((o.last_modified and o.last_modified.date) or "") < "2025-07",
        ),
        ("bogus.status:x", lambda o: False),
        ("*:*", lambda o: True),
    ],
)
def test_fields(search: OrganisationSearch, registry: Table, query: str, holds) -> None:  # type: ignore[no-untyped-def]
    matches = search.advanced(query)
    assert set(matches.ror_ids(0, 1000)) == {o.ror_id for o in registry.values() if holds(o)}


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("ETH Switzerland", "ETH Zurich"),
        (r"names.\*:northwestern", "Northwestern University"),
        ("names.value:oxford AND names.value:brookes", "Oxford Brookes University"),
        ("names.value:northwestren~", "Northwestern University"),
        ('names.value:"of oxford"', "University of Oxford"),
    ],
)
def test_words_in_fields(
    search: OrganisationSearch, registry: Table, query: str, first: str
) -> None:
    assert names(search.advanced(query), registry)[0] == first


def test_all_words_must_be_somewhere_in_the_record(search: OrganisationSearch) -> None:
    assert len(search.advanced("oxford zurich")) == 0
    assert len(search.advanced("oxford OR zurich")) > 3


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("established:long", "is no whole number"),
        ("established:[a TO b]", "is no whole number"),
        ("locations.geonames_details.lat:north", "is no number"),
        ("locations.geonames_details.lat:1e999", "is no number"),
        ("locations.geonames_id:99999999999999999999", "is no whole number"),
        ("admin.created.date:[yesterday TO *]", "is no date"),
        ("admin.created.date:2026-02-30", "is no date"),
        ("established:19*", "has no wildcards"),
        ("names.value:[a TO b]", "no range"),
        ("status:[a TO b]", "no range"),
        ("[a TO b]", "a range needs a field"),
        ("_exists_:[a TO b]", "the name of a field"),
    ],
)
def test_what_a_field_does_not_take(search: OrganisationSearch, query: str, problem: str) -> None:
    with pytest.raises(QueryError, match=problem):
        search.advanced(query)


def test_there_are_thirty_fields() -> None:
    assert len(FIELDS) == 30


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2026-03-01", ("2026-03-01", "2026-03-01")),
        ("2026-03-01T10:00:00Z", ("2026-03-01", "2026-03-01")),
        ("2026-02", ("2026-02-01", "2026-02-28")),
        ("2026-12", ("2026-12-01", "2026-12-31")),
        ("2024", ("2024-01-01", "2024-12-31")),
        ("9999", ("9999-01-01", "9999-12-31")),
        ("0000", None),
        ("2026-13", None),
        ("26-1-1", None),
        ("٢٠٢٦", None),
    ],
)
def test_days(text: str, days: tuple[str, str] | None) -> None:
    from datetime import date

    expected = days and tuple(date.fromisoformat(one).toordinal() for one in days)
    assert day(text) == expected


@pytest.mark.parametrize(
    ("query", "owner"),
    [
        ('"grid.1.2"', "05a28rw58"),
        ("grid.1.2", "05a28rw58"),
        ("Q42", "05a28rw58"),
        ('"0000 0001 2156 2780"', "05a28rw58"),
        ('"0000000121562780"', "05a28rw58"),
        ("501100003006", "05a28rw58"),
        ('"grid.1"', None),
    ],
)
def test_identifiers(tmp_path: Path, query: str, owner: str | None) -> None:
    from resolver.registry.organisation import Identifier

    eth = Organisation(
        "05a28rw58",
        OrganisationStatus.ACTIVE,
        (Name("ETH", frozenset({NameKind.DISPLAY})),),
        identifiers=(
            Identifier("grid", ("grid.1.2",), "grid.1.2"),
            Identifier("isni", ("0000 0001 2156 2780",)),
            Identifier("wikidata", ("Q42",)),
            Identifier("fundref", ("501100003006",)),
        ),
    )
    other = replace(eth, ror_id="0zzzzzz12", identifiers=())
    building.build([eth, other], tmp_path / "two")
    matches = OrganisationSearch.open(tmp_path / "two").query(query)
    assert matches.ror_ids(0, 9) == ([owner] if owner else [])


def test_an_organisation_counts_by_its_best_name(tmp_path: Path) -> None:
    """A long list of other names does it no harm."""
    display = frozenset({NameKind.DISPLAY})
    many = [Name("Kelmar Institute", display)]
    many += [Name(f"Other Name {n} of a Place") for n in range(40)]
    first = Organisation("000000001", OrganisationStatus.ACTIVE, tuple(many))
    second = Organisation(
        "000000002", OrganisationStatus.ACTIVE, (Name("Kelmar Institute of Ore", display),)
    )
    building.build([first, second], tmp_path / "two")
    matches = OrganisationSearch.open(tmp_path / "two").query("kelmar institute")
    assert matches.ror_ids(0, 2) == ["000000001", "000000002"]


def test_counts_and_filters(search: OrganisationSearch, registry: Table) -> None:
    everything = search.everything()
    assert len(everything) == len(registry)
    assert everything.ror_ids(0, 2) == sorted(registry)[:2]
    expected = Counter(kind for o in registry.values() for kind in set(o.types))
    counts = everything.counts("types")
    assert dict(counts) == expected
    assert counts == sorted(counts, key=lambda entry: (-entry[1], entry[0]))
    for kind, count in counts:
        assert len(everything.having("types", [kind])) == count
    assert len(everything.having("types", ["education", "company"])) == sum(
        bool({"education", "company"} & set(o.types)) for o in registry.values()
    )
    assert len(everything.having("types", ["nonsense"])) == 0
    assert search.query("xylophonium").counts("types") == []


@pytest.mark.parametrize(("ror_id", "count"), [("000e0be47", 1), ("0zzzzzz99", 0), ("", 0)])
def test_by_id(search: OrganisationSearch, ror_id: str, count: int) -> None:
    matches = search.by_id(ror_id)
    assert matches.ror_ids(0, 5) == [ror_id] * count


def test_a_result_is_the_same_from_several_threads(search: OrganisationSearch) -> None:
    expected = search.query("university of oxford").ror_ids(0, 50)
    found: list[list[str]] = []

    def ask(word: int) -> None:
        search.query(f"school {word}")
        found.append(search.query("university of oxford").ror_ids(0, 50))

    threads = [Thread(target=ask, args=(word,)) for word in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


PIECES = (
    *'\\"()[]{}+-!^~*?:/&|<>. 0a',
    *("AND ", "OR ", " NOT ", " TO ", "é", "東", "\0", "\ud800", "oxford"),
    *("established:", "status:", "names.value:", "admin.created.date:", "_exists_:"),
)
BROKEN = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@settings(max_examples=300)
@given(text=BROKEN | st.text(max_size=100))
def test_no_query_raises_but_as_said(search: OrganisationSearch, text: str) -> None:
    for ask in (search.query, search.advanced):
        try:
            matches = ask(text)
        except QueryError as error:
            assert error.problem  # noqa: PT017
        else:
            assert len(matches.ror_ids(0, 20)) == min(len(matches), 20)


@pytest.mark.parametrize(
    "query",
    [
        "a* " * 400,
        "aaaaaaaa~2 " * 300,
        "*" + "a*" * 7,
        "x" * MAX_CHARACTERS,
        "x" * (MAX_CHARACTERS - 1) + "~",
        "(" * 20 + "a" + ")" * 20,
        '"' + "a " * 1900 + '"',
    ],
)
def test_large_queries_are_answered(search: OrganisationSearch, query: str) -> None:
    try:
        search.query(query)
    except QueryError as error:
        assert error.problem  # noqa: PT017


def test_a_folder_is_built_once_and_whole(registry: Table, tmp_path: Path) -> None:
    folder = tmp_path / "sample"

    def broken():  # type: ignore[no-untyped-def]
        yield next(iter(registry.values()))
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError):
        building.build(broken(), folder)
    assert list(tmp_path.iterdir()) == []
    building.build(registry.values(), folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    building.build(list(registry.values())[:3], folder)  # Another process came later.
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("lost", ["arrays.npz", "names/meta.json", "records/meta.json"])
def test_what_is_damaged_is_told(registry: Table, tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "sample"
    building.build(registry.values(), folder)
    (folder / lost).unlink()
    with pytest.raises(SearchError, match=r"missing or damaged|not whole"):
        OrganisationSearch.open(folder)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="missing"):
        OrganisationSearch.open(tmp_path / "nothing")
