"""Faults under load: what is lost, what is doubled, how long until it goes on.

    python -m benchmarks.chaos --strings 10000
    python -m benchmarks.chaos --quick

Real Postgres, Redis and RabbitMQ, two workers, and a stream of distinct strings from two sources:
each string is a record of one of them, every fourth of both, and every fifth record is sent twice.
For each broker the strings are divided among the faults. While a fault's share is sent and
resolved, the fault is injected again and again; then the share is looked for in the database. An
undisturbed run by one process says what the answers should be.

*Lost* are records without a current answer, *doubled* those with more than one, *different* those
whose answer is not that of the undisturbed run. In *mid-chunk* all workers have begun a chunk and
not stored it. A time to recover runs from the moment when the fault is over to the next stored
answer. Servers are ended by `kill -9`, Postgres too; it recovers from its log. `--quick` sends
fewer strings and injects each fault once.

The full disk is a small tmpfs below Postgres' data, which needs root; elsewhere the fault is left
out and the table says so. The index is the embedded one; for the fault of Qdrant's server the
searches go through the server's adapter instead, to an HTTP server that answers with 503 or not at
all. Redis hands out what a vanished worker had after `VISIBILITY` seconds here instead of 30
minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from benchmarks import report, strings
from benchmarks.deadly import WORD
from benchmarks.release import Answer, answer, stored
from resolver import sample
from resolver.answering.refresh import refresh_due
from resolver.database import connection, schema
from resolver.database.resolver_versions import ResolverVersion
from resolver.errors import BrokerUnavailable, UpdateRunning
from resolver.evaluation.gold import read_gold
from resolver.intake.record import SourceRecord
from resolver.release import switch
from resolver.release.index import index_release
from resolver.release.update import update
from resolver.service import embedded
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.settings import Settings
from resolver.text.affiliation import normalise
from resolver.workers import deadletters
from resolver.workers.client import enqueue

ROOT = Path(__file__).parents[1]
SOURCES = ("crossref", "openalex")
WORKERS = 2
CHUNK = 20
VISIBILITY = 20
"""Seconds; far more than a chunk takes here."""

BUSY = 20
"""Seconds to wait for all workers to be in the middle of a chunk."""

PATIENCE = 300
"""Seconds without a stored answer after which what is missing counts as lost."""

START = 120
"""Seconds that a server may take to start."""

DISK = 1536
"""Megabytes of the disk that is filled: Postgres' data with its log, and some air."""

RABBITMQ = "/usr/lib/rabbitmq/bin"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = report.arguments(__doc__)
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--gold", type=Path, default=sample.GOLD, help="strings to vary")
    parser.add_argument("--strings", type=int, default=10_000, help="distinct, for each broker")
    parser.add_argument("--times", type=int, default=3, help="each fault is injected")
    parser.add_argument("--quick", action="store_true", help="few strings, each fault once")
    parser.add_argument("--brokers", nargs="+", choices=list(BROKERS), default=list(BROKERS))
    options = parser.parse_args(arguments)
    if options.quick:
        options.strings, options.times = min(options.strings, QUICK), 1
    figures = report.header(options)
    rows: list[Row] = []
    totals: list[dict[str, Any]] = []
    truth: dict[str, Answer] = {}
    for name in options.brokers:
        # A short path, since sockets are made below it.
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            found, total = ran(name, options, Path(folder), truth)
        rows += found
        totals.append(total)
    figures |= {"rows": [vars(row) for row in rows], "totals": totals}
    report.finish(figures, tables(rows, totals), options.json)
    sound = all(row.lost == row.doubled == row.different == 0 for row in rows)
    return 0 if sound and all(total["reconciled"] for total in totals) else 1


QUICK = 320


@dataclass
class Row:
    """What a fault did."""

    fault: str
    broker: str
    times: int
    records: int
    lost: int
    doubled: int
    different: int
    recovery: list[float] = field(default_factory=list)


# The servers


class Postgres:
    """The embedded server; its data on a small file system of its own where that is permitted."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.disk = home / "postgres"
        self.disk.mkdir()
        self.limited = os.geteuid() == 0 and _quiet(
            "mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=755", "tmpfs", str(self.disk)
        )
        self._running: ExitStack = ExitStack()

    def start(self) -> str:
        self._running = ExitStack()
        return self._running.enter_context(embedded.postgres(self.home))

    def kill(self) -> None:
        """Without a warning, as the kernel or a power cut would."""
        first = (self.home / "postgres" / "postmaster.pid").read_text().split("\n")[0]
        kill(int(first))

    def again(self) -> None:
        """Start it, whether it still runs or not."""
        self._running.enter_context(embedded.postgres(self.home))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._running.close()
        if self.limited:
            _quiet("umount", "-l", str(self.disk))


class RedisServer:
    """The embedded server, with its append-only file."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._running = ExitStack()
        self.url = ""

    def start(self) -> None:
        self.url = self._running.enter_context(embedded.redis(self.home))

    def kill(self) -> None:
        from redis import Redis

        path = self.url.removeprefix("redis+socket://").replace("%2F", "/")
        kill(int(Redis(unix_socket_path=path).info("server")["process_id"]))

    def close(self) -> None:
        self._running.close()


