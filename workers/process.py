"""A worker process: it opens its installation and its service before it takes a message.

The pool is prefork. Models, index and database connections are opened in the child, after the fork:
a child that inherits the threads' locks of a parent that has computed would hang.

A worker takes no message before every child has opened its `Service`. When one cannot, at the
start or later, the worker stops with the reason and an exit code other than 0, so that no message
fails for a cause that is not its own.
"""

from __future__ import annotations

import json
import os
import select
import time
from contextlib import ExitStack
from typing import Any, NoReturn

from celery import bootsteps, signals
from celery.exceptions import WorkerShutdown
from celery.utils.log import current_process_index, get_logger
from celery.worker import state

from resolver.errors import (
    DatabaseUnavailable,
    IndexUnavailable,
    RerankerUnavailable,
    ResolverError,
    ResolverSuperseded,
)
from resolver.service.installation import Installation
from resolver.service.service import Service, open_service
from resolver.settings import Settings
from resolver.workers.placement import placed

logger = get_logger(__name__)

TRANSIENT = (DatabaseUnavailable, IndexUnavailable, RerankerUnavailable, ResolverSuperseded)
"""Errors that may pass when one waits."""

START_LIMIT = 10 * 60
"""Seconds a child may take to open its service. Celery's own 4 would kill one that reads a model
from a slow disk."""

_service: Service | None = None


def service() -> Service:
    """The service that this worker process opened."""
    if _service is None:
        raise RuntimeError("no service: this is not a worker process")
    return _service


class ServiceStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Opens the service in each child and waits for it before the worker takes messages.

    Celery logs an exception in the initialiser of a child and goes on, and replaces a child that
    exits again and again. So each child reports to its parent through a pipe.
    """

    requires = ("celery.worker.components:Pool", "resolver.workers.telemetry:Telemetry")

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._reports, self._report = os.pipe()
        self._opened = ExitStack()
        self._settings: Settings = parent.app.settings
        self._processes: int = parent.concurrency
        if not parent.pool_cls.__module__.endswith("prefork"):
            raise SystemExit("this worker needs the prefork pool (-P prefork)")
        signals.worker_process_init.connect(self._open, weak=False)
        signals.worker_process_shutdown.connect(self._close, weak=False)

    # In the child

    def _open(self, **_: Any) -> None:
        global _service
        try:
            # A process that replaces another one takes its GPU and cores.
            settings = placed(self._settings, current_process_index(base=0), self._processes)
            logger.info("device %s, threads %s", settings.device or "-", settings.threads or "-")
            # Of the tokenizers, which would start a thread for each core in each process.
            os.environ.setdefault("RAYON_NUM_THREADS", str(settings.threads))
            installation = self._opened.enter_context(Installation(settings))
            _service = self._opened.enter_context(open_service(installation))
        except ResolverError as error:
            self._give_up(str(error), exit_code(error))
        except Exception as error:
            logger.exception("the service cannot be opened")
            self._give_up(f"{type(error).__name__}: {error}", os.EX_SOFTWARE)
        self._send()

    def _give_up(self, problem: str, exit_code: int) -> NoReturn:
        self._opened.close()
        self._send(problem, exit_code)
        os._exit(exit_code)

    def _send(self, problem: str | None = None, exit_code: int = os.EX_OK) -> None:
        report = {"pid": os.getpid(), "problem": problem and problem[:500], "exit_code": exit_code}
        # One write of at most PIPE_BUF (4096) bytes is whole, whoever else writes.
        os.write(self._report, json.dumps(report).encode() + b"\n")

    def _close(self, **_: Any) -> None:
        self._opened.close()

    # In the parent

    def start(self, parent: Any) -> None:
        """Wait until every child is ready; stop the worker when one is not."""
        waiting = set(parent.pool.info["processes"])
        deadline = time.monotonic() + START_LIMIT
        while waiting:
            state.maybe_shutdown()
            for report in self._read(timeout=0.5):
                if report["problem"]:
                    _stop(report["problem"], report["exit_code"])
                waiting.discard(report["pid"])
            for pid in waiting:
                # WNOWAIT: the pool itself collects its children.
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    # A last look: the report may have come since.
                    for report in self._read(timeout=0):
                        if report["problem"]:
                            _stop(report["problem"], report["exit_code"])
                    _stop(f"process {pid} died while it opened its service", os.EX_SOFTWARE)
            if time.monotonic() > deadline:
                _stop(f"no service after {START_LIMIT} s", os.EX_UNAVAILABLE)
        logger.info("models, index and database are open")

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:  # noqa: ARG002
        hub.add_reader(self._reports, self._on_report)

    def _on_report(self) -> None:
        # A child that replaced another one; SystemExit passes through the event loop.
        for report in self._read(timeout=0):
            if report["problem"]:
                _stop(report["problem"], report["exit_code"])

    def _read(self, *, timeout: float) -> list[dict[str, Any]]:
        if not select.select([self._reports], [], [], timeout)[0]:
            return []
        # Writes are whole and far smaller than this, so lines are too.
        return [json.loads(line) for line in os.read(self._reports, 65536).splitlines()]


def _stop(problem: str, exit_code: int) -> NoReturn:
    logger.critical("the worker stops: %s", problem)
    raise WorkerShutdown(exit_code)


def exit_code(error: ResolverError) -> int:
    """The worker's exit code (sysexits.h): EX_UNAVAILABLE for an error that may pass, EX_CONFIG for
    one that somebody must mend."""
    if isinstance(error, TRANSIENT):
        return os.EX_UNAVAILABLE
    return os.EX_CONFIG
