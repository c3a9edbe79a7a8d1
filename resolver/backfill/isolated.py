"""A matcher in a process of its own, so that a text that kills it costs no more than itself.

Native code may end a process without an error: a fault in a library, or the kernel where memory is
short. The process is then started anew and what it worked on is divided (256 → 16 → 1,
`resolver.answering.suspects`). A text whose process dies a second time, while it has no other text,
has failed.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from resolver.answering.suspects import divided
from resolver.backfill.pin import Pin
from resolver.errors import BackfillError
from resolver.matching.outcome import Outcome

log = logging.getLogger(__name__)

BATCH = 256
"""Texts that the process is given together."""

OPENINGS = 3
"""Times that a process may die while it opens the pin."""

PATIENCE = 600.0
"""Seconds without an answer after which a process is taken for dead: a batch takes some seconds on
a core, and opening the pin about ten on a slow disk."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a process reports in the place of outcomes: a `ResolverError` by its two sentences."""

    problem: str
    remedy: str | None


class _Died(Exception):
    """The process ended, or did not answer in time."""


class Isolated:
    """The matcher of a pin whose files are at `copy`, for a `with` statement."""

    def __init__(self, pin: Pin, copy: Path, *, patience: float = PATIENCE) -> None:
        """
        Raises:
            BackfillError: the pin cannot be opened here; names the reason.
        """
        self._pin = pin
        self._copy = copy
        self._patience = patience
        self.deaths = 0
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._pipe.close()
        self._end()

    def answer(self, texts: Sequence[str]) -> list[Outcome | None]:
        """An outcome for each normalised text, in order; None for one that failed.

        Raises:
            BackfillError: the matcher reports an error; it may pass.
        """
        try:
            return self._asked(texts)
        except _Died:
            self._revive(texts)
        if len(texts) == 1:
            try:
                return self._asked(texts)
            except _Died:
                self._revive(texts)
                return [None]
        return [outcome for part in divided(texts) for outcome in self.answer(part)]

    def _asked(self, texts: Sequence[str]) -> list[Outcome | None]:
        answer = self._exchanged(list(texts))
        assert isinstance(answer, list)
        return answer

    def _exchanged(self, message: object) -> Any:
        try:
            self._pipe.send(message)
            if not self._pipe.poll(self._patience):
                raise _Died
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise _Died from error
        if isinstance(answer, Failure):
            raise BackfillError(answer.problem, remedy=answer.remedy)
        return answer

    def _revive(self, texts: Sequence[str]) -> None:
        self.deaths += 1
        ended = self._end()
        log.warning(
            "the process died (%s) while it worked on %d texts, the first %r",
            ended, len(texts), texts[0][:80],
        )  # fmt: skip
        self._pipe.close()
        self._open()

    def _end(self) -> int:
        self._process.kill()
        return self._process.wait()

    def _open(self) -> None:
        for _ in range(OPENINGS):
            self._pipe, theirs = Pipe()
            # A program of its own, not a fork: it has none of this process's memory and threads,
            # and its pipe ends, and with it the program, when this process does, however that is.
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "resolver.backfill.process", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    env=os.environ.copy(),
                )
            try:
                self._exchanged((self._pin, self._copy))
            except _Died:
                ended = self._end()
                self._pipe.close()
                continue
            except BaseException:
                self.close()
                raise
            return
        raise BackfillError(
            f"the process that opens the pin died {OPENINGS} times (the last time: {ended})",
            remedy="it needs about 1 GB of memory, and half of that for each more of a machine; "
            "its log has more",
        )
