"""Message envelopes on Redis: every element of a list becomes a message that kombu can read.

On Redis a queue is a list, and anybody may push anything to it. kombu takes an element out of the
list before it reads it: one that is not in kombu's form ends the worker, or looks like a lost
connection, and is lost. So each element is checked before kombu reads it. One that is wrong becomes
a message that is no task and says why, and so a dead letter (`resolver.workers.poison.malformed`).
"""

from __future__ import annotations

import base64
import binascii
import logging
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

import kombu
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

from resolver.workers.poison import MALFORMED, MAX_ERROR, MAX_ID

logger = logging.getLogger(__name__)


def readable(element: bytes, queue: str) -> bytes:
    """An element of the list of `queue` in a form that kombu can read; most are returned unchanged.

    Of an incomplete envelope the body and headers are kept where they can be read; of anything else
    the element itself becomes the body. Its address becomes the list that it came from, whatever it
    names: kombu would drop a message to an exchange that it has no binding for.
    """
    try:
        envelope = loads(element)
    # Deep nesting, wrong UTF-8, and what kombu's own types make of their values.
    except Exception as error:  # noqa: BLE001
        return _malformed(queue, f"not JSON: {type(error).__name__}: {error}", element)
    if problem := _content_problem(envelope):
        return _malformed(queue, problem, element)
    if problem := _address_problem(envelope):
        return _malformed(
            queue,
            problem,
            _body(envelope) or element,
            headers=envelope.get("headers"),
            kind=(envelope.get("content-type"), envelope.get("content-encoding")),
        )
    properties = envelope["properties"]
    info = properties["delivery_info"]
    if (info.get("exchange"), info.get("routing_key")) == ("", queue):
        return element
    info.update(exchange="", routing_key=queue)
    return _dumped(envelope)


def _content_problem(envelope: object) -> str | None:
    """Why body and headers cannot be read; None when they can."""
    if not isinstance(envelope, dict):
        return "the element is no JSON object"
    if not isinstance(envelope.get("headers"), dict | None):
        return "headers: not an object"
    for name in ("content-type", "content-encoding"):
        if not isinstance(envelope.get(name), str | None):
            return f"{name}: not a string"
    try:
        _body(envelope)
    except (TypeError, ValueError) as error:
        return f"body: {error}"
    return None


def _address_problem(envelope: Mapping[str, Any]) -> str | None:
    """What kombu lacks to deliver the message, put it back and acknowledge it; None for nothing."""
    properties = envelope.get("properties")
    if not isinstance(properties, dict):
        return "properties: missing, or not an object"
    tag = properties.get("delivery_tag")
    if not isinstance(tag, str) or not 0 < len(tag) <= MAX_ID:
        return f"properties.delivery_tag: not a string of 1 to {MAX_ID} characters"
    if not isinstance(properties.get("delivery_info"), dict):
        return "properties.delivery_info: missing, or not an object"
    if not isinstance(properties.get("priority", 0), int | None):
        # kombu would lose a message whose priority it cannot read when it puts it back.
        return "properties.priority: not a whole number"
    return None


def _body(envelope: Mapping[str, Any]) -> bytes:
    """The body as its sender had it.

    Raises:
        ValueError, TypeError: it is no text, or not in the encoding that it names.
    """
    body = envelope.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise TypeError("not a string")
    properties = envelope.get("properties")
    # Where the encoding cannot be read, it is most likely kombu's default.
    encoding = properties.get("body_encoding") if isinstance(properties, dict) else "base64"
    match encoding:
        case None | "" | "utf-8":
            return body.encode()
        case "base64":
            try:
                return base64.b64decode(body)
            except binascii.Error as error:
                raise ValueError(f"not in base64: {error}") from error
    raise ValueError(f"body_encoding is none that is known: {encoding!r:.100}")


def _malformed(
    queue: str,
    problem: str,
    body: bytes,
    *,
    headers: Mapping[str, Any] | None = None,
    kind: tuple[str | None, str | None] = (None, None),
) -> bytes:
    content_type, content_encoding = kind
    return _dumped(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": content_type or "application/data",
            "content-encoding": content_encoding or "binary",
            "headers": {**(headers or {}), MALFORMED: problem[:MAX_ERROR]},
            "properties": {
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
            },
        }
    )


def _dumped(envelope: Mapping[str, Any]) -> bytes:
    text: str = dumps(envelope)
    return text.encode()


class Connection(kombu.Connection):  # type: ignore[misc]
    """kombu's connection, over which every element of a list on Redis is a message."""

    def get_transport_cls(self) -> type:
        transport: type = super().get_transport_cls()
        if transport.__module__ != "kombu.transport.redis":
            return transport
        return _reading(transport)


@cache
def _reading(transport: Any) -> type:
    """kombu's transport for Redis, with a client that calls `readable` for each element."""
    # Imported late: it takes time, and RabbitMQ does not need it.
    import redis

    separator = transport.Channel.sep

    def queue(key: str | bytes) -> str:
        # Each priority has a list of its own.
        return str(bytes_to_str(key)).rsplit(separator, 1)[0]

    class Client(redis.Redis):
        # kombu waits with BRPOP, whose answer it reads by itself, and takes with RPOP.

        def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
            answer: Any = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
            if command_name == "BRPOP" and answer:
                key, element = answer
                return key, readable(element, queue(key))
            return answer

        def rpop(self, name: Any, count: int | None = None) -> Any:
            element = super().rpop(name, count)
            return readable(element, queue(name)) if isinstance(element, bytes) else element

    class Reading(transport.Channel):  # type: ignore[misc]
        def _get_client(self) -> type:
            super()._get_client()  # checks the version of redis-py
            return Client

        def _deliver_fanout_message(self, message: Any, exchange: str) -> Any:
            if problem := _content_problem(message) or _address_problem(message):
                logger.warning("a broadcast cannot be read and is dropped: %s", problem)
                return False
            return super()._deliver_fanout_message(message, exchange)

    return type(transport.__name__, (transport,), {"Channel": Reading})
