"""ROR's API on a real server, by the program of a client that was written for api.ror.org."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import httpx
import pytest
from pydantic import HttpUrl

OXFORD = "https://ror.org/052gg0110"


@pytest.fixture
def rorclient(client: httpx.Client) -> Iterator[object]:
    """rorclient, from PyPI, with the address of the server in place of ROR's."""
    config = importlib.import_module("rorclient.config").config
    before = config.base_url
    config.base_url = HttpUrl(f"{client.base_url}/v2/")
    try:
        with importlib.import_module("rorclient").RORClient() as made:
            yield made
    finally:
        config.base_url = before


def test_rorclient_reads_a_record(rorclient: object) -> None:
    institution = rorclient.get_institution("052gg0110")  # type: ignore[attr-defined]
    assert str(institution.id).endswith("052gg0110")
    assert "University of Oxford" in {name.value for name in institution.names}
    assert institution.locations[0].geonames_details.country_code == "GB"


def test_rorclient_knows_what_is_not_there(rorclient: object) -> None:
    assert rorclient.get_institution("000000000") is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/v2/organizations", {"query": "oxford"}, 200),
        ("/organizations", {"query": "oxfrod"}, 200),
        ("/v2/organizations/https://ror.org/052gg0110", {}, 200),
        ("/v2/organizations/nothing", {}, 404),
        ("/v1/organizations", {}, 410),
        ("/heartbeat", {}, 200),
        ("/", {}, 200),
    ],
)
def test_routes(client: httpx.Client, path: str, params: dict[str, str], status: int) -> None:
    answer = client.get(path, params=params, headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"


def test_an_affiliation_is_matched_by_the_matcher(client: httpx.Client) -> None:
    params = {"affiliation": "Dept. of Physics, Univ. of Oxford, Oxford, UK"}
    first, *_ = client.get("/v2/organizations", params=params).json()["items"]
    assert first["chosen"] is True
    assert first["organization"]["id"] == OXFORD
    assert first["matching_type"] == "SINGLE SEARCH"
    assert 0.5 <= first["score"] <= 1


@pytest.mark.parametrize("affiliation", ["", " ", "1234", "é" * 5_000, '")(*~', "\0\0"])
def test_any_affiliation_gets_an_answer(client: httpx.Client, affiliation: str) -> None:
    answer = client.get("/v2/organizations", params={"affiliation": affiliation})
    assert answer.status_code == 200
    assert answer.json() == {"number_of_results": 0, "items": []}


def test_errors_are_answers_in_rors_words(client: httpx.Client) -> None:
    answer = client.get("/v2/organizations", params={"page": "0", "filter": "colour:blue"})
    assert answer.status_code == 200
    assert answer.json() == {
        "errors": ["filter key 'colour' is illegal", "page '0' outside of range 1-500"]
    }


@pytest.mark.parametrize("prefix", ["univ oxf", "oxford", "Univ. of O", "052gg0110"])
def test_reconciliation_suggests_by_the_same_search(client: httpx.Client, prefix: str) -> None:
    answer = client.get("/reconcile/suggest/entity", params={"prefix": prefix})
    assert "052gg0110" in [entity["id"].removeprefix("https://ror.org/")
                           for entity in answer.json()["result"]]  # fmt: skip
