"""Files of affiliations on the command line: the options, the refused lines, the remarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resolver.cli.terminal import say
from resolver.errors import IntakeError
from resolver.intake import files
from resolver.intake.columns import Columns
from resolver.intake.files import AffiliationFile
from resolver.intake.format import Format
from resolver.intake.record import SourceRecord

MOST_PRINTED = 10
"""Bad lines that are printed; the others are counted."""

PANEL = "Format of the file"
"""Where the help lists these options."""

FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        metavar="FORM",
        help="auto (by name and content), jsonl, csv, tsv, parquet, txt, crossref, datacite, "
        "openalex or jats.",
        rich_help_panel=PANEL,
    ),
]
AffiliationColumn = Annotated[
    str,
    typer.Option(
        "--column",
        metavar="NAME",
        help="The column of the affiliations.",
        rich_help_panel=PANEL,
    ),
]
IdColumn = Annotated[
    str,
    typer.Option(
        "--id-column",
        metavar="NAME",
        help="The column of the records' ids; without it lines are numbered.",
        rich_help_panel=PANEL,
    ),
]
SourceColumn = Annotated[
    str,
    typer.Option(
        "--source-column",
        metavar="NAME",
        help="The column of the records' sources.",
        rich_help_panel=PANEL,
    ),
]
PositionColumn = Annotated[
    str,
    typer.Option(
        "--position-column",
        metavar="NAME",
        help="The column of the positions; without it rows of one id are numbered.",
        rich_help_panel=PANEL,
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        metavar="SIGN",
        help="Column separator, or tab; by default detected from the header.",
        rich_help_panel=PANEL,
    ),
]
Quoted = Annotated[
    bool | None,
    typer.Option(
        "--quoted/--unquoted",
        help='Whether cells may be quoted in "…"; by default in CSV only, not with tabs.',
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="utf-16-le, windows-1252 …; by default UTF-8, or detected from the first bytes.",
        rich_help_panel=PANEL,
    ),
]


def read(
    file: Path | None,
    format: Format,
    columns: Columns,
    delimiter: str | None,
    quoted: bool | None,
    encoding: str | None,
    *,
    source: str | None = None,
    blank: bool = False,
) -> AffiliationFile:
    """A file by its options; none or - is standard input.

    Raises:
        SettingsError: as `files.read_file`.
    """
    return files.read_file(
        None if file is None or str(file) == "-" else file,
        format=format,
        source=source,
        columns=columns,
        delimiter=separator(delimiter),
        quoted=quoted,
        encoding=encoding,
        blank=blank,
    )


def separator(given: str | None) -> str | None:
    """What --delimiter means: a tab may be written as a word."""
    return "\t" if given in ("tab", "\\t") else given


@dataclass
class Refusals:
    """Bad lines: how many, and the first `MOST_PRINTED` of them."""

    count: int = 0
    first: list[IntakeError] = field(default_factory=list)

    def good(self, rows: AffiliationFile) -> Iterator[SourceRecord]:
        """The good rows; the others are counted here."""
        for row in rows:
            if isinstance(row, SourceRecord):
                yield row
            else:
                self.add(row)

    def add(self, error: IntakeError) -> None:
        self.count += 1
        if len(self.first) < MOST_PRINTED:
            self.first.append(error)

    def print(self) -> None:
        for error in self.first:
            say(Text.assemble(("refused", "yellow"), f" {error}"))


def print_remarks(rows: AffiliationFile) -> None:
    """Print how the file was read, where it does not say itself."""
    for remark in rows.remarks():
        say(Text.assemble(("file", "dim"), f" {remark}"))
