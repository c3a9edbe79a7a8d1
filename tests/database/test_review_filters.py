from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine
from support.reviewing import (
    GRAZ,
    NOT_THERE,
    OXFORD,
    QUEUED,
    answer,
    new_version,
    queued,
)

from resolver.curation.review import rebuild
from resolver.database import review_figures, review_leases
from resolver.database.connection import connect
from resolver.database.review_filters import LINKED, Filters
from resolver.database.tables import ReviewState, Why

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
    names = list(QUEUED)
    assert set(queued(engine, filters)) == {names[number] for number in expected}
    left = review_figures.remaining(engine, filters)
    assert left.items == len(expected)
    taken = review_leases.take(engine, filters, "ada")
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


# Other servers


@pytest.fixture
def any_engine(any_database_url: str) -> Iterator[Engine]:
    engine = connect(any_database_url)
    yield engine
    engine.dispose()


@pytest.mark.slow
def test_the_queue_works_on_every_server(any_engine: Engine) -> None:
    version = new_version(any_engine)
    answer(any_engine, version, QUEUED)
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
    taken = review_leases.take(any_engine, Filters(**given), "ada")  # type: ignore[arg-type]
    assert taken is not None
    assert taken.text == "Univ. Oxford, UK"
    assert rebuild(any_engine, anew=True) == len(QUEUED)
    assert review_figures.counts(any_engine)[LINKED] == 3
