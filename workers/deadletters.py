"""Dead letters: they are listed, sent back to their queues, or dropped.

With both brokers messages are taken without an acknowledgement, and put back. A letter that is sent
elsewhere is acknowledged once it is there: a kill in between leaves it twice, never lost, and doing
a chunk twice changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from resolver.errors import BrokerUnavailable, SettingsError
from resolver.network import addresses
from resolver.workers import broker, poison
from resolver.workers.app import create_app
from resolver.workers.broker import CONNECT_TIMEOUT
from resolver.workers.client import (
    FORGET,
    REBUILD_REVIEW,
    REFRESH_CHUNK,
    RESOLVE_CHUNK,
    RETRIES,
    SENT_AT,
    UPDATE,
    WITHDRAW_CHUNK,
)
from resolver.workers.delivery import bury, forward
from resolver.workers.queues import QUEUES, dead_queue, failures

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Message

    from resolver.settings import Settings

ORIGINS = {
    REFRESH_CHUNK: "refresh",
    UPDATE: "registry",
    FORGET: "registry",
    REBUILD_REVIEW: "registry",
}
"""The queues of tasks whose letter does not name one; those of other tasks go to ``bulk``."""

REASONS = {
    "delivery_limit": "its process died each time",
    "rejected": "it was refused; the worker's log has the reason",
}
"""RabbitMQ's names for the causes of the dead letters that it makes itself."""

SETTLING = 10.0
"""Most seconds to wait until letters that were put back are in their queue. They are there sooner,
unless another process has taken them meanwhile."""

LOOKS = 5
"""Deliveries after which a letter that is listed is sent anew to its queue: RabbitMQ counts them,
and from version 4 on drops a message that was put back twenty times."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed.

    `records` counts the records of a chunk, or the affiliations of a chunk that was due; it is None
    where the message cannot be read. `first` is the source and id of the first record, where they
    can be read. `failed_at` is None where it was not noted.
    """

    id: str
    queue: str
    task: str | None
    records: int | None
    first: tuple[str, str] | None
    error: str
    failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class LetterContent:
    """A dead letter with what its message says.

    `arguments` are those of the task by name; None where the message cannot be read. `body` is then
    the beginning of what it is instead. `sent_at` is None where the message does not say.
    """

    letter: DeadLetter
    sent_at: datetime | None
    arguments: Mapping[str, object] | None
    body: str
    remedy: str


ARGUMENTS = {
    RESOLVE_CHUNK: ("records", "policy", "replace"),
    WITHDRAW_CHUNK: ("records",),
    REFRESH_CHUNK: ("affiliation_ids", "policy_id"),
}
"""The names of the arguments of each task, in their order (docs/tasks.md)."""

MAX_BODY = 2_000
"""Most characters that are shown of a message that cannot be read."""

_DROP = "then drop this letter"
_KILLS = (
    "resolve its affiliations one by one to see which it is (resolver explain TEXT), report it, "
    f"and retry after an upgrade; or send the others again, {_DROP}"
)
REMEDIES = (
    (UPDATE, r"not done after", f"run: resolver update, which has no time limit; {_DROP}"),
    (UPDATE, r"", f"remove the cause, and run: resolver update; {_DROP}"),
    (FORGET, r"", f"remove the cause, and run: resolver forget; {_DROP}"),
    (REBUILD_REVIEW, r"", f"remove the cause, and run: resolver review rebuild; {_DROP}"),
    (
        None,
        r"PolicyError",
        f"send the records again with a policy that docs/tasks.md allows; {_DROP}",
    ),
    (
        None,
        r"IntakeError|MessageError",
        f"mend the sender (docs/tasks.md), and send the records again; {_DROP}",
    ),
    (None, r"PoisonMessage|in each of \d+ processes|process died", _KILLS),
    (
        None,
        r"no such task",
        "a program of another version sent it: upgrade the workers and retry, or drop it",
    ),
    (
        None,
        r"the message has |the body |header \w+:|not a task message",
        "another program writes to this queue: find it; this letter can only be dropped",
    ),
    (
        None,
        r"",
        "the worker's log has more, at the time when it failed; remove the cause and retry",
    ),
)
"""Task (None: any), pattern of the error, and what helps; the first that fits."""


