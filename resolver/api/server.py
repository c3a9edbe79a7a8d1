"""Requests to a server (`resolver serve`): sent, sent again, and their failures as errors."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from resolver import __version__
from resolver.errors import (
    RequestRefused,
    ResolverError,
    ServerProblem,
    ServerUnavailable,
    SettingsError,
)
from resolver.network import addresses, trust
from resolver.network.retrying import JITTER, asked_wait

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
"""Seconds before a request is sent again; doubled each time, up to `LONGEST_PAUSE`. A server that
says how long to wait (``Retry-After``) is asked again after that time."""

LONGEST_PAUSE = 10.0

CONNECT_SECONDS = 10.0
"""Longest that a connection may take to be made."""

PASSING = frozenset({429, 502, 503, 504})
"""Statuses of failures that may pass; 502 and 504 are a proxy's whose server is away."""

SHOWN = 300
"""Most characters shown of an answer that is no problem document."""


class Retries:
    """The tries of a request: when it is sent again, for `seconds` after the last progress."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.progress()

    def progress(self) -> None:
        """Something was answered: the time and the pauses begin anew."""
        self._end = time.monotonic() + self._seconds
        self._pause = FIRST_PAUSE

    def next_pause(self, problem: ServerUnavailable) -> float:
        """Seconds to wait before the request is sent again.

        Raises:
            ServerUnavailable: `problem`, where that would be too late.
        """
        pause = self._pause * random.uniform(1.0, 1.0 + JITTER)  # noqa: S311
        pause = max(pause, problem.wait or 0.0)
        if time.monotonic() + pause > self._end:
            raise problem
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        log.warning("%s; it is asked again in %.1f s", problem.problem, pause)
        return pause


class Server:
    """The server at `url`, whose connections stay open until `close`.

    It belongs to the event loop that makes the first request. `timeout` is the longest, in seconds,
    that the server may be silent; `retry_seconds` how long a request whose failure may pass is sent
    again, from its last progress.

    Raises:
        SettingsError: the address, the key or a number cannot be used.
    """

    def __init__(self, url: str, *, key: str | None, timeout: float, retry_seconds: float) -> None:
        # Loaded here, for the import to stay light.
        import httpx

        self.url = _checked_url(url)
        if not timeout > 0 or not retry_seconds >= 0:
            raise SettingsError(
                f"timeout={timeout:g}, retry_seconds={retry_seconds:g}: not times",
                remedy="give seconds: more than 0, and 0 or more",
            )
        headers = {"User-Agent": f"affiliation-resolver/{__version__}"}
        if key is not None:
            if not key.isascii() or not key.isprintable() or not key.strip():
                raise SettingsError(
                    "the key has other characters than a key of the server may have"
                )
            headers["Authorization"] = f"Bearer {key}"
        self._retry_seconds = retry_seconds
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS, pool=None),
        )

    @property
    def is_closed(self) -> bool:
        return self._client.is_closed

    async def close(self) -> None:
        await self._client.aclose()

    def retries(self) -> Retries:
        """The tries of a request that begins now."""
        return Retries(self._retry_seconds)

    async def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """The whole answer to a request, which is sent again while its failure may pass; `content`
        is as for `opened`.

        Raises:
            RequestRefused: the server refuses it.
            ServerUnavailable: it does not answer, whatever is tried.
        """
        retries = self.retries()
        while True:
            try:
                async with self.opened(method, path, **content) as response:
                    await response.aread()
                    return response
            except ServerUnavailable as problem:
                await asyncio.sleep(retries.next_pause(problem))

    @asynccontextmanager
    async def opened(self, method: str, path: str, **content: Any) -> AsyncIterator[httpx.Response]:
        """The answer to a request that is sent once, to be read while it comes. `content` is as for
        `httpx.AsyncClient.stream`.

        Raises:
            RequestRefused, ServerUnavailable: as `request`; also while the answer is read.
            ResolverError: the connections were closed.
        """
        import httpx

        if self.is_closed:
            raise ResolverError("this AsyncResolver was closed", remedy="open another one")
        try:
            async with self._client.stream(method, path, **content) as response:
                if not response.is_success:
                    await response.aread()
                    raise self._problem(response)
                yield response
        except httpx.RequestError as error:
            kind = type(error).__name__
            problem = f"{self.url} does not answer: {kind}{f': {error}' if str(error) else ''}"
            if trust.is_refused(error):
                raise ServerUnavailable(
                    problem,
                    remedy="set SSL_CERT_FILE to the certificates of its authority",
                    wait=math.inf,
                ) from error
            raise ServerUnavailable(
                problem, remedy="check the address, and that resolver serve runs there"
            ) from error

    async def lines(self, response: httpx.Response) -> AsyncIterator[Mapping[str, Any]]:
        """The objects of an answer that has one a line.

        Raises:
            ServerProblem: a line is none.
        """
        # Not by `aiter_lines`: it also divides at characters that JSON may hold as they are.
        begun = b""
        async for piece in response.aiter_bytes():
            *complete, begun = (begun + piece).split(b"\n")
            for line in complete:
                yield self.read(line)
        if begun.strip():
            yield self.read(begun)

    def read(self, body: bytes) -> Mapping[str, Any]:
        """The object that an answer, or a line of it, is.

        Raises:
            ServerProblem: it is none.
        """
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            self.not_understood(error)
        if not isinstance(document, dict):
            self.not_understood(TypeError("not an object"))
        return document

    def not_understood(self, error: Exception) -> NoReturn:
        """
        Raises:
            ServerProblem: the server answers in another form than this version reads.
        """
        raise ServerProblem(
            f"{self.url} answers in a form that is not known here: {type(error).__name__}: {error}",
            remedy="check that resolver serve runs there, of the version that is installed here "
            f"({__version__})",
        ) from error

    def _problem(self, response: httpx.Response) -> ServerProblem:
        """What the server's error says."""
        status = response.status_code
        problem = f"{self.url} answers {status}: {_detail(response)}"
        if status in PASSING:
            wait = asked_wait(response.headers.get("Retry-After", ""))
            return ServerUnavailable(problem, status=status, wait=wait)
        remedy = "give one of the server's keys as key=…" if status == 401 else None
        return RequestRefused(problem, status=status, remedy=remedy)


def _detail(response: httpx.Response) -> str:
    """The ``detail`` of a problem document, else the beginning of what came."""
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("detail"), str):
        return str(document["detail"])
    return " ".join(response.text.split())[:SHOWN] or response.reason_phrase or "no words"


def _checked_url(url: str) -> str:
    """The address without a slash at its end."""
    try:
        address = addresses.read(url)
    except ValueError as error:
        raise SettingsError(f"the server's address is {error}") from error
    if address.scheme not in ("http", "https") or not address.host or address.options:
        raise SettingsError(
            f"{address} is no address of a server", remedy="write it as https://host:port/path"
        )
    if address.user is not None:
        raise SettingsError(f"the address of {address} has a user", remedy="give the key as key=…")
    return str(address).rstrip("/")
