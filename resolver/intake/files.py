"""Files of affiliations → `SourceRecord`s, one refusal for each bad line.

A file says less than a message: `read_file` fills in what it does not say, and `AffiliationFile`
tells what that was.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any, cast

from resolver.errors import FileBroken, IntakeError, SettingsError
from resolver.intake import delimited
from resolver.intake.delimited import BadRow, Row
from resolver.intake.lines import MAX_LINE, PARQUET, Opened, not_in, opened
from resolver.intake.message import MAX_POSITION, parse_record
from resolver.intake.positions import Positions
from resolver.intake.record import SourceRecord
from resolver.validation import json_kind

LOOK = 100
"""Rows looked at to tell whether all ids of a table are numbers that became fractions."""

_BATCH = 4096

_FRACTION = re.compile(r"\d{1,16}\.0")
"""A whole number as pandas writes it in a column where some are missing."""

_SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+\d+")
"""A long number as Excel and pandas write it: without its last digits."""

_FROM_JSON = re.compile(r'\s*\{\s*["}]')


class Format(StrEnum):
    """How a file of affiliations is written; `AUTO` goes by its name and its first line."""

    AUTO = "auto"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    TXT = "txt"


@dataclass(frozen=True, slots=True)
class Columns:
    """What a file calls the fields of a record. One named otherwise than here must be there."""

    affiliation: str = "affiliation"
    id: str = "id"
    source: str = "source"
    position: str = "position"

    def all(self) -> tuple[str, ...]:
        return (self.affiliation, self.id, self.source, self.position)

    def missing(self, found: Sequence[str]) -> list[str]:
        """What was named and is not there."""
        usual = Columns().all()
        return [
            name
            for name, default in zip(self.all(), usual, strict=True)
            if name != default and name not in found
        ]


@dataclass(slots=True)
class Counts:
    """What was seen so far, of rows: `ordered` ones share their record with an earlier one and
    have their position by order, `apart` ones of them did not follow it, `repeating` ones have
    the position of an earlier one, `spread` ones go over several lines, `in_quotes` ones have a
    cell in quotes that are taken for a part of it, `pointed` ones an id like 123.0."""

    ordered: int = 0
    apart: int = 0
    repeating: int = 0
    spread: int = 0
    longest: tuple[int, int] = (0, 0)
    in_quotes: int = 0
    pointed: int = 0


class AffiliationFile(Iterator["SourceRecord | IntakeError"]):
    """The rows of a file, read as it is iterated over.

    `form` is how it is written. `identified` says whether it has ids: those of line numbers tell
    nobody anything.
    """

    def __init__(self, file: _File, rows: _Rows) -> None:
        self.form = file.form
        self._file = file
        self._open = ExitStack()
        # The header is read here, so that a wrong one is told before anything is sent.
        first = next(rows, None)
        self._rows = rows if first is None else chain([first], rows)

    def keep(self, files: ExitStack) -> AffiliationFile:
        """Close these when all rows are read."""
        self._open = files
        return self

    def __next__(self) -> SourceRecord | IntakeError:
        try:
            return next(self._rows)
        except BaseException:
            self._open.close()
            raise

    @property
    def identified(self) -> bool:
        return self._file.numbered is False

    def remarks(self) -> list[str]:
        """What a person should know of how the file was read, so far; complete at its end."""
        return self._file.remarks()


def read_file(
    path: Path | None,
    *,
    format: Format = Format.AUTO,
    source: str | None = None,
    columns: Columns | None = None,
    delimiter: str | None = None,
    quoted: bool | None = None,
    encoding: str | None = None,
    blank: bool = False,
) -> AffiliationFile:
    """The records of a file in order, an `IntakeError` in the place of each bad one.

    Reads JSON lines, CSV or TSV with a header, Parquet, and plain text of one affiliation a
    line, all also gzipped. `path` None is standard input. `AUTO` goes by the name; but of standard
    input and of text, a first line that names the column of the affiliations begins a table, and
    one that begins with ``{"`` JSON lines. Parquet is known by its first bytes. Streams: memory
    does not grow with the file.

    Text is UTF-8, or what a byte order mark says, or `encoding`. `delimiter` stands between the
    columns of a table: without it, what makes the header name the affiliations. `quoted` says
    whether double quotes go around cells: CSV has them, tables with tabs do not unless their header
    has.

    A record without a source is of `source`; where that is not given and the file has no sources
    (in JSON lines: its first record has none), of the file's name without suffixes. A file without
    ids gets line numbers (in Parquet row numbers) as ids, counted from 1. A row without a position
    has the next one of its id: 0, 1, 2 … in the order of the rows, neighbours or not.

    Blank lines are skipped, unless `blank` asks for those of plain text. What is not written in
    the encoding is refused, not mended: a garbled name would be matched as if it were one.

    Raises (at once, but for the last):
        SettingsError: the file, its format or its columns cannot be used.
        FileBroken: the file breaks off (a cut gzip file); what came before was yielded.
    """
    columns = columns or Columns()
    with ExitStack() as files:
        start = files.enter_context(opened(path))
        form = _format(path, start, format, columns, delimiter, encoding)
        file = _File(
            name=start.name,
            form=form,
            columns=columns,
            given=source,
            source=source or (_stem(path) if path else "stdin"),
            encoding=None if form is Format.PARQUET else start.encoding(encoding),
            delimiter=delimiter,
            quoted=quoted,
            blank=blank,
            positions=files.enter_context(Positions()),
        )
        reading = AffiliationFile(file, _READERS[form](start, file))
        return reading.keep(files.pop_all())


def form_of(path: Path | None, start: Opened) -> Format:
    """How a file is written, by its name and its first line; text where neither tells."""
    try:
        return _format(path, start, Format.AUTO, Columns(), None, None)
    except SettingsError:
        return Format.TXT


def _format(
    path: Path | None,
    start: Opened,
    asked: Format,
    columns: Columns,
    delimiter: str | None,
    encoding: str | None,
) -> Format:
    if start.head.startswith(PARQUET):
        if asked not in (Format.AUTO, Format.PARQUET):
            raise SettingsError(
                f"{start.name} is a Parquet file, not {asked}", remedy="leave out --format"
            )
        return Format.PARQUET
    form = asked
    if asked is Format.AUTO:
        form = Format.TXT if path is None else _by_name(path)
        if form is Format.TXT:
            form = _by_first_line(
                start.first_line(start.encoding(encoding)), columns.affiliation, delimiter
            )
    if delimiter is not None and form not in (Format.CSV, Format.TSV):
        raise SettingsError(
            f"{start.name}: a delimiter separates columns, and this is read as {form}",
            remedy="leave out --delimiter, or add --format csv",
        )
    return form


def _by_name(path: Path) -> Format:
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


_SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".parquet": Format.PARQUET,
    ".txt": Format.TXT,
}


def _by_first_line(line: str, column: str, delimiter: str | None) -> Format:
    """What a file holds whose name tells nothing, or that it is text."""
    if _FROM_JSON.match(line):
        return Format.JSONL
    if delimiter is not None or delimited.delimiter_of(line, column, ",") is not None:
        return Format.CSV
    return Format.TXT


def _stem(path: Path) -> str:
    return path.name.split(".", maxsplit=1)[0] or path.name


@dataclass(slots=True)
class _File:
    """A file that is read, and what was found in it so far."""

    name: str
    form: Format
    columns: Columns
    given: str | None
    source: str
    encoding: str | None
    delimiter: str | None
    quoted: bool | None
    blank: bool
    positions: Positions
    numbered: bool | None = None
    sourced: bool = False
    fractions: bool = False
    separated: str | None = None
    ids_like: tuple[str, ...] = ()
    last: tuple[str, str] | None = None
    counts: Counts = field(default_factory=Counts)

    def begin(self, found: Sequence[str]) -> None:
        """Take note of the columns there are; of JSON lines, of the keys of the first record."""
        self.numbered = self.columns.id not in found and self.columns.id == Columns().id
        self.sourced = self.columns.source in found
        self.ids_like = tuple(name for name in found if name not in self.columns.all())

    def record(
        self, row: Mapping[str, object], *, position: int, line: int
    ) -> SourceRecord | IntakeError:
        """A row → record; what it lacks is filled in, as `read_file` says."""
        names = self.columns
        raw: dict[str, object] = {}
        for key, column in (
            ("affiliation", names.affiliation),
            ("id", names.id),
            ("source", names.source),
            ("position", names.position),
        ):
            if column in row:
                raw[key] = row[column]
        try:
            if self.numbered:
                if "id" in raw and raw["id"] is not None:
                    raise ValueError("has an id, and the first record has none")
                raw["id"] = str(line)
            absent = "source" not in raw and not self.sourced
            # Null or empty where no source was given is for `parse_record` to refuse.
            if absent or (self.given is not None and _blank(raw.get("source"))):
                raw["source"] = self.source
            return self._placed(raw)
        except ValueError as error:
            return self.refusal(str(error), position=position, line=line)
        except IntakeError as error:
            return self.refusal(error.reason, position=position, line=line)

    def _placed(self, raw: dict[str, object]) -> SourceRecord:
        record = parse_record(raw, position=0)
        if self.numbered:
            return record
        key = (record.source, record.external_id)
        place = record.position
        if "position" in raw:
            repeats = self.positions.came(*key, place)
        else:
            place, repeats = self.positions.next(*key)
            if place:
                self.counts.ordered += 1
                self.counts.apart += key != self.last
        self.counts.repeating += repeats
        self.last = key
        if place == record.position:
            return record
        if place > MAX_POSITION:
            raise ValueError(f"position: not between 0 and {MAX_POSITION}")
        return SourceRecord(record.source, record.external_id, record.affiliation, place)

    def refusal(self, reason: str, *, position: int, line: int) -> IntakeError:
        return IntakeError(position=position, reason=f"{self.name}, line {line}: {reason}")

    def broken(self, error: Exception, *, line: int) -> FileBroken:
        return FileBroken(self.name, line=line, reason=str(error))

    def require_columns(self, found: Sequence[str]) -> None:
        names = self.columns
        if names.affiliation not in found:
            raise SettingsError(
                f"{self.name}: no column {names.affiliation!r}; there are: {_listed(found)}",
                remedy="name the column of the affiliations (--affiliation-column), or what is "
                "between the columns (--delimiter)",
            )
        if missing := names.missing(found):
            raise SettingsError(
                f"{self.name}: no column {missing[0]!r}; there are: {_listed(found)}",
                remedy="name a column that is there, or none",
            )
        if twice := delimited.repeated(found, names.all()):
            places = [str(place) for place, name in enumerate(found, 1) if name == twice[0]]
            raise SettingsError(
                f"{self.name}: {len(places)} columns are named {twice[0]!r} "
                f"(columns {', '.join(places)})",
                remedy="rename all but the one that is meant",
            )

    def remarks(self) -> list[str]:
        said, counts, names = [], self.counts, self.columns
        if self.separated is not None:
            said.append(f"columns are separated by {self.separated}")
        if self.numbered and self.form is not Format.TXT:
            others = f"; columns there are: {_listed(self.ids_like)}" if self.ids_like else ""
            said.append(
                f"there is no {names.id!r}: numbers of lines are taken as ids; where another "
                f"column has them, say so (--id-column){others}"
            )
        if self.fractions:
            said.append("ids are written as fractions (123.0) and taken as whole numbers (123)")
        if counts.pointed:
            said.append(
                f"{counts.pointed:,} ids end in .0, others do not: they are taken as they are"
            )
        if counts.ordered:
            apart = f", {counts.apart:,} of them not next to each other" if counts.apart else ""
            said.append(
                f"{counts.ordered:,} rows have the id of an earlier row and no position{apart}: it "
                "follows from their order (0, 1, 2 …)"
            )
        if counts.repeating:
            said.append(
                f"{counts.repeating:,} rows have the source, id and position of an earlier row, "
                "which they replace"
            )
        if counts.spread:
            longest, line = counts.longest
            said.append(
                f"{counts.spread:,} rows go over several lines, by quoted line breaks; the longest "
                f"over {longest:,}, from line {line:,}"
            )
        if counts.in_quotes:
            said.append(
                f"{counts.in_quotes:,} rows have a cell in quotes, taken as part of the text; if "
                "they only enclose it, say so (--quoted) and send again"
            )
        return said


def _blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _listed(names: Sequence[str]) -> str:
    """What a header says, as far as a person needs it: a file of another kind may say anything."""
    return ", ".join(map(_shown, names[:20])) or "none"


def _shown(name: str) -> str:
    text = "".join(character if character.isprintable() else " " for character in name)
    return text if len(text) <= 40 else f"{text[:39]}…"


_Rows = Iterator[SourceRecord | IntakeError]


def _lines(start: Opened, file: _File) -> Iterator[tuple[int, str | None]]:
    assert file.encoding is not None
    return start.lines(file.encoding)


def _text(line: str | None, file: _File) -> str:
    """A line without its end.

    Raises:
        ValueError: it is too long, or not written in the file's encoding.
    """
    if line is None:
        raise ValueError(f"longer than {MAX_LINE} characters")
    assert file.encoding is not None
    if not line.isascii() and (problem := not_in(file.encoding, line)):
        raise ValueError(problem)
    return line.rstrip("\r\n")


def _read_jsonl(start: Opened, file: _File) -> _Rows:
    position = -1
    begun = False
    for number, line in _lines(start, file):
        if line is not None and not line.strip():
            continue
        position += 1
        try:
            row = _json_object(_text(line, file), file.columns)
        except ValueError as error:
            yield file.refusal(str(error), position=position, line=number)
            continue
        if not begun:
            file.begin(list(row))
            begun = True
        yield file.record(row, position=position, line=number)


def _json_object(text: str, columns: Columns) -> dict[str, object]:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        row = dict(pairs)
        if len(row) < len(pairs):
            names = Counter(name for name, _ in pairs)
            if twice := [name for name in columns.all() if names[name] > 1]:
                raise ValueError(f"{twice[0]}: there are {names[twice[0]]} of that name")
        return row

    try:
        row = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON of a sane depth") from None
    if not isinstance(row, dict):
        raise ValueError(f"not an object but {json_kind(row)}")
    return row


def _read_txt(start: Opened, file: _File) -> _Rows:
    file.begin(())
    position = -1
    for number, line in _lines(start, file):
        if not file.blank and line is not None and not line.strip():
            continue
        position += 1
        try:
            row = {file.columns.affiliation: _text(line, file)}
        except ValueError as error:
            yield file.refusal(str(error), position=position, line=number)
            continue
        yield file.record(row, position=position, line=number)


def _read_table(start: Opened, file: _File) -> _Rows:
    assert file.encoding is not None
    usual = "\t" if file.form is Format.TSV else ","
    first = start.first_line(file.encoding)
    wanted = file.columns.affiliation
    delimiter = file.delimiter or delimited.delimiter_of(first, wanted, usual) or usual
    if delimiter != usual:
        file.separated = delimited.NAMES.get(delimiter, repr(delimiter))
    quoted = file.quoted
    if quoted is None:
        quoted = delimiter != "\t" or first.lstrip().startswith('"')
    rows = delimited.rows(_lines(start, file), delimiter=delimiter, quoted=quoted)
    header: list[str] | None = None
    for row in rows:
        if isinstance(row, BadRow):
            raise SettingsError(
                f"{file.name}, line {row.line}: {row.reason}, in the header",
                remedy="the first line must name the columns",
            )
        if any(cell.strip() for cell in row.cells):
            header = [name.strip() for name in row.cells]
            break
    file.require_columns(header or [])
    assert header is not None
    file.begin(header)
    position = -1
    for row in _with_whole_ids(rows, header, file):
        if isinstance(row, Row) and not any(row.cells):
            continue
        position += 1
        if isinstance(row, BadRow):
            reason = row.reason
            if "quote" in reason:
                reason += "; double it, or say that quotes are part of the text (--unquoted)"
            yield file.refusal(reason, position=position, line=row.line)
            continue
        if row.lines > 1:
            file.counts.spread += 1
            file.counts.longest = max(file.counts.longest, (row.lines, row.line))
        if not quoted and any(len(c) > 1 and c[0] == c[-1] == '"' for c in row.cells):
            file.counts.in_quotes += 1
        try:
            cells = _cells(row, header, file)
        except ValueError as error:
            yield file.refusal(str(error), position=position, line=row.line)
        else:
            yield file.record(cells, position=position, line=row.line)


def _cells(row: Row, header: list[str], file: _File) -> dict[str, object]:
    """The cells by name, numbers as such.

    Raises:
        ValueError: says what is wrong with the row.
    """
    if len(row.cells) != len(header):
        raise ValueError(f"{len(row.cells)} cells under a header of {len(header)}")
    assert file.encoding is not None
    for cell in row.cells:
        if not cell.isascii() and (problem := not_in(file.encoding, cell)):
            raise ValueError(problem.split(" (", maxsplit=1)[0])
    cells: dict[str, object] = dict(zip(header, row.cells, strict=True))
    names = file.columns
    place = cells.get(names.position)
    if isinstance(place, str):
        place = place.strip()
        if not place:
            del cells[names.position]
        elif len(place) <= len(str(MAX_POSITION)) + len(".0") and (
            place.isdecimal() or _FRACTION.fullmatch(place)
        ):
            cells[names.position] = int(place.removesuffix(".0"))
    number = cells.get(names.id)
    if isinstance(number, str):
        if _SCIENTIFIC.fullmatch(number):
            raise ValueError(
                f"id: {number} has lost its digits (Excel and pandas write long numbers so): "
                "store the column as text"
            )
        pointed = _FRACTION.fullmatch(number) is not None
        if pointed and file.fractions:
            cells[names.id] = number.removesuffix(".0")
        elif pointed:
            file.counts.pointed += 1
        elif file.fractions and number.strip():
            raise ValueError(f"id: {_shown(number)!r} among ids that are numbers (123.0)")
    return cells


def _with_whole_ids(
    rows: Iterator[Row | BadRow], header: list[str], file: _File
) -> Iterator[Row | BadRow]:
    """The same rows, once it is known whether the ids are numbers that became fractions: all of
    the first `LOOK` end in .0 then."""
    if file.columns.id not in header:
        return rows
    column = header.index(file.columns.id)
    ahead: list[Row | BadRow] = []
    found = 0
    for row in rows:
        ahead.append(row)
        if isinstance(row, BadRow) or len(row.cells) <= column or not row.cells[column].strip():
            continue
        if not _FRACTION.fullmatch(row.cells[column]):
            found = 0
            break
        found += 1
        if found == LOOK:
            break
    file.fractions = found > 0
    return chain(ahead, rows)


def _read_parquet(start: Opened, file: _File) -> _Rows:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SettingsError(
            f"{file.name}: reading Parquet needs pyarrow",
            remedy="pip install 'affiliation-resolver[parquet]'",
        ) from error
    with ExitStack() as files:
        stream = start.stream
        try:
            if start.sought:
                stream = files.enter_context(Path(file.name).open("rb"))
            else:
                # Its directory is at its end.
                stream = files.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(start.stream, stream)
        except OSError as error:
            raise SettingsError(
                f"{file.name}: no temporary copy of it could be made: {error.strerror or error}",
                remedy="name the file instead, unpacked; or a folder with room for it (TMPDIR)",
            ) from error
        try:
            table = parquet.ParquetFile(stream)
        except (pyarrow.ArrowException, OSError) as error:
            raise SettingsError(f"{file.name}: not a Parquet file: {error}") from error
        found = list(table.schema_arrow.names)
        file.require_columns(found)
        file.begin(found)
        wanted = set(file.columns.all())
        position = -1
        try:
            for batch in table.iter_batches(
                _BATCH, columns=[name for name in found if name in wanted]
            ):
                for row in _rows(batch):
                    position += 1
                    yield file.record(
                        _numbers(row, file.columns), position=position, line=position + 1
                    )
        except (pyarrow.ArrowException, OSError) as error:
            raise file.broken(error, line=position + 2) from error


def _numbers(row: dict[str, object], columns: Columns) -> dict[str, object]:
    """A row without a position where there is none (pandas: not a number), and without decimals."""
    place, number = row.get(columns.position, 0), row.get(columns.id)
    if place is None or place != place:
        del row[columns.position]
    if isinstance(number, Decimal) and number == number.to_integral_value():
        row[columns.id] = int(number)
    return row


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


_READERS: Mapping[Format, Callable[[Opened, _File], _Rows]] = {
    Format.JSONL: _read_jsonl,
    Format.CSV: _read_table,
    Format.TSV: _read_table,
    Format.PARQUET: _read_parquet,
    Format.TXT: _read_txt,
}
