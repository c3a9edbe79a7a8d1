"""How fast the queue of the review is, with a million texts and millions of records.

    python -m benchmarks.review --gold ../shared/data/gold/train-read.jsonl

Labelled texts are varied by a number at their end until there are `--texts` of them. Their records,
answers and links are written by SQL, with invented probabilities: no text is resolved. How many
records a text has follows a power law, as few texts are sent very often. Then the queue is made,
and used as the page uses it: the next item with its lease, alone and with each filter; a page of
the queue; what is left; similar items; decisions; several people at once. A time is that of the
call in Python, the way to the database included.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, text

from benchmarks import report
from resolver import sample
from resolver.curation import review
from resolver.curation.review import Action, Choice, Decided, Filters, Why, text_keys
from resolver.database import policies, review_items, review_leases, review_upkeep, schema
from resolver.database.connection import driver, transaction
from resolver.database.copying import copy
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import put_in_use, register
from resolver.evaluation.gold import Gold, read_gold
from resolver.matching.policy import Policy
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus
from resolver.service.installation import Installation
from resolver.settings import Settings
from resolver.text.affiliation import normalise, text_hash

READ = 2_000
"""Texts of which is measured how long it takes to read them."""

BATCH = 10_000
"""Items written in one transaction."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--gold", type=Path, default=sample.GOLD, help="labelled texts")
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--records", type=float, default=3.5, help="of a text, on average")
    parser.add_argument("--repeat", type=int, default=100, help="times that each is measured")
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--decisions", type=int, default=1_600, help="by all people at once")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    with tempfile.TemporaryDirectory(prefix="review-") as folder:
        settings = Settings(_env_file=None, home=Path(folder))  # type: ignore[call-arg]
        with Installation(settings) as installation:
            engine = installation.engine_of_any_schema
            schema.upgrade(engine)
            figures |= measured(engine, options)
    report.finish(figures, tables(figures, options), options.json)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measured(engine: Engine, options: argparse.Namespace) -> dict[str, Any]:
    gold = [line for line in read_gold(options.gold) if line.affiliation.strip()]
    keys = filled(engine, gold, options)
    figures: dict[str, Any] = counted(engine)
    say("the queue is made …")
    figures["read_ms"] = read_milliseconds(gold)
    started = time.perf_counter()
    ids = list(keys)
    for start in range(0, len(ids), BATCH):
        with transaction(engine) as connection, driver(connection).cursor() as cursor:
            review_upkeep.put(cursor, {id: keys[id] for id in ids[start : start + BATCH]})
    figures["made_seconds"] = time.perf_counter() - started
    analysed(engine)
    figures["made_bytes"] = size(engine)
    say("and made again …")
    started = time.perf_counter()
    review.rebuild(engine, batch=BATCH)
    figures["rebuild_seconds"] = time.perf_counter() - started
    analysed(engine)
    figures["rebuilt_bytes"] = size(engine)
    say("it is used …")
    figures["database"] = {
        what: in_database(engine, filters, options.repeat)
        for what, filters in filtered(gold).items()
    }
    figures["times"] = {what: times(call, options.repeat) for what, call in uses(engine).items()}
    for what, call in slow(engine).items():
        figures["times"][what] = times(call, 3)
    say("people decide …")
    figures["times"]["a decision, then the next item"] = decisions(engine, options.repeat)
    figures["together"] = together(engine, options.people, options.decisions)
    return figures