class RabbitServer:
    """A RabbitMQ of its own, beside any other on this machine."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            self.port, distribution = one.getsockname()[1], two.getsockname()[1]
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._home = home
        self._environment = os.environ | {
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"chaos{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(home / "rabbitmq"),
            "RABBITMQ_LOG_BASE": str(home / "rabbitmq-log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_PID_FILE": str(home / "rabbitmq.pid"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self._home / "rabbitmq.out").open("a")
        self._process = subprocess.Popen(
            [f"{RABBITMQ}/rabbitmq-server"], env=self._environment, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + START
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"RabbitMQ did not start: see {self._home}/rabbitmq.out")
            time.sleep(0.2)

    def kill(self) -> None:
        assert self._process is not None
        kill(*[child.pid for child in psutil.Process(self._process.pid).children(recursive=True)])
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.kill()


BROKERS = {"redis": RedisServer, "rabbitmq": RabbitServer}


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _quiet(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def kill(*processes: int) -> None:
    """``kill -9``; returns when they are gone."""
    found = []
    for number in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(number)
            process.kill()
            found.append(process)
    deadline = time.monotonic() + 10
    while any(_runs(process) for process in found) and time.monotonic() < deadline:
        time.sleep(0.02)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Workers:
    """Workers, and what a supervisor does for them: it starts one again that ended."""

    def __init__(
        self, settings: Settings, folder: Path, qdrant: str, number: int = WORKERS
    ) -> None:
        assert settings.broker_url is not None
        assert settings.database_url is not None
        self.away = folder / "qdrant-is-away"
        self._busy = folder / "busy"
        self._busy.mkdir()
        self._command = [
            sys.executable, "-m", "benchmarks.deadly", "--visibility", str(VISIBILITY),
            "--away", str(self.away), "--qdrant", qdrant, "--busy", str(self._busy),
        ]  # fmt: skip
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
        self._environment = kept | {
            "RESOLVER_HOME": str(settings.home),
            "RESOLVER_BROKER_URL": settings.broker_url.get_secret_value(),
            "RESOLVER_DATABASE_URL": settings.database_url.get_secret_value(),
            "RESOLVER_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._log = folder / "workers.log"
        self._number = number
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        self._running = [self._started() for _ in range(self._number)]
        self._watch.start()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("a") as log:
            return subprocess.Popen(
                self._command, env=self._environment, cwd=ROOT, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _supervise(self) -> None:
        while not self._stopping.wait(0.2):
            for place, process in enumerate(self._running):
                if process.poll() is not None and not self._stopping.is_set():
                    self._running[place] = self._started()

    @contextmanager
    def in_mid_chunk(self) -> Iterator[list[tuple[int, int]]]:
        """All processes that resolve stand still in the middle of a chunk; (child, parent) each.

        Of those there are fewer where no more chunks come.
        """
        held: dict[int, int] = {}
        deadline = time.monotonic() + BUSY
        while len(held) < self._number and time.monotonic() < deadline:
            for child, parent in self._processes():
                if child not in held and self._stopped(child):
                    held[child] = parent
            time.sleep(0.01)
        try:
            yield list(held.items())
        finally:
            for child in held:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGCONT)

    def _stopped(self, child: int) -> bool:
        """Stop it if it is at work, and look again: it may have been done by then."""
        flag = self._busy / str(child)
        if not flag.exists():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGSTOP)
            if flag.exists():
                return True
            os.kill(child, signal.SIGCONT)
        return False

    def _processes(self) -> Iterator[tuple[int, int]]:
        for process in self._running:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children():
                    yield child.pid, process.pid

    def close(self) -> None:
        self._stopping.set()
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def failing_qdrant() -> Iterator[str]:
    """A server that answers with 503, or not for longer than anybody waits; in turns."""
    asked = [0]

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked[0] += 1
            if asked[0] % 2:
                time.sleep(3)
            with contextlib.suppress(OSError):
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_GET = do_POST = do_PUT = _answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


# A run


@dataclass
class Run:
    """Everything that faults happen to."""

    name: str
    home: Path
    registry: Path
    settings: Settings
    postgres: Postgres
    broker: Any
    engine: Engine
    versions: tuple[ResolverVersion, ResolverVersion]
    workers: Workers
    sent: dict[tuple[str, str], str] = field(default_factory=dict)
    """(source, id) → text of all records that were sent, but the poisoned ones."""
    poisoned: set[tuple[str, str]] = field(default_factory=set)

    def answered(self, keys: Sequence[tuple[str, str]]) -> int:
        """How many of these records have an answer; as far as Postgres can be asked."""
        with contextlib.suppress(DBAPIError), self.engine.connect() as opened:
            return int(
                opened.execute(
                    text(
                        "SELECT count(DISTINCT (s.source, s.external_id)) FROM source_record s"
                        " JOIN outcome o USING (affiliation_id, policy_id)"
                        " JOIN unnest(CAST(:sources AS text[]), CAST(:ids AS text[]))"
                        " AS k (source, external_id) USING (source, external_id)"
                    ),
                    {"sources": [s for s, _ in keys], "ids": [i for _, i in keys]},
                ).scalar_one()
            )
        return -1

    def send(self, records: Sequence[SourceRecord]) -> None:
        """As a sender does: again, until the broker has all."""
        while True:
            try:
                enqueue(records, settings=self.settings)
                return
            except BrokerUnavailable:
                time.sleep(0.5)


def ran(
    broker: str, options: argparse.Namespace, home: Path, truth: dict[str, Answer]
) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a broker, and its counts; fills in `truth` where that is empty."""
    with ExitStack() as stack:
        postgres = Postgres(home)
        stack.callback(postgres.close)
        url = postgres.start()
        server = BROKERS[broker](home)
        stack.callback(server.close)
        server.start()
        settings = Settings(  # type: ignore[call-arg]
            _env_file=None, home=home, database_url=SecretStr(url),
            broker_url=SecretStr(server.url), chunk_size=CHUNK, threads=1,
        )  # fmt: skip
        engine = connection.connect(url)
        stack.callback(engine.dispose)
        say(f"{broker}: {options.registry.name} is taken in …")
        schema.upgrade(engine)
        installation = stack.enter_context(Installation(settings, engine=engine))
        first = update(installation, options.registry).version
        again = index_release(installation, switch.encoder_of(installation, first), again=True)
        second = switch.successor(engine, first, again.manifest)
        texts = [
            row.affiliation for row in strings.distinct(read_gold(options.gold), options.strings)
        ]
        if not truth:
            say(f"an undisturbed run of {len(texts):,} strings …")
            truth |= undisturbed(installation, texts)
        qdrant = stack.enter_context(failing_qdrant())
        workers = Workers(settings, home, qdrant)
        run = Run(
            broker, home, options.registry, settings, postgres, server, engine, (first, second),
            workers,
        )  # fmt: skip
        workers.start()
        stack.callback(workers.close)
        faults = [f for f in FAULTS if f is not disk or postgres.limited]
        shares = [texts[place :: len(faults)] for place in range(len(faults))]
        rows = []
        for fault, share in zip(faults, shares, strict=True):
            rows.append(injected(run, fault, share, options.times))
            say(str(rows[-1]))
        with open_service(installation) as opened:
            # What was answered by the other version while that was in use.
            refresh_due(opened)
        for row, share in zip(rows, shares, strict=True):
            row.different = different(run, truth, share)
        total = reconciled(run, rows)
        say(str(total))
        if keep := os.environ.get("CHAOS_LOGS"):
            shutil.copy(home / "workers.log", Path(keep, f"{broker}.log"))
        return rows, total


