"""Logs: a line of text for each message, or a JSON object a line for a log collector.

All code logs through the standard library, and structlog renders the records, those of libraries
included. structlog's context (task, queue, record, resolver version) is in every line of its
thread. Passwords are masked and long values cut in all of them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TextIO

import structlog
from structlog.contextvars import merge_contextvars

from resolver.network import addresses

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

    from resolver.settings import Settings

Format = Literal["text", "json"]

MAX_VALUE = 2_000
"""Characters kept of a value: an affiliation may have megabytes."""

MAX_TRACEBACK = 20_000
"""Characters kept of a traceback: its end, where the error is."""

_QUIET = ("httpx", "httpcore", "alembic", "amqp")
"""Libraries that log a line for each request at INFO, which only debugging needs."""

_FIELDS = frozenset({"chunk", "request"})
"""Keys of a record's ``extra`` that go into the line."""

_FOR_MACHINES = frozenset({"chunk", "logger", "task", "records", "request", "resolver_version"})
"""Fields that a line of text leaves out."""


def configure(
    settings: Settings,
    level: int | str = logging.INFO,
    *,
    stream: TextIO | None = None,
    file: str | None = None,
) -> None:
    """Log all of this process to `stream` (standard error), or to `file`, as the settings say.

    Takes the place of whatever handlers the root logger had.
    """
    handler: logging.Handler = (
        logging.FileHandler(file, encoding="utf-8")
        if file
        else logging.StreamHandler(stream or sys.stderr)
    )
    colours = file is None and bool(getattr(stream or sys.stderr, "isatty", lambda: False)())
    handler.setFormatter(formatter(settings.log_format, secrets=secrets(settings), colours=colours))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING) if root.level > 10 else 0)


def formatter(
    form: Format, *, secrets: Iterable[str] = (), colours: bool = False
) -> logging.Formatter:
    """Renders the standard library's records; `secrets` are masked wherever they stand."""
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _of_celery,
        structlog.stdlib.ExtraAdder(allow=_FIELDS),
        structlog.processors.format_exc_info,
        _spread if form == "json" else _readable,
        # Masked before values are cut: half a password would not be recognised.
        _Masked(secrets),
        _cut,
    ]
    last: list[Processor] = (
        [
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, pad_level=False)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def secrets(settings: Settings) -> frozenset[str]:
    """What no line may show: the secret settings, and the passwords in URLs."""
    from pydantic import SecretStr

    values = [
        value.get_secret_value()
        for name in type(settings).model_fields
        if isinstance(value := getattr(settings, name), SecretStr)
    ]
    secret: set[str] = set()
    for value in values:
        secret |= addresses.secrets(value) if "://" in value else {value}
    # Shorter ones are parts of ordinary words; in URLs they are masked all the same.
    return frozenset(value for value in secret if len(value) >= 4)


class _Masked:
    """Masks passwords in every string of a line, however deep."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = frozenset(secrets)

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        return {
            key: value if key.startswith("_") else self._masked(value)
            for key, value in event.items()
        }

    def _masked(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._masked(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(inner) for inner in value]
        if isinstance(value, bool | int | float | None):
            return value
        return addresses.masked(str(value), self._secrets)


def _of_celery(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Celery's own records name their task in ``extra``; those of the parent have no context."""
    data = getattr(event.get("_record"), "data", None)
    if isinstance(data, Mapping) and "id" in data:
        event.setdefault("task_id", data["id"])
        event.setdefault("task", data.get("name"))
    return event


def _spread(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The figures of a chunk or a request as fields of their own, instead of in the sentence."""
    for name in _FIELDS:
        figures = event.pop(name, None)
        if isinstance(figures, Mapping):
            event["event"] = f"{name} done"
            event.update(figures)
    return event


def _readable(_logger: object, _method: str, event: EventDict) -> EventDict:
    """For a line of text: its message has the figures of a chunk already."""
    return {key: value for key, value in event.items() if key not in _FOR_MACHINES}


def _cut(_logger: object, _method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str) and key == "exception":
            event[key] = value[-MAX_TRACEBACK:]
        elif isinstance(value, str) and len(value) > MAX_VALUE:
            event[key] = f"{value[:MAX_VALUE]}… ({len(value):,} characters)"
    return event
