"""Files of mentions → the distinct texts that are due, in parts.

::

    run/
    ├── plan.json             the pin, the mentions, the parts; written last
    ├── spellings/*.parquet   raw texts that differ from their normalised text, with it
    ├── due/<part>.parquet    key and text of each text of the part
    ├── taken/*.parquet       outcomes that an earlier run gave for texts of this one
    └── outcomes/<part>.parquet

A mention is a row of the input. Texts are normalised and identified as everywhere
(`resolver.text.affiliation`); a part has the texts whose hashes lie in one range.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter

from resolver.backfill import outcome_file, pin, tables
from resolver.backfill.folder import Folder, StoredFile, matching
from resolver.backfill.pin import Pin
from resolver.errors import BackfillError
from resolver.release.progress import StepProgress, no_progress
from resolver.text.affiliation import Affiliation, text_hash

if TYPE_CHECKING:
    import pyarrow as pa

    from resolver.backfill.tables import Tables

FORM = 1
"""Of the files of a run; rises when they change."""

NAME = "plan.json"
BEGUN = "plan.begun"
"""A file that is there while a plan is made."""
SPELLINGS, DUE, TAKEN, OUTCOMES = "spellings", "due", "taken", "outcomes"

PART = 20_000
"""Texts of a part: some minutes of a core, which is the most that is lost with a process."""

FEWEST = 256
"""Texts of a part of a small run, which is divided so that more processes share it."""

SHARED_BY = 64
"""Parts that a small run is divided into."""

MOST_PARTS = 100_000

READERS = 32
"""Files of a store that are read at a time."""

ROWS = 1_000_000
"""Rows of a file of spellings or of outcomes that were taken over."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of mentions: `name` is its path below `folder`, `size` in bytes."""

    folder: str
    name: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Plan:
    """`mentions` counts rows of the input, `texts` the distinct texts of them, `taken` those of the
    texts whose outcome was taken over. `parts` has the number of texts of each part by its name."""

    form: int
    pin: str
    """Its fingerprint."""
    pin_address: str
    column: str
    sources: Sequence[Source]
    mentions: int
    texts: int
    taken: int
    parts: Mapping[str, int]
    planned_at: datetime

    @property
    def due(self) -> int:
        return sum(self.parts.values())


_PLAN = TypeAdapter(Plan)


def make(
    inputs: Iterable[str],
    run: Folder,
    pin_folder: Folder,
    *,
    column: str = "affiliation",
    previous: Folder | None = None,
    parts: int | None = None,
    scratch: Path | None = None,
    memory: str | None = None,
    progress: StepProgress = no_progress,
) -> Plan:
    """Plan a run in an empty folder. `plan.json` is written last: a plan that was killed is made
    again.

    Of `previous`, an earlier run, the outcomes are taken over that this pin would give again: its
    pin differs in nothing, or in overrides of other texts. `parts` is the number of parts; None:
    as many as `part_count` says.

    Raises:
        BackfillError: the folder has a plan, an input cannot be read, or the earlier run is of
            another model, release or policy.
    """
    this = pin.read(pin_folder)
    sources = [(folder, file) for folder, files in map(matching, inputs) for file in files]
    _begin(run)
    with tables.opened(scratch=scratch, memory=memory) as opened:
        mentions = 0
        opened.run("CREATE TABLE raw (raw VARCHAR)")
        with progress("mentions read") as report:
            for dataset in _datasets(sources, column):
                mentions += dataset.count_rows()
                opened.run(
                    f"INSERT INTO raw SELECT DISTINCT coalesce({quoted(column)}, '') FROM mention",  # noqa: S608
                    mention=dataset,
                )
                report(mentions)
        opened.run("CREATE TABLE distinct_raw AS SELECT DISTINCT raw FROM raw; DROP TABLE raw")
        _normalise(opened, progress)
        texts = opened.value("SELECT count(*) FROM text")
        with progress("spellings written") as report:
            spellings = opened.batches("SELECT raw, text FROM spelled WHERE raw <> text")
            _write_files(run, SPELLINGS, spellings, report)
        opened.run("DROP TABLE spelled")
        taken = _take_over(opened, run, this, pin_folder, previous, progress) if previous else 0
        due = _write_parts(opened, run, parts or part_count(texts - taken), progress)
    plan = Plan(
        form=FORM,
        pin=this.fingerprint,
        pin_address=pin_folder.address,
        column=column,
        sources=[
            Source(folder.address, file.name, file.size, file.modified) for folder, file in sources
        ],
        mentions=mentions,
        texts=texts,
        taken=taken,
        parts=due,
        planned_at=datetime.now(UTC),
    )
    run.write(NAME, orjson.dumps(asdict(plan), option=orjson.OPT_INDENT_2))
    run.remove(BEGUN)
    return plan


