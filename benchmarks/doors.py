"""Strings a second and the time of a request over HTTP, beside the same strings from a file.

    RESOLVER_HOME=.demo python -m benchmarks.doors
    RESOLVER_HOME=.resolver python -m benchmarks.doors --gold ../shared/data/gold/train.jsonl \\
        --count 640 --rounds 3

The installation is that of the settings; `resolver serve` runs on it as a process. Each client
sends one string a request over a connection that stays open, and the next when it has the answer.
In each round the strings go through `resolver resolve --file` and then through each number of
clients, so that what else the machine does is in all of them. The rate of the file counts from
its first answers on, without the start. *Matcher* is a string alone in this process, without
HTTP: what a single client's time is to be compared with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import report, strings
from resolver import sample
from resolver.evaluation.gold import read_gold
from resolver.service.installation import Installation
from resolver.settings import load_settings

START_SECONDS = 300

ALONE = 100
"""Most strings that are timed one by one."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--gold", type=Path, default=sample.GOLD, help="strings to send")
    parser.add_argument("--count", type=int, default=256, help="strings of a measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    figures = report.header(options)
    texts = [row.affiliation for row in strings.distinct(read_gold(options.gold), options.count)]
    with tempfile.TemporaryDirectory(prefix="doors-") as folder, served(Path(folder)) as port:
        figures |= measured(options, texts, Path(folder), port)
    report.finish(figures, tables(figures), options.json)


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """The port of a server that is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "resolver.cli", "serve", "--port", str(port)],
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text()[-2000:])
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(120)


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def measured(
    options: argparse.Namespace, texts: Sequence[str], folder: Path, port: int
) -> dict[str, Any]:
    file = folder / "texts.jsonl"
    file.write_text("".join(json.dumps({"affiliation": text}) + "\n" for text in texts))
    alone = texts[:ALONE]
    rounds: list[dict[str, Any]] = []
    with Installation(load_settings()) as installation, installation.open_matcher() as matcher:
        asyncio.run(asked(port, texts[:64], 64))
        matcher.resolve(texts[:64])
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds} …", file=sys.stderr, flush=True)
            seconds = []
            for text in alone:
                started = time.perf_counter()
                matcher.resolve([text])
                seconds.append(time.perf_counter() - started)
            rounds.append(
                {
                    "matcher": statistics.median(seconds),
                    "file": rate_of_file(file, len(texts)),
                    "clients": {
                        str(clients): figures_of(
                            asyncio.run(asked(port, alone if clients == 1 else texts, clients))
                        )
                        for clients in options.clients
                    },
                }
            )
    return {"rounds": rounds}


def rate_of_file(file: Path, count: int) -> float:
    """Strings a second of `resolver resolve --file`, from its first answers to its last."""
    first, last, before = 0.0, 0.0, 0
    with subprocess.Popen(
        [sys.executable, "-m", "resolver.cli", "resolve", "--json", "--file", str(file)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout, start=1):
            now = time.perf_counter()
            if not first or now - first < 0.05:
                first, before = first or now, number
            last = now
    if process.returncode or before == count:
        raise SystemExit("resolver resolve --file failed, or had too few strings")
    return (count - before) / (last - first)


async def asked(port: int, texts: Sequence[str], clients: int) -> tuple[float, list[float]]:
    """How long so many clients took for all texts, and each request, in seconds."""
    waiting = deque(texts)
    seconds: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            body = json.dumps({"affiliations": [waiting.popleft()]}).encode()
            started = time.perf_counter()
            writer.write(
                b"POST /match HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(head.decode())
            length = next(
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            await reader.readexactly(length)
            seconds.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - started, seconds


def figures_of(measured: tuple[float, list[float]]) -> dict[str, float]:
    total, seconds = measured
    ordered = sorted(seconds)
    return {
        "rate": len(seconds) / total,
        "median": statistics.median(ordered),
        "p95": ordered[int(0.95 * (len(ordered) - 1))],
    }


def tables(figures: dict[str, Any]) -> str:
    rounds = figures["rounds"]

    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    file = middle([one["file"] for one in rounds])
    rows = [["`resolver resolve --file`", f"{file:.1f}", "100%", "", ""]]
    for clients in rounds[0]["clients"]:
        of = [one["clients"][clients] for one in rounds]
        share = middle([o["rate"] / one["file"] for o, one in zip(of, rounds, strict=True)])
        rows.append(
            [
                f"{clients} client{'s' * (clients != '1')}",
                f"{middle([o['rate'] for o in of]):.1f}",
                f"{100 * share:.0f}%",
                f"{1000 * middle([o['median'] for o in of]):.0f}",
                f"{1000 * middle([o['p95'] for o in of]):.0f}",
            ]
        )
    rows.append(["matcher", "", "", f"{1000 * middle([one['matcher'] for one in rounds]):.0f}", ""])
    return report.table(["", "strings/s", "of the file", "median ms", "95% ms"], rows)


if __name__ == "__main__":
    main()
