"""Mentions ⋈ outcomes → Parquet files: each row of the input with its organisations.

::

    joined/
    ├── joined-00000.parquet …    all columns of the input, and `ADDED`; in no order
    └── joined.json               rows and files; written last
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from resolver.backfill import plan as plans
from resolver.backfill import tables
from resolver.backfill.folder import Folder
from resolver.backfill.plan import SPELLINGS, Plan, outcome_files, quoted
from resolver.backfill.state import require_whole, state
from resolver.errors import BackfillError
from resolver.release.progress import StepProgress, no_progress

if TYPE_CHECKING:
    import pyarrow as pa

    from resolver.backfill.tables import Tables

NAME = "joined.json"

ADDED = {
    "ror_status": "o.status",
    "ror_reason": "o.reason",
    "ror_ids": "list_transform(o.links, lambda l: l.ror_id)",
    "ror_names": "list_transform(o.links, lambda l: l.name)",
    "ror_probabilities": "list_transform(o.links, lambda l: l.probability)",
}
"""The new columns, and what of an outcome is in each. Lists are of the links, best first."""

ROWS = 1_000_000
"""Rows of a file."""


@dataclass(frozen=True, slots=True)
class Joined:
    """`linked` counts rows with an organisation, `failed` those whose text has no answer."""

    pin: str
    rows: int
    linked: int
    failed: int
    files: int


def join(
    run: Folder,
    out: Folder,
    *,
    scratch: Path | None = None,
    memory: str | None = None,
    progress: StepProgress = no_progress,
) -> Joined:
    """Write the mentions of a run with their organisations. Files of an earlier call are replaced.

    Raises:
        BackfillError: parts are missing, a mention has changed or has no outcome, `out` has files
            of others, or the input has a column of `ADDED`.
    """
    reached = state(run)
    require_whole(run, reached)
    plan = reached.plan
    _empty(out)
    files = rows = linked = failed = 0
    with tables.opened(scratch=scratch, memory=memory) as opened:
        _outcomes(opened, run, plan)
        with progress("mentions joined") as report:
            for dataset in plans.mentions(plan):
                for table in _files(_joined(opened, dataset, plan)):
                    out.write(f"joined-{files:05}.parquet", plans.parquet(table))
                    files += 1
                    rows += len(table)
                    linked += _count(table, "linked")
                    failed += _count(table, "failed")
                    report(rows, plan.mentions)
    if rows != plan.mentions:
        raise BackfillError(
            f"{rows:,} of {plan.mentions:,} mentions have an outcome",
            remedy="report this: the run's files do not belong together",
        )
    done = Joined(plan.pin, rows, linked, failed, files)
    out.write(NAME, orjson.dumps(asdict(done), option=orjson.OPT_INDENT_2))
    return done


def _empty(out: Folder) -> None:
    files = [file.name for file in out.files()]
    others = [name for name in files if name != NAME and not name.startswith("joined-")]
    if others:
        raise BackfillError(
            f"{out.address} has other files, as {others[0]}",
            remedy="name a folder of its own for what is joined",
        )
    # Without it, what is there is known to be unfinished.
    for name in sorted(files, key=lambda name: name != NAME):
        out.remove(name)


def _outcomes(opened: Tables, run: Folder, plan: Plan) -> None:
    """Tables `outcome` and `spelling`."""
    names = outcome_files(run, plan)
    if names:
        columns = ", ".join(f"{value} AS {name}" for name, value in ADDED.items())
        opened.run(
            f"CREATE TABLE outcome AS SELECT o.text, {columns} FROM written o",  # noqa: S608
            written=run.dataset(names),
        )
    else:
        columns = ", ".join(f"NULL AS {name}" for name in ADDED)
        opened.run(f"CREATE TABLE outcome AS SELECT '' AS text, {columns} LIMIT 0")
    spellings = [file.name for file in run.files(SPELLINGS)]
    if spellings:
        opened.run(
            "CREATE TABLE spelling AS SELECT raw, text FROM written",
            written=run.dataset(spellings),
        )
    else:
        opened.run("CREATE TABLE spelling (raw VARCHAR, text VARCHAR)")


def _joined(opened: Tables, dataset: Any, plan: Plan) -> Iterator[pa.RecordBatch]:
    """The rows of a data set, in no order."""
    if taken := sorted(set(ADDED) & set(dataset.schema.names)):
        raise BackfillError(
            f"the input has a column {taken[0]!r}", remedy="rename it, and plan the run again"
        )
    added = ", ".join(f"o.{name}" for name in ADDED)
    raw = f"coalesce(m.{quoted(plan.column)}, '')"
    return opened.batches(
        f"SELECT m.*, {added} FROM mention m"  # noqa: S608
        f" LEFT JOIN spelling s ON s.raw = {raw}"
        f" JOIN outcome o ON o.text = coalesce(s.text, {raw})",
        mention=dataset,
    )


def _files(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Tables of about `ROWS` rows."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _count(table: pa.Table, status: str) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(pc.equal(table["ror_status"], status)).as_py() or 0)
