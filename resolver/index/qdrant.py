"""The connection to a Qdrant server: its version checked, its failures in this project's words."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from resolver.errors import IndexMissing, IndexProblem, IndexUnavailable
from resolver.network import addresses, trust

if TYPE_CHECKING:
    import httpx
    from qdrant_client import QdrantClient

log = logging.getLogger(__name__)

OLDEST = (1, 18)
"""Oldest version of the server, major and minor number, that the tests of the index passed with.
Before 1.16 a server loses the metadata of a collection without an error."""
SUPPORTED = f"Qdrant {OLDEST[0]}.{OLDEST[1]} or newer, below {OLDEST[0] + 1}.0"
RETRY_DELAYS = (0.5, 2.0, 8.0)
"""Seconds before each repetition of a write. Writes can be repeated, for point ids are made of
names. Reads are not repeated here; the queue of the caller does that."""
SEEN_WITHIN = 10.0
"""Seconds that a write may take until it can be read. The nodes of a server agree within a second;
when they do not agree after ten, one of them is away or cut off."""

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
    """A client for `ServerStore`; `timeout` is in seconds for each request. Sends nothing yet.

    With https the server's certificate must be signed by an authority in `ca_file` (None: by one of
    the system's). With plain http others can read the key on the way; where that leaves the local
    networks (`_may_be_overheard`), the log has a warning.
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

    A host name without a dot is in a private network, as the services of Compose are.
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
    """A client that raises this project's errors.

    `transport` answers searches where the client has no server, but is one in memory. `url` and
    `key` are those that requests go to and with, None where there is none.
    `seen_within` is how long a write may take until it can be read, `poll_interval` the time
    between two looks for it (at most `_LOOK_AGAIN`); both in seconds.
    """

    def __init__(
        self,
        client: QdrantClient,
        retry_delays: Sequence[float],
        *,
        seen_within: float,
        poll_interval: float,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.where = _address(client)
        self.url = _url(client)
        self.key: str | None = (client.init_options.get("headers") or {}).get("api-key")
        self._client = client
        self._http = _http(client, transport)
        self._retry_delays = retry_delays
        self._seen_within = seen_within
        self._look_again = min(poll_interval, _LOOK_AGAIN)
        self._is_supported = False
        self._is_closed = False
        self._checking = threading.Lock()

    @property
    def client(self) -> QdrantClient:
        """The client. The first use asks the server for its version.

        Raises:
            IndexProblem: it is closed, or the server is of a version that is not supported.
            IndexUnavailable: the server does not answer.
        """
        self._require_supported()
        return self._client

    def _require_supported(self) -> None:
        if self._is_closed:
            raise IndexProblem("the index is closed", remedy="open it again")
        with self._checking:
            if not self._is_supported:
                with self.named_errors():
                    version = self._client.info().version
                _check_supported(version, self.where)
                self._is_supported = True

    def close(self) -> None:
        """Close the connections; may be called again."""
        if not self._is_closed:
            self._is_closed = True
            self._client.close()
            self._http.close()

    def ask(self, path: str, question: Mapping[str, Any]) -> Any:
        """The result of a read at a path, as JSON.

        It goes around the client, which would check each number of what is sent and comes back
        against its models, for twice the time that everything else here takes.

        Raises:
            IndexProblem: as for the client.
            IndexUnavailable: the server failed, or what answers is not Qdrant.
        """
        import httpx
        from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        self._require_supported()
        with self.named_errors():
            try:
                response = self._http.post(
                    path, content=orjson.dumps(question, option=orjson.OPT_SERIALIZE_NUMPY)
                )
            except httpx.HTTPError as error:
                raise ResponseHandlingException(error) from error
            wait = response.headers.get("Retry-After", "")
            if response.status_code == 429 and wait.isdecimal():
                raise ResourceExhaustedResponse("", int(wait))
            if response.status_code != 200:
                raise UnexpectedResponse.for_response(response)
        try:
            return orjson.loads(response.content)["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise self.not_qdrant() from error

    def not_qdrant(self) -> IndexUnavailable:
        """The error for an answer that no Qdrant gives."""
        return IndexUnavailable(
            f"what answers at {self.where} is not Qdrant, or one of another version", remedy=_START
        )

    def looks(self) -> Iterator[bool]:
        """Yields for each look at what was written, with pauses, until it should be readable; True
        for the last look."""
        deadline = time.monotonic() + self._seen_within
        while time.monotonic() < deadline:
            yield False
            time.sleep(self._look_again)
        yield True

    def until(self, is_seen: Callable[[], bool], what: str) -> None:
        """Wait until a write can be read.

        Raises:
            IndexUnavailable: it cannot, in time; `what` is what was written, for the error.
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
        """What `read` returns. While it raises `IndexProblem` because points are missing, it is
        called again, until all that was written should be readable; then its error is raised."""
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
        """The result of `call`, repeated after each of the delays while its failure may pass."""
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
                raise self.not_qdrant() from error
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
        content = " ".join(error.content[:200].decode("utf-8", "replace").split())
        problem = f"Qdrant at {self.where} answered {status} {error.reason_phrase}: {content}"
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
    """Refuse a server of an unsupported version; warn of one that is too new for the client here.

    Raises:
        IndexProblem: it is too old, or of another major version.
    """
    server, client = _release(version), _release(metadata.version("qdrant-client"))
    if server is None or not OLDEST <= server < (OLDEST[0] + 1, 0):
        raise IndexProblem(
            f"Qdrant at {where} is of version {version[:40]}, which is not supported",
            remedy=f"use {SUPPORTED} (docs/operations.md, Qdrant's version)",
        )
    # Qdrant supports a client and a server that are one minor version apart.
    if client is not None and server[1] > client[1] + 1:
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


def _http(client: QdrantClient, transport: httpx.BaseTransport | None) -> httpx.Client:
    """What asks the server that the client is for, with its key, its certificates, its time-out."""
    import httpx

    options = client.init_options
    url = _url(client)
    if url is None or transport is not None:
        return httpx.Client(base_url=url or "http://in-memory", transport=transport)
    return httpx.Client(
        base_url=url,
        headers={
            **(options["headers"] or {}),
            "content-type": "application/json",
            # Compressing answers would cost the server more than sending them.
            "accept-encoding": "identity",
        },
        timeout=options["timeout"],
        verify=options.get("verify", True),
    )


def _url(client: QdrantClient) -> str | None:
    """Where the client sends requests, with the port that Qdrant has by default; None for a client
    in memory."""
    return client.http.client.host if client.init_options.get("url") else None


def _address(client: QdrantClient) -> str:
    options = client.init_options
    url = options.get("url")
    if url:
        return addresses.shown(str(url))
    return str(options.get("location") or options.get("host") or "localhost")
