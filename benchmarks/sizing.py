"""What an installation takes: disk, messages and hours, for a million strings and more.

    python -m benchmarks.sizing
    python -m benchmarks.sizing --before ../shared/data/registry/ror-v2.8.json.gz \\
        --registry ../shared/data/registry/ror-v2.9.json.gz \\
        --gold ../shared/data/gold/train.jsonl

Some strings are resolved by the built-in models. Their answers, with evidence, are then stored for
as many distinct strings as `--strings` says, in chunks, as a worker stores them; each string is of
one record. Then another resolver version answers all of them again, so that each has a past answer.
What the tables take is read from Postgres after each step, indexes and empty space included; of
the links also the mean length of a row. At last all of it is backed up, and restored into another
database.

The large sizes are those figures multiplied. What speed they assume, of one process of one thread,
is `--rate`: `benchmarks.throughput --processes 2` measures it. What share of the answers each of
twelve releases a year gives again is `--selected`: `benchmarks.release` measures it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, text

from benchmarks import report, strings
from benchmarks.throughput import index
from resolver import sample
from resolver.database import answers, dumping, records, resolver_versions, schema
from resolver.database.connection import connect
from resolver.evaluation.gold import read_gold
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import Outcome
from resolver.release.load import load
from resolver.service.installation import Installation, index_directory
from resolver.service.service import open_service
from resolver.settings import Settings

SOURCE = "benchmark"
SIZES = (1_000_000, 10_000_000, 100_000_000)
PROCESSES = (1, 4, 16, 64)
RELEASES = 12
"""A year."""

TABLES = {
    "record": ("source_record",),
    "string": ("affiliation", "outcome", "link"),
    "past answer": ("past_outcome", "past_link"),
    "registry": (
        "registry_release", "organisation_version", "release_organisation", "release_change",
    ),
}  # fmt: skip
"""What grows with what."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--before", type=Path, help="the release before, to see what one adds")
    parser.add_argument("--gold", type=Path, default=sample.GOLD, help="strings")
    parser.add_argument("--strings", type=int, default=100_000, help="to store")
    parser.add_argument("--answered", type=int, default=500, help="of them really resolved")
    parser.add_argument("--chunk-size", type=int, default=256)
    parser.add_argument("--rate", type=float, default=50.0, help="strings/s of a process")
    parser.add_argument("--selected", type=float, default=0.075, help="due after a release")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    with tempfile.TemporaryDirectory(prefix="sizing-") as folder:
        figures |= measured(options, Path(folder))
    figures["sizes"] = [sized(figures, count, options.rate, options.selected) for count in SIZES]
    report.finish(figures, tables(figures, options), options.json)