def filled(
    engine: Engine, gold: Sequence[Gold], options: argparse.Namespace
) -> dict[int, review_upkeep.TextKeys]:
    """Write texts, records and answers; returns the keys of each text, by its id."""
    say(f"{options.texts:,} texts are written …")
    loaded = load_release(
        engine,
        ReleaseInfo("benchmark", date(2026, 1, 1), "benchmark", "benchmark"),
        [
            Organisation(
                ror_id="052gg0110",
                status=OrganisationStatus.ACTIVE,
                names=(Name("University of Oxford", frozenset({NameKind.DISPLAY})),),
            )
        ],
        rejected=lambda: 0,
        schema_version=lambda: None,
    )
    version = register(
        engine,
        release_id=loaded.release_id,
        encoder=("builtin", "e"),
        reranker=("builtin", "r"),
        settings={},
    ).id
    put_in_use(engine, version)
    policy = policies.register(engine, Policy())
    bases = [normalise(line.affiliation) for line in gold]
    of_base = [text_keys(base, linked=False) for base in bases]
    rng = random.Random(1)
    keys: dict[int, review_upkeep.TextKeys] = {}
    affiliations, outcomes, links = [], [], []
    for number in range(options.texts):
        line = number % len(gold)
        affiliation = f"{bases[line]}, {number}"
        key = of_base[line]
        # A few writings of each name.
        group = (number // len(gold) // 4).to_bytes(4)
        keys[number + 1] = replace(
            key, words=(*key.words, str(number)), cluster=group + key.cluster[4:]
        )
        affiliations.append((text_hash(affiliation), affiliation))
        named = gold[line].ror_ids
        reason = None if named else rng.choices(*REASONS)[0]
        outcomes.append((number + 1, "linked" if named else "no_match", reason))
        links.extend(
            (number + 1, ror_id, rank, 1 - 0.6 * rng.random() ** 4)
            for rank, ror_id in enumerate(dict.fromkeys(named), start=1)
        )
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE t (text_hash bytea, text text) ON COMMIT DROP")
        copy(cursor, "t", ("bytea", "text"), affiliations)
        cursor.execute(
            "INSERT INTO affiliation (id, text_hash, text) OVERRIDING SYSTEM VALUE"
            " SELECT row_number() OVER (), text_hash, text FROM t"
        )
        cursor.execute("CREATE TEMP TABLE o (id int8, status text, reason text) ON COMMIT DROP")
        copy(cursor, "o", ("int8", "text", "text"), outcomes)
        cursor.execute(
            "INSERT INTO outcome (affiliation_id, policy_id, resolver_version_id, status, reason,"
            " begin_reason, resolved_at) SELECT id, %s, %s, status, reason, 'source sent',"
            " now() - id * interval '1 minute' FROM o",
            (policy, version),
        )
        cursor.execute(
            "CREATE TEMP TABLE l (id int8, ror_id text, rank int2, p float4) ON COMMIT DROP"
        )
        copy(cursor, "l", ("int8", "text", "int2", "float4"), links)
        cursor.execute(
            "INSERT INTO link (affiliation_id, policy_id, ror_id, since, since_version_id,"
            " probability, rank, name, matched_name, beginning, since_reason)"
            " SELECT id, %s, ror_id, now(), %s, p, rank, ror_id, ror_id, 'new', 'source sent'"
            " FROM l",
            (policy, version),
        )
        say("their records …")
        # The mean of a power law with this exponent, cut at 5,000, is about --records.
        exponent = 1 - 1 / options.records
        cursor.execute("SELECT setseed(0.5)")
        cursor.execute(
            "INSERT INTO source_record (source, external_id, position, affiliation_id, policy_id)"
            " SELECT CASE WHEN u < 0.6 THEN 'crossref' WHEN u < 0.85 THEN 'datacite'"
            " WHEN u < 0.9999 THEN 'openalex' ELSE 'rare' END,"
            " '10.5555/' || n.id || '.' || k, 0, n.id, %s"
            " FROM (SELECT id, least(5000, floor(power(1 - random(), -%s)))::int AS records"
            " FROM affiliation) n, LATERAL (SELECT k, random() AS u"
            " FROM generate_series(1, n.records) k) r",
            (policy, exponent),
        )
    analysed(engine)
    return keys


REASONS = (
    ["not_in_registry", "below_threshold", "department_only", "place_only", "ambiguous",
     "person_or_noise"],
    [50, 20, 10, 10, 5, 5],
)  # fmt: skip
"""Reasons for no link, and how often each is taken."""


def counted(engine: Engine) -> dict[str, Any]:
    with transaction(engine) as connection:
        return {
            table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("affiliation", "source_record", "link")
        }


def analysed(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM (ANALYZE)")


def size(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(
            connection.execute(text("SELECT pg_total_relation_size('review_item')")).scalar_one()
        )


def read_milliseconds(gold: Sequence[Gold]) -> float:
    """What it takes to read the words, country and cluster off a text."""
    texts = [normalise(line.affiliation) for line in gold[:READ]]
    started = time.perf_counter()
    for affiliation in texts:
        text_keys(affiliation, linked=False)
    return (time.perf_counter() - started) * 1e3 / len(texts)


def filtered(gold: Sequence[Gold]) -> dict[str, Filters]:
    """What the next item is asked for."""
    linked = Counter(ror_id for line in gold for ror_id in line.ror_ids).most_common()
    often, seldom = linked[0][0], linked[-1][0]
    now = datetime.now(UTC).date()
    return {
        "alone": Filters(),
        "linked": Filters(reason=review.LINKED),
        "reason place_only": Filters(reason="place_only"),
        "country FR": Filters(country="FR"),
        "country of few texts, LU": Filters(country="LU"),
        "source datacite": Filters(source="datacite"),
        "source of one record in 10,000": Filters(source="rare"),
        "source that nothing has": Filters(source="nothing"),
        "organisation most often linked": Filters(ror_id=often),
        "organisation of one text in 10,000": Filters(ror_id=seldom),
        "organisation never linked": Filters(ror_id="000000000"),
        "surer than 0.99": Filters(least=0.99),
        "less sure than 0.41": Filters(below=0.41),
        "between 0.80 and 0.81": Filters(least=0.8, below=0.81),
        "less sure than 0.1 (none)": Filters(reason=review.LINKED, below=0.1),
        "words in many texts": Filters(words="university of"),
        "words in few texts": Filters(words="university 4711"),
        "words in no text": Filters(words="university xyzzy"),
        "given in the last 2 days": Filters(since=now - timedelta(2)),
        "given a year ago and before": Filters(until=now - timedelta(365)),
        "changed by a release (none)": Filters(why=Why.RELEASE),
        "source, country, words and reason": Filters(
            reason=review.LINKED, source="datacite", country="FR", words="paris"
        ),
    }


def in_database(engine: Engine, filters: Filters, repeat: int) -> dict[str, float]:
    """Milliseconds in which Postgres plans and leases the next item, by its own clock."""
    statements, values = review_leases.taking(filters, "ada")
    taken = []
    for _ in range(repeat):
        with transaction(engine) as connection:
            spent, leased = 0.0, connection.execute(_LEASED).scalar_one()
            for statement in statements[1:]:
                (plan,) = connection.execute(
                    text("EXPLAIN (ANALYZE, FORMAT JSON) " + statement), values
                ).scalar_one()
                spent += plan["Planning Time"] + plan["Execution Time"]
                if connection.execute(_LEASED).scalar_one() > leased:
                    break
            taken.append(spent)
    return summary(taken)


_LEASED = text("SELECT count(*) FROM review_item WHERE lease_by IS NOT NULL")
"""Whether a statement that was explained has leased an item."""


def uses(engine: Engine) -> dict[str, Callable[[], object]]:
    """What the page does, with the way to the database."""
    with transaction(engine) as connection:
        ids = connection.execute(
            text("SELECT affiliation_id FROM review_item ORDER BY priority DESC LIMIT 200")
        ).scalars().all()  # fmt: skip
    some = iter(ids * 100)

    def similar() -> object:
        with transaction(engine) as connection:
            return review_items.similar(connection, next(some), limit=50)

    return {
        "next item, with its lease": lambda: review.take(engine, Filters(), "ada"),
        "50 of the queue": lambda: review.queue(engine, Filters(), "ada"),
        "4 to read ahead": lambda: review.upcoming(engine, Filters(), "ada", 4),
        "similar items": similar,
        "all of an item": lambda: review.item(engine, next(some)),
    }


def slow(engine: Engine) -> dict[str, Callable[[], object]]:
    """What the page keeps for a minute."""
    return {
        "remaining": lambda: review.remaining(engine, Filters()),
        "counts by reason": lambda: review.counts(engine),
        "all figures of the state page": lambda: review.figures(engine),
    }


def times(call: Callable[[], object], repeat: int) -> dict[str, float]:
    """Milliseconds of a call: median, of nine in ten, and most."""
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) * 1e3)
        if sum(taken) > 20_000:
            break
    return summary(taken)


def summary(taken: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "median": statistics.median(ordered),
        "p90": ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))],
        "most": ordered[-1],
    }


