"""How far a run is, by its files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from resolver.backfill import part
from resolver.backfill.folder import Folder
from resolver.backfill.outcome_file import Written
from resolver.backfill.plan import OUTCOMES, READERS, Plan, read
from resolver.errors import BackfillError

RECENT = 64
"""Parts, the last that were done, whose pace is that of a run."""


@dataclass(frozen=True, slots=True)
class PartState:
    """A part whose file of outcomes is whole; `at` is when the file was written."""

    texts: int
    failed: int
    at: datetime


@dataclass(frozen=True)
class RunState:
    """`done` has the parts whose files are there and whole, `damaged` what is wrong with others
    that are there."""

    plan: Plan
    done: Mapping[str, PartState]
    damaged: Mapping[str, str]

    @cached_property
    def missing(self) -> list[str]:
        """Names of the parts that are not done, in order."""
        return [name for name in self.plan.parts if name not in self.done]

    @property
    def what_is_missing(self) -> str:
        """As a sentence, with the names of the parts."""
        return (
            f"{len(self.missing):,} of {len(self.plan.parts):,} parts missing: "
            f"{listed(self.missing)}"
        )

    @property
    def texts(self) -> int:
        """Texts that are answered or have failed, without those that were taken over."""
        return sum(state.texts for state in self.done.values())

    @property
    def failed(self) -> int:
        return sum(state.failed for state in self.done.values())

    @property
    def left(self) -> int:
        return self.plan.due - self.texts

    @cached_property
    def texts_a_second(self) -> float | None:
        """Of the last `RECENT` parts, all workers together; None before two parts are done."""
        last = sorted(self.done.values(), key=lambda state: state.at)[-RECENT:]
        if len(last) < 2 or not (seconds := (last[-1].at - last[0].at).total_seconds()):
            return None
        # The first of them shows when the others began.
        return sum(state.texts for state in last[1:]) / seconds

    @property
    def hours_left(self) -> float | None:
        pace = self.texts_a_second
        return self.left / pace / 3600 if pace else None


def state(run: Folder, plan: Plan | None = None) -> RunState:
    """
    Raises:
        BackfillError: the run has no plan.
    """
    plan = plan or read(run)
    files = {
        file.name.removeprefix(f"{OUTCOMES}/").removesuffix(".parquet"): file
        for file in run.files(OUTCOMES)
    }
    there = [name for name in plan.parts if name in files]
    with ThreadPoolExecutor(READERS) as readers:
        looked = list(readers.map(lambda name: _looked_at(run, plan, name), there))
    done, damaged = {}, {}
    for name, found in zip(there, looked, strict=True):
        if isinstance(found, BackfillError):
            damaged[name] = str(found)
        elif found is not None:
            done[name] = PartState(found.texts, found.failed, files[name].modified)
    return RunState(plan, done, damaged)


def _looked_at(run: Folder, plan: Plan, name: str) -> Written | BackfillError | None:
    try:
        return part.finished(run, plan, name)
    except BackfillError as error:
        return error


def require_whole(run: Folder, state: RunState) -> None:
    """
    Raises:
        BackfillError: parts are missing; names them.
    """
    if state.missing:
        raise BackfillError(
            f"{run.address}: {state.what_is_missing}",
            remedy=f"run: resolver backfill run {run.address}",
        )


def listed(parts: Sequence[str], *, most: int = 20) -> str:
    """Names of parts for a message, the first `most` of them."""
    shown = ", ".join(parts[:most])
    return f"{shown} and {len(parts) - most:,} more" if len(parts) > most else shown
