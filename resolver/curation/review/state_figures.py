"""Figures of the state page: answers, decisions, and what is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resolver.database import overrides, review_decisions, review_figures
from resolver.database.review_decisions import Pace
from resolver.database.review_figures import ReleaseEffects, Remaining
from resolver.database.review_filters import Filters
from resolver.matching.override import OverrideProblem

if TYPE_CHECKING:
    from sqlalchemy import Engine

BINS = 20
"""Of the histogram of probabilities."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of the state page.

    `linked` of `texts` texts have a link, `linked_records` of `records` records. `reasons` counts
    texts without a link. `histogram` has the number of links by probability, in 20 bins of 0.05,
    from 0 on. `agreement` is (pairs of decisions that agree, pairs).
    """

    texts: int
    linked: int
    records: int
    linked_records: int
    reasons: Mapping[str, int]
    histogram: tuple[int, ...]
    release: ReleaseEffects | None
    pace: tuple[Pace, ...]
    remaining: Remaining
    agreement: tuple[int, int]
    override_problems: tuple[OverrideProblem, ...]


def figures(engine: Engine, *, days: int = 30) -> Figures:
    """The figures of the state page; `days` of pace. It reads every item: keep it for a minute."""
    stock = review_figures.stock(engine)
    linked = [count for count in stock if count.reason is None]
    return Figures(
        texts=sum(count.items for count in stock),
        linked=sum(count.items for count in linked),
        records=sum(count.records for count in stock),
        linked_records=sum(count.records for count in linked),
        reasons={count.reason: count.items for count in stock if count.reason is not None},
        histogram=review_figures.histogram(engine, bins=BINS),
        release=review_figures.release_effects(engine),
        pace=tuple(review_decisions.pace(engine, days=days)),
        remaining=review_figures.remaining(engine, Filters()),
        agreement=review_decisions.agreement(engine),
        override_problems=tuple(overrides.problems(engine)),
    )
