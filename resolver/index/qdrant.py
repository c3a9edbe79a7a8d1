"""A client of a Qdrant server: connected, checked, closed, its failures in this project's words."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from resolver.errors import IndexMissing, IndexProblem, IndexUnavailable
from resolver.network import addresses, trust

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

log = logging.getLogger(__name__)

OLDEST = (1, 18)
"""Oldest version of the server, major and minor number, that the contract of the index was seen to
be kept with. Before 1.16 a server forgets a collection's metadata without a word."""
SUPPORTED = f"Qdrant {OLDEST[0]}.{OLDEST[1]} or newer, below {OLDEST[0] + 1}.0"
RETRY_DELAYS = (0.5, 2.0, 8.0)
"""Seconds before each further try of a write. Writes can be repeated: point ids are made of names.
Reads are not tried again here; the caller's queue does that."""
SEEN_WITHIN = 10.0
"""Seconds that a write may take to be seen. The nodes of a server agree within a second; when they
have not by then, one of them is away, or cut off."""

_LOOK_AGAIN = 0.1
"""Seconds between two looks for a write."""
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_START = "check RESOLVER_QDRANT_URL and that the server runs"
_REBUILD = "build it again: resolver index build"

T = TypeVar("T")


def connect(
    url: str,
    *,
    api_key: str | None = None,
    timeout: float = 30.0,
    ca_file: Path | None = None,
) -> QdrantClient:
    """A client for `ServerStore`; `timeout` in seconds for each request. Sends nothing yet.

    Over https the server's certificate must be of an authority in `ca_file` (None: the system's).

    Over plain http the key can be read on the way. Where that way may lead over other networks
    (`_may_be_overheard`) the log says so.
    """
    from qdrant_client import QdrantClient

    if api_key is not None and _may_be_overheard(url):
        log.warning(
            "the key of Qdrant goes to %s as plain text: use https, see docs/security.md, TLS",
            addresses.shown(url),
        )
    try:
        return QdrantClient(
            url=url,
            # As `api_key` it would make the client warn of plain http, wherever that leads.
            headers={} if api_key is None else {"api-key": api_key},
            # The client takes whole seconds; one is the least that is not "at once".
            timeout=max(1, round(timeout)),
            # It would ask the server now, in a thread of its own: `Server` does it in time.
            check_compatibility=False,
            verify=True if ca_file is None else trust.context(ca_file),
        )
    except ValueError as error:
        raise IndexProblem(
            f"{addresses.shown(url)} is not the URL of a Qdrant server",
            remedy="set RESOLVER_QDRANT_URL to http://host:6333",
        ) from error


def _may_be_overheard(url: str) -> bool:
    """Whether requests are plain text and may leave this machine and its private networks.

    A name without a dot is one of such a network, as Compose gives its services.
    """
    try:
        address = addresses.read(url)
    except ValueError:
        return False  # it is refused for that
    if address.scheme != "http":
        return False
    try:
        return not ip_address(address.host.strip("[]")).is_private
    except ValueError:
        return "." in address.host


