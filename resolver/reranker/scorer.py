"""A reranker that runs in the scorer of this machine (`resolver.scorer`).

This process tokenises, with a tokenizer that it got from the scorer, and sends token ids; the
scorer answers with logits. Name, fingerprint and calibration are those of the model, as if it were
loaded here. Each request names the fingerprint, so that a scorer which was started again with
another model refuses it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from resolver.errors import ModelError, PairError
from resolver.reranker import Calibration, Pair, require_texts
from resolver.reranker.connection import BACKOFF, TIMEOUT, Refused, ServerClient
from resolver.reranker.sequences import Sequences
from resolver.reranker.tokenised import TokenReranker, to_bytes
from resolver.reranker.tokens import PairTokenizer

log = logging.getLogger(__name__)

FORM = 1
"""Raised when requests or answers change: scorer and workers must be of one form."""

TENSORS = "application/octet-stream"
"""Media type of requests (`tokenised.to_bytes`) and of answers (float32, little-endian)."""

REQUEST_PAIRS = 4096
"""Most pairs of a request: some 0.6 MB, and a quarter of a second of a GPU. A worker's slice has
some hundred."""

MAX_TOKENIZER = 128 * 2**20
"""Bytes of a tokenizer's JSON; that of XLM-R has 17 MB."""

URL = "http://scorer"
"""How requests over a Unix socket begin; the name means nothing."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a scorer says of its reranker. `name` is as `RESOLVER_RERANKER` has it, a path of this
    machine made absolute."""

    name: str
    fingerprint: str
    calibration: Calibration
    max_length: int
    typed: bool

    @classmethod
    def of(cls, reranker: TokenReranker) -> Description:
        return cls(
            absolute(reranker.name),
            reranker.fingerprint,
            reranker.calibration,
            reranker.tokens.max_length,
            reranker.tokens.typed,
        )

    def to_object(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "form": FORM,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "slope": self.calibration.slope,
            "intercept": self.calibration.intercept,
            "max_length": self.max_length,
            "typed": self.typed,
        }

    @classmethod
    def from_object(cls, values: Any, socket: Path) -> Description:
        """What `to_object` gave.

        Raises:
            ModelError: another program listens there, or a scorer of another form.
        """
        form = values.get("form") if isinstance(values, dict) else None
        if form != FORM:
            raise ModelError(
                f"what listens at {socket} is no scorer of form {FORM}, but "
                + (f"of form {form}" if form else "something else"),
                remedy="start resolver scorer and the workers from one version, and check "
                "RESOLVER_SCORER",
            )
        return cls(
            values["name"],
            values["fingerprint"],
            Calibration(values["slope"], values["intercept"]),
            values["max_length"],
            values["typed"],
        )


class ScorerReranker:
    """The reranker of a scorer."""

    def __init__(
        self, name: str, connection: ServerClient, described: Description, tokenizer: Tokenizer
    ) -> None:
        self._name = name
        self._connection = connection
        self._described = described
        self._tokens = PairTokenizer(
            tokenizer, max_length=described.max_length, typed=described.typed
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._described.fingerprint

    @property
    def calibration(self) -> Calibration:
        return self._described.calibration

    @property
    def truncated(self) -> int:
        return self._tokens.truncated

    @property
    def tokens(self) -> PairTokenizer:
        return self._tokens

    def close(self) -> None:
        self._connection.close()

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        """Logits, in the order of the pairs.

        Raises:
            PairError: a text is empty, or the scorer fails on these pairs and on no others.
            RerankerUnavailable: the scorer does not answer; do it again later.
            ModelError: it has another model by now.
        """
        require_texts(pairs)
        distinct = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
        texts = list(distinct)
        scores = np.empty(len(texts), np.float32)
        for start in range(0, len(texts), REQUEST_PAIRS):
            part = self._tokens.encode(texts[start : start + REQUEST_PAIRS])
            if part.truncated:
                log.info(
                    "%s: cut %d of %d pairs to %d tokens",
                    self._name,
                    part.truncated,
                    len(part),
                    self._tokens.max_length,
                )
            scores[start : start + len(part)] = self.logits(part)
        return scores[[distinct[pair] for pair in pairs]]

    def logits(self, sequences: Sequences) -> npt.NDArray[np.float32]:
        """One for each of the sequences, by one request.

        Raises:
            as `score`.
        """
        self._connection.open()

        def read(content: bytes) -> npt.NDArray[np.float32]:
            logits = np.frombuffer(content, "<f4")
            if len(logits) != len(sequences):
                raise ValueError(f"{len(logits)} scores of {len(sequences)} pairs")
            return logits

        try:
            return self._connection.exchange(
                "POST",
                f"{URL}/rerankers/{self.fingerprint}/logits",
                to_bytes(sequences),
                threading.Event(),
                read,
                kind=TENSORS,
            )
        except Refused as refused:
            if refused.status == httpx.codes.UNPROCESSABLE_ENTITY:
                raise PairError(
                    f"{len(sequences)} pairs cannot be scored: {refused.problem}",
                    remedy="the scorer's log has the error",
                ) from refused
            if refused.status == httpx.codes.NOT_FOUND:
                raise ModelError(
                    f"{refused.problem}; it no longer has the reranker that was loaded",
                    remedy="start the scorer with that model again, or start the workers again",
                ) from refused
            raise


def absolute(name: str) -> str:
    """A model's name; a path that exists here is made absolute."""
    path = Path(name)
    return str(path.absolute()) if path.exists() else name


def connect(
    socket: Path, name: str, *, timeout: float = TIMEOUT, backoff: float = BACKOFF
) -> ScorerReranker:
    """The reranker `name` of the scorer that listens at `socket`.

    Args:
        timeout: seconds for one attempt of one request.
        backoff: seconds before the first repetition.

    Raises:
        RerankerUnavailable: no scorer answers there.
        ModelError: it has another model, or is of another version of this program.
    """
    connection = ServerClient(
        URL,
        socket=socket,
        called="the scorer",
        setting="RESOLVER_SCORER",
        timeout=timeout,
        # A matcher has one; what else uses the reranker beside it need not wait.
        in_flight=4,
        backoff=backoff,
        largest=MAX_TOKENIZER,
    )
    with ExitStack() as failed:
        failed.callback(connection.close)
        connection.open()
        described = Description.from_object(connection.get("/reranker"), socket)
        if described.name != absolute(name):
            raise ModelError(
                f"the scorer at {socket} has the reranker {described.name}, not {name}",
                remedy=f"start it with RESOLVER_RERANKER={name}, or unset RESOLVER_SCORER to load "
                "that one here",
            )
        url = f"{URL}/rerankers/{described.fingerprint}/tokenizer"
        tokenizer = connection.exchange("GET", url, None, threading.Event(), _tokenizer)
        reranker = ScorerReranker(name, connection, described, tokenizer)
        failed.pop_all()
    return reranker


def _tokenizer(content: bytes) -> Tokenizer:
    try:
        return Tokenizer.from_str(content.decode())
    # tokenizers raises bare Exception for any malformed text.
    except Exception as error:
        raise ValueError(f"not a tokenizer: {error}") from error
