"""What a database of millions costs: every query that comes in pages or is asked again and again.

    python -m benchmarks.millions
    python -m benchmarks.millions --before ../shared/data/registry/ror-v2.8.json.gz \\
        --registry ../shared/data/registry/ror-v2.9.json.gz --affiliations 1000000 \\
        --gold ../shared/data/gold/train.jsonl --strings 4000 --home big --database postgresql://…

The strings are resolved by the release before, and then copied in the database until there are so
many affiliations: each with its answer, its links, and two records. So what a query reads is of the
size that it has with real ones, and nobody waits a day for it. Then `resolver update` takes in the
next release and selects what it bears on, the due answers are read as `resolver refresh --enqueue`
reads them, the release is rolled back, and put in use again.

Of each question the seconds are told, and what the server says of its plans: how many rows were
read from tables and indexes, and how many pages of 8 kB were looked at, whether they were cached or
not. These do not depend on who shares the machine. `--database` names an empty database, or one of
a run before, which is not filled again; its user must be a superuser for the plans to be told.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psycopg
from sqlalchemy import Engine, event, text

from benchmarks import report
from benchmarks.made_up_release import made_up
from benchmarks.release import answered, variants
from benchmarks.throughput import embedded
from resolver import sample
from resolver.answering.refresh import due_messages
from resolver.database import (
    due_answers,
    history,
    monitoring,
    records,
    resolver_versions,
    sampling,
    schema,
)
from resolver.database.tables import Cause
from resolver.database.unmatched import unmatched_affiliations
from resolver.evaluation.gold import read_gold
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import Reason
from resolver.release import selection, switch
from resolver.release.index import index_release
from resolver.release.load import load
from resolver.release.update import update
from resolver.service import parts
from resolver.service.installation import Installation

PATIENCE = 600.0
"""Seconds after which a count is given up."""

LACKING = (Reason.NOT_IN_REGISTRY, Reason.AMBIGUOUS)
"""Reasons of the answers that the view `unmatched` is read for."""

PAGES = 40
"""Pages of due answers that are read one after the other."""

_PLAN = re.compile(r"duration: [\d.]+ ms\s+plan:\s*(\{.*)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--before", type=Path, help="the release before [made up]")
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY, help="the next release")
    parser.add_argument("--gold", type=Path, nargs="+", default=[sample.GOLD], help="strings")
    parser.add_argument("--strings", type=int, default=120, help="resolved")
    parser.add_argument("--affiliations", type=int, default=2_000, help="stored")
    parser.add_argument(
        "--mark-every", type=int, metavar="N", help="mark one answer in N [select them]"
    )
    parser.add_argument("--home", type=Path, help="kept, and used again [a folder for this run]")
    parser.add_argument("--database", help="URL of a database [an embedded server]")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    with tempfile.TemporaryDirectory(prefix="millions-") as folder:
        figures |= measured(options, options.home or Path(folder), Path(folder))
    report.finish(figures, tables(figures), options.json)


def measured(options: argparse.Namespace, home: Path, folder: Path) -> dict[str, Any]:
    settings = embedded(home, None)
    if options.database:
        settings = settings.model_copy(update={"database_url": secret(options.database)})
    before, after = options.before, options.registry
    if before is None:
        before, after = made_up(after, folder)
    with Installation(settings) as installation:
        engine = installation.engine_of_any_schema
        seconds = {"migrate": timed(lambda: schema.upgrade(engine))}
        if not count(engine, "affiliation"):
            texts = variants(
                [row.affiliation for path in options.gold for row in read_gold(path)],
                options.strings,
            )
            progress(f"{len(texts):,} strings are resolved …")
            update(installation, before)
            answered(installation, texts)
        progress(f"{options.affiliations:,} affiliations are filled in …")
        seconds["fill"] = timed(lambda: filled(engine, options.affiliations))
        watched = Watched(engine)
        rows = {"before the release": asked(engine, watched, options.strings)}
        progress(f"{after.name} is taken in …")
        if options.mark_every:
            seconds["mark"] = timed(lambda: marked(installation, after, options.mark_every))
        else:
            seconds |= update(installation, after, refresh=False).seconds
        rows["selected"] = asked(engine, watched, options.strings)
        switch.switch_to(installation, switch.version_before(engine))
        rows["rolled back"] = asked(engine, watched, options.strings)
        version = switch.switch_to(installation, switch.version_before(engine))
        if not options.mark_every:
            progress("the release is put in use again …")
            seconds["select again"] = timed(lambda: selection.select(installation, version))
        return {
            "rows": {name: count(engine, name) for name in
                     ("affiliation", "source_record", "outcome", "link", "stale")},
            "seconds": seconds,
            "questions": rows,
        }  # fmt: skip


def secret(url: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(url)


def progress(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


# Filling


def filled(engine: Engine, affiliations: int) -> None:
    """Copy what is there until there are so many; the last copy may be a part."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        there, last = connection.execute(text("SELECT count(*), max(id) FROM affiliation")).one()
        if there >= affiliations:
            return
        for statement in FILL:
            connection.execute(
                text(statement), {"copies": (affiliations - 1) // there, "base": last}
            )
        # What autovacuum does in time; most pages are visible to all then.
        connection.execute(text("VACUUM ANALYZE"))


FILL = (
    # A number at the end, as a postal code: another text, with the same parts but one.
    """
    INSERT INTO affiliation (id, text_hash, text)
    OVERRIDING SYSTEM VALUE
    SELECT :base * c + a.id, decode(md5(a.text || ' ' || c), 'hex'), a.text || ' ' || c
    FROM generate_series(1, :copies) AS c, affiliation a
    ORDER BY 1
    """,
    "SELECT setval(pg_get_serial_sequence('affiliation', 'id'), max(id)) FROM affiliation",
    """
    INSERT INTO outcome
        (affiliation_id, policy_id, resolver_version_id, status, reason, overrides, resolved_at,
         begin_reason)
    SELECT :base * c + o.affiliation_id, o.policy_id, o.resolver_version_id, o.status, o.reason,
           o.overrides, o.resolved_at, o.begin_reason
    FROM generate_series(1, :copies) AS c, outcome o
    ORDER BY 1
    """,
    """
    INSERT INTO link
        (affiliation_id, policy_id, ror_id, since, since_version_id, probability, score, sparse,
         dense, margin, rank, first_stage_rank, text_start, text_end, city_named, name,
         matched_name, country_agreement, runner_up, stands_for, beginning, since_reason)
    SELECT :base * c + affiliation_id, policy_id, ror_id, since, since_version_id, probability,
           score, sparse, dense, margin, rank, first_stage_rank, text_start, text_end, city_named,
           name, matched_name, country_agreement, runner_up, stands_for, beginning, since_reason
    FROM generate_series(1, :copies) AS c, link
    ORDER BY 1
    """,
    # A hundred sources, two records a text; they came in over two years.
    """
    INSERT INTO source_record
        (source, external_id, position, affiliation_id, policy_id, received_at)
    SELECT 'source ' || (a.id % 100), '10.1000/' || a.id, p, a.id, o.policy_id,
           now() - interval '2 years' * (1 - a.id / (SELECT max(id) FROM affiliation)::float)
    FROM outcome o JOIN affiliation a ON a.id = o.affiliation_id, generate_series(0, 1) AS p
    WHERE o.affiliation_id > :base
    ORDER BY a.id
    """,
)


def marked(installation: Installation, path: Path, every: int) -> None:
    """The release is taken in, and instead of a selection one answer in `every` marked."""
    settings, engine = installation.settings, installation.engine
    load(engine, path, rejects=settings.home / "rejects.jsonl")
    before = resolver_versions.current_resolver(engine)
    assert before is not None
    indexed = index_release(installation, parts.load_encoder(settings))
    version = switch.successor(engine, before, indexed.manifest)
    switch.switch_to(installation, version)
    with engine.begin() as connection:
        connection.execute(
            text(MARK), {"version": version.id, "every": every, "cause": Cause.ORGANISATION_ADDED}
        )
    due_answers.selection_done(engine, version.id)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE stale"))


MARK = """
    INSERT INTO stale (affiliation_id, policy_id, resolver_version_id, cause)
    SELECT affiliation_id, policy_id, :version, :cause FROM outcome
    WHERE affiliation_id % :every = 0
"""


# Asking


@dataclass
class Plans:
    """What the server says of the statements of a question."""

    statements: int = 0
    rows: int = 0
    buffers: int = 0


@dataclass
class Watched:
    """Hears what the server says of every plan, where its `auto_explain` can be had."""

    engine: Engine
    plans: Plans = field(default_factory=Plans)
    told: bool = True

    def __post_init__(self) -> None:
        event.listen(self.engine, "connect", self._connected)
        self.engine.dispose()

    def _connected(self, connection: psycopg.Connection[Any], _: object) -> None:
        if not self.told:
            return
        try:
            with connection.cursor() as cursor:
                cursor.execute("LOAD 'auto_explain'")
                for name, value in EXPLAINED.items():
                    cursor.execute(f"SET {name} = {value}")
            connection.commit()
        except psycopg.Error as error:
            progress(f"no plans: {error}")
            connection.rollback()
            self.told = False
            return
        connection.add_notice_handler(self._heard)

    def _heard(self, notice: psycopg.errors.Diagnostic) -> None:
        found = _PLAN.match(notice.message_primary or "")
        if found:
            plan = orjson.loads(found[1])["Plan"]
            self.plans.statements += 1
            self.plans.buffers += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            self.plans.rows += sum(read(plan))

    @contextmanager
    def question(self) -> Iterator[Plans]:
        self.plans = Plans()
        yield self.plans


EXPLAINED = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}


