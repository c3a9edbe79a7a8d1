"""Files and archives of works (`resolver.intake.work`) → records.

A file has a work a line, or is one JSON document with a list of works, or an XML document with
articles (`resolver.intake.jats`); an archive (tar) has such files, gzipped or not. All are read in
a stream.
"""

from __future__ import annotations

import codecs
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, cast

import ijson

from resolver.errors import FileBroken, IntakeError, SettingsError
from resolver.intake import jats, json_shape
from resolver.intake.format import Format
from resolver.intake.lines import MAX_LINE, Opened, not_in, unpacked
from resolver.intake.message import parse_record
from resolver.intake.record import AssertedRecord
from resolver.intake.rows import Records, RowConverter, WorkCounts
from resolver.intake.work import Work, work_of

MAX_DEPTH = 1000
"""Most arrays and objects within each other. The memory of the JSON reader grows with the square of
the depth: 0.25 GB at 10,000. Works have some ten."""

_BYTES = 2**16
"""Bytes of a document that are parsed together."""

_ENDINGS = (".json", ".jsonl", ".ndjson", ".xml", ".nxml")
_MEMBERS = (*_ENDINGS, *(f"{ending}.gz" for ending in _ENDINGS))
"""Endings of the names in an archive that are read."""

_BROKEN = (EOFError, OSError, zlib.error, ijson.JSONError, UnicodeError)
"""What is raised where a file cannot be read further; `gzip.BadGzipFile` is an OSError."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("|\\?\Z)', re.DOTALL)
"""A string with its quotes; where the bytes end within one, what is there of it, and in the group
the backslash that a part of it may end with."""


def read(start: Opened, converter: RowConverter) -> Records:
    """An `AssertedRecord` for each affiliation: the position counts all those of its work.

    Raises:
        SettingsError: it is none of the forms of works.
        FileBroken: the file cannot be read further. Where that is a file of an archive, it is told
            as a refusal, and reading goes on with the next.
    """
    return _Reader(converter).read(start)


class _Reader:
    def __init__(self, converter: RowConverter) -> None:
        self._converter = converter
        self._read = 0
        """Works read so far, good or bad."""

    def read(self, start: Opened) -> Records:
        if not start.is_tar:
            yield from self._file(start)
            return
        packed = _Noting(start.stream)
        for name, stream in self._members(start.name, packed):
            try:
                yield from self._file(unpacked(name, stream))
            except FileBroken as error:
                if packed.error is not None:
                    raise self._broken(start.name, packed.error) from error
                reason = f"the rest of this file cannot be read: {error.reason}"
                yield self._refusal(f"{name}, from {error.unit} {error.line} on", reason)
            except SettingsError as error:
                yield self._refusal(name, error.problem.removeprefix(f"{name}: "))
            except tarfile.TarError as error:
                raise self._broken(start.name, error) from error

    def _members(self, path: str, packed: _Noting) -> Iterator[tuple[str, IO[bytes]]]:
        """The files of works in an archive, each with its name; to be read in this order."""
        skipped = 0
        try:
            with tarfile.open(fileobj=cast(Any, packed), mode="r|") as archive:
                for member in archive:
                    # All of them are kept otherwise.
                    archive.members = []  # type: ignore[attr-defined]
                    name = member.name.rsplit("/", 1)[-1]
                    if not member.isfile():
                        continue
                    if name.startswith(".") or not name.lower().endswith(_MEMBERS):
                        skipped += 1
                    elif (stream := archive.extractfile(member)) is not None:
                        yield f"{path}:{member.name}", stream
                    if self._converter.works:
                        self._converter.works.skipped = skipped
        except (tarfile.TarError, *_BROKEN) as error:
            raise self._broken(path, error) from error

    def _broken(self, name: str, error: BaseException) -> FileBroken:
        return FileBroken(name, line=self._read + 1, reason=_first_line(error), unit="work")

    def _file(self, start: Opened) -> Records:
        if start.is_xml:
            yield from self._articles(start)
            return
        beginning = start.ahead(json_shape.LOOK)
        if not beginning.strip():
            return
        shape = json_shape.shape_of(beginning)
        self._begin(start, shape.of)
        if shape.lines:
            yield from self._lines(start)
        elif shape.path is None:
            raise SettingsError(
                f"{start.name}: no list of works in it",
                remedy='JSON lines, a JSON array, {"items": […]} and answers of the APIs are read',
            )
        else:
            yield from self._document(start, shape.path)

    def _begin(self, start: Opened, of: str | None) -> None:
        """Know whose works they are, before the first one is read. `of` is the format that the
        file shows, None where it shows none."""
        converter = self._converter
        recognised = converter.form is Format.AUTO
        if not recognised and (of == Format.JATS) != (converter.form is Format.JATS):
            what = "XML" if of == Format.JATS else "no XML"
            raise SettingsError(
                f"{start.name}: it is {what}, and works of the format {converter.form} are read",
                remedy="read files of different formats apart",
            )
        if converter.works is not None:
            return
        if recognised:
            if of is None:
                raise SettingsError(
                    f"{start.name}: no works of Crossref, DataCite or OpenAlex are recognised in "
                    "it",
                    remedy="say whose they are (--format crossref, datacite or openalex)",
                )
            converter.form = Format(of)
        converter.begin_works(WorkCounts(converter.form, recognised or converter.recognised))

    def _lines(self, start: Opened) -> Records:
        encoding = start.encoding(self._converter.encoding)
        for number, line in start.lines(encoding):
            if line is not None and not line.strip():
                continue
            place = f"{start.name}, line {number}"
            try:
                record = _json(line, encoding)
            except ValueError as error:
                self._read += 1
                yield self._refusal(place, str(error))
            else:
                yield from self._work(partial(self._work_of, record), place)

    def _articles(self, start: Opened) -> Records:
        xml = _Counted(start.stream)
        number = 0
        try:
            for number, article in enumerate(jats.articles(start.name, xml), 1):
                if number == 1:
                    self._begin(start, Format.JATS)
                xml.mark_record()
                yield from self._work(partial(jats.work, article), f"{start.name}, work {number}")
        except (_TooMuch, jats.Broken, *_BROKEN) as error:
            raise FileBroken(
                start.name, line=number + 1, reason=_first_line(error), unit="work"
            ) from error
        if not number:
            raise SettingsError(
                f"{start.name}: no article in it", remedy="articles in JATS XML are read"
            )

    def _document(self, start: Opened, path: str) -> Records:
        text = _Text(start.stream)
        number = 0
        try:
            for number, record in enumerate(
                ijson.items(text, path, buf_size=_BYTES, multiple_values=path == ""), 1
            ):
                text.mark_record()
                yield from self._work(
                    partial(self._work_of, record), f"{start.name}, work {number}"
                )
        except _TooMuch as error:
            raise FileBroken(start.name, line=number + 1, reason=str(error), unit="work") from error
        except _BROKEN as error:
            raise FileBroken(
                start.name, line=number + 1, reason=_first_line(error), unit="work"
            ) from error

    def _work_of(self, record: object) -> Work:
        works = self._converter.works
        assert works is not None
        return work_of(record, works.form)

    def _work(self, read: Callable[[], Work], place: str) -> Records:
        works = self._converter.works
        assert works is not None
        self._read += 1
        try:
            work = read()
            records = list(self._records(work))
        except ValueError as error:
            yield self._refusal(place, str(error))
            return
        except IntakeError as error:
            yield self._refusal(place, error.reason)
            return
        works.works += 1
        works.without += not work.affiliations
        works.unwritten += len(work.affiliations) - len(records)
        works.repeating += self._converter.positions.came(self._converter.source, work.id)
        yield from records

    def _records(self, work: Work) -> Iterator[AssertedRecord]:
        for position, affiliation in enumerate(work.affiliations):
            if not affiliation.text.strip():
                continue
            raw = {
                "source": self._converter.source,
                "id": work.id,
                "affiliation": affiliation.text,
                "position": position,
            }
            record = parse_record(raw, position=0)
            yield AssertedRecord(
                record.source,
                record.external_id,
                record.affiliation,
                record.position,
                asserted=affiliation.asserted,
            )

    def _refusal(self, place: str, reason: str) -> IntakeError:
        return IntakeError(position=max(self._read - 1, 0), reason=f"{place}: {reason}")


def _json(line: str | None, encoding: str) -> object:
    if line is None:
        raise ValueError(f"longer than {MAX_LINE} characters")
    if not line.isascii() and (problem := not_in(encoding, line)):
        raise ValueError(problem)
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON of a sane depth") from None


class _Noting:
    """A stream that remembers why it could not be read further.

    An archive is read through the stream of one of its files; only here it shows which of the two
    is broken.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except _BROKEN as error:
            self.error = error
            raise