def letter_content(settings: Settings, id: str) -> LetterContent:
    """One letter, with all of its message. It stays where it is.

    Raises:
        BrokerUnavailable: the broker does not answer.
        SettingsError: no letter has this id.
    """
    content = None
    with _letters(settings) as box:
        for letter, message in box.take(box.count()):
            if letter.id == id:
                content = _whole(letter, message)
            box.keep()
    if content is None:
        raise SettingsError(
            f"no dead letter has the id {id}", remedy="see: resolver deadletters list"
        )
    return content


def remedy(letter: DeadLetter) -> str:
    """What helps against the error of a letter."""
    return next(
        helps
        for task, pattern, helps in REMEDIES
        if task in (None, letter.task) and re.search(pattern, letter.error)
    )


def letters(settings: Settings, *, most: int | None = None) -> tuple[list[DeadLetter], int]:
    """The `most` oldest letters (None: all), and the number of all. They stay where they are.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    oldest: list[DeadLetter] = []
    with _letters(settings) as box:
        count = box.count()
        # All of them are taken: those that are put back go to the end of the queue.
        for letter, _ in box.take(count):
            if most is None or len(oldest) < most:
                oldest.append(letter)
            box.keep()
    return oldest, count


def retry(settings: Settings, ids: Collection[str] | None = None) -> int:
    """Send the letters with these ids (None: all) back to their queues; returns how many.

    Raises:
        BrokerUnavailable: the broker does not answer; those before are back in their queues.
        SettingsError: no letter has one of the ids; the others are back in their queues.
    """
    return _each(settings, ids, lambda box, message, letter: box.send(message, letter.queue))


def drop(settings: Settings, ids: Collection[str] | None = None) -> int:
    """Delete the letters with these ids (None: all); returns how many.

    Raises:
        as `retry`; those before are deleted.
    """
    return _each(settings, ids, lambda box, message, letter: None)  # noqa: ARG005


def _each(settings: Settings, ids: Collection[str] | None, action: Any) -> int:
    done, met = 0, set()
    with _letters(settings) as box:
        for letter, message in box.take(box.count()):
            if ids is not None and letter.id not in ids:
                box.keep()
                continue
            action(box, message, letter)
            box.remove()
            done += 1
            met.add(letter.id)
    if missing := sorted(set(ids or ()) - met):
        raise SettingsError(
            f"no dead letter has the id {', '.join(missing[:5])}; {done} others were found",
            remedy="see: resolver deadletters list",
        )
    return done


class _Box:
    """The queue of dead letters, one letter in hand at a time."""

    def __init__(self, app: Celery, channel: Any) -> None:
        self._app = app
        self._channel = channel
        self._queue = dead_queue(amqp=app.amqp_broker)(channel)
        self._queue.declare()
        self._kept: list[str | int] = []
        self._hand: Message | None = None

    def count(self) -> int:
        return int(self._queue.queue_declare().message_count)

    def take(self, most: int) -> Iterator[tuple[DeadLetter, Message]]:
        """One letter after the other, the oldest first. Call `keep` or `remove` for each."""
        for _ in range(most):
            self._hand = self._queue.get()
            if self._hand is None:
                return
            yield _read(self._hand), self._hand

    def keep(self) -> None:
        message = self._taken()
        looks = message.headers.get("x-delivery-count")
        if isinstance(looks, int) and looks >= LOOKS:
            letter = _read(message)
            bury(self._app, message, letter.error, queue=letter.queue, failed_at=letter.failed_at)
            message.ack()
            return
        # It is put back at the end: at once it would be taken again next.
        self._kept.append(message.delivery_tag)

    def remove(self) -> None:
        self._taken().ack()

    def send(self, message: Message, queue: str) -> None:
        forward(
            self._app, message, self._app.amqp.queues[queue], poison.remove_labels(message.headers)
        )

    def _taken(self) -> Message:
        message, self._hand = self._hand, None
        if message is None:
            raise RuntimeError("no letter is in hand")
        return message

    def give_back(self) -> None:
        tags = [*self._kept, *([self._hand.delivery_tag] if self._hand else [])]
        for tag in tags:
            self._channel.basic_reject(tag, requeue=True)
        # On RabbitMQ they are back a moment later; whoever lists them next must see them.
        deadline = time.monotonic() + SETTLING
        while self.count() < len(tags) and time.monotonic() < deadline:
            time.sleep(0.02)


@contextmanager
def _letters(settings: Settings) -> Iterator[_Box]:
    with broker.address(settings) as url:
        app = create_app(settings, broker_url=url)
        with app.connection_for_write() as connection:
            try:
                connection.ensure_connection(**RETRIES, timeout=4 * CONNECT_TIMEOUT)
                box = _Box(app, connection.default_channel)
                try:
                    yield box
                finally:
                    box.give_back()
            except failures(connection) as error:
                raise BrokerUnavailable(
                    f"the broker at {addresses.shown(url)} failed: {error or type(error).__name__}",
                    remedy="check RESOLVER_BROKER_URL and that it runs; then do it again",
                ) from error
            finally:
                app.close()


# Reading


def _read(message: Message) -> DeadLetter:
    headers = message.headers if isinstance(message.headers, dict) else {}
    death = _death(headers)
    task, given = headers.get("task"), headers.get("id")
    records, first = _content(message)
    queue = headers.get(poison.QUEUE) or death.get("queue")
    error = headers.get(poison.ERROR) or REASONS.get(death.get("reason", ""), death.get("reason"))
    return DeadLetter(
        id=given if isinstance(given, str) and given else _digest(message),
        queue=queue if queue in QUEUES else ORIGINS.get(str(task), "bulk"),
        task=task if isinstance(task, str) else None,
        records=records,
        first=first,
        error=str(error or "it does not say"),
        failed_at=_moment(headers.get(poison.FAILED_AT) or death.get("time")),
    )


def _death(headers: dict[str, Any]) -> dict[str, Any]:
    """RabbitMQ's header about how the message left its queue; empty where there is none."""
    match headers.get("x-death"):
        case [dict(last), *_]:
            return last
    return {}


