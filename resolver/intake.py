"""Incoming affiliations: messages and files → `SourceRecord`s, one refusal for each bad one.

A record is a JSON object ``{"source", "id", "affiliation", "position"}``; `position` may be left
out (0), other keys are ignored. A bad record never stops its neighbours.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import math
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, cast

from resolver.database.links import RefusedRecord
from resolver.database.tables import MAX_EXTERNAL_ID, MAX_SOURCE
from resolver.domain.affiliation import SourceRecord
from resolver.errors import IntakeError, SettingsError

MAX_POSITION = 2**31 - 1
"""A Postgres integer."""

MAX_CHUNK = 1024
"""Records of one message: the upper end of `Settings.chunk_size`, so that a worker is done with
any message well within its time limit."""

MAX_LINE = 16 * 2**20
"""Bytes of one line of a file. Whoever forgets the line breaks gets a refusal, not a swap storm."""

_BATCH = 4096
_SURROGATE = re.compile("[\ud800-\udfff]")


class Format(StrEnum):
    """How a file of affiliations is written; `AUTO` goes by its name."""

    AUTO = "auto"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    TXT = "txt"


@dataclass(frozen=True, slots=True)
class Columns:
    """What a file calls the fields of a record."""

    affiliation: str = "affiliation"
    id: str = "id"
    source: str = "source"
    position: str = "position"


def parse_record(raw: object, *, position: int) -> SourceRecord:
    """One record of a message. `position` is its place there, for the error alone.

    The affiliation may be any string: an empty one gets an outcome that says so. A whole
    number is taken for an id and written in digits.

    Raises:
        IntakeError: the record is refused; says which field and why.
    """
    try:
        return _record(raw)
    except ValueError as error:
        raise IntakeError(position=position, reason=str(error)) from None


def parse_chunk(raw: object) -> tuple[list[SourceRecord], list[RefusedRecord]]:
    """All records of a message, and the refused ones.

    Raises:
        IntakeError: the chunk is no list or holds more than `MAX_CHUNK` records.
    """
    if not isinstance(raw, list):
        raise IntakeError(position=0, reason=f"the chunk is not a list but {_kind(raw)}")
    if len(raw) > MAX_CHUNK:
        raise IntakeError(
            position=MAX_CHUNK, reason=f"the chunk has {len(raw)} records; {MAX_CHUNK} is the most"
        )
    records: list[SourceRecord] = []
    refused: list[RefusedRecord] = []
    for item in raw:
        try:
            records.append(_record(item))
        except ValueError as error:
            refused.append(_refused(item, str(error)))
    return records, refused


def _refused(raw: object, reason: str) -> RefusedRecord:
    """What can be read of a bad record."""
    fields = raw if isinstance(raw, Mapping) else {}
    source, external_id, place = (fields.get(name) for name in ("source", "id", "position"))
    return RefusedRecord(
        source=source if isinstance(source, str) else None,
        external_id=external_id if isinstance(external_id, str) else None,
        position=place if isinstance(place, int) and not isinstance(place, bool) else None,
        reason=reason,
        payload=json.dumps(raw, ensure_ascii=False, default=str),
    )


def _record(raw: object) -> SourceRecord:
    if not isinstance(raw, Mapping):
        raise ValueError(f"not an object but {_kind(raw)}")
    affiliation = raw.get("affiliation")
    if not isinstance(affiliation, str):
        missing = "affiliation" not in raw
        raise ValueError(f"affiliation: {'missing' if missing else f'is {_kind(affiliation)}'}")
    return SourceRecord(
        source=_name(raw, "source", MAX_SOURCE),
        external_id=_name(raw, "id", MAX_EXTERNAL_ID),
        affiliation=affiliation,
        position=_position(raw.get("position", 0)),
    )


def _name(raw: Mapping[str, object], field: str, longest: int) -> str:
    if field not in raw:
        raise ValueError(f"{field}: missing")
    value = raw[field]
    if field == "id" and isinstance(value, int) and not isinstance(value, bool):
        # str() refuses integers of thousands of digits, in words that name no field.
        if abs(value) >= 10**longest:
            raise ValueError(f"{field}: longer than {longest} digits")
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{field}: is {_kind(value)}, not a string")
    if not value.strip():
        raise ValueError(f"{field}: empty")
    if len(value) > longest:
        raise ValueError(f"{field}: {len(value)} characters; {longest} is the most")
    # Neither can be stored, and a changed id would be the id of something else.
    if "\0" in value:
        raise ValueError(f"{field}: contains NUL")
    if _SURROGATE.search(value):
        raise ValueError(f"{field}: is not valid Unicode (lone surrogate)")
    return value


def _position(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"position: is {_kind(value)}, not a whole number")
    if not 0 <= value <= MAX_POSITION:
        raise ValueError(f"position: not between 0 and {MAX_POSITION}")
    return value


def _kind(value: object) -> str:
    """The JSON name of a value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "a number"
        case float():
            return "a number" if math.isfinite(value) else "not a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
    return f"of type {type(value).__name__}"


