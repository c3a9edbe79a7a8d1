"""`resolver serve`: uvicorn with the application, in one process or in several behind one port.

Several processes are started and watched over by this one. It opens the port, and they take
connections from it in turn; one that dies is started again. Each has its own models in memory.

Uvicorn's own supervisor is not used: its processes run a plain `uvicorn.Server`, which does not say
at ``/readyz`` that it stops, and it ends them all when one cannot start because, for a moment, the
database is away.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from types import FrameType

import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead

from resolver.doors.app import create_app
from resolver.doors.health import Readiness
from resolver.doors.limits import Keys, Rates
from resolver.errors import SettingsError
from resolver.hardware import cores
from resolver.service.installation import Installation
from resolver.settings import Settings

log = logging.getLogger(__name__)

DRAIN_SECONDS = 60
"""Longest that a server which stops works on what it took."""

KEEP_ALIVE_SECONDS = 30
"""Longest that a connection stays open without a request."""

BACKLOG = 2048

RESTART_SECONDS = 2.0
"""Least time between two starts of a process: one that cannot start would fill the log."""


class Server(uvicorn.Server):
    """Uvicorn's, which at SIGTERM is not ready any more, goes on for `leave_seconds`, and then
    drains: who distributes requests has time to see it. SIGINT and a second signal skip the
    wait."""

    def __init__(
        self, config: uvicorn.Config, readiness: Readiness, *, leave_seconds: float
    ) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._leave_seconds = leave_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        first = not self._readiness.leaving
        self._readiness.leaving = True
        if sig == signal.SIGTERM and first and self.started and self._leave_seconds:
            leave = threading.Timer(self._leave_seconds, super().handle_exit, (sig, frame))
            leave.daemon = True
            leave.start()
            return
        super().handle_exit(sig, frame)


def run(settings: Settings, *, host: str, port: int, processes: int = 1) -> int:
    """Serve until it is stopped; returns the exit code.

    Raises:
        SettingsError: the address cannot be listened on, or a setting cannot be used.
        ResolverError: the version in use cannot be opened.
    """
    with listening(host, port) as listener:
        if processes == 1:
            return serve(settings, listener)
        return supervise(settings, listener, processes)


def listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections for this address.

    Raises:
        SettingsError: it cannot.
    """
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )
        # With its protocol: asyncio sends at once (TCP_NODELAY) on sockets that say they are TCP
        # alone, and an answer in two pieces would wait 40 ms for the client's acknowledgement.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            remedy="choose another --host or --port",
        ) from error
    return listener


def serve(settings: Settings, listener: socket.socket) -> int:
    """One process, on a socket that listens."""
    return serve_app(create_app(settings), settings, listener, proxies=settings.serve_proxies)


def serve_app(
    app: FastAPI, settings: Settings, listener: socket.socket, *, proxies: Collection[str] = ()
) -> int:
    """An application on a socket that listens, until it is stopped; returns the exit code.

    `app.state` has `readiness` and `failure`, as `resolver.doors.app.create_app` sets them.
    `proxies` are believed what they say about whom a request is from.

    Raises:
        ResolverError: the application could not start.
    """
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="on",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=",".join(sorted(proxies)),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    logging.getLogger("uvicorn.error").addFilter(_without_traceback)
    server = Server(config, app.state.readiness, leave_seconds=settings.serve_leave_seconds)
    # Uvicorn raises the signal again when it has ended; here that is an end like any other.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ended)
    try:
        server.run(sockets=[listener])
    except SystemExit:
        if app.state.failure is not None:
            raise app.state.failure from None
        raise
    return os.EX_OK


def _ended(_number: int, _frame: FrameType | None) -> None:
    """It has ended already."""


def _without_traceback(record: logging.LogRecord) -> bool:
    """Uvicorn logs how the start failed as a traceback; here it is said in a sentence."""
    return not record.getMessage().startswith("Traceback")


def supervise(settings: Settings, listener: socket.socket, processes: int) -> int:
    """Several processes on one socket, until SIGTERM or SIGINT, which each of them gets.

    Raises:
        ResolverError: the settings or the database cannot be used: no process is started.
    """
    if settings.serve_keys:
        Keys(settings.serve_keys)
    if settings.serve_rate:
        Rates(settings)
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stop.append(number))
    with ExitStack() as opened:
        # Open as long as they are: what is embedded is not started by each of them anew.
        _ = opened.enter_context(Installation(settings)).engine
        figures = opened.enter_context(tempfile.TemporaryDirectory(prefix="resolver-serve-"))
        listener.set_inheritable(True)
        threads = settings.threads or max(1, cores() // processes)
        environment = {
            **os.environ,
            "PROMETHEUS_MULTIPROC_DIR": figures,
            "RESOLVER_THREADS": str(threads),
        }

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-m", __name__, str(listener.fileno())],
                env=environment,
                # Nothing is written there: its end says that this process is gone.
                stdin=subprocess.PIPE,
                pass_fds=(listener.fileno(),),
            )

        running = [start() for _ in range(processes)]
        started = [time.monotonic()] * processes
        while not stop:
            time.sleep(0.2)
            for place, process in enumerate(running):
                if process.poll() is None or time.monotonic() < started[place] + RESTART_SECONDS:
                    continue
                log.error("process %d ended with %s; another one starts", process.pid,
                          process.returncode)  # fmt: skip
                mark_process_dead(process.pid, figures)  # type: ignore[no-untyped-call]
                running[place], started[place] = start(), time.monotonic()
        return _stop(running, settings.serve_leave_seconds + DRAIN_SECONDS + 10)


def _stop(running: Sequence[subprocess.Popen[bytes]], seconds: float) -> int:
    """End the processes: ask, wait, and kill those that do not end."""
    for process in running:
        process.terminate()
    deadline = time.monotonic() + seconds
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return os.EX_OK


def main() -> None:
    """One of several processes: the socket is inherited, its number the argument."""
    from resolver.observing import logs
    from resolver.settings import load_settings

    threading.Thread(target=_end_with_parent, daemon=True).start()
    settings = load_settings()
    logs.configure(settings)
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        sys.exit(serve(settings, listener))


def _end_with_parent() -> None:
    """End as at SIGTERM when the supervisor was killed: else the port would stay taken."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
