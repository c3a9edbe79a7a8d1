"""Who may ask, how often, and how much: keys, rates, sizes."""

from __future__ import annotations

import hmac
import json
import logging
import math
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

from limits import RateLimitItem, parse_many
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.storage import storage_from_string
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resolver.doors.problems import Problem
from resolver.errors import SettingsError
from resolver.settings import Settings

log = logging.getLogger(__name__)

MIB = 2**20

MAX_BODY = 2 * MIB
"""Most bytes of a request, gzip undone, where its door takes no more (`LARGER`)."""

MAX_JOB_BODY = 64 * MIB

LARGER: Mapping[str, int] = {"/jobs": MAX_JOB_BODY}
"""Most bytes by path."""

STREAMED = "application/x-ndjson"
"""Bodies of this kind are read line by line and have no end that is known, so only the lines are
limited (`resolver.doors.lines`); to ``/jobs`` the limit of its bytes applies all the same."""

OPEN = frozenset({"/healthz", "/readyz", "/metrics", "/heartbeat", "/v2/heartbeat"})
"""Paths that need no key and are not counted: those who watch over the server ask them."""

SHORTEST_KEY = 16


class Keys:
    """The keys of a file: a name and a key a line, with white space between them; ``#`` begins a
    comment. The name is what logs and rate limits call the key's holder.

    The file is read again when it changes. If it cannot be used then, the keys stay as they were,
    and the log says why.

    Raises:
        SettingsError: the file cannot be read or has no key, or a key is shorter than 16
            characters; shows none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = _state(path)
        self._keys = _read_keys(path)

    def holder(self, key: str) -> str | None:
        """The name of a key; None where it is none of these."""
        self._follow()
        given = key.encode("utf-8", "surrogateescape")
        found = None
        for name, known in self._keys:
            # All are compared: the time says nothing of which came near.
            if hmac.compare_digest(given, known):
                found = name
        return found

    def _follow(self) -> None:
        """Read the file again if it has changed."""
        state = _state(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            self._keys = _read_keys(self._path)
            log.info("RESOLVER_SERVE_KEYS was read again: %d keys", len(self._keys))
        except SettingsError as error:
            log.error("the keys stay as they were: %s", error)


def _state(path: Path) -> tuple[int, ...] | None:
    """What differs when a file was changed or replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read_keys(path: Path) -> list[tuple[str, bytes]]:
    """Names and keys.

    Raises:
        SettingsError: as `Keys`.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"RESOLVER_SERVE_KEYS: {path} cannot be read: {error}") from error
    keys = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or len(words[1]) < SHORTEST_KEY or not words[1].isascii():
            raise SettingsError(
                f"RESOLVER_SERVE_KEYS: {path}, line {number}: not a name and a key",
                remedy=f"write a name, a space, and {SHORTEST_KEY} or more ASCII characters",
            )
        keys.append((words[0], words[1].encode()))
    if not keys:
        raise SettingsError(
            f"RESOLVER_SERVE_KEYS: {path} has no key", remedy="write a name and a key a line"
        )
    return keys


def key_of(headers: Headers, query: bytes) -> str | None:
    """The key that a request brings: ``Authorization: Bearer``, ``X-Api-Key``, or ``?api_key=``,
    for clients such as OpenRefine that can send no header."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if key := headers.get("x-api-key"):
        return key
    if b"api_key=" in query:
        return parse_qs(query.decode("latin-1")).get("api_key", [None])[0]
    return None


