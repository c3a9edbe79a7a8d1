"""A run: its missing parts are answered, then its files are counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from resolver.backfill import pin, plan, ray_workers
from resolver.backfill.folder import Folder
from resolver.backfill.part import PartDone, outcome_name
from resolver.backfill.ray_workers import Work, Workers
from resolver.backfill.state import RunState, state
from resolver.errors import BackfillError

log = logging.getLogger(__name__)


def answer_missing(
    run: Folder,
    workers: Workers,
    *,
    scratch: Path,
    pin_folder: Folder | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> RunState:
    """Answer the parts of a run that are not done; returns the state that its files are in then.

    `pin_folder` is where the pin is now, None: where the run was planned with it. `progress` is
    called with (texts done, texts in all) after each part. Damaged files are removed first.

    Raises:
        BackfillError: parts are missing in the end, whatever Ray reports; or the pin is another
            one than the run's.
        and as `resolver.backfill.ray_workers.answer`.
    """
    planned = plan.read(run)
    pin_folder = pin_folder or Folder(planned.pin_address)
    pin.require_same(pin.read(pin_folder), planned.pin, what=f"the run {run.address}")
    before = state(run, planned)
    for name, problem in before.damaged.items():
        log.warning("part %s is answered again: %s", name, problem)
        run.remove(outcome_name(name))
    done = before.texts
    progress(done, planned.due)
    if not before.missing:
        return before

    def note(part: PartDone) -> None:
        nonlocal done
        done += part.texts
        progress(done, planned.due)
        log.info(
            "part %s: %d texts, %d failed, %d processes died; %d of %d texts are done",
            part.name, part.texts, part.failed, part.deaths, done, planned.due,
        )  # fmt: skip

    work = Work(run.address, pin_folder.address, scratch)
    problems = ray_workers.answer(before.missing, work, workers, report=note)
    after = state(run, planned)
    if after.missing:
        reasons = {problems[name] for name in after.missing if name in problems}
        raise BackfillError(
            after.what_is_missing + "".join(f"; {reason}" for reason in sorted(reasons)[:3]),
            remedy=f"the others are done; run again: resolver backfill run {run.address}",
        )
    return after
