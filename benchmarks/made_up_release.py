"""A made-up release of the registry: more organisations are changed than in a month.

Taken in after the real one it has organisations that ended, merged or have other names. Taken in
before it, it makes the real one bring new organisations, new names and other names.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]
"""An organisation as ROR's schema has it."""

LACKING, RENAMED, MERGED, WITHDRAWN, FEWER_NAMES = 0.015, 0.015, 0.005, 0.0025, 0.015
"""Shares of the active organisations that are not there, have another display name, have ended with
another one of their country as successor, are withdrawn, or have a name less. Together 5%, and 2%
change from release 2.8 to 2.9."""

WORDS = (
    "National", "Technological", "Medical", "Applied", "State", "Central", "Royal", "Metropolitan",
)  # fmt: skip
ENDINGS = ("Research Institute", "Hospital", "Institute of Technology", "Foundation")


def made_up(registry: Path, folder: Path) -> tuple[Path, Path]:
    """The files of the made-up release and of the real one, with names by which the made-up one
    comes first. `registry` is JSON, which may be compressed by gzip; the same one gives the same
    files."""
    content = registry.read_bytes()
    records = json.loads(gzip.decompress(content) if registry.suffix == ".gz" else content)
    paths = folder / "v0.1-2020-01-01-ror-data.json", folder / "v0.2-2020-02-01-ror-data.json"
    for path, state in zip(paths, (list(_changed(records)), records), strict=True):
        path.write_text(json.dumps(state))
    return paths


def _changed(records: Sequence[Record]) -> Iterator[Record]:
    rng = random.Random(7)
    active: dict[str | None, list[Record]] = {}
    for record in records:
        if record["status"] == "active":
            active.setdefault(_country(record), []).append(record)
    for record in records:
        lot = rng.random() if record["status"] == "active" else 1.0
        if lot < (limit := LACKING):
            continue
        if lot < (limit := limit + RENAMED):
            yield _renamed(record, rng)
        elif lot < (limit := limit + MERGED):
            yield _merged(record, active[_country(record)], rng)
        elif lot < (limit := limit + WITHDRAWN):
            yield {**record, "status": "withdrawn"}
        elif lot < limit + FEWER_NAMES:
            others = [name for name in record["names"] if "ror_display" not in name["types"]]
            less = rng.choice(others) if others else None
            yield {**record, "names": [name for name in record["names"] if name is not less]}
        else:
            yield record


def _renamed(record: Record, rng: random.Random) -> Record:
    """With another display name; of two organisations one keeps the name as an alias."""
    display = _display(record)
    names = [name for name in record["names"] if name is not display]
    names.append({**display, "value": _other_name(display["value"], record, rng)})
    if rng.random() < 0.5:
        names.append({**display, "types": ["alias"]})
    return {**record, "names": names}


def _other_name(name: str, record: Record, rng: random.Random) -> str:
    words = name.split()
    if len(words) >= 3 and words[:2] == ["University", "of"]:
        return " ".join((*words[2:], "University"))
    if len(words) >= 2 and words[-1] == "University":
        return " ".join(("University of", *words[:-1]))
    lot = rng.random()
    if lot < 0.35:
        at = rng.randrange(len(words))
        return " ".join((*words[:at], rng.choice(WORDS), *words[at:]))
    if lot < 0.6:
        place = _place(record)
        return f"{name} {place.get('name') or place.get('country_name') or 'International'}"
    if lot < 0.8 and len(words) > 2:
        at = rng.randrange(len(words))
        return " ".join(words[:at] + words[at + 1 :])
    return f"{name} and {rng.choice(ENDINGS)}"


def _merged(record: Record, others: Sequence[Record], rng: random.Random) -> Record:
    successor = rng.choice(others)
    relation = {
        "type": "successor", "label": _display(successor)["value"], "id": successor["id"],
    }  # fmt: skip
    return {
        **record,
        "status": "withdrawn" if rng.random() < 0.5 else "inactive",
        "relationships": [*record["relationships"], relation],
    }


def _display(record: Record) -> Record:
    names: Sequence[Record] = record["names"]
    return next(name for name in names if "ror_display" in name["types"])


def _country(record: Record) -> str | None:
    country: str | None = _place(record).get("country_code")
    return country


def _place(record: Record) -> Record:
    places: Sequence[Record] = record["locations"]
    place: Record = places[0]["geonames_details"] if places else {}
    return place
