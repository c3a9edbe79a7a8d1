"""Anything in a list on Redis ends as a dead letter or is done; a worker bears it all."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import amqp
import pytest
from kombu import Connection
from redis import Redis
from support.deployment import Deployment, record, until

from resolver.settings import Settings
from resolver.workers import deadletters
from resolver.workers.app import create_app
from resolver.workers.client import enqueue
from resolver.workers.envelopes import readable
from resolver.workers.poison import MALFORMED
from resolver.workers.queues import QUEUES

TASK = {"task": "resolver.resolve_chunk", "id": "1"}
CHUNK: list[object] = [[[record(7, "ETH Zurich")]], {}, {}]
PROPERTIES: dict[str, Any] = {
    "body_encoding": "base64",
    "delivery_tag": "tag",
    "delivery_info": {"exchange": "", "routing_key": "bulk"},
}


def envelope(**changes: Any) -> bytes:
    """A good one, but for these; None takes away."""
    made = {
        "body": base64.b64encode(json.dumps(CHUNK).encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": TASK,
        "properties": PROPERTIES,
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    return json.dumps({name: value for name, value in made.items() if value is not None}).encode()


def properties(**changes: Any) -> dict[str, Any]:
    return {n: v for n, v in (PROPERTIES | changes).items() if v is not None}


ELEMENTS = {
    "garbage": b"garbage",
    "nothing": b"",
    "not UTF-8": b"\xff\xfe",
    "a bare body": b"[[[]], {}, {}]",
    "null": b"null",
    "a number": b"7",
    "a string": b'"text"',
    "a list": b"[]",
    "an object": b"{}",
    "cut": envelope()[:-5],
    "deep": b"[" * 100_000,
    "a type that cannot be made": b'{"__type__": "datetime", "__value__": "soon"}',
    "a long number": b"1" * 10_000,
    "headers of another kind": envelope(headers=["task"]),
    "no body encoding that is known": envelope(properties=properties(body_encoding="rot13")),
    "body encoding of another kind": envelope(properties=properties(body_encoding=["base64"])),
    "no base64": envelope(body="a"),
    "a body of another kind": envelope(body={"args": []}),
    "a surrogate": envelope(body="\ud800", properties=properties(body_encoding=None)),
    "content type of another kind": envelope(content_type=["json"]),
    "content encoding of another kind": envelope(content_encoding=8),
}
"""Of these the element itself is kept."""

INCOMPLETE = {
    "no properties": envelope(properties=None),
    "properties of another kind": envelope(properties=[]),
    "no delivery tag": envelope(properties=properties(delivery_tag=None)),
    "a delivery tag of another kind": envelope(properties=properties(delivery_tag=[1])),
    "a long delivery tag": envelope(properties=properties(delivery_tag="x" * 300)),
    "no delivery info": envelope(properties=properties(delivery_info=None)),
    "delivery info of another kind": envelope(properties=properties(delivery_info="bulk")),
    "priority of another kind": envelope(properties=properties(priority="high")),
    "priority without end": envelope(properties=properties(priority=float("inf"))),
}
"""Of these body and headers are kept: sent back from the dead letters, they are done."""

NO_TASKS = {
    "no body": envelope(body=None),
    "no headers": envelope(headers=None),
    "headers of nothing": envelope(headers={}),
    "a task of another kind": envelope(headers=TASK | {"task": ["resolver.resolve_chunk"]}),
    "an unknown task": envelope(headers=TASK | {"task": "os.system"}),
    "no content type": envelope(content_type=None),
    "an unknown content type": envelope(content_type="text/x"),
    "wrong compression": envelope(headers=TASK | {"compression": "gzip"}),
    "unknown compression": envelope(headers=TASK | {"compression": ["gzip"]}),
    "a limit of another kind": envelope(headers=TASK | {"timelimit": 5}),
    "limits of another kind": envelope(headers=TASK | {"timelimit": ["1", {}]}),
    "a name of another kind": envelope(headers=TASK | {"shadow": [1]}),
    "stamps of another kind": envelope(headers=TASK | {"stamped_headers": 5, "expires": "2020-01-01"}),
    "a moment that is none": envelope(headers=TASK | {"eta": "0001-01-01T00:00:00+00:00"}),
    "an end that is none": envelope(headers=TASK | {"expires": "soon"}),
    "callbacks": envelope(body=base64.b64encode(json.dumps([[[]], {}, {"callbacks": 5}]).encode()).decode()),
    "arguments that do not fit": envelope(body=base64.b64encode(b"[[1, 2, 3], {}, {}]").decode()),
    "keywords that do not fit": envelope(body=base64.b64encode(b'[[[]], {"x": 1}, {}]').decode()),
    "keys that are none": envelope(
        headers=TASK | {"task": "resolver.refresh_chunk"},
        body=base64.b64encode(b'[[["a"], 1], {}, {}]').decode(),
    ),
    "a key beyond all": envelope(
        headers=TASK | {"task": "resolver.refresh_chunk"},
        body=base64.b64encode(b'[[[1], 99999999999999999999], {}, {}]').decode(),
    ),
}  # fmt: skip
"""Envelopes of kombu's form, around what is no task."""


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS.keys())
def test_what_is_no_envelope_is_kept_whole(element: bytes) -> None:
    made = json.loads(readable(element, "bulk"))
    assert base64.b64decode(made["body"]) == element
    assert made["headers"].keys() == {MALFORMED}
    assert made["properties"]["delivery_info"]["routing_key"] == "bulk"


