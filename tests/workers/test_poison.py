"""What kills its process ends among the dead letters, and its neighbours are done."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis
from support.deployment import DEADLY, PATIENCE, Deployment, linked, record, until

from benchmarks.deadly import RAISING, WORD
from resolver.database import jobs
from resolver.workers import deadletters, health, poison
from resolver.workers.app import create_app
from resolver.workers.client import enqueue
from resolver.workers.delivery import MOST_DEATHS, forward
from resolver.workers.poison import DELIVERY_LIMIT
from resolver.workers.queues import dead_queue

RECORDS = 20


# On RabbitMQ as well in tests/chaos, which is where CI's minutes go.
@pytest.mark.slow
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_string_that_kills_is_buried_alone(deployment: Deployment) -> None:
    poisoned = record(RECORDS // 2, f"{WORD}, Zurich")
    chunk = [
        poisoned if number == RECORDS // 2 else record(number, f"ETH Zurich, Room {number}")
        for number in range(RECORDS)
    ]
    enqueue(chunk, settings=deployment.settings)
    letters: list[tuple[object, object]] = []
    with deployment.worker(program=DEADLY) as worker:
        until(lambda: letters.extend(deployment.dead()) or letters, "the letter arrives")
        until(lambda: deployment.count("outcome") == RECORDS - 1, "its neighbours are done")
        # Twice among others, and then alone as often as any message may.
        deaths = set(re.findall(r"pid:(\d+) exited with 'signal 9", worker.output()))
        assert len(deaths) == 2 + 1 + DELIVERY_LIMIT
    assert letters == [("resolver.resolve_chunk", [poisoned])]
    assert deployment.rows("SELECT count(DISTINCT external_id) FROM link JOIN source_record"
                           " USING (affiliation_id) WHERE name = 'ETH Zurich'") == [(RECORDS - 1,)]  # fmt: skip


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.slowest
def test_string_that_fails_for_no_known_reason_is_buried_alone_and_says_why(
    deployment: Deployment,
) -> None:
    poisoned = record(1, f"{RAISING}, Zurich")
    enqueue([poisoned, record(2, "ETH Zurich")], settings=deployment.settings)
    with deployment.worker(program=DEADLY):
        until(lambda: deadletters.letters(deployment.settings)[1], "the letter arrives")
        until(lambda: deployment.count("outcome") == 1, "its neighbour is done")
    [letter], _ = deadletters.letters(deployment.settings)
    assert (letter.records, letter.first) == (1, ("test", "10.1/1"))
    assert letter.error == "ValueError: nobody foresaw this (in each of 4 processes)"
    assert linked(deployment) == ["10.1/2"]


# On Redis in tests/doors, where the worker itself makes the letter.
@pytest.mark.slow
@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_a_job_knows_of_a_letter_that_rabbitmq_makes_by_itself(deployment: Deployment) -> None:
    texts = ["ETH Zurich", f"{WORD}, Zurich"]
    rows: list[jobs.Row] = [(None, text, None) for text in texts]
    job = jobs.create(
        deployment.engine, rows, policy={}, organizations="none", days=1, request_hash=b""
    )
    records: list[Mapping[str, object]] = [
        {"source": job.source, "id": str(number), "affiliation": text}
        for number, text in enumerate(texts)
    ]
    enqueue(records, settings=deployment.settings)
    with deployment.worker(program=DEADLY):
        until(
            lambda: jobs.progress(deployment.engine, job) == jobs.Progress(answered=1, dead=1),
            "the job ends",
        )
        until(lambda: deadletters.letters(deployment.settings)[1], "the letter arrives")
    [letter], _ = deadletters.letters(deployment.settings)
    assert letter.error == "its process died each time"
    assert jobs.dead_letters(deployment.engine, job) == {1: letter.id}


@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
@pytest.mark.slowest
def test_worker_whose_processes_all_die_stops_and_buries_nothing(deployment: Deployment) -> None:
    settings = deployment.settings.model_copy(update={"chunk_size": 1})
    enqueue([record(n, f"{RAISING} {n}") for n in range(MOST_DEATHS + 2)], settings=settings)
    worker = deployment.start(program=DEADLY)
    try:
        assert worker.process.wait(timeout=4 * PATIENCE) == os.EX_SOFTWARE
    finally:
        worker.kill()
    assert "no message was done in between" in worker.log.read_text()
    assert "ValueError: nobody foresaw this" in worker.log.read_text()
    assert deployment.dead() == []
    found = health.check(settings).broker.state
    assert found is not None
    assert found.waiting == MOST_DEATHS + 2


BAD = [
    pytest.param("application/json", b"[[[]], {}, {}", {"task": "resolver.resolve_chunk", "id": "1"}, id="cut"),
    pytest.param("application/json", b"[[], {}, {}]", {"task": "resolver.nothing", "id": "1"}, id="unknown task"),
    pytest.param("application/json", b"[[], {}, {}]", {"task": "resolver.resolve_chunk"}, id="no id"),
    pytest.param("application/json", b"{}", {"task": "resolver.resolve_chunk", "id": "1"}, id="no list"),
    pytest.param("application/x-python-serialize", b"\x80\x04N.", {"task": "resolver.resolve_chunk", "id": "1"}, id="pickle"),
    pytest.param("text/plain", b"hello", {}, id="no task"),
]  # fmt: skip


@pytest.mark.slow
def test_messages_that_are_no_tasks_are_buried_and_the_next_is_done(
    deployment: Deployment,
) -> None:
    app = create_app(deployment.settings)
    for kind, body, headers in (tuple(case.values) for case in BAD):
        message: Any = SimpleNamespace(
            body=body, content_type=kind, content_encoding="utf-8", properties={}
        )
        forward(app, message, app.amqp.queues["bulk"], headers)
    enqueue([record(1, "ETH Zurich")], settings=deployment.settings)
    with deployment.worker():
        until(lambda: deployment.count("outcome") == 1, "the next one is done")
        until(lambda: len(_bodies(deployment)) == len(BAD), "all the others are letters")
    assert sorted(_bodies(deployment)) == sorted(case.values[1] for case in BAD)


def _bodies(deployment: Deployment) -> list[bytes]:
    app = create_app(deployment.settings)
    with app.connection_for_read() as connection:
        queue = dead_queue(amqp=app.amqp_broker)(connection.default_channel)
        queue.declare()
        found = []
        while message := queue.get(accept=["json", "pickle", "text/plain"]):
            body = message.body
            found.append(body.encode() if isinstance(body, str) else bytes(body))
        return found


# Checks, counts, parts


def _message(body: bytes = b"[[], {}, {}]", headers: Any = None) -> Any:
    def payload() -> Any:
        return json.loads(body)

    class Message(SimpleNamespace):
        @property
        def payload(self) -> Any:
            return payload()

    return Message(body=body, headers={"task": "t", "id": "1"} if headers is None else headers)


def _headed(**headers: object) -> Any:
    return _message(headers={"task": "t", "id": "1"} | headers)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        pytest.param(_message(), None, id="good"),
        pytest.param(_message(b"[[], {}, null]"), None, id="no callbacks"),
        pytest.param(_message(b"x" * (poison.MAX_MESSAGE + 1)), "bytes", id="huge"),
        pytest.param(_message(headers=[]), "no headers", id="headers"),
        pytest.param(_message(headers={"task": [], "id": "1"}), "header task", id="task"),
        pytest.param(_message(headers={"task": "t", "id": "x" * 256}), "header id", id="id"),
        pytest.param(_message(headers={"task": "t", "id": ""}), "header id", id="empty id"),
        pytest.param(_message(b"[["), "cannot be read", id="cut"),
        pytest.param(_message(b"[[], []]"), "the body is not", id="two"),
        pytest.param(_message(b"[{}, {}, {}]"), "the body is not", id="object"),
        pytest.param(
            _message(b'[[], {}, {"callbacks": null, "chain": null}]'), None, id="Celery's own"
        ),
        pytest.param(_message(b'[[], {}, {"callbacks": [1]}]'), "callbacks", id="callbacks"),
        pytest.param(
            _headed(eta=None, timelimit=[1200, None], shadow=None, group=None),
            None,
            id="Celery's headers",
        ),
        pytest.param(_headed(eta="2026-12-01"), "header eta", id="later"),
        pytest.param(_headed(timelimit=5), "header timelimit", id="limit"),
        pytest.param(_headed(timelimit=["1", 1]), "header timelimit", id="limits"),
        pytest.param(_headed(shadow=[1]), "header shadow", id="name"),
        pytest.param(_headed(stamped_headers=[1]), "header stamped", id="stamps"),
        pytest.param(_headed(malformed="no envelope"), "no envelope", id="no message at all"),
    ],
)
def test_malformed(message: Any, problem: str | None) -> None:
    found = poison.malformed(message)
    assert (found is None) == (problem is None)
    assert (problem or "") in (found or "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([{"no": "list"}], [], id="no list"),
        pytest.param([[]], [], id="nothing"),
        pytest.param([[1]], [], id="one"),
        pytest.param([[1, 2]], [[[1]], [[2]]], id="two"),
        pytest.param([[1, 2], 7], [[[1], 7], [[2], 7]], id="other arguments"),
        pytest.param([[1, 2, 3], 7], [[[1], 7], [[2], 7], [[3], 7]], id="a part"),
        pytest.param([[1, 2, 3, 4, 5]], [[[1, 2, 3]], [[4, 5]]], id="more than a part"),
    ],
)
def test_parts(arguments: list[Any], expected: list[Any]) -> None:
    assert poison.split(arguments, size=3) == expected


def test_count_is_of_a_message_and_ends(redis_url: str) -> None:
    from kombu import Connection

    with Connection(redis_url) as connection:
        client: Redis = connection.default_channel.client
        one, other = poison.delivery_key("1"), poison.delivery_key("2")
        assert [poison.count_delivery(client, one) for _ in range(3)] == [0, 1, 2]
        assert poison.count_delivery(client, other) == 0
        assert 0 < client.ttl(one) <= poison.KEEP_SECONDS
        poison.forget_deliveries(client, one)
        assert (poison.count_delivery(client, one), poison.count_delivery(client, other)) == (0, 1)


def test_labels_come_off_again() -> None:
    sent = {"task": "t", "id": "1", "root_id": "1"}
    dead = poison.add_labels(sent | {"x-delivery-count": 4}, queue="bulk", error="e" * 5000)
    assert (dead["queue"], len(dead["error"])) == ("bulk", poison.MAX_ERROR)
    assert poison.remove_labels(dead | {"x-death": [], "redelivered": True}) == sent
