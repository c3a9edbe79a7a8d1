"""``resolver monitor``: the health of the installation, for Prometheus."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from resolver.observing import logs
from resolver.settings import load_settings
from resolver.workers.monitor import Monitor


def monitor(
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Serve the state of the whole installation to Prometheus, until stopped. Run one.

    It listens on RESOLVER_METRICS_PORT, or 9809.
    """
    settings = load_settings()
    logs.configure(settings, log_level.upper())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Monitor(settings).run(stop)
