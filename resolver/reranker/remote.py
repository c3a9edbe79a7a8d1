"""A cross-encoder behind a URL: Infinity, TEI, vLLM, or anything with Cohere's ``/rerank``."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import SecretStr

from resolver import weights
from resolver.errors import ModelError, PairError
from resolver.network import addresses
from resolver.reranker import Calibration, Pair, require_texts
from resolver.reranker.calibration import read_calibration
from resolver.reranker.connection import BACKOFF, IN_FLIGHT, TIMEOUT, Refused, ServerClient
from resolver.reranker.servers import ServerAddress, identify, parse

log = logging.getLogger(__name__)

_TOO_LARGE = 413

_PROBE = "Department of Physics, University of Oslo, Norway"
_PROBED = (
    "University of Oslo, Oslo, Norway",
    "Tohoku University, Sendai, Japan",
    "Instituto de Pesca, Santos, Brazil",
)
_TOLERANCE = 0.01
"""Of a sigmoid of half-precision logits."""


class _TooLarge(ModelError):
    """A single pair is more than the server takes."""

    def __init__(self, pair: Pair, problem: str) -> None:
        self.pair = pair
        super().__init__(problem)


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
            except Refused as refused:
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
