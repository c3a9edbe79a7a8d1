"""Whether people find an organisation by a name that is written wrong, and what that costs.

    python -m benchmarks.search --registry ../shared/data/registry/ror-v2.9.json.gz

Names of active organisations are drawn, acronyms left out, and each is damaged once: two letters of
a word swapped or one lost, all accents lost, or a word left out. A name is drawn for a damage that
it can have, and for each damage equally many. They are asked for as ROR's clients do, escaped, by
``query``. R@1 and R@5 count how often the organisation that the name was drawn from is among the
first answers; where several organisations have the same name, one place is lost to chance.

``--postgres`` asks Postgres's own text search the same, over the same folded words: any word may
match, the best name of an organisation counts, by `ts_rank_cd` with its normalisation by length.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, text

from benchmarks import report, strings
from resolver import sample
from resolver.registry.organisation import NameKind, Organisation, OrganisationStatus
from resolver.search import building
from resolver.search.search import OrganisationSearch
from resolver.service.installation import open_database
from resolver.settings import load_settings

DAMAGES = ("typing error", "lost accents", "word left out")
ROR_BARS = {"R@1": 0.749, "R@5": 0.913}
"""What ROR's own functional test of ``query`` asks for, on names of its own."""

FIRST = 20
"""Answers of a page."""

_ESCAPED = re.compile(r'([-+=&|><!(){}\[\]^"~*?:\\/])')


