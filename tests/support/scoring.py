"""Scorers for tests: real processes on a real Unix socket."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.paths import ROOT

PATIENCE = 60
"""Seconds: two shared cores may need them."""


def start(socket: Path, reranker: str = "builtin") -> subprocess.Popen[bytes]:
    """``resolver scorer``; it listens when the socket is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "resolver.cli", "scorer"],
        env={
            **{name: value for name, value in os.environ.items() if name[:9] != "RESOLVER_"},
            "PYTHONPATH": str(ROOT),
            "RESOLVER_SCORER": str(socket),
            "RESOLVER_RERANKER": reranker,
            "RESOLVER_THREADS": "1",
        },
        cwd=socket.parent,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + PATIENCE
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            _, errors = process.communicate()
            raise AssertionError(f"no scorer: {errors.decode()}")
        time.sleep(0.05)
    return process


@contextmanager
def scoring(socket: Path, reranker: str = "builtin") -> Iterator[subprocess.Popen[bytes]]:
    """A scorer for as long as the block lasts."""
    process = start(socket, reranker)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
