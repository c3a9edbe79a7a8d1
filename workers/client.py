"""The sending end: records, and what is due, → chunk messages on a queue.

It runs in other people's programs, so it is light and changes nothing there: kombu sends, and no
module that works on what is sent is loaded.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from kombu import Producer, Queue

from resolver.errors import BrokerUnavailable, IntakeError, QueueFull, SettingsError
from resolver.intake.record import SourceRecord
from resolver.matching.policy import Policy
from resolver.network import addresses
from resolver.settings import Settings, load_settings
from resolver.text.affiliation import MAX_CHARACTERS
from resolver.workers import broker
from resolver.workers.broker import CONFIRM_TIMEOUT, CONNECT_TIMEOUT
from resolver.workers.queues import QUEUES, dead_queue, failures, queues

RESOLVE_CHUNK = "resolver.resolve_chunk"
WITHDRAW_CHUNK = "resolver.withdraw_chunk"
REFRESH_CHUNK = "resolver.refresh_chunk"
UPDATE = "resolver.update"
FORGET = "resolver.forget"

SENT_AT = "sent_at"
"""Header of a message: when it was sent, in seconds since the epoch."""

MAX_BYTES = 2**20
"""Bytes of the records of one message, unless a single record is larger. RabbitMQ takes up to
16 MiB, but holds what is in flight in memory."""

MAX_SENT = MAX_CHARACTERS + 1
"""Characters sent of one affiliation: enough to show that it is too long, and no more is read of
it."""

MAX_POSITIONS = 10_000
"""Affiliations of one record that is replaced whole: these are held in memory, and named in each of
its messages. Physics has papers of some 3,000 authors."""

RETRIES = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 1.0}
"""For each message; with `CONNECT_TIMEOUT` a broker that is away is reported within 25 s."""

_FIELDS = ("source", "id", "affiliation", "position")
_KEYS = ("source", "id", "position")


@dataclass(frozen=True, slots=True)
class EnqueueReport:
    """What was sent: `records` in `chunks` messages."""

    records: int
    chunks: int


def enqueue(
    records: Iterable[SourceRecord | Mapping[str, object]],
    *,
    settings: Settings | None = None,
    queue: str = "bulk",
    policy: Mapping[str, object] | None = None,
    wait: bool = False,
    replace: bool = False,
    progress: Callable[[int], None] | None = None,
) -> EnqueueReport:
    """Send records to the workers, `settings.chunk_size` a message; returns when all are sent.

    A queue of `settings.queue_limit` messages takes no more: with `wait` this waits for the workers
    to make room, for as long as it takes.

    `policy` has what these records ask for otherwise than the workers' settings do: any of
    ``accept_probability`` or ``target_precision``, ``max_links``, ``level``, ``succession``,
    ``types``, ``countries`` (docs/tasks.md).

    With `replace` each record is whole: what is stored of a source and id at other positions than
    come here is withdrawn. All positions of a record must follow each other, and it must be sent
    with them all; it may go over several messages. A record of which nothing is left is to be
    withdrawn (`withdraw`).

    A mapping has the keys of a message (``source``, ``id``, ``affiliation``, ``position``);
    whether it is a good record is for the worker to say, which stores the refused ones. Lone
    surrogates travel as they are. `progress` gets the number of records sent so far, after each
    message. Sending a record twice is harmless, so a call that failed may be made again whole.

    Raises:
        BrokerUnavailable: the broker does not answer or refuses; says how many were sent.
        IntakeError: a record cannot be written as JSON, or one to be replaced comes back after
            others; those before it may have been sent.
        QueueFull: the queue is full; says how many were sent.
        SettingsError: no such queue, or the settings or the policy cannot be used.
    """
    if queue not in QUEUES:
        raise SettingsError(f"no such queue: {queue}", remedy=f"choose from {', '.join(QUEUES)}")
    options = {"policy": checked(policy)} if policy else {}
    settings = settings or load_settings()
    size = settings.chunk_size
    if replace:
        messages = (
            _Message(RESOLVE_CHUNK, (chunk,), {**options, "replace": whole}, len(chunk))
            for chunk, whole in whole_chunks(records, size=size)
        )
    else:
        messages = (
            _Message(RESOLVE_CHUNK, (chunk,), options, len(chunk))
            for chunk in chunks(records, size=size)
        )
    return _send(messages, settings, queue, progress, room=_Room(settings.queue_limit, wait))


def withdraw(
    records: Iterable[Mapping[str, object]],
    *,
    settings: Settings | None = None,
    queue: str = "bulk",
    wait: bool = False,
    progress: Callable[[int], None] | None = None,
) -> EnqueueReport:
    """Tell the workers what a source takes back: ``{"source", "id"}``, and ``"position"`` where it
    is not all of a record. Other keys are not sent.

    Messages have no order: what is to be withdrawn must have been stored. Done twice it is
    harmless. `wait` and `progress` are as for `enqueue`.

    Raises:
        as `enqueue`.
    """
    if queue not in QUEUES:
        raise SettingsError(f"no such queue: {queue}", remedy=f"choose from {', '.join(QUEUES)}")
    settings = settings or load_settings()
    messages = (
        _Message(WITHDRAW_CHUNK, (chunk,), {}, len(chunk))
        for chunk in chunks(records, size=settings.chunk_size, fields=_KEYS)
    )
    return _send(messages, settings, queue, progress, room=_Room(settings.queue_limit, wait))


def enqueue_refresh(
    chunks: Iterable[tuple[int, Sequence[int]]],
    *,
    settings: Settings | None = None,
    progress: Callable[[int], None] | None = None,
) -> EnqueueReport:
    """Send what is due to the queue ``refresh``: (policy id, affiliation ids), each a message.

    Sending it twice is harmless: what was resolved meanwhile is not due any more. These messages
    are small, and never more than there are answers: no limit holds for them.

    Raises:
        BrokerUnavailable: the broker does not answer or refuses; says how many were sent.
    """
    messages = (
        _Message(REFRESH_CHUNK, (list(affiliations), policy_id), {}, len(affiliations))
        for policy_id, affiliations in chunks
    )
    return _send(messages, settings or load_settings(), "refresh", progress)


LOOK = 16
"""Messages between two looks at how long the queue is: several senders may together pass the limit
by as many each."""

PAUSE = 1.0
"""Seconds between two looks at a full queue."""


@dataclass(frozen=True, slots=True)
class _Room:
    """A queue's limit, and whether to wait for room."""

    limit: int
    wait: bool

    def require(self, queue: Queue, sent: EnqueueReport) -> None:
        if sent.chunks % LOOK:
            return
        while (length := int(queue.queue_declare().message_count)) >= self.limit:
            if not self.wait:
                raise QueueFull(
                    f"queue {queue.name} has {length:,} messages, {self.limit:,} is the most; "
                    f"{sent.records:,} records were sent",
                    remedy="start more workers, wait (--wait), or raise RESOLVER_QUEUE_LIMIT; "
                    "then send all again",
                )
            time.sleep(PAUSE)