def undisturbed(installation: Installation, texts: Sequence[str]) -> dict[str, Answer]:
    """Text → what one process answers that nobody disturbs."""
    normalised = [normalise(one) for one in texts]
    with open_service(installation) as opened:
        return {
            one: answer(outcome)
            for start in range(0, len(normalised), CHUNK)
            for one, outcome in zip(
                normalised[start : start + CHUNK],
                opened.matcher.resolve(normalised[start : start + CHUNK]),
                strict=True,
            )
        }


def injected(run: Run, fault: Fault, share: Sequence[str], times: int) -> Row:
    """Send a share of the strings, inject the fault so often meanwhile, and look for them."""
    records = from_two_sources(share, fault.__name__)
    keys = sorted({(one.source, one.external_id) for one in records})
    run.sent |= {(one.source, one.external_id): one.affiliation for one in records}
    half = len(records) // 2
    recovery: list[float] = []
    with ThreadPoolExecutor(max_workers=2) as senders:
        first = senders.submit(run.send, records[:half])
        first.result()
        for number in range(times):
            before = grown(run, keys, run.answered(keys))
            if before == len(keys):
                break
            if number == 0:
                # The other half is on its way while the fault happens.
                second = senders.submit(run.send, records[half:])
            fault(run)
            over = time.monotonic()
            last = max(before, run.answered(keys))
            grown(run, keys, last)
            recovery.append(time.monotonic() - over)
        second.result()
    done = -1
    while done < len(keys):
        before, done = done, grown(run, keys, run.answered(keys))
        if done <= before:
            break
    lost, doubled = missing(run, keys)
    return Row(
        (fault.__doc__ or "").rstrip("."), run.name, len(recovery), len(keys), lost, doubled, 0,
        recovery,
    )  # fmt: skip


