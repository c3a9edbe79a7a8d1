"""How much figures vary with the choice of strings: percentile bootstrap intervals.

B. Efron, "Bootstrap methods: another look at the jackknife", 1979. Strings are drawn, not
pairs, since the pairs of one string depend on each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import numpy.typing as npt

SEED = 20_261_122
"""Fixed, so that the same answers have the same intervals."""

LEVEL = 0.95
"""Share of the resamples that an interval holds."""

Interval = tuple[float, float]


def intervals(
    pairs: Iterable[tuple[Collection[str], Collection[str]]], resamples: int
) -> dict[str, Interval | None]:
    """95% intervals of "precision", "recall", "f1" and "exact".

    `pairs` has for each string the ROR ids that were predicted and those of the label.

    None where fewer than two resamples have the figure (nothing was predicted, or labelled).
    """
    counts = np.array([_counts(predicted, gold) for predicted, gold in pairs], np.int64)
    if not len(counts) or resamples < 1:
        return dict.fromkeys(("precision", "recall", "f1", "exact"))
    random = np.random.default_rng(SEED)
    sums = np.stack(
        [counts[random.integers(len(counts), size=len(counts))].sum(0) for _ in range(resamples)]
    )
    right, predicted, gold, equal = sums.T.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": _percentiles(right / predicted),
            "recall": _percentiles(right / gold),
            # 2PR / (P + R), without a case for P = R = 0; as P and R, it needs both to exist.
            "f1": _percentiles(
                np.where((predicted > 0) & (gold > 0), 2 * right / (predicted + gold), np.nan)
            ),
            "exact": _percentiles(equal / len(counts)),
        }


def _counts(predicted: Collection[str], gold: Collection[str]) -> tuple[int, int, int, int]:
    predicted_set, gold_set = set(predicted), set(gold)
    return (
        len(predicted_set & gold_set),
        len(predicted_set),
        len(gold_set),
        int(predicted_set == gold_set),
    )


def _percentiles(values: npt.NDArray[np.float64]) -> Interval | None:
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
