"""The queue: who is given which string."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import Engine
from support.review_page import YORK, decide, rows


def test_the_next_string_is_the_one_that_would_mend_most(ada: httpx.Client, engine: Engine) -> None:
    answer = ada.get("/next?source=crossref")
    assert answer.status_code == 303
    [best] = rows(engine, "SELECT affiliation_id FROM review_item ORDER BY priority DESC LIMIT 1")
    assert answer.headers["location"] == f"/item/{best.affiliation_id}?source=crossref"


def test_two_people_never_have_the_same_string(as_person: Callable[[str], httpx.Client]) -> None:
    people = [as_person("Ada"), as_person("Grace")]
    seen = []
    for _ in range(3):
        for person in people:
            item = int(person.get("/next").headers["location"].rpartition("/")[2])
            seen.append(item)
            assert decide(person, item, action="none").status_code == 303
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("query", "says", "strings"),
    [
        (f"?ror_id={YORK}", "More filters: <bdi>University of York</bdi>", True),
        (f"?organisation={YORK}", "More filters: <bdi>University of York</bdi>", True),
        (f"?organisation=https://ror.org/{YORK}", 'value="University of York"', True),
        (f"?organisation=University of York&ror_id={YORK}", 'value="University of York"', True),
        (f"?organisation=&ror_id={YORK}", "strings to review", True),
        ("?organisation=oxf", "Which organisation do you mean by “oxf”?", False),
        (f"?organisation=oxf&ror_id={YORK}", "Which organisation do you mean", False),
        ("?organisation=qqzzxx", "No organisation has a name with words that begin like", True),
        ("?ror_id=00000zz00", "422", False),
        ("?organisation=oxf&ror_id=%00", "Which organisation do you mean", False),
        ("?organisation=%00", "No organisation has a name", True),
    ],
)
def test_the_organisation_of_the_filter_is_found_by_name(
    ada: httpx.Client, query: str, says: str, strings: bool
) -> None:
    page = ada.get(f"/{query}")
    assert says in (page.text if page.status_code == 200 else str(page.status_code))
    assert ('class="queue"' in page.text) == strings


def test_a_name_that_was_typed_is_chosen_from_a_list(ada: httpx.Client) -> None:
    page = ada.get("/?organisation=univ york&source=crossref").text
    assert f'href="/?source=crossref&amp;ror_id={YORK}"' in page
    strings = ada.get(f"/?source=crossref&ror_id={YORK}").text
    assert "University of York" in strings
    assert "Berkeley" not in strings