def grown(run: Run, keys: Sequence[tuple[str, str]], since: int) -> int:
    """How many records have an answer once more than `since` have, or all, or nothing happens."""
    deadline = time.monotonic() + PATIENCE
    while (now := run.answered(keys)) <= since < len(keys) and time.monotonic() < deadline:
        time.sleep(0.1)
    return now


def from_two_sources(texts: Sequence[str], name: str) -> list[SourceRecord]:
    """Each text as a record of one source, every fourth of both; every fifth record twice."""
    records = []
    for number, one in enumerate(texts):
        key = f"{name}-{number}"
        records.append(SourceRecord(SOURCES[number % 2], key, one))
        if number % 4 == 0:
            records.append(SourceRecord(SOURCES[(number + 1) % 2], key, one))
    records += records[::5]
    random.Random(0).shuffle(records)
    return records


# What came of it


def missing(run: Run, keys: Sequence[tuple[str, str]]) -> tuple[int, int]:
    """Records without a current answer, and records or links that are there more than once."""
    query = text(
        "SELECT k.source, k.external_id, count(o.affiliation_id) FROM"
        " unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS k (source, external_id)"
        " LEFT JOIN source_record s USING (source, external_id)"
        " LEFT JOIN outcome o ON (o.affiliation_id, o.policy_id) = (s.affiliation_id, s.policy_id)"
        " GROUP BY 1, 2"
    )
    with run.engine.connect() as opened:
        counts = [
            number
            for _, _, number in opened.execute(
                query, {"sources": [s for s, _ in keys], "ids": [i for _, i in keys]}
            )
        ]
    return counts.count(0), sum(1 for number in counts if number > 1)


def different(run: Run, truth: dict[str, Answer], share: Sequence[str]) -> int:
    """Strings that were answered otherwise than undisturbed."""
    found = stored(run.engine)
    return sum(1 for one in map(normalise, share) if found.get(one) != truth[one])


RECONCILE = {
    "records": "SELECT count(*) FROM source_record",
    "affiliations": "SELECT count(*) FROM affiliation",
    "answers": "SELECT count(*) FROM outcome",
    "answered records": "SELECT count(*) FROM source_record JOIN outcome"
    " USING (affiliation_id, policy_id)",
    "linked without a link": "SELECT count(*) FROM outcome o WHERE status = 'linked' AND NOT EXISTS"
    " (SELECT FROM link l WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id))",
    "links without an answer": "SELECT count(*) FROM link l WHERE NOT EXISTS (SELECT FROM outcome o"
    " WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)"
    " AND o.status = 'linked')",
    "refused": "SELECT count(*) FROM refused_record",
    "past records": "SELECT count(*) FROM past_record",
}


def reconciled(run: Run, rows: Sequence[Row]) -> dict[str, Any]:
    """The counts of the database, and whether they fit what was sent."""
    with run.engine.connect() as opened:
        counts = {
            name: opened.execute(text(query)).scalar_one() for name, query in RECONCILE.items()
        }
    letters, _ = deadletters.letters(run.settings)
    buried = [letter.first for letter in letters]
    poisoned = [(SOURCES[0], f"deadly-{number}") for number in range(POISONED)]
    texts = {normalise(one) for one in run.sent.values()}
    fits = (
        # A poisoned record is stored before it kills, and has no answer.
        counts["records"] == len(run.sent) + POISONED
        and counts["answered records"] == len(run.sent) == sum(row.records for row in rows)
        and counts["answers"] == len(texts)
        and counts["affiliations"] == len(texts) + POISONED
        and counts["linked without a link"] == counts["links without an answer"] == 0
        and counts["refused"] == counts["past records"] == 0
        and sorted(buried, key=str) == poisoned
    )
    return {
        "broker": run.name, "sent": len(run.sent), "strings": len(texts), "poisoned": POISONED,
        **counts, "dead letters": len(letters), "reconciled": fits,
    }  # fmt: skip