def measured(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    settings = Settings(_env_file=None, home=home)  # type: ignore[call-arg]
    with Installation(settings) as installation:
        engine = installation.engine_of_any_schema
        schema.upgrade(engine)
        empty = taken(engine)["registry"]
        rejects = home / "rejects.jsonl"
        if options.before:
            say(f"{options.before.name} is loaded …")
            load(engine, options.before, rejects=rejects)
        first = taken(engine)["registry"]
        say(f"{options.registry.name} is loaded and indexed …")
        load(engine, options.registry, rejects=rejects)
        index(engine, settings)
        registry = taken(engine)["registry"]
        figures: dict[str, Any] = {
            "registry_bytes": registry,
            # Without an earlier one, as if all of it were new.
            "release_bytes": registry - (first if options.before else empty),
            "index_bytes": report.folder_bytes(index_directory(settings)),
        }
        rows = strings.distinct(read_gold(options.gold), options.strings)
        sent = [
            SourceRecord(SOURCE, f"10.5555/{number:09d}", row.affiliation)
            for number, row in enumerate(rows)
        ]
        with open_service(installation) as opened:
            say(f"{options.answered:,} strings are resolved …")
            version = opened.version
            outcomes = opened.matcher.resolve([r.affiliation for r in sent[: options.answered]])
        figures |= {
            "strings": len(sent),
            "characters": sum(len(r.affiliation) for r in sent) / len(sent),
            "linked": sum(bool(o.links) for o in outcomes) / len(outcomes),
            "links": sum(len(o.links) for o in outcomes) / len(outcomes),
            "message_bytes": message_bytes(sent, options.chunk_size),
        }
        say(f"{len(sent):,} strings are stored …")
        before = taken(engine)
        figures["store_seconds"] = stored(engine, version.id, sent, outcomes, options.chunk_size)
        after = taken(engine)
        for what in ("record", "string"):
            figures[f"{what}_bytes"] = (after[what] - before[what]) / len(sent)
        figures |= link_bytes(engine)
        say("and answered again …")
        later = another(engine, version)
        stored(engine, later.id, sent, outcomes, options.chunk_size)
        again = taken(engine)
        figures["past_answer_bytes"] = (again["past answer"] - after["past answer"]) / len(sent)
        # Postgres keeps the room of what was replaced, and fills it again.
        figures["room_bytes"] = (again["string"] - after["string"]) / len(sent)
        figures["database_bytes"] = database_bytes(engine)
        say("backed up and restored …")
        figures |= backed_up(engine, home)
    return figures


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def stored(
    engine: Engine,
    version_id: int,
    sent: Sequence[SourceRecord],
    outcomes: Sequence[Outcome],
    chunk_size: int,
) -> float:
    """Take the records in and save an answer for each, as a worker does; returns seconds."""
    answered: Iterator[Outcome] = cycle(outcomes)
    started = time.perf_counter()
    for start in range(0, len(sent), chunk_size):
        affiliations = records.intake(engine, version_id, sent[start : start + chunk_size])
        some = islice(answered, len(affiliations))
        answers.save(
            engine, version_id, [(a.id, o) for a, o in zip(affiliations, some, strict=True)]
        )
    return time.perf_counter() - started


def another(
    engine: Engine, version: resolver_versions.ResolverVersion
) -> resolver_versions.ResolverVersion:
    """A version that differs in a setting, in use."""
    later = resolver_versions.register(
        engine,
        release_id=version.release_id,
        encoder=version.encoder,
        reranker=version.reranker,
        settings={**version.settings, "benchmark": True},
        index_version=version.index_version,
        configuration=version.configuration,
    )
    return resolver_versions.put_in_use(engine, later.id)


def taken(engine: Engine) -> dict[str, int]:
    """Bytes of the tables, with their indexes and what is stored beside them, by what they grow
    with."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        return {
            what: sum(
                connection.execute(
                    text("SELECT pg_total_relation_size(CAST(:name AS regclass))"), {"name": name}
                ).scalar_one()
                for name in names
            )
            for what, names in TABLES.items()
        }


def link_bytes(engine: Engine) -> dict[str, float]:
    """Bytes a link: all that the table takes, its indexes, and the row itself."""
    query = """
        SELECT pg_total_relation_size('link')::float / count(*) AS link_bytes,
               pg_indexes_size('link')::float / count(*) AS link_index_bytes,
               avg(pg_column_size(link.*))::float AS link_row_bytes
        FROM link
    """
    with engine.connect() as connection:
        return dict(connection.execute(text(query)).mappings().one())


def database_bytes(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(
            connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        )


def message_bytes(sent: Sequence[SourceRecord], chunk_size: int) -> float:
    """Bytes of a string in a message that waits for a worker, its share of the rest included."""
    chunk = [
        {"source": r.source, "id": r.external_id, "affiliation": r.affiliation}
        for r in sent[:chunk_size]
    ]
    return len(orjson.dumps([[chunk], {}, {}])) / len(chunk)


def backed_up(engine: Engine, home: Path) -> dict[str, Any]:
    path = home / "resolver.dump"
    started = time.perf_counter()
    size = dumping.dump(engine, path)
    dumped = time.perf_counter() - started
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE restored"))
    other = connect(engine.url.set(database="restored").render_as_string(hide_password=False))
    started = time.perf_counter()
    try:
        dumping.restore(other, path)
        restored = time.perf_counter() - started
        compact = database_bytes(other)
    finally:
        other.dispose()
    return {
        "dump_bytes": size,
        "dump_seconds": dumped,
        "restore_seconds": restored,
        "restored_bytes": compact,
    }


def sized(figures: Mapping[str, Any], count: int, rate: float, selected: float) -> dict[str, Any]:
    """Figures of so many strings, each of one record; a year has `RELEASES` releases."""
    each = figures["record_bytes"] + figures["string_bytes"]
    past = RELEASES * selected * figures["past_answer_bytes"]
    # What a release replaces leaves room behind, which the next one fills.
    room = selected * figures["room_bytes"]
    return {
        "strings": count,
        "database_bytes": figures["registry_bytes"] + count * each,
        "database_bytes_after_a_year": (
            figures["registry_bytes"]
            + RELEASES * figures["release_bytes"]
            + count * (each + past + room)
        ),
        # The registry's part is multiplied with the rest, and each string has a past answer.
        "dump_bytes": figures["dump_bytes"] / figures["strings"] * count,
        "queue_bytes": count * figures["message_bytes"],
        "hours": {str(n): count / (rate * n) / 3600 for n in PROCESSES},
    }


def tables(figures: Mapping[str, Any], options: argparse.Namespace) -> str:
    count = figures["strings"]
    each = [
        ["a record", figures["record_bytes"]],
        ["a distinct string, its answer and links", figures["string_bytes"]],
        ["of these, a link", figures["link_bytes"]],
        ["of a link, its indexes", figures["link_index_bytes"]],
        ["of a link, its row (mean of pg_column_size)", figures["link_row_bytes"]],
        ["a past answer", figures["past_answer_bytes"]],
        ["room that a replaced answer leaves behind", figures["room_bytes"]],
        ["in a message, a record", figures["message_bytes"]],
    ]
    rate = count / figures["store_seconds"]
    return "\n".join(
        [
            f"{count:,} strings of {figures['characters']:.0f} characters, "
            f"{figures['links']:.2f} links each, {report.percent(figures['linked'])}% linked. "
            f"Registry {mega(figures['registry_bytes'])} MB, "
            f"the next release {mega(figures['release_bytes'])} MB more, "
            f"index {mega(figures['index_bytes'])} MB.",
            "",
            report.table(["what", "bytes"], [[what, f"{size:,.0f}"] for what, size in each]),
            "",
            f"Stored at {rate:,.0f} strings/s by one process. With all past answers the database "
            f"is {mega(figures['database_bytes'])} MB; backed up in "
            f"{figures['dump_seconds']:.1f} s to {mega(figures['dump_bytes'])} MB, restored in "
            f"{figures['restore_seconds']:.1f} s.",
            "",
            report.table(
                [
                    "strings", "database GB", "after a year GB", "backup GB, at most",
                    "all queued GB",
                    *(f"hours by {n}" for n in PROCESSES),
                ],
                [
                    [
                        f"{size['strings']:,}",
                        *(
                            giga(size[name])
                            for name in (
                                "database_bytes", "database_bytes_after_a_year", "dump_bytes",
                                "queue_bytes",
                            )
                        ),
                        *(report.significant(size["hours"][str(n)]) for n in PROCESSES),
                    ]
                    for size in figures["sizes"]
                ],
            ),
            "",
            f"Each string of one record; hours by so many processes of {options.rate:g} strings/s; "
            f"{RELEASES} releases a year, each of which gives {report.percent(options.selected)}% "
            "of the answers again.",
        ]
    )  # fmt: skip


def mega(size: float) -> str:
    return f"{size / 1e6:,.0f}"


def giga(size: float) -> str:
    return report.significant(size / 1e9)


if __name__ == "__main__":
    main()