class _TooMuch(Exception):
    """A record is larger than any work is."""


class _Counted:
    """The bytes of a document, counted from one record to the next.

    Raises (`read`):
        _TooMuch: a record is longer than `MAX_LINE` bytes; what came before was given.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._record_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._record_bytes += len(data)
        if self._record_bytes > MAX_LINE + 2 * _BYTES:
            raise _TooMuch(f"a record is longer than {MAX_LINE} bytes")
        return data

    def mark_record(self) -> None:
        """A record ends here: its bytes are counted from 0 again."""
        self._record_bytes = 0


class _Text(_Counted):
    """The bytes of a JSON document for ijson, without a byte order mark.

    Raises (`read`):
        _TooMuch: a record is longer than `MAX_LINE` bytes, or nested deeper than `MAX_DEPTH`; what
            came before was given.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self._begun = False
        self._too_deep = False
        self._depth = 0
        self._open = b""
        """The end of the string in which the last bytes ended, as far as needed to read on."""

    def read(self, size: int = -1) -> bytes:
        if size == 0:
            # ijson asks once for 0 bytes, to learn whether it gets bytes or text.
            return b""
        if self._too_deep:
            raise _TooMuch(f"more than {MAX_DEPTH} arrays and objects are within each other")
        data = super().read(size)
        if not self._begun:
            data = data.removeprefix(codecs.BOM_UTF8) or super().read(size)
            self._begun = True
        return data[: self._follow(data)]

    def _follow(self, data: bytes) -> int:
        """Count the depth after these bytes; brackets in strings do not count. Returns how many of
        the bytes are not too deep."""
        before = len(self._open)
        text, self._open = self._open + data, b""
        outside = _STRING.sub(self._blank, text)
        opening = outside.count(b"[") + outside.count(b"{")
        if self._depth + opening <= MAX_DEPTH:
            self._depth += opening - outside.count(b"]") - outside.count(b"}")
            return len(data)
        for place, byte in enumerate(outside):
            self._depth += (byte in b"[{") - (byte in b"]}")
            if self._depth > MAX_DEPTH:
                self._too_deep = True
                # No bytes at all would mean that the document ends here.
                return max(place - before, 1)
        return len(data)

    def _blank(self, string: re.Match[bytes]) -> bytes:
        if string[1] != b'"':
            self._open = b'"' + string[1]
        return b" " * len(string[0])


def _first_line(error: BaseException) -> str:
    # ijson shows the bytes in question below the message, and gives bytes if they are not UTF-8.
    message = error.args[0] if isinstance(error, ijson.JSONError) and error.args else str(error)
    text = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    return next(iter(text.splitlines()), type(error).__name__).strip()
