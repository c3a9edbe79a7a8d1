"""Measures of matching, as the published tests of other matchers define them.

All are pair-micro unless said otherwise: over the pairs (affiliation, organisation) of all
strings, P = Σ|predicted ∩ gold| / Σ|predicted| and R = Σ|predicted ∩ gold| / Σ|gold|.
A share of nothing is None, not 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

CUT = 10
"""The depth to which MRR and nDCG look, as in the figures published for rerankers."""

BINS = 10
"""Number of bins of equal width for reliability, as is usual since M. Naeini et al., "Obtaining
well calibrated probabilities using Bayesian binning", AAAI 2015."""

LEAST_CLAIMS = 50
"""A bin needs so many predictions for its error to mean much: the share of 50 that are right varies
by up to 0.07 by chance (one standard error of a half)."""


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def f_beta(precision: float | None, recall: float | None, beta: float) -> float | None:
    """F-measure; `beta` < 1 favours precision (C. van Rijsbergen, 1979)."""
    if precision is None or recall is None:
        return None
    weighted = beta * beta * precision + recall
    return (1 + beta * beta) * precision * recall / weighted if weighted else 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """How predicted sets of organisations agree with gold sets.

    `exact` is the share of strings whose two sets are equal, empty equal to empty;
    `no_match_specificity` the share of strings without gold that were answered with nothing.
    """

    strings: int
    precision: float | None
    recall: float | None
    f1: float | None
    f05: float | None
    exact: float | None
    no_match_specificity: float | None


def agreement(pairs: Iterable[tuple[Collection[str], Collection[str]]]) -> Agreement:
    """Measure (predicted, gold) sets of ROR ids, one pair a string."""
    strings = right = predicted_total = gold_total = equal = unlabelled = silent = 0
    for predicted, gold in pairs:
        predicted_set, gold_set = set(predicted), set(gold)
        strings += 1
        right += len(predicted_set & gold_set)
        predicted_total += len(predicted_set)
        gold_total += len(gold_set)
        equal += predicted_set == gold_set
        if not gold_set:
            unlabelled += 1
            silent += not predicted_set
    precision, recall = share(right, predicted_total), share(right, gold_total)
    return Agreement(
        strings=strings,
        precision=precision,
        recall=recall,
        f1=f_beta(precision, recall, 1.0),
        f05=f_beta(precision, recall, 0.5),
        exact=share(equal, strings),
        no_match_specificity=share(silent, unlabelled),
    )


def recall_at(
    cuts: Sequence[int], ranked: Iterable[tuple[Sequence[str], Collection[str]]]
) -> dict[int, float | None]:
    """Share of gold pairs among the first k ranked organisations, for each k of `cuts`."""
    counts = dict.fromkeys(cuts, 0)
    total = 0
    for ids, gold in ranked:
        gold_set = set(gold)
        total += len(gold_set)
        for k in cuts:
            counts[k] += len(gold_set.intersection(ids[:k]))
    return {k: share(count, total) for k, count in counts.items()}


def reciprocal_rank(right: Sequence[bool]) -> float:
    """1 / position of the first right entry of a ranked list, 0 if there is none up to `CUT`."""
    return next((1 / rank for rank, is_right in enumerate(right[:CUT], start=1) if is_right), 0.0)


def ndcg(right: Sequence[bool], relevant: int) -> float:
    """Normalised discounted cumulative gain up to `CUT`, binary gains.

    `relevant` counts the right organisations, in the list or not, and is at least 1
    (K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002).
    """
    gain = sum(
        1 / math.log2(rank + 1) for rank, is_right in enumerate(right[:CUT], start=1) if is_right
    )
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(relevant, CUT) + 1))


@dataclass(frozen=True, slots=True)
class Ranking:
    """How high the right organisations stand in ranked lists: means over `strings`, in [0, 1]."""

    strings: int
    top1: float
    mrr: float
    ndcg: float


def ranking(orders: Iterable[tuple[Sequence[bool], int]]) -> Ranking:
    """Measure lists, one a string: (whether each entry is right, how many right ones exist)."""
    rows = [
        (float(any(right[:1])), reciprocal_rank(right), ndcg(right, relevant))
        for right, relevant in orders
    ]
    if not rows:
        return Ranking(0, 0.0, 0.0, 0.0)
    return Ranking(len(rows), *(sum(column) / len(rows) for column in zip(*rows, strict=True)))


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions of similar probability: their number, mean probability, and the share that was
    right."""

    claims: int
    claimed: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well probabilities agree with what was right; bins of equal width, without empty ones.

    `expected_error` is the expected calibration error: the mean distance between a bin's mean
    probability and its share of right predictions, weighted by the bins' sizes. `largest_error` is
    the largest such distance among bins of at least `LEAST_CLAIMS`, None without any.
    """

    bins: tuple[Bin, ...]
    expected_error: float
    largest_error: float | None = None


def reliability(claims: Iterable[tuple[float, bool]]) -> Reliability:
    """Measure (probability, whether it was right) predictions; without any, no bins and error 0."""
    grouped: dict[int, list[tuple[float, bool]]] = {}
    for probability, right in claims:
        grouped.setdefault(min(int(probability * BINS), BINS - 1), []).append((probability, right))
    bins = tuple(
        Bin(
            len(group),
            sum(probability for probability, _ in group) / len(group),
            sum(right for _, right in group) / len(group),
        )
        for _, group in sorted(grouped.items())
    )
    total = sum(group.claims for group in bins)
    error = sum(group.claims * abs(group.claimed - group.right) for group in bins)
    return Reliability(
        bins,
        expected_error=error / total if total else 0.0,
        largest_error=max(
            (abs(group.claimed - group.right) for group in bins if group.claims >= LEAST_CLAIMS),
            default=None,
        ),
    )
