"""Rows of a file with their answers → CSV, JSON lines or Parquet: all columns, and new ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from resolver.cli.answer_store import Answer
from resolver.cli.query_files import ROW_GROUP, shown
from resolver.errors import SettingsError
from resolver.intake.whole_rows import RowFile, WholeRow

LINKED = {
    "ror_ids": "ror_id",
    "ror_names": "name",
    "ror_countries": "country",
    "ror_cities": "city",
    "ror_websites": "website",
    "ror_probabilities": "probability",
}
"""The new columns, and what of a link is in each. A list has a value for each link, the most
probable first."""

REASON = "ror_reason"
"""One more: why there is no link."""

SEPARATOR = "|"
"""Stands between the values of a list in a table of text; within a value it becomes "¦"."""

Answered = Iterable[tuple[WholeRow, Answer]]

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


def require_writable(path: Path) -> None:
    """Refuse an output that cannot be written, before hours of work are lost.

    Raises:
        SettingsError: another suffix, no such folder, or pyarrow is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(
            f"{path}: its name does not tell the format of the output",
            remedy=f"end it in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}",
        )
    if not path.parent.is_dir():
        raise SettingsError(f"{path.parent} is no folder", remedy="make it, or name another one")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise SettingsError(
                "writing Parquet needs pyarrow",
                remedy="pip install 'affiliation-resolver[parquet]'",
            ) from error


@dataclass(slots=True)
class InputColumns:
    """The columns of a file, in the order in which they first come, and the kinds of their values,
    by the number among columns of the same name: a table may have two."""

    kinds: dict[tuple[str, int], set[type]] = field(default_factory=dict)
    _last: Sequence[str] | None = None
    _keys: list[tuple[str, int]] = field(default_factory=list)

    def add(self, row: WholeRow) -> None:
        for key, cell in zip(self.keys(row), row.cells, strict=True):
            kinds = self.kinds.setdefault(key, set())
            if cell is not None:
                kinds.add(object if isinstance(cell, list) and not _of_texts(cell) else type(cell))

    def keys(self, row: WholeRow) -> list[tuple[str, int]]:
        if row.names is not self._last:
            self._last, self._keys = row.names, []
            counts: dict[str, int] = {}
            for name in row.names:
                counts[name] = counts.get(name, 0) + 1
                self._keys.append((name, counts[name]))
        return self._keys

    def names(self) -> list[str]:
        return [name for name, _ in self.kinds]

    def cells(self, row: WholeRow) -> list[object]:
        """The values of a row for all columns; None where it has none."""
        values = dict(zip(self.keys(row), row.cells, strict=True))
        return [values.get(key) for key in self.kinds]

    def new(self) -> list[str]:
        """Names for the new columns that none of these has: with a number after them if need be."""
        own = set(self.names())
        number = 1
        while True:
            end = "" if number == 1 else f"_{number}"
            names = [f"{name}{end}" for name in (*LINKED, REASON)]
            if own.isdisjoint(names):
                return names
            number += 1


def write(path: Path, rows: Answered, columns: InputColumns, source: RowFile) -> None:
    """Write the file in the format of its name, whole or not at all.

    Raises:
        SettingsError: the file cannot be written, or two columns of the input have one name, which
            only a table of text can have.
    """
    suffix = path.suffix.lower()
    writer: Callable[[Path, Answered, InputColumns, RowFile], None]
    if suffix in (".csv", ".tsv"):
        writer = _write_table
    else:
        names = columns.names()
        if len(set(names)) < len(names):
            raise SettingsError(
                f"two columns are named {max(names, key=names.count)!r}",
                remedy="rename one of them, or write a table (.csv)",
            )
        writer = _write_parquet if suffix == ".parquet" else _write_lines
    with _in_one_step(path) as part:
        writer(part, rows, columns, source)


@contextmanager
def _in_one_step(path: Path) -> Iterator[Path]:
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_table(path: Path, rows: Answered, columns: InputColumns, source: RowFile) -> None:
    delimiter = "\t" if path.name.lower().endswith(".tsv.part") else (source.delimiter or ",")
    encoding = "utf-8-sig" if source.marked else "utf-8"
    with path.open("w", encoding=encoding, errors="replace", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([*columns.names(), *columns.new()])
        for row, answer in rows:
            links = answer["links"]
            added = [
                SEPARATOR.join(_in_list(link[key]) for link in links) for key in LINKED.values()
            ]
            own = map(_cell, columns.cells(row))
            writer.writerow([*own, *added, answer["reason"] or ""])


def _cell(value: object) -> str:
    if isinstance(value, list) and _of_texts(value):
        return SEPARATOR.join(map(_in_list, value))
    return shown(value)


def _of_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _in_list(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return shown(value).replace(SEPARATOR, "¦")


def _write_lines(path: Path, rows: Answered, columns: InputColumns, _: RowFile) -> None:
    *names, reason = columns.new()
    with path.open("wb") as file:
        for row, answer in rows:
            line = dict(zip(row.names, row.cells, strict=True))
            for name, key in zip(names, LINKED.values(), strict=True):
                line[name] = [link[key] for link in answer["links"]]
            line[reason] = answer["reason"]
            file.write(_json(line) + b"\n")


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value, default=str)
    except TypeError:
        # Lone surrogates, and whole numbers of more than 64 bits.
        return json.dumps(value, default=str).encode()


def _write_parquet(path: Path, rows: Answered, columns: InputColumns, source: RowFile) -> None:
    import pyarrow
    from pyarrow import parquet

    if source.schema is not None:
        own = list(source.schema)
    else:
        own = [pyarrow.field(name, _type(kinds)) for (name, _), kinds in columns.kinds.items()]
    *names, reason = columns.new()
    texts = pyarrow.list_(pyarrow.string())
    added = [
        pyarrow.field(name, pyarrow.list_(pyarrow.float64()) if key == "probability" else texts)
        for name, key in zip(names, LINKED.values(), strict=True)
    ]
    schema = pyarrow.schema([*own, *added, pyarrow.field(reason, pyarrow.string())])
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(rows, ROW_GROUP)):
            cells = [
                [
                    *columns.cells(row),
                    *([link[key] for link in answer["links"]] for key in LINKED.values()),
                    answer["reason"],
                ]
                for row, answer in group
            ]
            arrays = [
                pyarrow.array([_of_type(cell, kind) for cell in column], kind)
                for column, kind in zip(zip(*cells, strict=True), schema.types, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _type(kinds: set[type]) -> Any:
    """The type of a column whose values come from JSON or text: as text unless all are numbers, or
    all true or false, or all lists of text."""
    import pyarrow

    if kinds == {bool}:
        return pyarrow.bool_()
    if kinds == {list}:
        return pyarrow.list_(pyarrow.string())
    if kinds and kinds <= {int, float}:
        return pyarrow.float64() if float in kinds else pyarrow.int64()
    return pyarrow.string()


def _of_type(value: Any, type_: Any) -> Any:
    import pyarrow

    if value is None:
        return None
    if pyarrow.types.is_string(type_):
        text = value if isinstance(value, str) else shown(value)
        return text if text.isascii() else text.encode("utf-8", "replace").decode()
    return float(value) if pyarrow.types.is_float64(type_) else value
