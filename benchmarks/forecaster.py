"""What the reranker reads with the forecaster: pairs, accuracy, and links that differ from those
when it reads all of the shortlist, by the need from which its second round reads.

    python -m benchmarks.forecaster ../shared/data/gold/dev-read/*.jsonl

With the settings and the index at hand. What the first stage and the reranker said once is
remembered, so that all are compared on the same candidates and scores.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks import report
from benchmarks.sieve import CHUNK, Remembered, RememberedRecall
from resolver.evaluation.gold import Gold, read_gold
from resolver.evaluation.metrics import agreement
from resolver.matching.matcher import Matcher
from resolver.service.installation import Installation
from resolver.settings import load_settings

NEEDS = (0.002, 0.005, 0.01, 0.02)

ALL = "all of them"
"""What the row is called in which the reranker reads the whole shortlist."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one set: pairs that the reranker read for a string, precision and recall of the links, and
    how many strings have other links than when it reads all."""

    strings: int
    pairs: float
    precision: float | None
    recall: float | None
    differ: int


def links(matcher: Matcher, gold: Sequence[Gold]) -> tuple[list[frozenset[str]], int]:
    """The organisations that each string is linked to, and how many pairs were read for all."""
    found: list[frozenset[str]] = []
    pairs = 0
    for start in range(0, len(gold), CHUNK):
        part = [row.affiliation for row in gold[start : start + CHUNK]]
        outcomes, meters = matcher.measured(part)
        pairs += meters.pairs
        found += [frozenset(link.ror_id for link in outcome.links) for outcome in outcomes]
    return found, pairs


def figures_of(
    gold: Sequence[Gold],
    found: Sequence[frozenset[str]],
    pairs: int,
    whole: Sequence[frozenset[str]],
) -> Figures:
    agreed = agreement(
        (row.counted(linked), row.ror_ids) for row, linked in zip(gold, found, strict=True)
    )
    differ = sum(one != other for one, other in zip(found, whole, strict=True))
    return Figures(len(gold), pairs / len(gold), agreed.precision, agreed.recall, differ)


def matchers(built: Matcher, needs: Sequence[float]) -> Mapping[str, Matcher]:
    """By name: the one whose reranker reads all, and one for each need."""
    forecaster = built.forecaster
    if forecaster is None:
        raise SystemExit("the judge of the settings has no forecaster")
    return {ALL: replace(built, forecaster=None)} | {
        f"need from {need:g}": replace(built, forecaster=replace(forecaster, second_from=need))
        for need in sorted(needs)
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("gold", type=Path, nargs="+", help="labelled strings")
    parser.add_argument("--needs", type=float, nargs="+", default=NEEDS, metavar="P")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    sets = {path.stem: read_gold(path) for path in options.gold}
    measured: dict[str, dict[str, Figures]] = {}
    with Installation(load_settings()) as installation, installation.open_matcher() as opened:
        recall = RememberedRecall(opened.recall.encoder, opened.recall.index)
        built = replace(opened, recall=recall, reranker=Remembered(opened.reranker))
        whole: dict[str, list[frozenset[str]]] = {}
        for name, matcher in matchers(built, options.needs).items():
            found = {of_set: links(matcher, gold) for of_set, gold in sets.items()}
            whole = whole or {of_set: linked for of_set, (linked, _) in found.items()}
            measured[name] = {
                of_set: figures_of(sets[of_set], linked, pairs, whole[of_set])
                for of_set, (linked, pairs) in found.items()
            }
            print(f"{name} …", file=sys.stderr, flush=True)
    rows = [[name, *map(_cell, of_sets.values())] for name, of_sets in measured.items()]
    text = report.table(["reads", *(f"{name}: pairs, P, R, other links" for name in sets)], rows)
    by_need = {name: {s: asdict(f) for s, f in found.items()} for name, found in measured.items()}
    report.finish({**figures, "reads": by_need}, text, options.json)


def _cell(found: Figures) -> str:
    precision, recall = (100 * (x or 0.0) for x in (found.precision, found.recall))
    return f"{found.pairs:.2f}, {precision:.1f}, {recall:.1f}, {found.differ}"


if __name__ == "__main__":
    main()