def read(plan: Mapping[str, Any]) -> Iterator[int]:
    """Rows that each scan of a plan read, those that a filter refused too."""
    if plan["Node Type"].endswith(("Scan", "Scan on")) and "Bitmap Index" not in plan["Node Type"]:
        refused = sum(plan.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
        yield int((plan["Actual Rows"] + refused) * plan["Actual Loops"])
    for below in plan.get("Plans", ()):
        yield from read(below)


def asked(engine: Engine, watched: Watched, strings: int) -> dict[str, dict[str, Any]]:
    """Each question's answer, its seconds, and what the server read for it."""
    current = resolver_versions.current_resolver(engine)
    assert current is not None
    version = current.id
    found = {}
    for name, question in questions(engine, version, strings).items():
        progress(f"  {name}")
        with watched.question() as plans:
            started = time.perf_counter()
            answer = question()
            seconds = time.perf_counter() - started
        found[name] = {
            "answer": answer,
            "seconds": seconds,
            "rows": plans.rows,
            "buffers": plans.buffers,
        }
    return found


def questions(engine: Engine, version: int, strings: int) -> dict[str, Callable[[], int]]:
    last = count(engine, "affiliation")
    known = [
        SourceRecord(*record)
        for record in rows(
            engine,
            # Of the strings that were resolved: the hashes of the copies are made up.
            "SELECT source, external_id, coalesce(raw_text, text), position FROM source_record"
            " JOIN affiliation a ON a.id = affiliation_id WHERE affiliation_id <= :real",
            real=min(strings, 256),
        )
    ]
    return {
        "status and monitor: due": lambda: due(monitoring.overview(engine, seconds=PATIENCE)),
        "monitor: drift": lambda: len(monitoring.drift(engine, seconds=PATIENCE) or ()),
        "due, by cause": lambda: sum(due_answers.causes(engine, version).values()),
        "due, the first page": lambda: len(due_answers.due(engine, version, limit=256)),
        "due, a page in the middle": lambda: len(
            due_answers.due(engine, version, after=(last // 2, 0), limit=256)
        ),
        "due, the last page": lambda: len(
            due_answers.due(engine, version, after=(last - 256, 0), limit=256)
        ),
        f"due, {PAGES} pages": lambda: pages(engine, version),
        "unmatched": lambda: sum(1 for _ in unmatched_affiliations(engine, reasons=LACKING)),
        "what became of answers": lambda: sum(history.replacements(engine, version).values()),
        "a sample of 1,000": lambda: len(sampling.sample(engine, 1_000)),
        f"intake of {len(known)} known records": lambda: len(
            records.intake(engine, version, known)
        ),
        "view outdated, 10 rows": lambda: len(
            rows(engine, "SELECT * FROM outdated LIMIT 10")
        ),
        "view pending, 10 rows": lambda: len(rows(engine, "SELECT * FROM pending LIMIT 10")),
    }  # fmt: skip


def due(found: monitoring.Overview) -> int:
    return -1 if found.due is None else found.due


def pages(engine: Engine, version: int) -> int:
    sent = 0
    for number, (_, ids) in enumerate(due_messages(engine, version), start=1):
        sent += len(ids)
        if number == PAGES:
            break
    return sent


def rows(engine: Engine, sql: str, **values: object) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql), values)]


# Telling


def tables(figures: Mapping[str, Any]) -> str:
    lines = [", ".join(f"{name} {rows:,}" for name, rows in figures["rows"].items()), ""]
    lines += [
        report.table(
            ["step", "seconds"],
            [[name, f"{took:,.1f}"] for name, took in figures["seconds"].items()],
        )
    ]
    for when, questions in figures["questions"].items():
        lines += ["", when, ""]
        lines += [
            report.table(
                ["question", "answer", "seconds", "rows read", "pages looked at"],
                [
                    [name, f"{one['answer']:,}", f"{one['seconds']:.3f}", f"{one['rows']:,}",
                     f"{one['buffers']:,}"]
                    for name, one in questions.items()
                ],
            )
        ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
