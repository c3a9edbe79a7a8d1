"""``resolver status``: whether all is well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from resolver import __version__
from resolver.cli.tables import Table
from resolver.cli.terminal import console, write_json
from resolver.database.monitoring import Drift, Overview
from resolver.index import Manifest
from resolver.settings import load_settings
from resolver.workers import health
from resolver.workers.broker_state import BrokerState, QueueState
from resolver.workers.health import Component, Health, Problem

MOST_WORKERS = 5
"""Workers listed by name; the others are counted."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
) -> None:
    """Show the state of each part and queue, and every problem with its remedy.

    Exit code 1 if something is wrong. Parts that do not answer in time are named.
    """
    checked = health.check(load_settings())
    problems = health.problems(checked)
    if as_json:
        write_json(_as_object(checked, problems))
    else:
        _print(checked, problems)
    if any(problem.serious for problem in problems):
        raise typer.Exit(1)


# The screen


def _print(checked: Health, problems: Sequence[Problem]) -> None:
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column()
    for name, line in (
        ("database", _database(checked.database)),
        ("registry", _registry(checked.database.state)),
        ("last update", _last_update(checked.database.state)),
        ("resolver", _resolver(checked.database.state)),
        ("index", _index(checked.index)),
        ("answers due", _due(checked.database.state)),
        *_queues(checked.broker),
        ("jobs set aside", _jobs(checked.database.state)),
        ("workers", _workers(checked.broker)),
        ("drift", _drift(checked.drift)),
    ):
        table.add_row(name, line)
    console.print(table)
    console.print()
    for problem in problems:
        mark = ("✗", "bold red") if problem.serious else ("!", "bold yellow")
        style = "red" if problem.serious else ""
        console.print(Text.assemble(mark, (f" {problem.problem}", style)), soft_wrap=True)
        if problem.remedy:
            console.print(Text(f"  {problem.remedy}", style="dim"), soft_wrap=True)
    if not problems:
        console.print(Text.assemble(("✓", "bold green"), " all is well"))


NONE = Text("–", style="dim")
"""For what is not known."""

NOT_COUNTED = Text("not counted in time", style="dim")


def _away(component: Component[Any]) -> Text | None:
    if component.error:
        return Text("away", style="red")
    return None if component.state else Text("not set up", style="dim")


def _database(component: Component[Overview]) -> str | Text:
    overview = component.state
    if overview is None:
        return _away(component) or NONE
    if overview.migrated:
        return f"reachable, schema {overview.schema}"
    schema = (overview.schema or "none", "red")
    return Text.assemble("reachable, schema ", schema, f" instead of {overview.needed}")


def _registry(overview: Overview | None) -> str | Text:
    if overview is None or overview.release is None:
        return NONE
    release = overview.release
    age = (
        f"published {release.released_on}, "
        f"{health.registry_age(overview, datetime.now(UTC).date())} days ago, "
        if release.released_on
        else ""
    )
    return (
        f"{release.version}, {release.organisation_count:,} organisations, {age}"
        f"loaded {release.loaded_at:%Y-%m-%d %H:%M}"
    )


def _last_update(overview: Overview | None) -> str | Text:
    if overview is None or overview.last_update is None:
        return NONE
    run = overview.last_update
    began = f"{run.began_at:%Y-%m-%d %H:%M} UTC, {'by schedule' if run.scheduled else 'by command'}"
    if run.ended_at is None:
        if overview.updating:
            return f"{began}, under way: {run.step or 'begins'}"
        return Text.assemble(f"{began}, ", ("broke off", "bold red"))
    if run.problem is not None:
        return Text.assemble(f"{began}, ", ("failed", "bold red"))
    return f"{began}, done in {_ago((run.ended_at - run.began_at).total_seconds())}"


def _resolver(overview: Overview | None) -> str:
    package = f"affiliation-resolver {__version__}"
    if overview is None or overview.version is None:
        return package
    return f"version {overview.version.id}, release {overview.version.release}, {package}"


def _index(component: Component[Manifest]) -> str | Text:
    if component.state is None:
        return _away(component) or NONE
    return f"{component.state.version}"


def _due(overview: Overview | None) -> str | Text:
    if overview is None or overview.version is None:
        return NONE
    return NOT_COUNTED if overview.due is None else f"{overview.due:,}"


