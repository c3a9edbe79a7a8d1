"""``resolver …`` as a process of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]


def run_in(home: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """``resolver …`` as a process of its own, with nothing but `home` set."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment |= {"RESOLVER_HOME": str(home), "COLUMNS": "160"}
    environment |= options.pop("env", {})  # type: ignore[arg-type, operator]
    return subprocess.run(
        [sys.executable, "-m", "resolver.cli", *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def in_a_terminal(
    command: Sequence[str],
    *,
    columns: int,
    env: Mapping[str, str],
    cwd: Path | None = None,
    colours: bool = False,
) -> tuple[int, str]:
    """The exit code, and what a command shows in a real terminal of so many columns, with or without
    its colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**env, "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment, cwd=cwd)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    text = shown.decode(errors="replace")
    return process.wait(), text if colours else without_colours(text)


def without_colours(shown: str) -> str:
    """What a terminal shows, without the sequences that move its cursor and set its colours."""
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown)
