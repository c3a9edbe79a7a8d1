"""``resolver demo``: the whole way of an affiliation on one machine, with nothing beside Python.

All components are real: Postgres, Redis, Qdrant's engine, a Celery worker in a process of its own.
They are embedded, and that is all that is special.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text
from sqlalchemy import text

from resolver import sample
from resolver.cli.affiliation_files import Refusals, print_remarks
from resolver.cli.tables import rows_table
from resolver.cli.terminal import console, progress, say
from resolver.database import schema
from resolver.errors import ResolverError
from resolver.intake import files
from resolver.intake.record import SourceRecord
from resolver.release import selection
from resolver.release.index import index_release
from resolver.release.load import load
from resolver.release.switch import switch_to_index
from resolver.service import parts
from resolver.service.installation import Installation
from resolver.settings import Settings, load_settings
from resolver.workers import broker
from resolver.workers.client import enqueue

if TYPE_CHECKING:
    from sqlalchemy import Engine

PATIENCE = 600
"""Seconds without a new answer after which the demo gives up."""


def demo(
    registry: Annotated[
        Path | None, typer.Option(help="A full ROR release [the sample of 300 organisations].")
    ] = None,
    affiliations: Annotated[
        Path | None, typer.Option(help="Your own affiliations, as for enqueue [the sample].")
    ] = None,
    home: Annotated[Path, typer.Option(help="Folder for all of its data.")] = Path(".demo"),
) -> None:
    """Turn raw affiliations into stored links on this machine, with all services embedded."""
    settings = _embedded(home)
    started = time.monotonic()
    with Installation(settings) as installation, broker.address(settings):
        engine = installation.engine_of_any_schema
        _step(1, "Postgres and Redis run from wheels; the tables are created")
        schema.upgrade(engine)

        _step(2, f"load the registry: {registry or 'the sample'}")
        with progress("organisations") as report:
            loaded = load(
                engine,
                registry or sample.REGISTRY,
                rejects=settings.home / "rejects.jsonl",
                progress=report,
            )
        say(f"  {loaded}")

        _step(3, "embed every name and build the index in Qdrant's own engine")
        encoder = parts.load_encoder(settings)
        with progress("names") as report:
            manifest = index_release(installation, encoder, progress=report).manifest
        version = switch_to_index(installation, encoder, manifest)
        if version:
            with progress("select: affiliations") as report:
                selection.select(installation, version, encoder=encoder, progress=report)
        say(f"  {manifest.organisations:,} organisations under {manifest.points:,} names")

        _step(4, "start a Celery worker")
        log = settings.home / "worker.log"
        with _worker(log) as process:
            _step(5, f"enqueue affiliations: {affiliations or 'the sample'}")
            refused = Refusals()
            rows = files.read_file(affiliations or sample.AFFILIATIONS)
            records = list(refused.good(rows))
            print_remarks(rows)
            refused.print()
            sent = enqueue(records, settings=settings)
            skipped = f"; {refused.count:,} refused" if refused.count else ""
            say(f"  {sent.records:,} records in {sent.chunks:,} messages{skipped}")

            _step(6, "wait for the worker")
            _wait(engine, records, process, log)
        _show(engine)
    say(f"\ndone in {time.monotonic() - started:.0f} s. Everything is kept under {home}/.")
    say(
        f"Try it yourself:\n  {sys.argv[0]} --home {home} resolve "
        f'"Dept. of Physics, Univ. of Oxford, UK"\n'
        f"  {sys.argv[0]} --home {home} sql 'TABLE unmatched'\n"
        f"Decide about the doubtful ones, in the browser:\n  {sys.argv[0]} --home {home} review"
    )


def _embedded(home: Path) -> Settings:
    # The worker is another process and finds the same home in its environment.
    for name in ("DATABASE_URL", "BROKER_URL", "QDRANT_URL"):
        if os.environ.pop(f"RESOLVER_{name}", None):
            say(Text(f"the demo is embedded: RESOLVER_{name} is not used", style="dim"))
    os.environ["RESOLVER_HOME"] = str(home.absolute())
    home.mkdir(parents=True, exist_ok=True)
    return load_settings()


def _step(number: int, what: str) -> None:
    say(Text.assemble((str(number), "bold cyan"), f" {what}"))


@contextmanager
def _worker(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "resolver.cli", "worker"], stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(
    engine: Engine, records: list[SourceRecord], process: subprocess.Popen[bytes], log: Path
) -> None:
    """Until each of these records has an answer that is valid and not due."""
    total = len({(record.source, record.external_id, record.position) for record in records})
    sources = sorted({record.source for record in records})
    count = text(
        "SELECT count(*) FROM source_record s JOIN outcome USING (affiliation_id, policy_id) "
        "WHERE s.source = ANY(:sources) AND NOT EXISTS ("
        "SELECT FROM outdated d WHERE (d.source, d.external_id, d.position) "
        "= (s.source, s.external_id, s.position))"
    )
    done, changed = 0, time.monotonic()
    with progress("affiliations", total) as report:
        while done < total:
            if process.poll() is not None:
                raise ResolverError(
                    f"the worker ended: {_last_line(log)}", remedy=f"its whole log is {log}"
                )
            if time.monotonic() - changed > PATIENCE:
                raise ResolverError(
                    f"nothing was resolved for {PATIENCE} s", remedy=f"the worker's log is {log}"
                )
            time.sleep(0.2)
            with engine.connect() as connection:
                now = connection.execute(count, {"sources": sources}).scalar_one()
            if now != done:
                done, changed = now, time.monotonic()
                report(min(done, total))


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it printed nothing")


def _show(engine: Engine) -> None:
    """The links and the abstentions, by the queries that docs/sql.md teaches."""
    for path in sample.QUERIES:
        query = path.read_text()
        with engine.connect() as connection:
            result = connection.exec_driver_sql(query.replace("%", "%%"))
            columns, rows = list(result.keys()), [tuple(row) for row in result]
        console.print(Panel(Syntax(query.strip(), "sql"), title=Text(path.name), expand=False))
        console.print(rows_table(columns, rows))
        console.print(f"{len(rows)} rows\n")
