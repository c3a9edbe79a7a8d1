"""The sieve: which candidates are worth the reranker's time.

Reranking costs far more than anything else, and most of the first stage's 50 candidates are plainly
not named: half of their name is missing, or a better one has all of its words. What is known before
the reranker (`resolver.matching.reading`) shows this for a fraction of the cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from resolver.matching.evidence import FIRST_STAGE_FEATURES, Features, first_stage
from resolver.matching.reading import Reading
from resolver.matching.trees import Trees
from resolver.reranker.odds import probability

COLUMNS = (
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
"""The kinds of evidence that the sieve's trees ask for, in order: of all that are known before the
reranker those that changed the log odds most. With the other eighteen it passed no fewer candidates
for the same recall."""

_BY_NAME = {feature.name: feature for feature in FIRST_STAGE_FEATURES}
_FEATURES = tuple(_BY_NAME[name] for name in COLUMNS)


@dataclass(frozen=True, slots=True)
class Sieve:
    """Fitted on the first stage's candidates (``resolver train --part judge``); its `trees` ask for
    the `COLUMNS`."""

    trees: Trees

    def __post_init__(self) -> None:
        self.trees.require_columns(COLUMNS)

    def probability(self, readings: Sequence[Reading]) -> list[npt.NDArray[np.float64]]:
        """The probability, for each candidate of each reading, that the text names it."""
        if not readings:
            return []
        rows = np.concatenate(list(map(columns, readings)))
        ends = np.cumsum(list(map(len, readings)))
        return np.split(probability(self.trees.odds(rows)), ends[:-1])

    def shortlists(
        self, readings: Sequence[Reading], *, least: float, most: int
    ) -> list[list[int]]:
        """For each reading the positions of the candidates to be reranked, in their order.

        Those with a probability of at least `least`, but no more than the `most` best of them, and
        always the best one. Whose identifier the text has counts as certain.
        """
        return [
            _passed(np.where(reading.identified, 1.0, probabilities), least=least, most=most)
            for reading, probabilities in zip(readings, self.probability(readings), strict=True)
        ]

    def as_object(self) -> dict[str, object]:
        """As JSON values; `of_object` reads them."""
        return self.trees.as_object()

    @classmethod
    def of_object(cls, stored: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError: it is of another form."""
        return cls(Trees.of_object(stored))


def columns(reading: Reading) -> Features:
    """The `COLUMNS` of a reading, a row for each candidate."""
    return first_stage(_FEATURES, reading)


def _passed(probabilities: npt.NDArray[np.float64], *, least: float, most: int) -> list[int]:
    best = np.argsort(-probabilities, kind="stable")[:most]
    passed = best[probabilities[best] >= least]
    return sorted((passed if len(passed) else best[:1]).tolist())
