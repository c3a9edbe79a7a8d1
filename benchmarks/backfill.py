"""What a backfill takes on this machine: seconds, CPU and memory of each of its steps.

    python -m benchmarks.backfill
    python -m benchmarks.backfill --strings 1000000 --workers 2 --home HOME \\
        --gold ../shared/data/gold/train.jsonl ../shared/data/labels/aps-clean.jsonl

The commands are run as they are typed: `resolver backfill pin`, `plan`, `run`, `join` and, with
`--load`, `load`. The strings are those of the files; where they are used up, the same written
otherwise (`benchmarks.strings`). Each comes in 2.5 mentions, some far more often than others, one
mention in ten with other spaces. Without `--home` a registry is loaded and indexed first.

CPU and memory are those of the command with all processes below it, Ray's own too, looked at every
second: memory that processes share is counted once.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from benchmarks import report
from benchmarks.strings import distinct
from resolver import sample
from resolver.evaluation.gold import read_gold

MENTIONS = 2.5
"""Mentions of a string, on average."""

FILE = 250_000
"""Mentions of a file."""

LOOK = 1.0
"""Seconds between two looks at the processes."""


@dataclass(frozen=True, slots=True)
class Step:
    """`memory` is the most of all processes together, in MB, `processes` how many there were."""

    command: str
    wall: float
    cpu: float
    memory: float
    processes: int


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--gold", type=Path, nargs="+", default=[sample.GOLD], help="strings")
    parser.add_argument("--strings", type=int, default=1_000, help="distinct ones")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--home", type=Path, help="an installation with an index")
    parser.add_argument("--folder", type=Path, help="for the run; by default a temporary one")
    parser.add_argument("--load", action="store_true", help="also into the home's database")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="resolver-backfill-", dir=options.folder) as folder:
        figures = report.header(options) | measured(options, Path(folder))
    print(tables(figures))
    if options.json:
        options.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    home = options.home or folder / "home"
    if not options.home:
        home.mkdir()
        for command in (
            ("migrate",),
            ("registry", "load", str(options.registry)),
            ("index", "build"),
        ):
            run(home, *command)
    mentions = write_mentions(options.gold, options.strings, folder / "in")
    names = {name: str(folder / name) for name in ("in", "pin", "run", "out", "scratch")}
    steps = [
        run(home, "backfill", "pin", names["pin"]),
        run(home, "backfill", "plan", names["in"], names["run"], "--pin", names["pin"]),
        run(
            home, "backfill", "run", names["run"],
            "--workers", str(options.workers), "--scratch", names["scratch"],
        ),
        run(home, "backfill", "join", names["run"], names["out"]),
    ]  # fmt: skip
    if options.load:
        steps.append(run(home, "backfill", "load", names["run"]))
    state = orjson.loads(
        subprocess.run(
            [sys.executable, "-m", "resolver.cli", "backfill", "status", "--json", names["run"]],
            check=True, capture_output=True,
        ).stdout
    )  # fmt: skip
    del state["missing"]
    return {
        "mentions": mentions,
        "run": state,
        "steps": [asdict(step) for step in steps],
        "outcomes_bytes": sum(file.stat().st_size for file in (folder / "run").rglob("*.parquet")),
    }


def write_mentions(gold: Sequence[Path], count: int, folder: Path) -> int:
    """Files of mentions of so many distinct strings; returns how many mentions."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [row for path in gold for row in read_gold(path)]
    texts = [row.affiliation for row in distinct(rows, count)]
    rng = random.Random(7)
    # Each once, and the others by the rule of a few that everybody names.
    more = (int(count * rng.random() ** 3) for _ in range(int(count * (MENTIONS - 1))))
    mentioned = [*range(count), *more]
    rng.shuffle(mentioned)
    folder.mkdir()
    for start in range(0, len(mentioned), FILE):
        written = [
            f" {texts[n].replace(', ', ',  ')}" if rng.random() < 0.1 else texts[n]
            for n in mentioned[start : start + FILE]
        ]
        ids = [str(start + n) for n in range(len(written))]
        table = pa.table({"id": ids, "affiliation": written})
        parquet.write_table(table, folder / f"{start // FILE:04}.parquet")
    return len(mentioned)


def run(home: Path, *arguments: str) -> Step:
    """A command, watched until it ends."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "resolver.cli", "--home", str(home), *arguments],
        env=os.environ | {"RESOLVER_THREADS": "1"}, stdout=sys.stderr,
    )  # fmt: skip
    whole = psutil.Process(process.pid)
    cpu: dict[tuple[int, float], float] = {}
    most = 0.0
    while process.poll() is None:
        held = 0
        with suppress(psutil.NoSuchProcess):
            for one in (whole, *whole.children(recursive=True)):
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    times = one.cpu_times()
                    cpu[one.pid, one.create_time()] = times.user + times.system
                    held += one.memory_full_info().pss
        most = max(most, held / 1e6)
        time.sleep(LOOK)
    if process.returncode:
        raise SystemExit(f"resolver {' '.join(arguments)}: exit code {process.returncode}")
    return Step(
        " ".join(arguments[:2]), time.monotonic() - began, sum(cpu.values()), most, len(cpu)
    )


def tables(figures: dict[str, Any]) -> str:
    texts = figures["run"]["texts"]
    rows = [
        (
            f"`{step['command']}`", f"{step['wall']:,.0f}", f"{step['cpu']:,.0f}",
            f"{1e3 * step['cpu'] / texts:,.2f}", f"{step['memory']:,.0f}", step["processes"],
        )
        for step in figures["steps"]
    ]  # fmt: skip
    counted = (
        f"{figures['mentions']:,} mentions, {texts:,} distinct texts, "
        f"{figures['run']['failed']:,} failed; a run of {figures['outcomes_bytes'] / 1e6:,.0f} MB"
    )
    columns = ("command", "s", "s of CPU", "ms of CPU a text", "MB at most", "processes")
    return f"{report.table(columns, rows)}\n\n{counted}"


if __name__ == "__main__":
    main()
