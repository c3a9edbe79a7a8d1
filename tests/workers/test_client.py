"""What arrives on real brokers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from kombu import Connection, Message
from pydantic import SecretStr
from task_document import run_example

from resolver.domain.affiliation import Affiliation, SourceRecord
from resolver.errors import BrokerUnavailable, IntakeError, QueueFull, SettingsError
from resolver.intake import parse_chunk
from resolver.settings import Settings
from resolver.workers.app import create_app
from resolver.workers.client import (
    LOOK,
    MAX_SENT,
    PAUSE,
    EnqueueReport,
    chunks,
    enqueue,
    enqueue_refresh,
)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


def _settings(broker_url: str, chunk_size: int = 128) -> Settings:
    return Settings(_env_file=None, broker_url=SecretStr(broker_url), chunk_size=chunk_size)  # type: ignore[call-arg]


def _messages(broker_url: str, queue: str = "bulk") -> list[Message]:
    """All messages of a queue, taken."""
    app = create_app(_settings(broker_url))
    with app.connection_for_read() as connection:
        bound = app.amqp.queues[queue](connection.default_channel)
        bound.declare()

        def taken() -> Iterator[Message]:
            while message := bound.get(no_ack=True):
                yield message

        return list(taken())


def _records(count: int) -> list[SourceRecord]:
    return [SourceRecord("crossref", f"10.1/{i}", f"Zürich {i}", i % 3) for i in range(count)]


def test_records_arrive_in_order_in_chunks(broker_url: str) -> None:
    records = _records(10)
    seen: list[int] = []
    report = enqueue(records, settings=_settings(broker_url, 4), progress=seen.append)
    assert report == EnqueueReport(records=10, chunks=3)
    assert seen == [4, 8, 10]
    messages = _messages(broker_url)
    arrived = [parse_chunk(json.loads(message.body)[0][0]) for message in messages]
    assert [record for taken, _ in arrived for record in taken] == records
    assert not any(refused for _, refused in arrived)
    for message in messages:
        assert message.headers["task"] == "resolver.resolve_chunk"
        assert message.content_type == "application/json"
        assert "Zürich" not in message.headers["argsrepr"]


@pytest.mark.parametrize("queue", ["interactive", "bulk"])
def test_queue_is_chosen(redis_url: str, queue: str) -> None:
    enqueue(_records(1), settings=_settings(redis_url), queue=queue)
    assert [len(_messages(redis_url, name)) for name in ("interactive", "bulk")] == [
        queue == "interactive",
        queue == "bulk",
    ]


def test_what_is_due_arrives_on_its_own_queue(broker_url: str) -> None:
    seen: list[int] = []
    due = [(1, [5, 6, 7]), (2, [5])]
    report = enqueue_refresh(iter(due), settings=_settings(broker_url), progress=seen.append)
    assert report == EnqueueReport(records=4, chunks=2)
    assert seen == [3, 4]
    assert _messages(broker_url) == []
    messages = _messages(broker_url, "refresh")
    assert [message.headers["task"] for message in messages] == 2 * ["resolver.refresh_chunk"]
    assert [json.loads(message.body)[0] for message in messages] == [[[5, 6, 7], 1], [[5], 2]]


@pytest.mark.parametrize("text", ["lone \ud800 surrogate", "NUL \0", "\U0001f600", "\u202e", ""])
def test_any_text_survives_the_way(broker_url: str, text: str) -> None:
    record = SourceRecord("crossref", "10.1/a", text)
    enqueue([record], settings=_settings(broker_url))
    [message] = _messages(broker_url)
    assert parse_chunk(message.decode()[0][0]) == ([record], [])


def test_bad_mapping_is_sent_for_the_worker_to_refuse(redis_url: str) -> None:
    enqueue([{"id": 1, "title": "…"}], settings=_settings(redis_url))
    [message] = _messages(redis_url)
    assert json.loads(message.body)[0][0] == [{"id": 1}]


def test_policy_travels_with_each_message(broker_url: str) -> None:
    policy = {"target_precision": 0.97, "level": "both", "types": ["Education"]}
    enqueue(_records(2), settings=_settings(broker_url, 1), policy=policy)
    options = [json.loads(message.body)[1] for message in _messages(broker_url)]
    assert options == [{"policy": policy | {"types": ["education"]}}] * 2


def test_without_a_policy_the_message_has_none(redis_url: str) -> None:
    enqueue(_records(1), settings=_settings(redis_url), policy={})
    [message] = _messages(redis_url)
    assert json.loads(message.body)[1] == {}


@pytest.mark.parametrize(
    "policy",
    [{"levle": "both"}, {"countries": ["UK"]}, {"target_precision": 0.9, "accept_probability": 1}],
    ids=str,
)
def test_bad_policy_is_not_sent(redis_url: str, policy: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="the policy: "):
        enqueue(_records(1), settings=_settings(redis_url), policy=policy)
    assert _messages(redis_url) == []


def test_nothing_to_send(broker_url: str) -> None:
    assert enqueue([], settings=_settings(broker_url)) == EnqueueReport(0, 0)


def test_unknown_queue_is_refused(redis_url: str) -> None:
    with pytest.raises(SettingsError, match="no such queue: dead"):
        enqueue(_records(1), settings=_settings(redis_url), queue="dead")


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_missing_broker_is_told_soon(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"{scheme}://user:secret@127.0.0.1:{unused.getsockname()[1]}/1"
        start = time.monotonic()
        with pytest.raises(BrokerUnavailable) as missing:
            enqueue(_records(1), settings=_settings(url))
    assert time.monotonic() - start < 25
    assert "after 0 records" in str(missing.value)
    assert missing.value.remedy is not None
    assert "secret" not in str(missing.value)


def test_queue_of_another_kind_is_told(rabbitmq_url: str) -> None:
    with Connection(rabbitmq_url) as connection:
        connection.default_channel.queue_declare("bulk", durable=True, auto_delete=False)
    with pytest.raises(BrokerUnavailable, match="PRECONDITION_FAILED"):
        enqueue(_records(1), settings=_settings(rabbitmq_url))


def test_error_of_the_caller_is_passed_on(redis_url: str) -> None:
    def records() -> Iterator[SourceRecord]:
        yield from _records(3)
        raise LookupError("the source broke")

    with pytest.raises(LookupError):
        enqueue(records(), settings=_settings(redis_url, 2))
    assert len(_messages(redis_url)) == 1


def _limited(broker_url: str, limit: int) -> Settings:
    return _settings(broker_url, chunk_size=1).model_copy(update={"queue_limit": limit})


def test_full_queue_is_told(broker_url: str) -> None:
    enqueue(_records(2), settings=_limited(broker_url, 100))
    with pytest.raises(QueueFull, match="bulk has 2 messages, 2 is the most; 0 records") as full:
        enqueue(_records(1), settings=_limited(broker_url, 2))
    assert "RESOLVER_QUEUE_LIMIT" in str(full.value)
    # Each queue is counted by itself; what is due finds room always.
    enqueue(_records(1), settings=_limited(broker_url, 2), queue="interactive")
    enqueue_refresh([(1, [1])] * 3, settings=_limited(broker_url, 2))
    assert len(_messages(broker_url)) == 2


def test_long_sending_is_stopped_soon_after_the_limit(redis_url: str) -> None:
    with pytest.raises(QueueFull, match=f"{2 * LOOK} records were sent"):
        enqueue(_records(10 * LOOK), settings=_limited(redis_url, LOOK + 1))


def test_sender_waits_for_room(broker_url: str) -> None:
    enqueue(_records(3), settings=_limited(broker_url, 3))
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(enqueue, _records(1), settings=_limited(broker_url, 3), wait=True)
        with pytest.raises(TimeoutError):
            sending.result(timeout=PAUSE / 2)
        taken = len(_messages(broker_url))
        sending.result(timeout=60)
    assert taken + len(_messages(broker_url)) == 4


# Chunks


@pytest.mark.parametrize(
    ("lengths", "size", "max_bytes", "expected"),
    [
        pytest.param([], 3, 10_000, [], id="none"),
        pytest.param([1] * 7, 3, 10_000, [3, 3, 1], id="by number"),
        pytest.param([1] * 6, 3, 10_000, [3, 3], id="full"),
        pytest.param([400] * 5, 10, 1_000, [2, 2, 1], id="by bytes"),
        pytest.param([5_000, 1, 5_000], 10, 1_000, [1, 1, 1], id="larger than a chunk"),
    ],
)
def test_chunks(lengths: list[int], size: int, max_bytes: int, expected: list[int]) -> None:
    records = [SourceRecord("s", "i", "x" * length) for length in lengths]
    assert [len(chunk) for chunk in chunks(records, size=size, max_bytes=max_bytes)] == expected


@pytest.mark.parametrize(
    "raw",
    ["x" * (MAX_SENT + 5), "x" * (MAX_SENT - 1), " " * 200_000, "<b>" * 5_000 + "Bonn",
     "&amp;" * 5_000, "\ufdfa" * 5_000_000],
    ids=["too long", "just short enough", "blank", "markup", "escapes", "15 MB"],
)  # fmt: skip
def test_a_huge_affiliation_is_cut_and_means_the_same(raw: str) -> None:
    for came in (SourceRecord("s", "i", raw), {"source": "s", "id": "i", "affiliation": raw}):
        [[record]] = chunks([came], size=1)
        sent = str(record["affiliation"])
        assert len(sent) <= MAX_SENT
        made, whole = Affiliation.of(sent), Affiliation.of(raw)
        assert (made.text, made.refused) == (whole.text, whole.refused)


@pytest.mark.parametrize("value", [b"bytes", datetime(2026, 1, 1), {1, 2}])
def test_what_json_cannot_say_is_told(value: object) -> None:
    good = {"source": "s", "id": "1", "affiliation": "ETH"}
    with pytest.raises(IntakeError, match="record 1: cannot be JSON"):
        list(chunks([good, good | {"id": value}], size=10))


# The document


@pytest.mark.parametrize("name", ["redis", "rabbitmq"])
def test_message_of_the_document_reads_like_our_own(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = request.getfixturevalue(f"{name}_url")
    record = SourceRecord("crossref", "10.5555/1", "ETH Zurich, Switzerland")
    enqueue([record], settings=_settings(url))
    run_example(name, url, monkeypatch)
    own, documented = _messages(url)
    assert documented.headers["task"] == own.headers["task"]
    assert documented.content_type == own.content_type
    assert documented.content_encoding == own.content_encoding
    for message in (own, documented):
        assert parse_chunk(message.decode()[0][0]) == ([record], [])
