"""``/jobs``: stored, sent to the queue, answered by a worker, read, cancelled; tried again, set
aside, ended without what became a dead letter."""

from __future__ import annotations

import gzip
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from support.deployment import DEADLY, Deployment, until
from support.serving import serving

from benchmarks.deadly import WORD
from resolver.database import jobs
from resolver.doors import jobs as door
from resolver.settings import Settings
from resolver.workers import deadletters

NDJSON = {"content-type": "application/x-ndjson"}
OXFORD = "https://ror.org/052gg0110"


@pytest.fixture
def deployment(
    tmp_path: Path,
    database_url: str,
    engine: Engine,
    redis_url: str,
    sample_installed: Callable[[Path], None],
) -> Deployment:
    """The sample with a database and a broker of its own: no other server sends its jobs."""
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=tmp_path,
        database_url=SecretStr(database_url),
        broker_url=SecretStr(redis_url),
        threads=1,
    )
    sample_installed(settings.home)
    return Deployment(settings, engine, tmp_path)


def until_state(client: httpx.Client, job_id: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while True:
        document: dict[str, Any] = client.get(f"/jobs/{job_id}").json()
        if document["state"] in states:
            return document
        assert time.monotonic() < deadline, document
        time.sleep(0.2)


@pytest.mark.slow
def test_a_job_is_accepted_worked_and_read(deployment: Deployment) -> None:
    lines = [
        json.dumps(
            {"id": f"row {number}", "affiliation": f"Univ. of Oxford, UK, room {number % 7}"}
        )
        for number in range(300)
    ]
    lines[1:1] = ["{broken", '"University of York"']
    with serving(deployment.settings) as (client, _), deployment.worker("-Q", "bulk"):
        answer = client.post(
            "/jobs?organizations=brief&max_links=1", content="\n".join(lines), headers=NDJSON
        )
        assert answer.status_code == 202, answer.text
        accepted = answer.json()
        assert answer.headers["location"].endswith(f"/jobs/{accepted['id']}")
        assert int(answer.headers["retry-after"]) > 0
        assert (accepted["received"], accepted["failed"]) == (302, 1)
        done = until_state(client, accepted["id"], "finished")
        assert done["done"] == 301
        got = [json.loads(line) for line in client.get(done["results_url"]).text.splitlines()]
    assert [result["index"] for result in got] == list(range(302))
    assert got[0]["id"] == "row 0"
    assert got[0]["status"] == "linked"
    assert got[0]["links"][0]["ror_id"] == OXFORD
    assert got[0]["affiliation"] == got[0]["text"] == "Univ. of Oxford, UK, room 0"
    link = got[0]["links"][0]
    assert link["matched_text"] == "Univ. of Oxford" == got[0]["text"][: link["end"]]
    assert (link["matched_name"], link["start"], link["stands_for"]) == (
        "University of Oxford",
        0,
        [],
    )
    assert isinstance(link["score"], float)
    assert got[0]["links"][0]["organization"]["country_code"] == "GB"
    assert got[0]["release"]
    assert (got[1]["status"], got[1]["links"]) == ("refused", [])
    assert got[2]["links"][0]["organization"]["name"] == "University of York"
    [(records,)] = deployment.rows(
        f"SELECT count(*) FROM source_record WHERE source = 'job:{accepted['id']}'"
    )
    assert records == 301


@pytest.mark.slow
def test_a_job_survives_the_servers_and_the_broker(deployment: Deployment) -> None:
    """What one server stored while the broker was away another one sends."""
    away = deployment.settings.model_copy(update={"broker_url": SecretStr("redis://127.0.0.1:1/0")})
    with serving(away) as (client, _):
        job_id = client.post("/jobs", json={"affiliations": ["Univ. of Oxford"]}).json()["id"]
        assert until_state(client, job_id, "queued")["done"] == 0
    with serving(deployment.settings) as (client, _), deployment.worker("-Q", "bulk"):
        assert until_state(client, job_id, "finished")["done"] == 1


def change(engine: Engine, job_id: str, **columns: object) -> None:
    """Change columns of a job."""
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    with engine.begin() as connection:
        connection.execute(
            text(f"UPDATE job SET {changes} WHERE id = :id"),
            {**columns, "id": job_id},
        )


def create(engine: Engine, *texts: str, policy: dict[str, object] | None = None) -> str:
    """A job, as a server that ended at once has left it."""
    rows: list[jobs.Row] = [(None, affiliation, None) for affiliation in texts]
    return jobs.create(
        engine, rows, policy=policy or {}, organizations="none", days=1, request_hash=b""
    ).id


def test_a_job_that_meets_an_error_waits_and_later_ones_go_on(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was stored of it is damaged: no error that anybody foresaw."""
    monkeypatch.setattr(door, "PAUSES", (0.2, 0.4))
    monkeypatch.setattr(door, "LOOK_SECONDS", 0.1)
    damaged = create(deployment.engine, "Univ. of Oxford")
    change(deployment.engine, damaged, body=b"no gzip")
    with caplog.at_level(logging.ERROR), serving(deployment.settings) as (client, _):
        later = client.post("/jobs", json={"affiliations": ["University of York"]}).json()["id"]
        until_state(client, later, "running")
        document = until_state(client, damaged, "failed")
        assert document["reason"] == "an error in this server at each of 3 tries to send it: " + (
            "BadGzipFile"
        )
        assert "resolver_http_jobs_failed_total 1.0" in client.get("/metrics").text
        results = client.get(f"/jobs/{damaged}/results")
        assert results.status_code == 409
        assert client.get(f"/jobs/{later}").json()["state"] == "running"

        change(deployment.engine, damaged, body=gzip.compress(b'[null,"Univ. of Oxford",null]\n'))
        again = client.post(f"/jobs/{damaged}/retry")
        assert again.status_code == 202, again.text
        assert again.json()["reason"] is None
        until_state(client, damaged, "running")
    tries = [record.getMessage() for record in caplog.records if damaged in record.getMessage()]
    assert len(tries) == 3
    assert "try 1" in tries[0]
    assert "set aside" in tries[2]


def test_a_job_that_can_never_be_sent_is_set_aside_at_once(deployment: Deployment) -> None:
    job_id = create(deployment.engine, "Univ. of Oxford", policy={"max_links": "many"})
    with serving(deployment.settings) as (client, _):
        assert "max_links" in until_state(client, job_id, "failed")["reason"]


def test_a_cancelled_job_is_not_tried_again(client: httpx.Client) -> None:
    job_id = client.post("/jobs", json={"affiliations": ["Univ. of Oxford"]}).json()["id"]
    client.delete(f"/jobs/{job_id}")
    answer = client.post(f"/jobs/{job_id}/retry")
    assert answer.status_code == 409
    assert client.post("/jobs/none/retry").status_code == 404


@pytest.mark.slow
def test_a_job_ends_without_what_became_a_dead_letter(deployment: Deployment) -> None:
    texts = ["Univ. of Oxford", f"{WORD}, University of York", "University of York", ""]
    lines = "".join(f"{json.dumps(text)}\n" for text in texts) + "{broken\n"
    with serving(deployment.settings) as (client, _):
        job_id = client.post("/jobs", content=lines, headers=NDJSON).json()["id"]

        def statuses() -> list[str]:
            got = client.get(f"/jobs/{job_id}/results").text.splitlines()
            return [json.loads(line)["status"] for line in got]

        with deployment.worker("--queues", "bulk", program=DEADLY):
            document = until_state(client, job_id, "finished")
            until(lambda: deadletters.letters(deployment.settings)[1], "the letter arrives")
        assert (document["received"], document["done"], document["failed"]) == (5, 3, 2)
        assert statuses() == ["linked", "failed", "linked", "no_match", "refused"]
        [letter], _ = deadletters.letters(deployment.settings)
        failed = json.loads(client.get(f"/jobs/{job_id}/results").text.splitlines()[1])
        assert failed["reason"] == f"its message became dead letter {letter.id}"

        # The cause is gone: a worker that the word does not kill.
        deadletters.retry(deployment.settings)
        with deployment.worker("-Q", "bulk"):
            until(lambda: client.get(f"/jobs/{job_id}").json()["failed"] == 1, "it is answered")
        assert statuses() == ["linked", "linked", "linked", "no_match", "refused"]


@pytest.mark.slow
def test_a_job_whose_messages_cannot_be_read_ends_and_may_be_sent_again(
    deployment: Deployment,
) -> None:
    job_id = create(deployment.engine, "Univ. of Oxford", "University of York")
    records: list[object] = [
        {"source": f"job:{job_id}", "id": number} for number in ("0", 1, "2", "-1", "x", "9" * 20)
    ]
    others: list[object] = [17, {"source": "crossref", "id": "0"}, {"source": "job:none", "id": 0}]
    # As it is when a server has sent it: nothing is sent while this one is told of the letter.
    change(deployment.engine, job_id, sent=2, sent_at="now()")
    with serving(deployment.settings) as (client, _):
        assert client.get(f"/jobs/{job_id}").json()["state"] == "running"
        jobs.note_dead_letter(deployment.engine, [*records, *others], "letter 1")
        jobs.note_dead_letter(deployment.engine, records[:1], "letter 2")
        document = client.get(f"/jobs/{job_id}").json()
        assert (document["state"], document["done"], document["failed"]) == ("finished", 0, 2)
        results = client.get(f"/jobs/{job_id}/results").text.splitlines()
        assert [json.loads(line)["reason"][-8:] for line in results] == ["letter 2", "letter 1"]
        again = client.post(f"/jobs/{job_id}/retry").json()
        assert (again["done"], again["failed"]) == (0, 0)
        until_state(client, job_id, "running")
        with deployment.worker("-Q", "bulk"):
            assert until_state(client, job_id, "finished")["done"] == 2


def test_results_are_409_before_the_end(client: httpx.Client) -> None:
    answer = client.post("/jobs", json={"affiliations": ["Univ. of Oxford"]})
    results = client.get(f"/jobs/{answer.json()['id']}/results")
    assert results.status_code == 409
    assert results.headers["content-type"] == "application/problem+json"
    assert int(results.headers["retry-after"]) > 0


def test_the_same_key_gets_the_same_job_and_another_body_is_refused(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k1"}
    first = client.post("/jobs", json={"affiliations": ["a"]}, headers=key)
    again = client.post("/jobs", json={"affiliations": ["a"]}, headers=key)
    other = client.post("/jobs", json={"affiliations": ["b"]}, headers=key)
    another = client.post("/jobs", json={"affiliations": ["a"]}, headers={"Idempotency-Key": "k2"})
    assert first.json()["id"] == again.json()["id"] != another.json()["id"]
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["detail"]


@pytest.mark.slow
def test_a_cancelled_job_is_not_worked_and_its_answers_are_withdrawn(
    deployment: Deployment,
) -> None:
    texts = [f"University of York, room {number}" for number in range(5)]
    with serving(deployment.settings) as (client, _):
        job_id = client.post("/jobs", json={"affiliations": texts}).json()["id"]
        until_state(client, job_id, "running")
        assert client.delete(f"/jobs/{job_id}").status_code == 204
        assert client.delete(f"/jobs/{job_id}").status_code == 204
        assert client.get(f"/jobs/{job_id}").json()["state"] == "cancelled"
        assert client.get(f"/jobs/{job_id}/results").status_code == 409
        other = client.post("/jobs", json={"affiliations": texts}).json()["id"]
        with deployment.worker("-Q", "bulk"):
            until_state(client, other, "finished")
        count = "SELECT count(*) FROM source_record WHERE source = 'job:{}'"
        assert deployment.rows(count.format(job_id)) == [(0,)]
        assert deployment.rows(count.format(other)) == [(5,)]
        client.delete(f"/jobs/{other}")
        until(lambda: deployment.rows(count.format(other)) == [(0,)], "withdrawn")


def test_an_expired_job_is_gone_with_its_records(
    client: httpx.Client, served_engine: Engine
) -> None:
    job_id = client.post("/jobs", json={"affiliations": ["a"]}).json()["id"]
    with served_engine.begin() as connection:
        connection.execute(text("UPDATE job SET expires_at = now() WHERE id = :id"), {"id": job_id})
    assert client.get(f"/jobs/{job_id}").status_code == 404
    assert jobs.delete_expired(served_engine) == 1
    assert jobs.delete_expired(served_engine) == 0
    assert jobs.wanted(served_engine, [{"source": f"job:{job_id}", "id": "0"}]) == []


@pytest.mark.parametrize(
    "chunk",
    [None, "text", [17, {"source": "crossref"}, {"source": 5}], [{"id": "1"}]],
)
def test_records_of_others_are_left_alone(served_engine: Engine, chunk: object) -> None:
    assert jobs.wanted(served_engine, chunk) == chunk


@pytest.mark.parametrize(
    ("content", "kind", "status", "says"),
    [
        ("", "application/x-ndjson", 422, "no affiliation"),
        ('{"affiliations": 1}', "application/json", 422, "not a list"),
        ("{", "application/json", 400, "not JSON"),
        ('{"affiliations": ["x"], "policy": {"a": 1}}', "application/json", 422, "no such choice"),
        ("x", "text/csv", 415, "send application/json"),
        ('""\n' * 100_001, "application/x-ndjson", 413, "100,000 are the most"),
    ],
    ids=["empty", "no list", "no JSON", "policy", "kind", "too many"],
)
def test_what_cannot_be_a_job(
    client: httpx.Client, content: str, kind: str, status: int, says: str
) -> None:
    answer = client.post("/jobs", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/jobs/none", "/jobs/none/results"])
def test_an_unknown_job_is_404(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.delete("/jobs/none").status_code == 404
