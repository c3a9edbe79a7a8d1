"""A cross-encoder behind a URL: Infinity, TEI, vLLM, or anything with Cohere's ``/rerank``."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import numpy.typing as npt
import orjson
from pydantic import SecretStr

from resolver import __version__, weights
from resolver.errors import ModelError, PairError, RerankerUnavailable
from resolver.network import addresses, trust
from resolver.network.retrying import PassingError, asked_wait, retrying
from resolver.reranker import Calibration, Pair, require_texts
from resolver.reranker.calibration import read_calibration
from resolver.reranker.servers import ServerAddress, identify, parse

log = logging.getLogger(__name__)

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

_PASSING = frozenset({408, 424, 425, 429, 500, 502, 503, 504})
"""Statuses after which another attempt may succeed. 424 is TEI's failed inference."""
_TOO_LARGE = 413

_PROBE = "Department of Physics, University of Oslo, Norway"
_PROBED = (
    "University of Oslo, Oslo, Norway",
    "Tohoku University, Sendai, Japan",
    "Instituto de Pesca, Santos, Brazil",
)
_TOLERANCE = 0.01
"""Of a sigmoid of half-precision logits."""

_RUNNING = "check RESOLVER_RERANKER and that the server runs"


class _Refused(ModelError):
    """The server answers with an error that another attempt will not change."""

    def __init__(self, problem: str, *, status: int, remedy: str) -> None:
        self.status = status
        super().__init__(problem, remedy=remedy)


class _TooLarge(ModelError):
    """A single pair is more than the server takes."""

    def __init__(self, pair: Pair, problem: str) -> None:
        self.pair = pair
        super().__init__(problem)


