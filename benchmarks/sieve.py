"""What the reranker need not read: pairs, accuracy and time by `RESOLVER_RERANK_FROM`.

    python -m benchmarks.sieve ../shared/data/gold/dev/*.jsonl

With the settings and the index at hand. Each threshold resolves all strings; what the first stage
and the reranker said once is remembered, so that the thresholds are compared on the same candidates
and logits. The reranker reads all that the sieve passes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import report
from resolver.evaluation.gold import Gold, read_gold
from resolver.evaluation.metrics import agreement
from resolver.matching.candidate import Candidate
from resolver.matching.matcher import Matcher
from resolver.matching.recall import Recall
from resolver.reranker import Calibration, Pair, Reranker
from resolver.service.installation import Installation
from resolver.settings import load_settings
from resolver.text.affiliation import Affiliation

THRESHOLDS = (0.0, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02)
"""From all that may be reranked to hardly any."""

CHUNK = 256


@dataclass
class Remembered:
    """The reranker, asked once for each pair. `seconds` is what that took."""

    reranker: Reranker
    logits: dict[Pair, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return self.reranker.name

    @property
    def fingerprint(self) -> str:
        return self.reranker.fingerprint

    @property
    def calibration(self) -> Calibration:
        return self.reranker.calibration

    @property
    def truncated(self) -> int:
        return self.reranker.truncated

    def score(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self.logits]
        if new:
            started = time.perf_counter()
            self.logits |= zip(new, self.reranker.score(new).tolist(), strict=True)
            self.seconds += time.perf_counter() - started
        return np.array([self.logits[pair] for pair in pairs], np.float32)


@dataclass(frozen=True, slots=True)
class RememberedRecall(Recall):
    """The first stage, asked once for each text."""

    known: dict[str, list[Candidate]] = field(default_factory=dict)

    def candidates(
        self, affiliations: Sequence[Affiliation], *, depth: int
    ) -> list[list[Candidate]]:
        new = [affiliation for affiliation in affiliations if affiliation.text not in self.known]
        # Not super(): a dataclass with slots is another class than the one it was written as.
        found = Recall.candidates(self, new, depth=depth)
        self.known.update(zip((affiliation.text for affiliation in new), found, strict=True))
        return [self.known[affiliation.text] for affiliation in affiliations]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one threshold over one set, or over all; `pairs` are those of a string on average."""

    strings: int
    pairs: float
    precision: float
    recall: float
    f1: float


def measure(matcher: Matcher, sets: dict[str, list[Gold]]) -> dict[str, Figures]:
    """By set, and over all of them as ``all``."""
    answered: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    pairs = dict.fromkeys(sets, 0)
    for name, gold in sets.items():
        answered[name] = []
        for start in range(0, len(gold), CHUNK):
            part = gold[start : start + CHUNK]
            outcomes, meters = matcher.measured([row.affiliation for row in part])
            pairs[name] += meters.pairs
            answered[name] += [
                (row.counted(link.ror_id for link in outcome.links), row.ror_ids)
                for row, outcome in zip(part, outcomes, strict=True)
            ]
    answered["all"] = [answer for part in answered.values() for answer in part]
    pairs["all"] = sum(pairs.values())
    return {name: _figures(part, pairs[name]) for name, part in answered.items()}


def _figures(answers: Sequence[tuple[tuple[str, ...], tuple[str, ...]]], pairs: int) -> Figures:
    found = agreement(answers)
    return Figures(
        len(answers), pairs / len(answers), found.precision or 0.0, found.recall or 0.0,
        found.f1 or 0.0,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("gold", type=Path, nargs="+", help="labelled strings")
    parser.add_argument(
        "--from", type=float, nargs="+", default=THRESHOLDS, dest="thresholds", metavar="P"
    )
    options = parser.parse_args(arguments)
    figures = report.header(options)
    sets = {path.stem: read_gold(path) for path in options.gold}
    rows = []
    measured = {}
    with Installation(load_settings()) as installation, installation.open_matcher() as opened:
        built = replace(opened, forecaster=None)
        reranker = Remembered(built.reranker)
        recall = RememberedRecall(built.recall.encoder, built.recall.index)
        for least in sorted(options.thresholds):
            matcher = replace(built, recall=recall, reranker=reranker, rerank_from=least)
            found = measure(matcher, sets)
            measured[str(least)] = {name: asdict(one) for name, one in found.items()}
            figures_of = (f"{one.pairs:.1f} · {100 * one.f1:.1f}" for one in found.values())
            rows.append([f"{least:g}", *figures_of])
            print(f"{least:g}: {found['all'].pairs:.1f} pairs a string", file=sys.stderr)
        pair_ms = 1e3 * reranker.seconds / max(len(reranker.logits), 1)
    text = report.table(["rerank from", *(f"{name}: pairs · F1" for name in (*sets, "all"))], rows)
    report.finish(
        {**figures, "pair_ms": pair_ms, "from": measured},
        f"{text}\n\nA pair took {pair_ms:.2f} ms.",
        options.json,
    )


if __name__ == "__main__":
    main()
