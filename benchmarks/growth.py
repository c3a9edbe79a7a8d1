"""How cost grows: with the organisations of the registry, and with the candidates reranked.

    python -m benchmarks.growth
    python -m benchmarks.growth --registry ../shared/data/registry/ror-v2.9.json.gz \\
        --gold ../shared/data/gold/train.jsonl --sizes 10000 50000 129046 500000 1000000

A registry of fewer organisations than the file has is a part of it, with those that the strings
name. One of more has made-up ones beside them: an organisation of the file under another id, one
word of each of its names put in the place of a word of another organisation, in that one's city.
So they compete for the strings as more real ones would. Each size is built and searched in a
process of its own, for its own peak of memory; a size that cannot be done in the minutes left, to
judge by the one before, is left out and said to be.

Then the depth: how many strings a second are resolved on the registry of the file, and how well,
when 5, 10, 20, 50 or 100 candidates meet the reranker.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import report, strings
from benchmarks.straight_line import peak_mb
from benchmarks.turns import in_turn
from resolver import sample
from resolver.evaluation.gold import Gold, read_gold
from resolver.evaluation.metrics import agreement, recall_at
from resolver.matching.matcher import Matcher
from resolver.registry.organisation import Name, Organisation, OrganisationStatus
from resolver.service import parts
from resolver.service.installation import Installation, index_directory
from resolver.settings import Settings, load_settings
from resolver.text.affiliation import Affiliation, normalise

SIZES = (10_000, 50_000, 129_046, 500_000, 1_000_000)
DEPTHS = (5, 10, 20, 50, 100)
CHUNK = 64
CUTS = (5, 20, 50)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--gold", type=Path, default=sample.GOLD, help="strings to search for")
    parser.add_argument("--sizes", type=int, nargs="*", metavar="N", help=f"{SIZES}; for the "
                        "sample: 300, 1,000 and 3,000")  # fmt: skip
    parser.add_argument("--depths", type=int, nargs="*", default=DEPTHS, metavar="K")
    parser.add_argument("--strings", type=int, default=10 * CHUNK, help="searched for")
    parser.add_argument("--resolved", type=int, default=CHUNK, help="resolved at each depth")
    parser.add_argument("--rounds", type=int, default=3, help="of resolving")
    parser.add_argument("--minutes", type=float, default=60.0, help="left for the sizes")
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.size is not None:
        print(json.dumps(one_size(options, options.size)))
        return
    if options.sizes is None:
        options.sizes = [300, 1_000, 3_000] if options.registry == sample.REGISTRY else SIZES
    figures = report.header(options) | {"sizes": sizes(options), "depths": []}
    if options.depths:
        figures["depths"] = depths(options)
    report.finish(figures, tables(figures), options.json)


def sizes(options: argparse.Namespace) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 60 * options.minutes
    found: list[dict[str, Any]] = []
    took = 0.0
    done = 0
    for size in sorted(options.sizes):
        if done and time.monotonic() + took * size / done > deadline:
            found.append({"organisations": size, "left_out": "not in the minutes given"})
            continue
        print(f"{size:,} organisations …", file=sys.stderr, flush=True)
        started = time.monotonic()
        found.append(in_a_process(options, size))
        took, done = time.monotonic() - started, size
    return found


def in_a_process(options: argparse.Namespace, size: int) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "benchmarks.growth", "--size", str(size),
        "--registry", str(options.registry), "--gold", str(options.gold),
        "--strings", str(options.strings),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{size:,} organisations failed:\n{done.stderr[-4000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def one_size(options: argparse.Namespace, size: int) -> dict[str, Any]:
    rows = labelled(options.gold, options.strings)
    named = {ror_id for row in rows for ror_id in row.ror_ids}
    with installed(options.registry, size, named) as (settings, built):
        rows = [row for row in rows if set(row.ror_ids) <= built["ror_ids"]]
        texts = [Affiliation.of(row.affiliation) for row in rows]
        with Installation(settings) as installation, installation.open_recall() as recall:
            recall.candidates(texts[:CHUNK], depth=settings.recall_depth)
            milliseconds, found = [], []
            for start in range(0, len(texts), CHUNK):
                chunk = texts[start : start + CHUNK]
                started = time.perf_counter()
                candidates = recall.candidates(chunk, depth=settings.recall_depth)
                milliseconds.append(1000 * (time.perf_counter() - started) / len(chunk))
                found += candidates
        pairs = [
            (row.counted(one.ror_id for one in candidates), row.ror_ids)
            for row, candidates in zip(rows, found, strict=True)
        ]
        return {
            "organisations": built["organisations"],
            "names": built["names"],
            "build_seconds": built["seconds"],
            "disk_bytes": built["disk_bytes"],
            "peak_mb": peak_mb(),
            "strings": len(texts),
            "recall_ms_p50": statistics.median(milliseconds),
            "recall_ms_most": max(milliseconds),
            "recall_at": {str(cut): share for cut, share in recall_at(CUTS, pairs).items()},
        }


def labelled(path: Path, count: int) -> list[Gold]:
    """Strings with a label, each once."""
    known: dict[str, Gold] = {}
    for row in read_gold(path):
        if row.ror_ids:
            known.setdefault(normalise(row.affiliation), row)
    return strings.evenly(list(known.values()), count)


@contextmanager
def installed(
    registry: Path, size: int | None, named: set[str]
) -> Iterator[tuple[Settings, dict[str, Any]]]:
    """An index of so many organisations (None: those of the file), and what it took."""
    with tempfile.TemporaryDirectory(prefix="growth-") as folder:
        settings = load_settings().model_copy(update={"qdrant_url": None, "home": Path(folder)})
        real = strings.organisations(registry)
        found = real if size is None else resized(real, size, named)
        encoder = parts.load_encoder(settings)
        started = time.perf_counter()
        manifest = strings.indexed(found, encoder, index_directory(settings))
        seconds = time.perf_counter() - started
        yield (
            settings,
            {
                "organisations": manifest.organisations,
                "names": manifest.points,
                "seconds": seconds,
                "disk_bytes": report.folder_bytes(index_directory(settings)),
                "ror_ids": {organisation.ror_id for organisation in found},
            },
        )


def resized(real: Sequence[Organisation], size: int, named: set[str]) -> list[Organisation]:
    """`size` organisations: of the real ones first those that are `named`, then made-up ones.

    Withdrawn ones are left out, since they are not indexed.
    """
    real = [one for one in real if one.status is not OrganisationStatus.WITHDRAWN]
    if size <= len(real):
        # In an order of its own, since the file's has the older ones first.
        shuffled = random.Random(0).sample(list(real), len(real))
        return sorted(shuffled, key=lambda one: one.ror_id not in named)[:size]
    return [*real, *islice(made_up(real, seed=0), size - len(real))]


def made_up(real: Sequence[Organisation], *, seed: int) -> Iterator[Organisation]:
    """Organisations that are none, without end; their ids begin with "1", which no ROR id does."""
    rng = random.Random(seed)
    number = 0
    while True:
        for organisation in real:
            other = real[rng.randrange(len(real))]
            yield replace(
                organisation,
                ror_id=f"1{number:08d}",
                names=tuple(_renamed(organisation.names, other, rng)),
                places=other.places or organisation.places,
                relations=(),
                identifiers=(),
            )
            number += 1


def _renamed(names: Sequence[Name], other: Organisation, rng: random.Random) -> Iterator[Name]:
    theirs = other.display_name.split()
    for name in names:
        words = name.value.split()
        words[rng.randrange(len(words))] = theirs[rng.randrange(len(theirs))]
        value = " ".join(words)
        # Of a single word nothing would be left of the name's own.
        yield replace(name, value=value if len(words) > 1 else f"{name.value} {value}")


def depths(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = labelled(options.gold, options.resolved)
    texts = [row.affiliation for row in rows]
    with (
        installed(options.registry, None, set()) as (settings, _),
        Installation(settings) as installation,
        installation.open_matcher() as matcher,
    ):
        print("depths …", file=sys.stderr, flush=True)
        matchers = {
            str(depth): replace(
                matcher,
                forecaster=None,
                rerank_from=0.0,
                rerank_depth=depth,
                recall_depth=max(depth, settings.recall_depth),
            )
            for depth in options.depths
        }
        seconds = in_turn(
            {name: partial(one.resolve, texts) for name, one in matchers.items()},
            rounds=options.rounds,
        )
        return [
            {
                "depth": int(name),
                "strings": len(texts),
                "strings_per_second": len(texts) / statistics.median(seconds[name]),
                **_quality(one, rows),
            }
            for name, one in matchers.items()
        ]


def _quality(matcher: Matcher, rows: Sequence[Gold]) -> dict[str, Any]:
    """What of the labels is among the candidates that are reranked, and what is linked."""
    judgements = matcher.judgements([row.affiliation for row in rows])
    depth = matcher.rerank_depth
    candidates, linked = [], []
    for row, judgement in zip(rows, judgements, strict=True):
        candidates.append((row.counted(c.ror_id for c in judgement.candidates), row.ror_ids))
        linked.append((row.counted(k.ror_id for k in judgement.outcome.links), row.ror_ids))
    found = agreement(linked)
    return {
        "recall_at_depth": recall_at((depth,), candidates)[depth],
        "precision": found.precision,
        "recall": found.recall,
        "f1": found.f1,
    }


def tables(figures: Mapping[str, Any]) -> str:
    lines = [
        report.table(
            ["organisations", "names", "build s", "disk MB", "peak MB", "recall p50 ms", "most",
             *(f"R@{cut}" for cut in CUTS)],
            [_row(found) for found in figures["sizes"]],
        )
    ]  # fmt: skip
    if figures["depths"]:
        lines += [
            "",
            report.table(
                ["candidates reranked", "strings/s", "R of them", "P", "R", "F1"],
                [
                    [
                        found["depth"],
                        report.significant(found["strings_per_second"]),
                        *(
                            report.percent(found[name])
                            for name in ("recall_at_depth", "precision", "recall", "f1")
                        ),
                    ]
                    for found in figures["depths"]
                ],
            ),
        ]
    return "\n".join(lines)


def _row(found: Mapping[str, Any]) -> list[str]:
    size = f"{found['organisations']:,}"
    if "left_out" in found:
        return [size, found["left_out"], *[""] * (5 + len(CUTS))]
    return [
        size,
        f"{found['names']:,}",
        f"{found['build_seconds']:.1f}",
        f"{found['disk_bytes'] / 1e6:,.0f}",
        f"{found['peak_mb']:,.0f}",
        f"{found['recall_ms_p50']:.2f}",
        f"{found['recall_ms_most']:.2f}",
        *(report.percent(found["recall_at"][str(cut)]) for cut in CUTS),
    ]


if __name__ == "__main__":
    main()