# Files


def read_file(
    path: Path | None,
    *,
    format: Format = Format.AUTO,
    source: str | None = None,
    columns: Columns | None = None,
) -> Iterator[SourceRecord | IntakeError]:
    """The records of a file in order, an `IntakeError` in the place of each bad one.

    Reads JSON lines, CSV or TSV with a header, Parquet, and plain text of one affiliation a
    line; all but Parquet also gzipped. `path` None is standard input, where `AUTO` means JSON
    lines if the first line begins with ``{`` and plain text otherwise. Streams: memory does not
    grow with the file.

    A file without a source column (in JSON lines: whose first record has none) is of `source`,
    or else of its own name without suffixes; one without an id column gets line numbers (in
    Parquet row numbers) as ids, counted from 1. Blank lines are skipped. Lines that are not
    UTF-8 are refused, not mended: a garbled name would be matched as if it were one.

    Raises (at once, but for the last):
        SettingsError: the file, its format or its columns cannot be used.
        IntakeError: the file breaks off (a cut gzip file); what came before was yielded.
    """
    columns = columns or Columns()
    with ExitStack() as opened:
        if path is None:
            if format is Format.PARQUET:
                raise SettingsError("Parquet cannot be read from a pipe", remedy="name the file")
            stream: BinaryIO = sys.stdin.buffer
            form = _guess(stream) if format is Format.AUTO else format
        else:
            form = _format(path) if format is Format.AUTO else format
            try:
                # Closed by the generator when it is used up, or here when opening fails.
                stream = opened.enter_context(path.open("rb"))
                if path.suffix == ".gz":
                    stream = opened.enter_context(cast(BinaryIO, gzip.GzipFile(fileobj=stream)))
            except OSError as error:
                raise SettingsError(f"{path}: {error.strerror}") from error
        file = _File(
            name=str(path or "standard input"),
            columns=columns,
            source=source or (_stem(path) if path else "stdin"),
        )
        rows = _READERS[form](stream, file)
        # The header is read here, so that a wrong one is told before anything is sent.
        first = next(rows, None)
        closing = opened.pop_all()
    return _records(first, rows, closing)


def _records(
    first: SourceRecord | IntakeError | None,
    rows: Iterator[SourceRecord | IntakeError],
    closing: ExitStack,
) -> Iterator[SourceRecord | IntakeError]:
    with closing:
        if first is not None:
            yield first
            yield from rows


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    columns: Columns
    source: str

    def record(
        self, row: Mapping[str, object], *, position: int, line: int, has: frozenset[str]
    ) -> SourceRecord | IntakeError:
        """A row → record. `has` are the file's columns; those it lacks are filled."""
        raw: dict[str, object] = {}
        for field, column in (
            ("affiliation", self.columns.affiliation),
            ("id", self.columns.id),
            ("source", self.columns.source),
            ("position", self.columns.position),
        ):
            if column in row:
                raw[field] = row[column]
        if self.columns.id not in has:
            raw["id"] = str(line)
        if self.columns.source not in has:
            raw["source"] = self.source
        try:
            return _record(raw)
        except ValueError as error:
            return self.refusal(str(error), position=position, line=line)

    def refusal(self, reason: str, *, position: int, line: int) -> IntakeError:
        return IntakeError(position=position, reason=f"{self.name}, line {line}: {reason}")

    def require_affiliations(self, found: list[str]) -> None:
        if self.columns.affiliation not in found:
            shown = ", ".join(map(_shown, found[:20])) or "none"
            raise SettingsError(
                f"{self.name}: no column {self.columns.affiliation!r}; there are: {shown}",
                remedy="name the column of the affiliations (--affiliation-column)",
            )


def _shown(name: str) -> str:
    """What a header says, as far as a person needs it: a file of another kind may say anything."""
    text = "".join(character if character.isprintable() else " " for character in name)
    return text if len(text) <= 40 else f"{text[:39]}…"


_Rows = Iterator[SourceRecord | IntakeError]

_SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".parquet": Format.PARQUET,
    ".txt": Format.TXT,
}


def _format(path: Path) -> Format:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    form = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    if form is None:
        raise SettingsError(
            f"{path}: its name does not tell its format",
            remedy="give it (--format jsonl, csv, tsv, parquet or txt)",
        )
    return form


def _stem(path: Path) -> str:
    return path.name.split(".", maxsplit=1)[0] or path.name


def _guess(stream: BinaryIO) -> Format:
    first = cast(io.BufferedReader, stream).peek(1).removeprefix(codecs.BOM_UTF8).lstrip()
    return Format.JSONL if first.startswith(b"{") else Format.TXT


def _lines(stream: BinaryIO, file: _File) -> Iterator[tuple[int, bytes | None]]:
    """Line numbers from 1 and lines without their ends; None for one beyond `MAX_LINE`."""
    number = 0
    try:
        while line := stream.readline(MAX_LINE):
            number += 1
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield number, None
            else:
                yield number, line.rstrip(b"\r\n")
    except (EOFError, OSError, zlib.error) as error:
        raise file.refusal(
            f"the file breaks off: {error}", position=number, line=number + 1
        ) from error


