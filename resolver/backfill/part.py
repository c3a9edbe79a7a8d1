"""The answers of one part: its texts are read, resolved, and put in place as one file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resolver.backfill import outcome_file, pin
from resolver.backfill.folder import Folder
from resolver.backfill.isolated import BATCH, Isolated
from resolver.backfill.plan import DUE, OUTCOMES, Plan
from resolver.errors import BackfillError


@dataclass(frozen=True, slots=True)
class PartDone:
    """`texts` counts all of the part, `failed` those without an answer; `deaths` the processes that
    died meanwhile."""

    name: str
    texts: int
    failed: int
    deaths: int


class Parts:
    """Answers one part after the other, in this process and a child of it."""

    def __init__(self, run: Folder, plan: Plan, isolated: Isolated) -> None:
        self._run = run
        self._plan = plan
        self._isolated = isolated

    def answer(self, name: str) -> PartDone:
        """Answer a part and put its file in place; a part that is done stays as it is.

        Raises:
            BackfillError: its texts cannot be read, or the matcher reports an error. Nothing was
                written.
        """
        if done := finished(self._run, self._plan, name):
            return PartDone(name, done.texts, done.failed, 0)
        keys, texts = self._due(name)
        before = self._isolated.deaths
        outcomes = []
        for start in range(0, len(texts), BATCH):
            outcomes += self._isolated.answer(texts[start : start + BATCH])
        content = outcome_file.to_buffer(keys, texts, outcomes, pin=self._plan.pin)
        self._run.write(outcome_name(name), content)
        failed = sum(1 for outcome in outcomes if outcome is None)
        return PartDone(name, len(texts), failed, self._isolated.deaths - before)

    def _due(self, name: str) -> tuple[list[bytes], list[str]]:
        import pyarrow as pa
        from pyarrow import parquet

        file = f"{DUE}/{name}.parquet"
        content = self._run.read(file)
        try:
            table = parquet.read_table(io.BytesIO(content or b""))
        except pa.ArrowInvalid as error:
            problem = "is missing" if content is None else "is no whole Parquet file"
            raise BackfillError(
                f"{self._run.address}/{file} {problem}", remedy="plan the run again, elsewhere"
            ) from error
        if len(table) != (due := self._plan.parts[name]):
            raise BackfillError(
                f"{self._run.address}/{file} has {len(table):,} texts of {due:,}",
                remedy="plan the run again, elsewhere",
            )
        return table["key"].to_pylist(), table["text"].to_pylist()


@contextmanager
def opened(run: Folder, plan: Plan, pin_folder: Folder, scratch: Path) -> Iterator[Parts]:
    """What answers the parts of a run on this machine, once it is known to have the run's pin.

    `scratch` is where the machine keeps a copy of the pin.

    Raises:
        BackfillError: the pin is another one, or cannot be opened here.
    """
    this = pin.read(pin_folder)
    pin.require_same(this, plan.pin, what=f"the run {run.address}")
    with Isolated(this, pin.fetch(pin_folder, this, scratch)) as isolated:
        yield Parts(run, plan, isolated)


def outcome_name(part: str) -> str:
    return f"{OUTCOMES}/{part}.parquet"


def finished(run: Folder, plan: Plan, name: str) -> outcome_file.Written | None:
    """What the part's file of outcomes says; None where there is none.

    Raises:
        BackfillError: it is not whole, of another pin, or has other texts than the part.
    """
    file = outcome_name(name)
    try:
        found = outcome_file.written(run, file)
    except FileNotFoundError:
        return None
    if found.pin != plan.pin:
        raise BackfillError(
            f"{run.address}/{file} was answered by the pin {found.pin[:12]}, "
            f"and the run is planned with {plan.pin[:12]}",
            remedy="remove it: the next run answers its part again",
        )
    if found.texts != plan.parts[name]:
        raise BackfillError(
            f"{run.address}/{file} has {found.texts:,} texts of {plan.parts[name]:,}",
            remedy="remove it: the next run answers its part again",
        )
    return found
