"""`resolver scorer`: opens the reranker once, and computes it for the processes of this machine
that may use its socket."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

import uvicorn

from resolver.errors import ResolverError, SettingsError
from resolver.observing import heartbeat, logs
from resolver.observing.metrics import ScorerMetrics
from resolver.observing.serving import Serving
from resolver.reranker.tokenised import TokenReranker, token_reranker
from resolver.scorer.app import create_app, stuck
from resolver.service import parts
from resolver.settings import Settings, load_settings

log = logging.getLogger(__name__)

SOCKET = "scorer.sock"
"""The name of the socket under `settings.home`, where no setting names one."""

LONGEST_PATH = 100
"""Bytes of a socket's path; Linux takes 107, others less."""

BACKLOG = 512

LOCK_SECONDS = 5.0
"""How long a scorer waits for its predecessor to end."""

DRAIN_SECONDS = 60
"""Longest that a scorer which stops works on the requests that it took."""

KEEP_ALIVE_SECONDS = 24 * 60 * 60
"""A worker's connection stays open however long the worker has nothing to do."""

REPORT_SECONDS = 60.0
"""Seconds between two lines of the log that say what was done."""


def socket_path(settings: Settings) -> Path:
    """Where the scorer of these settings listens."""
    return settings.scorer or settings.home / SOCKET


def run(settings: Settings) -> int:
    """Compute until it is stopped; returns the exit code.

    SIGTERM and SIGINT let it finish the requests that it took; others are refused meanwhile.

    Raises:
        SettingsError: the socket cannot be listened on, or another scorer does.
        ModelError: the reranker cannot be loaded, or cannot be computed from tokens.
    """
    path = socket_path(settings)
    with alone(path):
        # Not by the scorer that this one is to be.
        reranker = token_reranker(parts.load_reranker(settings.model_copy(update={"scorer": None})))
        with listening(path) as listener:
            log.info(
                "reranker %s at %s, %d tokens a batch", reranker.name, path, reranker.batch_tokens
            )
            return serve(reranker, listener, settings)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds the lock beside a socket: a second scorer would take the first one's place unseen.

    Raises:
        SettingsError: another process holds it, or it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.name}.lock").open("a")
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    with lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _locked(lock):
            if time.monotonic() > deadline:
                raise SettingsError(
                    f"another scorer listens at {path}",
                    remedy="stop it, or name another socket: RESOLVER_SCORER",
                )
            time.sleep(0.1)
        yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A Unix socket that this user's processes alone may connect to; gone afterwards.

    Raises:
        SettingsError: it cannot be made.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise _unusable(path, f"its path has more than {LONGEST_PATH} bytes")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        # Of a scorer that was killed: the lock says that none is there.
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error
        finally:
            os.umask(mask)
        listener.listen(BACKLOG)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _unusable(path: Path, reason: str) -> SettingsError:
    return SettingsError(
        f"the scorer cannot listen at {path}: {reason}",
        remedy="name a path in a folder that it may write to: RESOLVER_SCORER",
    )


def serve(reranker: TokenReranker, listener: socket.socket, settings: Settings) -> int:
    """The application of a reranker on a socket that listens, until it is stopped."""
    metrics = ScorerMetrics()
    app = create_app(reranker, metrics)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            lifespan="on",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )

    def problem() -> str | None:
        return stuck(app.state.batches) if server.started else "it starts"

    # Uvicorn raises the signal again when it has ended; here that is an end like any other.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ended)
    ended = threading.Event()
    with ExitStack() as opened:
        opened.callback(ended.set)
        if settings.metrics_port:
            figures = Serving(
                metrics.registry, problem, host=settings.metrics_host, port=settings.metrics_port
            )
            opened.callback(figures.close)

        report = Report(metrics, reranker.batch_tokens)

        def watch() -> None:
            while not ended.wait(heartbeat.INTERVAL):
                if settings.heartbeat_file and not problem():
                    _beat(settings.heartbeat_file)
                if report.due and (line := report.line()):
                    log.info("%s", line)

        threading.Thread(target=watch, name="watch", daemon=True).start()
        server.run(sockets=[listener])
        ended.set()
        if line := report.line():
            log.info("%s", line)
    return os.EX_OK


def _ended(_number: int, _frame: FrameType | None) -> None:
    """It has ended already."""


def _beat(path: Path) -> None:
    try:
        heartbeat.beat(path)
    except OSError as error:
        log.error("the heartbeat cannot be written: %s", error)


class Report:
    """What a scorer did since the line before, from its metrics."""

    NAMES = ("requests_total", "pairs_total", "tokens_total", "batches_total", "busy_seconds_total",
             "wait_seconds_sum", "wait_seconds_count")  # fmt: skip

    def __init__(self, metrics: ScorerMetrics, largest: int) -> None:
        self._metrics = metrics
        self._largest = largest
        self._at = time.monotonic()
        self._before = dict.fromkeys(self.NAMES, 0.0)

    @property
    def due(self) -> bool:
        return time.monotonic() - self._at >= REPORT_SECONDS

    def line(self) -> str | None:
        """None where nothing was done. More tokens than are computed at a time are one large
        request, which is cut."""
        now, values = time.monotonic(), {name: self._metrics.value(name) for name in self.NAMES}
        done = {name: values[name] - self._before[name] for name in self.NAMES}
        seconds = now - self._at
        self._at, self._before = now, values
        batches = done["batches_total"]
        if not batches:
            return None
        return (
            f"{done['pairs_total'] / seconds:,.0f} pairs/s, "
            f"{done['tokens_total'] / seconds:,.0f} tokens/s, "
            f"{done['requests_total'] / batches:.1f} requests and "
            f"{done['tokens_total'] / batches:,.0f} tokens a batch ({self._largest:,} at a time), "
            f"waited {1000 * done['wait_seconds_sum'] / max(1.0, done['wait_seconds_count']):.1f} "
            f"ms, busy {done['busy_seconds_total'] / seconds:.0%}"
        )


def main() -> None:
    """The scorer of one worker, which started it: its metrics and its heartbeat are the worker's,
    and it ends when standard input does, since then the worker is gone."""
    settings = load_settings(metrics_port=None, heartbeat_file=None)
    logs.configure(settings)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        sys.exit(run(settings))
    except ResolverError as error:
        log.critical("%s", error)
        sys.exit(os.EX_CONFIG)


def _end_with_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
