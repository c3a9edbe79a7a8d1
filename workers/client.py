"""The sending end: records, and what is due, → chunk messages on a queue."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kombu import Queue
from kombu.utils.url import maybe_sanitize_url

from resolver.domain.affiliation import MAX_CHARACTERS, SourceRecord
from resolver.domain.policy import Policy
from resolver.errors import BrokerUnavailable, IntakeError, QueueFull, SettingsError
from resolver.service import broker
from resolver.settings import Settings, load_settings
from resolver.workers.app import CONNECT_TIMEOUT, create_app
from resolver.workers.delivery import CONFIRM_TIMEOUT
from resolver.workers.queues import QUEUES, dead_queue, failures

RESOLVE_CHUNK = "resolver.resolve_chunk"
REFRESH_CHUNK = "resolver.refresh_chunk"
UPDATE = "resolver.update"
FORGET = "resolver.forget"

MAX_BYTES = 2**20
"""Bytes of the records of one message, unless a single record is larger. RabbitMQ takes up to
16 MiB, but holds what is in flight in memory."""

MAX_SENT = 10 * MAX_CHARACTERS
"""Characters sent of one affiliation. What is longer is too long to be searched whatever it
says, unless nine tenths of it are markup or white space."""

RETRIES = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.5, "interval_max": 1.0}
"""For each message; with `CONNECT_TIMEOUT` a broker that is away is reported within 25 s."""

_FIELDS = ("source", "id", "affiliation", "position")


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
    progress: Callable[[int], None] | None = None,
) -> EnqueueReport:
    """Send records to the workers, `settings.chunk_size` a message; returns when all are sent.

    A queue of `settings.queue_limit` messages takes no more: with `wait` this waits for the workers
    to make room, for as long as it takes.

    `policy` has what these records ask for otherwise than the workers' settings do: any of
    ``accept_probability`` or ``target_precision``, ``max_links``, ``level``, ``succession``,
    ``types``, ``countries`` (docs/tasks.md).

    A mapping has the keys of a message (``source``, ``id``, ``affiliation``, ``position``);
    whether it is a good record is for the worker to say, which stores the refused ones. Lone
    surrogates travel as they are. `progress` gets the number of records sent so far, after each
    message. Sending a record twice is harmless, so a call that failed may be made again whole.

    Raises:
        BrokerUnavailable: the broker does not answer or refuses; says how many were sent.
        IntakeError: a record cannot be written as JSON; those before it may have been sent.
        QueueFull: the queue is full; says how many were sent.
        SettingsError: no such queue, or the settings or the policy cannot be used.
    """
    if queue not in QUEUES:
        raise SettingsError(f"no such queue: {queue}", remedy=f"choose from {', '.join(QUEUES)}")
    options = {"policy": checked(policy)} if policy else {}
    settings = settings or load_settings()
    messages = (
        _Message(RESOLVE_CHUNK, (chunk,), options, len(chunk))
        for chunk in chunks(records, size=settings.chunk_size)
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
    with broker(settings) as url:
        app = create_app(settings, broker_url=url)
        with app.connection_for_write() as connection:
            try:
                connection.ensure_connection(**RETRIES, timeout=4 * CONNECT_TIMEOUT)
                # A message that fails before any worker has run needs a place to go.
                dead_queue(amqp=app.amqp_broker)(connection.default_channel).declare()
                producer = app.amqp.Producer(connection, auto_declare=False)
                bound = app.amqp.queues[queue](connection.default_channel)
                for message in messages:
                    if room:
                        room.require(bound, sent)
                    app.send_task(
                        message.task,
                        args=message.arguments,
                        kwargs=message.options,
                        queue=queue,
                        producer=producer,
                        retry=True,
                        retry_policy=RETRIES,
                        confirm_timeout=CONFIRM_TIMEOUT,
                        argsrepr=f"({message.records} records)",
                        kwargsrepr=repr(message.options),
                    )
                    sent = EnqueueReport(sent.records + message.records, sent.chunks + 1)
                    if progress:
                        progress(sent.records)
            except failures(connection) as error:
                raise BrokerUnavailable(
                    f"the broker at {maybe_sanitize_url(url)} failed after {sent.records} records "
                    f"were sent: {error or type(error).__name__}",
                    remedy="check RESOLVER_BROKER_URL and that it runs; then send all again",
                ) from error
            finally:
                app.close()
    return sent


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
    records: Iterable[SourceRecord | Mapping[str, object]], *, size: int, max_bytes: int = MAX_BYTES
) -> Iterator[list[dict[str, object]]]:
    """Records as they are sent, at most `size` and, but for a single larger one, `max_bytes` each.

    Raises:
        IntakeError: a record cannot be written as JSON.
    """
    chunk: list[dict[str, object]] = []
    total = 0
    for position, record in enumerate(records):
        message = _message(record)
        try:
            length = len(json.dumps(message))
        except (TypeError, ValueError, RecursionError) as error:
            raise IntakeError(position=position, reason=f"cannot be JSON: {error}") from error
        if chunk and (len(chunk) == size or total + length > max_bytes):
            yield chunk
            chunk, total = [], 0
        chunk.append(message)
        total += length
    if chunk:
        yield chunk


def _message(record: SourceRecord | Mapping[str, object]) -> dict[str, object]:
    if isinstance(record, SourceRecord):
        return {
            "source": record.source,
            "id": record.external_id,
            "affiliation": record.affiliation[:MAX_SENT],
            "position": record.position,
        }
    message = {field: record[field] for field in _FIELDS if field in record}
    affiliation = message.get("affiliation")
    if isinstance(affiliation, str):
        message["affiliation"] = affiliation[:MAX_SENT]
    return message