def choice(item: review.Item, author: str, number: int) -> Choice:
    """Confirm, change and deny in turn."""
    ror_ids = tuple(sorted(item.ror_ids))
    if not ror_ids:
        return Choice(uuid4(), item.affiliation_id, Action.NONE, author)
    if number % 3 == 0:
        return Choice(uuid4(), item.affiliation_id, Action.CHANGE, author, ("02en5vm52",))
    return Choice(uuid4(), item.affiliation_id, Action.CONFIRM, author, ror_ids)


def decisions(engine: Engine, repeat: int) -> dict[str, float]:
    taken = []
    item = review.take(engine, Filters(), "ada")
    for number in range(repeat):
        assert item is not None
        started = time.perf_counter()
        review.decide(engine, choice(item, "ada", number))
        item = review.take(engine, Filters(), "ada")
        taken.append((time.perf_counter() - started) * 1e3)
    return summary(taken)


def together(engine: Engine, people: int, wanted: int) -> dict[str, Any]:
    """Several people at once; each item must be decided by one of them."""

    def work(author: str) -> list[int]:
        done = []
        for number in range(wanted // people):
            item = review.take(engine, Filters(why=Why.DOUBT), author)
            assert item is not None
            result = review.decide(engine, choice(item, author, number))
            assert isinstance(result, Decided)
            done.append(item.affiliation_id)
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(people) as pool:
        done = [id for ids in pool.map(work, [f"person {n}" for n in range(people)]) for id in ids]
    return {
        "seconds": time.perf_counter() - started,
        "decisions": len(done),
        "twice": len(done) - len(set(done)),
    }


def tables(figures: dict[str, Any], options: argparse.Namespace) -> str:
    together = figures["together"]
    lines = [
        "| | |", "|---|---|",
        f"| texts, records, links | {figures['affiliation']:,}, {figures['source_record']:,},"
        f" {figures['link']:,} |",
        f"| words, country and cluster of a text | {figures['read_ms']:.2f} ms |",
        f"| all items made, from texts already read | {figures['made_seconds']:.0f} s,"
        f" {figures['made_bytes'] / 1e6:,.0f} MB |",
        f"| made again by `resolver review rebuild` | {figures['rebuild_seconds']:.0f} s,"
        f" {figures['rebuilt_bytes'] / 1e6:,.0f} MB |",
        f"| {options.people} people at once, {together['decisions']:,} decisions |"
        f" {together['seconds']:.1f} s, {together['twice']} items twice |",
        "", "| Next item, ms in Postgres | median | 9 in 10 | most |", "|---|--:|--:|--:|",
        *(
            f"| {what} | {t['median']:.2f} | {t['p90']:.2f} | {t['most']:.2f} |"
            for what, t in figures["database"].items()
        ),
        "", "| Milliseconds of a call | median | 9 in 10 | most |", "|---|--:|--:|--:|",
        *(
            f"| {what} | {t['median']:.1f} | {t['p90']:.1f} | {t['most']:.1f} |"
            for what, t in figures["times"].items()
        ),
    ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