@dataclass(frozen=True, slots=True)
class _Message:
    task: str
    arguments: tuple[object, ...]
    options: Mapping[str, object]
    records: int


def _send(
    messages: Iterable[_Message],
    settings: Settings,
    queue: str,
    progress: Callable[[int], None] | None,
    *,
    room: _Room | None = None,
) -> EnqueueReport:
    sent = EnqueueReport(0, 0)
    with broker.address(settings) as url, broker.connection(settings, url) as connection:
        amqp = broker.is_amqp(url)
        try:
            connection.ensure_connection(**RETRIES, timeout=4 * CONNECT_TIMEOUT)
            # A message that fails before any worker has run needs a place to go.
            dead_queue(amqp=amqp)(connection.default_channel).declare()
            [target] = (one for one in queues(amqp=amqp) if one.name == queue)
            producer = Producer(connection, auto_declare=False)
            bound = target(connection.default_channel)
            for message in messages:
                if room:
                    room.require(bound, sent)
                _publish(producer, target, message)
                sent = EnqueueReport(sent.records + message.records, sent.chunks + 1)
                if progress:
                    progress(sent.records)
        except failures(connection) as error:
            raise BrokerUnavailable(
                f"the broker at {addresses.shown(url)} failed after {sent.records} records "
                f"were sent: {error or type(error).__name__}",
                remedy="check RESOLVER_BROKER_URL and that it runs; then send all again",
            ) from error
    return sent


def _publish(producer: Producer, queue: Queue, message: _Message) -> None:
    """Send a message in the form of Celery's protocol 2 (docs/tasks.md); returns when the broker
    has it."""
    task_id = str(uuid.uuid4())
    producer.publish(
        (message.arguments, message.options, {}),
        serializer="json",
        exchange="",
        routing_key=queue.name,
        declare=[queue],
        mandatory=True,
        headers={
            "task": message.task,
            "id": task_id,
            "argsrepr": f"({message.records} records)",
            "kwargsrepr": repr(message.options)[:200],
            SENT_AT: time.time(),
        },
        correlation_id=task_id,
        delivery_mode=2,
        retry=True,
        retry_policy=RETRIES,
        confirm_timeout=CONFIRM_TIMEOUT,
    )


def checked(policy: Mapping[str, object]) -> dict[str, object]:
    """The choices of a message as they are sent, once it is clear that a worker can read them.

    Raises:
        SettingsError: one is not known or makes no sense.
    """
    try:
        # What threshold a precision takes is for the worker to say, which has the models.
        read = Policy.from_object(policy, threshold_for=lambda _: 1.0).as_object()
    except ValueError as error:
        raise SettingsError(f"the policy: {error}") from error
    return {name: read.get(name, value) for name, value in policy.items()}


