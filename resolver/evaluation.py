"""How well the matcher does on labelled affiliations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from resolver.domain.metrics import Agreement, agreement, recall_at
from resolver.errors import GoldError
from resolver.matching import Matcher

RECALL_CUTS = (5, 20, 50, 100)
"""Depths at which the first stage is measured."""

CHUNK = 64
"""Affiliations resolved at once, as a worker would."""


@dataclass(frozen=True, slots=True)
class Gold:
    """A labelled affiliation; no `ror_ids`: it names no organisation of the registry."""

    affiliation: str
    ror_ids: tuple[str, ...]


def read_gold(path: Path) -> list[Gold]:
    """JSON lines of ``{"affiliation": str, "ror_ids": [str]}``; other keys are ignored.

    Raises:
        GoldError: the file is missing or a line has another form; names the line.
    """
    try:
        with path.open("rb") as file:
            return list(_parse(path, file.readlines()))
    except OSError as error:
        raise GoldError(f"{path}: {error.strerror}", remedy="name a JSON lines file") from error


def _parse(path: Path, lines: Sequence[bytes]) -> Iterator[Gold]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            affiliation, ror_ids = row["affiliation"], row["ror_ids"]
        except (ValueError, KeyError, TypeError) as error:
            raise GoldError(
                f"{path}:{number}: not a labelled affiliation",
                remedy='each line is {"affiliation": "…", "ror_ids": ["…"]}',
            ) from error
        if not isinstance(affiliation, str) or not isinstance(ror_ids, list):
            raise GoldError(
                f"{path}:{number}: affiliation must be a string and ror_ids a list",
                remedy='each line is {"affiliation": "…", "ror_ids": ["…"]}',
            )
        yield Gold(affiliation, tuple(str(ror_id)[-9:] for ror_id in ror_ids))


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
