"""The pages over HTTP: each address, and what all of them keep to."""

from __future__ import annotations

import re

import httpx
import pytest
from sqlalchemy import Engine
from support.review_page import HOSTILE, id_of


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/", "strings to review"),
        ("/?reason=linked&source=crossref&country=US&below=1&words=berkeley", "to review"),
        ("/?state=done", "No string meets these filters"),
        ("/history", "Your decisions"),
        ("/history?all=1", "Everybody's decisions"),
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


def test_static_files_may_be_kept_for_ever(ada: httpx.Client) -> None:
    address = re.search(r'href="(/static/review.css\?v=\w+)"', ada.get("/").text)
    assert address
    assert "immutable" in ada.get(address.group(1)).headers["cache-control"]
