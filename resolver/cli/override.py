"""``resolver override``: curators' decisions on affiliations, which come before the model's."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from resolver.cli.tables import Table
from resolver.cli.terminal import console, output, progress, say, write_json
from resolver.curation import overrides
from resolver.curation.overrides import BadLine, Effect
from resolver.database import overrides as stored
from resolver.errors import SettingsError
from resolver.intake.lines import opened
from resolver.matching.override import (
    MAX_AUTHOR,
    MAX_NOTE,
    Key,
    Override,
    OverrideProblem,
    Verdict,
    ids,
    new_override,
    remark,
)
from resolver.registry.ror_id import read_ror_id
from resolver.service.installation import Installation
from resolver.settings import load_settings
from resolver.text.affiliation import Affiliation

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer(help="Overrides: curators' decisions on affiliations.", no_args_is_help=True)

MOST_PRINTED = 10
"""Bad lines and problems that are printed; the others are counted."""

AffiliationArgument = Annotated[str, typer.Argument(help="The affiliation, raw or normalised.")]
Author = Annotated[str | None, typer.Option(help="Author of the override [your user name].")]
Note = Annotated[str, typer.Option(help="The reason, for later readers.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]


@app.command()
def add(
    affiliation: AffiliationArgument,
    ror_id: Annotated[
        str | None, typer.Argument(help="The organisation: a ROR id or its address.")
    ] = None,
    is_not: Annotated[
        bool, typer.Option("--is-not", help="It is never this organisation.")
    ] = False,
    none: Annotated[
        bool, typer.Option("--none", help="It names none of the registry's organisations.")
    ] = False,
    author: Author = None,
    note: Note = "",
) -> None:
    """Decide that an affiliation is an organisation. If it is several, repeat this for each.

    Its links are then exactly these. With --is-not the organisation is never linked, and the model
    decides about all others. With --none, and no organisation, it has no link. An earlier override
    that contradicts this one is replaced.
    """
    if none and is_not:
        raise SettingsError("--none and --is-not exclude each other")
    if ror_id is None and not none:
        raise SettingsError("no organisation", remedy="give its ROR id, or --none")
    verdict = Verdict.NONE if none else Verdict.IS_NOT if is_not else Verdict.IS
    with _refused():
        override = new_override(
            affiliation, ror_id or "", verdict, author=_author(author), note=note
        )
    with _database() as engine:
        change = overrides.add(engine, [override])
        say("stored" if change.statements else "the override exists already; nothing changed")
        _show(stored.applying(engine, [override.affiliation])[override.affiliation], as_json=False)
        _print_problems(overrides.problems(engine, {override.key}))
    _print_answers(change)


@app.command()
def remove(
    affiliation: AffiliationArgument,
    ror_id: Annotated[str | None, typer.Argument(help="The organisation; by default all.")] = None,
    none: Annotated[
        bool, typer.Option("--none", help="Only that it names no organisation.")
    ] = False,
    author: Author = None,
    note: Note = "",
) -> None:
    """End the overrides of an affiliation; the model decides again. The history keeps them."""
    if none and ror_id is not None:
        raise SettingsError("--none and an organisation exclude each other")
    with _refused():
        text = Affiliation.of(affiliation).text
        wanted = read_ror_id(ror_id) if ror_id else None
        who = remark("author", _author(author), MAX_AUTHOR)
        why = remark("note", note, MAX_NOTE)
    with _database() as engine:
        ending = [
            override
            for override in stored.applying(engine, [text]).get(text, ())
            if (wanted is None and not none) or wanted == override.ror_id
        ]
        if not ending:
            raise SettingsError(
                "no such override exists for the affiliation",
                remedy="see: resolver override list, or resolver override history AFFILIATION",
            )
        change = overrides.end(engine, ids(ending), author=who, note=why)
    say(f"{change.statements:,} ended")
    _print_answers(change)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the overrides in force."""
    with _database() as engine:
        _show(stored.current(engine), as_json)


@app.command()
def history(affiliation: AffiliationArgument, as_json: AsJson = False) -> None:
    """Show all overrides of an affiliation, past ones too: who made and who ended them."""
    with _database() as engine:
        _show(stored.history(engine, Affiliation.of(affiliation).text), as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV file; - is stdin.")],
    author: Annotated[
        str | None, typer.Option(help="Author of lines that name none [your user name].")
    ] = None,
) -> None:
    """Import a CSV file: affiliation, ror_id, verdict (is, is not, none), author, note.

    Bad lines are printed and skipped, with exit code 2. Importing a file twice changes nothing.
    Overrides that are not in the file stay.
    """
    refused: list[BadLine] = []
    read: set[Key] = set()
    with _database() as engine, _opened(file) as lines, progress("lines read") as report:
        change = overrides.add(
            engine, _good(overrides.read_csv(lines, author=_author(author)), refused, read, report)
        )
        problems = overrides.problems(engine, read)
    say(f"{len(read):,} read, {change.statements:,} of them new or changed")
    _print_problems(problems)
    _print_answers(change)
    if refused:
        _print_lines(Text.assemble(("refused", "yellow"), f" {file}, {line}") for line in refused)
        say(f"{len(refused):,} lines refused; the others were imported")
        raise typer.Exit(2)


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="A file [stdout].")] = None,
) -> None:
    """Write the overrides in force as CSV, to import elsewhere or to keep in version control."""
    with _database() as engine:
        current = stored.current(engine)
    with output(file) as target:
        written = overrides.write_csv(target, current)
    say(f"{written:,} overrides")
    if forgotten := len(current) - written:
        left_out = f" left out {forgotten:,} whose text was forgotten"
        say(Text.assemble(("warning", "yellow"), left_out))


