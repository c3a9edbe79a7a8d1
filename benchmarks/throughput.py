"""End to end: strings through the queue and a worker into Postgres, with accuracy beside it.

    python -m benchmarks.throughput
    python -m benchmarks.throughput --registry ../shared/data/registry/ror-v2.9.json.gz \\
        --gold ../shared/data/gold/train.jsonl --count 2000

Postgres, the broker and Qdrant's engine are embedded, and there is one worker, of one process or
`--processes`. What is sent are labelled strings, all different: where the file has too few, they
come again with two letters swapped and a number more. Everything is sent twice, new and then seen
before. The clock runs from the first message to the last stored answer; the worker is up and warm
before. Stages are summed over its processes. Models and depths are those of the settings
(RESOLVER_RERANKER and the like). With `--scorer` one process computes the reranker for all of them,
on a GPU where there is one: `benchmarks/gpu.sh`.

Accuracy is read from the database: links against labels. The labels of train.jsonl taught the
built-in models, so its figures say whether all works under load, not how well on unseen strings;
`resolver evaluate` says that.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from benchmarks import report, strings
from benchmarks.straight_line import settled
from resolver import sample
from resolver.database import releases, schema
from resolver.evaluation.gold import Gold, read_gold
from resolver.evaluation.metrics import agreement
from resolver.index.build import build
from resolver.intake.record import SourceRecord
from resolver.matching import meters as measures
from resolver.release.load import load
from resolver.service import parts
from resolver.service.installation import Installation, open_index_store
from resolver.settings import Settings, load_settings
from resolver.workers import broker
from resolver.workers.client import enqueue

SOURCE, WARM = "benchmark", "warm-up"

WARM_STRINGS = 32

READY = 300
"""Seconds that a worker may take to open its models and its index."""

GIVEN_UP = "raised unexpected"
"""Celery's words for a task that failed."""

SCORER = re.compile(r"[\d,]+ pairs/s, .*")
"""What a scorer's log says of each minute."""

METER = re.compile(r"\b([a-z_]+)=([\d.]+)")

STAGES = ("wall", *measures.STAGES)
COUNTS = ("pairs", "pairs_avoided")
ACCURACY = ("precision", "recall", "f1", "exact")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--gold", type=Path, default=sample.GOLD, help="strings to send")
    parser.add_argument("--count", type=int, default=500, help="strings to send")
    parser.add_argument("--processes", type=int, default=1, help="of the worker")
    parser.add_argument("--scorer", action="store_true", help="one, for all processes")
    parser.add_argument("--chunk-size", type=int, help="strings a message [the settings']")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        figures |= measured(options, Path(folder))
    report.finish(figures, tables(figures), options.json)


