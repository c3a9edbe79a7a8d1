"""``resolver resolve``: the matcher without a database."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from resolver.cli import incoming
from resolver.cli.incoming import (
    AffiliationColumn,
    Delimiter,
    Encoding,
    FormatOption,
    IdColumn,
    PositionColumn,
    Quoted,
    SourceColumn,
)
from resolver.cli.policy import Choices, policy_options
from resolver.cli.tables import Table
from resolver.cli.terminal import console, say, write_json
from resolver.errors import SettingsError
from resolver.intake.columns import Columns
from resolver.intake.format import Format
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import LinkEvidence, Outcome, Reason
from resolver.service import service
from resolver.settings import load_settings

REASONS = {
    Reason.EMPTY: "there is no text",
    Reason.TOO_LONG: "it is too long for an affiliation",
    Reason.PLACE_ONLY: "it names places only",
    Reason.PERSON_OR_NOISE: "it names persons, or is a remark or a number",
    Reason.DEPARTMENT_ONLY: "it names a department, not what that is part of",
    Reason.NOT_IN_REGISTRY: "the registry has no organisation like this",
    Reason.AMBIGUOUS: "several organisations fit equally well",
    Reason.NOT_ADMITTED: "its organisation is of a type or in a country that was excluded",
    Reason.BELOW_THRESHOLD: "an organisation is near, but not probable enough",
    Reason.OVERRIDDEN: "a person said that it is not what it would be linked to",
}
"""Each reason in plain words."""

CHUNK = 64
"""Affiliations resolved together when they come from a file or a pipe."""


@policy_options
def resolve(
    affiliations: Annotated[
        list[str] | None, typer.Argument(help="Affiliations; without any, --file or stdin.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A file, as for enqueue; - is stdin.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of a table.")
    ] = False,
    format: FormatOption = Format.AUTO,
    affiliation_column: AffiliationColumn = "affiliation",
    id_column: IdColumn = "id",
    source_column: SourceColumn = "source",
    position_column: PositionColumn = "position",
    delimiter: Delimiter = None,
    quoted: Quoted = None,
    encoding: Encoding = None,
    *,
    choices: Choices,
) -> None:
    """Link affiliations to organisations and print the links. Needs the index, not the database.

    Of a file that has ids, each JSON object has source, id and position too. A bad line is told
    and skipped; exit code 2 then.
    """
    if affiliations and file:
        raise SettingsError("affiliations were given both as arguments and by --file")
    refused, rows = incoming.Refusals(), None
    if affiliations:
        records: Iterator[SourceRecord] = (
            SourceRecord("", "", affiliation) for affiliation in affiliations
        )
    else:
        rows = incoming.read(
            file,
            format,
            Columns(affiliation_column, id_column, source_column, position_column),
            delimiter,
            quoted,
            encoding,
            blank=True,
        )
        records = refused.good(rows)
    identified = rows is not None and rows.identified
    with service.matcher(choices.over(load_settings())) as matcher:
        for chunk in _chunks(records, 1 if sys.stdin.isatty() and not affiliations else CHUNK):
            outcomes = matcher.resolve([record.affiliation for record in chunk])
            for record, outcome in zip(chunk, outcomes, strict=True):
                key = _key(record) if identified else {}
                if as_json:
                    write_json(key | as_object(outcome))
                else:
                    console.print(for_a_person(outcome, str(key.get("id", ""))))
            sys.stdout.flush()
    if rows is not None:
        incoming.tell_remarks(rows)
    if refused.count:
        refused.tell()
        say(f"{refused.count:,} lines refused; the others were answered")
        raise typer.Exit(2)


def _key(record: SourceRecord) -> dict[str, object]:
    return {"source": record.source, "id": record.external_id, "position": record.position}


def in_words(reason: Reason) -> str:
    """ "ambiguous: several organisations fit equally well"."""
    return f"{reason}: {REASONS[reason]}"


def as_object(outcome: Outcome) -> dict[str, object]:
    """The JSON form of an outcome."""
    return {
        # JSON has no lone surrogates.
        "affiliation": outcome.affiliation.encode("utf-8", "replace").decode(),
        "status": outcome.status,
        "reason": outcome.reason,
        "links": [
            {
                "ror_id": link.ror_id,
                "name": link.name,
                "matched_name": link.matched_name,
                "probability": round(link.probability, 4),
                "score": None if link.score is None else round(link.score, 4),
                "rank": link.rank,
                "stands_for": link.stands_for,
                "evidence": link.evidence and _evidence(link.evidence),
            }
            for link in outcome.links
        ],
    }


def _evidence(evidence: LinkEvidence) -> dict[str, object]:
    rounded = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(evidence).items()
    }
    return rounded | {"weighed": {name: round(added, 4) for name, added in evidence.weighed}}


def for_a_person(outcome: Outcome, number: str = "") -> Group:
    """One affiliation and its links; `number` is the id of its record."""
    heading = Text(outcome.affiliation, style="bold")
    if number:
        heading = Text(f"{number}  ", style="dim").append_text(heading)
    if outcome.reason:
        return Group(
            heading, Text("  no match: ", style="yellow").append(in_words(outcome.reason)), ""
        )
    table = Table(box=None, padding=(0, 2), pad_edge=True, show_header=False)
    for link in outcome.links:
        name = Text(link.name)
        if link.matched_name != link.name:
            name.append(f"  as “{link.matched_name}”", style="dim")
        if link.stands_for:
            name.append(f"  for {', '.join(link.stands_for)}", style="dim")
        table.add_row(Text(link.ror_id, style="green"), f"{link.probability:.3f}", name)
    return Group(heading, table, "")


def _chunks(records: Iterable[SourceRecord], size: int) -> Iterator[list[SourceRecord]]:
    chunk: list[SourceRecord] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