def chunks(
    records: Iterable[SourceRecord | Mapping[str, object]],
    *,
    size: int,
    max_bytes: int = MAX_BYTES,
    fields: Sequence[str] = _FIELDS,
) -> Iterator[list[dict[str, object]]]:
    """Records as they are sent, at most `size` and, but for a single larger one, `max_bytes` each.

    Raises:
        IntakeError: a record cannot be written as JSON.
    """
    chunk: list[dict[str, object]] = []
    total = 0
    for message, length in _messages(records, fields):
        if chunk and (len(chunk) == size or total + length > max_bytes):
            yield chunk
            chunk, total = [], 0
        chunk.append(message)
        total += length
    if chunk:
        yield chunk


_Chunk = list[dict[str, object]]


def whole_chunks(
    records: Iterable[SourceRecord | Mapping[str, object]], *, size: int, max_bytes: int = MAX_BYTES
) -> Iterator[tuple[_Chunk, _Chunk]]:
    """As `chunks`, each with the records that it replaces: ``{"source", "id", "positions"}``, where
    these are all positions of the record, also those that are in another message. So each message
    says all by itself, and may come late, twice, or in parts.

    What has no source, id and positions that can be read replaces nothing, and is sent for the
    worker to refuse.

    Raises:
        IntakeError: a record cannot be written as JSON, or comes back after others: the one would
            withdraw the other.
    """
    chunk: _Chunk = []
    whole: _Chunk = []
    total = 0
    for group, replaced in _groups(records):
        added = len(json.dumps(replaced)) if replaced else 0
        said = False
        if chunk and len(chunk) + len(group) > size >= len(group):
            # Rather one message than parts in two.
            yield chunk, whole
            chunk, whole, total = [], [], 0
        for message, length in group:
            more = length + (0 if said else added)
            if chunk and (len(chunk) == size or total + more > max_bytes):
                yield chunk, whole
                chunk, whole, total, said = [], [], 0, False
                more = length + added
            if replaced and not said:
                whole.append(replaced)
            said = True
            chunk.append(message)
            total += more
    if chunk:
        yield chunk, whole


def _groups(
    records: Iterable[SourceRecord | Mapping[str, object]],
) -> Iterator[tuple[list[tuple[dict[str, object], int]], dict[str, object] | None]]:
    """Neighbours of one source and id, as (message, length), and what they replace."""
    from resolver.intake.positions import Positions

    with Positions() as positions:
        number = 0
        for key, group in groupby(_messages(records, _FIELDS), key=lambda one: _key(one[0])):
            if key is None:
                for one in group:
                    number += 1
                    yield [one], None
                continue
            messages = list(islice(group, MAX_POSITIONS + 1))
            if len(messages) > MAX_POSITIONS:
                raise IntakeError(
                    position=number,
                    reason=f"{' '.join(key)} has more than {MAX_POSITIONS:,} affiliations, and "
                    "cannot be replaced whole: is that its id?",
                )
            if positions.came(*key):
                raise IntakeError(
                    position=number,
                    reason=f"{' '.join(key)} comes back after other records, and would replace "
                    "what came of it before: sort by id",
                )
            number += len(messages)
            yield messages, _replaced(key, [message for message, _ in messages])


def _replaced(
    key: tuple[str, str], messages: Sequence[Mapping[str, object]]
) -> dict[str, object] | None:
    """The record and all its positions; None where one of them cannot be read."""
    positions = {_whole_number(message.get("position", 0)) for message in messages}
    if None in positions:
        return None
    source, external_id = key
    return {
        "source": source,
        "id": external_id,
        "positions": sorted(position for position in positions if position is not None),
    }


def _key(message: Mapping[str, object]) -> tuple[str, str] | None:
    """Source and id as the worker reads them; None where it will refuse the record."""
    source, external_id = message.get("source"), message.get("id")
    if (number := _whole_number(external_id)) is not None:
        external_id = str(number)
    if isinstance(source, str) and isinstance(external_id, str):
        return source, external_id
    return None


def _whole_number(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _messages(
    records: Iterable[SourceRecord | Mapping[str, object]], fields: Sequence[str]
) -> Iterator[tuple[dict[str, object], int]]:
    """Each record as it is sent, and the length of that in JSON."""
    for position, record in enumerate(records):
        message = _message(record, fields)
        try:
            yield message, len(json.dumps(message))
        except (TypeError, ValueError, RecursionError) as error:
            raise IntakeError(position=position, reason=f"cannot be JSON: {error}") from error


def _message(
    record: SourceRecord | Mapping[str, object], fields: Sequence[str]
) -> dict[str, object]:
    if isinstance(record, SourceRecord):
        return {
            "source": record.source,
            "id": record.external_id,
            "affiliation": record.affiliation[:MAX_SENT],
            "position": record.position,
        }
    message = {field: record[field] for field in fields if field in record}
    affiliation = message.get("affiliation")
    if isinstance(affiliation, str):
        message["affiliation"] = affiliation[:MAX_SENT]
    return message