class ServerClient:
    """HTTP to one server; its failures become this project's errors.

    Certificates are verified, against `ca_file` or, where that is None, the system's
    authorities or those of ``SSL_CERT_FILE``. The key is sent as a
    bearer token and shown nowhere. A connection is not shared with forked children: each process
    opens its own.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: SecretStr | None = None,
        timeout: float = TIMEOUT,
        in_flight: int = IN_FLIGHT,
        backoff: float = BACKOFF,
        ca_file: Path | None = None,
    ) -> None:
        self.url = url
        self.interrupted = False
        """Whether a request failed as it does when the server restarts."""
        self._api_key = api_key
        self._timeout = timeout
        self._in_flight = in_flight
        self._backoff = backoff
        self._verify = True if ca_file is None else trust.context(ca_file)
        self._client: httpx.Client | None = None
        self._process = 0

    def open(self) -> None:
        """Make this process's client; sends nothing."""
        if self._client is not None and self._process == os.getpid():
            return
        headers = {
            "User-Agent": f"affiliation-resolver/{__version__}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key.get_secret_value()}"
        self._client = httpx.Client(
            headers=headers,
            verify=self._verify,
            limits=httpx.Limits(
                max_connections=self._in_flight, max_keepalive_connections=self._in_flight
            ),
        )
        self._process = os.getpid()

    def close(self) -> None:
        if self._client is not None and self._process == os.getpid():
            self._client.close()
        self._client = None

    def get(self, path: str) -> Any:
        """The JSON at a path; None where the server has nothing there, or something else.

        Raises:
            RerankerUnavailable, ModelError: as `post`.
        """
        try:
            return self._ask("GET", self.url + path, None, threading.Event())
        except _Refused as refused:
            if refused.status in (200, 301, 302, 303, 307, 308, 404, 405, 501):
                return None
            raise

    def post(self, url: str, body: bytes, stop: threading.Event) -> Any:
        """The JSON that answers `body`. Between two attempts `stop` ends the wait.

        Raises:
            RerankerUnavailable: no answer after `ATTEMPTS` or `PATIENCE` × the time-out.
            ModelError: the server refuses, or its answer is not JSON.
        """
        return self._ask("POST", url, body, stop)

    def _ask(self, method: str, url: str, body: bytes | None, stop: threading.Event) -> Any:
        patience = PATIENCE * self._timeout
        deadline = time.monotonic() + patience
        try:
            return retrying(
                lambda: self._attempt(method, url, body, stop, deadline),
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
                f"the reranker at {self.url} {error.reason} ({tries})",
                remedy=f"try again in {error.wait:,.0f} s"
                if error.wait is not None and error.wait > patience
                else _RUNNING,
            ) from error

    def _attempt(
        self, method: str, url: str, body: bytes | None, stop: threading.Event, deadline: float
    ) -> Any:
        left = deadline - time.monotonic()
        if self._client is None:
            raise RuntimeError("the connection is closed")
        if stop.is_set() or left <= 0:
            raise RerankerUnavailable(
                f"the reranker at {self.url} has not answered for {PATIENCE * self._timeout:g} s",
                remedy=_RUNNING,
            )
        limit = min(self._timeout, left)
        timeout = httpx.Timeout(limit, connect=min(CONNECT_TIMEOUT, limit))
        ends = time.monotonic() + limit
        try:
            with self._client.stream(method, url, content=body, timeout=timeout) as response:
                content = bytearray()
                # A time-out of httpx is for each piece; this one is for the whole.
                for piece in response.iter_bytes():
                    content += piece
                    if time.monotonic() > ends:
                        raise PassingError(f"has not finished its answer in {limit:.0f} s")
                    if len(content) > MAX_ANSWER:
                        raise self._refused(response, f"sends more than {MAX_ANSWER:,} bytes")
        except httpx.TimeoutException as error:
            self.interrupted = True
            raise PassingError(f"does not answer in time ({type(error).__name__})") from error
        except httpx.RequestError as error:
            if trust.is_refused(error):
                raise _Refused(
                    f"the certificate of {self.url} cannot be verified: {error}",
                    status=0,
                    remedy=trust.REMEDY,
                ) from error
            self.interrupted = True
            raise PassingError(f"does not answer ({error or type(error).__name__})") from error
        return self._parsed(response, bytes(content))

    def _parsed(self, response: httpx.Response, content: bytes) -> Any:
        status = response.status_code
        if status in _PASSING:
            self.interrupted = self.interrupted or status != httpx.codes.TOO_MANY_REQUESTS
            raise PassingError(
                f"answers {status}{self._message(content)}",
                wait=asked_wait(response.headers.get("Retry-After", "")),
            )
        if not response.is_success:
            raise self._refused(response, f"answers {status}{self._message(content)}")
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise self._refused(response, f"answers with {kind or 'no type'}, not JSON")
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            self.interrupted = True
            raise PassingError(f"answers with damaged JSON ({error})") from error

    def _refused(self, response: httpx.Response, reason: str) -> _Refused:
        status = response.status_code
        remedies = {
            401: "set RESOLVER_RERANKER_API_KEY to a key that the server takes",
            403: "set RESOLVER_RERANKER_API_KEY to a key that the server takes",
            404: "check the path and ?model= in RESOLVER_RERANKER",
        }
        remedy = remedies.get(status, "check RESOLVER_RERANKER, and the server's log")
        if response.is_redirect:
            remedy = "name the address that it redirects to"
        return _Refused(f"the reranker at {self.url} {reason}", status=status, remedy=remedy)

    def _message(self, content: bytes) -> str:
        """The server's message on one line, with the key masked."""
        message = content[:1000].decode("utf-8", "replace")
        if self._api_key is not None and (key := self._api_key.get_secret_value()):
            message = message.replace(key, "***")
        message = " ".join(message.split())[:200]
        return f": {message}" if message else ""


class RemoteReranker:
    """A model on a server. Scores are logits, whichever form the server speaks.

    Pairs go out grouped by affiliation, one request for each and at most as many documents as the
    server takes, several requests at a time. Any failure of any request is raised; no score is
    ever made up.
    """

    def __init__(
        self,
        connection: ServerClient,
        address: ServerAddress,
        calibration: Calibration,
        *,
        in_flight: int = IN_FLIGHT,
    ) -> None:
        self._connection = connection
        self._address = address
        self._calibration = calibration
        self._in_flight = in_flight
        connection.open()
        self._served = identify(address, connection.get)
        self._batch = self._served.batch
        self._require_logits()

    @property
    def name(self) -> str:
        return self._served.name

    @property
    def fingerprint(self) -> str:
        """From the model's name and what the server says about it: revision, precision, length.

        Infinity and Cohere-like servers say little more than the name: give another model
        another name there.
        """
        return self._served.fingerprint

    @property
    def calibration(self) -> Calibration:
        return self._calibration

    @property
    def truncated(self) -> int:
        """Always 0: the server cuts pairs beyond the model's length and does not say so."""
        return 0

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        """Logits, in the order of the pairs.

        Raises:
            PairError: a text is empty, or a single pair is too large for the server.
            RerankerUnavailable: the server does not answer; do it again later.
            ModelError: it refuses, serves another model by now, or its answer makes no sense.
        """
        require_texts(pairs)
        if not pairs:
            return np.empty(0, np.float32)
        distinct = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        scores = np.full(len(distinct), np.nan, np.float64)
        self._connection.open()
        try:
            self._send(list(distinct), scores)
        except _TooLarge as error:
            # What was learnt on the way to this pair is no limit for others.
            self._batch = self._served.batch
            affiliation, document = error.pair
            raise PairError(
                f"pair {pairs.index(error.pair)} of {len(pairs)}, with texts of "
                f"{len(affiliation):,} and {len(document):,} characters, is too large: {error}",
                remedy="shorten it, or raise the server's limit",
            ) from error
        if self._connection.interrupted:
            self._require_same_model()
        return scores.astype(np.float32)[[distinct[pair] for pair in pairs]]

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(
        self, pairs: Sequence[Pair], scores: npt.NDArray[np.float64], *, raw: bool = True
    ) -> None:
        """Fill `scores` with those of `pairs`, logits or (`raw` false) activated."""
        queries: dict[str, list[int]] = {}
        for number, (affiliation, _) in enumerate(pairs):
            queries.setdefault(affiliation, []).append(number)
        batches = [
            numbers[start : start + self._batch]
            for numbers in queries.values()
            for start in range(0, len(numbers), self._batch)
        ]
        stop = threading.Event()
        with ThreadPoolExecutor(min(self._in_flight, len(batches))) as pool:
            futures = [
                pool.submit(self._fill, scores, pairs, batch, stop, raw) for batch in batches
            ]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _fill(
        self,
        scores: npt.NDArray[np.float64],
        pairs: Sequence[Pair],
        batch: list[int],
        stop: threading.Event,
        raw: bool,
    ) -> None:
        """Scores of a batch's pairs, all of one affiliation, into their places."""
        waiting = [batch]
        while waiting:
            numbers = waiting.pop()
            documents = [pairs[number][1] for number in numbers]
            try:
                scores[numbers] = self._ask(pairs[numbers[0]][0], documents, stop, raw)
            except _Refused as refused:
                if refused.status != _TOO_LARGE:
                    raise
                if len(numbers) == 1:
                    raise _TooLarge(pairs[numbers[0]], refused.problem) from refused
                half = len(numbers) // 2
                self._batch = min(self._batch, half)
                waiting += [numbers[half:], numbers[:half]]

    def _ask(
        self, query: str, documents: Sequence[str], stop: threading.Event, raw: bool
    ) -> list[float]:
        served = self._served
        body = served.request(
            weights.encodable(query), [weights.encodable(text) for text in documents], raw=raw
        )
        answer = self._connection.post(f"{served.url}/rerank", body, stop)
        return served.scores(answer, count=len(documents))

    def _require_logits(self) -> None:
        """Check on three pairs that the server can score, and heeds the wish for logits.

        An older version would ignore it in silence. Logits prove themselves by leaving [0, 1], or
        else by differing from the activated scores as a sigmoid does.
        """
        served = self._served
        raw, activated = np.empty((2, len(_PROBED)))
        self._send([(_PROBE, document) for document in _PROBED], raw)
        if served.form.raw == served.form.activated or raw.min() < 0.0 or raw.max() > 1.0:
            return
        self._send([(_PROBE, document) for document in _PROBED], activated, raw=False)
        if np.abs(1.0 / (1.0 + np.exp(-raw)) - activated).max() > _TOLERANCE:
            raise ModelError(
                f"the reranker at {served.url} does not give logits",
                remedy=f"upgrade it, or name it cohere+{served.url}?model={served.model} "
                "if its scores are probabilities",
            )

    def _require_same_model(self) -> None:
        """After an outage: raise `ModelError` if another model came back."""
        found = identify(self._address, self._connection.get)
        if found.fingerprint != self.fingerprint:
            raise ModelError(
                f"the reranker at {found.url} is no longer the one that was loaded: {found.model}, "
                f"{dict(found.identity)}; before {self._served.model}, "
                f"{dict(self._served.identity)}",
                remedy="start again, so that its answers are recorded as another version's",
            )
        self._connection.interrupted = False


def load_remote(
    name: str,
    *,
    api_key: SecretStr | None = None,
    calibration: Path | None = None,
    timeout: float = TIMEOUT,
    in_flight: int = IN_FLIGHT,
    backoff: float = BACKOFF,
    ca_file: Path | None = None,
) -> RemoteReranker:
    """Connect to a server, and check that it answers with logits.

    Args:
        name: ``[form+]http[s]://host[:port][/prefix][?model=…]`` (`servers.parse`).
        calibration: a ``calibration.json`` on this machine; None: the plain sigmoid.
        timeout: seconds for one attempt of one request.
        in_flight: requests at a time, by this process.
        backoff: seconds before the first repetition.
        ca_file: authorities to trust over https, and no others; None: the system's.

    Raises:
        SettingsError: the address is none.
        RerankerUnavailable: the server does not answer.
        ModelError: it is of no known form, does not serve the model or does not give logits, or
            the calibration cannot be read.
    """
    address = parse(name)
    if calibration is not None and not calibration.is_file():
        raise ModelError(
            f"there is no calibration {calibration}",
            remedy="change RESOLVER_RERANKER_CALIBRATION, or leave it out",
        )
    host = addresses.read(address.url).host
    if (
        api_key is not None
        and address.url.startswith("http:")
        and host not in ("localhost", "127.0.0.1", "[::1]")
    ):
        log.warning("the key for %s can be read on the way: use https", address.url)
    connection = ServerClient(
        address.url,
        api_key=api_key,
        timeout=timeout,
        in_flight=in_flight,
        backoff=backoff,
        ca_file=ca_file,
    )
    with contextlib.ExitStack() as failed:
        failed.callback(connection.close)
        reranker = RemoteReranker(
            connection,
            address,
            Calibration() if calibration is None else read_calibration(calibration, name=name),
            in_flight=in_flight,
        )
        failed.pop_all()
    if calibration is None:
        log.warning(
            "reranker %s has no RESOLVER_RERANKER_CALIBRATION: its probabilities are the plain "
            "sigmoid of its logits",
            reranker.name,
        )
    return reranker
