"""resolver.doors.ror: the answers of ROR's API over the sample, with Postgres and the matcher."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.testclient import TestClient

from resolver.database import releases
from resolver.doors.ror.affiliation import Matched, Named, items, unescaped
from resolver.doors.ror.api import RorApi, policy
from resolver.doors.ror.parameters import ListRequest, read, ror_id_of
from resolver.doors.ror.record import published
from resolver.doors.ror.routes import router
from resolver.errors import DatabaseUnavailable
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus
from resolver.registry.record import parse
from resolver.search.search import OrganisationSearch
from resolver.service.installation import Installation
from resolver.service.searching import Searches
from resolver.service.service import open_service
from resolver.settings import Settings

NORTHWESTERN = "000e0be47"

Get = Callable[..., Any]


@pytest.fixture(scope="module")
def api(prepared: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RorApi]:
    """All real: the sample in Postgres, its search, its index and the built-in models."""
    url, ready = prepared
    home = tmp_path_factory.mktemp("ror") / "home"
    shutil.copytree(ready, home, symlinks=True)
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, home=home, database_url=SecretStr(url), threads=1
    )
    with Installation(settings) as installation, open_service(installation) as service:
        engine, release_id = service.engine, service.version.release_id
        searches = Searches(engine, settings)
        known = {o.ror_id: o for o in releases.organisations(engine, release_id)}

        async def search() -> tuple[int, OrganisationSearch]:
            return await asyncio.to_thread(searches.of, release_id)

        async def organisations(asked: int, ror_ids: Collection[str]) -> Mapping[str, Organisation]:
            assert asked == release_id
            return {ror_id: known[ror_id] for ror_id in ror_ids if ror_id in known}

        async def match(affiliation: str) -> Matched:
            chosen = service.policy(policy(settings))
            (judgement,) = service.matcher.judgements([affiliation], chosen)
            return Matched.of(release_id, judgement.outcome, judgement.scored)

        yield RorApi(search, organisations, match)
        searches.close()


@pytest.fixture(scope="module")
def client(api: RorApi) -> TestClient:
    app = FastAPI()
    app.include_router(router(api))
    return TestClient(app, follow_redirects=False)


@pytest.fixture(scope="module")
def get(client: TestClient) -> Get:
    """The body of an answer of status 200 to these parameters."""

    def ask(params: Mapping[str, object] | None = None, path: str = "/v2/organizations") -> Any:
        answer = client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def first_names(body: Any) -> list[str]:
    return [
        next(name["value"] for name in item["names"] if "ror_display" in name["types"])
        for item in body["items"]
    ]


# Routes


@pytest.mark.parametrize("path", ["/v2/organizations", "/organizations"])
def test_list(get: Get, path: str) -> None:
    body = get(path=path)
    assert list(body) == ["number_of_results", "time_taken", "items", "meta"]
    assert body["number_of_results"] == 306  # active ones
    assert isinstance(body["time_taken"], int)
    assert len(body["items"]) == 20
    assert set(body["meta"]) == {"types", "countries", "continents", "statuses"}
    assert len(body["meta"]["countries"]) == 10
    assert body["meta"]["countries"][0]["id"] == "us"
    assert body["meta"]["countries"][0]["title"] == "United States"
    assert body["meta"]["continents"][0] == {"id": "eu", "title": "Europe", "count": 131}
    assert body["meta"]["statuses"] == [{"id": "active", "title": "active", "count": 306}]


@pytest.mark.parametrize(
    "written",
    [
        "000e0be47",
        "ror.org/000e0be47",
        "http://ror.org/000e0be47",
        "https://ror.org/000e0be47",
        "https%3A%2F%2Fror.org%2F000e0be47",
        "https%253A%252F%252Fror.org%252F000e0be47",
    ],
)
@pytest.mark.parametrize("prefix", ["/v2", ""])
def test_one(client: TestClient, get: Get, prefix: str, written: str) -> None:
    answer = client.get(f"{prefix}/organizations/{written}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["id"] == "https://ror.org/000e0be47"
    listed = get({"query": written})
    assert listed["number_of_results"] == 1
    assert listed["items"] == [answer.json()]


@pytest.mark.parametrize(
    ("written", "error"),
    [
        ("abc", "'abc' is not a valid ROR ID"),
        ("", "'' is not a valid ROR ID"),
        ("000E0BE47", "ROR ID 'https://ror.org/000E0BE47' does not exist"),
        ("ROR.org/000e0be47", "'ROR.org/000e0be47' is not a valid ROR ID"),
        ("https://ror.org/0qwerty89", "ROR ID 'https://ror.org/0qwerty89' does not exist"),
        ("0zz0zz042", "ROR ID 'https://ror.org/0zz0zz042' does not exist"),
    ],
)
def test_no_such_one(client: TestClient, written: str, error: str) -> None:
    answer = client.get(f"/v2/organizations/{written}")
    assert (answer.status_code, answer.json()) == (404, {"errors": [error]})


@pytest.mark.parametrize("path", ["/heartbeat", "/v2/heartbeat"])
def test_heartbeat(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["content-type"].startswith("text/html")


def test_root(client: TestClient) -> None:
    assert client.get("/").json() == {"organizations": "http://testserver/v2/organizations"}


@pytest.mark.parametrize("path", ["/v1", "/v1/organizations", "/v1/organizations/000e0be47"])
def test_version_1_is_gone(client: TestClient, path: str) -> None:
    answer = client.get(path)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["status"]) == (410, "410")
    assert set(error) == {"status", "title", "detail", "deprecated_at"}


@pytest.mark.parametrize("name", ["query.name", "query.names"])
def test_old_parameters_are_redirected(client: TestClient, name: str) -> None:
    answer = client.get("/v2/organizations", params={name: "oxford é", "page": "1"})
    assert answer.status_code == 302
    assert answer.headers["location"] == "/v2/organizations?page=1&query=oxford+%C3%A9"
    assert client.get(answer.headers["location"]).json()["number_of_results"] > 0


def test_a_service_that_does_not_answer_is_a_503_with_a_time(api: RorApi) -> None:
    async def gone() -> tuple[int, OrganisationSearch]:
        raise DatabaseUnavailable("Postgres does not answer")

    app = FastAPI()
    app.include_router(router(RorApi(gone, api.organisations, api.match)))
    client = TestClient(app)
    answer = client.get("/v2/organizations?query=oxford")
    assert answer.status_code == 503
    assert answer.json() == {"errors": ["Postgres does not answer"]}
    assert int(answer.headers["retry-after"]) > 0
    heartbeat = client.get("/heartbeat")
    assert (heartbeat.status_code, heartbeat.content) == (500, b"")


# Errors


@pytest.mark.parametrize(
    ("params", "errors"),
    [
        ({"colour": "red"}, ["query parameter 'colour' is illegal"]),
        (
            {"query": "query", "illegal": "whatever", "another": 3},
            ["query parameter 'illegal' is illegal", "query parameter 'another' is illegal"],
        ),
        (
            {"query": "query", "filter": "fi1:e,types:F,f3,field2:44"},
            [
                "filter 'f3' is not in the key:value form",
                "filter key 'fi1' is illegal",
                "filter key 'field2' is illegal",
            ],
        ),
        ({"page": "whatever"}, ["page 'whatever' is not an integer"]),
        ({"page": ""}, ["page '' is not an integer"]),
        ({"page": "9" * 5000}, [f"page '{'9' * 5000}' is not an integer"]),
        ({"page": "501"}, ["page '501' outside of range 1-500"]),
        ({"page": "0"}, ["page '0' outside of range 1-500"]),
        (
            {"all_status": "yes"},
            ["allowed values for all_status parameter are empty (no value), true or false"],
        ),
        (
            {"query": "a", "query.advanced": "b"},
            [
                "query and query.advanced parameters cannot be combined. "
                "please use either query OR query.advanced"
            ],
        ),
        (
            {"query.advanced": "colour:red AND names.value:x"},
            ["string 'colour' contains an illegal field name"],
        ),
        ({"all_status": "yes", "x": "1"}, ["query parameter 'x' is illegal"]),
    ],
)
def test_errors_are_answers(get: Get, params: Mapping[str, object], errors: list[str]) -> None:
    assert get(params) == {"errors": errors}


def test_all_errors_come_together(get: Get) -> None:
    params = {
        "query": "query", "illegal": "whatever", "filter": "fi1:e,types:F,f3,field2:44",
        "another": 3, "page": "third",
    }  # fmt: skip
    assert len(get(params)["errors"]) == 6


@pytest.mark.parametrize("params", [{"query": '"open'}, {"query.advanced": "established:x"}])
def test_a_query_that_cannot_be_read_is_an_answer(get: Get, params: Mapping[str, str]) -> None:
    assert len(get(params)["errors"]) == 1


# Lists


def test_pages_are_apart_and_counted_alike(get: Get) -> None:
    bodies = [get({"page": page}) for page in range(1, 18)]
    assert {body["number_of_results"] for body in bodies} == {306}
    assert all(body["meta"] == bodies[0]["meta"] for body in bodies)
    ids = [item["id"] for body in bodies for item in body["items"]]
    assert len(ids[:306]) == len(set(ids)) == 306
    assert bodies[-1]["items"] == []


def test_an_empty_result(get: Get) -> None:
    body = get({"query": "xylophonium"})
    assert (body["number_of_results"], body["items"]) == (0, [])
    assert body["meta"] == {"types": [], "countries": [], "continents": [], "statuses": []}


@pytest.mark.parametrize("query", [{}, {"query": "university"}, {"query": "institute"}])
@pytest.mark.parametrize(
    ("facet", "key", "written"),
    [
        ("types", "types", "title"),
        ("types", "types", "id"),
        ("countries", "country.country_code", "id"),
        ("countries", "country.country_name", "title"),
        ("continents", "locations.geonames_details.continent_name", "title"),
        ("statuses", "status", "title"),
    ],
)
def test_each_bucket_of_a_facet_is_what_its_filter_finds(
    get: Get, query: dict[str, str], facet: str, key: str, written: str
) -> None:
    for bucket in get(query)["meta"][facet]:
        body = get({**query, "filter": f"{key}:{bucket[written]}"})
        assert body["number_of_results"] == bucket["count"]
        assert bucket in body["meta"][facet]


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("types:Education", 200),
        ("types:education,types:healthcare", 227),
        ("types:education,country.country_code:us", 40),
        ("locations.geonames_details.country_code:US,types:education", 40),
        ("country.country_name:united   STATES,types:education", 40),
        ("locations.geonames_details.continent_code:EU", 131),
        ("locations.geonames_details.continent_code:eu", 0),
        ("status:inactive", 6),
        ("status:inactive,status:withdrawn", 7),
        ("status:", 0),
        (",,", 306),
        ("", 306),
    ],
)
def test_filters(get: Get, value: str, count: int) -> None:
    assert get({"filter": value})["number_of_results"] == count


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ({}, 306),
        ({"all_status": ""}, 313),
        ({"all_status": "true"}, 313),
        ({"all_status": "TRUE"}, 313),
        ({"all_status": "false"}, 306),
        ({"all_status": "true", "filter": "types:education"}, 206),
        ({"query.advanced": "status:inactive"}, 6),
        ({"query.advanced": "names.value:university AND status:inactive"}, 5),
        ({"query.advanced": "established:1851"}, 2),
        ({"query.advanced": ""}, 0),
        ({"query": ""}, 0),
        ({"format": "api"}, 306),
        ({"query": "02feahw73", "filter": "status:withdrawn"}, 0),
    ],
)
def test_which_statuses_are_searched(get: Get, params: dict[str, str], count: int) -> None:
    assert get(params)["number_of_results"] == count


def test_an_ended_organisation_is_found_by_its_id_alone(get: Get, client: TestClient) -> None:
    ended = get({"filter": "status:inactive"})["items"][0]
    assert get({"query": ended["id"]})["items"] == [ended]
    assert client.get(f"/v2/organizations/{ended['id']}").json() == ended
    name = next(n["value"] for n in ended["names"] if "ror_display" in n["types"])
    assert ended not in get({"query": f'"{name}"'})["items"]


# Records

RECORD: dict[str, Any] = {
    "id": "https://ror.org/05a28rw58",
    "admin": {
        "created": {"date": "2018-11-14", "schema_version": "1.0"},
        "last_modified": {"date": "2024-12-11", "schema_version": "2.1"},
    },
    "domains": ["ethz.ch"],
    "established": 1855,
    "external_ids": [
        {"type": "fundref", "preferred": "501100003006", "all": ["501100003006", "501100012652"]},
        {"type": "isni", "preferred": None, "all": ["0000 0001 2156 2780"]},
    ],
    "links": [
        {"type": "website", "value": "https://ethz.ch"},
        {"type": "wikipedia", "value": "https://en.wikipedia.org/wiki/ETH_Zurich"},
    ],
    "locations": [
        {
            "geonames_id": 2657896,
            "geonames_details": {
                "continent_code": "EU",
                "continent_name": "Europe",
                "country_code": "CH",
                "country_name": "Switzerland",
                "country_subdivision_code": None,
                "country_subdivision_name": "Zurich",
                "lat": 47.36667,
                "lng": 8.55,
                "name": "Zürich",
            },
        }
    ],
    "names": [
        {"value": "ETH", "lang": None, "types": ["acronym"]},
        {"value": "ETH Zürich", "lang": "de", "types": ["label", "ror_display"]},
    ],
    "relationships": [
        {"type": "child", "label": "Collegium Helveticum", "id": "https://ror.org/02crff812"}
    ],
    "status": "active",
    "types": ["education", "funder"],
}


def test_a_record_of_ror_is_given_back_whole() -> None:
    assert published(parse(RECORD, index=0)) == RECORD


def test_every_key_is_there_and_lists_are_sorted() -> None:
    shuffled = {
        **{key: value[::-1] if isinstance(value, list) else value for key, value in RECORD.items()},
        "domains": ["z.ch", "a.ch"],
    }
    assert published(parse(shuffled, index=0)) == {**RECORD, "domains": ["a.ch", "z.ch"]}
    bare = Organisation(
        "05a28rw58", OrganisationStatus.ACTIVE, (Name("ETH", frozenset({NameKind.DISPLAY})),)
    )
    body = published(bare)
    assert set(body) == set(RECORD)
    assert body["admin"]["created"] == {"date": None, "schema_version": None}
    assert body["links"] == body["locations"] == []


# Affiliations


def test_matching(get: Get) -> None:
    text = "Dept. of Physics, Northwestern University, Evanston, IL, USA"
    body = get({"affiliation": text})
    assert list(body) == ["number_of_results", "items"]
    first = body["items"][0]
    assert body["number_of_results"] == len(body["items"])
    assert set(first) == {"substring", "score", "matching_type", "chosen", "organization"}
    assert first["organization"]["id"] == f"https://ror.org/{NORTHWESTERN}"
    assert (first["chosen"], first["matching_type"]) == (True, "SINGLE SEARCH")
    assert 0.5 <= first["score"] <= 1
    assert first["substring"] in text


def test_two_organisations_are_both_chosen(get: Get, api: RorApi) -> None:
    text = "University of Oxford, Oxford, UK; ETH Zurich, Zürich, Switzerland"
    chosen = [item for item in get({"affiliation": text})["items"] if item["chosen"]]
    assert len(chosen) == 2
    assert chosen[0]["score"] >= chosen[1]["score"]
    strict = RorApi(api.search, api.organisations, api.match, one_chosen=True)
    answer = asyncio.run(strict.organizations("/", [("affiliation", text)]))
    assert isinstance(answer.body, dict)
    assert [item["chosen"] for item in answer.body["items"][:2]] == [True, False]


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"single_search": ""}, "SINGLE SEARCH"),
        ({"multisearch": ""}, "EXACT"),
        ({"multisearch": "", "single_search": ""}, "SINGLE SEARCH"),
        ({"multisearch": "false"}, "EXACT"),
        ({"page": "x", "filter": "nonsense", "colour": "red"}, "SINGLE SEARCH"),
    ],
)
def test_nothing_else_counts_beside_an_affiliation(
    get: Get, params: dict[str, str], kind: str
) -> None:
    body = get({"affiliation": "Northwestern University", **params})
    assert body["items"][0]["matching_type"] == kind


def test_a_flag_without_a_value(client: TestClient) -> None:
    answer = client.get("/v2/organizations?affiliation=Northwestern%20University&multisearch")
    assert answer.json()["items"][0]["matching_type"] == "EXACT"


@pytest.mark.parametrize(
    "affiliation",
    [
        "", " ", "0", "12345 / 678", "?!", "東", "\x00", "x" * 100_000, "(((", '"', "\\", "~*",
        "a AND OR", "Zürich " * 200,
    ],
)  # fmt: skip
def test_any_affiliation_gets_an_answer(api: RorApi, affiliation: str) -> None:
    answer = asyncio.run(api.organizations("/", [("affiliation", affiliation)]))
    assert answer.status == 200
    assert isinstance(answer.body, dict)
    assert set(answer.body) == {"number_of_results", "items"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"Univ\. of X \(UK\)", r"Univ\. of X (UK)"),
        (r"A \/ B \"C\"", 'A / B "C"'),
        (r"a\\b", r"a\b"),
        ("a\\", "a\\"),
    ],
)
def test_escapes_in_an_affiliation(written: str, read: str) -> None:
    assert unescaped(written) == read


def organisation(
    ror_id: str, status: OrganisationStatus = OrganisationStatus.ACTIVE
) -> Organisation:
    names = (
        Name("Tinby University", frozenset({NameKind.DISPLAY})),
        Name("TU", frozenset({NameKind.ACRONYM})),
    )
    return Organisation(ror_id, status, names)


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        (Named("0", 0.9, "Tinby University", "Tinby University"), "EXACT"),
        (Named("0", 0.9, "Tinby University", "TINBY UNIVERSITY"), "EXACT"),
        (Named("0", 0.9, "Tinby University", "Univ. of Tinby"), "COMMON TERMS"),
        (Named("0", 0.9, "TU", "TU"), "ACRONYM"),
        (Named("0", 0.9), "COMMON TERMS"),
    ],
)
def test_matching_types(named: Named, kind: str) -> None:
    (item,) = items(
        "text", Matched(1, [named]), {"0": organisation("0")},
        multisearch=True, every_status=False, one_chosen=False,
    )  # fmt: skip
    assert item["matching_type"] == kind
    assert item["substring"] == (named.matched_text or "text")


def test_items_are_clamped_filtered_and_in_order() -> None:
    matched = Matched(
        1,
        [Named("1", 0.3), Named("2", 1.0), Named("3", 0.9)],
        [Named("4", 0.6), Named("5", 0.55), Named("9", 0.5)],
    )
    organisations = {ror_id: organisation(ror_id) for ror_id in "1245"}
    organisations["3"] = organisation("3", OrganisationStatus.INACTIVE)

    def shown(**choices: bool) -> list[tuple[str, float, bool]]:
        defaults = {"multisearch": True, "every_status": False, "one_chosen": False}
        made = items("x", matched, organisations, **{**defaults, **choices})  # type: ignore[arg-type]
        return [(i["organization"]["id"][-1], i["score"], i["chosen"]) for i in made]

    assert shown() == [
        ("1", 0.5, True), ("2", 1.0, True), ("4", 0.6, False), ("5", 0.55, False),
    ]  # fmt: skip
    assert [entry[0] for entry in shown(every_status=True)] == ["1", "2", "3", "4", "5"]
    assert [entry[2] for entry in shown(one_chosen=True)] == [True, False, False, False]


# Any parameters

VALUES = st.text(max_size=40) | st.sampled_from(["", "true", "types:education", "status:x", "0*"])
NAMES = st.sampled_from(
    ["query", "query.advanced", "filter", "page", "all_status", "query.name", "format", "x"]
)


@run(max_examples=150)
@given(params=st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_any_parameters_get_an_answer(api: RorApi, params: list[tuple[str, str]]) -> None:
    answer = asyncio.run(api.organizations("/organizations", params))
    assert answer.status in (200, 302)
    assert answer.status == 302 or isinstance(answer.body, dict)


@given(params=st.dictionaries(NAMES, st.text(max_size=60)))
def test_parameters_are_read_or_refused_in_words(params: dict[str, str]) -> None:
    request = read(params)
    assert isinstance(request, ListRequest) or (request and all(map(str.strip, request)))


@given(text=st.text(max_size=30))
def test_any_text_has_the_form_of_an_id_or_not(text: str) -> None:
    ror_id = ror_id_of(text)
    assert ror_id is None or (len(ror_id) == 9 and ror_id in text)
