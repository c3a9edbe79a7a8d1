"""Token ids of many sequences in one array, from which batches are cut. Needs NumPy only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sequences:
    """`ids`, shape (tokens,), of sequences one behind the other; `bounds`, shape (sequences + 1,),
    where each starts and the last ends. `types` are token types, None where all are 0.
    `truncated` of the sequences were cut to fit.
    """

    ids: Ids
    bounds: Numbers
    types: Ids | None = None
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> Numbers:
        return np.diff(self.bounds)

    def take(self, numbers: Numbers) -> Sequences:
        """Some of the sequences, in the order given."""
        lengths = self.lengths[numbers]
        places = spans(self.bounds[:-1][numbers], lengths)
        bounds = np.zeros(len(numbers) + 1, np.int64)
        np.cumsum(lengths, out=bounds[1:])
        return Sequences(
            self.ids[places], bounds, None if self.types is None else self.types[places]
        )

    def padded(self, numbers: Numbers, padding: int) -> tuple[Ids, Ids]:
        """Ids and mask (1 where a token is), both of shape (len(numbers), the longest of them)."""
        some = self.take(numbers)
        mask = np.arange(some.lengths.max(initial=0)) < some.lengths[:, None]
        ids = np.full(mask.shape, padding, np.int32)
        ids[mask] = some.ids
        return ids, mask.astype(np.int32)


def spans(starts: Numbers, lengths: Numbers) -> Numbers:
    """The integers from each start on, as many as its length, one run behind the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - ends + lengths, lengths)


def packed(lengths: Numbers, budget: int) -> Iterator[Numbers]:
    """Numbers of sequences by rising length, in batches of at most `budget` tokens.

    A sequence longer than that is a batch of its own.
    """
    order = np.argsort(lengths, kind="stable")
    ends = np.cumsum(lengths[order])
    start = 0
    while start < len(order):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + budget, side="right")))
        yield order[start:stop]
        start = stop


def padded(lengths: Numbers, budget: int) -> Iterator[Numbers]:
    """As `packed`, but the budget also counts the padding to the longest sequence of a batch."""
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    start = 0
    while start < len(order):
        # The cost of a batch that ends at i rises with i: width and number both do.
        some = ordered[start : start + budget // max(1, int(ordered[start])) + 1]
        cost = some * np.arange(1, len(some) + 1)
        stop = start + max(1, int(np.searchsorted(cost, budget, side="right")))
        yield order[start:stop]
        start = stop
