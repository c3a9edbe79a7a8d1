"""What the index of a release costs: built in full, and derived from that of the release before.

    python -m benchmarks.index_build
    python -m benchmarks.index_build --before ../shared/data/registry/ror-v2.8.json.gz \\
        --registry ../shared/data/registry/ror-v2.9.json.gz

Each step runs in a process of its own: the releases are loaded, the search and the index of the
first are built, and the index of the second is derived from that. CPU seconds are those of the
process with all its threads, and those of the embedded Postgres. They say more than seconds on a
machine that others use, too. Without `--before` nothing is derived.

`--home` keeps the installation: loading and building the search again takes no time, and the index
is built anew each time. So two versions of this program can be compared on the same releases.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil

from benchmarks import report
from benchmarks.throughput import embedded
from resolver import sample
from resolver.database import releases, schema
from resolver.release.index import index_release
from resolver.release.load import load
from resolver.service import parts, searching
from resolver.service.installation import Installation
from resolver.settings import Settings


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--before", type=Path, help="the release before")
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--home", type=Path, help="the installation [a new one, deleted again]")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    with ExitStack() as stack:
        home = options.home or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="index-"))
        )
        figures["steps"] = dict(steps(options, home))
    report.finish(figures, table(figures["steps"]), options.json)


def steps(options: argparse.Namespace, home: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in filter(None, (options.before, options.registry)):
        derived = bool(options.before) and path is options.registry
        for name, step in (
            (f"{path.name}: loaded", load_release),
            ("search built", build_search),
            ("index derived" if derived else "index built", build_index),
        ):
            print(f"{name} …", file=sys.stderr, flush=True)
            # A process of its own: its memory and its caches are those of the step alone.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                figures = pool.submit(step, home, path, derived).result()
            yield name if step is load_release else f"{path.name}: {name}", figures


def load_release(home: Path, path: Path, _derived: bool) -> dict[str, Any]:
    settings = embedded(home, None)
    with Installation(settings) as installation:
        engine = installation.engine_of_any_schema
        schema.upgrade(engine)
        with measured(settings) as figures:
            loaded = load(engine, path, rejects=home / "rejects.jsonl", force=True)
    return figures | {"what": str(loaded)}


def build_search(home: Path, _path: Path, _derived: bool) -> dict[str, Any]:
    settings = embedded(home, None)
    with Installation(settings) as installation:
        engine = installation.engine
        release = releases.require_release(engine)
        with measured(settings) as figures:
            searching.build_search(engine, settings, release)
    return figures | {"what": ""}


def build_index(home: Path, _path: Path, derived: bool) -> dict[str, Any]:
    settings = embedded(home, None)
    with Installation(settings) as installation:
        # Both are opened when they are first used: Postgres is to run before it is measured.
        engine, store = installation.engine, installation.store
        releases.require_release(engine)
        encoder = parts.load_encoder(settings)
        if not derived:
            for manifest in store.versions():
                active = store.active()
                if active is None or active.version != manifest.version:
                    store.drop(manifest.version)
        with measured(settings) as figures:
            indexed = index_release(installation, encoder, full=not derived, again=not derived)
        manifest = indexed.manifest
        if not indexed.made or bool(manifest.derived_from) is not derived:
            sys.exit(f"{manifest.version} was not made as asked: begin with another --home")
        if not derived:
            store.activate(manifest.version)
    what = f"{manifest.organisations:,} organisations, {manifest.points:,} names"
    return figures | {"version": manifest.version, "what": what}


@contextmanager
def measured(settings: Settings) -> Iterator[dict[str, Any]]:
    """Seconds on the clock, CPU seconds here and in Postgres, and the peak of memory in MB."""
    figures: dict[str, Any] = {}
    started, own, database = time.perf_counter(), time.process_time(), postgres_seconds(settings)
    yield figures
    figures["seconds"] = time.perf_counter() - started
    figures["cpu_seconds"] = time.process_time() - own
    figures["postgres_cpu_seconds"] = postgres_seconds(settings) - database
    figures["peak_mb"] = peak_mb()


def postgres_seconds(settings: Settings) -> float:
    """CPU seconds of the embedded Postgres since it was started."""
    first = (settings.home / "postgres" / "postmaster.pid").read_text().split()[0]
    server = psutil.Process(int(first))
    # Those of a connection that has ended are counted by the first process, as its child's.
    times = [server.cpu_times(), *(child.cpu_times() for child in server.children())]
    ended = times[0].children_user + times[0].children_system
    return float(ended + sum(each.user + each.system for each in times))


def peak_mb() -> float:
    """Peak of the memory of this process, in 10^6 bytes; Linux alone tells."""
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) * 1024 / 1e6


def table(steps: dict[str, dict[str, Any]]) -> str:
    return report.table(
        ["step", "seconds", "CPU seconds", "of Postgres", "peak MB", ""],
        [
            [
                name,
                f"{step['seconds']:.1f}",
                f"{step['cpu_seconds']:.1f}",
                f"{step['postgres_cpu_seconds']:.1f}",
                f"{step['peak_mb']:.0f}",
                step["what"],
            ]
            for name, step in steps.items()
        ],
    )


if __name__ == "__main__":
    main()
