"""How well the matcher does on labelled affiliations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from resolver.domain.metrics import Agreement, agreement, recall_at
from resolver.gold import Gold
from resolver.matching import Matcher

RECALL_CUTS = (5, 20, 50, 100)
"""Depths at which the first stage is measured."""

CHUNK = 64
"""Affiliations resolved at once, as a worker would."""


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one gold file; shares are in [0, 1], None where there was nothing to share.

    `recall_at` is the first stage's, `mrr` the reranker's mean reciprocal rank (first gold
    organisation among those it scored) over labelled strings; `seconds` is wall time of
    resolving alone.
    """

    file: str
    agreement: Agreement
    recall_at: dict[int, float | None]
    mrr: float | None
    seconds: float
    strings_per_second: float

    def as_dict(self) -> dict[str, object]:
        """The flat form that ``resolver evaluate --json`` prints."""
        return {
            "file": self.file,
            **asdict(self.agreement),
            "recall_at": {str(k): value for k, value in self.recall_at.items()},
            "mrr": self.mrr,
            "seconds": round(self.seconds, 3),
            "strings_per_second": round(self.strings_per_second, 1),
        }


def evaluate(
    matcher: Matcher,
    name: str,
    gold: Sequence[Gold],
    *,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Resolve every affiliation and compare; `progress` is told how many are done.

    The matcher must recall at least `max(RECALL_CUTS)` organisations for the deepest cut to
    be meant as it reads.
    """
    predicted: list[list[str]] = []
    recalled: list[list[str]] = []
    reciprocal: list[float] = []
    started = time.perf_counter()
    for start in range(0, len(gold), CHUNK):
        chunk = gold[start : start + CHUNK]
        for row, judged in zip(
            chunk, matcher.judgements([row.affiliation for row in chunk]), strict=True
        ):
            predicted.append([link.ror_id for link in judged.outcome.links])
            recalled.append([candidate.ror_id for candidate in judged.candidates])
            if row.ror_ids:
                ranks = (
                    rank
                    for rank, scored in enumerate(judged.scored, start=1)
                    if scored.candidate.ror_id in row.ror_ids
                )
                reciprocal.append(1 / next(ranks, float("inf")))
        if progress:
            progress(len(predicted))
    seconds = time.perf_counter() - started
    labels = [row.ror_ids for row in gold]
    return Report(
        file=name,
        agreement=agreement(zip(predicted, labels, strict=True)),
        recall_at=recall_at(RECALL_CUTS, zip(recalled, labels, strict=True)),
        mrr=sum(reciprocal) / len(reciprocal) if reciprocal else None,
        seconds=seconds,
        strings_per_second=len(gold) / seconds if seconds else 0.0,
    )