def _content(message: Message) -> tuple[int | None, tuple[str, str] | None]:
    try:
        match json.loads(message.body):
            case [[list(items), *_], *_]:
                return len(items), _first(items)
    # Anybody may have written it, nested to any depth.
    except (TypeError, ValueError, RecursionError):
        pass
    return None, None


def _whole(letter: DeadLetter, message: Message) -> LetterContent:
    arguments: dict[str, object] | None = None
    body = message.body
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        match json.loads(text):
            case [list(given), dict(named), *_]:
                names = ARGUMENTS.get(letter.task or "", ())
                unnamed = [f"argument {n}" for n in range(len(names) + 1, len(given) + 1)]
                arguments = {**dict(zip([*names, *unnamed], given, strict=False)), **named}
    except (ValueError, RecursionError):
        pass
    return LetterContent(
        letter=letter,
        sent_at=_sent(message),
        arguments=arguments,
        body="" if arguments is not None else text[:MAX_BODY],
        remedy=remedy(letter),
    )


def _sent(message: Message) -> datetime | None:
    headers = message.headers if isinstance(message.headers, dict) else {}
    try:
        return datetime.fromtimestamp(float(headers[SENT_AT]), UTC)
    except (LookupError, TypeError, ValueError, OverflowError, OSError):
        return None


def _first(items: Sequence[object]) -> tuple[str, str] | None:
    match items:
        case [{"source": source, "id": identifier}, *_]:
            return str(source)[:100], str(identifier)[:500]
    return None


def _digest(message: Message) -> str:
    """An id for a message that has none."""
    body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
    return "body-" + hashlib.sha256(body).hexdigest()[:16]


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    # py-amqp reads RabbitMQ's timestamps as UTC without a zone.
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
