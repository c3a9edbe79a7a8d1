"""``resolver forget``: delete for good what is over and old."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from resolver.cli.terminal import console, progress, say
from resolver.database import forgetting
from resolver.database.forgetting import Ages, Forgotten, Records
from resolver.errors import SettingsError
from resolver.service.installation import Installation
from resolver.settings import load_settings

SHOWN = {
    "records": "records that were withdrawn or replaced",
    "texts": "affiliations that no record has any more",
    "answers": "their answers",
    "past_answers": "answers that were replaced",
    "overrides": "overrides whose text is deleted; they remain in force by its hash",
    "decisions": "reviewers' decisions whose text is deleted; they remain by its hash",
    "refused": "records that were refused",
}


def forget(
    withdrawn: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Days to keep withdrawn records [RESOLVER_KEEP_WITHDRAWN_DAYS].",
        ),
    ] = None,
    past: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Days to keep replaced answers and records [RESOLVER_KEEP_PAST_DAYS].",
        ),
    ] = None,
    refused: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Days to keep refused records [RESOLVER_KEEP_REFUSED_DAYS].",
        ),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Source of the records of --id.")] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", help="Only the past of this record, of any age; may be repeated."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only count.")] = False,
) -> None:
    """Delete old data for good: withdrawn, replaced and refused records, replaced answers.

    Without --yes it only counts. A text is deleted with the last record that had it, together with
    its answers. Current records are never deleted: withdraw them first. It may be stopped and run
    again at any time, while workers continue.
    """
    settings = load_settings()
    if (source is None) != (not ids):
        raise SettingsError(
            "a record is named by both options", remedy="use --source and --id together"
        )
    records = Records(source, tuple(ids)) if source is not None and ids else None
    given = {"withdrawn": withdrawn, "past": past, "refused": refused}
    ages = replace(
        Ages() if records else Ages.of(settings),
        **{name: days for name, days in given.items() if days is not None},
    )
    if ages == Ages() and records is None:
        raise SettingsError(
            "everything is kept for ever: no age is set",
            remedy="give the number of days to keep: --withdrawn, --past, --refused, or "
            "RESOLVER_KEEP_WITHDRAWN_DAYS, _PAST_DAYS, _REFUSED_DAYS",
        )
    with Installation(settings) as installation:
        engine = installation.engine
        going = forgetting.forgettable(engine, ages, records)
        if not yes or not going.total:
            _show(going)
            say("run it with --yes to delete this" if going.total else "there is nothing to delete")
            return
        with progress("rows deleted", total=going.total) as report:
            _show(forgetting.forget(engine, ages, records, progress=report))
    say("deleted")


def _show(forgotten: Forgotten) -> None:
    for name, what in SHOWN.items():
        console.print(f"{getattr(forgotten, name):>12,}  {what}")
