"""``resolver unmatched``: organisations that were never linked, in the form of ROR's curators."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import orjson
import typer

from resolver.cli.terminal import output, progress, say
from resolver.curation.ror_request import FIELDS, request
from resolver.curation.spreadsheet import cell
from resolver.curation.unmatched import UnmatchedOrganisation, grouped
from resolver.database.unmatched import Unmatched, unmatched_affiliations
from resolver.matching.outcome import Reason
from resolver.registry.document import Document
from resolver.service.installation import Installation
from resolver.settings import load_settings
from resolver.text.affiliation import Affiliation

LACKING = (Reason.NOT_IN_REGISTRY,)
"""Reasons for no link that say that the registry lacks an organisation. Where a candidate was near
or tied, ROR's curators would mostly find that they have it."""

CHUNK = 256
"""Names looked up together."""


class RequestFormat(StrEnum):
    AUTO = "auto"
    CSV = "csv"
    JSONL = "jsonl"


def unmatched(
    out: Annotated[Path | None, typer.Option(help="A file [stdout].")] = None,
    format: Annotated[RequestFormat, typer.Option(help="auto: by the file's name, else csv.")] = (
        RequestFormat.AUTO
    ),
    reason: Annotated[
        list[Reason] | None,
        typer.Option(help="Reasons [not_in_registry]; may be repeated."),
    ] = None,
    min_count: Annotated[int, typer.Option(min=1, help="Minimum number of times sent.")] = 1,
    source: Annotated[str | None, typer.Option(help="Only records of this source.")] = None,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Look up the most similar organisation of ROR.")
    ] = False,
) -> None:
    """Export the organisations that were never linked, grouped and counted, most frequent first.

    The columns are the fields of ROR's form for new records, filled as far as affiliations allow;
    those in lower case are for whoever reviews the list.
    """
    with Installation(load_settings()) as installation:
        rows = unmatched_affiliations(installation.engine, reasons=reason or LACKING, source=source)
        groups = [group for group in grouped(_counted(rows)) if group.count >= min_count]
        nearest_documents = _nearest(groups, installation) if nearest else {}
    requests = (request(group, nearest_documents.get(group.name)) for group in groups)
    with output(out) as file:
        if format is RequestFormat.JSONL or (
            format is RequestFormat.AUTO and out and out.suffix == ".jsonl"
        ):
            file.writelines(orjson.dumps(row).decode() + "\n" for row in requests)
        else:
            _write_csv(file, requests)
    say(f"{len(groups):,} organisations, sent {sum(group.count for group in groups):,} times")


def _nearest(
    groups: Sequence[UnmatchedOrganisation], installation: Installation
) -> dict[str, Document]:
    """For each name the first candidate of the first stage."""
    names = list(dict.fromkeys(group.name for group in groups))
    nearest: dict[str, Document] = {}
    with (
        installation.open_recall() as recall,
        progress("names looked up", len(names)) as report,
    ):
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            texts = list(map(Affiliation.stored, chunk))
            for name, candidates in zip(chunk, recall.candidates(texts, depth=1), strict=True):
                if candidates:
                    nearest[name] = candidates[0].document
            report(start + len(chunk))
    return nearest


def _counted(rows: Iterator[Unmatched]) -> Iterator[Unmatched]:
    with progress("affiliations read") as report:
        for done, row in enumerate(rows, start=1):
            yield row
            report(done)


def _write_csv(file: TextIO, requests: Iterator[dict[str, object]]) -> None:
    writer = csv.DictWriter(file, FIELDS)
    writer.writeheader()
    for row in requests:
        writer.writerow(
            {name: cell(value) if isinstance(value, str) else value for name, value in row.items()}
        )
