"""The page of one string."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
from sqlalchemy import Engine
from support.review_page import TWO, id_of, rows


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
