"""A server of the HTTP doors on a free port, in this process or in one of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from resolver.doors.app import create_app
from resolver.settings import Settings

START_SECONDS = 300
"""Two shared cores may need them."""


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[httpx.Client, FastAPI]]:
    """A client of a server in a thread, and the server's application."""
    app = create_app(settings)
    with serving_app(app) as client:
        yield client, app


@contextmanager
def serving_app(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of a server of this application in a thread."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert thread.is_alive(), app.state.failure
        assert time.monotonic() < deadline
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def command(
    home: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
    log: Path,
    name: str = "serve",
    port: int | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``resolver serve``, or the command of this name, as a process that is ready, and its
    address, on a free port unless one is named."""
    port = port or free_port()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "resolver.cli", name, "--port", str(port), *options],
            env={**os.environ, "RESOLVER_HOME": str(home), **(environment or {})},
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _is_ready(url):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.1)
        yield process, url
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False
