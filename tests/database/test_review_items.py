from __future__ import annotations

import pytest
from sqlalchemy import Engine
from support.reviewing import (
    NOT_THERE,
    OXFORD,
    PARIS,
    QUEUED,
    answer,
    item,
    queued,
)

from resolver.database import review_items, review_upkeep
from resolver.database.connection import transaction
from resolver.database.review_filters import Filters


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
    assert lacking.doubt == pytest.approx(review_upkeep.WRONG[NOT_THERE])


def test_the_most_records_that_are_expected_to_be_wrong_come_first(
    engine: Engine, texts: dict[str, int]
) -> None:
    first = queued(engine)
    assert first[0] == "ETH and Oxford"
    assert set(first) == set(QUEUED)
    found = review_items.queue(engine, Filters(), "ada", limit=2)
    after = (found[-1].priority, found[-1].affiliation_id)
    assert queued(engine, after=after) == first[2:]


def similar(engine: Engine, of: int) -> list[str]:
    with transaction(engine) as connection:
        return [other.text for other in review_items.similar(connection, of, limit=50)]


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
    assert similar(engine, of) == ["Dept. of Physics, Kelmar Technical Univ., Oslo, Norway"]


def test_links_to_one_organisation_are_similar(
    engine: Engine, version: int, texts: dict[str, int]
) -> None:
    answer(engine, version, {"Oxford Univ. and Paris": {PARIS: 0.9, OXFORD: 0.6}})
    others = similar(engine, texts["Univ. Oxford, UK"])
    assert set(others) == {"ETH and Oxford", "Oxford Univ. and Paris"}
    assert similar(engine, texts["Sorbonne, Paris, France"]) == ["Oxford Univ. and Paris"]
