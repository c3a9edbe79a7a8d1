"""Strings to review on the sample registry, and what tests of the review page ask the database."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Sequence
from typing import Any

import httpx
from sqlalchemy import Engine, Row, text

from resolver.answering.chunk import resolve_chunk
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.settings import Settings

USER_HEADER = "X-Forwarded-User"

BERKELEY, LBNL, MIT, YORK = "01an7q238", "02jbv0t02", "042nb2s44", "04m01e293"

TWO = "Chemical Sciences Division, Lawrence Berkeley National Lab & Dept. of Chemistry, UC Berkeley"
"""It names two organisations of the sample."""

KELMAR = "Dept. of Physics, Kelmar Technical University, Norway"
OTHER_KELMAR = "Kelmar Technical Univ., Oslo, Norway"
"""Writings of one name that the registry lacks."""

HOSTILE = 'Univ. of York" onmouseover="alert(2)" {{7*7}} <3 & </h1'

TOKYO = "東京大学大学院理学系研究科, 東京都文京区本郷"
CAIRO = "جامعة القاهرة، كلية العلوم، الجيزة، مصر"
JERUSALEM = "האוניברסיטה העברית בירושלים, ירושלים, ישראל"

STREET = "14 Juniper Close, Leamington Spa"

STRINGS: Sequence[tuple[str, int]] = (
    (TWO, 40),
    ("MIT, 77 Massachusetts Ave., Cambridge, Massachusetts", 22),
    ("Dept. of Chemistry, Univ. of California, Berkeley, CA", 21),
    ("UCSF School of Medicine, San Francisco, California 94143", 20),
    ("Univ. Calif. San Diego, La Jolla, CA 92093 USA", 19),
    (KELMAR, 12),
    (OTHER_KELMAR, 10),
    ("Department of Radiology, Massachusetts General Hospital, Boston, U.S.A.", 9),
    ("University of Oxford, Oxford, UK", 8),
    ("Department of Mathematics, University of York", 7),
    (HOSTILE, 6),
    (TOKYO, 5),
    (CAIRO, 5),
    (JERUSALEM, 5),
    (STREET, 3),
    ("School of Computing, Manukau Institute of Technology (MIT), Otara, Auckland", 2),
    ("Department of Physics", 1),
)
"""Strings and how many records have each."""


def fill(settings: Settings) -> None:
    """Resolve the strings, as a worker does."""
    records = [
        {
            "source": ("crossref", "datacite")[number % 2],
            "id": f"10.5555/{place}.{number}",
            "affiliation": affiliation,
            "position": 0,
        }
        for place, (affiliation, count) in enumerate(STRINGS)
        for number in range(count)
    ]
    with Installation(settings) as installation, open_service(installation) as service:
        resolve_chunk(service.engine, service.matcher, service.version.id, records)


def rows(engine: Engine, statement: str, **values: object) -> Sequence[Row[Any]]:
    with engine.begin() as connection:
        result = connection.execute(text(statement), values)
        return result.all() if result.returns_rows else ()


def id_of(engine: Engine, affiliation: str) -> int:
    ((found,),) = rows(engine, "SELECT id FROM affiliation WHERE text = :text", text=affiliation)
    return int(found)


def links(engine: Engine, affiliation_id: int) -> set[str]:
    found = rows(engine, "SELECT ror_id FROM link WHERE affiliation_id = :id", id=affiliation_id)
    return {row.ror_id for row in found}


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


def undo_all(client: httpx.Client, engine: Engine) -> None:
    """As it was before any decision: undone on the page, so that the answers are given again, and
    then deleted."""
    decisions = rows(
        engine, "SELECT id, author FROM review_decision WHERE ended_at IS NULL ORDER BY id DESC"
    )
    for decision in decisions:
        undone = client.post(
            f"/undo/{decision.id}",
            headers={USER_HEADER: decision.author, "Sec-Fetch-Site": "same-origin"},
        )
        # With the last of a batch the others are undone already.
        assert undone.status_code in (303, 422), undone.text
    deadline = time.monotonic() + 60
    while rows(engine, "SELECT 1 FROM stale LIMIT 1"):
        assert time.monotonic() < deadline, "answers stay due"
        time.sleep(0.05)
    for table in ("review_decision", "review_lacking"):
        rows(engine, f"DELETE FROM {table}")
    rows(
        engine,
        "UPDATE review_item SET state = 'open', why = 'doubt', barred = '{}',"
        " lease_by = NULL, lease_until = NULL",
    )
