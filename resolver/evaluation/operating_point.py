"""Precision and recall at every threshold of probability: the whole curve, exactly.

The decision depends on the threshold only through which candidates reach it. Between two
neighbouring probabilities of a string's candidates nothing changes, so it is enough to decide at
each of those probabilities; no grid of thresholds is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import sub

from resolver.evaluation.metrics import f_beta, share

FLOOR = 0.01
"""Lower thresholds are left out: nobody wants links that are wrong 99 times in 100."""


@dataclass(frozen=True, slots=True)
class LinksAtThreshold:
    """The links of a string at thresholds from `probability` down to that of the next entry."""

    probability: float
    ror_ids: tuple[str, ...]


def thresholds(probabilities: Iterable[float]) -> list[float]:
    """The thresholds that make a difference to a string, strictest first."""
    return sorted({p for p in probabilities if p >= FLOOR}, reverse=True)


def by_threshold(
    answers: Iterable[tuple[float, Sequence[str]]],
) -> tuple[LinksAtThreshold, ...]:
    """(threshold, linked ROR ids) at each of a string's `thresholds`, without the repetitions.

    Above the first threshold nothing is linked.
    """
    changes: list[LinksAtThreshold] = []
    for probability, ror_ids in answers:
        ids = tuple(ror_ids)
        if ids != (changes[-1].ror_ids if changes else ()):
            changes.append(LinksAtThreshold(probability, ids))
    return tuple(changes)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The figures when a link needs at least `accept_probability`; shares in [0, 1]."""

    accept_probability: float
    precision: float
    recall: float
    f1: float
    exact: float


def curve(
    rows: Iterable[tuple[Sequence[LinksAtThreshold], Collection[str]]],
) -> list[OperatingPoint]:
    """Every threshold at which some answer changes, strictest first.

    `rows` has for each string its links by threshold and its gold ROR ids. Thresholds at which
    nothing at all is linked are left out: they have no precision. Empty when there is no label.
    """
    changes: list[tuple[float, int, int, int]] = []
    strings = gold_total = equal = 0
    for links_by_threshold, gold in rows:
        gold_set = set(gold)
        strings += 1
        gold_total += len(gold_set)
        before = (0, 0, int(not gold_set))
        equal += before[2]
        for at in links_by_threshold:
            linked = set(at.ror_ids)
            after = (len(linked & gold_set), len(linked), int(linked == gold_set))
            right, links, exact = map(sub, after, before)
            changes.append((at.probability, right, links, exact))
            before = after
    changes.sort(key=lambda change: -change[0])
    points: list[OperatingPoint] = []
    right_total = linked_total = 0
    for place, (probability, more_right, more_linked, more_equal) in enumerate(changes):
        right_total += more_right
        linked_total += more_linked
        equal += more_equal
        following = changes[place + 1][0] if place + 1 < len(changes) else None
        precision, recall = share(right_total, linked_total), share(right_total, gold_total)
        if probability == following or precision is None or recall is None:
            continue
        f1 = f_beta(precision, recall, 1.0)
        assert f1 is not None
        points.append(OperatingPoint(probability, precision, recall, f1, equal / strings))
    return points


def best_f1(points: Iterable[OperatingPoint]) -> OperatingPoint | None:
    """The point of highest F1; of equal ones the strictest."""
    return max(points, key=lambda p: (p.f1, p.accept_probability), default=None)


def at_precision(points: Iterable[OperatingPoint], target: float) -> OperatingPoint | None:
    """The point of highest recall among those whose precision reaches `target`."""
    reaching = (point for point in points if point.precision >= target)
    return max(reaching, key=lambda p: (p.recall, p.accept_probability), default=None)


def thinned(points: Sequence[OperatingPoint], most: int) -> list[OperatingPoint]:
    """At most `most` of the points, evenly taken, with the first and the last."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
