"""Published figures of other matchers, by the set that they were measured on.

Figures of the ROR API's own matchers, of OpenAlex's institution parser (version 3, September
2026), of S2AFF and of ``ner_fallback``, as their projects published them in November 2026.
Pair-micro, shares in [0, 1], against the labels that were asserted; None where a figure is not
published. They were not run again here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """One system's figures; `precision` and `recall` as in `resolver.evaluation.metrics`."""

    system: str
    precision: float
    recall: float
    f1: float | None
    f05: float | None
    exact: float | None


@dataclass(frozen=True, slots=True)
class PublishedFigures:
    """The systems measured on a set, and `where`: on that set, or on what else."""

    where: str
    peers: tuple[Peer, ...]


PUBLISHED: Mapping[str, PublishedFigures] = {
    "springer-2023": PublishedFigures(
        "published, on the same set",
        (
            Peer("ROR API, single_search", 0.985, 0.763, 0.860, 0.931, 0.755),
            Peer("OpenAlex v3, all ids", 0.869, 0.957, 0.911, 0.885, 0.846),
            Peer("OpenAlex v3, top id only", 0.950, 0.875, 0.911, 0.934, None),
        ),
    ),
    "logs": PublishedFigures(
        "published, on its other half",
        (
            Peer("S2AFF", 0.741, 0.810, None, 0.754, 0.749),
            Peer("ROR API, multi-search", 0.956, 0.577, None, 0.845, 0.735),
            Peer("ner_fallback", 0.912, 0.752, None, 0.875, 0.820),
        ),
    ),
}
"""By the name of the gold file, without its suffix. ROR's query logs are 1,379 strings: the set
"logs" has one half, and the figures are of the other half."""