def _read_jsonl(stream: BinaryIO, file: _File) -> _Rows:
    has: frozenset[str] | None = None
    position = -1
    for number, line in _lines(stream, file):
        if line is not None and not line.strip():
            continue
        position += 1
        try:
            row = _json_object(line)
        except ValueError as error:
            yield file.refusal(str(error), position=position, line=number)
            continue
        if has is None:
            has = frozenset(row)
        yield file.record(row, position=position, line=number, has=has)


def _json_object(line: bytes | None) -> dict[str, object]:
    try:
        row = json.loads(_text(line))
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON of a sane depth") from None
    if not isinstance(row, dict):
        raise ValueError(f"not an object but {_kind(row)}")
    return row


def _read_txt(stream: BinaryIO, file: _File) -> _Rows:
    position = -1
    for number, line in _lines(stream, file):
        if line is not None and not line.strip():
            continue
        position += 1
        try:
            row = {file.columns.affiliation: _text(line)}
        except ValueError as error:
            yield file.refusal(str(error), position=position, line=number)
            continue
        yield file.record(row, position=position, line=number, has=frozenset())


def _text(line: bytes | None) -> str:
    if line is None:
        raise ValueError(f"longer than {MAX_LINE} bytes")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte 0x{line[error.start]:02x} at {error.start})") from None


def _read_csv(stream: BinaryIO, file: _File, *, delimiter: str = ",") -> _Rows:
    # surrogateescape keeps the bytes that are not UTF-8 apart, so that their row alone is refused.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text, delimiter=delimiter)
    header: list[str] | None = None
    position = -1
    line = 0
    while True:
        # A quoted cell may hold line breaks: a row is named by its first line.
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            position += 1
            yield file.refusal(f"not CSV: {error}", position=position, line=line)
            continue
        except (EOFError, OSError, zlib.error) as error:
            raise file.refusal(
                f"the file breaks off: {error}", position=position + 1, line=line
            ) from error
        if header is None:
            header = [name.strip() for name in row]
            file.require_affiliations(header)
            has = frozenset(header)
            continue
        if not any(row):
            continue
        position += 1
        if len(row) != len(header):
            yield file.refusal(
                f"{len(row)} cells under a header of {len(header)}", position=position, line=line
            )
        elif any(_SURROGATE.search(cell) for cell in row):
            yield file.refusal("not UTF-8", position=position, line=line)
        else:
            cells: dict[str, object] = dict(zip(header, row, strict=True))
            place = cells.get(file.columns.position)
            if isinstance(place, str):
                if not place.strip():
                    del cells[file.columns.position]
                elif place.strip().isdecimal() and len(place) <= len(str(MAX_POSITION)):
                    cells[file.columns.position] = int(place)
            yield file.record(cells, position=position, line=line, has=has)
    if header is None:
        file.require_affiliations([])


def _read_tsv(stream: BinaryIO, file: _File) -> _Rows:
    return _read_csv(stream, file, delimiter="\t")


def _read_parquet(stream: BinaryIO, file: _File) -> _Rows:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SettingsError(
            f"{file.name}: reading Parquet needs pyarrow",
            remedy="pip install 'affiliation-resolver[parquet]'",
        ) from error
    try:
        table = parquet.ParquetFile(stream)
    except (pyarrow.ArrowException, OSError) as error:
        raise SettingsError(f"{file.name}: not a Parquet file: {error}") from error
    found = list(table.schema_arrow.names)
    file.require_affiliations(found)
    names = file.columns
    wanted = {names.affiliation, names.id, names.source, names.position}
    has = frozenset(found)
    position = -1
    try:
        for batch in table.iter_batches(_BATCH, columns=[name for name in found if name in wanted]):
            for row in _rows(batch):
                position += 1
                if row.get(names.position, 0) is None:
                    del row[names.position]
                yield file.record(row, position=position, line=position + 1, has=has)
    except (pyarrow.ArrowException, OSError) as error:
        raise file.refusal(
            f"the file breaks off: {error}", position=position + 1, line=position + 2
        ) from error


def _rows(batch: Any) -> list[dict[str, object]]:
    """Rows of a record batch; a string that is not UTF-8 stays bytes, and is refused later."""
    try:
        return cast("list[dict[str, object]]", batch.to_pylist())
    except UnicodeDecodeError:
        columns = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            columns[name] = [_scalar(value) for value in column]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _scalar(value: Any) -> object:
    try:
        return cast(object, value.as_py())
    except UnicodeDecodeError:
        return bytes(value.as_buffer())


_READERS: Mapping[Format, Callable[[BinaryIO, _File], _Rows]] = {
    Format.JSONL: _read_jsonl,
    Format.CSV: _read_csv,
    Format.TSV: _read_tsv,
    Format.PARQUET: _read_parquet,
    Format.TXT: _read_txt,
}
