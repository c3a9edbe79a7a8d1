"""The client: sends records, withdrawals and answers that are due to the workers, in chunks.

It runs in other people's programs, so it is light and changes nothing there: it needs kombu only,
and loads no module that resolves.
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
REBUILD_REVIEW = "resolver.rebuild_review"

SENT_AT = "sent_at"
"""Header of a message: the time at which it was sent, in seconds since the epoch."""

MAX_BYTES = 2**20
"""Most bytes of the records of one message, unless a single record is larger. RabbitMQ takes up to
16 MiB, but holds messages that are delivered and not acknowledged in memory."""

MAX_SENT = MAX_CHARACTERS + 1
"""Most characters sent of one affiliation: enough for the worker to see that it is too long."""

MAX_POSITIONS = 10_000
"""Most affiliations of one record that is replaced whole: they are held in memory, and listed in
each of its messages. There are papers in physics with some 3,000 authors."""

RETRIES = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 1.0}
"""For each message. With `CONNECT_TIMEOUT`, a broker that is away is reported within 25 s."""

_FIELDS = ("source", "id", "affiliation", "position")
_KEYS = ("source", "id", "position")


@dataclass(frozen=True, slots=True)
class EnqueueReport:
    """`records` were sent in `chunks` messages."""

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

    A queue takes at most `settings.queue_limit` messages. With `wait` this waits until the workers
    have made room, however long that takes.

    `policy` has the choices for these records that differ from the workers' settings: any of
    ``accept_probability`` or ``target_precision``, ``max_links``, ``level``, ``succession``,
    ``types``, ``countries`` (docs/tasks.md).

    With `replace` each record is whole: other positions of its source and id that are stored are
    withdrawn. So all positions of a record must be sent, one after the other; they may go over
    several messages. Withdraw a record that has no affiliation any more (`withdraw`).

    A mapping has the keys of a message (``source``, ``id``, ``affiliation``, ``position``). The
    worker checks the record, and stores it as refused where it is not good. Lone surrogates are
    sent as they are. `progress` is called with the number of records sent so far, after each
    message. Sending a record twice is harmless, so a call that failed may be repeated whole.

    Raises:
        BrokerUnavailable: the broker does not answer or refuses; says how many were sent.
        IntakeError: a record cannot be written as JSON, or the positions of a record to be replaced
            do not follow each other; those before it may have been sent.
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
    """Send the records that a source has withdrawn: ``{"source", "id"}``, with ``"position"`` where
    only one affiliation of a record is withdrawn. Other keys are not sent.

    Messages have no order, so records must be stored before they are withdrawn. Withdrawing twice
    is harmless. `wait` and `progress` are as for `enqueue`.

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
    """Send answers that are due to the queue ``refresh``: (policy id, affiliation ids), each a
    message.

    Sending twice is harmless: answers that were given meanwhile are not due any more. These
    messages are small and no more than there are answers, so `settings.queue_limit` does not hold.

    Raises:
        BrokerUnavailable: the broker does not answer or refuses; says how many were sent.
    """
    messages = (
        _Message(REFRESH_CHUNK, (list(affiliations), policy_id), {}, len(affiliations))
        for policy_id, affiliations in chunks
    )
    return _send(messages, settings or load_settings(), "refresh", progress)


LOOK = 16
"""Messages sent between two looks at the length of the queue: each of several senders may exceed
the limit by as many."""

PAUSE = 1.0
"""Seconds between two looks at a full queue."""


@dataclass(frozen=True, slots=True)
class _Room:
    """The limit of a queue, and whether to wait for room."""

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
            [target] = (known for known in queues(amqp=amqp) if known.name == queue)
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
    """The choices of a message as they are sent, checked so that a worker can read them.

    Raises:
        SettingsError: a choice is not known or makes no sense.
    """
    try:
        # The threshold of a target precision is looked up by the worker, which has the models.
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
    """Records as they are sent, in chunks of at most `size` records and `max_bytes` bytes; a single
    record may be larger.

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
    """As `chunks`, each with the records that it replaces: ``{"source", "id", "positions"}`` with
    all positions of the record, also those in another message. So each message is complete by
    itself, and may come late, twice, or in parts.

    A record whose source, id or position cannot be read replaces nothing; it is sent all the same,
    and the worker refuses it.

    Raises:
        IntakeError: a record cannot be written as JSON, or its positions do not follow each other:
            the later ones would withdraw the earlier ones.
    """
    chunk: _Chunk = []
    whole: _Chunk = []
    total = 0
    for group, replaced in _groups(records):
        added = len(json.dumps(replaced)) if replaced else 0
        listed = False
        if chunk and len(chunk) + len(group) > size >= len(group):
            # A group that fits into one message is not divided.
            yield chunk, whole
            chunk, whole, total = [], [], 0
        for message, length in group:
            more = length + (0 if listed else added)
            if chunk and (len(chunk) == size or total + more > max_bytes):
                yield chunk, whole
                chunk, whole, total, listed = [], [], 0, False
                more = length + added
            if replaced and not listed:
                whole.append(replaced)
            listed = True
            chunk.append(message)
            total += more
    if chunk:
        yield chunk, whole


def _groups(
    records: Iterable[SourceRecord | Mapping[str, object]],
) -> Iterator[tuple[list[tuple[dict[str, object], int]], dict[str, object] | None]]:
    """Records of one source and id that follow each other, as (message, length in JSON), and the
    record that they replace."""
    from resolver.intake.positions import Positions

    with Positions() as positions:
        number = 0
        for key, group in groupby(_messages(records, _FIELDS), key=lambda record: _key(record[0])):
            if key is None:
                for record in group:
                    number += 1
                    yield [record], None
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
    """The record with all its positions; None where a position cannot be read."""
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
    """Source and id as the worker reads them; None where it refuses the record."""
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
    """Each record as it is sent, and its length in JSON."""
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
