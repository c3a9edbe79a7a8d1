"""Faults under requests: does `resolver serve` answer wrongly, or fail without saying so?

    python -m benchmarks.chaos_serve
    python -m benchmarks.chaos_serve --quick

Real Postgres and Redis, one process of `resolver serve`, and a worker for its jobs. Clients ask
`/match`, `/v2/organizations?affiliation=` and `/reconcile` without a pause and compare each answer
with the one that they had before anything was broken. Another client makes one job after the other,
each with an Idempotency-Key, and repeats what failed. Meanwhile a fault is injected again and
again; then all jobs of it must finish.

A request is *answered*; or it is *told* to come back, by a 503 with Retry-After (429 at
`/reconcile`, since OpenRefine waits at that alone), as a problem outside ROR's API; or there was
*no server*: the connection was refused or broke while the process was down. When it is stopped by
SIGTERM, a request that was sent before must not break. *Wrong* is an answer that differs, *failed*
all else. Of the affiliations of jobs those without a result are *lost*, those stored more than once
*doubled*, those whose result is not that of `/match` *different*. A time to recover runs from the
moment when the fault is over (the process is started again, the server answers again) until all
three doors have answered.

The index is the embedded one, which has no server that could be away. For that fault the searches
of the process go through the adapter of Qdrant's server to an HTTP server that answers with 503 or
not at all.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import Engine, text

from benchmarks import report, strings
from benchmarks.chaos import (
    CHUNK,
    PATIENCE,
    ROOT,
    START,
    Postgres,
    RedisServer,
    Workers,
    failing_qdrant,
    kill,
    say,
)
from benchmarks.deadly import searching_elsewhere
from resolver import sample
from resolver.database import connection, schema
from resolver.doors import serving
from resolver.doors.problems import PROBLEM_JSON
from resolver.evaluation.gold import read_gold
from resolver.observing import logs
from resolver.release.update import update
from resolver.service.installation import Installation
from resolver.settings import Settings, load_settings

QUICK = 240
"""Affiliations of jobs in the short form."""

ASKED = 40
"""Affiliations that the clients of the three doors ask again and again."""

BATCH = 5
"""Affiliations of a request to `/match` and `/reconcile`."""

JOB = 20
"""Affiliations of a job."""

CLIENTS = 2
"""Clients of each door."""

PAUSE = 0.1
"""Seconds before a client that was not answered asks again; far less than it is told, so that it
meets every moment of a fault."""

CALM = 2.0
"""Seconds of requests before a fault."""

DIGIT = 0.0001
"""The last digit of a number in a result."""

NUMBERS = ("probability", "score")
"""Of a link."""

LEAVE = 1
"""RESOLVER_SERVE_LEAVE_SECONDS of the server."""

NDJSON = "application/x-ndjson"

DOORS = ("match", "ror", "reconcile")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = report.arguments(__doc__)
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--gold", type=Path, default=sample.GOLD, help="strings to vary")
    parser.add_argument("--strings", type=int, default=2_000, help="distinct, in jobs")
    parser.add_argument("--times", type=int, default=3, help="each fault is injected")
    parser.add_argument("--quick", action="store_true", help="few strings, each fault once")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--away", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--qdrant", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.port:
        return server(options.port, options.away, options.qdrant)
    if options.quick:
        options.strings, options.times = min(options.strings, QUICK), 1
    figures = report.header(options)
    # A short path, since sockets are made below it.
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        rows = ran(options, Path(folder))
    figures["rows"] = [vars(row) for row in rows]
    report.finish(figures, table(rows), options.json)
    return 0 if all(row.is_sound for row in rows) else 1


def server(port: int, away: Path, qdrant: str) -> int:
    """`resolver serve` with the settings of the environment, in this process; its searches go to
    `qdrant` while there is the file `away`."""
    searching_elsewhere(away, qdrant)
    settings = load_settings()
    logs.configure(settings)
    return serving.run(settings, host="127.0.0.1", port=port)


@dataclass
class Row:
    """What a fault did."""

    fault: str
    times: int
    requests: int = 0
    answered: int = 0
    told: int = 0
    no_server: int = 0
    wrong: int = 0
    failed: int = 0
    jobs: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0
    recovery: list[float] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    """What some of the wrong and the failed requests got."""

    @property
    def is_sound(self) -> bool:
        return not (self.wrong or self.failed or self.lost or self.doubled or self.different)


# The server


@dataclass
class Down:
    """From when to when the process was down, and whether it was killed without a warning."""

    killed: bool
    start: float
    end: float = float("inf")


class Server:
    """The process of `resolver serve`."""

    def __init__(self, settings: Settings, folder: Path, qdrant: str) -> None:
        assert settings.broker_url is not None
        assert settings.database_url is not None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.away = folder / "server-qdrant-is-away"
        self.downs: list[Down] = []
        self._command = [
            sys.executable, "-m", "benchmarks.chaos_serve", "--port", str(port),
            "--away", str(self.away), "--qdrant", qdrant,
        ]  # fmt: skip
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
        self._environment = kept | {
            "RESOLVER_HOME": str(settings.home),
            "RESOLVER_BROKER_URL": settings.broker_url.get_secret_value(),
            "RESOLVER_DATABASE_URL": settings.database_url.get_secret_value(),
            "RESOLVER_SERVE_LEAVE_SECONDS": str(LEAVE),
            "RESOLVER_CHUNK_SIZE": str(CHUNK),
            "RESOLVER_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._log = folder / "serve.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, cwd=ROOT, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Until it is ready."""
        assert self._process is not None
        deadline = time.monotonic() + START
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the server did not start: {self._log.read_text()[-3000:]}")
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    def again(self, *, killed: bool) -> float:
        """End it, start it again, and wait until it is ready; returns when it was started."""
        assert self._process is not None
        down = Down(killed, time.monotonic())
        self.downs.append(down)
        if killed:
            kill(self._process.pid)
        else:
            self._process.terminate()
        if self._process.wait(START) not in (os.EX_OK, -signal.SIGKILL):
            sys.exit(f"the server did not end well: {self._log.read_text()[-3000:]}")
        started = time.monotonic()
        self.start()
        self.wait()
        down.end = time.monotonic()
        return started

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(START)


