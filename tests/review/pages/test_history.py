"""The history of decisions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import Engine
from support.review_page import BERKELEY, LBNL, MIT, TWO, decide, id_of


def test_a_decision_is_listed_with_the_organisations_that_were_ticked(
    as_person: Callable[[str], httpx.Client], engine: Engine
) -> None:
    ada, grace = as_person("Ada"), as_person("Grace")
    decide(ada, id_of(engine, TWO), ror_id=[BERKELEY, MIT], note="as on their page")
    row = re.findall(r"<tr>.*?</tr>", ada.get("/history").text, re.DOTALL)[-1]
    # The second was not among the candidates: it was added by its id.
    for words in ("University of California, Berkeley", MIT, "as on their page", "Undo"):
        assert words in row
    assert TWO[:40] not in grace.get("/history").text
    everybody = grace.get("/history?all=1").text
    assert TWO[:40] in everybody
    assert ">Undo</button>" not in everybody


@pytest.mark.parametrize(
    "seen", [{"candidates": 1}, {"candidates": [1, {}, {"ror_id": [], "name": 1}]}, {}, []]
)
def test_what_a_browser_says_was_seen_may_be_anything(
    ada: httpx.Client, engine: Engine, seen: object
) -> None:
    decide(ada, id_of(engine, TWO), ror_id=[LBNL], seen=json.dumps(seen))
    page = ada.get("/history")
    assert page.status_code == 200
    assert LBNL in page.text