def _queues(component: Component[BrokerState]) -> list[tuple[str, str | Text]]:
    if component.state is None:
        return [("queues", _away(component) or NONE)]
    lines: list[tuple[str, str | Text]] = [
        (f"queue {queue.queue}", _waiting(queue)) for queue in component.state.queues
    ]
    dead = component.state.dead
    colour = "red" if dead.messages else ""
    return [*lines, ("dead letters", Text(_waiting(dead), style=colour))]


def _waiting(queue: QueueState) -> str:
    if not queue.messages:
        return "0"
    oldest = f", the oldest {_ago(queue.oldest)}" if queue.oldest is not None else ""
    return f"{queue.messages:,} {'message' if queue.messages == 1 else 'messages'}{oldest}"


def _jobs(overview: Overview | None) -> str | Text:
    if overview is None or not overview.migrated:
        return NONE
    count = overview.jobs_set_aside
    if count is None:
        return NOT_COUNTED
    return Text(f"{count:,}", style="bold red") if count else "0"


def _workers(component: Component[BrokerState]) -> str | Text:
    if component.state is None:
        return _away(component) or NONE
    if not component.state.workers:
        return "none heard"
    named = [
        f"{worker.name} ({', '.join(worker.queues)}: {worker.active} in work, {worker.done:,} done)"
        for worker in component.state.workers
    ]
    more = len(named) - MOST_WORKERS
    return "\n".join([*named[:MOST_WORKERS], *([f"and {more} more"] if more > 0 else [])])


def _drift(weeks: Sequence[Drift]) -> str | Text:
    """The newest week of all sources together, and the weeks before."""
    if not weeks:
        return NONE
    newest = max(week.week for week in weeks)
    now = [week for week in weeks if week.week == newest]
    before = [week for week in weeks if week.week < newest]
    line = f"{_share(now)} without a link in the week of {newest}"
    return line + (
        f", {_share(before)} in the {len({w.week for w in before})} before" if before else ""
    )


def _share(weeks: Sequence[Drift]) -> str:
    records = sum(week.records for week in weeks)
    return f"{sum(week.no_match * week.records for week in weeks) / records:.1%} of {records:,}"


def _ago(seconds: float) -> str:
    """In the largest unit of which there are two or more."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


# JSON


def _as_object(checked: Health, problems: Sequence[Problem]) -> dict[str, Any]:
    """The same for a program; what is not known is null."""
    database, broker, index = checked.database.state, checked.broker.state, checked.index.state
    release = database.release if database else None
    version = database.version if database else None
    last_update = database.last_update if database else None
    return {
        "version": __version__,
        "database": database and {"schema": database.schema, "needed": database.needed},
        "registry": release
        and {
            "release": release.version,
            "released_on": release.released_on,
            "loaded_at": release.loaded_at.isoformat(),
            "organisations": release.organisation_count,
        },
        "last_update": last_update
        and {
            "began_at": last_update.began_at.isoformat(),
            "ended_at": last_update.ended_at and last_update.ended_at.isoformat(),
            "scheduled": last_update.scheduled,
            "step": last_update.step,
            "problem": last_update.problem,
            "remedy": last_update.remedy,
        },
        "resolver_version": version and {"id": version.id, "release": version.release},
        "index": index and index.version,
        "answers_due": database.due if database else None,
        "queues": broker
        and {
            queue.queue: {"messages": queue.messages, "oldest_seconds": queue.oldest}
            for queue in broker.queues
        },
        "dead_letters": broker and broker.dead.messages,
        "jobs_set_aside": database.jobs_set_aside if database else None,
        "workers": broker
        and [
            {
                "name": worker.name,
                "pid": worker.pid,
                "active": worker.active,
                "done": worker.done,
                "queues": list(worker.queues),
            }
            for worker in broker.workers
        ],
        "drift": [
            {
                "source": week.source,
                "week": week.week,
                "records": week.records,
                "no_match": week.no_match,
                "mean_probability": week.probability,
            }
            for week in checked.drift
        ],
        "problems": [
            {
                "problem": problem.problem,
                "remedy": problem.remedy,
                "serious": problem.serious,
            }
            for problem in problems
        ],
    }
