from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine, text
from support.reviewing import ETH, GRAZ, OXFORD, PARIS, Answer, answer, new_version, send

from resolver.curation.review import rebuild
from resolver.database import review_items
from resolver.database.connection import connect, transaction
from resolver.database.records import intake, withdraw
from resolver.database.review_items import LINKED, Filters, Item
from resolver.database.tables import ReviewState, Why
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import Reason
from resolver.matching.policy import Policy

NOT_THERE = Reason.NOT_IN_REGISTRY

TEXTS: dict[str, Answer] = {
    "Univ. Oxford, UK": {OXFORD: 0.9},
    "ETH and Oxford": {ETH: 0.8, OXFORD: 0.5},
    "Sorbonne, Paris, France": {PARIS: 1.0},
    "Kelmar Technical University, Oslo, Norway": NOT_THERE,
    "14 Juniper Close": Reason.PLACE_ONLY,
}


@pytest.fixture
def version(engine: Engine) -> int:
    return new_version(engine)


@pytest.fixture
def texts(engine: Engine, version: int) -> dict[str, int]:
    """The affiliation ids of `TEXTS`; the first was sent in four records."""
    send(engine, version, "Univ. Oxford, UK", records=3)
    send(engine, version, "Univ. Oxford, UK", source="datacite")
    return answer(engine, version, TEXTS)


def item(engine: Engine, affiliation_id: int) -> Item:
    with transaction(engine) as connection:
        (found,) = review_items.find(connection, [affiliation_id])
    return found


def queued(engine: Engine, filters: Filters = Filters(), **options: object) -> list[str]:
    return [i.text for i in review_items.queue(engine, filters, "ada", limit=50, **options)]  # type: ignore[arg-type]


def test_an_item_shows_the_answer_and_what_it_may_cost(
    engine: Engine, texts: dict[str, int]
) -> None:
    oxford = item(engine, texts["Univ. Oxford, UK"])
    assert (oxford.records, oxford.sources) == (4, ("crossref", "datacite"))
    assert oxford.doubt == pytest.approx(0.1)
    assert oxford.priority == pytest.approx(0.4)
    assert oxford.probability == pytest.approx(0.9)
    assert (oxford.reason, oxford.country, oxford.ror_ids) == (None, "GB", {OXFORD})
    both = item(engine, texts["ETH and Oxford"])
    assert both.doubt == pytest.approx(1 - 0.8 * 0.5)
    assert both.probability == pytest.approx(0.5)
    assert [link.name for link in both.links] == ["ETH Zurich", "University of Oxford"]
    # The text names no country; the first link's is taken.
    assert both.country == "CH"
    lacking = item(engine, texts["Kelmar Technical University, Oslo, Norway"])
    assert (lacking.reason, lacking.links, lacking.country) == (NOT_THERE, (), "NO")
    assert lacking.doubt == pytest.approx(review_items.WRONG[NOT_THERE])


def test_the_most_records_that_are_expected_to_be_wrong_come_first(
    engine: Engine, texts: dict[str, int]
) -> None:
    first = queued(engine)
    assert first[0] == "ETH and Oxford"
    assert set(first) == set(TEXTS)
    found = review_items.queue(engine, Filters(), "ada", limit=2)
    after = (found[-1].priority, found[-1].affiliation_id)
    assert queued(engine, after=after) == first[2:]


TODAY = date.today()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(reason=LINKED), {0, 1, 2}),
        (Filters(reason=NOT_THERE.value), {3}),
        (Filters(source="datacite"), {0}),
        (Filters(source="nobody"), set()),
        (Filters(country="NO"), {3}),
        (Filters(ror_id=OXFORD), {0, 1}),
        (Filters(ror_id=GRAZ), set()),
        (Filters(least=0.85), {0, 2}),
        (Filters(below=0.85, reason=LINKED), {1}),
        (Filters(words="oxford UNIV"), {0}),
        (Filters(words="Sorbonne Oxford"), set()),
        (Filters(words=" , "), {0, 1, 2, 3, 4}),
        (Filters(since=TODAY + timedelta(2)), set()),
        (Filters(since=TODAY - timedelta(2), until=TODAY + timedelta(2)), {0, 1, 2, 3, 4}),
        (Filters(until=TODAY - timedelta(2)), set()),
        (Filters(why=Why.DOUBT), {0, 1, 2, 3, 4}),
        (Filters(why=Why.RELEASE), set()),
        (Filters(state=ReviewState.LATER), set()),
        (Filters(reason=LINKED, country="GB", words="oxford", below=0.95), {0}),
    ],
)  # fmt: skip
def test_filters(
    engine: Engine, texts: dict[str, int], filters: Filters, expected: set[int]
) -> None:
    names = list(TEXTS)
    assert set(queued(engine, filters)) == {names[number] for number in expected}
    left = review_items.remaining(engine, filters)
    assert left.items == len(expected)
    taken = review_items.take(engine, filters, "ada", minutes=10)
    assert (taken and taken.text) == next(iter(queued(engine, filters)), None)


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters("linked", "crossref", "GB", OXFORD, 0.1, 0.9, "two words"),
        Filters(since=date(2026, 1, 2), until=date(2026, 2, 3), why=Why.RELEASE),
        Filters(state=ReviewState.LATER),
    ],
)
def test_filters_live_in_an_address(filters: Filters) -> None:
    assert Filters.of(filters.as_query()) == filters


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"reason": "bad"}, "reason"),
        ({"country": "GBR"}, "country"),
        ({"ror_id": "0"}, "ror_id"),
        ({"least": "2"}, "least"),
        ({"below": "nan"}, "below"),
        ({"since": "yesterday"}, "since"),
        ({"why": "x"}, "why"),
        ({"words": "a\x00"}, "words"),
    ],
)
def test_filters_that_cannot_be_read_are_named(query: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}: "):
        Filters.of(query)


