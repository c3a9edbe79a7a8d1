"""Requests that come together are answered together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from resolver.doors.batching import Batcher, BatcherClosed, BatcherFull, TextFailed
from resolver.errors import DatabaseUnavailable


class Recorder:
    """A work that records its calls, and waits until it may go on."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.threads: set[int] = set()
        self.may = threading.Event()
        self.may.set()

    def __call__(self, key: str, texts: Sequence[str]) -> list[str]:
        self.calls.append((key, list(texts)))
        self.threads.add(threading.get_ident())
        assert self.may.wait(10)
        if "away" in texts:
            raise DatabaseUnavailable("no answer")
        if "poison" in texts:
            raise ZeroDivisionError
        return [f"{key}:{text}" for text in texts]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def run(
    test: Callable[[Batcher[str, str], Recorder], Awaitable[Any]],
    *,
    largest: int = 4,
    room: int = 100,
) -> Recorder:
    work = Recorder()

    async def whole() -> None:
        batcher: Batcher[str, str] = Batcher(work, largest=largest, room=room)
        batcher.start()
        try:
            await test(batcher, work)
        finally:
            work.may.set()
            await batcher.close()

    asyncio.run(whole())
    return work


def test_an_idle_batcher_starts_at_once_and_a_busy_one_gathers() -> None:
    async def test(batcher: Batcher[str, str], work: Recorder) -> None:
        work.may.clear()
        first = asyncio.create_task(batcher.ask("k", ["a"]))
        await _until(lambda: len(work.calls) == 1)
        others = [asyncio.create_task(batcher.ask("k", [text])) for text in "bcdef"]
        await _until(lambda: batcher.waiting == 5)
        work.may.set()
        assert await first == ["k:a"]
        assert await asyncio.gather(*others) == [[f"k:{text}"] for text in "bcdef"]

    work = run(test)
    assert work.calls == [("k", ["a"]), ("k", ["b", "c", "d", "e"]), ("k", ["f"])]
    assert len(work.threads) == 1


def test_a_batch_is_of_one_key_and_nobody_is_overtaken_for_long() -> None:
    async def test(batcher: Batcher[str, str], work: Recorder) -> None:
        work.may.clear()
        first = asyncio.create_task(batcher.ask("k", ["0"]))
        await _until(lambda: len(work.calls) == 1)
        asked = [
            asyncio.create_task(batcher.ask(key, [text]))
            for key, text in (("k", "a"), ("j", "b"), ("k", "c"), ("j", "d"))
        ]
        await _until(lambda: batcher.waiting == 4)
        work.may.set()
        await asyncio.gather(first, *asked)

    assert run(test).calls == [("k", ["0"]), ("k", ["a", "c"]), ("j", ["b", "d"])]


@pytest.mark.parametrize("texts", [["poison"], ["a", "poison"], ["poison", "b", "c", "d"]])
def test_a_poisoned_text_fails_alone(texts: list[str]) -> None:
    async def test(batcher: Batcher[str, str], work: Recorder) -> None:
        answers = await batcher.ask("k", texts)
        assert [isinstance(answer, TextFailed) for answer in answers] == [
            text == "poison" for text in texts
        ]
        assert await batcher.ask("k", ["after"]) == ["k:after"]

    run(test)


def test_a_service_that_is_away_fails_the_batch_and_no_later_one() -> None:
    async def test(batcher: Batcher[str, str], work: Recorder) -> None:
        with pytest.raises(DatabaseUnavailable):
            await batcher.ask("k", ["a", "away"])
        assert await batcher.ask("k", ["a"]) == ["k:a"]

    assert len(run(test).calls) == 2


def test_beyond_its_room_it_refuses_but_not_what_was_admitted() -> None:
    async def test(batcher: Batcher[str, str], work: Recorder) -> None:
        work.may.clear()
        first = asyncio.create_task(batcher.ask("k", ["0"]))
        await _until(lambda: len(work.calls) == 1)
        second = asyncio.create_task(batcher.ask("k", ["a", "b"]))
        await _until(lambda: batcher.waiting == 2)
        with pytest.raises(BatcherFull):
            await batcher.ask("k", ["c", "d"])
        third = asyncio.create_task(batcher.ask("k", ["c", "d"], admitted=True))
        await _until(lambda: batcher.waiting == 4)
        work.may.set()
        await asyncio.gather(first, second, third)
        assert batcher.waiting == 0

    run(test, room=3)


def test_what_nobody_waits_for_any_more_is_not_done() -> None:
    async def test(batcher: Batcher[str, str], work: Recorder) -> None:
        work.may.clear()
        first = asyncio.create_task(batcher.ask("k", ["0"]))
        await _until(lambda: len(work.calls) == 1)
        gone = asyncio.create_task(batcher.ask("k", ["gone"]))
        kept = asyncio.create_task(batcher.ask("k", ["kept"]))
        await _until(lambda: batcher.waiting == 2)
        gone.cancel()
        await asyncio.sleep(0)
        work.may.set()
        assert await kept == ["k:kept"]
        await first

    assert run(test).calls == [("k", ["0"]), ("k", ["kept"])]


def test_closing_answers_what_waits_and_refuses_the_rest() -> None:
    async def test(batcher: Batcher[str, str], work: Recorder) -> None:
        work.may.clear()
        asked = [asyncio.create_task(batcher.ask("k", [text])) for text in "abcdef"]
        await _until(lambda: len(work.calls) == 1)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(BatcherClosed):
            await batcher.ask("k", ["late"])
        work.may.set()
        await closing
        assert await asyncio.gather(*asked) == [[f"k:{text}"] for text in "abcdef"]

    run(test)
