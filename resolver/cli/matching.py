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

from resolver import service
from resolver.cli.policy import Choices, policy_options
from resolver.cli.tables import Table
from resolver.cli.terminal import console, write_json
from resolver.domain.outcome import LinkEvidence, Outcome, Reason
from resolver.errors import SettingsError
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
    file: Annotated[
        Path | None, typer.Option(help="A text file, one affiliation a line; - is stdin.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line instead of a table.")
    ] = False,
    *,
    choices: Choices,
) -> None:
    """Link affiliations to organisations and print the links. Needs the index, not the database."""
    if affiliations and file:
        raise SettingsError("affiliations were given both as arguments and by --file")
    lines = iter(affiliations) if affiliations else _lines(file)
    with service.matcher(choices.over(load_settings())) as matcher:
        for chunk in _chunks(lines, 1 if sys.stdin.isatty() and not affiliations else CHUNK):
            for outcome in matcher.resolve(chunk):
                if as_json:
                    write_json(as_object(outcome))
                else:
                    console.print(for_a_person(outcome))
            sys.stdout.flush()


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


def for_a_person(outcome: Outcome) -> Group:
    """One affiliation and its links."""
    heading = Text(outcome.affiliation, style="bold")
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


def _lines(file: Path | None) -> Iterator[str]:
    if file is None or str(file) == "-":
        source = sys.stdin.buffer
    else:
        try:
            source = file.open("rb")
        except OSError as error:
            raise SettingsError(f"{file}: {error.strerror}") from error
    with source:
        for line in source:
            yield line.decode("utf-8", "replace").rstrip("\r\n")


def _chunks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
