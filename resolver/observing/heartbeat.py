"""A file that a process touches while it lives, for whoever restarts what does not."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 5.0
"""Seconds between two beats."""

STALE = 60.0
"""Seconds without a beat after which a process is taken for stuck: a slow disk or a broker that
takes its time delays some."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The last beat in a file: `age` in seconds, and the process that it is of."""

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

    Its time is the file's: the clock of this machine, the one that is asked.
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
    # A clock that was set back would make it look young for ever; a beat of the future is none.
    return Beat(abs(age), pid)
