"""The progress of a call, reported to a function or shown as a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int], None]
"""Called with (affiliations answered, affiliations in all), from 0 on."""


@contextmanager
def reporting(progress: Report | bool) -> Iterator[Report]:
    if callable(progress):
        yield progress
    elif progress:
        with _bar() as report:
            yield report
    else:
        yield _unreported


def _unreported(done: int, total: int) -> None:
    """Report nothing: no progress was asked for."""


@contextmanager
def _bar() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=Console(stderr=True), redirect_stdout=False, redirect_stderr=False
    ) as bar:
        task = bar.add_task("affiliations", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
