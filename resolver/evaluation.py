"""How well the matcher does on labelled affiliations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from resolver.domain import metrics
from resolver.domain.metrics import (
    Agreement,
    Ranking,
    Reliability,
    agreement,
    recall_at,
    reliability,
)
from resolver.gold import Gold
from resolver.matching import Matcher

RECALL_CUTS = (5, 20, 50, 100)
"""Depths at which the first stage is measured."""

CHUNK = 64
"""Affiliations resolved at once, as a worker would."""


FIRST_STAGE, RERANKER, JUDGE = STAGES = ("first stage", "reranker", "judge")


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of one gold file; shares are in [0, 1], None where there was nothing to share.

    `recall_at` is the first stage's. `rankings` has the order of the first stage, that of the
    reranker's scores and that of the judge's probabilities, all over the candidates that were
    reranked and the strings with a label: an organisation that is not among those candidates
    counts as not found. `reliability` says of every one of those
    candidates whether a probability held: the reranker's calibrated one, and the judge's.
    `seconds` is wall time of resolving alone.
    """

    file: str
    agreement: Agreement
    recall_at: dict[int, float | None]
    rankings: dict[str, Ranking]
    reliability: dict[str, Reliability]
    seconds: float
    strings_per_second: float

    def as_dict(self) -> dict[str, object]:
        """The flat form that ``resolver evaluate --json`` prints."""
        return {
            "file": self.file,
            **asdict(self.agreement),
            "recall_at": {str(k): value for k, value in self.recall_at.items()},
            "rankings": {stage: asdict(ranking) for stage, ranking in self.rankings.items()},
            "reliability": {stage: asdict(claims) for stage, claims in self.reliability.items()},
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
    ordered: dict[str, list[tuple[list[bool], int]]] = {stage: [] for stage in STAGES}
    claims: dict[str, list[tuple[float, bool]]] = {stage: [] for stage in STAGES[1:]}
    started = time.perf_counter()
    for start in range(0, len(gold), CHUNK):
        chunk = gold[start : start + CHUNK]
        for row, judged in zip(
            chunk, matcher.judgements([row.affiliation for row in chunk]), strict=True
        ):
            predicted.append([link.ror_id for link in judged.outcome.links])
            recalled.append([candidate.ror_id for candidate in judged.candidates])
            right = {c.ror_id: c.ror_id in row.ror_ids for c in judged.candidates}
            by_score = [scored.candidate.ror_id for scored in judged.scored]
            by_judge = [
                scored.candidate.ror_id
                for scored in sorted(judged.scored, key=lambda s: -s.probability)
            ]
            recalled_first = recalled[-1][: len(by_score)]
            if row.ror_ids:
                for stage, ids in zip(STAGES, (recalled_first, by_score, by_judge), strict=True):
                    ordered[stage].append(([right[i] for i in ids], len(row.ror_ids)))
            calibrated = matcher.reranker.calibration.probability([s.score for s in judged.scored])
            judge_says = [scored.probability for scored in judged.scored]
            labels_of = [right[ror_id] for ror_id in by_score]
            claims[RERANKER] += zip(calibrated, labels_of, strict=True)
            claims[JUDGE] += zip(judge_says, labels_of, strict=True)
        if progress:
            progress(len(predicted))
    seconds = time.perf_counter() - started
    labels = [row.ror_ids for row in gold]
    return Report(
        file=name,
        agreement=agreement(zip(predicted, labels, strict=True)),
        recall_at=recall_at(RECALL_CUTS, zip(recalled, labels, strict=True)),
        rankings={stage: metrics.ranking(orders) for stage, orders in ordered.items()},
        reliability={stage: reliability(said) for stage, said in claims.items()},
        seconds=seconds,
        strings_per_second=len(gold) / seconds if seconds else 0.0,
    )