def measured(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    settings = embedded(home, options.chunk_size)
    log = home / "worker.log"
    rows = strings.distinct(read_gold(options.gold), options.count)
    with Installation(settings) as installation, broker.address(settings):
        engine = installation.engine_of_any_schema
        prepare(engine, options.registry, settings)
        with worker(log, options.processes, scorer=options.scorer) as process:

            def sent(records: Sequence[SourceRecord], done: int) -> float:
                return settled(
                    lambda: enqueue(records, settings=settings),
                    lambda: answered(engine, log),
                    done,
                    process,
                )

            warm = [
                SourceRecord(WARM, str(number), f"{row.affiliation} (warm)")
                for number, row in enumerate(rows[:WARM_STRINGS])
            ]
            sent(warm, len(warm))
            before = len(meters(log))
            print(f"{len(rows):,} strings …", file=sys.stderr, flush=True)
            records = [
                SourceRecord(SOURCE, str(number), row.affiliation)
                for number, row in enumerate(rows)
            ]
            new = sent(records, len(warm) + len(records))
            stages = total(meters(log)[before:])
            made = links(engine)
            # A last record shows when all before it are through.
            last = SourceRecord(SOURCE, "last", "the last one of all")
            again = sent([*records, last], len(warm) + len(records) + 1)
        return {
            "strings": len(records),
            "new": {
                "seconds": new,
                "strings_per_second": len(records) / new,
                "links": made,
                "stages": stages,
                "accuracy": asdict(accuracy(engine, rows)),
            },
            "again": {
                "seconds": again,
                "strings_per_second": len(records) / again,
                "links": links(engine),
            },
            "scorer": SCORER.findall(log.read_text(errors="replace")),
        }


def embedded(home: Path, chunk_size: int | None) -> Settings:
    """The settings with nothing outside `home`; the worker finds the same in its environment."""
    for name in ("DATABASE_URL", "BROKER_URL", "QDRANT_URL"):
        os.environ.pop(f"RESOLVER_{name}", None)
    os.environ["RESOLVER_HOME"] = str(home)
    if chunk_size:
        os.environ["RESOLVER_CHUNK_SIZE"] = str(chunk_size)
    return load_settings()


def prepare(engine: Engine, registry: Path, settings: Settings) -> None:
    """Tables, registry and index; `benchmarks.straight_line` says how long they take."""
    print(f"{registry.name} is loaded and indexed …", file=sys.stderr, flush=True)
    schema.upgrade(engine)
    load(engine, registry, rejects=settings.home / "rejects.jsonl")
    index(engine, settings)


def index(engine: Engine, settings: Settings) -> None:
    """Index the release in use in full, for searches to find."""
    release = releases.require_release(engine)
    with open_index_store(settings) as store:
        manifest = build(
            releases.organisations(engine, release.id),
            release=release.version,
            release_sha256=release.sha256,
            encoder=parts.load_encoder(settings),
            store=store,
        )
        store.activate(manifest.version)


@contextmanager
def worker(log: Path, processes: int, *, scorer: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with so many processes, ready for messages."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "resolver.cli", "worker", "--concurrency", str(processes),
                *(["--scorer"] if scorer else []),
            ],
            stdout=output,
            stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + READY
        while " ready." not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the worker did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def answered(engine: Engine, log: Path) -> int:
    """Records with an outcome; ends the benchmark when the worker gave a chunk up."""
    said = log.read_text(errors="replace")
    if GIVEN_UP in said:
        sys.exit(f"a chunk failed:\n{said[said.index(GIVEN_UP) :][:4000]}")
    with engine.connect() as connection:
        return int(
            connection.execute(
                text("SELECT count(*) FROM source_record JOIN outcome USING (affiliation_id)")
            ).scalar_one()
        )


def links(engine: Engine) -> int:
    """Links of what was measured, one for each record and organisation."""
    with engine.connect() as connection:
        query = text(
            "SELECT count(*) FROM link JOIN source_record USING (affiliation_id) "
            "WHERE source = :source AND external_id <> 'last'"
        )
        return int(connection.execute(query, {"source": SOURCE}).scalar_one())


def accuracy(engine: Engine, rows: Sequence[Gold]) -> Any:
    """The stored links against the labels."""
    query = text(
        "SELECT external_id, array_agg(l.ror_id) FROM source_record s "
        "JOIN link l USING (affiliation_id) "
        "WHERE s.source = :source AND external_id <> 'last' GROUP BY external_id"
    )
    with engine.connect() as connection:
        found = {int(one): ids for one, ids in connection.execute(query, {"source": SOURCE})}
    return agreement(
        (row.counted(found.get(number, ())), row.ror_ids) for number, row in enumerate(rows)
    )


def meters(log: Path) -> list[dict[str, float]]:
    """What the worker said of each chunk, where it says how long the stages took."""
    lines = log.read_text(errors="replace").splitlines()
    return [
        {name: float(value) for name, value in METER.findall(line)}
        for line in lines
        if "ChunkReport(" in line and " score=" in line
    ]


def total(chunks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    added: Counter[str] = Counter()
    for chunk in chunks:
        added.update({name: chunk.get(name, 0.0) for name in (*STAGES, *COUNTS)})
    return dict(added)


def tables(figures: Mapping[str, Any]) -> str:
    new, again = figures["new"], figures["again"]
    found = new["accuracy"]
    lines = [
        report.table(
            ["strings", "seconds", "strings/s", "links", "P", "R", "F1", "exact"],
            [
                [
                    f"{figures['strings']:,} new",
                    f"{new['seconds']:.1f}",
                    report.significant(new["strings_per_second"]),
                    f"{new['links']:,}",
                    *(
                        report.percent(found[name])
                        for name in ("precision", "recall", "f1", "exact")
                    ),
                ],
                [
                    f"{figures['strings']:,} seen before",
                    f"{again['seconds']:.1f}",
                    report.significant(again["strings_per_second"]),
                    f"{again['links']:,}",
                    *("",) * 4,
                ],
            ],
        )
    ]
    if stages := new["stages"]:
        wall = stages["wall"] or 1.0
        lines += [
            "",
            report.table(
                ["stage of the worker", "seconds", "of its time"],
                [
                    [name, f"{stages[name]:.2f}", report.percent(stages[name] / wall) + "%"]
                    for name in STAGES
                ],
            ),
            "",
            f"{stages['pairs']:,.0f} pairs scored, {stages['pairs_avoided']:,.0f} avoided. "
            "Stages overlap.",
        ]
    lines += [f"The scorer: {line}." for line in figures["scorer"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
