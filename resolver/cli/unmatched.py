"""``resolver unmatched``: what was never linked, as ROR's curators take it."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import orjson
import typer

from resolver.cli.terminal import progress, say, stdout_for_programs
from resolver.curation.unmatched import UnmatchedOrganisation, grouped
from resolver.database import schema
from resolver.database.unmatched import Unmatched, unresolved
from resolver.disk import writing
from resolver.errors import SettingsError
from resolver.matching.outcome import Reason
from resolver.registry.document import Document
from resolver.registry.ror_id import ROR_URL
from resolver.service import service
from resolver.settings import Settings, load_settings
from resolver.text.country import ENGLISH_NAMES

NAMED = (Reason.NOT_IN_REGISTRY, Reason.BELOW_THRESHOLD)
"""Reasons that an organisation may be missing for."""

CHUNK = 256
"""Names looked up together."""

_PUBLICATION = "https://doi.org/"


class Format(StrEnum):
    AUTO = "auto"
    CSV = "csv"
    JSONL = "jsonl"


def unmatched(
    out: Annotated[Path | None, typer.Option(help="A file [stdout].")] = None,
    format: Annotated[Format, typer.Option(help="auto: by the file's name, else csv.")] = (
        Format.AUTO
    ),
    reason: Annotated[
        list[Reason] | None,
        typer.Option(help="Only these [not_in_registry and below_threshold]; may be repeated."),
    ] = None,
    min_count: Annotated[int, typer.Option(min=1, help="Organisations sent as often.")] = 1,
    source: Annotated[str | None, typer.Option(help="Only what this source sent.")] = None,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Look up what the registry has that is most alike.")
    ] = False,
) -> None:
    """Export the organisations that were never linked, grouped and counted, most frequent first.

    The columns are the fields of ROR's form for new records, filled as far as affiliations tell;
    those in small letters are for whoever looks through the list.
    """
    settings = load_settings()
    with service.database(settings) as engine:
        schema.require_schema(engine)
        rows = unresolved(engine, reasons=reason or NAMED, source=source)
        groups = [group for group in grouped(_counted(rows)) if group.count >= min_count]
    found = _nearest(groups, settings) if nearest else {}
    requests = (request(group, found.get(group.name)) for group in groups)
    with _opened(out) as file:
        if format is Format.JSONL or (format is Format.AUTO and out and out.suffix == ".jsonl"):
            file.writelines(orjson.dumps(one).decode() + "\n" for one in requests)
        else:
            _write_csv(file, requests)
    say(f"{len(groups):,} organisations, sent {sum(group.count for group in groups):,} times")


def request(group: UnmatchedOrganisation, nearest: Document | None = None) -> dict[str, object]:
    """A group as a request for a new ROR record.

    The fields and their order are those of ROR's issue form "Add a new organization to ROR"
    (github.com/ror-community/ror-updates, as of its issue 38890 of August 2026). Lists are
    separated by semicolons there.
    """
    name = group.name
    of = _by_scheme(group.identifiers)
    others = [writing for writing, _ in group.names.most_common() if writing != name]
    country = ENGLISH_NAMES.get(group.country or "", "")
    seen = f"sent {group.count:,} times in {group.affiliations:,} different affiliations"
    return {
        "Summary of request": "Add a new organization to ROR",
        "Name of organization": name,
        "Website": "",
        "Domains": _listed(_longest(of.get("domain", ()))),
        "Link to publications": _listed(
            _PUBLICATION + record for record in group.records if record.startswith("10.")
        ),
        "Organization type": "",
        "Organization status": "",
        "Wikipedia page": "",
        "Wikidata ID": _listed(of.get("wikidata", ())),
        "ISNI ID": _listed(of.get("isni", ())),
        "GRID ID": _listed(of.get("grid", ())),
        "Crossref Funder ID": _listed(of.get("fundref", ())),
        "Aliases": _listed(others),
        "Labels": "",
        "Acronym/abbreviation": _listed(acronym for acronym, _ in group.acronyms.most_common(1)),
        "Related organizations": "",
        "City": _listed(city for city, _ in group.cities.most_common(1)),
        "Country": country,
        "Geonames ID": "",
        "Year established": "",
        "How will a ROR ID for this organization be used?": "To identify author affiliations",
        "Other information about this request": f"{seen}: {_listed(group.examples)}",
        "count": group.count,
        "affiliations": group.affiliations,
        "sources": len(group.sources),
        "reason": group.reasons.most_common(1)[0][0],
        "nearest": f"{nearest.display_name} {ROR_URL}{nearest.ror_id}" if nearest else "",
    }


def _listed(values: Iterable[str]) -> str:
    return "; ".join(values)


def _by_scheme(identifiers: Iterable[str]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for identifier in sorted(identifiers):
        scheme, _, value = identifier.partition(":")
        found.setdefault(scheme, []).append(value)
    return found


def _longest(domains: Sequence[str]) -> list[str]:
    """Domains without those above them: "geo.uni-bonn.de" comes with "uni-bonn.de"."""
    return [one for one in domains if not any(other.endswith(f".{one}") for other in domains)]


def _nearest(groups: Sequence[UnmatchedOrganisation], settings: Settings) -> dict[str, Document]:
    """For each name what the first stage puts first."""
    names = list(dict.fromkeys(group.name for group in groups))
    found: dict[str, Document] = {}
    with service.recall(settings) as recall, progress("names looked up", len(names)) as report:
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            for name, candidates in zip(chunk, recall.candidates(chunk, depth=1), strict=True):
                if candidates:
                    found[name] = candidates[0].document
            report(start + len(chunk))
    return found


def _counted(rows: Iterator[Unmatched]) -> Iterator[Unmatched]:
    with progress("affiliations read") as report:
        for done, row in enumerate(rows, start=1):
            yield row
            report(done)


def _write_csv(file: TextIO, requests: Iterator[dict[str, object]]) -> None:
    writer = csv.DictWriter(file, list(request(_NOBODY)))
    writer.writeheader()
    writer.writerows(requests)


_NOBODY = UnmatchedOrganisation("", None, names=Counter([""]), reasons=Counter([""]))
"""For the header's sake."""


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        with stdout_for_programs() as file:
            yield file
        return
    try:
        file = out.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise SettingsError(f"{out}: {error.strerror}") from error
    with writing(out), file:
        yield file
