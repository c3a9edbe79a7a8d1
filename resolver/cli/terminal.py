"""Output of the commands: progress and messages on stderr, results on stdout.

Nothing that is printed is read as markup: a name in brackets stays as it is. Styles are given as
`rich.text.Text`. Output for programs (JSON, CSV) is written to stdout as UTF-8, whatever the
terminal's encoding.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

import orjson
from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

UNBOUNDED = 100_000
"""Width of a file or pipe: nothing there is ever cut or wrapped."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters that a terminal would act on; tab and line feed are allowed."""

_LOOKALIKES = str.maketrans(
    {
        "–": "-", "—": "-", "−": "-", "‑": "-", "…": "...", "·": "*", "•": "*", "●": "*",
        "✓": "v", "✗": "x", "×": "x", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
        "→": "->", "←": "<-", "≥": ">=", "≤": "<=", "¦": "|", "█": "#", "░": ".", "━": "=",
        "─": "-", "│": "|", "┃": "|", "╸": "=", "╺": "=",
    }
)  # fmt: skip
"""Replacements for the signs of our texts and tables, for a terminal that lacks them."""

READABLE = "readable"
"""Name of the error handler for characters that a stream's encoding lacks."""


class Terminal(Console):
    """Prints text as it is: without markup, whole, and without control characters."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    @property
    def watched(self) -> bool:
        """Whether it is a terminal, not a file or another program."""
        return self.file.isatty()

    @property
    def size(self) -> ConsoleDimensions:
        return super().size if self.watched else ConsoleDimensions(UNBOUNDED, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    @property
    def encoding(self) -> str:
        # Rich takes a console without a file of its own for UTF-8.
        return (getattr(self.file, "encoding", None) or "utf-8").lower()

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if not segment.control and _CONTROL.search(segment.text):
                yield Segment(_CONTROL.sub("\ufffd", segment.text), segment.style)
            else:
                yield segment


console = Terminal()
"""Results."""

errors = Terminal(stderr=True)
"""Messages and progress, so that results can be piped."""


def prepare() -> None:
    """Let the standard streams take every text, whatever their encoding."""
    codecs.register_error(READABLE, _readable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=READABLE)
    if isinstance(sys.stdin, io.TextIOWrapper):
        if not sys.stdin.isatty():
            sys.stdin.reconfigure(encoding="utf-8")
        sys.stdin.reconfigure(errors="replace")


def _readable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace a character by a sign that looks like it, or else by its number; never fail."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    # The rest of the box drawings are corners and crossings.
    shown = re.sub("[\u2500-\u257f]", "+", missing.translate(_LOOKALIKES))
    return shown.encode("ascii", "backslashreplace").decode("ascii"), error.end


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A progress bar while the block runs.

    Yields ``report(done, total=None)``; `done` counts from the beginning, not from the last call.
    """
    columns = [
        SpinnerColumn("dots" if errors.encoding.startswith("utf") else "line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    # In a log a bar would be noise.
    with Progress(*columns, console=errors, disable=not errors.watched) as bar:
        task = bar.add_task(title, total=total)

        def report(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def say(message: RenderableType) -> None:
    """Print a line on stderr; only the terminal wraps it."""
    errors.print(message, soft_wrap=True)


def write_json(value: object) -> None:
    """Write a JSON value as a line of stdout, in UTF-8."""
    sys.stdout.flush()
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


@contextmanager
def stdout_for_programs() -> Iterator[TextIO]:
    """Stdout as UTF-8 with unchanged line ends, for CSV and the like."""
    sys.stdout.flush()
    written = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        yield written
    finally:
        written.flush()
        written.detach()