# The clients


@dataclass(frozen=True)
class Try:
    """A request that was sent: its door, from when to when, and what came of it."""

    door: str
    start: float
    end: float
    result: str
    """answered, told, refused, broke, wrong or failed."""
    detail: str = ""


@dataclass
class Client:
    """Sends requests, each on a connection of its own, and keeps what came of them."""

    url: str
    tries: list[Try]
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            base_url=self.url, timeout=90, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def send(self, door: str, request: Request, expected: Any = None) -> httpx.Response | None:
        """The response if it is good: of a status below 300, and with the expected content."""
        start = time.monotonic()
        response = None
        try:
            response = self.http.request(**request)
            result, detail = judged(door, response, expected)
        except httpx.ConnectError as error:
            result, detail = "refused", repr(error)
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            result, detail = "broke", repr(error)
        except httpx.HTTPError as error:
            result, detail = "failed", repr(error)
        self.tries.append(Try(door, start, time.monotonic(), result, detail))
        return response if result == "answered" else None


Request = dict[str, Any]
"""What httpx makes a request of."""


def judged(door: str, response: httpx.Response, expected: Any) -> tuple[str, str]:
    """What came of a request, with the response where it is not as it should be."""
    shown = f"{door}: {response.status_code} {response.text[:300]}"
    if response.is_success:
        good = expected is None or response.json() == expected
        return ("answered", "") if good else ("wrong", shown)
    told = response.status_code == (429 if door == "reconcile" else 503)
    told = told and int(response.headers.get("retry-after", 0)) > 0
    if door != "ror":
        told = told and response.headers["content-type"] == PROBLEM_JSON
    return ("told", "") if told else ("failed", shown)


