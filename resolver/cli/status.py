"""``resolver status`` and ``monitor``: whether all is well, for a person and for Prometheus."""

from __future__ import annotations

import signal
import threading
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
from resolver.observing import logs
from resolver.settings import load_settings
from resolver.workers import installation
from resolver.workers import monitor as workers_monitor
from resolver.workers.installation import Installation, Part, Problem
from resolver.workers.traffic import Traffic, Waiting

WORKERS_TOLD = 5
"""Workers that are named; the rest are counted."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
) -> None:
    """Show whether all is well: each part, what waits, what is wrong and what helps.

    Exit code 1 if something is wrong. Parts that are away are named; nothing waits for them long.
    """
    found = installation.look(load_settings())
    wrong = installation.problems(found)
    if as_json:
        write_json(_as_object(found, wrong))
    else:
        _show(found, wrong)
    if any(problem.serious for problem in wrong):
        raise typer.Exit(1)


def monitor(
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Serve the state of the whole installation to Prometheus, until stopped. Run one.

    It listens on RESOLVER_METRICS_PORT, or 9809.
    """
    settings = load_settings()
    logs.configure(settings, log_level.upper())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    workers_monitor.Monitor(settings).run(stop)


# The screen


def _show(found: Installation, wrong: Sequence[Problem]) -> None:
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column()
    for name, line in (
        ("database", _database(found.database)),
        ("registry", _registry(found.database.found)),
        ("resolver", _resolver(found.database.found)),
        ("index", _index(found.index)),
        ("answers due", _due(found.database.found)),
        *_queues(found.broker),
        ("workers", _workers(found.broker)),
        ("drift", _drift(found.drift)),
    ):
        table.add_row(name, line)
    console.print(table)
    console.print()
    for problem in wrong:
        mark = ("✗", "bold red") if problem.serious else ("!", "bold yellow")
        console.print(Text.assemble(mark, f" {problem.problem}"), soft_wrap=True)
        if problem.remedy:
            console.print(Text(f"  {problem.remedy}", style="dim"), soft_wrap=True)
    if not wrong:
        console.print(Text.assemble(("✓", "bold green"), " all is well"))


NONE = Text("–", style="dim")
"""For what there is nothing to say of."""


def _away(part: Part[Any]) -> Text | None:
    if part.error:
        return Text("away", style="red")
    return None if part.found else Text("not set up", style="dim")


def _database(part: Part[Overview]) -> str | Text:
    found = part.found
    if found is None:
        return _away(part) or NONE
    if found.migrated:
        return f"reachable, schema {found.schema}"
    schema = (found.schema or "none", "red")
    return Text.assemble("reachable, schema ", schema, f" instead of {found.needed}")


def _registry(found: Overview | None) -> str | Text:
    if found is None or found.release is None:
        return NONE
    release = found.release
    age = (
        f"published {release.released_on}, "
        f"{installation.registry_age(found, datetime.now(UTC).date())} days ago, "
        if release.released_on
        else ""
    )
    return (
        f"{release.version}, {release.organisation_count:,} organisations, {age}"
        f"loaded {release.loaded_at:%Y-%m-%d %H:%M}"
    )


def _resolver(found: Overview | None) -> str:
    package = f"affiliation-resolver {__version__}"
    if found is None or found.version is None:
        return package
    return f"version {found.version.id}, release {found.version.release}, {package}"


def _index(part: Part[Manifest]) -> str | Text:
    if part.found is None:
        return _away(part) or NONE
    return f"{part.found.version}"


def _due(found: Overview | None) -> str | Text:
    if found is None or found.version is None:
        return NONE
    return Text("not counted in time", style="dim") if found.due is None else f"{found.due:,}"


def _queues(part: Part[Traffic]) -> list[tuple[str, str | Text]]:
    if part.found is None:
        return [("queues", _away(part) or NONE)]
    lines: list[tuple[str, str | Text]] = [
        (f"queue {one.queue}", _waiting(one)) for one in part.found.queues
    ]
    dead = part.found.dead
    colour = "red" if dead.messages else ""
    return [*lines, ("dead letters", Text(_waiting(dead), style=colour))]


def _waiting(one: Waiting) -> str:
    if not one.messages:
        return "0"
    oldest = f", the oldest {_ago(one.oldest)}" if one.oldest is not None else ""
    return f"{one.messages:,} {'message' if one.messages == 1 else 'messages'}{oldest}"


def _workers(part: Part[Traffic]) -> str | Text:
    if part.found is None:
        return _away(part) or NONE
    if not part.found.workers:
        return "none heard"
    named = [
        f"{worker.name} ({', '.join(worker.queues)}: {worker.active} in work, {worker.done:,} done)"
        for worker in part.found.workers
    ]
    more = len(named) - WORKERS_TOLD
    return "\n".join([*named[:WORKERS_TOLD], *([f"and {more} more"] if more > 0 else [])])


def _drift(weeks: Sequence[Drift]) -> str | Text:
    """The newest week of all sources together, and the weeks before."""
    if not weeks:
        return NONE
    newest = max(one.week for one in weeks)
    now = [one for one in weeks if one.week == newest]
    before = [one for one in weeks if one.week < newest]
    line = f"{_share(now)} without a link in the week of {newest}"
    return line + (
        f", {_share(before)} in the {len({w.week for w in before})} before" if before else ""
    )


def _share(weeks: Sequence[Drift]) -> str:
    records = sum(one.records for one in weeks)
    return f"{sum(one.no_match * one.records for one in weeks) / records:.1%} of {records:,}"


def _ago(seconds: float) -> str:
    """As a person says it: the largest unit of which there are two or more."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


# JSON


def _as_object(found: Installation, wrong: Sequence[Problem]) -> dict[str, Any]:
    """The same for a program; what is not known is null."""
    database, broker, index = found.database.found, found.broker.found, found.index.found
    release = database.release if database else None
    version = database.version if database else None
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
        "resolver_version": version and {"id": version.id, "release": version.release},
        "index": index and index.version,
        "answers_due": database.due if database else None,
        "queues": broker
        and {
            one.queue: {"messages": one.messages, "oldest_seconds": one.oldest}
            for one in broker.queues
        },
        "dead_letters": broker and broker.dead.messages,
        "workers": broker
        and [
            {
                "name": one.name,
                "pid": one.pid,
                "active": one.active,
                "done": one.done,
                "queues": list(one.queues),
            }
            for one in broker.workers
        ],
        "drift": [
            {
                "source": one.source,
                "week": one.week,
                "records": one.records,
                "no_match": one.no_match,
                "mean_probability": one.probability,
            }
            for one in found.drift
        ],
        "problems": [
            {"problem": one.problem, "remedy": one.remedy, "serious": one.serious} for one in wrong
        ],
    }