class Rates:
    """How many requests a holder of a key, or an address, may send.

    The requests of the last minute (hour …) are counted: in Redis for all processes, or in this
    one. While Redis does not answer nobody is refused.

    Raises:
        SettingsError: a setting cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.serve_rate is not None
        try:
            self.items: list[RateLimitItem] = parse_many(settings.serve_rate)
        except ValueError as error:
            raise SettingsError(
                f"RESOLVER_SERVE_RATE: {settings.serve_rate!r} is no rate",
                remedy="write it as 100/minute; several with a semicolon between them",
            ) from error
        self._limiter = MovingWindowRateLimiter(_storage(settings))
        self._warned = 0.0

    async def wait(self, who: str) -> int:
        """Count a request; seconds to wait until `who` may send the next, 0 where this one may."""
        seconds = 0
        try:
            for item in self.items:
                if not await self._limiter.hit(item, who):
                    window = await self._limiter.get_window_stats(item, who)
                    seconds = max(seconds, math.ceil(window.reset_time - time.time()), 1)
        except Exception as error:  # noqa: BLE001 - each kind of storage has its own errors
            if time.monotonic() - self._warned > 60:
                self._warned = time.monotonic()
                log.warning("requests are not counted: %s: %s", type(error).__name__, error)
            return 0
        return seconds


_SOCKET = "redis+socket://"


def _storage(settings: Settings) -> Storage:
    """Redis where the settings name one, else this process's memory."""
    secret = settings.serve_rate_url or settings.broker_url
    url = secret.get_secret_value() if secret else ""
    if url.startswith(_SOCKET):
        # As Celery writes it.
        path, _, query = url.removeprefix(_SOCKET).partition("?")
        database = parse_qs(query).get("virtual_host", ["0"])[0]
        url = f"redis+unix://{path}?db={database}"
    if not url.startswith(("redis://", "rediss://", "redis+unix://")):
        if settings.serve_rate_url:
            raise SettingsError(
                "RESOLVER_SERVE_RATE_URL: not Redis", remedy="write it as redis://host:6379/1"
            )
        url = "memory://"
    options = {} if url == "memory://" else {"implementation": "redispy", "socket_timeout": 1}
    storage = storage_from_string(f"async+{url}", **options)  # type: ignore[arg-type]
    assert isinstance(storage, Storage)
    return storage


class Gate:
    """Lets a request in that has a key, where keys are asked for, and is not too often."""

    def __init__(self, app: ASGIApp, *, keys: Keys | None, rates: Rates | None) -> None:
        self._app = app
        self._keys = keys
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            problem = await self._refused(scope)
            if problem is not None:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _refused(self, scope: Scope) -> Problem | None:
        holder = None
        if self._keys is not None:
            key = key_of(Headers(scope=scope), scope["query_string"])
            holder = self._keys.holder(key) if key else None
            if holder is None:
                return Problem(
                    401,
                    "this key is not known" if key else "send a key: Authorization: Bearer KEY",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            scope.setdefault("state", {})["holder"] = holder
        if self._rates is None:
            return None
        client = scope.get("client")
        # Apart from each other: a key may be named like an address.
        who = f"key {holder}" if holder else f"address {client[0] if client else '-'}"
        if seconds := await self._rates.wait(who):
            allowed = "; ".join(map(str, self._rates.items))
            return Problem(
                429,
                f"too many requests: {allowed} are allowed; wait {seconds} s",
                headers={"Retry-After": str(seconds)},
            )
        return None


class Bodies:
    """Undoes gzip, and answers 413 to a body that is too large, before all of it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        most = limit_of(scope["path"], headers.get("content-type", ""))
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            problem = Problem(
                415, f"the encoding {json.dumps(encoding[:40])} is not known; use gzip"
            )
            await problem.response()(scope, receive, send)
            return
        body = _Body(receive, most, gzipped=encoding == "gzip")
        if encoding == "gzip":
            kept = [
                (name, value)
                for name, value in scope["headers"]
                if name not in (b"content-encoding", b"content-length")
            ]
            scope = {**scope, "headers": kept}
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, body.receive, sending)
        except Problem as problem:
            if started:
                raise
            await problem.response()(scope, receive, send)


def limit_of(path: str, content_type: str) -> int | None:
    """Most bytes of the body of a request; None where it is streamed and has no limit."""
    if path in LARGER:
        return LARGER[path]
    return None if content_type.partition(";")[0].strip().lower() == STREAMED else MAX_BODY


class _Body:
    """The messages of a body, plain and counted."""

    def __init__(self, receive: Receive, most: int | None, *, gzipped: bool) -> None:
        self._receive = receive
        self._most = most
        self._read = 0
        self._gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if gzipped else None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self._gzip:
            body = self._plain(body, last=not more)
        self._read += len(body)
        if self._most is not None and self._read > self._most:
            raise _too_large(self._most)
        return {"type": "http.request", "body": body, "more_body": more}

    def _plain(self, body: bytes, *, last: bool) -> bytes:
        assert self._gzip is not None
        # A small body may be gigabytes when it is undone: no more of it than may be kept.
        most = (MAX_JOB_BODY if self._most is None else self._most - self._read) + 1
        try:
            plain = self._gzip.decompress(body, most)
        except zlib.error as error:
            raise Problem(400, f"the body is not gzip: {error}") from error
        if self._gzip.unconsumed_tail:
            raise _too_large(self._most or MAX_JOB_BODY)
        if last and not self._gzip.eof:
            raise Problem(400, "the body ends within its gzip data")
        return plain


def _too_large(most: int) -> Problem:
    return Problem(413, f"the body is too large: {most:,} bytes are the most, gzip undone")