def requests_of(texts: Sequence[str]) -> dict[str, list[Request]]:
    """The requests of each door that ask these affiliations."""
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    return {
        "match": [
            {
                "method": "POST",
                "url": "/match",
                "json": {"affiliations": batch, "organizations": "brief"},
            }
            for batch in batches
        ],
        "ror": [
            {"method": "GET", "url": "/v2/organizations", "params": {"affiliation": one}}
            for one in texts
        ],
        "reconcile": [
            {
                "method": "POST",
                "url": "/reconcile",
                "data": {
                    "queries": json.dumps(
                        {f"q{place}": {"query": one} for place, one in enumerate(batch)}
                    )
                },
            }
            for batch in batches
        ],
    }


def asking(
    client: Client, door: str, pairs: Iterator[tuple[Request, Any]], stop: threading.Event
) -> None:
    """Ask until the end."""
    for request, expected in pairs:
        if stop.is_set():
            return
        if client.send(door, request, expected) is None:
            time.sleep(PAUSE)


@dataclass
class Jobs:
    """Jobs that a client made: their ids, and the texts of each."""

    client: Client
    made: dict[str, Sequence[str]] = field(default_factory=dict)

    def make(self, texts: Sequence[str], key: str) -> None:
        """Make a job: again with the same key, until it is accepted."""
        request: Request = {
            "method": "POST",
            "url": "/jobs",
            "json": {"affiliations": texts},
            "headers": {"Idempotency-Key": key},
        }
        self.made[self._until_answered(request).json()["id"]] = texts

    def finished(self) -> dict[str, list[dict[str, Any]]]:
        """The results of each job, once it is finished."""
        results = {}
        for job_id in self.made:
            deadline = time.monotonic() + PATIENCE
            while True:
                job = self._until_answered({"method": "GET", "url": f"/jobs/{job_id}"}).json()
                if job["state"] == "finished":
                    break
                if job["state"] in ("failed", "cancelled") or time.monotonic() > deadline:
                    say(f"a job did not finish: {job}")
                    break
                time.sleep(PAUSE)
            got = self.client.http.get(f"/jobs/{job_id}/results")
            results[job_id] = [json.loads(line) for line in got.text.splitlines()]
        return results

    def _until_answered(self, request: Request) -> httpx.Response:
        while (response := self.client.send("jobs", request)) is None:
            time.sleep(PAUSE)
        return response


# A run


@dataclass
class Run:
    """Everything that faults happen to."""

    server: Server
    postgres: Postgres
    engine: Engine
    expected: dict[str, list[tuple[Request, Any]]]
    """Door → requests, each with its answer."""
    matched: dict[str, Any]
    """Text → its result from `/match`, as it is in the results of a job."""
    jobs: int = 0
    """Jobs that were made with a key of their own."""


def ran(options: argparse.Namespace, home: Path) -> list[Row]:
    with ExitStack() as stack:
        postgres = Postgres(home)
        stack.callback(postgres.close)
        url = postgres.start()
        redis = RedisServer(home)
        stack.callback(redis.close)
        redis.start()
        settings = Settings(  # type: ignore[call-arg]
            _env_file=None, home=home, database_url=SecretStr(url),
            broker_url=SecretStr(redis.url), chunk_size=CHUNK, threads=1,
        )  # fmt: skip
        engine = connection.connect(url)
        stack.callback(engine.dispose)
        say(f"{options.registry.name} is taken in …")
        schema.upgrade(engine)
        update(stack.enter_context(Installation(settings, engine=engine)), options.registry)
        qdrant = stack.enter_context(failing_qdrant())
        server = Server(settings, home, qdrant)
        stack.callback(server.close)
        server.start()
        workers = Workers(settings, home, qdrant, number=1)
        workers.start()
        stack.callback(workers.close)
        server.wait()
        gold = read_gold(options.gold)
        texts = [row.affiliation for row in strings.distinct(gold, ASKED + options.strings)]
        say("every request is asked once, undisturbed …")
        run = Run(server, postgres, engine, *undisturbed(server.url, texts[:ASKED], texts[ASKED:]))
        shares = [texts[ASKED + place :: len(FAULTS)] for place in range(len(FAULTS))]
        rows = []
        for fault, share in zip(FAULTS, shares, strict=True):
            rows.append(injected(run, fault, share, options.times))
            say(str(rows[-1]))
        return rows


