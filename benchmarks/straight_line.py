"""The main job on a full registry: load, index, recall, resolve, and the queue end to end.

    python -m benchmarks.straight_line --registry ../shared/data/registry/ror-v2.9.json.gz \\
        --affiliations ../shared/data/gold/train.jsonl

Each step runs in a process of its own, so that its peak memory is its own. Prints a table and
writes the same figures as JSON, with the machine and the versions. Then it prints what a string
costs, stage by stage, beside the same without forecasts (`benchmarks.stages --every-pair`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("qdrant-edge-py", "onnxruntime", "celery", "sqlalchemy", "numpy")
STRINGS_STAGED = 1_024
"""Affiliations whose stages are measured."""
STRINGS_ALONE = 300
"""Affiliations searched one at a time for the latency figures."""


def measured(step: str, home: Path, *arguments: str) -> dict[str, Any]:
    """Run one step of this module in a process of its own."""
    environment = {**os.environ, "RESOLVER_HOME": str(home)}
    command = [sys.executable, "-m", "benchmarks.straight_line", "--step", step, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{step} failed:\n{done.stderr[-4000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def peak_mb() -> float:
    """Peak resident memory of this process, MB (10^6 bytes). Linux only.

    Not ``ru_maxrss``: a child begins with the peak of the process that started it.
    """
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) * 1024 / 1e6


def step_load(options: argparse.Namespace) -> dict[str, Any]:
    from resolver.database import schema
    from resolver.release.load import load
    from resolver.service.installation import Installation
    from resolver.settings import load_settings

    settings = load_settings()
    with Installation(settings) as installation:
        engine = installation.engine_of_any_schema
        schema.upgrade(engine)
        started = time.perf_counter()
        report = load(engine, options.registry, rejects=settings.home / "rejects.jsonl")
        return {"seconds": time.perf_counter() - started, "what": str(report)}


def step_index(_: argparse.Namespace) -> dict[str, Any]:
    from resolver.database import releases
    from resolver.index.build import build
    from resolver.service import parts
    from resolver.service.installation import Installation, index_directory
    from resolver.settings import load_settings

    settings = load_settings()
    with Installation(settings) as installation:
        engine, store = installation.engine, installation.store
        release = releases.require_release(engine)
        started = time.perf_counter()
        manifest = build(
            releases.organisations(engine, release.id),
            release=release.version,
            release_sha256=release.sha256,
            encoder=parts.load_encoder(settings),
            store=store,
        )
        store.activate(manifest.version)
        seconds = time.perf_counter() - started
    size = sum(
        file.stat().st_blocks * 512
        for file in index_directory(settings).rglob("*")
        if file.is_file() and not file.is_symlink()
    )
    what = f"{manifest.organisations:,} organisations, {manifest.points:,} names"
    return {"seconds": seconds, "what": f"{what}, {size / 1e6:.0f} MB on disk"}


def step_recall(options: argparse.Namespace) -> dict[str, Any]:
    from resolver.service.installation import Installation
    from resolver.settings import load_settings
    from resolver.text.affiliation import Affiliation

    settings = load_settings()
    texts = [Affiliation.of(text) for text in strings(options.affiliations)]
    with Installation(settings) as installation, installation.open_recall() as recall:
        recall.candidates(texts[-64:], depth=settings.recall_depth)
        alone = []
        for text in texts[:STRINGS_ALONE]:
            started = time.perf_counter()
            recall.candidates([text], depth=settings.recall_depth)
            alone.append(1000 * (time.perf_counter() - started))
        chunked = []
        for start in range(STRINGS_ALONE, STRINGS_ALONE + 20 * 64, 64):
            started = time.perf_counter()
            recall.candidates(texts[start : start + 64], depth=settings.recall_depth)
            chunked.append(1000 * (time.perf_counter() - started) / 64)
    return {
        "alone_ms_p50": statistics.median(alone),
        "alone_ms_p95": statistics.quantiles(alone, n=20)[-1],
        "chunked_ms_p50": statistics.median(chunked),
    }


def step_resolve(options: argparse.Namespace) -> dict[str, Any]:
    from resolver.service.installation import Installation
    from resolver.settings import load_settings

    texts = strings(options.affiliations)
    with Installation(load_settings()) as installation, installation.open_matcher() as matcher:
        matcher.resolve(texts[-64:])
        started = time.perf_counter()
        for start in range(0, 1024, 64):
            matcher.resolve(texts[start : start + 64])
        seconds = time.perf_counter() - started
        alone = []
        for text in texts[2000 : 2000 + 100]:
            began = time.perf_counter()
            matcher.resolve([text])
            alone.append(1000 * (time.perf_counter() - began))
    return {
        "strings_per_second": 1024 / seconds,
        "alone_ms_p50": statistics.median(alone),
        "alone_ms_p95": statistics.quantiles(alone, n=20)[-1],
    }


def step_queue(options: argparse.Namespace) -> dict[str, Any]:
    from sqlalchemy import text

    from resolver.service.installation import Installation
    from resolver.settings import load_settings
    from resolver.workers import broker
    from resolver.workers.client import enqueue

    settings = load_settings()
    records = [
        {"source": "benchmark", "id": str(number), "affiliation": affiliation}
        for number, affiliation in enumerate(strings(options.affiliations)[: options.count])
    ]
    with Installation(settings) as installation, broker.address(settings):
        engine = installation.engine

        def ask(query: str) -> Any:
            with engine.connect() as connection:
                return connection.execute(text(query)).scalar_one()

        worker = subprocess.Popen(
            [sys.executable, "-m", "resolver.cli", "worker"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            answered = "SELECT count(*) FROM source_record JOIN outcome USING (affiliation_id)"
            first = settled(lambda: enqueue(records, settings=settings),
                            lambda: ask(answered), len(records), worker)  # fmt: skip
            links = ask("SELECT count(*) FROM link")
            # Sent again, with a last record that shows when all before it are through.
            last = {"source": "benchmark", "id": "last", "affiliation": "the last one"}
            again = settled(lambda: enqueue([*records, last], settings=settings),
                            lambda: ask(answered), len(records) + 1, worker)  # fmt: skip
            figures = {
                "records": len(records),
                "seconds_new": first,
                "seconds_again": again,
                "source_records": ask(
                    "SELECT count(*) FROM source_record WHERE external_id <> 'last'"
                ),
                "affiliations": ask("SELECT count(*) FROM affiliation"),
                "links_first": links,
                "links_again": ask("SELECT count(*) FROM link"),
            }
        finally:
            worker.terminate()
            worker.wait(timeout=60)
    return figures


def settled(
    send: Callable[[], object], count: Callable[[], int], expected: int,
    worker: subprocess.Popen[bytes],
) -> float:  # fmt: skip
    """Seconds from sending until `count` reaches `expected`."""
    started = time.perf_counter()
    send()
    while count() < expected:
        if worker.poll() is not None:
            sys.exit("the worker ended; see `resolver worker`")
        time.sleep(0.1)
    return time.perf_counter() - started


def strings(path: Path) -> list[str]:
    return [json.loads(line)["affiliation"] for line in path.open()]


STEPS = {
    "load": step_load,
    "index": step_index,
    "recall": step_recall,
    "resolve": step_resolve,
    "queue": step_queue,
}


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    names = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(": ")[1] for line in names if line.startswith("model name")), "")
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = Path("../shared/data")
    parser.add_argument("--registry", type=Path, default=shared / "registry/ror-v2.9.json.gz")
    parser.add_argument("--affiliations", type=Path, default=shared / "gold/train.jsonl")
    parser.add_argument("--count", type=int, default=10_000, help="affiliations for the queue")
    parser.add_argument("--output", type=Path, default=Path("runs/straight_line.json"))
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps({**STEPS[options.step](options), "peak_mb": peak_mb()}))
        return

    home = Path(tempfile.mkdtemp(prefix="straight-line-"))
    rest = ["--registry", str(options.registry), "--affiliations", str(options.affiliations),
            "--count", str(options.count)]  # fmt: skip
    figures: dict[str, Any] = {"machine": machine()}
    try:
        for step in STEPS:
            print(f"{step} …", file=sys.stderr, flush=True)
            figures[step] = measured(step, home, *rest)
        print("stages …", file=sys.stderr, flush=True)
        figures["stages"], stages = staged(options.affiliations, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2))
    print(table(figures), stages, sep="\n\n")


def staged(affiliations: Path, home: Path) -> tuple[dict[str, Any], str]:
    """The figures of `benchmarks.stages`, and its tables."""
    written = home / "stages.json"
    command = [sys.executable, "-m", "benchmarks.stages", str(affiliations), "--every-pair",
               "--count", str(STRINGS_STAGED), "--json", str(written)]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "RESOLVER_HOME": str(home)}, stdout=subprocess.PIPE, text=True,
        check=True,
    )  # fmt: skip
    figures: dict[str, Any] = json.loads(written.read_text())
    return figures, done.stdout


def rate(records: int, seconds: float) -> str:
    return f"{seconds:.0f} s, {records / seconds:.0f} strings/s"


def table(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    load, index, recall, resolve, queue = (figures[step] for step in STEPS)
    rows = [
        ("load the registry", f"{load['seconds']:.0f} s", load["peak_mb"], load["what"]),
        ("build the index", f"{index['seconds']:.0f} s", index["peak_mb"], index["what"]),
        (
            "recall, one string at a time",
            f"p50 {recall['alone_ms_p50']:.1f} ms, p95 {recall['alone_ms_p95']:.1f} ms",
            recall["peak_mb"],
            "50 candidates",
        ),
        (
            "recall, in chunks of 64",
            f"p50 {recall['chunked_ms_p50']:.1f} ms a string",
            recall["peak_mb"],
            "",
        ),
        (
            "resolve, one string at a time",
            f"p50 {resolve['alone_ms_p50']:.0f} ms, p95 {resolve['alone_ms_p95']:.0f} ms",
            resolve["peak_mb"],
            "",
        ),
        (
            "resolve, in chunks of 64",
            f"{resolve['strings_per_second']:.0f} strings/s",
            resolve["peak_mb"],
            "",
        ),
        (
            f"{queue['records']:,} through the queue into Postgres",
            rate(queue["records"], queue["seconds_new"]),
            queue["peak_mb"],
            f"{queue['source_records']:,} records stored, {queue['links_first']:,} links",
        ),
        (
            "the same again",
            rate(queue["records"], queue["seconds_again"]),
            queue["peak_mb"],
            f"{queue['links_again']:,} links",
        ),
    ]
    machine = ", ".join(f"{name} {value}" for name, value in figures["machine"].items())
    lines = ["| step | took | peak MB | |", "|---|---|---|---|"]
    lines += [f"| {what} | {took} | {peak:.0f} | {note} |" for what, took, peak, note in rows]
    return "\n".join([machine, "", *lines])


if __name__ == "__main__":
    main()
