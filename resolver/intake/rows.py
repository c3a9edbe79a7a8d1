"""Rows of a file → records; what a row lacks is filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from resolver.errors import FileBroken, IntakeError, SettingsError
from resolver.intake import delimited
from resolver.intake.columns import Columns
from resolver.intake.format import Format
from resolver.intake.lines import MAX_LINE, Opened, not_in
from resolver.intake.message import MAX_POSITION, parse_record
from resolver.intake.positions import Positions
from resolver.intake.record import SourceRecord

Records = Iterator[SourceRecord | IntakeError]
"""Records of a file in order, an error in the place of each bad one."""


@dataclass(slots=True)
class Counts:
    """Rows seen so far that a user should hear of."""

    ordered: int = 0
    """Rows with the id of an earlier row and no position: they get it by their order."""

    apart: int = 0
    """Those of them that do not come directly after that row."""

    repeating: int = 0
    """Rows with the source, id and position of an earlier row."""

    spread: int = 0
    """Rows that go over several lines."""

    longest: tuple[int, int] = (0, 0)
    """Lines of the longest row, and the number of its first line."""

    in_quotes: int = 0
    """Rows with a cell in quotes, where quotes are taken as part of the text."""

    pointed: int = 0
    """Rows with an id like 123.0 among ids that are no such numbers."""


@dataclass(slots=True)
class WorkCounts:
    """Works seen so far, of the format `form`; `recognised` by their content, or asked for."""

    form: Format
    recognised: bool
    works: int = 0
    without: int = 0
    """Works without an affiliation."""

    unwritten: int = 0
    """Affiliations that are an id of an organisation without a text."""

    repeating: int = 0
    """Works with the id of an earlier one."""

    skipped: int = 0
    """Files of an archive that are neither JSON nor XML."""

    def remarks(self) -> Iterator[str]:
        how = "recognised by its content" if self.recognised else "as asked"
        yield f"read as {_OF[self.form]} ({how}): {self.works:,} works"
        if self.without:
            yield f"{self.without:,} works have no affiliation"
        if self.unwritten:
            yield (
                f"{self.unwritten:,} affiliations are an id without a text: there is nothing to "
                "resolve"
            )
        if self.repeating:
            yield f"{self.repeating:,} works come again, and replace what came before"
        if self.skipped:
            yield (
                f"{self.skipped:,} files of the archive are neither JSON nor XML, and were left out"
            )


_OF = {
    Format.CROSSREF: "works of Crossref",
    Format.DATACITE: "works of DataCite",
    Format.OPENALEX: "works of OpenAlex",
    Format.JATS: "articles in JATS",
}


@dataclass(slots=True)
class RowConverter:
    """Makes records of the rows of one file, and counts what a user should hear of.

    `given` is the source that the caller named; records that name none get `source`. `numbered`
    says whether numbers of lines serve as ids (None until the columns are known), `sourced` whether
    the file has a column of sources, `fractions` whether ids are whole numbers that became
    fractions, `separated` what stands between the columns where that is unusual. `other_columns`
    are those that nothing is read from. `recognised` says that the format was taken from the
    content, `works` counts the works in a file of these.
    """

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
    recognised: bool = False
    numbered: bool | None = None
    sourced: bool = False
    fractions: bool = False
    separated: str | None = None
    other_columns: tuple[str, ...] = ()
    last: tuple[str, str] | None = None
    counts: Counts = field(default_factory=Counts)
    works: WorkCounts | None = None

    def begin(self, names: Sequence[str]) -> None:
        """Take note of the columns of the file; of JSON lines, of the keys of the first record."""
        self.numbered = self.columns.id not in names and self.columns.id == Columns().id
        self.sourced = self.columns.source in names
        self.other_columns = tuple(name for name in names if name not in self.columns.all())

    def begin_works(self, works: WorkCounts) -> None:
        """Take note that the file holds works: they have ids, and the source is known."""
        self.form, self.works, self.numbered = works.form, works, False
        self.source = self.given or works.form.value

    def record(
        self, row: Mapping[str, object], *, position: int, line: int
    ) -> SourceRecord | IntakeError:
        """The record of a row. What the row lacks is filled in, as `read_file` says.

        `position` is the place of the row in the file, `line` the number of its line.
        """
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
            # `parse_record` refuses a source that is null or empty where none was given.
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

    def lines(self, start: Opened) -> Iterator[tuple[int, str | None]]:
        """Numbered lines of the file, as `Opened.lines` gives them."""
        assert self.encoding is not None
        return start.lines(self.encoding)

    def text(self, line: str | None) -> str:
        """A line without its end.

        Raises:
            ValueError: it is too long, or not written in the file's encoding.
        """
        if line is None:
            raise ValueError(f"longer than {MAX_LINE} characters")
        assert self.encoding is not None
        if not line.isascii() and (problem := not_in(self.encoding, line)):
            raise ValueError(problem)
        return line.rstrip("\r\n")

    def refusal(self, reason: str, *, position: int, line: int) -> IntakeError:
        return IntakeError(position=position, reason=f"{self.name}, line {line}: {reason}")

    def broken(self, error: Exception, *, line: int) -> FileBroken:
        return FileBroken(self.name, line=line, reason=str(error))

    def require_columns(self, header: Sequence[str]) -> None:
        """Refuse a table whose header lacks a column that was named, or has one twice.

        Raises:
            SettingsError: names the column.
        """
        names = self.columns
        if names.affiliation not in header:
            raise SettingsError(
                f"{self.name}: no column {names.affiliation!r}; there are: {_listed(header)}",
                remedy="name the column of the affiliations (--column), or what is "
                "between the columns (--delimiter)",
            )
        if missing := names.missing(header):
            raise SettingsError(
                f"{self.name}: no column {missing[0]!r}; there are: {_listed(header)}",
                remedy="name a column that is there, or none",
            )
        if twice := delimited.repeated(header, names.all()):
            places = [str(place) for place, name in enumerate(header, 1) if name == twice[0]]
            raise SettingsError(
                f"{self.name}: {len(places)} columns are named {twice[0]!r} "
                f"(columns {', '.join(places)})",
                remedy="rename all but the one that is meant",
            )

    def remarks(self) -> list[str]:
        """What a user should know of how the file is read, so far."""
        if self.works is not None:
            return list(self.works.remarks())
        remarks, counts, names = [], self.counts, self.columns
        if self.separated is not None:
            remarks.append(f"columns are separated by {self.separated}")
        if self.numbered and self.form is not Format.TXT:
            others = (
                f"; columns there are: {_listed(self.other_columns)}" if self.other_columns else ""
            )
            remarks.append(
                f"there is no {names.id!r}: numbers of lines are taken as ids; where another "
                f"column has them, say so (--id-column){others}"
            )
        if self.fractions:
            remarks.append("ids are written as fractions (123.0) and taken as whole numbers (123)")
        if counts.pointed:
            remarks.append(
                f"{counts.pointed:,} ids end in .0, others do not: they are taken as they are"
            )
        if counts.ordered:
            apart = f", {counts.apart:,} of them not next to each other" if counts.apart else ""
            remarks.append(
                f"{counts.ordered:,} rows have the id of an earlier row and no position{apart}: it "
                "follows from their order (0, 1, 2 …)"
            )
        if counts.repeating:
            remarks.append(
                f"{counts.repeating:,} rows have the source, id and position of an earlier row, "
                "which they replace"
            )
        if counts.spread:
            longest, line = counts.longest
            remarks.append(
                f"{counts.spread:,} rows go over several lines, by quoted line breaks; the longest "
                f"over {longest:,}, from line {line:,}"
            )
        if counts.in_quotes:
            remarks.append(
                f"{counts.in_quotes:,} rows have a cell in quotes, taken as part of the text; if "
                "they only enclose it, say so (--quoted) and send again"
            )
        return remarks


def _blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _listed(names: Sequence[str]) -> str:
    """The first names of a header, shortened: a file that is no table may have anything there."""
    return ", ".join(map(shown, names[:20])) or "none"


def shown(name: str) -> str:
    """A text from a file, in at most 40 characters that a terminal can print."""
    text = "".join(character if character.isprintable() else " " for character in name)
    return text if len(text) <= 40 else f"{text[:39]}…"