def undisturbed(
    url: str, asked: Sequence[str], in_jobs: Sequence[str]
) -> tuple[dict[str, list[tuple[Request, Any]]], dict[str, Any]]:
    """The answers to all requests, and the results of all texts of jobs."""
    with httpx.Client(base_url=url, timeout=600) as http:
        expected = {
            door: [(request, http.request(**request).raise_for_status().json()) for request in some]
            for door, some in requests_of(asked).items()
        }
        lines = http.post(
            "/match",
            content="".join(json.dumps(one) + "\n" for one in in_jobs),
            headers={"Content-Type": NDJSON},
        )
        results = [json.loads(line) for line in lines.raise_for_status().text.splitlines()]
    assert all(result["status"] in ("linked", "no_match") for result in results)
    return expected, dict(zip(in_jobs, results, strict=True))


def injected(run: Run, fault: Fault, share: Sequence[str], times: int) -> Row:
    """Inject the fault so often while clients ask, and look what came of it."""
    row = Row((fault.__doc__ or "").rstrip("."), times)
    tries: list[Try] = []
    stop = threading.Event()
    jobs = Jobs(Client(run.server.url, tries))
    parts = [share[start : start + JOB] for start in range(0, len(share), JOB)]
    run.jobs += len(parts)
    with ThreadPoolExecutor(CLIENTS * len(DOORS) + 1) as pool:
        clients = [
            pool.submit(asking, Client(run.server.url, tries), door, turned(pairs, place), stop)
            for door, pairs in run.expected.items()
            for place in range(CLIENTS)
        ]
        try:
            for number in range(times):
                time.sleep(CALM)
                made = pool.submit(making, jobs, parts[number::times], f"{fault.__name__} {number}")
                over = fault(run)
                row.recovery.append(recovered(tries, over) - over)
                made.result()
        finally:
            stop.set()
        for client in clients:
            client.result()
    count_tries(row, tries, run.server.downs)
    count_jobs(row, run, jobs)
    return row


def turned(pairs: Sequence[tuple[Request, Any]], place: int) -> Iterator[tuple[Request, Any]]:
    """The same again and again, from a place on."""
    return cycle([*pairs[place:], *pairs[:place]])


def making(jobs: Jobs, parts: Sequence[Sequence[str]], name: str) -> None:
    for place, part in enumerate(parts):
        jobs.make(part, f"{name} {place}")


def recovered(tries: Sequence[Try], since: float) -> float:
    """When all doors had answered a request that was sent since."""
    deadline = time.monotonic() + PATIENCE
    first: dict[str, float] = {}
    while len(first) < len(DOORS):
        if time.monotonic() > deadline:
            sys.exit(
                f"{PATIENCE} s after the fault only these answer: {', '.join(first) or 'none'}"
            )
        time.sleep(0.05)
        for one in list(tries):
            if one.start >= since and one.result == "answered" and one.door in DOORS:
                first.setdefault(one.door, one.end)
    return max(first.values())


def count_tries(row: Row, tries: Sequence[Try], downs: Sequence[Down]) -> None:
    """What came of the requests."""
    results = Counter(result_of(one, downs) for one in tries)
    row.requests = len(tries)
    row.answered, row.told = results["answered"], results["told"]
    row.no_server, row.wrong, row.failed = results["no server"], results["wrong"], results["failed"]
    bad = [one for one in tries if result_of(one, downs) in ("wrong", "failed")]
    row.examples = [f"{one.result} {one.detail}" for one in bad[:5]]