# Faults: each returns when it is over

Fault = Callable[[Run], None]

POISONED = 1


def processes(run: Run) -> None:
    """processes of workers killed in mid-chunk."""
    with run.workers.in_mid_chunk() as held:
        kill(*(child for child, _ in held))


def whole(run: Run) -> None:
    """workers killed whole in mid-chunk."""
    with run.workers.in_mid_chunk() as held:
        kill(*(number for pair in held for number in pair))


def broker(run: Run) -> None:
    """broker killed in mid-chunk, started 2 s later."""
    with run.workers.in_mid_chunk():
        run.broker.kill()
    time.sleep(2)
    run.broker.start()


def postgres(run: Run) -> None:
    """Postgres killed in mid-chunk, started 3 s later."""
    with run.workers.in_mid_chunk():
        run.postgres.kill()
    time.sleep(3)
    run.postgres.again()


def qdrant(run: Run) -> None:
    """Qdrant times out and fails for 5 s."""
    run.workers.away.touch()
    time.sleep(5)
    run.workers.away.unlink()


def disk(run: Run) -> None:
    """disk full under Postgres for 4 s, in mid-chunk."""
    balloon = run.postgres.disk / "balloon"
    with run.workers.in_mid_chunk(), contextlib.suppress(OSError), balloon.open("wb", 0) as file:
        for size in (2**20, 2**12):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    time.sleep(4)
    balloon.unlink()
    # Where it could not write its log it ended itself, and its supervisor starts it.
    run.postgres.again()


def flip(run: Run) -> None:
    """index and version switched, and back 2 s later."""
    first, second = run.versions
    with Installation(run.settings, engine=run.engine) as installation:
        with run.workers.in_mid_chunk():
            switch.switch_to(installation, second)
        time.sleep(2)
        switch.switch_to(installation, first)


def twice(run: Run) -> None:
    """two updates, two refreshes, two senders at once."""

    def updating() -> None:
        with (
            contextlib.suppress(UpdateRunning),
            Installation(run.settings, engine=run.engine) as installation,
        ):
            update(installation, run.registry)

    def refresh() -> None:
        with (
            Installation(run.settings, engine=run.engine) as installation,
            open_service(installation) as opened,
        ):
            refresh_due(opened)

    def sending() -> None:
        run.send(
            [SourceRecord(source, key, one) for (source, key), one in list(run.sent.items())[-50:]]
        )

    with ThreadPoolExecutor(max_workers=6) as pool:
        for done in [pool.submit(action) for action in 2 * (updating, refresh, sending)]:
            done.result()


def poison(run: Run) -> None:
    """a string that kills its process, among others."""
    for number in range(POISONED):
        key = (SOURCES[0], f"deadly-{number}")
        if key not in run.poisoned:
            run.poisoned.add(key)
            neighbours = [SourceRecord(*key, one) for key, one in list(run.sent.items())[-10:]]
            bad = SourceRecord(*key, f"{WORD} {run.name} {number}")
            run.send([*neighbours[:5], bad, *neighbours[5:]])
    deadline = time.monotonic() + PATIENCE
    while not deadletters.letters(run.settings, most=1)[1] and time.monotonic() < deadline:
        time.sleep(0.5)


FAULTS: tuple[Fault, ...] = (
    processes, whole, broker, postgres, qdrant, disk, flip, twice, poison,
)  # fmt: skip


# What is printed


def tables(rows: Sequence[Row], totals: Sequence[dict[str, Any]]) -> str:
    lines = [
        report.table(
            ["fault", "broker", "times", "records", "lost", "doubled", "different",
             "seconds to recover: median", "longest"],
            [
                [
                    row.fault, row.broker, row.times, f"{row.records:,}", row.lost, row.doubled,
                    row.different,
                    *(f"{value:.1f}" for value in _middle_and_longest(row.recovery)),
                ]
                for row in rows
            ],
        ),
        "",
    ]  # fmt: skip
    for total in totals:
        counts = ", ".join(
            f"{name} {value:,}" for name, value in total.items()
            if name not in ("broker", "reconciled")
        )  # fmt: skip
        said = "counts reconcile" if total["reconciled"] else "COUNTS DO NOT RECONCILE"
        lines.append(f"{total['broker']}: {said} ({counts})")
    return "\n".join(lines)


def _middle_and_longest(values: Sequence[float]) -> tuple[float, float]:
    return (statistics.median(values), max(values)) if values else (0.0, 0.0)


def say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    # Stacks are unwound, servers stopped and file systems released.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
