"""``resolver compare``: how answers would change, before one switches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.text import Text

from resolver.cli.policy_options import Choices, policy_options
from resolver.cli.tables import Table
from resolver.cli.terminal import console, progress
from resolver.database import overrides, resolver_versions
from resolver.database.sampling import sample as sampled
from resolver.disk import writing
from resolver.errors import SettingsError
from resolver.evaluation.comparison import Comparison, Difference
from resolver.evaluation.comparison import compare as compare_outcomes
from resolver.matching.outcome import Outcome
from resolver.matching.outcome_object import as_object, linked_organisations
from resolver.registry.document import Document
from resolver.service.installation import Installation
from resolver.service.service import open_version
from resolver.settings import load_settings
from resolver.text.affiliation import Affiliation

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from resolver.matching.matcher import Matcher, Overrides

SETTINGS, CURRENT = "settings", "current"
"""Names in the place of a version's id: the settings of the environment, and the version in use."""

CHUNK = 256
"""Affiliations resolved together."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What a version answered, the seconds that it took, without opening it, and what its index
    says of the linked organisations."""

    name: str
    outcomes: Sequence[Outcome]
    seconds: float
    organisations: Mapping[str, Document]


@policy_options
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A version: its id, current, or settings.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The version to compare it with.")],
    sample: Annotated[int, typer.Option(min=1, help="Stored affiliations to resolve.")] = 1_000,
    seed: Annotated[int, typer.Option(help="A different seed draws a different sample.")] = 0,
    examples: Annotated[int, typer.Option(min=0, help="Examples of each kind of difference.")] = 3,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write everything, with all differences; - is stdout."),
    ] = None,
    *,
    choices: Choices,
) -> None:
    """Resolve a sample of stored affiliations with two resolver versions, and show the differences.

    Nothing is stored. `settings` means the settings of the environment with the active index,
    whether it is in use or not. Curators' overrides apply to both.
    """
    settings = choices.over(load_settings())
    with Installation(settings) as installation:
        engine = installation.engine
        # Both are looked up before any text is resolved.
        names = [_known(engine, name) for name in (first, second)]
        # One more than asked for: whether there are more.
        texts = sampled(engine, sample + 1, seed=seed)
        whole = len(texts) <= sample
        del texts[sample:]
        if not texts:
            raise SettingsError(
                "there are no stored affiliations to compare", remedy="resolver enqueue FILE"
            )
        applying = {
            text: tuple(of_text) for text, of_text in overrides.applying(engine, texts).items()
        }
        runs = [_resolved(installation, name, texts, applying) for name in names]
    comparison = compare_outcomes(runs[0].outcomes, runs[1].outcomes)
    if json_file:
        _write(json_file, _as_object(comparison, runs, seed=seed, whole=whole))
    if not json_file or str(json_file) != "-":
        _print(comparison, runs, whole=whole, most=examples)


def _known(engine: Engine, name: str) -> str | int:
    if name == SETTINGS:
        return name
    if name == CURRENT:
        version = resolver_versions.current_resolver(engine)
        if version is None:
            raise SettingsError("no resolver version is in use", remedy="resolver version use")
        return version.id
    if not name.isdecimal():
        raise SettingsError(
            f"{name!r} is not a resolver version",
            remedy=f"an id of `resolver version list`, {CURRENT}, or {SETTINGS}",
        )
    return int(name)


@contextmanager
def _matcher(installation: Installation, name: str | int) -> Iterator[Matcher]:
    if isinstance(name, int):
        with open_version(installation, name) as service:
            yield service.matcher
    else:
        with installation.open_matcher() as matcher:
            yield matcher


def _resolved(
    installation: Installation, name: str | int, texts: Sequence[str], applying: Overrides
) -> _Run:
    shown = f"version {name}" if isinstance(name, int) else name
    outcomes: list[Outcome] = []
    # One after the other: two sets of models may not fit in memory.
    with (
        _matcher(installation, name) as matcher,
        progress(f"resolved by {shown}", len(texts)) as report,
    ):
        began = time.perf_counter()
        for start in range(0, len(texts), CHUNK):
            chunk = list(map(Affiliation.stored, texts[start : start + CHUNK]))
            outcomes += matcher.resolve(chunk, overrides=applying)
            report(len(outcomes))
        seconds = time.perf_counter() - began
        organisations = linked_organisations(matcher.recall.index, outcomes)
        return _Run(shown, outcomes, seconds, organisations)


def _as_object(
    comparison: Comparison, runs: Sequence[_Run], *, seed: int, whole: bool
) -> dict[str, object]:
    """The JSON form, with all differences."""
    return {
        "a": runs[0].name,
        "b": runs[1].name,
        "affiliations": comparison.affiliations,
        "seed": seed,
        "whole": whole,
        "counts": {kind.value: count for kind, count in comparison.counts.items()},
        "links_in_both": comparison.links,
        "mean_change": round(comparison.mean_change, 6),
        "mean_shift": round(comparison.mean_shift, 6),
        "seconds": [round(run.seconds, 3) for run in runs],
        "differences": [
            {
                "affiliation": pair.first.affiliation,
                "difference": pair.difference,
                "a": as_object(pair.first, runs[0].organisations),
                "b": as_object(pair.second, runs[1].organisations),
            }
            for pair in comparison.pairs
        ],
    }


def _write(file: Path, story: dict[str, object]) -> None:
    written = orjson.dumps(story, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if str(file) == "-":
        sys.stdout.buffer.write(written)
        return
    try:
        with writing(file):
            file.write_bytes(written)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error


def _print(comparison: Comparison, runs: Sequence[_Run], *, whole: bool, most: int) -> None:
    first, second = runs
    table = Table("", "affiliations", "share", title=f"{second.name} against {first.name}")
    for column in table.columns[1:]:
        column.justify = "right"
    for kind in Difference:
        table.add_row(kind, f"{comparison.counts[kind]:,}", f"{comparison.share(kind):.1%}")
    console.print(table)
    shown = Table("", "affiliation", first.name, second.name, title="examples", show_lines=True)
    for kind in Difference:
        for pair in comparison.examples(kind, most):
            shown.add_row(
                kind,
                Text(pair.first.affiliation),
                _answer(pair.first, beside=pair.second),
                _answer(pair.second, beside=pair.first),
            )
    if shown.row_count:
        console.print(shown)
    console.print(
        f"{comparison.links:,} links in common: mean change of probability "
        f"{comparison.mean_change:+.4f}, mean absolute change {comparison.mean_shift:.4f}",
    )
    seconds = ", ".join(f"{run.name} {run.seconds:.1f}" for run in runs)
    of = "all that are stored" if whole else "a sample of those stored"
    console.print(f"{comparison.affiliations:,} affiliations, {of}; seconds: {seconds}")


def _answer(outcome: Outcome, *, beside: Outcome) -> Text:
    """The links, with what the other answer does not have in colour; or the reason."""
    if outcome.reason:
        return Text(f"no match: {outcome.reason}", style="yellow")
    others = {link.ror_id for link in beside.links}
    return Text("\n").join(
        Text(
            f"{link.ror_id} {link.probability:.3f} {link.name}",
            style="" if link.ror_id in others else "green",
        )
        for link in outcome.links
    )
