"""Requests that come while the matcher works are gathered and answered together.

A batch starts at once when the matcher is idle, so a single request waits for nobody. While a batch
is in work the next one gathers: the more clients there are, the larger the batches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from resolver.errors import ResolverError

log = logging.getLogger(__name__)

Key = TypeVar("Key")
Answer = TypeVar("Answer")
Result = TypeVar("Result")

Work = Callable[[Key, Sequence[str]], Sequence[Answer]]
"""Answers texts of one key, in order; called in the batcher's own thread, one call at a time."""


class BatcherFull(ResolverError):
    """More texts wait than may."""


class BatcherClosed(ResolverError):
    """It is being shut down, and takes no more texts."""


class TextFailed(ResolverError):
    """One text cannot be answered, because of an error in this program. Others are not affected."""


@dataclass(slots=True)
class _Waiting(Generic[Key, Answer]):
    """A text, and the future that gets its answer."""

    key: Key
    text: str
    answer: asyncio.Future[Answer]


def _ignored(_texts: int) -> None:
    """Nobody counts."""


@dataclass(slots=True)
class Batcher(Generic[Key, Answer]):
    """Answers texts in batches, by `work`, in one thread.

    A batch has at most `largest` texts, all of one key, in the order in which they came. At most
    `room` texts wait for their batch.

    When `work` raises a `ResolverError`, all texts of the batch get it. Any other error is taken
    for the fault of a single text: the batch is divided until that text stands alone and gets
    `TextFailed`, and the others get their answers.

    `done` is called after each batch with the number of its texts; `waiting` texts wait now.

    Of one event loop: it is made, used and closed there.
    """

    work: Work[Key, Answer]
    largest: int
    room: int
    done: Callable[[int], None] = _ignored
    waiting: int = 0
    _queue: deque[_Waiting[Key, Answer]] = field(default_factory=deque)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="matcher")
    )
    _task: asyncio.Task[None] | None = None
    _closed: bool = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="batcher")

    async def in_thread(self, action: Callable[[], Result]) -> Result:
        """Call `action` in the thread of the work, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    async def ask(
        self, key: Key, texts: Sequence[str], *, admitted: bool = False
    ) -> list[Answer | TextFailed]:
        """The answer to each text, in order; a text that failed by itself has `TextFailed` there.

        `admitted` texts are taken even when there is no room: they continue a request of which
        the first texts were taken.

        Raises:
            BatcherFull: there is no room; nothing was begun.
            BatcherClosed: it is closed.
            ResolverError: as the work raised it.
        """
        if self._closed:
            raise BatcherClosed("the server is stopping", remedy="send the request again")
        if not admitted and self.waiting and self.waiting + len(texts) > self.room:
            raise BatcherFull(
                f"{self.waiting:,} affiliations wait already", remedy="try again later"
            )
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(key, text, loop.create_future()) for text in texts]
        self._queue.extend(waiting)
        self.waiting += len(waiting)
        self._came.set()
        try:
            answers = await asyncio.gather(
                *(entry.answer for entry in waiting), return_exceptions=True
            )
        finally:
            for entry in waiting:
                # Whoever asked has gone: what is not in work yet need not be done.
                entry.answer.cancel()
        kept: list[Answer | TextFailed] = []
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, TextFailed):
                raise answer
            kept.append(answer)
        return kept

    async def close(self) -> None:
        """Answer what waits, then stop. Texts that come from now on are refused."""
        self._closed = True
        self._came.set()
        if self._task:
            await self._task
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = self._next()
            if not batch:
                if self._closed:
                    return
                self._came.clear()
                await self._came.wait()
                continue
            texts = [entry.text for entry in batch]
            answers = await loop.run_in_executor(self._thread, self._answers, batch[0].key, texts)
            self.done(len(batch))
            for entry, answer in zip(batch, answers, strict=True):
                if entry.answer.done():
                    continue
                if isinstance(answer, BaseException):
                    entry.answer.set_exception(answer)
                else:
                    entry.answer.set_result(answer)

    def _next(self) -> list[_Waiting[Key, Answer]]:
        """The texts of the next batch: the first that waits, and the next of the same key."""
        batch: list[_Waiting[Key, Answer]] = []
        others: deque[_Waiting[Key, Answer]] = deque()
        while self._queue and len(batch) < self.largest:
            entry = self._queue.popleft()
            if entry.answer.done():
                self.waiting -= 1
            elif not batch or entry.key == batch[0].key:
                self.waiting -= 1
                batch.append(entry)
            else:
                others.append(entry)
        self._queue.extendleft(reversed(others))
        return batch

    def _answers(self, key: Key, texts: Sequence[str]) -> Sequence[Answer | Exception]:
        """The answer, or the error, of each text. In the thread."""
        try:
            answers = self.work(key, texts)
            if len(answers) != len(texts):
                raise RuntimeError(f"{len(answers)} answers to {len(texts)} texts")
        except ResolverError as error:
            return [error] * len(texts)
        except Exception as error:
            if len(texts) == 1:
                # Without the text, which a log must not have.
                log.exception("an affiliation of %d characters failed", len(texts[0]))
                return [_failed(error)]
            half = len(texts) // 2
            return [*self._answers(key, texts[:half]), *self._answers(key, texts[half:])]
        return answers


def _failed(error: Exception) -> TextFailed:
    failed = TextFailed(f"this affiliation failed: {type(error).__name__}")
    failed.__cause__ = error
    return failed
