import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.reranker.sequences import Sequences, packed, padded, spans

SOME = Sequences(np.array([1, 2, 3, 4, 5, 6], np.int32), np.array([0, 2, 3, 6]))


@pytest.mark.parametrize(
    ("numbers", "ids", "bounds"),
    [
        ([0, 1, 2], [1, 2, 3, 4, 5, 6], [0, 2, 3, 6]),
        ([2, 0], [4, 5, 6, 1, 2], [0, 3, 5]),
        ([1, 1], [3, 3], [0, 1, 2]),
        ([], [], [0]),
    ],
)
def test_take(numbers: list[int], ids: list[int], bounds: list[int]) -> None:
    taken = SOME.take(np.array(numbers, np.int64))
    assert (taken.ids.tolist(), taken.bounds.tolist()) == (ids, bounds)


def test_types_go_with_their_ids() -> None:
    typed = Sequences(SOME.ids, SOME.bounds, SOME.ids % 2)
    taken = typed.take(np.array([2, 0]))
    assert taken.types is not None
    assert taken.types.tolist() == [0, 1, 0, 1, 0]


def test_padded_rows() -> None:
    ids, mask = SOME.padded(np.array([1, 2]), 9)
    assert ids.tolist() == [[3, 9, 9], [4, 5, 6]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]


def test_spans() -> None:
    assert spans(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert spans(np.array([], np.int64), np.array([], np.int64)).tolist() == []


@pytest.mark.parametrize(
    ("cut", "lengths", "expected"),
    [
        (packed, [], []),
        (packed, [5], [[0]]),
        (packed, [9, 3, 5], [[1, 2], [0]]),
        (packed, [2, 2, 2, 2, 2, 2], [[0, 1, 2, 3, 4], [5]]),
        (packed, [90, 90, 1], [[2], [0], [1]]),
        (padded, [], []),
        (padded, [9, 3, 5], [[1, 2], [0]]),
        (padded, [2, 6, 2], [[0, 2], [1]]),
        (padded, [90, 90, 1], [[2], [0], [1]]),
    ],
)
def test_batches_of_ten(cut: type, lengths: list[int], expected: list[list[int]]) -> None:
    assert [one.tolist() for one in cut(np.array(lengths, np.int64), 10)] == expected


@given(st.lists(st.integers(1, 50)), st.integers(1, 200))
def test_every_sequence_is_in_one_batch_that_fits(lengths: list[int], budget: int) -> None:
    array = np.array(lengths, np.int64)
    for cut, cost in (
        (packed, lambda some: some.sum()),
        (padded, lambda some: some.max() * len(some)),
    ):
        batches = list(cut(array, budget))
        assert sorted(n for batch in batches for n in batch) == list(range(len(lengths)))
        assert all(len(batch) == 1 or cost(array[batch]) <= budget for batch in batches)
        # None could have taken the first of the next as well.
        for batch, following in itertools.pairwise(batches):
            assert cost(array[[*batch, following[0]]]) > budget