def test_filters_take_addresses_of_people() -> None:
    query = {"ror_id": f"https://ror.org/{OXFORD}", "country": "gb", "reason": "", "other": "x"}
    assert Filters.of(query) == Filters(country="GB", ror_id=OXFORD)


# Records


def test_records_that_come_and_go_are_counted(
    engine: Engine, version: int, texts: dict[str, int]
) -> None:
    of = texts["Sorbonne, Paris, France"]
    send(engine, version, "Sorbonne, Paris, France", records=2, source="job:77")
    send(engine, version, "Sorbonne, Paris, France", records=2, source="job:77")
    assert (item(engine, of).records, item(engine, of).sources) == (3, ("crossref", "job"))
    # One of them gets another text.
    key = "10.1/Sorbonne, Paris, France/crossref/0"
    intake(engine, version, [SourceRecord("crossref", key, "14 Juniper Close", 0)])
    assert (item(engine, of).records, item(engine, of).sources) == (2, ("job",))
    assert item(engine, texts["14 Juniper Close"]).records == 2
    withdraw(engine, [("job:77", f"10.1/Sorbonne, Paris, France/job:77/{n}", None) for n in (0, 1)])
    assert item(engine, of).records == 0
    assert "Sorbonne, Paris, France" not in queued(engine)
    send(engine, version, "Sorbonne, Paris, France")
    assert item(engine, of).records == 1


def test_the_answer_for_most_records_is_shown(engine: Engine, version: int) -> None:
    strict = Policy(accept_probability=0.9)
    send(engine, version, "Oxford", records=2, policy=strict)
    send(engine, version, "Oxford", source="other")
    (of,) = answer(engine, version, {"Oxford": {OXFORD: 0.7}}).values()
    answer(engine, version, {"Oxford": Reason.BELOW_THRESHOLD}, policy=strict)
    shown = item(engine, of)
    assert (shown.records, shown.reason) == (3, Reason.BELOW_THRESHOLD)


def test_a_release_that_changes_the_answer_brings_the_item_up(
    engine: Engine, version: int, texts: dict[str, int]
) -> None:
    later = new_version(engine, "v2.10")
    answer(
        engine,
        later,
        {
            "Univ. Oxford, UK": {OXFORD: 0.9},
            "ETH and Oxford": {ETH: 0.8},
            "Kelmar Technical University, Oslo, Norway": {GRAZ: 0.9},
        },
    )
    changed = {"ETH and Oxford", "Kelmar Technical University, Oslo, Norway"}
    # By the release that is in use: load_release does not put it there.
    with transaction(engine) as connection:
        connection.execute(text("UPDATE registry_release SET is_current = (version = 'v2.10')"))
    rebuild(engine)
    assert set(queued(engine, Filters(why=Why.RELEASE))) == changed


# Rebuilding


def contents(engine: Engine) -> list[tuple[object, ...]]:
    with transaction(engine) as connection:
        return [
            tuple(row)
            for row in connection.execute(text("SELECT * FROM review_item ORDER BY affiliation_id"))
        ]


def written_by(engine: Engine) -> list[object]:
    """Where each item was last written to."""
    with transaction(engine) as connection:
        query = text("SELECT ctid::text FROM review_item ORDER BY affiliation_id")
        return list(connection.execute(query).scalars())


@pytest.mark.parametrize("anew", [False, True])
def test_rebuilding_makes_what_saving_makes(
    engine: Engine, texts: dict[str, int], anew: bool
) -> None:
    before, written = contents(engine), written_by(engine)
    seen: list[tuple[int, int]] = []
    assert rebuild(engine, anew=anew) == len(TEXTS)
    assert contents(engine) == before
    # What does not change is not written.
    assert written_by(engine) == written
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM review_item"))
    assert rebuild(engine, anew=anew, batch=2, progress=lambda *n: seen.append(n)) == len(TEXTS)
    assert contents(engine) == before
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_rebuilding_keeps_leases_and_second_looks(engine: Engine, texts: dict[str, int]) -> None:
    first, second = list(texts.values())[:2]
    assert review_items.lease(engine, first, "ada", minutes=10)
    with transaction(engine) as connection:
        review_items.settle(
            connection, second, state=ReviewState.OPEN, why=Why.SECOND, barred=["ada"]
        )
    before = contents(engine)
    rebuild(engine)
    assert contents(engine) == before


