"""Stages that work at the same time: while one is at an item, the stage before it is at the next.

::

    with Pipeline() as pipeline:
        recalled = pipeline.stage("recall", recall, slices)
        reranked = pipeline.stage("score", score, recalled)
        answers = [decide(scored) for scored in reranked]

Each stage has one thread, so its work is never called twice at the same time, and the caller is the
last stage. Python runs one thread at a time: stages overlap as far as their work is done outside of
it (ONNX Runtime, torch, NumPy, sockets).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")

DEPTH = 1
"""Results that wait between two stages. One keeps the next stage busy. More would only take memory,
since the others wait for the slowest stage in any case."""


class Pipeline:
    """Threads for as long as the block lasts.

    Whatever a stage raises is raised where its result is asked for. However the block ends, work
    that has not begun is dropped, work that has begun is waited for, and no thread is left.
    """

    def __init__(self) -> None:
        self._threads: list[ThreadPoolExecutor] = []

    def stage(
        self, name: str, work: Callable[[_In], _Out], items: Iterable[_In], *, depth: int = DEPTH
    ) -> Iterator[_Out]:
        """The results of `work` for each item, in order, begun before they are asked for.

        At most `depth` results wait; then nothing is taken from `items` until a result is taken.
        `items` itself is read in the caller's thread. `name` is the thread's, for debuggers.
        """
        # The thread itself starts with the first item.
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._threads.append(thread)
        return _ahead(thread, work, items, depth)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # All are told to stop before any is waited for.
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)
        for thread in self._threads:
            thread.shutdown(wait=True)


def _ahead(
    thread: ThreadPoolExecutor, work: Callable[[_In], _Out], items: Iterable[_In], depth: int
) -> Iterator[_Out]:
    waiting: deque[Future[_Out]] = deque()
    for item in items:
        waiting.append(thread.submit(work, item))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
