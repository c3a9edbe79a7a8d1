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
from support.task_document import run_example

from resolver.errors import BrokerUnavailable, IntakeError, QueueFull, SettingsError
from resolver.intake.message import parse_chunk, parse_keys, parse_whole
from resolver.intake.record import SourceRecord, WholeRecord
from resolver.settings import Settings
from resolver.text.affiliation import Affiliation
from resolver.workers.app import create_app
from resolver.workers.client import (
    LOOK,
    MAX_POSITIONS,
    MAX_SENT,
    PAUSE,
    EnqueueReport,
    chunks,
    enqueue,
    enqueue_refresh,
    whole_chunks,
    withdraw,
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


# Whole records


def _whole(*groups: tuple[str, int]) -> list[SourceRecord]:
    """Records by id, with so many positions each."""
    return [
        SourceRecord("s", name, f"{name} {place}", place)
        for name, count in groups
        for place in range(count)
    ]


@pytest.mark.parametrize(
    ("groups", "size", "expected"),
    [
        pytest.param([], 3, [], id="none"),
        pytest.param([("a", 2), ("b", 1)], 3, [(3, {"a": 2, "b": 1})], id="in one message"),
        pytest.param(
            [("a", 2), ("b", 2)], 3, [(2, {"a": 2}), (2, {"b": 2})], id="rather whole than full"
        ),
        pytest.param(
            [("a", 1), ("b", 7), ("c", 1)],
            3,
            # A message has what fits, and always all positions of its records.
            [(3, {"a": 1, "b": 7}), (3, {"b": 7}), (3, {"b": 7, "c": 1})],
            id="longer than a message",
        ),
    ],
)
def test_whole_records(
    groups: list[tuple[str, int]], size: int, expected: list[tuple[int, dict[str, int]]]
) -> None:
    found = [
        (len(chunk), {str(one["id"]): len(one["positions"]) for one in whole})  # type: ignore[arg-type]
        for chunk, whole in whole_chunks(_whole(*groups), size=size)
    ]
    assert found == expected


def test_whole_records_are_read_by_the_worker() -> None:
    last = {"source": "s", "id": 7.0, "affiliation": "x", "position": 2.0}
    [(chunk, whole)] = whole_chunks([*_whole(("a", 2)), last], size=9)
    assert [one.external_id for one in parse_chunk(chunk)[0]] == ["a", "a", "7"]
    expected = [WholeRecord("s", "a", (0, 1)), WholeRecord("s", "7", (2,))]
    assert parse_whole(whole) == (expected, [])


def test_large_texts_of_a_whole_record_go_over_several_messages() -> None:
    records = [SourceRecord("s", "a", "x" * 400, place) for place in range(5)]
    found = list(whole_chunks(records, size=10, max_bytes=1_100))
    assert [len(chunk) for chunk, _ in found] == [2, 2, 1]
    assert {tuple(one["positions"]) for _, [one] in found} == {(0, 1, 2, 3, 4)}  # type: ignore[arg-type]


def test_record_that_comes_back_is_not_replaced_by_its_rest() -> None:
    with pytest.raises(IntakeError, match="record 3: s a comes back after other records"):
        list(whole_chunks(_whole(("a", 2), ("b", 1), ("a", 1)), size=1))


def test_record_without_end_is_no_record() -> None:
    """Whoever names the wrong column has one id for all."""

    def records() -> Iterator[SourceRecord]:
        for place in range(10**9):
            yield SourceRecord("s", "a", "ETH", place)

    with pytest.raises(IntakeError, match="s a has more than 10,000 affiliations"):
        list(whole_chunks(records(), size=9))


def test_all_records_are_sent_also_those_to_be_refused() -> None:
    bad = {"source": "s", "affiliation": "ETH"}
    found = whole_chunks((bad for _ in range(MAX_POSITIONS + 5)), size=1000)
    assert sum(len(chunk) for chunk, _ in found) == MAX_POSITIONS + 5


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "x"},
        {"source": None, "id": "x"},
        {"source": "s", "id": 1.5},
        {"source": "s", "id": "x", "position": True},
    ],
)
def test_what_cannot_be_read_replaces_nothing(bad: dict[str, object]) -> None:
    [(chunk, whole)] = whole_chunks([bad, *_whole(("a", 1))], size=9)
    assert chunk[0] == bad
    assert [one["id"] for one in whole] == ["a"]


def test_replacing_and_withdrawing_travel(broker_url: str) -> None:
    records = _whole(("a", 2), ("b", 1))
    assert enqueue(records, settings=_settings(broker_url), replace=True) == EnqueueReport(3, 1)
    keys = [{"source": "s", "id": "c", "title": "…"}, {"source": "s", "id": 4, "position": 1}]
    assert withdraw(keys, settings=_settings(broker_url)) == EnqueueReport(2, 1)
    first, second = _messages(broker_url)
    [sent], options, _ = json.loads(first.body)
    assert parse_chunk(sent) == (records, [])
    assert parse_whole(options["replace"])[0] == [
        WholeRecord("s", "a", (0, 1)), WholeRecord("s", "b", (0,)),
    ]  # fmt: skip
    assert second.headers["task"] == "resolver.withdraw_chunk"
    [sent], options, _ = json.loads(second.body)
    assert parse_keys(sent) == ([("s", "c", None), ("s", "4", 1)], [])
    assert options == {}


def test_withdrawing_from_an_unknown_queue_is_refused(redis_url: str) -> None:
    with pytest.raises(SettingsError, match="no such queue: dead"):
        withdraw([], settings=_settings(redis_url), queue="dead")


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
