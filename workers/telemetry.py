"""Telemetry of a worker: context in its logs, metrics, and a heartbeat.

Each process reports to its parent through a pipe what became of a chunk. The parent sums it up,
serves it at ``/metrics`` and writes the heartbeat, all from its event loop. So metrics survive a
process that dies, need no disk, and a worker whose loop or processes hang is seen by its missing
heartbeat.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import bootsteps, signals
from celery.app.log import Logging
from celery.exceptions import WorkerShutdown
from celery.utils.log import get_logger, get_task_logger
from celery.worker import state
from structlog.contextvars import bind_contextvars, clear_contextvars

from resolver.answering import chunk, refresh
from resolver.errors import SettingsError
from resolver.matching.meters import STAGES
from resolver.observing import heartbeat, logs
from resolver.observing.metrics import WorkMetrics
from resolver.observing.serving import Serving
from resolver.workers import process
from resolver.workers.client import SENT_AT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resolver.settings import Settings

logger = get_logger(__name__)
task_logger = get_task_logger(__name__)

GRACE = 60.0
"""Seconds beyond its time limit after which a chunk is taken to hang: the pool should have ended
it, so the pool itself hangs."""

PIPE_BYTES = 4096
"""Longest write to a pipe that is not mixed with those of others (PIPE_BUF). A report is a quarter
of that."""

MAX_NAME = 200
"""Most characters of a record's id in logs."""


# Logs


class Logs(Logging):  # type: ignore[misc]
    """Celery's logging, configured by the settings."""

    def setup_logging_subsystem(
        self,
        loglevel: int | str | None = None,
        logfile: str | None = None,
        **_: Any,
    ) -> bool:
        if not self.already_setup:
            Logging._setup = True
            logs.configure(self.app.settings, loglevel or self.loglevel, file=logfile)
        # True means that it is configured: Celery configures nothing itself.
        return True


# In the child

_pipe: int | None = None
_lost = 0


def done(report: chunk.ChunkReport | refresh.RefreshChunkReport) -> None:
    """Log the report of a chunk, and count it in the metrics."""
    figures = _figures(report)
    task_logger.info("%s %s", report, report.meters, extra={"chunk": figures})
    _report({"chunk": figures | {"version": _version() or 0} | asdict(report.tally)})


def message_done() -> None:
    """Report that a message is done, whatever its task."""
    _report({DONE: True})


def failed(error: BaseException) -> None:
    """Count a failure of a chunk or of an attempt."""
    _report({"error": type(error).__name__})


def _figures(report: chunk.ChunkReport | refresh.RefreshChunkReport) -> dict[str, Any]:
    meters = report.meters
    if isinstance(report, chunk.ChunkReport):
        counts = {
            "task": "resolve_chunk",
            "received": report.received,
            "refused": report.refused,
            "resolved": report.new,
            "cached": report.already_resolved,
            "links": report.links,
        }
    else:
        counts = {
            "task": "refresh_chunk",
            "received": report.received,
            "refused": 0,
            "resolved": report.resolved,
            "cached": report.received - report.resolved,
            "links": report.tally.links,
        }
    return counts | {
        "pairs": meters.pairs,
        "pairs_avoided": meters.pairs_avoided,
        "sieved": meters.sieved,
        "wall": round(meters.wall, 4),
        "stages": {stage: round(getattr(meters, stage), 4) for stage in STAGES},
    }


def _report(report: Mapping[str, Any]) -> None:
    """Send a report to the parent; it is lost, and counted as lost, where the parent is slow."""
    global _lost
    if _pipe is None:
        return
    line = json.dumps({**report, "lost": _lost}).encode() + b"\n"
    try:
        if len(line) > PIPE_BYTES:
            raise BlockingIOError
        os.write(_pipe, line)
        _lost = 0
    except OSError:
        _lost += 1


def _version() -> int | None:
    """The id of the resolver version that this process answers by."""
    return process._service.version.id if process._service else None


def _begin(task_id: str, task: Any, args: Any = (), **_: Any) -> None:
    """Set the context that each log line of the task has."""
    clear_contextvars()
    info = task.request.delivery_info or {}
    bind_contextvars(
        task_id=task_id,
        task=task.name,
        queue=info.get("routing_key"),
        resolver_version=_version(),
        **_records(args),
    )


def _records(args: Any) -> dict[str, Any]:
    """The number of records of a message, and source and id of the first. Anybody may have sent it,
    so every type is checked."""
    if not (isinstance(args, list | tuple) and args and isinstance(args[0], list | tuple)):
        return {}
    first = args[0][0] if args[0] else None
    context: dict[str, Any] = {"records": len(args[0])}
    if isinstance(first, dict):
        context |= {
            name: str(first[key])[:MAX_NAME]
            for name, key in (("source", "source"), ("first_record", "id"))
            if isinstance(first.get(key), str | int)
        }
    return context


