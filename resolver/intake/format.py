"""How a file of affiliations is written: by its first bytes, its name and its first line."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from resolver.errors import SettingsError
from resolver.intake import delimited, json_shape
from resolver.intake.columns import Columns
from resolver.intake.lines import PARQUET, Opened

_FROM_JSON = re.compile(r'\s*\{\s*["}]')


class Format(StrEnum):
    """How a file of affiliations is written; `AUTO` goes by its name and how it begins."""

    AUTO = "auto"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    TXT = "txt"
    CROSSREF = "crossref"
    DATACITE = "datacite"
    OPENALEX = "openalex"
    JATS = "jats"


WORKS = frozenset({Format.CROSSREF, Format.DATACITE, Format.OPENALEX, Format.JATS})
"""The formats whose records are works."""


def format_or_text(path: Path | None, start: Opened) -> Format:
    """How a file is written, by its name and its first line; plain text where these do not show
    it."""
    try:
        return format_of(path, start, Format.AUTO, Columns(), None, None)
    except SettingsError:
        return Format.TXT


def format_of(
    path: Path | None,
    start: Opened,
    asked: Format,
    columns: Columns,
    delimiter: str | None,
    encoding: str | None,
) -> Format:
    """How a file is written: as `asked`, or for `AUTO` as its beginning and its name show.

    `AUTO` is the answer for an archive (tar): its files hold works, and the first one shows of
    whom.

    Raises:
        SettingsError: the name shows no format, or what was asked does not fit the file.
    """
    if start.head.startswith(PARQUET):
        if asked not in (Format.AUTO, Format.PARQUET):
            raise SettingsError(
                f"{start.name} is a Parquet file, not {asked}", remedy="leave out --format"
            )
        return Format.PARQUET
    if start.is_tar and asked not in (Format.AUTO, *WORKS):
        raise SettingsError(
            f"{start.name} is a tar archive, not {asked}",
            remedy="leave out --format; archives of works (crossref, datacite, openalex, jats) "
            "are read",
        )
    form = asked
    if asked is Format.AUTO:
        if start.is_tar:
            return Format.AUTO
        if (written := _by_json(path, start, columns.affiliation)) is not None:
            return written
        if path is None and start.is_xml:
            return Format.JATS
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
            remedy="give it (--format jsonl, csv, tsv, parquet, txt, crossref, datacite, openalex "
            "or jats)",
        )
    return form


def _by_json(path: Path | None, start: Opened, column: str) -> Format | None:
    """The format of a file that begins like JSON, by the keys of its first records; None where they
    do not show it, or its name says that it is something else."""
    suffix = path.suffix.lower() if path else ""
    if suffix in _SUFFIXES and _SUFFIXES[suffix] not in (Format.JSONL, Format.TXT):
        return None
    if not json_shape.begins(start.head):
        return None
    # What is typed or piped in our own form is known by its first line: the next may be slow.
    if json_shape.first_line_has(start.head, column):
        return Format.JSONL
    shape = json_shape.shape_of(start.ahead(json_shape.LOOK))
    return Format(shape.of) if shape.of else None


_SUFFIXES = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".parquet": Format.PARQUET,
    ".txt": Format.TXT,
    ".xml": Format.JATS,
    ".nxml": Format.JATS,
}


def _by_first_line(line: str, column: str, delimiter: str | None) -> Format:
    """The format of a file whose name does not show it; plain text unless the line does."""
    if _FROM_JSON.match(line):
        return Format.JSONL
    if delimiter is not None or delimited.delimiter_of(line, column, ",") is not None:
        return Format.CSV
    return Format.TXT