class Server:
    """A client whose failures are told in this project's words.

    `seen_within` is how long a write may take to be seen, `poll_interval` between two looks for it,
    `_LOOK_AGAIN` at most; both in seconds.
    """

    def __init__(
        self,
        client: QdrantClient,
        retry_delays: Sequence[float],
        *,
        seen_within: float,
        poll_interval: float,
    ) -> None:
        self.where = _address(client)
        self._client = client
        self._retry_delays = retry_delays
        self._seen_within = seen_within
        self._look_again = min(poll_interval, _LOOK_AGAIN)
        self._is_supported = False
        self._is_closed = False
        self._checking = threading.Lock()

    @property
    def client(self) -> QdrantClient:
        """The client; the first time the server is asked which version it is.

        Raises:
            IndexProblem: it is closed, or the server is of a version that is not supported.
            IndexUnavailable: the server does not answer.
        """
        if self._is_closed:
            raise IndexProblem("the index is closed", remedy="open it again")
        with self._checking:
            if not self._is_supported:
                with self.named_errors():
                    version = self._client.info().version
                _check_supported(version, self.where)
                self._is_supported = True
        return self._client

    def close(self) -> None:
        """Give the connections back; once is enough."""
        if not self._is_closed:
            self._is_closed = True
            self._client.close()

    def looks(self) -> Iterator[bool]:
        """One look for something that was written, and more until it should be seen, with pauses;
        whether it is the last."""
        deadline = time.monotonic() + self._seen_within
        while time.monotonic() < deadline:
            yield False
            time.sleep(self._look_again)
        yield True

    def until(self, is_seen: Callable[[], bool], what: str) -> None:
        """Wait until a write is seen.

        Raises:
            IndexUnavailable: it is not, in time; `what` says what.
        """
        for _ in self.looks():
            if is_seen():
                return
        raise IndexUnavailable(
            f"Qdrant at {self.where} has taken a write and does not show it after "
            f"{self._seen_within:g} s: {what}",
            remedy="see whether all of its nodes run and reach each other (GET /cluster), "
            "then do it again",
        )

    def whole(self, read: Callable[[], T]) -> T:
        """What `read` returns. Where it finds that points are missing, it looks again until all
        that was written should be seen; its error is raised then."""
        for is_last in self.looks():
            try:
                return read()
            except (IndexMissing, IndexUnavailable):
                raise
            except IndexProblem:
                if is_last:
                    raise
        raise AssertionError("there is a last look")

    def write(self, call: Callable[[], T]) -> T:
        """The call's result; tried again after each of the delays while the failure may pass."""
        for delay in self._retry_delays:
            try:
                with self.named_errors():
                    return call()
            except IndexUnavailable as error:
                if not _is_transient(error.__cause__):
                    raise
                log.warning("%s; again in %.1f s", error.problem, delay)
                time.sleep(delay)
        with self.named_errors():
            return call()

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        from pydantic import ValidationError
        from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
        from qdrant_client.http.exceptions import (
            ResponseHandlingException,
            UnexpectedResponse,
        )

        try:
            yield
        except ResponseHandlingException as error:
            if isinstance(error.source, ValidationError):
                raise IndexUnavailable(
                    f"what answers at {self.where} is not Qdrant, or one of another version",
                    remedy=_START,
                ) from error
            if trust.is_refused(error):
                raise IndexProblem(
                    f"the certificate of Qdrant at {self.where} cannot be verified: {error.source}",
                    remedy=trust.REMEDY,
                ) from error
            raise IndexUnavailable(
                f"Qdrant at {self.where} does not answer "
                f"({type(error.source).__name__}: {error.source})",
                remedy=_START,
            ) from error
        except ResourceExhaustedResponse as error:
            raise IndexUnavailable(
                f"Qdrant at {self.where} is overloaded",
                remedy=f"try again in {error.retry_after_s} s",
            ) from error
        except UnexpectedResponse as error:
            raise self._answered(error) from error

    def _answered(self, error: Any) -> IndexProblem:
        status = error.status_code
        said = " ".join(error.content[:200].decode("utf-8", "replace").split())
        problem = f"Qdrant at {self.where} answered {status} {error.reason_phrase}: {said}"
        if status == 404:
            return IndexMissing(problem, remedy=f"open the index again, or {_REBUILD}")
        if status == 401:
            return IndexUnavailable(problem, remedy="set RESOLVER_QDRANT_API_KEY")
        if status == 403:
            return IndexUnavailable(
                problem,
                remedy="set RESOLVER_QDRANT_API_KEY to the server's full key: a read-only one is "
                "enough to answer, not to build, switch or drop an index",
            )
        return IndexUnavailable(problem, remedy="see the server's log")


def _check_supported(version: str, where: str) -> None:
    """Refuse a server of another version than these, and tell of one that is newer than its client.

    Raises:
        IndexProblem: it is too old, or of another major version.
    """
    found, client = _release(version), _release(metadata.version("qdrant-client"))
    if found is None or not OLDEST <= found < (OLDEST[0] + 1, 0):
        raise IndexProblem(
            f"Qdrant at {where} is of version {version[:40]}, which is not supported",
            remedy=f"use {SUPPORTED} (docs/operations.md, Qdrant's version)",
        )
    # Qdrant vouches for a client and a server that are one minor version apart.
    if client is not None and found[1] > client[1] + 1:
        log.warning(
            "Qdrant at %s is of version %s, the client here of %d.%d: it was made for servers of "
            "one minor version more; upgrade qdrant-client",
            where,
            version[:40],
            *client,
        )


def _release(version: str) -> tuple[int, int] | None:
    """Major and minor number."""
    numbers = re.match(r"v?(\d{1,4})\.(\d{1,4})(?!\d)", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def _is_transient(cause: BaseException | None) -> bool:
    import httpx
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    if isinstance(cause, UnexpectedResponse):
        return cause.status_code in _TRANSIENT
    if isinstance(cause, ResponseHandlingException):
        return isinstance(cause.source, httpx.TransportError)
    return isinstance(cause, ResourceExhaustedResponse)


def _address(client: QdrantClient) -> str:
    options = client.init_options
    url = options.get("url")
    if url:
        return addresses.shown(str(url))
    return str(options.get("location") or options.get("host") or "localhost")
