"""``/reconcile`` as OpenRefine and the specification of version 0.2 have it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from resolver.doors.reconcile import core
from resolver.doors.reconcile.properties import BY_ID, PROPERTIES, Entity, Value
from resolver.doors.reconcile.routes import MAX_QUERIES, read_query
from resolver.registry.organisation import (
    Identifier,
    Name,
    NameKind,
    Organisation,
    OrganisationStatus,
    Relation,
    RelationKind,
)

OXFORD = "052gg0110"
YORK = "04m01e293"
CERN = "01ggx4157"


def reconcile(client: httpx.Client, **queries: Any) -> dict[str, list[dict[str, Any]]]:
    answer = client.post("/reconcile", data={"queries": json.dumps(queries)})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == list(queries)
    return {key: slot["result"] for key, slot in body.items()}


def extend(client: httpx.Client, ids: list[str], *properties: Any) -> dict[str, Any]:
    asked = [p if isinstance(p, dict) else {"id": p} for p in properties]
    answer = client.post(
        "/reconcile", data={"extend": json.dumps({"ids": ids, "properties": asked})}
    )
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_manifest_says_all_that_a_client_needs(client: httpx.Client) -> None:
    manifest = client.get("/reconcile").json()
    assert manifest["versions"] == ["0.1", "0.2"]
    assert manifest["identifierSpace"] == "https://ror.org/"
    assert manifest["view"]["url"] == "https://ror.org/{{id}}"
    assert manifest["batchSize"] == 50
    assert manifest["defaultTypes"] == [{"id": "Organization", "name": "Organization"}]
    for service in (*manifest["suggest"].values(), manifest["extend"]["propose_properties"]):
        url = service["service_url"] + service["service_path"]
        assert client.get(url, params={"prefix": "uni"}).status_code == 200
    page = client.get(manifest["preview"]["url"].replace("{{id}}", OXFORD))
    assert page.headers["content-type"].startswith("text/html")
    assert "University of Oxford" in page.text
    assert not {"x-frame-options"} & set(page.headers)


def test_exactly_one_link_is_a_match(client: httpx.Client) -> None:
    found = reconcile(
        client,
        one={"query": "Univ. of Oxford, UK"},
        two={"query": "CERN, Geneva, Switzerland; University of York, UK"},
        none={"query": "zzzz"},
    )
    best = found["one"][0]
    assert (best["id"], best["match"], best["name"]) == (OXFORD, True, "University of Oxford")
    assert best["description"] == "Oxford, United Kingdom"
    assert {"id": "education", "name": "Education"} in best["type"]
    features = {feature["id"]: feature["value"] for feature in best["features"]}
    assert features["probability"] == pytest.approx(best["score"] / 100, abs=1e-3)
    assert features["country_agrees"] is True
    assert features["matched_as_acronym"] is False
    assert features["name_similarity"] > 50
    assert [candidate["match"] for candidate in found["one"][1:]] == [False] * (
        len(found["one"]) - 1
    )
    assert {candidate["id"] for candidate in found["two"][:2]} == {CERN, YORK}
    assert not any(candidate["match"] for candidate in found["two"])
    assert "one of 2 organisations" in found["two"][0]["description"]
    assert not any(candidate["match"] for candidate in found["none"])


def test_links_have_the_highest_scores(client: httpx.Client) -> None:
    for candidates in reconcile(
        client, a={"query": "University of York"}, b={"query": "Univ Oxford"}
    ).values():
        scores = [candidate["score"] for candidate in candidates]
        assert scores == sorted(scores, reverse=True)
        assert candidates[0]["match"]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        (OXFORD, OXFORD),
        (f"https://ror.org/{OXFORD}", OXFORD),
        ("0zz0zz042", None),
    ],
)
def test_an_id_is_its_organisation(client: httpx.Client, query: str, first: str | None) -> None:
    result = reconcile(client, q={"query": query})["q"]
    assert [c["id"] for c in result if c["match"]] == ([first] if first else [])


@pytest.mark.parametrize(
    ("changes", "most"), [({"limit": 1}, 1), ({"limit": 2}, 2), ({}, 5), ({"limit": "x"}, 5)]
)
def test_the_limit_is_obeyed(client: httpx.Client, changes: dict[str, Any], most: int) -> None:
    query = {"query": "National University Institute of Physics", **changes}
    assert len(reconcile(client, q=query)["q"]) <= most


@pytest.mark.parametrize("kind", ["company", ["company"], {"id": "company"}, [{"id": "company"}]])
def test_a_type_narrows(client: httpx.Client, kind: Any) -> None:
    result = reconcile(client, q={"query": "University of Oxford, UK", "type": kind})["q"]
    assert OXFORD not in [candidate["id"] for candidate in result]
    general = reconcile(client, q={"query": "University of Oxford, UK", "type": "Organization"})
    assert general["q"][0]["id"] == OXFORD


@pytest.mark.parametrize(
    ("hints", "text"),
    [
        ([("country", "GB")], "York, United Kingdom"),
        ([("country_code", "GB"), ("country", "United Kingdom")], "York, United Kingdom"),
        ([("city", "York"), ("country", "United Kingdom")], "York, United Kingdom"),
        ([("city", "Leeds"), ("country", "UK")], "York, Leeds, UK"),
        ([("website", "york.ac.uk")], "York, https://york.ac.uk"),
        ([("website", "https://www.york.ac.uk/")], "York, https://www.york.ac.uk/"),
        ([("domain", "@york.ac.uk")], "York, https://york.ac.uk"),
        ([("isni", "0000000419369668")], "York, ISNI 0000000419369668"),
        ([("grid", "grid.5685.e"), ("wikidata", "Q967165")], "York, grid.5685.e, Wikidata Q967165"),
        ([("fundref", 100009001)], "York, Funder ID 100009001"),
        ([("country", ""), ("colour", "red"), ("city", None)], "York"),
        ([("country", {"id": "GB", "name": "Britain"})], "York, United Kingdom"),
        ([("city", ["Leeds", "Hull"])], "York, Leeds, Hull"),
    ],
)
def test_hints_are_read_as_an_author_would_write_them(
    hints: list[tuple[str, Any]], text: str
) -> None:
    read = read_query({"query": "York", "properties": [{"pid": p, "v": v} for p, v in hints]})
    assert isinstance(read, core.Query)
    assert core.affiliation(read) == text


def test_an_identifier_as_hint_decides(client: httpx.Client) -> None:
    query = {
        "query": "the university",
        "properties": [{"pid": "ror_url", "v": f"https://ror.org/{OXFORD}"}],
    }
    best = reconcile(client, q=query)["q"][0]
    assert (best["id"], best["match"]) == (OXFORD, True)


@pytest.mark.parametrize(
    "bad", [17, None, "text", {"query": 17}, {"query": ["x"]}, {"properties": 5}, {}]
)
def test_a_bad_query_fails_no_other(client: httpx.Client, bad: Any) -> None:
    found = reconcile(client, bad=bad, good={"query": "Univ. of Oxford, UK"})
    assert found["bad"] == []
    assert found["good"][0]["id"] == OXFORD


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"queries": "{"}, 400),
        ({"queries": "[]"}, 400),
        ({"other": "{}"}, 400),
        ({"extend": "{}"}, 400),
        ({"queries": json.dumps({str(number): {} for number in range(MAX_QUERIES + 1)})}, 413),
    ],
)
def test_what_is_no_batch_is_a_problem(
    client: httpx.Client, form: dict[str, str], status: int
) -> None:
    answer = client.post("/reconcile", data=form)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_get_answers_as_post_does_and_as_jsonp(client: httpx.Client) -> None:
    queries = json.dumps({"q": {"query": "Univ. of York, UK"}})
    got = client.get("/reconcile", params={"queries": queries})
    assert got.json() == client.post("/reconcile", data={"queries": queries}).json()
    wrapped = client.get("/reconcile", params={"queries": queries, "callback": "jQuery1.done"})
    assert wrapped.headers["content-type"].startswith("application/javascript")
    assert wrapped.text == f"/**/jQuery1.done({got.text});"
    assert client.get("/reconcile", params={"callback": "a(b)//"}).status_code == 400


def test_every_property_is_proposed_and_can_be_asked_for(client: httpx.Client) -> None:
    proposed = client.get("/reconcile/properties", params={"type": "Organization"}).json()
    ids = [entry["id"] for entry in proposed["properties"]]
    assert ids == [entry.id for entry in PROPERTIES]
    few = client.get("/reconcile/properties", params={"limit": 3}).json()
    assert [entry["id"] for entry in few["properties"]] == ids[:3]
    row = extend(client, [OXFORD], *ids)["rows"][OXFORD]
    assert row.keys() == set(ids)
    assert row["ror_url"] == [{"str": f"https://ror.org/{OXFORD}"}]
    assert row["country_code"] == [{"str": "GB"}]
    assert row["city"] == [{"str": "Oxford"}]
    assert row["domain"] == [{"str": "ox.ac.uk"}]
    assert row["website"][0]["str"].startswith("http")
    assert all(value.keys() == {"id", "name"} for value in row["child"])


ORGANISATION = Organisation(
    "052gg0110",
    OrganisationStatus.ACTIVE,
    (
        Name("University of Oxford", frozenset({NameKind.DISPLAY, NameKind.LABEL})),
        Name("Oxon", frozenset({NameKind.ALIAS})),
        Name("OU", frozenset({NameKind.ACRONYM})),
    ),
    types=("education", "funder"),
    relations=(
        Relation(RelationKind.PARENT, "04m01e293", "York"),
        Relation(RelationKind.CHILD, "01ggx4157", "CERN"),
        Relation(RelationKind.SUCCESSOR, "057zh3y96", "Tokyo"),
    ),
    identifiers=(
        Identifier("grid", ("grid.4991.5",)),
        Identifier("isni", ("0000000419368948", "1"), preferred="1"),
    ),
)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("labels", ["University of Oxford"]),
        ("aliases", ["Oxon"]),
        ("acronyms", ["OU"]),
        ("types", ["education", "funder"]),
        ("status", ["active"]),
        ("parent", [Entity("04m01e293", "York")]),
        ("child", [Entity("01ggx4157", "CERN")]),
        ("successor", [Entity("057zh3y96", "Tokyo")]),
        ("grid", ["grid.4991.5"]),
        ("isni", ["1", "0000000419368948"]),
        ("wikidata", []),
        ("city", []),
        ("established", []),
        ("website", []),
    ],
)
def test_the_values_of_a_property(name: str, values: list[Value]) -> None:
    assert list(BY_ID[name].values(ORGANISATION)) == values


def test_every_id_has_a_row_under_the_form_in_which_it_was_sent(client: httpx.Client) -> None:
    ids = [OXFORD, f"https://ror.org/{YORK}", "0zz0zz042", "x"]
    body = extend(
        client, ids, {"id": "labels", "settings": {"limit": "1"}}, "colour", "established"
    )
    assert list(body["rows"]) == ids
    assert [entry["id"] for entry in body["meta"]] == ["labels", "established"]
    assert len(body["rows"][OXFORD]["labels"]) <= 1
    assert all(isinstance(value["int"], int) for value in body["rows"][OXFORD]["established"])
    assert body["rows"][f"https://ror.org/{YORK}"]["established"] == [{"int": 1963}]
    assert body["rows"]["x"] == {"labels": [], "established": []}


def test_entities_are_suggested_by_the_beginning_of_their_names(client: httpx.Client) -> None:
    def suggested(prefix: str, cursor: int = 0) -> list[str]:
        answer = client.get(
            "/reconcile/suggest/entity", params={"prefix": prefix, "cursor": cursor}
        )
        return [entry["id"] for entry in answer.json()["result"]]

    assert OXFORD in suggested("university of ox")
    assert suggested(f"https://ror.org/{OXFORD}") == [OXFORD]
    assert suggested("100%_") == suggested("\\") == suggested("") == []
    first, later = suggested("univ"), suggested("univ", 1)
    assert later[: len(first) - 1] == first[1:]


@pytest.mark.parametrize(
    ("kind", "prefix", "ids"),
    [
        ("property", "coun", ["country", "country_code"]),
        ("property", "zz", []),
        ("type", "edu", ["education"]),
        ("type", "org", ["Organization"]),
    ],
)
def test_properties_and_types_are_suggested(
    client: httpx.Client, kind: str, prefix: str, ids: list[str]
) -> None:
    answer = client.get(f"/reconcile/suggest/{kind}", params={"prefix": prefix})
    assert [entry["id"] for entry in answer.json()["result"]] == ids


def test_a_preview_of_nothing_is_404(client: httpx.Client) -> None:
    assert client.get("/reconcile/preview", params={"id": "x"}).status_code == 404


def test_a_parameter_that_cannot_be_read_is_a_problem_in_words(client: httpx.Client) -> None:
    answer = client.get("/reconcile/suggest/entity", params={"cursor": "far"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("cursor: ")
