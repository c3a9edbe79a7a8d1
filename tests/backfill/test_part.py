from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.backfilling import AFFILIATIONS, counts, rows, write_mentions

from resolver.backfill import part as parts
from resolver.backfill import pinning
from resolver.backfill import plan as plans
from resolver.backfill.folder import Folder
from resolver.backfill.part import Parts
from resolver.errors import BackfillError
from resolver.service.installation import Installation

pytestmark = pytest.mark.slow

RAWS = [*AFFILIATIONS[:30], *AFFILIATIONS[:5], None]


@pytest.fixture
def stored_pin(pin_folder: Folder, folder: Folder) -> Folder:
    """The pin, on disk and in a store."""
    stored = folder / "pin"
    for file in pin_folder.files():
        stored.upload(Path(pin_folder.address, file.name), file.name)
    return stored


@pytest.fixture
def run(folder: Folder, stored_pin: Folder, tmp_path: Path) -> Folder:
    mentions = write_mentions(tmp_path / "in", RAWS)
    plans.make([str(mentions)], folder / "run", stored_pin, parts=2)
    return folder / "run"


@pytest.fixture
def answering(run: Folder, stored_pin: Folder, tmp_path: Path) -> Iterator[Parts]:
    with parts.opened(run, plans.read(run), stored_pin, tmp_path / "scratch") as opened:
        yield opened


def test_parts_are_answered_once_and_one_that_cannot_be_read_is_named(
    run: Folder, answering: Parts
) -> None:
    done = [answering.answer(name) for name in plans.read(run).parts]
    assert sum(part.texts for part in done) == 31
    assert counts(run, RAWS) == {
        "due": 31, "rows": 31, "doubled": 0, "lost": 0, "alien": 0, "failed": 0,
    }  # fmt: skip
    assert sum(1 for row in rows(run) if row["status"] == "linked") > 20
    written = run.files(plans.OUTCOMES)
    assert [answering.answer(name) for name in plans.read(run).parts] == done
    assert run.files(plans.OUTCOMES) == written

    (name, *_) = plans.read(run).parts
    run.remove(parts.outcome_name(name))
    run.remove(f"{plans.DUE}/{name}.parquet")
    with pytest.raises(BackfillError, match=rf"due/{name}\.parquet is missing"):
        answering.answer(name)
    assert len(run.files(plans.OUTCOMES)) == len(written) - 1


def test_a_run_is_never_answered_by_another_pin(
    folder: Folder, pin_folder: Folder, installation: Installation, tmp_path: Path, scratch: Path
) -> None:
    run = folder / "run"
    plan = plans.make([str(write_mentions(tmp_path / "in", RAWS))], run, pin_folder)
    settings = installation.settings.model_copy(update={"max_links": 1})
    with Installation(settings, engine=installation.engine) as other:
        made = pinning.make(other, folder / "other pin")
    assert made.fingerprint != plan.pin
    with (
        pytest.raises(BackfillError, match=f"of the pin {plan.pin[:12]}, not of"),
        parts.opened(run, plan, folder / "other pin", scratch),
    ):
        pass
