"""HTTP to a server that computes scores; its failures become this project's errors."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
from pydantic import SecretStr

from resolver import __version__
from resolver.errors import ModelError, RerankerUnavailable
from resolver.network import trust
from resolver.network.retrying import PassingError, asked_wait, retrying

TIMEOUT = 30.0
IN_FLIGHT = 8

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for a connection."""

ATTEMPTS = 4
BACKOFF = 0.5
"""Seconds before the second attempt, doubled before each further one: a server that is gone is
given up after some 4 s. Longer outages are the caller's, who can wait without holding requests."""

PATIENCE = 2.0
"""A request and its repetitions may take this many times the time-out."""

MAX_ANSWER = 16 * 2**20
"""Bytes of an answer; one with `servers.MAX_DOCUMENTS` results has some 30 kB."""

JSON = "application/json"

_PASSING = frozenset({408, 424, 425, 429, 500, 502, 503, 504})
"""Statuses after which another attempt may succeed. 424 is TEI's failed inference."""

_NOTHING_THERE = frozenset({200, 301, 302, 303, 307, 308, 404, 405, 501})

Answer = TypeVar("Answer")


class Refused(ModelError):
    """The server answers with an error that another attempt will not change."""

    def __init__(self, problem: str, *, status: int, remedy: str) -> None:
        self.status = status
        super().__init__(problem, remedy=remedy)


