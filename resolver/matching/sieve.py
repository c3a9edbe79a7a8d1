"""The sieve: which candidates are worth the reranker's time.

Of the first stage's 50 the reranker is the dearest part by far, and most are plainly not named:
half of their name is missing, or a better one has all of its words. What the first stage knows
(`resolver.matching.reading`) says so for a fraction of the cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from resolver.matching.reading import STANDING, Columns, Reading
from resolver.matching.trees import Trees
from resolver.reranker.odds import probability

ASKED = (
    "sparse",
    "sparse_gap",
    "dense",
    "dense_gap",
    "reciprocal_rank",
    "coverage",
    "missing",
    "segment_share",
    "position",
    "namesakes",
    "city",
    "city_known",
    "country",
    "other_country",
)
"""Columns of `STANDING` that the sieve may ask for: of all of them those that changed its mind
most. With the other eighteen it passed no fewer candidates for the same recall."""

_PLACES = np.array([STANDING.index(name) for name in ASKED])


@dataclass(frozen=True, slots=True)
class Sieve:
    """Fitted on the first stage's candidates (``resolver train --part judge``); `trees` ask for the
    columns `ASKED`."""

    trees: Trees

    def __post_init__(self) -> None:
        self.trees.require_columns(ASKED)

    def probability(self, readings: Sequence[Reading]) -> list[npt.NDArray[np.float64]]:
        """How probable it is of each candidate of each reading that the text names it."""
        if not readings:
            return []
        table = np.concatenate([asked(reading.standing) for reading in readings])
        ends = np.cumsum([len(reading.candidates) for reading in readings])
        return np.split(probability(self.trees.odds(table)), ends[:-1])

    def shortlists(
        self, readings: Sequence[Reading], *, least: float, most: int
    ) -> list[list[int]]:
        """For each reading the places of the candidates to be reranked, in their order.

        Those that are named with a probability of `least`, but no more than the `most` probable,
        and always the most probable one.
        """
        return [
            _passed(probabilities, least=least, most=most)
            for probabilities in self.probability(readings)
        ]

    def as_object(self) -> dict[str, object]:
        """As JSON values; `of_object` reads them."""
        return self.trees.as_object()

    @classmethod
    def of_object(cls, stored: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError: it is of another form."""
        return cls(Trees.of_object(stored))


def asked(standing: Columns) -> Columns:
    """The columns `ASKED`, in that order."""
    return standing[:, _PLACES]


def _passed(probabilities: npt.NDArray[np.float64], *, least: float, most: int) -> list[int]:
    best = np.argsort(-probabilities, kind="stable")[:most]
    passed = best[probabilities[best] >= least]
    return sorted((passed if len(passed) else best[:1]).tolist())
