"""Requests that come together are computed together, and fail alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from resolver import weights
from resolver.observing.metrics import ScorerMetrics
from resolver.reranker import Calibration
from resolver.reranker.sequences import Sequences
from resolver.reranker.tokens import PairTokenizer
from resolver.scorer.batching import Batches, RequestFailed, ScorerFull, joined

POISON = 4_999


class Recorder:
    """A reranker whose logits are the first ids; it records its batches, and waits until it may go
    on."""

    name, fingerprint, calibration, truncated = "recorder", "0", Calibration(), 0
    batch_tokens = 8

    def __init__(self) -> None:
        tokenizer = weights.shared_tokenizer(weights.BUILTIN_FOLDER / weights.TOKENIZER)
        self.tokens = PairTokenizer(tokenizer, max_length=32)
        self.batches: list[list[int]] = []
        self.may = threading.Event()
        self.broken = False

    def logits(self, sequences: Sequences) -> Any:
        first = sequences.ids[sequences.bounds[:-1]]
        self.batches.append(first.tolist())
        assert self.may.wait(10)
        if self.broken or POISON in first:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return first.astype(np.float32)

    score = close = None


def request(*first: int, length: int = 2) -> Sequences:
    """Sequences of so many tokens that begin with these ids."""
    ids = np.repeat(np.array(first, np.int32), length)
    return Sequences(ids, np.arange(0, length * len(first) + 1, length))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def reranker() -> Recorder:
    return Recorder()


@pytest.fixture
def ended() -> threading.Event:
    return threading.Event()


@pytest.fixture
def batches(reranker: Recorder, ended: threading.Event) -> Iterator[Batches]:
    """With both threads at work on a request each, until the reranker may go on."""
    made = Batches(reranker, metrics=ScorerMetrics(), room=40, end=ended.set)  # type: ignore[arg-type]
    for number in (1, 2):
        made.submit(request(number))
        until(lambda number=number: len(reranker.batches) == number)  # type: ignore[misc]
    yield made
    reranker.may.set()
    made.close()


def test_what_waits_is_a_batch_of_as_many_tokens_as_are_computed_at_a_time(
    batches: Batches, reranker: Recorder
) -> None:
    sent = [request(10), request(11, 12), request(13), request(14, 15, 16, 17, 18), request(19)]
    answers = [batches.submit(one) for one in sent]
    reranker.may.set()
    assert [answer.result(10).tolist() for answer in answers] == [
        one.ids[one.bounds[:-1]].tolist() for one in sent
    ]
    # The fourth is larger than a batch, and goes alone.
    assert sorted(reranker.batches[2:]) == [[10, 11, 12, 13], [14, 15, 16, 17, 18], [19]]


def test_a_request_that_makes_the_reranker_fail_fails_alone(
    batches: Batches, reranker: Recorder, ended: threading.Event
) -> None:
    good, bad, also_good = (batches.submit(request(n)) for n in (10, POISON, 11))
    reranker.may.set()
    assert good.result(10).tolist() == [10]
    assert also_good.result(10).tolist() == [11]
    with pytest.raises(RequestFailed, match="RuntimeError: CUDA error: an illegal memory access"):
        bad.result(10)
    assert batches._metrics.value("requests_failed_total") == 1
    assert not ended.is_set()


def test_a_reranker_that_fails_on_any_pair_ends_the_process_and_answers_nobody(
    batches: Batches, reranker: Recorder, ended: threading.Event
) -> None:
    answer = batches.submit(request(10))
    reranker.broken = True
    reranker.may.set()
    assert ended.wait(10)
    batches.close()
    assert not answer.done()


def test_a_request_whose_client_has_gone_is_not_computed(
    batches: Batches, reranker: Recorder
) -> None:
    gone, there = batches.submit(request(10)), batches.submit(request(11))
    assert gone.cancel()
    reranker.may.set()
    assert there.result(10).tolist() == [11]
    assert reranker.batches[2:] == [[11]]


def test_there_is_room_for_so_many_tokens(batches: Batches, reranker: Recorder) -> None:
    answers = [batches.submit(request(number, length=10)) for number in range(10, 14)]
    with pytest.raises(ScorerFull, match="40 tokens wait"):
        batches.submit(request(14))
    reranker.may.set()
    assert [answer.result(10).tolist() for answer in answers] == [[10], [11], [12], [13]]
    assert batches.submit(request(14)).result(10).tolist() == [14]


def test_what_waits_at_the_end_is_computed(batches: Batches, reranker: Recorder) -> None:
    answer = batches.submit(request(10))
    closing = threading.Thread(target=batches.close)
    closing.start()
    until(lambda: batches._closed)
    with pytest.raises(ScorerFull, match="it is stopping"):
        batches.submit(request(11))
    reranker.may.set()
    closing.join(10)
    assert answer.result(0).tolist() == [10]


def test_its_metrics(batches: Batches, reranker: Recorder) -> None:
    batches.submit(request(10)), batches.submit(request(11, 12, length=3))
    until(lambda: batches.busy_for() > 0.02)
    reranker.may.set()
    batches.close()
    value = batches._metrics.value
    assert [value(f"{name}_total") for name in ("requests", "pairs", "tokens", "batches")] == [
        4, 5, 12, 3,
    ]  # fmt: skip
    assert value("tokens_waiting") == 0
    assert value("wait_seconds_count") == 4
    # Two threads at once count once.
    assert 0.02 < value("busy_seconds_total") < 10
    assert batches.busy_for() == 0


def test_parts_are_joined_with_their_types() -> None:
    parts = [
        Sequences(np.array([n, n], np.int32), np.array([0, 1, 2]), np.array([0, n], np.int32))
        for n in (1, 2)
    ]
    whole = joined(parts)
    assert whole.ids.tolist() == [1, 1, 2, 2]
    assert whole.bounds.tolist() == [0, 1, 2, 3, 4]
    assert whole.types is not None
    assert whole.types.tolist() == [0, 1, 0, 2]