# Leases


def test_who_has_an_item_gets_it_again_and_others_the_next(
    engine: Engine, texts: dict[str, int]
) -> None:
    def taken(author: str, filters: Filters = Filters()) -> str | None:
        found = review_items.take(engine, filters, author, minutes=10)
        return found and found.text

    order = queued(engine)
    assert taken("ada") == order[0]
    assert taken("ada") == order[0]
    assert taken("bob") == order[1]
    assert [u.text for u in review_items.upcoming(engine, Filters(), "cy", 9)] == order[2:]
    # Theirs does not meet the filter.
    other = taken("ada", Filters(reason=NOT_THERE.value))
    assert other == "Kelmar Technical University, Oslo, Norway"
    review_items.release(engine, texts[order[1]], "bob")
    assert taken("cy") == order[1]


def test_a_lease_expires_and_is_renewed(engine: Engine, texts: dict[str, int]) -> None:
    of = next(iter(texts.values()))
    assert review_items.lease(engine, of, "ada", minutes=10)
    assert not review_items.lease(engine, of, "bob", minutes=10)
    assert not review_items.renew(engine, of, "bob", minutes=10)
    assert item(engine, of).lease_by == "ada"
    with transaction(engine) as connection:
        connection.execute(text("UPDATE review_item SET lease_until = now() - interval '1 s'"))
    assert item(engine, of).lease_by is None
    assert review_items.renew(engine, of, "ada", minutes=10)
    assert item(engine, of).lease_by == "ada"
    with transaction(engine) as connection:
        connection.execute(text("UPDATE review_item SET lease_until = now() - interval '1 s'"))
    assert review_items.lease(engine, of, "bob", minutes=10)
    assert not review_items.renew(engine, of, "ada", minutes=10)


# Similar


def similar(engine: Engine, of: int) -> list[tuple[str, str]]:
    with transaction(engine) as connection:
        return [(s.text, s.by) for s in review_items.similar(connection, of, limit=50)]


def test_writings_of_an_unlinked_name_are_similar(
    engine: Engine, version: int, texts: dict[str, int]
) -> None:
    of = texts["Kelmar Technical University, Oslo, Norway"]
    answer(
        engine,
        version,
        {
            "Dept. of Physics, Kelmar Technical Univ., Oslo, Norway": NOT_THERE,
            "Kelmar Technical University, Lima, Peru": NOT_THERE,
            "Kelmar Technical University, Norway": {OXFORD: 0.6},
        },
    )
    assert similar(engine, of) == [
        ("Dept. of Physics, Kelmar Technical Univ., Oslo, Norway", review_items.NAME)
    ]


def test_links_to_one_organisation_are_similar(
    engine: Engine, version: int, texts: dict[str, int]
) -> None:
    answer(engine, version, {"Oxford Univ. and Paris": {PARIS: 0.9, OXFORD: 0.6}})
    found = similar(engine, texts["Univ. Oxford, UK"])
    assert {affiliation for affiliation, _ in found} == {"ETH and Oxford", "Oxford Univ. and Paris"}
    assert {by for _, by in found} == {review_items.LINK}
    assert similar(engine, texts["Sorbonne, Paris, France"]) == [
        ("Oxford Univ. and Paris", review_items.LINK)
    ]


# Other servers


@pytest.fixture
def any_engine(any_database_url: str) -> Iterator[Engine]:
    engine = connect(any_database_url)
    yield engine
    engine.dispose()


@pytest.mark.slow
def test_the_queue_works_on_every_server(any_engine: Engine) -> None:
    version = new_version(any_engine)
    answer(any_engine, version, TEXTS)
    given = {
        field.name: value
        for field, value in zip(
            dataclasses.fields(Filters),
            (LINKED, "crossref", "GB", OXFORD, 0.1, 1.0, "oxford", TODAY - timedelta(2),
             TODAY + timedelta(2), Why.DOUBT, ReviewState.OPEN),
            strict=True,
        )
    }  # fmt: skip
    for name, value in given.items():
        assert queued(any_engine, Filters(**{name: value})), name  # type: ignore[arg-type]
    taken = review_items.take(any_engine, Filters(**given), "ada", minutes=10)  # type: ignore[arg-type]
    assert taken is not None
    assert taken.text == "Univ. Oxford, UK"
    assert rebuild(any_engine, anew=True) == len(TEXTS)
    assert review_items.counts(any_engine)[LINKED] == 3