def result_of(one: Try, downs: Sequence[Down]) -> str:
    """The result of a try; one that was refused or broke had no server, or failed."""
    if one.result not in ("refused", "broke"):
        return one.result
    for down in downs:
        # What was sent before SIGTERM is to be answered; a kill breaks what it meets.
        met = one.end if down.killed or one.result == "refused" else one.start
        if down.start <= met <= down.end:
            return "no server"
    return "failed"


def count_jobs(row: Row, run: Run, jobs: Jobs) -> None:
    """What came of the jobs: each is to be there once, whole, with the results of `/match`."""
    results = jobs.finished()
    row.jobs = len(jobs.made)
    with run.engine.connect() as opened:
        known = opened.execute(text("SELECT count(*) FROM job")).scalar_one()
        stored = {source: number for source, number in opened.execute(text(ANSWERED)).all()}  # noqa: C416
    # Some were sent again and again.
    row.doubled += known - run.jobs
    for job_id, texts in jobs.made.items():
        got = {result["index"]: result for result in results[job_id]}
        row.doubled += len(results[job_id]) - len(got)
        row.doubled += max(0, stored.get(f"job:{job_id}", 0) - len(texts))
        row.lost += len(texts) - min(len(got), stored.get(f"job:{job_id}", 0))
        for place, result in got.items():
            expected = run.matched[texts[place]] | {"index": place}
            if not is_same(result, expected):
                row.different += 1
                row.examples.append(f"{result} is not {expected}")


def is_same(result: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether the result of a job is that of `/match`, with the affiliation as it was sent beside
    it. The last digit of a number may differ by one, since the database keeps 32 bits."""
    if without_numbers(result) != without_numbers(expected):
        return False
    pairs = zip(result["links"], expected["links"], strict=True)
    return all(abs(a[name] - b[name]) < DIGIT * 1.5 for a, b in pairs for name in NUMBERS)


def without_numbers(result: dict[str, Any]) -> dict[str, Any]:
    links = [link | dict.fromkeys(NUMBERS) for link in result["links"]]
    return {key: value for key, value in result.items() if key != "affiliation"} | {"links": links}


ANSWERED = (
    "SELECT source, count(*) FROM source_record JOIN outcome USING (affiliation_id, policy_id)"
    " WHERE source LIKE 'job:%' GROUP BY source"
)


# Faults: each returns when it was over

Fault = Callable[[Run], float]


def killed(run: Run) -> float:
    """server killed, and started again."""
    return run.server.again(killed=True)


def stopped(run: Run) -> float:
    """server stopped by SIGTERM, and started again."""
    return run.server.again(killed=False)


def postgres(run: Run) -> float:
    """Postgres killed, started 3 s later."""
    run.postgres.kill()
    time.sleep(3)
    run.postgres.again()
    return time.monotonic()


def qdrant(run: Run) -> float:
    """Qdrant times out and fails for 5 s."""
    run.server.away.touch()
    time.sleep(5)
    run.server.away.unlink()
    return time.monotonic()


FAULTS: tuple[Fault, ...] = (killed, stopped, postgres, qdrant)


def table(rows: Sequence[Row]) -> str:
    return report.table(
        ["fault", "times", "requests", "answered", "told", "no server", "wrong", "failed", "jobs",
         "lost", "doubled", "different", "seconds to recover: median", "longest"],
        [
            [
                row.fault, row.times, f"{row.requests:,}", f"{row.answered:,}", f"{row.told:,}",
                f"{row.no_server:,}", row.wrong, row.failed, row.jobs, row.lost, row.doubled,
                row.different, f"{statistics.median(row.recovery):.1f}", f"{max(row.recovery):.1f}",
            ]
            for row in rows
        ],
    )  # fmt: skip


if __name__ == "__main__":
    # Stacks are unwound and servers stopped; the server itself has handlers of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