class ServerClient:
    """A client of one server.

    Certificates are verified, against `ca_file` or, where that is None, the system's
    authorities or those of ``SSL_CERT_FILE``. The key is sent as a
    bearer token and shown nowhere. With `socket` the server listens on that Unix socket, and `url`
    says only how paths begin. Errors name the server by `called` and its address, and `setting` as
    what to check. A connection is not shared with forked children: each process opens its own.
    """

    def __init__(
        self,
        url: str,
        *,
        socket: Path | None = None,
        called: str = "the reranker",
        setting: str = "RESOLVER_RERANKER",
        api_key: SecretStr | None = None,
        timeout: float = TIMEOUT,
        in_flight: int = IN_FLIGHT,
        backoff: float = BACKOFF,
        largest: int = MAX_ANSWER,
        ca_file: Path | None = None,
    ) -> None:
        self.url = url
        self.interrupted = False
        """Whether a request failed as it does when the server restarts."""
        self._socket = socket
        self._called = f"{called} at {socket or url}"
        self._setting = setting
        self._running = f"check {setting} and that the server runs"
        self._api_key = api_key
        self._timeout = timeout
        self._in_flight = in_flight
        self._backoff = backoff
        self._largest = largest
        self._verify = True if ca_file is None else trust.context(ca_file)
        self._client: httpx.Client | None = None
        self._process = 0

    def open(self) -> None:
        """Make this process's client; sends nothing."""
        if self._client is not None and self._process == os.getpid():
            return
        headers = {"User-Agent": f"affiliation-resolver/{__version__}"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key.get_secret_value()}"
        limits = httpx.Limits(
            max_connections=self._in_flight, max_keepalive_connections=self._in_flight
        )
        if self._socket is None:
            self._client = httpx.Client(headers=headers, verify=self._verify, limits=limits)
        else:
            # There is no TLS over it, and the system's authorities take long to read: trust none.
            nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            transport = httpx.HTTPTransport(uds=str(self._socket), limits=limits, verify=nobody)
            # Without the proxies of the environment.
            self._client = httpx.Client(headers=headers, transport=transport, trust_env=False)
        self._process = os.getpid()

    def close(self) -> None:
        if self._client is not None and self._process == os.getpid():
            self._client.close()
        self._client = None

    def get(self, path: str) -> Any:
        """The JSON at a path; None where the server has nothing there, or something else.

        Raises:
            RerankerUnavailable, ModelError: as `exchange`.
        """
        try:
            return self.exchange("GET", self.url + path, None, threading.Event(), orjson.loads)
        except Refused as refused:
            if refused.status in _NOTHING_THERE:
                return None
            raise

    def post(self, url: str, body: bytes, stop: threading.Event) -> Any:
        """The JSON that answers `body`. Between two attempts `stop` ends the wait.

        Raises:
            RerankerUnavailable, ModelError: as `exchange`.
        """
        return self.exchange("POST", url, body, stop, orjson.loads)

    def exchange(
        self,
        method: str,
        url: str,
        body: bytes | None,
        stop: threading.Event,
        read: Callable[[bytes], Answer],
        *,
        kind: str = JSON,
    ) -> Answer:
        """What `read` makes of the answer to a request. Both bodies are of the media type `kind`.
        Between two attempts `stop` ends the wait.

        `read` raises `ValueError` for an answer that is damaged; then the request is repeated.

        Raises:
            RerankerUnavailable: no answer after `ATTEMPTS` or `PATIENCE` × the time-out.
            Refused: the server refuses, or its answer is of another type.
        """
        patience = PATIENCE * self._timeout
        deadline = time.monotonic() + patience
        try:
            return retrying(
                lambda: self._attempt(method, url, body, stop, deadline, read, kind),
                attempts=ATTEMPTS,
                backoff=self._backoff,
                longest=patience,
                pause=lambda seconds: stop.wait(
                    max(0.0, min(seconds, deadline - time.monotonic()))
                ),
            )
        except PassingError as error:
            tries = f"after {error.attempts} attempt{'s' if error.attempts > 1 else ''}"
            raise RerankerUnavailable(
                f"{self._called} {error.reason} ({tries})",
                remedy=f"try again in {error.wait:,.0f} s"
                if error.wait is not None and error.wait > patience
                else self._running,
            ) from error

    def _attempt(
        self,
        method: str,
        url: str,
        body: bytes | None,
        stop: threading.Event,
        deadline: float,
        read: Callable[[bytes], Answer],
        kind: str,
    ) -> Answer:
        left = deadline - time.monotonic()
        if self._client is None:
            raise RuntimeError("the connection is closed")
        if stop.is_set() or left <= 0:
            raise RerankerUnavailable(
                f"{self._called} has not answered for {PATIENCE * self._timeout:g} s",
                remedy=self._running,
            )
        limit = min(self._timeout, left)
        timeout = httpx.Timeout(limit, connect=min(CONNECT_TIMEOUT, limit))
        ends = time.monotonic() + limit
        headers = {"Content-Type": kind, "Accept": kind}
        try:
            with self._client.stream(
                method, url, content=body, headers=headers, timeout=timeout
            ) as response:
                content = bytearray()
                # A time-out of httpx is for each piece; this one is for the whole.
                for piece in response.iter_bytes():
                    content += piece
                    if time.monotonic() > ends:
                        raise PassingError(f"has not finished its answer in {limit:.0f} s")
                    if len(content) > self._largest:
                        raise self._refused(response, f"sends more than {self._largest:,} bytes")
        except httpx.TimeoutException as error:
            self.interrupted = True
            raise PassingError(f"does not answer in time ({type(error).__name__})") from error
        except httpx.RequestError as error:
            if trust.is_refused(error):
                raise Refused(
                    f"the certificate of {self.url} cannot be verified: {error}",
                    status=0,
                    remedy=trust.REMEDY,
                ) from error
            self.interrupted = True
            raise PassingError(f"does not answer ({error or type(error).__name__})") from error
        return self._read(response, bytes(content), read, kind)

    def _read(
        self, response: httpx.Response, content: bytes, read: Callable[[bytes], Answer], kind: str
    ) -> Answer:
        status = response.status_code
        if status in _PASSING:
            self.interrupted = self.interrupted or status != httpx.codes.TOO_MANY_REQUESTS
            raise PassingError(
                f"answers {status}{self._message(content)}",
                wait=asked_wait(response.headers.get("Retry-After", "")),
            )
        if not response.is_success:
            raise self._refused(response, f"answers {status}{self._message(content)}")
        given = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if given != kind and not (kind == JSON and given.endswith("+json")):
            wanted = "JSON" if kind == JSON else kind
            raise self._refused(response, f"answers with {given or 'no type'}, not {wanted}")
        try:
            return read(content)
        except ValueError as error:
            self.interrupted = True
            damaged = "JSON" if kind == JSON else "scores"
            raise PassingError(f"answers with damaged {damaged} ({error})") from error

    def _refused(self, response: httpx.Response, reason: str) -> Refused:
        status = response.status_code
        remedies = {
            401: f"set {self._setting}_API_KEY to a key that the server takes",
            403: f"set {self._setting}_API_KEY to a key that the server takes",
            404: f"check the path and ?model= in {self._setting}",
        }
        remedy = remedies.get(status, f"check {self._setting}, and the server's log")
        if response.is_redirect:
            remedy = "name the address that it redirects to"
        return Refused(f"{self._called} {reason}", status=status, remedy=remedy)

    def _message(self, content: bytes) -> str:
        """The server's message on one line, with the key masked."""
        message = content[:1000].decode("utf-8", "replace")
        if self._api_key is not None and (key := self._api_key.get_secret_value()):
            message = message.replace(key, "***")
        message = " ".join(message.split())[:200]
        return f": {message}" if message else ""
