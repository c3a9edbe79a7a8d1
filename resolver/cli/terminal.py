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
from pathlib import Path
from typing import TextIO

import orjson
from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.segment import Segment
from rich.table import Column
from rich.text import Text

from resolver.disk import writing
from resolver.errors import SettingsError

UNBOUNDED = 100_000
"""Width of a file or pipe: nothing there is ever cut or wrapped."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters that a terminal would act on; tab and line feed are allowed."""


def harmless(text: str) -> str:
    """The text with a sign in place of each control character."""
    return _CONTROL.sub("\ufffd", text)


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
            if segment.control:
                yield segment
            else:
                yield Segment(harmless(segment.text), segment.style)


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


class _Figures(ProgressColumn):
    """What is left, how many a second, and how long it will take.

    Where the total is not known: what is done, how many a second, and since when. In the end: all
    that was done, how many a second, and how long it took.
    """

    def render(self, task: Task) -> Text:
        bytes_counted = task.description.endswith("bytes")
        number = _megabytes if bytes_counted else _count
        done, elapsed = task.completed, task.finished_time or task.elapsed or 0.0
        about = "about " if task.fields["about"] else ""
        if task.total is None or task.finished:
            rate = _rate(done / elapsed if elapsed else None, bytes_counted)
            return Text.assemble(number(done), rate, (f"  in {_clock(elapsed)}", "yellow"))
        left = task.remaining or 0.0
        # Of the last half minute; where there were less than two reports in it, since the first.
        speed = task.speed or task.fields["mean_speed"]
        return Text.assemble(
            f"{number(left)} of {about}{number(task.total)} left",
            _rate(speed, bytes_counted),
            (f"  {_clock(left / speed) if speed else '-:--'} to go", "cyan"),
        )


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _megabytes(number: float) -> str:
    return f"{number / 1e6:,.1f} MB"


def _rate(a_second: float | None, bytes_counted: bool) -> tuple[str, str]:
    """A second, or a minute where that gives more than one."""
    if not a_second:
        return "", ""
    if bytes_counted:
        return f"  {_megabytes(a_second)}/s", "green"
    number, unit = (a_second, "s") if a_second >= 1 else (60 * a_second, "min")
    return f"  {number:,.{0 if number >= 10 else 1}f}/{unit}", "green"


def _clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class _Title(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.description)


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A progress bar while the block runs: what is left, how many a second, and the time left.

    `title` says what is counted; of "bytes", megabytes are shown. Yields ``report(done, total=None,
    about=False)``; `done` counts from the beginning, not from the last call, and `about` tells that
    the total is an estimate.
    """
    columns = [
        SpinnerColumn("dots" if errors.encoding.startswith("utf") else "line"),
        _Title(Column(no_wrap=True)),
        # It has the room that the others leave.
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        _Figures(Column(no_wrap=True)),
    ]
    # In a log a bar would be noise.
    with Progress(*columns, console=errors, disable=not errors.watched, expand=True) as bar:
        bar.add_task(title, total=total, about=False, mean_speed=None)
        (task,) = bar.tasks
        first: tuple[float, int] | None = None

        def report(done: int, total: int | None = None, *, about: bool = False) -> None:
            nonlocal first
            now = errors.get_time()
            began, before = first = first or (now, done)
            if total is not None:
                # Not by `update`, which would begin anew to measure the speed.
                task.total = total
            bar.update(
                task.id,
                completed=done,
                about=about,
                mean_speed=(done - before) / (now - began) if now > began else None,
            )

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


@contextmanager
def output(path: Path | None) -> Iterator[TextIO]:
    """A new file for programs, or stdout: UTF-8 whatever the terminal's encoding is, line ends
    unchanged.

    Raises:
        SettingsError: the file cannot be made.
    """
    if path is None:
        with stdout_for_programs() as file:
            yield file
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    with writing(path), file:
        yield file