def _begin(run: Folder) -> None:
    """Take an empty folder, or one in which a plan was begun and killed.

    Raises:
        BackfillError: there is something else.
    """
    names = {file.name for file in run.files()}
    if NAME in names:
        raise BackfillError(
            f"{run.address} is planned already",
            remedy="go on with it (resolver backfill run), or name another folder",
        )
    if names and BEGUN not in names:
        raise BackfillError(
            f"{run.address} has other files, as {min(names)}", remedy="name an empty folder"
        )
    run.write(BEGUN, b"")
    for name in names - {BEGUN}:
        run.remove(name)


def read(run: Folder) -> Plan:
    """
    Raises:
        BackfillError: there is no plan, or none that this program reads.
    """
    plan = run.read_object(NAME, _PLAN, remedy="plan the run again")
    if plan is None:
        raise BackfillError(
            f"{run.address} has no {NAME}, so nothing is planned there",
            remedy="run: resolver backfill plan",
        )
    if plan.form != FORM:
        raise BackfillError(
            f"{run.address} is a run of form {plan.form}, this program reads form {FORM}",
            remedy="finish it with the program that planned it, or plan it again",
        )
    return plan


def part_count(texts: int) -> int:
    """Parts of `PART` texts, but `SHARED_BY` of them where there would be fewer, as long as each
    has `FEWEST` texts."""
    enough = -(-texts // PART)
    return max(1, enough, min(SHARED_BY, texts // FEWEST))


def mentions(plan: Plan) -> Iterator[Any]:
    """The input of a plan as data sets, all columns.

    Raises:
        BackfillError: a file has changed since.
    """
    folders = {source.folder: Folder(source.folder) for source in plan.sources}
    there = {address: set(folder.files()) for address, folder in folders.items()}
    sources = []
    for source in plan.sources:
        file = StoredFile(source.name, source.size, source.modified)
        if file not in there[source.folder]:
            raise BackfillError(
                f"{source.folder}/{source.name} has changed since the run was planned",
                remedy="plan another run with --previous: only new texts are answered",
            )
        sources.append((folders[source.folder], file))
    return _datasets(sources, plan.column)


def quoted(name: str) -> str:
    """A name of a column in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _datasets(sources: Sequence[tuple[Folder, StoredFile]], column: str) -> Iterator[Any]:
    """One for each folder of files.

    Raises:
        BackfillError: a file has no column of this name, or it is no text.
    """
    import pyarrow as pa

    by_folder: dict[str, tuple[Folder, list[str]]] = {}
    for folder, file in sources:
        by_folder.setdefault(folder.address, (folder, []))[1].append(file.name)
    for folder, names in by_folder.values():
        dataset = folder.dataset(names)
        if column not in dataset.schema.names:
            raise BackfillError(
                f"{folder.address}/{names[0]} has no column {column!r}",
                remedy="name it with --affiliation-column; it has: "
                + ", ".join(dataset.schema.names[:20]),
            )
        kind = dataset.schema.field(column).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_text_code(kind)):
            raise BackfillError(
                f"{folder.address}/{names[0]}: column {column!r} is {kind}, not text",
                remedy="write a row for each affiliation: select unnest(…) in DuckDB does it",
            )
        yield dataset


def _is_text_code(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))


def _normalise(opened: Tables, progress: StepProgress) -> None:
    """`distinct_raw` → `spelled` (raw, key, text, slot) → `text` (key, text, slot)."""
    import pyarrow as pa

    schema = pa.schema(
        [("raw", pa.string()), ("key", pa.binary()), ("text", pa.string()), ("slot", pa.uint32())]
    )
    total = opened.value("SELECT count(*) FROM distinct_raw")
    with progress("spellings normalised") as report:

        def normalised() -> Iterator[pa.RecordBatch]:
            done = 0
            for batch in opened.batches("SELECT raw FROM distinct_raw"):
                texts = [Affiliation.of(raw).text for raw in batch.column("raw").to_pylist()]
                keys = [text_hash(text) for text in texts]
                slots = [int.from_bytes(key[:4], "big") for key in keys]
                columns = zip((batch.column("raw"), keys, texts, slots), schema.types, strict=True)
                yield pa.record_batch(
                    [pa.array(column, kind) for column, kind in columns], schema=schema
                )
                done += len(texts)
                report(done, total)

        opened.run(
            "CREATE TABLE spelled AS SELECT * FROM batch",
            batch=pa.RecordBatchReader.from_batches(schema, normalised()),
        )
    opened.run(
        "DROP TABLE distinct_raw;"
        "CREATE TABLE text AS SELECT key, any_value(text) AS text, any_value(slot) AS slot"
        " FROM spelled GROUP BY key"
    )


def _take_over(
    opened: Tables,
    run: Folder,
    this: Pin,
    pin_folder: Folder,
    previous: Folder,
    progress: StepProgress,
) -> int:
    """Outcomes of an earlier run go to `taken/`, and their texts out of the table `text`."""
    import pyarrow as pa

    before = read(previous)
    there = Folder(before.pin_address)
    then = pin.read(there)
    pin.require_same(then, before.pin, what=f"the earlier run {previous.address}")
    if then.answering != this.answering:
        raise BackfillError(
            f"the earlier run {previous.address} was answered by {then.describe()}, which differs "
            f"from {this.describe()} in more than overrides",
            remedy="every text is due then: leave out --previous",
        )
    names = outcome_files(previous, before)
    if not names:
        return 0
    with ThreadPoolExecutor(READERS) as readers:
        looked = readers.map(lambda name: outcome_file.written(previous, name), names)
        for name, found in zip(names, looked, strict=True):
            if found.pin != before.pin:
                raise BackfillError(
                    f"{previous.address}/{name} is of the pin {found.pin[:12]}, not of "
                    f"{before.pin[:12]}, with which the run was planned",
                    remedy="finish that run first: it answers the part again",
                )
    changed = pa.table({"key": pa.array(pin.changed_overrides(pin_folder, there), pa.binary())})
    opened.run("CREATE TABLE changed AS SELECT * FROM changed_key", changed_key=changed)
    opened.run(
        "CREATE TABLE earlier AS SELECT o.* FROM outcome o SEMI JOIN text t USING (key)"  # noqa: S608
        f" ANTI JOIN changed c USING (key) WHERE o.status <> '{outcome_file.FAILED}'",
        outcome=previous.dataset(names),
    )
    schema = outcome_file.schema()
    with progress("outcomes taken over") as report:
        rows = (batch.cast(schema) for batch in opened.batches("SELECT * FROM earlier"))
        taken = _write_files(run, TAKEN, rows, report, pin=this.fingerprint)
    opened.run("DELETE FROM text WHERE key IN (SELECT key FROM earlier); DROP TABLE earlier")
    return taken


def outcome_files(run: Folder, plan: Plan) -> list[str]:
    """The files that have a run's outcomes: those that were taken over, and of each part that has
    one."""
    there = {file.name for file in run.files(OUTCOMES)}
    answered = (f"{OUTCOMES}/{part}.parquet" for part in plan.parts)
    return [file.name for file in run.files(TAKEN)] + [name for name in answered if name in there]


def _write_parts(opened: Tables, run: Folder, parts: int, progress: StepProgress) -> dict[str, int]:
    import pyarrow as pa

    if not 1 <= parts <= MOST_PARTS:
        raise BackfillError(f"{parts:,} parts: not between 1 and {MOST_PARTS:,}")
    digits = len(str(parts - 1))
    schema = pa.schema([("key", pa.binary(16)), ("text", pa.string())])
    due: dict[str, int] = {}
    total = opened.value("SELECT count(*) FROM text")
    with progress("texts in parts") as report:
        ordered = opened.batches(
            f"SELECT key, text, ((slot::UBIGINT * {parts}) >> 32)::INTEGER AS part"  # noqa: S608
            " FROM text ORDER BY part, key"
        )
        done = 0
        for number, rows in _by_part(ordered):
            name = f"{number:0{digits}}"
            table = pa.Table.from_batches(rows).select(schema.names).cast(schema)
            run.write(f"{DUE}/{name}.parquet", parquet(table))
            due[name] = len(table)
            done += len(table)
            report(done, total)
    return due


def _by_part(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, list[pa.RecordBatch]]]:
    """Rows that are ordered by `part`, those of each part together."""
    import pyarrow.compute as pc

    number = -1
    rows: list[pa.RecordBatch] = []
    for batch in batches:
        start = 0
        while start < len(batch):
            here = batch.column("part")[start].as_py()
            if here != number:
                if rows:
                    yield number, rows
                number, rows = here, []
            others = pc.index(pc.not_equal(batch.column("part"), number), True, start=start).as_py()
            end = len(batch) if others < 0 else others
            rows.append(batch.slice(start, end - start))
            start = end
    if rows:
        yield number, rows


def _write_files(
    run: Folder,
    below: str,
    batches: Iterable[pa.RecordBatch],
    report: Any,
    *,
    pin: str | None = None,
) -> int:
    """Files of about `ROWS` rows; of outcomes where they have a `pin`. Returns the rows."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    written = files = 0

    def write() -> None:
        nonlocal waiting, written, files
        table = pa.Table.from_batches(waiting)
        content = outcome_file.buffer_of(table, pin=pin) if pin else parquet(table)
        run.write(f"{below}/{files:05}.parquet", content)
        written, files, waiting = written + len(table), files + 1, []
        report(written)

    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= ROWS:
            write()
    if waiting:
        write()
    return written


def parquet(table: pa.Table) -> pa.Buffer:
    """A table as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet

    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()
