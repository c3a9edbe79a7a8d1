"""A scorer that a worker starts, watches over, and ends when it has ended itself."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resolver.database import resolver_versions
from resolver.errors import ModelError
from resolver.service.installation import Installation
from resolver.service.version import configured
from resolver.settings import Settings
from resolver.workers.process import START_LIMIT

log = logging.getLogger(__name__)

RESTART_SECONDS = 2.0
"""Least time between two starts: one that cannot start would fill the log."""

STOP_SECONDS = 70.0
"""Longest that it is waited for at the end: a little more than it drains for."""


@contextmanager
def scorer(settings: Settings) -> Iterator[Settings]:
    """The settings by which the processes of a worker use a scorer that runs as long as the block.

    It computes the reranker of the resolver version in use, or of the settings where none is. When
    it dies it is started again; meanwhile the workers wait.

    Raises:
        ModelError: it does not start; its log says why.
        DatabaseProblem: Postgres does not answer, or is not migrated.
    """
    reranker = _reranker(settings)
    # Of this user alone, and short, as the path of a socket must be.
    with tempfile.TemporaryDirectory(prefix="resolver-") as folder:
        path = Path(folder) / "scorer.sock"
        running = _Scorer(reranker, path)
        try:
            running.wait_until_it_listens()
            running.watch()
            yield settings.model_copy(update={"scorer": path})
        finally:
            running.close()


def _reranker(settings: Settings) -> str:
    with Installation(settings) as installation:
        version = resolver_versions.current_resolver(installation.engine)
    if version is None or version.index_version is None:
        return settings.reranker
    return configured(settings, version).reranker


class _Scorer:
    """The process, and a thread that starts it again when it dies."""

    def __init__(self, reranker: str, path: Path) -> None:
        self._path = path
        self._environment = {
            **os.environ,
            "RESOLVER_RERANKER": reranker,
            "RESOLVER_SCORER": str(path),
        }
        self._closing = threading.Event()
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "resolver.scorer.serving"],
            env=self._environment,
            # Nothing is written there: its end says that the worker is gone.
            stdin=subprocess.PIPE,
            # Ctrl-C is for the worker, whose processes still need it to finish their chunks.
            start_new_session=True,
        )

    def wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while not self._listens():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                reason = "took too long" if code is None else f"ended with exit code {code}"
                raise ModelError(
                    f"the scorer did not start: it {reason}", remedy="its last lines say why"
                )
            time.sleep(0.1)

    def watch(self) -> None:
        threading.Thread(target=self._watch, name="scorer", daemon=True).start()

    def close(self) -> None:
        self._closing.set()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listens(self) -> bool:
        """Whether it takes connections, which it does once its reranker is loaded."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            return client.connect_ex(str(self._path)) == 0

    def _watch(self) -> None:
        while True:
            code = self._process.wait()
            if self._closing.wait(RESTART_SECONDS):
                return
            log.error("the scorer ended with exit code %d; another one starts", code)
            self._process = self._started()
