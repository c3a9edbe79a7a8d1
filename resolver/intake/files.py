"""Files of affiliations → `SourceRecord`s, one refusal for each bad line.

A file may lack what a message has (ids, sources, positions): `read_file` fills that in, and
`AffiliationFile.remarks` says what was filled in. Each format has a module: `json_lines`, `table`,
`parquet`, `plain_text`; those of works share `work_files`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from resolver.errors import IntakeError
from resolver.intake import json_lines, parquet, plain_text, table, work_files
from resolver.intake.columns import Columns
from resolver.intake.format import WORKS, Format, format_of
from resolver.intake.lines import Opened, opened
from resolver.intake.positions import Positions
from resolver.intake.record import SourceRecord
from resolver.intake.rows import Records, RowConverter


class AffiliationFile(Iterator["SourceRecord | IntakeError"]):
    """The rows of a file, read as it is iterated over.

    `form` is how the file is written. `identified` says whether the file has ids of its own:
    numbers of lines name no record of anybody.
    """

    def __init__(self, converter: RowConverter, records: Records) -> None:
        self._converter = converter
        self._open = ExitStack()
        # Reads the header now, so that a wrong one is reported before anything is sent.
        first = next(records, None)
        self.form = converter.form
        self._records = records if first is None else chain([first], records)

    def keep(self, files: ExitStack) -> AffiliationFile:
        """Have `files` closed when all rows are read."""
        self._open = files
        return self

    def __next__(self) -> SourceRecord | IntakeError:
        try:
            return next(self._records)
        except BaseException:
            self._open.close()
            raise

    @property
    def identified(self) -> bool:
        return self._converter.numbered is False

    def remarks(self) -> list[str]:
        """What a user should know of how the file is read; complete when all rows are read."""
        return self._converter.remarks()


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

    Reads JSON lines, CSV or TSV with a header, Parquet, plain text with one affiliation a line, and
    works of Crossref, DataCite, OpenAlex and in JATS, also in a tar archive; each may be gzipped.
    `path` None is standard input. The file is read in a stream: memory does not grow with it.

    `AUTO` goes by the name of the file. Where that is .txt, and for standard input, the first line
    decides: one that names the column of the affiliations begins a table, one that begins with
    ``{"`` begins JSON lines. Parquet and tar archives are recognised by their first bytes, works by
    keys of their own (`resolver.intake.json_shape.WORK_KEYS`). The affiliations of works are
    `AssertedRecord`s, and their source is ``crossref``, ``datacite``, ``openalex`` or
    ``jats`` if none is given.

    Text is UTF-8, or as its byte order mark says, or in `encoding`. `delimiter` stands between the
    columns of a table; without it, it is the one by which the header has the column of the
    affiliations. `quoted` says whether cells may be in double quotes: by default they may, except
    in tables with tabs whose header has no quotes.

    A record without a source gets `source`. Where that is not given and the file has no sources (in
    JSON lines: the first record has none), it gets the name of the file without suffixes. In a file
    without ids the numbers of lines (in Parquet of rows) serve as ids, counted from 1. A row
    without a position gets the next one of its id: 0, 1, 2 … in the order of the rows, whether they
    are neighbours or not.

    Blank lines are skipped, unless `blank` asks for those of plain text. Text that is not valid in
    the encoding is refused, not repaired: a garbled name would be matched like any other.

    Raises (at once, but for the last):
        SettingsError: the file, its format or its columns cannot be used.
        FileBroken: the file breaks off (a cut gzip file); what came before was yielded.
    """
    columns = columns or Columns()
    with ExitStack() as files:
        start = files.enter_context(opened(path))
        form = format_of(path, start, format, columns, delimiter, encoding)
        converter = RowConverter(
            name=start.name,
            form=form,
            columns=columns,
            given=source,
            source=source or (_stem(path) if path else "stdin"),
            encoding=file_encoding(start, form, encoding),
            recognised=format is Format.AUTO,
            delimiter=delimiter,
            quoted=quoted,
            blank=blank,
            positions=files.enter_context(Positions()),
        )
        reading = AffiliationFile(converter, _READERS[form](start, converter))
        return reading.keep(files.pop_all())


def file_encoding(start: Opened, form: Format, given: str | None) -> str | None:
    """The encoding of a text; for files of works, which have each their own, as given."""
    if form is Format.PARQUET:
        return None
    return given if form is Format.AUTO or form in WORKS else start.encoding(given)


def _stem(path: Path) -> str:
    return path.name.split(".", maxsplit=1)[0] or path.name


_READERS: Mapping[Format, Callable[[Opened, RowConverter], Records]] = {
    Format.JSONL: json_lines.read,
    Format.CSV: table.read,
    Format.TSV: table.read,
    Format.PARQUET: parquet.read,
    Format.TXT: plain_text.read,
    **dict.fromkeys((Format.AUTO, *WORKS), work_files.read),
}
