"""``resolver evaluate``: how well the matcher does on labelled affiliations."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from resolver.cli import affiliation_files, evaluation_tables
from resolver.cli.policy_options import Choices, policy_options
from resolver.cli.terminal import console, progress, say, write_json
from resolver.disk import writing
from resolver.evaluation import mistake_file
from resolver.evaluation import plot as plotting
from resolver.evaluation.asserted import has_works, read_asserted
from resolver.evaluation.gold import Gold, read_gold
from resolver.evaluation.measurement import Evaluation, measure, pooled, resolve_set, work
from resolver.evaluation.stage import Stage
from resolver.hardware import Hardware, hardware
from resolver.intake.format import Format
from resolver.matching.matcher import Matcher
from resolver.service.installation import Installation
from resolver.settings import load_settings


class LabelFormat(StrEnum):
    """How a file of labels is written."""

    AUTO = "auto"
    GOLD = "gold"
    CROSSREF = "crossref"
    DATACITE = "datacite"
    OPENALEX = "openalex"
    JATS = "jats"


@policy_options
def evaluate(
    files: Annotated[
        list[Path],
        typer.Argument(
            help='JSON lines of {"affiliation", "ror_ids": [...]}, or works of Crossref, DataCite '
            "or OpenAlex, or JATS XML, with ROR ids in them."
        ),
    ],
    format: Annotated[
        LabelFormat,
        typer.Option(
            "--format",
            metavar="FORM",
            help="auto (by content), gold, crossref, datacite, openalex or jats.",
        ),
    ] = LabelFormat.AUTO,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a set instead of tables.")
    ] = False,
    bootstrap: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Bootstrap samples for 95% intervals; 1000 suffice."),
    ] = 0,
    latency: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Strings of each set to time one by one; 0: none."),
    ] = 100,
    errors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every mistake, as .jsonl or .csv."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw precision–recall curves, as .png, .svg or .pdf."),
    ] = None,
    show_reliability: Annotated[
        bool, typer.Option("--reliability", help="Also show how often each probability was right.")
    ] = False,
    *,
    choices: Choices,
) -> None:
    """Measure the matcher on labelled affiliations, by set and overall (docs/evaluation.md).

    In a file of works the labels are the ROR ids beside affiliations. Bad works are printed and
    left out, with exit code 2.
    """
    settings = choices.over(load_settings())
    # All input is read and checked first, so that an error comes at once, not after minutes.
    if errors:
        mistake_file.require_writable(errors)
    if plot:
        plotting.require_plottable(plot)
    refused = affiliation_files.Refusals()
    sets = [_read(path, format, refused) for path in files]
    machine = hardware(settings.threads)
    with Installation(settings) as installation, installation.open_matcher() as matcher:
        resolved = []
        for name, gold in sets:
            with progress(name, work(gold, latency)) as report:
                resolved.append(resolve_set(matcher, name, gold, latency=latency, progress=report))
        setting = _setting(matcher)
    reports = [measure(each, resamples=bootstrap) for each in resolved]
    # Before the sets are pooled: each mistake is written once.
    mistakes = [(report.file, mistake) for report in reports for mistake in report.mistakes]
    curves = list(reports)
    if len(resolved) > 1:
        reports.append(measure(pooled(resolved), resamples=bootstrap))
    if errors:
        with writing(errors):
            mistake_file.write(errors, mistakes)
        say(f"{len(mistakes):,} mistakes are in {errors}")
    if plot:
        with writing(plot):
            plotting.plot(curves, plot)
        say(f"the curves are in {plot}")
    if as_json:
        for done in reports:
            row = {**done.as_dict(), **setting, "hardware": asdict(machine)}
            write_json(row)
    else:
        _print(reports, setting, machine, show_reliability)
    if refused.count:
        refused.print()
        say(f"{refused.count:,} works refused; the others were evaluated")
        raise typer.Exit(2)


def _read(
    path: Path, format: LabelFormat, refused: affiliation_files.Refusals
) -> tuple[str, list[Gold]]:
    """The name of a set and its labels; bad works are added to `refused`."""
    automatic = format is LabelFormat.AUTO
    if format is LabelFormat.GOLD or (automatic and not has_works(path)):
        return path.stem, read_gold(path)
    found = read_asserted(path, Format(format))
    for error in found.refused:
        refused.add(error)
    for remark in found.remarks():
        say(Text.assemble((path.name, "dim"), f" {remark}"))
    return f"{path.name.partition('.')[0]} (asserted)", found.labels


def _setting(matcher: Matcher) -> dict[str, object]:
    """The index, the models and the settings that the figures hold for."""
    return {
        "index": matcher.recall.index.manifest.version,
        "encoder": matcher.recall.encoder.name,
        "reranker": matcher.reranker.name,
        "recall_depth": matcher.recall_depth,
        "rerank_depth": matcher.rerank_depth,
        "policy": matcher.policy.as_object(),
    }


def _print(
    reports: list[Evaluation], setting: dict[str, object], machine: Hardware, show_reliability: bool
) -> None:
    policy = setting.pop("policy")
    assert isinstance(policy, dict)
    for values in (setting, {name: value for name, value in policy.items() if value != []}):
        parts = (f"{name.replace('_', ' ')} {value}" for name, value in values.items())
        console.print(Text(" · ".join(parts), style="dim"))
    console.print()
    console.print(evaluation_tables.decisions(reports))
    console.print(evaluation_tables.stages(reports))
    console.print(evaluation_tables.operating_points(reports))
    if show_reliability:
        for done in reports:
            claims = done.figures.reliability[Stage.JUDGE]
            console.print(
                evaluation_tables.reliability_table(claims, "judge's probability", title=done.file)
            )
    console.print(evaluation_tables.losses(reports))
    console.print(evaluation_tables.mistake_kinds(reports))
    on = f"{machine.processor}, {machine.cores} cores, {machine.threads} threads"
    console.print(evaluation_tables.speeds(reports, on))
