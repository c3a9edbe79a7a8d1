"""How far a command of several steps is, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

StepProgress = Callable[[str], AbstractContextManager[Callable[..., None]]]
"""Takes the title of a step; gives a context whose value is called with (done, in all), as
`resolver.cli.terminal.progress` does."""


def no_progress(title: str) -> AbstractContextManager[Callable[..., None]]:  # noqa: ARG001
    """Progress of steps that is not shown."""
    return nullcontext(lambda *_, **__: None)
