"""``resolver resolve`` and ``resolver evaluate``: the matcher without a database."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from resolver import service
from resolver.cli.terminal import console, progress
from resolver.domain.metrics import BINS, Reliability
from resolver.domain.outcome import Outcome
from resolver.errors import SettingsError
from resolver.evaluation import FIRST_STAGE, JUDGE, RECALL_CUTS, Report
from resolver.evaluation import evaluate as evaluate_gold
from resolver.gold import read_gold
from resolver.settings import load_settings

CHUNK = 64
"""Affiliations resolved together when they come from a file or a pipe."""


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
) -> None:
    """Link affiliations to organisations and print the links. Needs the index, not the database."""
    if affiliations and file:
        raise SettingsError("affiliations were given both as arguments and by --file")
    lines = iter(affiliations) if affiliations else _lines(file)
    with service.matcher(load_settings()) as matcher:
        for chunk in _chunks(lines, 1 if sys.stdin.isatty() and not affiliations else CHUNK):
            for outcome in matcher.resolve(chunk):
                if as_json:
                    sys.stdout.buffer.write(orjson.dumps(as_object(outcome)) + b"\n")
                else:
                    console.print(for_a_person(outcome))
            sys.stdout.flush()


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
                "score": round(link.score, 4),
                "rank": link.rank,
            }
            for link in outcome.links
        ],
    }


def for_a_person(outcome: Outcome) -> Group:
    """One affiliation and its links."""
    heading = Text(outcome.affiliation, style="bold")
    if outcome.reason:
        return Group(heading, Text(f"  no match: {outcome.reason}", style="yellow"), "")
    table = Table(box=None, padding=(0, 2), show_header=False)
    for link in outcome.links:
        name = Text(link.name)
        if link.matched_name != link.name:
            name.append(f"  as “{link.matched_name}”", style="dim")
        table.add_row(f"[green]{link.ror_id}[/]", f"{link.probability:.3f}", name)
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


def evaluate(
    files: Annotated[
        list[Path], typer.Argument(help='JSON lines of {"affiliation", "ror_ids": [...]}.')
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a file instead of a table.")
    ] = False,
    show_reliability: Annotated[
        bool, typer.Option("--reliability", help="Also: what each probability turned out to be.")
    ] = False,
) -> None:
    """Measure the matcher on labelled affiliations, file by file (docs/benchmarks.md)."""
    settings = load_settings()
    # Reading all files first: a bad line is told at once, not after minutes of work.
    sets = [(path, read_gold(path)) for path in files]
    reports: list[Report] = []
    with service.matcher(settings) as built:
        matcher = replace(built, recall_depth=max(RECALL_CUTS[-1], settings.recall_depth))
        for path, gold in sets:
            with progress(path.stem, len(gold)) as report:
                done = evaluate_gold(matcher, path.stem, gold, progress=report)
            if as_json:
                typer.echo(orjson.dumps(done.as_dict()))
            reports.append(done)
    if not as_json:
        console.print(_report_table(reports))
        console.print(_ranking_table(reports))
        if show_reliability:
            for done in reports:
                claims = done.reliability[JUDGE]
                console.print(reliability_table(claims, "judge's probability", title=done.file))


def _report_table(reports: Iterable[Report]) -> Table:
    cuts = [f"R@{k}" for k in RECALL_CUTS]
    columns = ["P", "R", "F1", "F0.5", "exact", "no-match spec.", *cuts, "strings/s"]
    table = Table("file", "strings", *columns)
    for report in reports:
        measured = report.agreement
        shares = (
            measured.precision,
            measured.recall,
            measured.f1,
            measured.f05,
            measured.exact,
            measured.no_match_specificity,
            *report.recall_at.values(),
        )
        table.add_row(
            report.file,
            f"{measured.strings:,}",
            *map(_percent, shares),
            f"{report.strings_per_second:.0f}",
        )
    return table


def _ranking_table(reports: Iterable[Report]) -> Table:
    """The order that each stage gives to the candidates, and how far its probabilities err."""
    table = Table("file", "ordered by", "top-1", "MRR@10", "nDCG@10", "calibration error")
    for report in reports:
        for stage, ranking in report.rankings.items():
            claims = report.reliability.get(stage)
            shares = (ranking.top1, ranking.mrr, ranking.ndcg) if ranking.strings else (None,) * 3
            table.add_row(
                report.file if stage == FIRST_STAGE else "",
                stage,
                *map(_percent, shares),
                "" if claims is None else f"{claims.expected_error:.3f}",
                end_section=stage == JUDGE,
            )
    return table


def reliability_table(measured: Reliability, said: str, *, title: str | None = None) -> Table:
    """What a probability is worth: of those claimed so, how many were right."""
    table = Table(said, "candidates", "claimed", "right", title=title)
    for one in measured.bins:
        low = min(int(one.claimed * BINS), BINS - 1) / BINS
        table.add_row(
            f"{low:.1f} to {low + 1 / BINS:.1f}",
            f"{one.claims:,}",
            f"{one.claimed:.2f}",
            f"{one.right:.2f}",
        )
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"
