"""Measures of matching, by the definitions that the field's own tests use.

All are pair-micro unless said otherwise: over the pairs (affiliation, organisation) of all
strings, P = Σ|predicted ∩ gold| / Σ|predicted| and R = Σ|predicted ∩ gold| / Σ|gold|.
A share of nothing is None, not 0 or 1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


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