def main(arguments: Sequence[str] | None = None) -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--registry", type=Path, default=sample.REGISTRY)
    parser.add_argument("--names", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", action="store_true", help="compare with Postgres's search")
    options = parser.parse_args(arguments)
    figures = report.header(options)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        figures |= measured(options, Path(folder))
    report.finish(figures, tables(figures), options.json)


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    organisations = sorted(strings.organisations(options.registry), key=lambda o: o.ror_id)
    asked = list(damaged(organisations, options.names, random.Random(options.seed)))
    started, cpu = time.perf_counter(), time.process_time()
    building.build(organisations, folder / "search")
    build = {
        "organisations": len(organisations),
        "names": sum(len(o.names) for o in organisations),
        "seconds": time.perf_counter() - started,
        "cpu seconds": time.process_time() - cpu,
        "MB": report.folder_bytes(folder / "search") / 1e6,
    }
    search = OrganisationSearch.open(folder / "search")

    def found(name: str) -> list[str]:
        return search.query(_ESCAPED.sub(r"\\\1", name)).ror_ids(0, FIRST)

    engines = {"tantivy": ranked(asked, found)}
    if options.postgres:
        settings = load_settings().model_copy(update={"home": folder, "database_url": None})
        with open_database(settings) as engine:
            fill_postgres(engine, organisations)
            engines["Postgres"] = ranked(asked, lambda name: by_postgres(engine, name))
    return {"build": build, "engines": engines}


def damaged(
    organisations: Sequence[Organisation], count: int, rng: random.Random
) -> Iterator[tuple[str, str, str]]:
    """(Damage, ROR id, the name with the damage), each name another one."""
    names = [
        (organisation.ror_id, name.value)
        for organisation in organisations
        if organisation.status is OrganisationStatus.ACTIVE
        for name in organisation.names
        if NameKind.ACRONYM not in name.kinds
    ]
    rng.shuffle(names)
    wanted = {damage: (count + place) // len(DAMAGES) for place, damage in enumerate(DAMAGES)}
    for ror_id, name in names:
        for damage in sorted(DAMAGES, key=lambda damage: -wanted[damage]):
            other = _DAMAGE[damage](name, rng) if wanted[damage] else name
            if other != name:
                wanted[damage] -= 1
                yield damage, ror_id, other
                break


def _mistyped(name: str, rng: random.Random) -> str:
    words = name.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return name
    place = rng.choice(long)
    word = words[place]
    letter = rng.randrange(1, len(word) - 1)
    swapped = word[letter + 1] + word[letter] if rng.random() < 0.5 else word[letter + 1]
    words[place] = word[:letter] + swapped + word[letter + 2 :]
    return " ".join(words)


def _without_accents(name: str, _rng: random.Random) -> str:
    decomposed = unicodedata.normalize("NFD", name)
    if not unicodedata.name(name[0], "").startswith("LATIN"):
        return name
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _shortened(name: str, rng: random.Random) -> str:
    words = name.split(" ")
    if len(words) < 3:
        return name
    del words[rng.randrange(len(words))]
    return " ".join(words)


_DAMAGE: dict[str, Callable[[str, random.Random], str]] = {
    "typing error": _mistyped,
    "lost accents": _without_accents,
    "word left out": _shortened,
}


def ranked(
    asked: Sequence[tuple[str, str, str]], found: Callable[[str], list[str]]
) -> dict[str, Any]:
    """Recall by damage, and milliseconds of a query."""
    ranks: dict[str, list[int]] = {damage: [] for damage in DAMAGES}
    took: list[float] = []
    for damage, ror_id, name in asked:
        started = time.perf_counter()
        answers = found(name)
        took.append(1000 * (time.perf_counter() - started))
        ranks[damage].append(answers.index(ror_id) if ror_id in answers else FIRST)
    every = [rank for of_damage in ranks.values() for rank in of_damage]
    return {
        "recall": {
            damage: {"names": len(r), **{f"R@{n}": float(np.mean(np.array(r) < n)) for n in (1, 5)}}
            for damage, r in {**ranks, "all": every}.items()
            if r
        },
        "ms": {"p50": float(np.median(took)), "p95": float(np.quantile(took, 0.95))},
    }


def fill_postgres(engine: Engine, organisations: Sequence[Organisation]) -> None:
    """One row a name, with its folded words."""
    analyzer = building.analyzer()
    rows = [
        {"ror_id": o.ror_id, "words": " ".join(analyzer.analyze(building.composed(n.value)))}
        for o in organisations
        for n in o.names
    ]
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE searched (ror_id text, words tsvector)"))
        connection.execute(
            text("INSERT INTO searched VALUES (:ror_id, to_tsvector('simple', :words))"), rows
        )
        connection.execute(text("CREATE INDEX ON searched USING gin (words)"))
        connection.execute(text("ANALYZE searched"))


def by_postgres(engine: Engine, name: str) -> list[str]:
    words = building.analyzer().analyze(building.composed(name))
    query = " | ".join(f"'{word}'" for word in words if "'" not in word)
    if not query:
        return []
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT ror_id FROM searched, to_tsquery('simple', :query) AS query"
                " WHERE words @@ query"
                " GROUP BY ror_id ORDER BY max(ts_rank_cd(words, query, 1)) DESC, ror_id LIMIT 20"
            ),
            {"query": query},
        )
        return [ror_id for (ror_id,) in rows]


def tables(figures: dict[str, Any]) -> str:
    build = figures["build"]
    lines = [
        f"{build['organisations']:,} organisations with {build['names']:,} names: built in "
        f"{build['seconds']:.1f} s ({build['cpu seconds']:.1f} s of a core), {build['MB']:.0f} MB"
    ]
    rows = [
        [f"{engine}: {damage}", of["names"], f"{of['R@1']:.3f}", f"{of['R@5']:.3f}"]
        for engine, measured in figures["engines"].items()
        for damage, of in measured["recall"].items()
    ]
    bars = ["ROR's bars, on its names", 1000, *(f"{bar:.3f}" for bar in ROR_BARS.values())]
    lines.append(report.table(["", "names", "R@1", "R@5"], [*rows, bars]))
    rows = [
        [engine, f"{measured['ms']['p50']:.1f}", f"{measured['ms']['p95']:.1f}"]
        for engine, measured in figures["engines"].items()
    ]
    lines.append(report.table(["ms a query", "p50", "p95"], rows))
    return "\n\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
