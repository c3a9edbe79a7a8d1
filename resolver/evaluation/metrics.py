"""Measures of matching, by the definitions that the field's own tests use.

All are pair-micro unless said otherwise: over the pairs (affiliation, organisation) of all
strings, P = Σ|predicted ∩ gold| / Σ|predicted| and R = Σ|predicted ∩ gold| / Σ|gold|.
A share of nothing is None, not 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

CUT = 10
"""The cut of MRR and nDCG: that of the figures published for rerankers."""

BINS = 10
"""Bins of equal width for reliability, the custom since M. Naeini et al., "Obtaining well
calibrated probabilities using Bayesian binning", AAAI 2015."""


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
    found = dict.fromkeys(cuts, 0)
    total = 0
    for ids, gold in ranked:
        gold_set = set(gold)
        total += len(gold_set)
        for k in cuts:
            found[k] += len(gold_set.intersection(ids[:k]))
    return {k: share(count, total) for k, count in found.items()}


def reciprocal_rank(right: Sequence[bool]) -> float:
    """1 / place of the first right one of a ranked list, 0 if there is none up to `CUT`."""
    return next((1 / place for place, one in enumerate(right[:CUT], start=1) if one), 0.0)


def ndcg(right: Sequence[bool], relevant: int) -> float:
    """Normalised discounted cumulative gain up to `CUT`, binary gains.

    `relevant` counts what there was to find, in the list or not, and is at least 1
    (K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002).
    """
    gain = sum(1 / math.log2(place + 1) for place, one in enumerate(right[:CUT], start=1) if one)
    return gain / sum(1 / math.log2(place + 1) for place in range(1, min(relevant, CUT) + 1))


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well an order puts first what was looked for: means over `strings`, in [0, 1]."""

    strings: int
    top1: float
    mrr: float
    ndcg: float


def ranking(orders: Iterable[tuple[Sequence[bool], int]]) -> Ranking:
    """Measure (which ones of the list are right, how many there were to find), one a string."""
    rows = [
        (float(any(right[:1])), reciprocal_rank(right), ndcg(right, relevant))
        for right, relevant in orders
    ]
    if not rows:
        return Ranking(0, 0.0, 0.0, 0.0)
    return Ranking(len(rows), *(sum(column) / len(rows) for column in zip(*rows, strict=True)))


@dataclass(frozen=True, slots=True)
class Bin:
    """Claims of like probability: how many, what they claimed on average, what share was right."""

    claims: int
    claimed: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Whether probabilities can be taken at their word; bins of equal width, empty ones left out.

    `expected_error` is the mean distance of claimed from right over all claims (expected
    calibration error).
    """

    bins: tuple[Bin, ...]
    expected_error: float


def reliability(claims: Iterable[tuple[float, bool]]) -> Reliability:
    """Measure (probability, whether it was right) claims; without any, no bins and no error."""
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
    total = sum(one.claims for one in bins)
    error = sum(one.claims * abs(one.claimed - one.right) for one in bins)
    return Reliability(bins, error / total if total else 0.0)
