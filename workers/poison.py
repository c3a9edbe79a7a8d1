"""What keeps one bad message from stopping the others: checks, counts, parts, and labels.

A message that kills its process is delivered again, and might kill for ever. RabbitMQ counts the
deliveries of each message; on Redis the process itself counts them, in a key beside the queues.
Once a chunk was begun and not ended it is suspect, and is done in parts: messages of their own, so
that what kills is found and its neighbours are done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from resolver.errors import ResolverError

if TYPE_CHECKING:
    from kombu import Message
    from redis import Redis

DELIVERY_LIMIT = 3
"""Deliveries of a message after one whose process died; then it is a dead letter."""

PART = 16
"""Records of a part of a suspect chunk; a suspect part is done record by record. So one string
that kills is alone after two deaths, and a chunk whose process died by chance costs a few more
messages, not hundreds."""

MAX_MESSAGE = 32 * 2**20
"""Bytes of a message that is read: more than the client sends in any case, where one record alone
may be of 100,000 characters and an escape takes 12 bytes."""

MAX_ID = 255
"""Characters of a task id: the longest short string of AMQP."""

MAX_ERROR = 1000
"""Characters of an error that are kept with a dead letter."""

MALFORMED = "malformed"
"""Header of what was found where a message should be (`resolver.workers.envelopes`): what is wrong
with it."""

KEPT = 7 * 24 * 60 * 60
"""Seconds that a count is kept on Redis: far longer than a message waits for the next worker."""


class Poisonous(ResolverError):
    """A message whose process died each time."""


def malformed(message: Message) -> str | None:
    """Why a message is no task at all; None when it is one.

    To be asked before Celery reads it: what these checks find would end the worker itself, or be
    acknowledged and lost.
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
    """Which of the headers that Celery acts upon before a process has the task cannot be: one of
    another kind than it expects would end the worker."""
    match headers.get("timelimit"):
        case None | [None | int() | float(), None | int() | float()]:
            pass
        case _:
            return "header timelimit: not two numbers"
    if not isinstance(headers.get("shadow"), str | None):
        return "header shadow: not a string"
    if headers.get("stamped_headers"):
        return "header stamped_headers: not known here"
    # What has a moment that cannot be reckoned with is rejected, and on Redis that is the end.
    if headers.get("eta") is not None:
        return "header eta: nothing is delayed here"
    return None


def parts(arguments: Sequence[Any], *, size: int = PART) -> list[list[Any]]:
    """The arguments of the messages that a suspect chunk is divided into: its first argument is
    the list of what is to be done. Empty when it cannot be divided.
    """
    if not arguments or not isinstance(arguments[0], list) or len(arguments[0]) < 2:
        return []
    items, others = arguments[0], list(arguments[1:])
    step = size if len(items) > size else 1
    return [[items[start : start + step], *others] for start in range(0, len(items), step)]


# Counting on Redis


def begun(client: Redis, key: str) -> int:
    """Count that a message is begun; returns how often it was begun before and not `ended`."""
    with client.pipeline() as pipeline:
        pipeline.incr(key)
        pipeline.expire(key, KEPT)
        count, _ = pipeline.execute()
    return int(count) - 1


def ended(client: Redis, key: str) -> None:
    """Forget the count of a message that is done or has failed."""
    client.delete(key)


def counted(delivery_tag: str) -> str:
    """The key of a message's count. A tag is of one message, and stays when it is given back."""
    return f"resolver.deliveries:{delivery_tag[:MAX_ID]}"


# Labels of dead letters

ERROR, QUEUE, FAILED_AT = "error", "queue", "failed_at"
_LABELS = frozenset({ERROR, QUEUE, FAILED_AT, MALFORMED, "redelivered", "compression"})
"""The last is of a body that is not compressed any more once it was taken."""


def labelled(
    headers: Mapping[str, Any] | None,
    *,
    queue: str,
    error: str,
    failed_at: datetime | None = None,
) -> dict[str, Any]:
    """The headers of a message with what a person wants to know of a dead letter."""
    return unlabelled(headers) | {
        ERROR: error[:MAX_ERROR],
        QUEUE: queue,
        FAILED_AT: (failed_at or datetime.now(UTC)).isoformat(timespec="seconds"),
    }


def unlabelled(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """The headers as they were sent: without labels, and without RabbitMQ's counts and history."""
    return {
        name: value
        for name, value in (headers or {}).items()
        if name not in _LABELS and not name.startswith("x-")
    }
