from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resolver.backfill import outcome_file
from resolver.backfill import plan as plans
from resolver.backfill.folder import Folder
from resolver.backfill.join import Joined, join
from resolver.backfill.part import outcome_name
from resolver.errors import BackfillError
from resolver.matching.outcome import Link, Outcome, Reason

ETH = Link("05a28rw58", "ETH Zurich", "ETH", 2.5, 0.75, 1)
EPFL = Link("02s376052", "EPFL", "EPFL", 1.5, 0.5, 2)

RAWS = ["ETH", " ETH", "nothing", "killer", None, "", "ETH &amp; EPFL", "ETH & EPFL"]

OUTCOMES = {
    "ETH": Outcome("ETH", (ETH,)),
    "nothing": Outcome("nothing", reason=Reason.NOT_IN_REGISTRY),
    "": Outcome("", reason=Reason.EMPTY),
    "ETH & EPFL": Outcome("ETH & EPFL", (ETH, EPFL)),
}


@pytest.fixture
def run(folder: Folder, pin_folder: Folder, tmp_path: Path) -> Folder:
    """Mentions in two folders with columns of their own, and a run with an outcome for each."""
    for name, raws, more in (("a", RAWS[:4], {}), ("b", RAWS[4:], {"year": [1, 2, 3, 4]})):
        table = pa.table({"id": [f"{name}{n}" for n in range(4)], "raw name": raws, **more})
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "mentions.parquet")
    run = folder / "run"
    inputs = [str(tmp_path / "a"), str(tmp_path / "b/*.parquet")]
    answered(run, plans.make(inputs, run, pin_folder, column="raw name", parts=3))
    return run


def answered(run: Folder, plan: plans.Plan) -> None:
    for part in plan.parts:
        table = pq.read_table(pa.BufferReader(run.read(f"{plans.DUE}/{part}.parquet")))
        texts = table["text"].to_pylist()
        content = outcome_file.to_buffer(
            table["key"].to_pylist(), texts, [*map(OUTCOMES.get, texts)], pin=plan.pin
        )
        run.write(outcome_name(part), content)


def joined(out: Folder) -> dict[str, dict[str, object]]:
    tables = [pq.read_table(pa.BufferReader(out.read(file.name)))
              for file in out.files() if file.name.endswith(".parquet")]  # fmt: skip
    rows = [row for table in tables for row in table.to_pylist()]
    return {str(row.pop("id")): row for row in rows}


def test_each_row_has_the_organisations_of_its_text(run: Folder, folder: Folder) -> None:
    out = folder / "out"
    assert join(run, out) == Joined(plans.read(run).pin, rows=8, linked=4, failed=1, files=2)
    rows = joined(out)
    assert len(rows) == 8
    assert rows["a1"] == {
        "raw name": " ETH", "ror_status": "linked", "ror_reason": None,
        "ror_ids": ["05a28rw58"], "ror_names": ["ETH Zurich"], "ror_probabilities": [0.75],
    }  # fmt: skip
    assert rows["b2"] == {
        "raw name": "ETH &amp; EPFL", "year": 3, "ror_status": "linked", "ror_reason": None,
        "ror_ids": ["05a28rw58", "02s376052"], "ror_names": ["ETH Zurich", "EPFL"],
        "ror_probabilities": [0.75, 0.5],
    }  # fmt: skip
    assert {name: row["ror_reason"] or row["ror_status"] for name, row in rows.items()} == {
        "a0": "linked", "a1": "linked", "a2": "not_in_registry", "a3": "process_died",
        "b0": "empty", "b1": "empty", "b2": "linked", "b3": "linked",
    }  # fmt: skip


def test_to_join_again_replaces_what_was_joined(run: Folder, folder: Folder) -> None:
    out = folder / "out"
    out.write("joined-00099.parquet", b"of a call that was killed")
    run.write(outcome_name("7"), b"of no part")
    join(run, out)
    join(run, out)
    assert len(joined(out)) == 8


def missing(run: Folder, out: Folder) -> None:
    run.remove(outcome_name(next(iter(plans.read(run).parts))))


def others(run: Folder, out: Folder) -> None:
    out.write("thesis.doc", b"")


@pytest.mark.parametrize(
    ("harm", "problem"), [(missing, "1 of . parts missing"), (others, "has other files")]
)
def test_what_is_not_joined(
    run: Folder, folder: Folder, harm: Callable[[Folder, Folder], None], problem: str
) -> None:
    out = folder / "out"
    harm(run, out)
    with pytest.raises(BackfillError, match=problem):
        join(run, out)


def test_a_column_of_the_input_is_never_replaced(
    run: Folder, folder: Folder, pin_folder: Folder
) -> None:
    join(run, folder / "out")
    again = folder / "again"
    address = f"{folder.address}/out"
    answered(again, plans.make([address], again, pin_folder, column="raw name"))
    with pytest.raises(BackfillError, match="has a column 'ror_ids'"):
        join(again, folder / "out again")