@app.command()
def check(as_json: AsJson = False) -> None:
    """Show overrides for organisations that are withdrawn, inactive or unknown to the release in
    use. They stay linked. Exit code 2 if there are any.
    """
    with _database() as engine:
        problems = stored.problems(engine)
    if as_json:
        for problem in problems:
            override = _as_object(problem.override)
            write_json(override | {"status": problem.status, "successors": problem.successors})
    else:
        _show_problems(problems)
    if problems:
        raise typer.Exit(2)


@contextmanager
def _database() -> Iterator[Engine]:
    with Installation(load_settings()) as installation:
        yield installation.engine


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _author(given: str | None) -> str:
    if given is not None:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user that has no name.
        raise SettingsError("your user has no name", remedy="give one: --author") from None


def _good(
    lines: Iterable[Override | BadLine],
    refused: list[BadLine],
    read: set[Key],
    report: Callable[[int], None],
) -> Iterator[Override]:
    for number, line in enumerate(lines, start=1):
        if isinstance(line, BadLine):
            refused.append(line)
        else:
            read.add(line.key)
            yield line
        report(number)


@contextmanager
def _opened(file: Path) -> Iterator[Iterator[tuple[int, str | None]]]:
    """The lines. Bytes that are not UTF-8 become surrogates, so that only their line is refused."""
    with opened(None if str(file) == "-" else file) as start:
        yield start.lines(start.encoding())


def _print_lines(lines: Iterable[str | Text]) -> None:
    every = list(lines)
    for line in every[:MOST_PRINTED]:
        say(line)
    if len(every) > MOST_PRINTED:
        say(f"… and {len(every) - MOST_PRINTED:,} more")


def _print_answers(change: Effect) -> None:
    if change.answers:
        say(f"answers due: {change.answers:,}; next: resolver refresh")
    elif change.statements:
        say("no stored answer becomes due; it applies from now on")


def _print_problems(problems: Sequence[OverrideProblem]) -> None:
    _print_lines(
        Text.assemble(
            ("warning", "yellow"), f" {_organisation(problem.override)} is {_state(problem)}"
        )
        for problem in problems
    )


def _state(problem: OverrideProblem) -> str:
    if problem.status is None:
        return "not in the release in use"
    successors = f"; succeeded by {', '.join(problem.successors)}" if problem.successors else ""
    return f"{problem.status}{successors}"


def _organisation(override: Override) -> str:
    """Empty where the override is about none."""
    return " ".join(filter(None, (override.ror_id, override.name)))


def _show(listed: Sequence[Override], as_json: bool) -> None:
    if as_json:
        for override in listed:
            write_json(_as_object(override))
        return
    if not listed:
        say("no overrides")
        return
    table = Table("affiliation", "", "organisation", "author", "said", "note")
    for override in listed:
        style = "dim" if override.ended else ""
        denied = override.verdict is not Verdict.IS
        table.add_row(
            _text(override),
            Text(override.verdict, style="yellow" if denied else ""),
            Text(_organisation(override), style="green" if not override.ended else ""),
            Text(override.author),
            Text(_spell(override)),
            Text(_notes(override)),
            style=style,
        )
    console.print(table)


def _show_problems(problems: Sequence[OverrideProblem]) -> None:
    if not problems:
        say("all organisations of overrides are active")
        return
    table = Table("affiliation", "", "organisation", "in the registry", "author", "note")
    for problem in problems:
        override = problem.override
        table.add_row(
            _text(override),
            override.verdict,
            Text(_organisation(override), style="green"),
            Text(_state(problem), style="yellow"),
            Text(override.author),
            Text(override.note),
        )
    console.print(table)


def _text(override: Override) -> Text:
    return Text(override.affiliation) if override.affiliation else Text("forgotten", style="dim")


def _spell(override: Override) -> str:
    since = str(override.date or "")
    if not override.ended:
        return since
    return f"{since} to {override.ended.at.astimezone(UTC).date()}"


def _notes(override: Override) -> str:
    if not override.ended:
        return override.note
    ended = f"ended by {override.ended.author}"
    return "; ".join(filter(None, (override.note, ended, override.ended.note)))


def _as_object(override: Override) -> dict[str, object]:
    return asdict(override) | {"verdict": override.verdict.value}