def _end(**_: Any) -> None:
    clear_contextvars()


def _count_failure(exception: BaseException | None = None, **_: Any) -> None:
    if exception is not None:
        # The exception says what becomes of the message; its cause says why.
        failed(exception.__cause__ or exception)


# In the parent

QUEUES_SERVED, DONE = "queues", "done"
"""Keys that a worker adds to each of its heartbeats to the broker: the names of its queues, and the
number of messages done since it started."""


_deaths = 0


def count_death() -> int:
    """Count a process that died with a message; returns how many died since a message was done."""
    global _deaths
    _deaths += 1
    return _deaths


def _count_done() -> None:
    # Celery itself counts messages that were begun, not those that are done.
    global _deaths
    _deaths = 0
    state.SOFTWARE_INFO[DONE] += 1


class Telemetry(bootsteps.StartStopStep):  # type: ignore[misc]
    """Reads the reports of the processes, serves metrics, and writes the heartbeat."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        settings: Settings = parent.app.settings
        self._settings = settings
        self._file: Path | None = settings.heartbeat_file
        self._metrics = WorkMetrics()
        self._serving: Serving | None = None
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._rest = b""
        self._last_beat: float | None = None
        self._pids: frozenset[int] = frozenset()
        self._warned = self._stopped = False
        signals.worker_process_init.connect(self._in_child, weak=False)
        signals.task_received.connect(self._received, weak=False)

    def _in_child(self, **_: Any) -> None:
        global _pipe
        _pipe = self._writing
        if self._serving:
            self._serving.leave()
        for signal, handler in (
            (signals.task_prerun, _begin),
            (signals.task_postrun, _end),
            (signals.task_failure, _count_failure),
        ):
            signal.connect(handler)

    def start(self, parent: Any) -> None:
        self._worker = parent
        state.SOFTWARE_INFO |= {QUEUES_SERVED: sorted(parent.app.amqp.queues.consume_from), DONE: 0}
        port = self._settings.metrics_port
        if port is None:
            return
        try:
            self._serving = Serving(
                self._metrics.registry,
                self.problem,
                host=self._settings.metrics_host,
                port=port,
            )
        except SettingsError as error:
            logger.critical("the worker stops: %s", error)
            raise WorkerShutdown(os.EX_CONFIG) from None

    def stop(self, parent: Any) -> None:  # noqa: ARG002
        self._stopped = True
        if self._file:
            self._file.unlink(missing_ok=True)

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:  # noqa: ARG002
        hub.add_reader(self._reading, self._listen)
        hub.call_repeatedly(heartbeat.INTERVAL, self._beat)
        self._beat()

    def problem(self) -> str | None:
        """Why this worker is unhealthy; None when it is healthy."""
        last = self._last_beat
        if last is None:
            return "starting"
        silent = time.monotonic() - last
        return f"no heartbeat for {silent:.0f} s" if silent > heartbeat.STALE else None

    def _listen(self) -> None:
        lines = (self._rest + os.read(self._reading, 65536)).split(b"\n")
        self._rest = lines.pop()
        for report in map(json.loads, lines):
            self._metrics.lost.inc(report["lost"])
            if "chunk" in report:
                self._metrics.chunk(report["chunk"])
            if DONE in report:
                _count_done()
            if "error" in report:
                self._metrics.errors.labels(report["error"]).inc()

    def _received(self, request: Any = None, **_: Any) -> None:
        headers = getattr(getattr(request, "message", None), "headers", None) or {}
        sent, queue = headers.get(SENT_AT), (request.delivery_info or {}).get("routing_key")
        if isinstance(sent, int | float) and queue in self._worker.app.amqp.queues:
            # Another machine's clock may be ahead.
            self._metrics.wait.labels(queue).observe(max(0.0, time.time() - sent))

    def _beat(self) -> None:
        processes = list(self._worker.pool._pool._pool)
        pids = frozenset(process.pid for process in processes)
        if self._pids:
            self._metrics.replaced.inc(len(self._pids - pids))
        self._pids = pids
        self._metrics.processes.set(len(pids))
        self._metrics.memory.set(sum(map(_resident, pids)))
        if self._stopped or not all(process.is_alive() for process in processes) or _hanging():
            return
        self._last_beat = time.monotonic()
        self._metrics.heartbeat.set_to_current_time()
        if self._file is None:
            return
        try:
            heartbeat.beat(self._file)
            self._warned = False
        except OSError as error:
            if not self._warned:
                logger.error("the heartbeat cannot be written: %s", error)
            self._warned = True


def _hanging() -> bool:
    """Whether a task has run far beyond its time limit."""
    now = time.time()
    for request in list(state.active_requests):
        started = request.time_start
        limit = request.time_limits[0] or request.task.time_limit
        if started is not None and limit and now - started > limit + GRACE:
            return True
    return False


def _resident(pid: int) -> int:
    """Resident memory in bytes; 0 on systems without Linux's /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
