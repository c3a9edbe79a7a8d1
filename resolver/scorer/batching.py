"""Requests of many processes → batches for one reranker → logits for each request.

A batch is what waits, up to the tokens that the reranker computes at a time: with an idle scorer a
request waits for nobody, with a busy one batches grow. Two threads take batches in turn. While the
GPU computes the batch of one, the other has put the next together and queued it there, so that the
GPU goes from batch to batch.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from resolver.errors import ResolverError
from resolver.observing.metrics import ScorerMetrics
from resolver.reranker.sequences import Sequences
from resolver.reranker.tokenised import TokenReranker

log = logging.getLogger(__name__)

Logits = npt.NDArray[np.float32]

THREADS = 2
"""One batch is computed, the next is put together."""

ROOM = 4 * 2**20
"""Tokens that may wait, 16 MB of ids: 64 worker processes with a request of 65,000 tokens each."""

PROBE = ("Department of Physics, University of Oslo, Norway", "University of Oslo, Oslo, Norway")
"""A pair that any reranker can score: where it fails, the fault is not a request's."""


class ScorerFull(ResolverError):
    """More tokens wait than may."""


class RequestFailed(ResolverError):
    """A request makes the reranker fail, by itself. Others are not affected."""


def _end() -> None:
    """End this process at once. Clients see their connection break, and ask its successor."""
    os._exit(os.EX_SOFTWARE)


@dataclass(frozen=True, slots=True)
class _Request:
    sequences: Sequences
    answer: Future[Logits]
    came: float = field(default_factory=time.monotonic)

    @property
    def tokens(self) -> int:
        return len(self.sequences.ids)


class Batches:
    """Computes requests in batches, from its creation until `close`.

    When the reranker fails on a batch, each of its requests is computed alone, and those that fail
    again get `RequestFailed`. When it fails on `PROBE` as well, its GPU is gone or in a state that
    only a new process mends: then `end` is called, and nobody is answered.
    """

    def __init__(
        self,
        reranker: TokenReranker,
        *,
        metrics: ScorerMetrics,
        room: int = ROOM,
        end: Callable[[], None] = _end,
    ) -> None:
        self._reranker = reranker
        self._metrics = metrics
        self._room = room
        self._end = end
        self._probe = reranker.tokens.encode([PROBE])
        self._requests: deque[_Request] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._in_work: dict[int, float] = {}
        self._counted = time.monotonic()
        self._threads = [
            threading.Thread(target=self._run, name=f"batches {number}", args=(number,))
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, sequences: Sequences) -> Future[Logits]:
        """The logits of these sequences, in order, when they are computed.

        Raises:
            ScorerFull: there is no room.
        """
        request = _Request(sequences, Future())
        with self._changed:
            if self._closed or (self._waiting and self._waiting + request.tokens > self._room):
                state = "it is stopping" if self._closed else f"{self._waiting:,} tokens wait"
                raise ScorerFull(f"the scorer takes no requests: {state}")
            self._requests.append(request)
            self._waiting += request.tokens
            self._metrics.waiting.set(self._waiting)
            self._changed.notify()
        return request.answer

    def close(self) -> None:
        """Compute what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def busy_for(self) -> float:
        """Seconds since the oldest batch in work was begun; 0 where none is in work."""
        with self._changed:
            return time.monotonic() - min(self._in_work.values()) if self._in_work else 0.0

    def _run(self, number: int) -> None:
        while batch := self._next():
            self._begin(number)
            try:
                self._compute(batch)
            finally:
                self._done(number)

    def _begin(self, number: int) -> None:
        with self._changed:
            self._count_busy()
            self._in_work[number] = self._counted

    def _done(self, number: int) -> None:
        with self._changed:
            self._count_busy()
            del self._in_work[number]

    def _count_busy(self) -> None:
        """Count the time since the last call, if a batch was in work: two at once count once."""
        now = time.monotonic()
        if self._in_work:
            self._metrics.busy.inc(now - self._counted)
        self._counted = now

    def _next(self) -> list[_Request]:
        """The requests of the next batch, in the order in which they came; none after the last."""
        largest = self._reranker.batch_tokens
        batch: list[_Request] = []
        tokens = 0
        with self._changed:
            while not batch:
                while not self._requests:
                    if self._closed:
                        return []
                    self._changed.wait()
                while self._requests and (
                    not batch or tokens + self._requests[0].tokens <= largest
                ):
                    request = self._requests.popleft()
                    self._waiting -= request.tokens
                    # Whoever asked may have gone; from here on the answer cannot be cancelled.
                    if request.answer.set_running_or_notify_cancel():
                        batch.append(request)
                        tokens += request.tokens
            self._metrics.waiting.set(self._waiting)
        now = time.monotonic()
        for request in batch:
            self._metrics.wait.observe(now - request.came)
        return batch

    def _compute(self, batch: list[_Request]) -> None:
        merged = joined([request.sequences for request in batch])
        try:
            logits = self._reranker.logits(merged)
        except Exception as error:  # noqa: BLE001 - whatever a model or a driver raises
            self._failed(batch, error)
            return
        self._metrics.batch(requests=len(batch), pairs=len(merged), tokens=len(merged.ids))
        start = 0
        for request in batch:
            stop = start + len(request.sequences)
            request.answer.set_result(logits[start:stop])
            start = stop

    def _failed(self, batch: list[_Request], error: Exception) -> None:
        try:
            self._reranker.logits(self._probe)
        except Exception:
            log.critical("the reranker fails on any pair; the scorer ends", exc_info=error)
            self._end()
            return
        if len(batch) > 1:
            for request in batch:
                self._compute([request])
            return
        self._metrics.failed.inc()
        # Without the texts, which are not known here and a log must not have.
        log.error("a request of %d pairs fails", len(batch[0].sequences), exc_info=error)
        batch[0].answer.set_exception(
            RequestFailed(f"the reranker fails on this request: {type(error).__name__}: {error}")
        )


def joined(parts: list[Sequences]) -> Sequences:
    """All sequences of all parts, in order; the parts have token types, or none has."""
    if len(parts) == 1:
        return parts[0]
    ids = np.concatenate([part.ids for part in parts])
    lengths = np.concatenate([part.lengths for part in parts])
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    types = [part.types for part in parts if part.types is not None]
    return Sequences(ids, bounds, np.concatenate(types) if types else None)
