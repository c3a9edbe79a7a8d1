"""A file that a process writes again and again while it works, so that a monitor can restart it
when it does not."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 5.0
"""Seconds between two writes."""

STALE = 60.0
"""Seconds without a write after which a process counts as stuck; a slow disk or broker delays
some."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The last beat in a file: its `age` in seconds, and the id of the process that wrote it."""

    age: float
    pid: int | None

    @property
    def fresh(self) -> bool:
        return self.age <= STALE


def beat(path: Path) -> None:
    """Write the file anew: a reader finds the old one or the new one, never half of it.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps({"pid": os.getpid(), "at": time.time()}))
    beside.replace(path)


def last(path: Path) -> Beat | None:
    """The last beat; None where there is no file.

    Its time is the file's modification time, by the clock of this machine.
    """
    try:
        age = time.time() - path.stat().st_mtime
        content = path.read_text()
    except FileNotFoundError:
        return None
    try:
        pid = int(json.loads(content)["pid"])
    except (ValueError, KeyError, TypeError):
        pid = None
    # Were the clock set back, an old beat in the future would else look fresh.
    return Beat(abs(age), pid)
