"""Poison messages: how one bad message is kept from stopping the others.

A message that kills its process is delivered again, and could kill one process after the other. So
deliveries are counted: by RabbitMQ itself; on Redis by the process, in a key beside the queues. A
chunk whose process died is suspect and is split into messages of their own: so the record that
kills is found, and the others are done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from resolver.answering.suspects import PART_SIZE, divided
from resolver.errors import ResolverError

if TYPE_CHECKING:
    from kombu import Message
    from redis import Redis

DELIVERY_LIMIT = 3
"""Deliveries of a message after the first whose process died; then it becomes a dead letter."""

MAX_MESSAGE = 32 * 2**20
"""Most bytes of a message that is read: more than the client ever sends, where a single record may
have 100,000 characters and an escape takes 12 bytes."""

MAX_ID = 255
"""Most characters of a task id: the longest short string of AMQP."""

MAX_ERROR = 1000
"""Most characters of an error that are kept with a dead letter."""

MALFORMED = "malformed"
"""Header of an element that was no message (`resolver.workers.envelopes`): what is wrong."""

KEEP_SECONDS = 7 * 24 * 60 * 60
"""Seconds that a count is kept on Redis: far longer than a message waits to be delivered again."""


class PoisonMessage(ResolverError):
    """A message whose process died at every delivery."""


def malformed(message: Message) -> str | None:
    """Why a message is no task; None when it is one.

    Call it before Celery reads the message: a message that fails these checks would end the worker
    itself, or be acknowledged and lost.
    """
    body, headers = message.body, message.headers
    if body is not None and len(body) > MAX_MESSAGE:
        return f"the message has {len(body)} bytes; {MAX_MESSAGE} is the most"
    if not isinstance(headers, Mapping):
        return "the message has no headers"
    if problem := headers.get(MALFORMED):
        return str(problem)[:MAX_ERROR]
    for name, longest in (("task", MAX_ID), ("id", MAX_ID)):
        value = headers.get(name)
        if not isinstance(value, str) or not 0 < len(value) <= longest:
            return f"header {name}: not a string of 1 to {longest} characters"
    if problem := _unfit(headers):
        return problem
    try:
        payload = message.payload
    # kombu hands on what the decoder of the content type raises.
    except Exception as error:  # noqa: BLE001
        return f"the body cannot be read: {type(error).__name__}: {error}"[:MAX_ERROR]
    match payload:
        case [list(), dict(), None | dict() as rest]:
            return "the body asks for callbacks" if any((rest or {}).values()) else None
    return "the body is not [arguments, keyword arguments, {}]"


def _unfit(headers: Mapping[str, Any]) -> str | None:
    """What is wrong with the headers that the worker's parent acts upon: one of another type than
    Celery expects would end it."""
    match headers.get("timelimit"):
        case None | [None | int() | float(), None | int() | float()]:
            pass
        case _:
            return "header timelimit: not two numbers"
    if not isinstance(headers.get("shadow"), str | None):
        return "header shadow: not a string"
    if headers.get("stamped_headers"):
        return "header stamped_headers: not known here"
    # Celery rejects a message whose time it cannot compute, and on Redis it would be lost.
    if headers.get("eta") is not None:
        return "header eta: nothing is delayed here"
    return None


def split(arguments: Sequence[Any], *, size: int = PART_SIZE) -> list[list[Any]]:
    """The arguments of the messages that a suspect chunk is split into: its first argument is the
    list to split. Empty when it cannot be split.
    """
    if not arguments or not isinstance(arguments[0], list):
        return []
    return [[part, *arguments[1:]] for part in divided(arguments[0], size=size)]


# Counting on Redis


def count_delivery(client: Redis, key: str) -> int:
    """Count a delivery; returns how many there were before since `forget_deliveries`."""
    with client.pipeline() as pipeline:
        pipeline.incr(key)
        pipeline.expire(key, KEEP_SECONDS)
        count, _ = pipeline.execute()
    return int(count) - 1


def forget_deliveries(client: Redis, key: str) -> None:
    """Drop the count of a message that is done or has failed."""
    client.delete(key)


def delivery_key(delivery_tag: str) -> str:
    """The key of a message's count. A delivery tag belongs to one message, and stays the same when
    the message goes back."""
    return f"resolver.deliveries:{delivery_tag[:MAX_ID]}"


# Labels of dead letters

ERROR, QUEUE, FAILED_AT = "error", "queue", "failed_at"
_LABELS = frozenset({ERROR, QUEUE, FAILED_AT, MALFORMED, "redelivered", "compression"})
"""The last names a compression that the body does not have any more."""


def add_labels(
    headers: Mapping[str, Any] | None,
    *,
    queue: str,
    error: str,
    failed_at: datetime | None = None,
) -> dict[str, Any]:
    """The headers of a dead letter: those of the message, with its queue, error and time."""
    return remove_labels(headers) | {
        ERROR: error[:MAX_ERROR],
        QUEUE: queue,
        FAILED_AT: (failed_at or datetime.now(UTC)).isoformat(timespec="seconds"),
    }


def remove_labels(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The headers as they were sent: without labels, and without RabbitMQ's counts and history."""
    return {
        name: value
        for name, value in (headers or {}).items()
        if name not in _LABELS and not name.startswith("x-")
    }
