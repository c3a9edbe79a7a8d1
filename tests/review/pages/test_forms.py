"""What is read from the forms of a string."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import Engine
from support.review_page import BERKELEY, STREET, TWO, decide, id_of, rows


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
