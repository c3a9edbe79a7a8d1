"""The pages over HTTP: what they show, and what their forms leave in the database."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine
from support.deployment import until
from support.review_page import HOSTILE, KELMAR, OTHER_KELMAR, STREET, TWO, id_of, rows

from resolver.evaluation.gold import read_gold

BERKELEY = "01an7q238"


def form(page: str, **chosen: Any) -> dict[str, Any]:
    """The fields of the form of a string, as a browser sends them, with others in their place."""
    fields = {
        name: html.unescape(re.search(f'name="{name}" value="([^"]*)"', page).group(1))  # type: ignore[union-attr]
        for name in ("request", "seen", "decision")
    }
    fields |= {
        name: html.unescape(value)
        for name, value in re.findall(r'name="(ror:[^"]+)" value="([^"]*)"', page)
    }
    ticked = re.findall(r'name="ror_id" value="(\w+)" checked', page)
    return {**fields, "ror_id": ticked, "action": "save", "seconds": "3.5", **chosen}


def decide(client: httpx.Client, affiliation_id: int, **chosen: Any) -> httpx.Response:
    page = client.get(f"/item/{affiliation_id}")
    assert page.status_code == 200, page.text
    return client.post(f"/item/{affiliation_id}", data=form(page.text, **chosen))


def links(engine: Engine, affiliation_id: int) -> set[str]:
    found = rows(engine, "SELECT ror_id FROM link WHERE affiliation_id = :id", id=affiliation_id)
    return {row.ror_id for row in found}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/", "strings to review"),
        ("/?reason=linked&source=crossref&country=US&below=1&words=berkeley", "to review"),
        ("/?state=done", "No string meets these filters"),
        ("/history", "Your decisions"),
        ("/history?all=1", "Decisions of all"),
        ("/state", "How sure the links are"),
        ("/lacking", "Missing from ROR"),
        ("/guide", "What a right link is"),
        ("/find?q=oxford", "University of Oxford"),
    ],
)
def test_pages(ada: httpx.Client, path: str, says: str) -> None:
    page = ada.get(path)
    assert page.status_code == 200
    assert says in page.text
    assert "Ada" in page.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/item/999999", 404),
        ("/item/none", 422),
        ("/?below=2", 422),
        ("/?reason=nonsense", 422),
        ("/nothing", 404),
        ("/static/nothing.css", 404),
    ],
)
def test_what_is_not_there(ada: httpx.Client, path: str, status: int) -> None:
    assert ada.get(path).status_code == status


def test_the_next_string_is_the_one_that_would_mend_most(ada: httpx.Client, engine: Engine) -> None:
    answer = ada.get("/next?source=crossref")
    assert answer.status_code == 303
    [best] = rows(engine, "SELECT affiliation_id FROM review_item ORDER BY priority DESC LIMIT 1")
    assert answer.headers["location"] == f"/item/{best.affiliation_id}?source=crossref"


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


def test_a_request_to_the_registry_is_filled_in_later(ada: httpx.Client, engine: Engine) -> None:
    decide(ada, id_of(engine, KELMAR), action="lacking")
    cluster = re.search(r'action="/lacking/(\w+)"', ada.get("/lacking").text)
    assert cluster
    changed = {"state": "sent", "ror_issue": "ror-updates 1", "ror:City": "Oslo"}
    assert ada.post(f"/lacking/{cluster.group(1)}", data=changed).status_code == 303
    [entry] = rows(engine, "SELECT state, ror_issue, fields FROM review_lacking")
    assert (entry.state, entry.ror_issue, entry.fields["City"]) == ("sent", "ror-updates 1", "Oslo")
    assert ada.post("/lacking/00", data=changed).status_code == 422
    assert ada.post("/lacking/zz", data=changed).status_code == 404


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"ror_id": []}, "Tick an organisation"),
        ({"ror_id": ["nonsense"]}, "cannot be read"),
        ({"action": "delete"}, "cannot be read"),
        ({"request": "1"}, "cannot be read"),
        ({"seen": "{"}, "cannot be read"),
        ({"other": "no id"}, "is no ROR id"),
    ],
)
def test_forms_that_make_no_sense(
    ada: httpx.Client, engine: Engine, chosen: dict[str, Any], says: str
) -> None:
    answer = decide(ada, id_of(engine, TWO), **chosen)
    assert answer.status_code == 422
    assert says in answer.text
    assert not rows(engine, "SELECT 1 FROM review_decision")


def test_an_organisation_is_added_by_its_id(ada: httpx.Client, engine: Engine) -> None:
    item = id_of(engine, STREET)
    decide(ada, item, other=f"https://ror.org/{BERKELEY}")
    assert rows(engine, "SELECT ror_ids FROM review_decision")[0].ror_ids == [BERKELEY]


def test_two_people_never_have_the_same_string(as_person: Callable[[str], httpx.Client]) -> None:
    people = [as_person("Ada"), as_person("Grace")]
    seen = []
    for _ in range(3):
        for person in people:
            item = int(person.get("/next").headers["location"].rpartition("/")[2])
            seen.append(item)
            assert decide(person, item, action="none").status_code == 303
    assert len(set(seen)) == len(seen)


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


def test_a_second_look_is_blind(as_person: Callable[[str], httpx.Client], engine: Engine) -> None:
    item = id_of(engine, TWO)
    rows(
        engine,
        "UPDATE review_item SET why = 'second', barred = '{Ada}' WHERE affiliation_id = :id",
        id=item,
    )
    refused = as_person("Ada").get(f"/item/{item}").text
    assert "somebody else is to look at it now" in refused
    page = as_person("Grace").get(f"/item/{item}").text
    assert not re.search(r'name="ror_id"[^>]* checked', page)
    assert "<meter" not in page
    assert "is-linked" not in page
    names = re.findall(r'class="name"><bdi>([^<]+)', page)
    assert names == sorted(names, key=str.casefold)


def test_foreign_text_is_text(ada: httpx.Client, engine: Engine) -> None:
    for path in (
        f"/item/{id_of(engine, HOSTILE)}",
        "/",
        "/?words=%22%3E%3Cscript%3Ealert(3)%3C/script%3E",
        "/find?q=%3Cimg+src=x+onerror=alert(4)%3E",
    ):
        page = ada.get(path).text
        assert "<img" not in page
        assert "<script>" not in page
        assert not re.search(r"<(?:[^>\"]|\"[^\"]*\")*\son\w+=", page)


def test_labels_are_read_by_the_evaluation(
    ada: httpx.Client, engine: Engine, tmp_path: Path
) -> None:
    decide(ada, id_of(engine, TWO), ror_id=[BERKELEY])
    file = tmp_path / "labels.jsonl"
    file.write_bytes(ada.get("/labels.jsonl").content)
    line = json.loads(file.read_text())
    assert line["affiliation"] == TWO
    assert line["ror_ids"] == [BERKELEY]
    assert len(line["not"]) >= 1
    assert line["source"] == "review:Ada"
    [label] = read_gold(file)
    assert label.affiliation == TWO


def test_static_files_may_be_kept_for_ever(ada: httpx.Client) -> None:
    address = re.search(r'href="(/static/review.css\?v=\w+)"', ada.get("/").text)
    assert address
    assert "immutable" in ada.get(address.group(1)).headers["cache-control"]
