from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.backfilling import AFFILIATIONS, write_mentions

from resolver.backfill import outcome_file
from resolver.backfill import plan as plans
from resolver.backfill.folder import Folder
from resolver.backfill.part import outcome_name
from resolver.backfill.plan import Plan
from resolver.backfill.state import listed, require_whole, state
from resolver.errors import BackfillError


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run"))


@pytest.fixture
def plan(pin_folder: Folder, run: Folder, tmp_path: Path) -> Plan:
    return plans.make(
        [str(write_mentions(tmp_path / "in", AFFILIATIONS))], run, pin_folder, parts=4
    )


def write_outcomes(run: Folder, plan: Plan, part: str, *, pin: str = "", fewer: int = 0) -> Path:
    texts = [f"{part} {n}" for n in range(plan.parts[part] - fewer)]
    content = outcome_file.to_buffer(
        [text.encode().ljust(16) for text in texts], texts, [None] * len(texts), pin=pin or plan.pin
    )
    run.write(outcome_name(part), content)
    return Path(run.address, outcome_name(part))


def test_a_run_is_as_far_as_its_files_say(run: Folder, plan: Plan) -> None:
    assert state(run).missing == [*plan.parts]
    for number, part in enumerate(plan.parts):
        file = write_outcomes(run, plan, part)
        os.utime(file, (1000 + 10 * number, 1000 + 10 * number))
        if number == 2:
            unfinished = state(run)
    _, *others, last = plan.parts.values()
    assert unfinished.left == last
    assert unfinished.texts_a_second == sum(others) / 20
    assert unfinished.hours_left == last / (sum(others) / 20) / 3600
    with pytest.raises(BackfillError, match="1 of 4 parts missing: 3"):
        require_whole(run, unfinished)
    done = state(run)
    require_whole(run, done)
    assert (done.missing, done.left, done.texts, done.failed) == ([], 0, plan.due, plan.due)


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (
            lambda run, plan: write_outcomes(run, plan, "1", pin="other"),
            "answered by the pin other",
        ),
        (lambda run, plan: write_outcomes(run, plan, "1", fewer=1), "texts of"),
        (lambda run, plan: run.write(outcome_name("1"), b"half"), "no whole file"),
    ],
    ids=["another pin", "fewer texts", "half a file"],
)
def test_a_file_that_is_there_and_damaged_is_missing(
    run: Folder, plan: Plan, harm: object, problem: str
) -> None:
    for part in plan.parts:
        write_outcomes(run, plan, part)
    harm(run, plan)  # type: ignore[operator]
    looked = state(run)
    assert looked.missing == ["1"]
    assert problem in looked.damaged["1"]


def test_a_long_list_of_parts_is_cut() -> None:
    assert listed(["1", "2", "3"]) == "1, 2, 3"
    assert listed([*map(str, range(1000))], most=2) == "0, 1 and 998 more"
