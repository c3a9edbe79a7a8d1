"""Type-ahead: what is found, in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from resolver.doors.backend import Backend
from resolver.review.finding import MOST_FOUND, Finder, Found
from resolver.search.search import OrganisationSearch
from resolver.settings import Settings

Finding = tuple[Finder, OrganisationSearch]


@pytest.fixture(scope="module")
def finding(review_settings: Settings) -> Iterator[Finding]:
    """A finder beside a search of the sample, whose links are counted."""
    backend = Backend.of(review_settings, done=lambda _: None)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(backend.open())
    finder = Finder(backend)
    finder.count()
    _, search = loop.run_until_complete(backend.search())
    yield finder, search
    loop.run_until_complete(backend.close())
    loop.close()


def found(finding: Finding, typed: str) -> list[Found]:
    finder, search = finding
    return finder.find(finder.backend.release_id, search, typed)


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("univ york", "University of York"),
        ("york", "University of York"),
        ("oxf", "University of Oxford"),
        ("OXFORD univ", "University of Oxford"),
        ("https://ror.org/04m01e293", "University of York"),
        ("04m01e293", "University of York"),
        ("berkeley nat", "Lawrence Berkeley National Laboratory"),
        ("東京大", "The University of Tokyo"),
        ("東", "The University of Tokyo"),
        ("cnrs", "Centre National de la Recherche Scientifique"),
    ],
)
def test_the_first_that_is_found(finding: Finding, typed: str, first: str) -> None:
    names = [entry.organisation.display_name for entry in found(finding, typed)]
    assert names[:1] == [first]
    assert len(names) <= MOST_FOUND
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "typed", ["", " ", "u", "qqzzxx", "%", "' OR 1=1", "AND", '"', "()", "\x00"]
)
def test_what_finds_nothing_or_anything_but_no_error(finding: Finding, typed: str) -> None:
    assert len(found(finding, typed)) <= MOST_FOUND


def test_all_that_have_an_acronym_come_first(finding: Finding) -> None:
    first, second, *_ = (entry.organisation.display_name for entry in found(finding, "mit"))
    assert {first, second} == {
        "Massachusetts Institute of Technology",
        "Manukau Institute of Technology",
    }


def test_the_name_that_fits_is_named(finding: Finding) -> None:
    first = found(finding, "cnrs")[0]
    assert first.matched_name == "CNRS"
    assert "France" in first.facts
    assert found(finding, "oxford univ")[0].matched_name is None
