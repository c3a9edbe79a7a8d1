"""Files of affiliations on the command line: their options, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resolver import files
from resolver.cli.terminal import say
from resolver.domain.affiliation import SourceRecord
from resolver.errors import IntakeError
from resolver.files import AffiliationFile, Columns, Format

TOLD = 10
"""Bad lines that are told one by one; the rest are counted."""

PANEL = "How the file is written"
"""Where the help lists these options."""

FormatOption = Annotated[Format, typer.Option("--format", help="Its form.", rich_help_panel=PANEL)]
AffiliationColumn = Annotated[
    str, typer.Option("--affiliation-column", help="Its name there.", rich_help_panel=PANEL)
]
IdColumn = Annotated[str, typer.Option("--id-column", help="Its name.", rich_help_panel=PANEL)]
SourceColumn = Annotated[
    str, typer.Option("--source-column", help="Its name.", rich_help_panel=PANEL)
]
PositionColumn = Annotated[
    str, typer.Option("--position-column", help="Its name.", rich_help_panel=PANEL)
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter", help="Between columns; tab for tabs. Else by header.", rich_help_panel=PANEL
    ),
]
Quoted = Annotated[
    bool | None,
    typer.Option(
        "--quoted/--unquoted",
        help='Cells may stand in "…". CSV has it so, tables with tabs do not.',
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding", help="utf-8, utf-16-le, windows-1252 … Else UTF-8.", rich_help_panel=PANEL
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
        delimiter="\t" if delimiter in ("tab", "\\t") else delimiter,
        quoted=quoted,
        encoding=encoding,
        blank=blank,
    )


@dataclass
class Refusals:
    """Bad lines: how many, and the first `TOLD` of them."""

    count: int = 0
    first: list[IntakeError] = field(default_factory=list)

    def good(self, rows: AffiliationFile) -> Iterator[SourceRecord]:
        """The good rows; the others are kept here."""
        for row in rows:
            if isinstance(row, SourceRecord):
                yield row
                continue
            self.count += 1
            if len(self.first) < TOLD:
                self.first.append(row)

    def tell(self) -> None:
        for error in self.first:
            say(Text.assemble(("refused", "yellow"), f" {error}"))


def tell_remarks(rows: AffiliationFile) -> None:
    """How the file was read, where it leaves that open."""
    for remark in rows.remarks():
        say(Text.assemble(("file", "dim"), f" {remark}"))