@pytest.mark.parametrize("element", INCOMPLETE.values(), ids=INCOMPLETE.keys())
def test_of_an_incomplete_envelope_all_that_was_sent_is_kept(element: bytes) -> None:
    made = json.loads(readable(element, "bulk"))
    assert json.loads(base64.b64decode(made["body"])) == CHUNK
    assert made["headers"].keys() == {*TASK, MALFORMED}
    assert (made["content-type"], made["content-encoding"]) == ("application/json", "utf-8")


def test_a_good_envelope_stays_as_it_is() -> None:
    assert readable(envelope(), "bulk") == envelope()


def test_an_envelope_goes_back_to_its_list_whatever_it_says() -> None:
    # kombu would look for a binding, find none, and drop it.
    elsewhere = {"exchange": "nowhere", "routing_key": "x", "redelivered": True}
    made = json.loads(readable(envelope(properties=properties(delivery_info=elsewhere)), "bulk"))
    assert made["properties"]["delivery_info"] == {
        "exchange": "",
        "routing_key": "bulk",
        "redelivered": True,
    }


@pytest.mark.slow
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_a_worker_bears_whatever_is_pushed_to_its_lists(deployment: Deployment) -> None:
    elements = [*ELEMENTS.values(), *INCOMPLETE.values(), *NO_TASKS.values()]
    bad = {queue: [element for element in elements if element] for queue in QUEUES}
    client = _redis(deployment.settings)
    with deployment.worker() as worker:
        for queue, pushed in bad.items():
            for element in pushed:
                client.lpush(queue, element)
        client.publish("/0.celery.pidbox", "null")
        client.publish("/0.celery.pidbox", '{"properties": {}}')
        enqueue([record(1, "ETH Zurich")], settings=deployment.settings)
        enqueue([record(2, "CERN")], settings=deployment.settings, queue="interactive")
        until(lambda: deployment.count("outcome") == 2, "the good ones are done")
        total = sum(map(len, bad.values()))
        until(lambda: deadletters.letters(deployment.settings)[1] == total, "all are letters")
        assert worker.output().count("becomes a dead letter") == total
    assert client.exists("unacked", *QUEUES) == 0
    found, _ = deadletters.letters(deployment.settings)
    for queue in QUEUES:
        assert sum(letter.queue == queue for letter in found) == len(bad[queue])


@pytest.mark.slow
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_an_incomplete_envelope_is_done_when_its_letter_is_sent_back(
    deployment: Deployment,
) -> None:
    _redis(deployment.settings).lpush("bulk", INCOMPLETE["no properties"])
    with deployment.worker():
        until(lambda: deadletters.letters(deployment.settings)[1], "the letter arrives")
        [letter], _ = deadletters.letters(deployment.settings)
        assert (letter.id, letter.records, letter.error) == (
            "1", 1, "properties: missing, or not an object",
        )  # fmt: skip
        assert deadletters.retry(deployment.settings) == 1
        until(lambda: deployment.count("outcome") == 1, "it is done")


MESSAGES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "nothing said": (b"\xff", {}),
    "no content type": (json.dumps(CHUNK).encode(), {"application_headers": TASK}),
    "no content encoding": (
        b"[[], {}, {}]", {"content_type": "application/json", "application_headers": TASK},
    ),
    "not in its encoding": (
        json.dumps(CHUNK, ensure_ascii=False).encode("utf-16"),
        {"content_type": "application/json", "content_encoding": "utf-8", "application_headers": TASK},
    ),
    "wrong compression": (
        json.dumps(CHUNK).encode(),
        {"content_type": "application/json", "application_headers": TASK | {"compression": "gzip"}},
    ),
    "compressed nonsense": (
        zlib.compress(b"nonsense"),
        {"content_type": "application/json", "application_headers": TASK | {"compression": "gzip"}},
    ),
    "a limit of another kind": (
        json.dumps(CHUNK).encode(),
        {"content_type": "application/json", "application_headers": TASK | {"timelimit": 5}},
    ),
    "a name of another kind": (
        json.dumps(CHUNK).encode(),
        {"content_type": "application/json", "application_headers": TASK | {"shadow": [1]}},
    ),
    "deep": (b"[" * 100_000, {"content_type": "application/json", "application_headers": TASK}),
    "arguments that do not fit": (
        b"[[1, 2, 3], {}, {}]", {"content_type": "application/json", "application_headers": TASK},
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
def test_a_worker_bears_whatever_is_published(deployment: Deployment) -> None:
    url = deployment.environment()["RESOLVER_BROKER_URL"]
    with deployment.worker() as worker:
        with Connection(url) as connection:
            channel = connection.default_channel
            for queue in QUEUES:
                for body, said in MESSAGES.values():
                    channel.basic_publish(amqp.Message(body, **said), routing_key=queue)
        enqueue([record(1, "ETH Zurich")], settings=deployment.settings)
        until(lambda: deployment.count("outcome") == 1, "the good one is done")
        total = len(MESSAGES) * len(QUEUES)
        until(lambda: deadletters.letters(deployment.settings)[1] == total, "all are letters")
        assert " ready." in worker.output()


def _redis(settings: Settings) -> Redis:
    client: Redis = create_app(settings).connection_for_write().default_channel.client
    return client
