"""What each threshold of probability gives: the whole curve of precision and recall, exactly.

The decision depends on the threshold only through which candidates reach it. Between two of
their probabilities nothing changes, so a string has as many answers as it has probabilities
worth a link, and no grid is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import sub

from resolver.evaluation.metrics import f_beta, share

FLOOR = 0.01
"""Thresholds below this are not looked at: nobody links what is wrong 99 times in 100."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a string is linked to at thresholds of at most `probability`, down to the next step."""

    probability: float
    ror_ids: tuple[str, ...]


def thresholds(probabilities: Iterable[float]) -> list[float]:
    """The thresholds that make a difference to a string, strictest first."""
    return sorted({p for p in probabilities if p >= FLOOR}, reverse=True)


def steps(answers: Iterable[tuple[float, Sequence[str]]]) -> tuple[Step, ...]:
    """From what is linked at each of a string's `thresholds`, the steps that change anything.

    Above the first step nothing is linked.
    """
    found: list[Step] = []
    for probability, ror_ids in answers:
        ids = tuple(ror_ids)
        if ids != (found[-1].ror_ids if found else ()):
            found.append(Step(probability, ids))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What is reached when links need at least `accept_probability`; shares in [0, 1]."""

    accept_probability: float
    precision: float
    recall: float
    f1: float
    exact: float


def curve(rows: Iterable[tuple[Sequence[Step], Collection[str]]]) -> list[OperatingPoint]:
    """Every threshold at which some answer changes, strictest first; (steps, gold) a string.

    Thresholds at which nothing at all is linked are left out: they have no precision. Empty
    when there is no label.
    """
    changes: list[tuple[float, int, int, int]] = []
    strings = gold_total = equal = 0
    for its_steps, gold in rows:
        gold_set = set(gold)
        strings += 1
        gold_total += len(gold_set)
        before = (0, 0, int(not gold_set))
        equal += before[2]
        for step in its_steps:
            linked = set(step.ror_ids)
            after = (len(linked & gold_set), len(linked), int(linked == gold_set))
            right, links, exact = map(sub, after, before)
            changes.append((step.probability, right, links, exact))
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
    """At most `most` points, evenly by place, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]
