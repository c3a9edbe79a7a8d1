"""Stages in threads: the order of a plain loop, its errors, and nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.matching.pipeline import Pipeline

PATIENCE = 30
"""Seconds after which a test that waits for another thread has failed."""


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def double(number: int) -> int:
    return number * 2


def written(number: int) -> str:
    return str(number)


def through(items: Iterable[int], depth: int = 1) -> list[str]:
    with Pipeline() as pipeline:
        doubled = pipeline.stage("double", double, items, depth=depth)
        return list(pipeline.stage("write", written, doubled, depth=depth))


@given(st.lists(st.integers(), max_size=30), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_results_are_those_of_a_loop(items: list[int], depth: int) -> None:
    assert through(items, depth) == [written(double(item)) for item in items]


def test_stages_work_at_the_same_time() -> None:
    # Each stage waits for the other, which a loop would never get to.
    scoring, searching = threading.Event(), threading.Event()

    def search(number: int) -> int:
        if number == 1:
            searching.set()
            assert scoring.wait(PATIENCE)
        return number

    def score(number: int) -> int:
        if number == 0:
            scoring.set()
            assert searching.wait(PATIENCE)
        return number

    with Pipeline() as pipeline:
        found = pipeline.stage("recall", search, range(3))
        assert list(pipeline.stage("score", score, found)) == [0, 1, 2]


def test_a_stage_is_never_called_twice_at_a_time() -> None:
    within = threading.Lock()

    def alone(number: int) -> int:
        assert within.acquire(blocking=False)
        time.sleep(0.001)
        within.release()
        return number

    with Pipeline() as pipeline:
        assert list(pipeline.stage("alone", alone, range(20), depth=3)) == list(range(20))


@pytest.mark.parametrize("depth", [1, 2])
def test_a_stage_waits_for_the_next_one(depth: int) -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            taken.append(len(taken))
            yield taken[-1]

    with Pipeline() as pipeline:
        doubled = pipeline.stage("double", double, endless(), depth=depth)
        last = pipeline.stage("write", written, doubled, depth=depth)
        for done in range(5):
            next(last)
            assert len(taken) <= done + 1 + 2 * depth


class Fault(Exception):
    pass


def failing(number: int) -> int:
    if number >= 3:
        raise Fault(number)
    return number


@pytest.mark.parametrize("stage", ["items", "first", "second", "caller"])
def test_an_error_of_any_stage_reaches_the_caller_and_stops_the_others(stage: str) -> None:
    begun: list[int] = []

    def noted(number: int) -> int:
        begun.append(number)
        return number

    def work(name: str, number: int) -> int:
        return failing(number) if name == stage else number

    def run() -> None:
        with Pipeline() as pipeline:
            items = (work("items", number) for number in range(1000))
            first = pipeline.stage("first", lambda n: noted(work("first", n)), items)
            second = pipeline.stage("second", lambda n: work("second", n), first)
            for number in second:
                work("caller", number)

    with pytest.raises(Fault, match="3"):
        run()
    assert len(begun) <= 3 + 3


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_caller_may_leave_early(taken: int) -> None:
    begun: list[int] = []

    def noted(number: int) -> int:
        begun.append(number)
        return number

    with Pipeline() as pipeline:
        results = pipeline.stage("note", noted, range(1000))
        assert [next(results) for _ in range(taken)] == list(range(taken))
    assert len(begun) <= taken + 1


def test_work_under_way_is_waited_for() -> None:
    begun, finished = threading.Event(), threading.Event()
    release = threading.Timer(0.05, finished.set)

    def slow(number: int) -> int:
        if number == 1:
            begun.set()
            assert finished.wait(PATIENCE)
        return number

    with Pipeline() as pipeline:
        next(pipeline.stage("slow", slow, range(10)))
        assert begun.wait(PATIENCE)
        release.start()
    assert finished.is_set()
    release.join()


def test_an_interruption_is_passed_on() -> None:
    def interrupted(number: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Pipeline() as pipeline:
        list(pipeline.stage("interrupted", interrupted, range(3)))
