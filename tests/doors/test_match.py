"""``/match`` as its clients use it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from resolver.doors.match import MAX_AFFILIATIONS

OXFORD = "https://ror.org/052gg0110"
YORK = "https://ror.org/04m01e293"
NDJSON = {"content-type": "application/x-ndjson"}


def results(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def linked(result: dict[str, Any]) -> list[str]:
    return [link["ror_id"] for link in result["links"]]


def test_a_list_comes_back_in_order_with_ids_and_refusals(client: httpx.Client) -> None:
    asked = [
        {"id": "a", "affiliation": "Univ. of Oxford, UK"},
        "",
        17,
        {"id": 4, "affiliation": "University of York, UK"},
        {"id": "c"},
        "x" * 10_001,
    ]
    answer = client.post("/match", json={"affiliations": asked})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["release"]
    assert body["resolver_version"].isdecimal()
    got = [(r["index"], r["id"], r["status"], r["reason"], linked(r)) for r in body["results"]]
    assert got == [
        (0, "a", "linked", None, [OXFORD]),
        (1, None, "no_match", "empty", []),
        (2, None, "refused", "affiliation: is a number, not a string", []),
        (3, 4, "linked", None, [YORK]),
        (4, "c", "refused", "affiliation: missing", []),
        (5, None, "no_match", "too_long", []),
    ]
    link = body["results"][0]["links"][0]
    assert link["name"] == "University of Oxford"
    assert link["matched_name"]
    assert link["matched_text"] == "Univ. of Oxford"
    assert body["results"][0]["text"][link["start"] : link["end"]] == link["matched_text"]
    assert 0.5 <= link["probability"] <= 1
    assert isinstance(link["score"], float)
    assert [r["text"] and r["text"][:5] for r in body["results"]] == [
        "Univ.", "", None, "Unive", None, "xxxxx",
    ]  # fmt: skip


def test_what_stands_for_another_says_so(client: httpx.Client) -> None:
    body = {"affiliations": ["King's College London"], "policy": {"level": "top-parent"}}
    (link,) = client.post("/match", json=body).json()["results"][0]["links"]
    assert link["ror_id"] == "https://ror.org/04cw6st05"
    assert link["stands_for"] == ["https://ror.org/0220mzb33"]


@pytest.mark.parametrize(
    ("detail", "keys"),
    [
        ("none", None),
        ("brief", {"id", "name", "city", "country", "country_code", "types", "status", "website"}),
        ("full", {"id", "names", "locations", "links"}),
    ],
)
def test_organizations_come_as_they_are_asked_for(
    client: httpx.Client, detail: str, keys: set[str] | None
) -> None:
    body = {"affiliations": ["University of York, UK"], "organizations": detail}
    (link,) = client.post("/match", json=body).json()["results"][0]["links"]
    assert ("organization" in link) == (keys is not None)
    assert keys is None or keys <= link["organization"].keys()


@pytest.mark.parametrize(
    ("policy", "reason"),
    [({"countries": ["CH"]}, "not_admitted"), ({"accept_probability": 1.0}, "below_threshold")],
)
def test_the_policy_holds_in_both_forms(
    client: httpx.Client, policy: dict[str, Any], reason: str
) -> None:
    text = "Univ. of Oxford, UK"
    body = {"affiliations": [text], "policy": policy}
    (by_json,) = client.post("/match", json=body).json()["results"]
    query = {k: ",".join(v) if isinstance(v, list) else v for k, v in policy.items()}
    (by_line,) = results(
        client.post("/match", params=query, content=json.dumps(text), headers=NDJSON)
    )
    assert by_json["reason"] == by_line["reason"] == reason


@pytest.mark.parametrize(
    ("content", "kind", "status", "detail"),
    [
        ("{", "application/json", 400, "not JSON"),
        ("[]", "application/json", 422, "a list, not an object"),
        ('{"affiliations": "x"}', "application/json", 422, "not a list"),
        ('{"affiliations": [], "colour": 1}', "application/json", 422, "colour: no such key"),
        ('{"affiliations": [], "policy": 1}', "application/json", 422, "policy: is a number"),
        ('{"affiliations": ["x"], "policy": {"maximum": 1}}', "application/json", 422, "maximum"),
        ('{"affiliations": ["x"], "policy": {"target_precision": 0.999}}', "application/json", 422,
         "target_precision"),
        ('{"affiliations": [], "organizations": "all"}', "application/json", 422, "none, brief"),
        ("affiliation=x", "application/x-www-form-urlencoded", 415, "application/x-ndjson"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_problem(
    client: httpx.Client, content: str, kind: str, status: int, detail: str
) -> None:
    answer = client.post("/match", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert detail in problem["detail"]


@pytest.mark.parametrize(
    ("body", "gzipped", "says"),
    [
        ({"affiliations": [""] * (MAX_AFFILIATIONS + 1)}, False, "1,000 are the most"),
        ({"affiliations": ["x" * (2 * 2**20)]}, False, "2,097,152 bytes"),
        ({"affiliations": ["x" * (40 * 2**20)]}, True, "2,097,152 bytes"),
    ],
    ids=["entries", "bytes", "bytes that gzip hides"],
)
def test_too_much_is_413(
    client: httpx.Client, body: dict[str, Any], gzipped: bool, says: str
) -> None:
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    if gzipped:
        content, headers["content-encoding"] = gzip.compress(content), "gzip"
    answer = client.post("/match", content=content, headers=headers)
    assert answer.status_code == 413
    assert says in answer.json()["detail"]


def test_lines_are_answered_in_order_and_a_bad_one_is_an_entry(client: httpx.Client) -> None:
    lines = [
        '"Univ. of Oxford, UK"',
        "",
        '{"id": 7, "affiliation": "University of York, UK"}',
        "{broken",
        '"' + "x" * 200_000 + '"',
        '"University of York"',
    ]
    got = results(client.post("/match", content="\n".join(lines), headers=NDJSON))
    assert [r["index"] for r in got] == [0, 1, 2, 3, 4]
    assert [r["status"] for r in got] == ["linked", "linked", "refused", "refused", "linked"]
    assert [linked(r) for r in got] == [[OXFORD], [YORK], [], [], [YORK]]
    assert got[1]["id"] == 7
    assert "128" in got[3]["reason"] or "131,072" in got[3]["reason"]


def test_lines_go_in_and_out_as_gzip_while_they_are_made(client: httpx.Client) -> None:
    count = 700

    def pieces() -> Iterator[bytes]:
        packed = gzip.compress(b"".join(b'"University of York %d"\n' % i for i in range(count)))
        for start in range(0, len(packed), 500):
            yield packed[start : start + 500]

    headers = NDJSON | {"content-encoding": "gzip", "accept-encoding": "gzip"}
    answer = client.post("/match", content=pieces(), headers=headers)
    assert answer.headers["content-encoding"] == "gzip"
    got = results(answer)
    assert [r["index"] for r in got] == list(range(count))
    assert {r["status"] for r in got} <= {"linked", "no_match"}


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b'"x"' * 1000)[:-9]])
def test_broken_gzip_is_a_problem(client: httpx.Client, content: bytes) -> None:
    headers = NDJSON | {"content-encoding": "gzip"}
    assert client.post("/match", content=content, headers=headers).status_code == 400


def test_many_clients_get_what_each_asked_for(client: httpx.Client) -> None:
    asked = ["University of York", "University of Oxford", "Zz", ""] * 16

    def one(text: str) -> list[str]:
        answer = client.post("/match", json={"affiliations": [text]})
        return linked(answer.json()["results"][0])

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(one, asked))
    expected = {"University of York": [YORK], "University of Oxford": [OXFORD]}
    assert got == [expected.get(text, []) for text in asked]


def test_the_form_of_crossref(client: httpx.Client) -> None:
    answer = client.get(
        "/match", params={"task": "affiliation-matching", "input": "Univ. of York, UK"}
    ).json()
    assert answer["status"] == "ok"
    (item,) = answer["message"]["items"]
    assert item["id"] == YORK
    assert 0.5 <= item["confidence"] <= 1
    bulk = client.post("/match/bulk", params={"task": "affiliation"},
                       json={"inputs": ["Univ. of York", "", "Univ. of Oxford"]}).json()  # fmt: skip
    ids = [[item["id"] for item in slot["items"]] for slot in bulk["message"]["items"]]
    assert ids == [[YORK], [], [OXFORD]]


@pytest.mark.parametrize(("query", "status"), [({"task": "journal"}, 422), ({"input": ""}, 200)])
def test_the_form_of_crossref_with_too_little(
    client: httpx.Client, query: dict[str, str], status: int
) -> None:
    assert client.get("/match", params=query).status_code == status
