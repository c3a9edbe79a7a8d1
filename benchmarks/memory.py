"""Memory of a worker over many strings: whether it is flat.

    python -m benchmarks.memory
    python -m benchmarks.memory --registry ../shared/data/registry/ror-v2.9.json.gz \\
        --organisations 20000 --gold ../shared/data/gold/train.jsonl --strings 100000

The strings are all different: where the file has too few, they come again with two letters swapped
and a number more, so segments repeat and the caches of the first stage (`resolver.matching.recall`,
`resolver.index.payload`) fill to their bounds and turn over. They go through the embedded broker
and one worker of one process into Postgres. At each tenth of the way the table has what the process
that resolves holds (`benchmarks.process_memory`), and what the worker's parent holds of its own.
The growth is that of own memory since a fifth of the way, when caches are filled.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import psutil

from benchmarks import process_memory, report, strings
from benchmarks.throughput import answered, embedded, prepare, worker
from resolver import sample
from resolver.evaluation.gold import read_gold
from resolver.intake.record import SourceRecord
from resolver.service.installation import Installation
from resolver.workers import broker
from resolver.workers.client import enqueue

SOURCE = "benchmark"
STEPS = 10
"""Rows of the table, beside that of the start."""

FILLED = 2
"""The row from which growth is counted: a fifth of the way."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--organisations", type=int, help="of the registry, evenly taken [all]")
    parser.add_argument("--gold", type=Path, default=sample.GOLD, help="strings to vary")
    parser.add_argument("--strings", type=int, default=500, help="to resolve, all different")
    parser.add_argument("--chunk-size", type=int, default=128, help="strings a message")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        figures |= measured(options, Path(folder))
    report.finish(figures, tables(figures), options.json)


def measured(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    settings = embedded(home, options.chunk_size)
    log = home / "worker.log"
    registry = cut(options.registry, options.organisations, home)
    rows = strings.distinct(read_gold(options.gold), options.strings)
    records = [
        SourceRecord(SOURCE, str(number), row.affiliation) for number, row in enumerate(rows)
    ]
    found: list[dict[str, float]] = []
    with Installation(settings) as installation, broker.address(settings):
        engine = installation.engine_of_any_schema
        prepare(engine, registry, settings)
        with worker(log, 1) as process:
            found.append(held(process, 0))
            started = time.perf_counter()
            enqueue(records, settings=settings)
            for step in range(1, STEPS + 1):
                due = len(records) * step // STEPS
                while (done := answered(engine, log)) < due:
                    if process.poll() is not None:
                        sys.exit(f"the worker ended:\n{log.read_text()[-2000:]}")
                    time.sleep(0.2)
                found.append(held(process, done))
                print(found[-1], file=sys.stderr, flush=True)
            seconds = time.perf_counter() - started
    return {
        "strings": len(records),
        "seconds": seconds,
        "steps": found,
        "growth": found[-1]["own"] - found[FILLED]["own"],
    }


def cut(registry: Path, count: int | None, folder: Path) -> Path:
    """The registry, or so many records of it (.json, .json.gz) in a file of their own."""
    if count is None:
        return registry
    content = registry.read_bytes()
    records = orjson.loads(gzip.decompress(content) if registry.suffix == ".gz" else content)
    few = [records[place * len(records) // count] for place in range(min(count, len(records)))]
    path = folder / f"{registry.name.removesuffix('.gz').removesuffix('.json')}-cut.json"
    path.write_bytes(orjson.dumps(few))
    return path


def held(process: subprocess.Popen[bytes], done: int) -> dict[str, float]:
    """Megabytes of the process that resolves and of its parent."""
    parent = psutil.Process(process.pid)
    [child] = parent.children()
    of_parent = process_memory.held(parent.pid)["own"]
    return {"strings": done, **process_memory.held(child.pid), "parent": of_parent}


def tables(figures: Mapping[str, Any]) -> str:
    steps = figures["steps"]
    return "\n".join(
        [
            report.table(
                ["strings", "resident MB", "own MB", "parent MB"],
                [
                    [
                        f"{step['strings']:,.0f}",
                        *(f"{step[name]:.1f}" for name in ("resident", "own", "parent")),
                    ]
                    for step in steps
                ],
            ),
            "",
            f"{figures['strings']:,} strings in {figures['seconds']:,.0f} s; growth of own memory "
            f"after the first {steps[FILLED]['strings']:,.0f}: {figures['growth']:+.1f} MB",
        ]
    )


if __name__ == "__main__":
    main()
