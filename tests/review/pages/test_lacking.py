"""The list of organisations that the registry lacks."""

from __future__ import annotations

import re

import httpx
from sqlalchemy import Engine
from support.review_page import KELMAR, decide, id_of, rows


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
