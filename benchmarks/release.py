"""A registry release taken in under load: how long it takes, what it finds, what it costs.

    python -m benchmarks.release
    python -m benchmarks.release --before ../shared/data/registry/ror-v2.8.json.gz \\
        --registry ../shared/data/registry/ror-v2.9.json.gz --strings 50000 \\
        --gold ../shared/data/gold/train.jsonl ../shared/data/gold/dev/*.jsonl

The strings are stored as the release before answers them, all different: where the files have too
few, they come again with noise (`variants`). Then `resolver update` takes in the next release, as a
function and in this process. Afterwards every string is resolved again, to know which answers had
to change: how many of those the update had found, and what share of that time it took.

Meanwhile a client in a process of its own resolves the same few strings over and over, as a worker
does. It must see no error, and of each resolver version one answer only. `--no-client` leaves the
cores to the update.

Without `--before` both releases are made up of the registry, with many changes
(`benchmarks.made_up_release`). The cost is in processor time of Python, without Postgres: that of
selecting and of resolving what was selected, against that of resolving all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from benchmarks import report
from benchmarks.made_up_release import made_up
from benchmarks.throughput import embedded
from resolver import sample
from resolver.answering.chunk import resolve_chunk
from resolver.database import schema
from resolver.evaluation.gold import read_gold
from resolver.matching.outcome import Outcome
from resolver.release.update import UpdateReport, update
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.settings import load_settings
from resolver.text.affiliation import normalise
from resolver.training.augmentation import ABBREVIATIONS

SOURCE = "benchmark"
CHUNK = 256
ASKED = 5
"""Strings that the client resolves at a time."""

PAUSE = 0.2
"""Seconds between two calls of the client: it is to watch, not to take the cores."""

TABLES = (
    "organisation_version",
    "registry_release",
    "release_change",
    "resolver_version",
    "affiliation",
    "source_record",
    "outcome",
    "link",
    "stale",
    "past_outcome",
    "past_link",
    "past_record",
)

Answer = tuple[str | None, tuple[str, ...]]
"""Why there is no link, and the ROR ids of those there are, sorted."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--before", type=Path, help="the release before [made up]")
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY, help="the next release")
    parser.add_argument("--gold", type=Path, nargs="+", default=[sample.GOLD], help="strings")
    parser.add_argument("--strings", type=int, default=120, help="stored")
    parser.add_argument("--no-client", action="store_true", help="nobody resolves meanwhile")
    parser.add_argument("--client", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.client:
        watch(options.client)
        return
    figures = report.header(options)
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        figures |= measured(options, Path(folder))
    report.finish(figures, tables(figures), options.json)


def measured(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    settings = embedded(home, CHUNK)
    before, after = options.before, options.registry
    if before is None:
        before, after = made_up(after, home)
    texts = variants([row.affiliation for path in options.gold for row in read_gold(path)],
                     options.strings)  # fmt: skip
    with Installation(settings) as installation:
        engine = installation.engine_of_any_schema
        schema.upgrade(engine)
        first = update(installation, before)
        progress(f"{len(texts):,} strings are answered by release {first.load.version} …")
        seconds = answered(installation, texts)
        old = stored(engine)
        with client(home / "client", texts, watching=not options.no_client) as seen:
            progress(f"{after.name} is taken in …")
            steps = ProcessorTime()
            took = update(installation, after, progress=steps)
            seen.wait()
        new = stored(engine)
        again = repeated(installation, after)
        progress("all are resolved again …")
        with open_service(installation) as opened:
            opened.matcher.resolve(texts[:CHUNK])
            started, cpu = time.perf_counter(), processor_time()
            truth = {
                affiliation: answer(outcome)
                for start in range(0, len(texts), CHUNK)
                for affiliation, outcome in zip(
                    texts[start : start + CHUNK],
                    opened.matcher.resolve(texts[start : start + CHUNK]),
                    strict=True,
                )
            }
        in_full, cpu_in_full = time.perf_counter() - started, processor_time() - cpu
        spent = {name: steps.seconds.get(name, 0.0) for name in ("select", "refresh")}
        return {
            "strings": len(texts),
            "answered": {"seconds": seconds, "strings_per_second": len(texts) / seconds},
            "full_build_seconds": first.seconds["index"],
            "update": of(took),
            "in_full_seconds": in_full,
            "cpu_seconds": {**spent, "in_full": cpu_in_full},
            "cost": sum(spent.values()) / cpu_in_full,
            "found": found(old, new, truth),
            "spoilt": sum(old[one] == truth[one] != new[one] for one in truth),
            "unexplained": unexplained(engine),
            "again": again,
            "client": seen.figures,
        }


class ProcessorTime:
    """Measures the processor time of each step of an update."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, title: str) -> Iterator[Callable[..., None]]:
        began = processor_time()
        yield lambda *_, **__: None
        step = title.partition(":")[0]
        self.seconds[step] = self.seconds.get(step, 0.0) + processor_time() - began


def processor_time() -> float:
    """Seconds of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def progress(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def variants(affiliations: Sequence[str], count: int) -> list[str]:
    """`count` different normalised strings: those given, and then those with noise.

    Words are abbreviated or mistyped, parts at either end left out, the case is lost. The same
    arguments give the same strings.
    """
    rng = random.Random(0)
    clean = [one for one in dict.fromkeys(map(normalise, affiliations)) if one]
    taken = dict.fromkeys(clean)
    while len(taken) < count:
        taken.setdefault(normalise(_written(rng.choice(clean), rng)))
    every = list(taken)[:count]
    rng.shuffle(every)
    return every


def _written(affiliation: str, rng: random.Random) -> str:
    kind = rng.random()
    words = affiliation.split(" ")
    if kind < 0.4:
        place = rng.randrange(len(words))
        words[place] = _mistyped(words[place], rng)
        return " ".join(words)
    if kind < 0.7:
        return " ".join(rng.choice(ABBREVIATIONS.get(word.lower(), (word,))) for word in words)
    if kind < 0.8:
        return affiliation.upper()
    first, _, rest = affiliation.partition(", ")
    if kind < 0.9:
        return _mistyped(rest or first, rng)
    return affiliation.rpartition(", ")[0] or _mistyped(first, rng)


def _mistyped(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) + 1)
    return word[:at] + word[max(0, at - 1) : at] + word[at + rng.randrange(2) :]


def answered(installation: Installation, texts: Sequence[str]) -> float:
    """Store the strings and their answers, as a worker does; seconds."""
    records = [
        {"source": SOURCE, "id": str(number), "affiliation": affiliation}
        for number, affiliation in enumerate(texts)
    ]
    started = time.perf_counter()
    with open_service(installation) as opened:
        for start in range(0, len(records), CHUNK):
            resolve_chunk(
                opened.engine,
                opened.matcher,
                opened.version.id,
                records[start : start + CHUNK],
            )
    return time.perf_counter() - started


def stored(engine: Engine) -> dict[str, Answer]:
    query = text(
        "SELECT a.text, o.reason, array_remove(array_agg(l.ror_id ORDER BY l.ror_id), NULL)"
        " FROM affiliation a JOIN outcome o ON o.affiliation_id = a.id"
        " LEFT JOIN link l ON (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)"
        " GROUP BY a.text, o.reason"
    )
    with engine.connect() as connection:
        return {one: (reason, tuple(ids)) for one, reason, ids in connection.execute(query)}


def answer(outcome: Outcome) -> Answer:
    reason = outcome.reason
    return reason and str(reason), tuple(sorted(link.ror_id for link in outcome.links))


def found(
    old: Mapping[str, Answer], new: Mapping[str, Answer], truth: Mapping[str, Answer]
) -> dict[str, dict[str, int]]:
    """How many answers had to change, and how many of them the update gave: of all, and of those
    with other organisations (the rest have another reason for no link)."""
    changed = [one for one in truth if old[one] != truth[one]]
    linked = [one for one in changed if old[one][1] != truth[one][1]]
    return {
        name: {"changed": len(which), "found": sum(new[one] == truth[one] for one in which)}
        for name, which in (("answers", changed), ("links", linked))
    }


def unexplained(engine: Engine) -> int:
    """Links that ended with no reason told, and links of an answer that took another's place with
    nothing kept of that one."""
    query = text(
        "SELECT (SELECT count(*) FROM past_link l JOIN past_outcome o ON o.id = l.past_outcome_id"
        "  WHERE NOT l.continued AND (o.end_reason IS NULL OR o.ended_by IS NULL))"
        " + (SELECT count(*) FROM link l JOIN outcome o USING (affiliation_id, policy_id)"
        "  JOIN resolver_version v ON v.id = o.resolver_version_id"
        "  WHERE v.carries_id IS NOT NULL AND NOT EXISTS (SELECT FROM past_outcome p"
        "  WHERE (p.affiliation_id, p.policy_id) = (o.affiliation_id, o.policy_id)))"
    )
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def repeated(installation: Installation, path: Path) -> dict[str, Any]:
    """What a second update of the same release changes."""
    before = contents(installation.engine)
    took = update(installation, path)
    after = contents(installation.engine)
    return {
        "idle": took.idle,
        "seconds": sum(took.seconds.values()),
        "changed_tables": [name for name in TABLES if before[name] != after[name]],
        "rows": {name: rows for name, (rows, _) in after.items()},
    }


def contents(engine: Engine) -> dict[str, tuple[int, str]]:
    """Of each table how many rows it has, and a sum over what is in them."""
    with engine.connect() as connection:
        return {
            table: tuple(
                connection.execute(
                    text(
                        f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text"
                        f" FROM {table} t"
                    )
                ).one()
            )
            for table in TABLES
        }


def of(took: UpdateReport) -> dict[str, Any]:
    return {
        "seconds": dict(took.seconds),
        "changes": {str(kind): count for kind, count in took.kinds.items()},
        "derived": bool(took.index.derived_from),
        "names": took.index.points,
        "selected": dict(took.selected),
        "fates": {str(fate): count for fate, count in took.replacements.items()},
        "resolved": took.refreshed.resolved if took.refreshed else 0,
        "left": took.left,
    }


# The client


class Seen:
    """What the client saw; empty before it has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.figures: dict[str, Any] = {}

    def wait(self) -> None:
        """Until the client has resolved with the version that is in use now."""
        for _ in range(2 if self.folder.exists() else 0):
            # The first call may have begun before.
            (self.folder / "ready").unlink()
            while not (self.folder / "ready").exists():
                time.sleep(PAUSE)


@contextmanager
def client(folder: Path, texts: Sequence[str], *, watching: bool) -> Iterator[Seen]:
    seen = Seen(folder)
    if not watching:
        yield seen
        return
    folder.mkdir()
    (folder / "strings.json").write_text(json.dumps(texts[:ASKED]))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.release", "--client", str(folder)],
            stdout=log,
            stderr=log,
        )
        try:
            while not (folder / "ready").exists():
                if process.poll() is not None:
                    sys.exit(f"the client did not start:\n{(folder / 'log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield seen
        finally:
            (folder / "stop").touch()
            process.wait(timeout=120)
    seen.figures = json.loads((folder / "seen.json").read_text())


def watch(folder: Path) -> None:
    """Resolve the strings again and again, until told to stop; each version's answer must be one.

    What follows the version in use is what workers follow it with.
    """
    texts = json.loads((folder / "strings.json").read_text())
    milliseconds: list[float] = []
    errors: list[str] = []
    answers: dict[str, set[str]] = {}
    with Installation(load_settings()) as installation, open_service(installation) as opened:
        while not (folder / "stop").exists():
            started = time.perf_counter()
            try:
                opened.follow()
                said = [answer(outcome) for outcome in opened.matcher.resolve(texts)]
                manifest = opened.matcher.recall.index.manifest.version
                key = f"{opened.version.release}, {manifest}"
                answers.setdefault(key, set()).add(json.dumps(said))
            except Exception as error:  # noqa: BLE001 - each is counted, whatever it is
                errors.append(repr(error))
            milliseconds.append(1000 * (time.perf_counter() - started))
            (folder / "ready").touch()
            time.sleep(PAUSE)
    figures = {
        "calls": len(milliseconds),
        "errors": errors,
        "versions": sorted(answers),
        "mixtures": sum(len(said) - 1 for said in answers.values()),
        "ms_p50": statistics.median(milliseconds),
        "ms_most": max(milliseconds),
    }
    (folder / "seen.json").write_text(json.dumps(figures))


def tables(figures: Mapping[str, Any]) -> str:
    took, again, seen = figures["update"], figures["again"], figures["client"]
    selected, cpu = sum(took["selected"].values()), figures["cpu_seconds"]
    lines = [
        report.table(
            ["step of the update", "seconds"],
            [[name, f"{seconds:.1f}"] for name, seconds in took["seconds"].items()],
        ),
        f"\nThe index was {'derived' if took['derived'] else 'built in full'}; a full build took "
        f"{figures['full_build_seconds']:.1f} s.\n",
        report.table(
            ["selected, of " + f"{figures['strings']:,}", "answers", "of all"],
            [
                [cause, f"{count:,}", report.percent(count / figures["strings"]) + "%"]
                for cause, count in (*took["selected"].items(), ("all", selected))
            ],
        ),
        "",
        report.table(
            ["what had to change", "changed", "found", "share"],
            [
                [name, f"{one['changed']:,}", f"{one['found']:,}", _share(one)]
                for name, one in figures["found"].items()
            ],
        ),
        f"\nSelecting took {cpu['select']:.1f} s of processor time and refreshing "
        f"{cpu['refresh']:.1f}: {report.percent(figures['cost'])}% of resolving all again "
        f"({cpu['in_full']:.0f} s). Changed links without a reason: "
        f"{figures['unexplained']}. A second update took {again['seconds']:.1f} s and changed "
        + (", ".join(again["changed_tables"]) or "nothing")
        + ".",
    ]
    if seen:
        lines.append(
            f"\nThe client called {seen['calls']:,} times: {len(seen['errors'])} errors, "
            f"{seen['mixtures']} mixtures of {len(seen['versions'])} versions, "
            f"{seen['ms_p50']:.0f} ms at the median and {seen['ms_most']:.0f} at most."
        )
    return "\n".join(lines)


def _share(one: Mapping[str, int]) -> str:
    return report.percent(one["found"] / one["changed"] if one["changed"] else None) + "%"


if __name__ == "__main__":
    main()
