"""What a decision, its undo, and a lease leave in the database."""

from __future__ import annotations

import csv
import io
import re
import uuid
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import Engine
from support.deployment import until
from support.review_page import (
    BERKELEY,
    KELMAR,
    OTHER_KELMAR,
    TWO,
    decide,
    form,
    id_of,
    links,
    rows,
)


def test_a_change_becomes_an_override_and_a_new_answer(ada: httpx.Client, engine: Engine) -> None:
    item = id_of(engine, TWO)
    assert len(links(engine, item)) == 2
    answer = decide(ada, item, ror_id=[BERKELEY], note="the division is no part of it")
    assert answer.status_code == 303
    [decision] = rows(engine, "SELECT * FROM review_decision")
    assert (decision.action, decision.ror_ids, decision.author) == ("change", [BERKELEY], "Ada")
    assert len(decision.denied) == 1
    assert decision.shown["candidates"][0]["probability"] > 0.5
    assert decision.seconds == 3.5
    until(lambda: links(engine, item) == {BERKELEY}, "the answer is given again")
    assert "applied" in ada.get(f"/became/{item}").text


def test_a_confirmation_is_a_label_and_no_override(ada: httpx.Client, engine: Engine) -> None:
    item = id_of(engine, TWO)
    decide(ada, item)
    assert [row.action for row in rows(engine, "SELECT action FROM review_decision")] == ["confirm"]
    assert not rows(engine, "SELECT 1 FROM link_override WHERE ended_at IS NULL")


def test_names_none_takes_the_links_away(ada: httpx.Client, engine: Engine) -> None:
    item = id_of(engine, TWO)
    decide(ada, item, action="none")
    until(lambda: not links(engine, item), "the links are gone")


def test_the_same_form_is_saved_once(ada: httpx.Client, engine: Engine) -> None:
    item = id_of(engine, TWO)
    sent = form(ada.get(f"/item/{item}").text, ror_id=[BERKELEY])
    for _ in range(2):
        assert ada.post(f"/item/{item}", data=sent).status_code == 303
    assert len(rows(engine, "SELECT 1 FROM review_decision")) == 1
    assert len(rows(engine, "SELECT 1 FROM link_override WHERE ended_at IS NULL")) == 1


def test_undo_brings_ticks_and_answer_back(ada: httpx.Client, engine: Engine) -> None:
    item = id_of(engine, TWO)
    before = links(engine, item)
    decide(ada, item, ror_id=[BERKELEY])
    until(lambda: links(engine, item) == {BERKELEY}, "the change is applied")
    [decision] = rows(engine, "SELECT id FROM review_decision")
    back = ada.post(f"/undo/{decision.id}", follow_redirects=True)
    assert re.findall(r'name="ror_id" value="(\w+)" checked', back.text) == [BERKELEY]
    until(lambda: links(engine, item) == before, "the answer is as before")
    assert "undone by" in ada.get("/history").text


def test_similar_strings_are_decided_together(ada: httpx.Client, engine: Engine) -> None:
    item, other = id_of(engine, KELMAR), id_of(engine, OTHER_KELMAR)
    page = ada.get(f"/item/{item}").text
    assert f'name="also" value="{other}"' in page
    assert "checked data-records" not in page
    decide(
        ada, item, action="lacking", also=[str(other)], **{"ror:Website": "https://kelmar.example"}
    )
    made = rows(engine, "SELECT batch, action FROM review_decision")
    assert {row.action for row in made} == {"lacking"}
    assert len(made) == 2
    assert len({row.batch for row in made}) == 1
    [entry] = rows(engine, "SELECT fields FROM review_lacking")
    assert entry.fields["Website"] == "https://kelmar.example"
    file = list(csv.DictReader(io.StringIO(ada.get("/lacking.csv").content.decode("utf-8-sig"))))
    assert file[0]["Website"] == "https://kelmar.example"
    assert file[0]["Name of organization"].startswith("Kelmar Technical")


def test_who_is_late_saves_nothing(
    as_person: Callable[[str], httpx.Client], engine: Engine
) -> None:
    ada, grace = as_person("Ada"), as_person("Grace")
    item = id_of(engine, TWO)
    hers = form(ada.get(f"/item/{item}").text)
    page = grace.get(f"/item/{item}").text
    assert "Ada has this string now" in page
    assert re.search(r'id="save"[^>]* disabled', page)
    late = grace.post(f"/item/{item}", data={**hers, "request": str(uuid.uuid4())})
    assert "nothing of yours was saved" in late.text
    assert not rows(engine, "SELECT 1 FROM review_decision")


@pytest.mark.parametrize("first", ["skip", "unsure", "save", "none"])
def test_who_has_seen_an_earlier_decision_may_make_another_one(
    as_person: Callable[[str], httpx.Client], engine: Engine, first: str
) -> None:
    ada, grace = as_person("Ada"), as_person("Grace")
    item = id_of(engine, TWO)
    old = form(grace.get(f"/item/{item}").text)
    rows(engine, "UPDATE review_item SET lease_by = NULL, lease_until = NULL")
    decide(ada, item, action=first)
    decide(grace, item, ror_id=[BERKELEY])
    made = rows(engine, "SELECT author, action FROM review_decision ORDER BY id")
    assert [(row.author, row.action == "change") for row in made] == [
        ("Ada", False),
        ("Grace", True),
    ]
    # A page that was opened before all this shows what is not so any more.
    rows(engine, "UPDATE review_item SET lease_by = NULL, lease_until = NULL")
    assert "nothing of yours was saved" in grace.post(f"/item/{item}", data=old).text


def test_a_lease_is_renewed_while_a_page_is_open(
    as_person: Callable[[str], httpx.Client], engine: Engine
) -> None:
    ada, grace = as_person("Ada"), as_person("Grace")
    item = id_of(engine, TWO)
    ada.get(f"/item/{item}")
    end = "SELECT lease_until FROM review_item WHERE affiliation_id = :id"
    rows(
        engine,
        "UPDATE review_item SET lease_until = now() + interval '5 s' WHERE affiliation_id = :id",
        id=item,
    )
    [before] = rows(engine, end, id=item)
    assert ada.post(f"/renew/{item}").status_code == 204
    [after] = rows(engine, end, id=item)
    assert (after.lease_until - before.lease_until).total_seconds() > 300
    rows(
        engine,
        "UPDATE review_item SET lease_until = now() - interval '1 s' WHERE affiliation_id = :id",
        id=item,
    )
    grace.get(f"/item/{item}")
    lost = ada.post(f"/renew/{item}", headers={"HX-Request": "true"})
    assert lost.status_code == 409
    assert lost.headers["hx-retarget"] == "#message"
