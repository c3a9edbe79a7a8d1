"""A later release of the sample registry: a little of all that a month brings.

Two universities that the sample's affiliations name are added, one is renamed, one gets another
name, one moves, one is withdrawn for its successor, one withdrawn without, one closes, one opens
again, and a namesake comes up.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from resolver import sample

Record = dict[str, Any]

ALGARVE = "000000g50"
ICELAND = "000000h47"
NAMESAKE = "000000j44"

RENAMED = "056d84691"  # Karolinska Institutet
NAMED_TOO = "01sjwvz98"  # RIKEN
MOVED = "05m2fqn25"  # Chiang Mai University
MERGED, SUCCESSOR = "032d4f246", "00v408z34"  # the two China Medical Universities
WITHDRAWN = "04b6nzv94"  # Brigham and Women's Hospital
CLOSED = "002r67t24"  # Manukau Institute of Technology
TWIN = "01kj2bm70"  # Newcastle University

FILE = "v3.0-2030-01-15-ror-data.json"


def write_next_release(folder: Path) -> Path:
    """The release as a file whose name says its version and day."""
    path = folder / FILE
    path.write_text(json.dumps(next_release(json.loads(sample.REGISTRY.read_bytes()))))
    return path


def next_release(records: list[Record]) -> list[Record]:
    """The records after a month."""
    after = {record["id"][-9:]: copy.deepcopy(record) for record in records}
    _name(after[RENAMED])["value"] = "Karolinska Medical University"
    after[NAMED_TOO]["names"].append(
        {"value": "Harborview Institute for Imaginary Sciences", "types": ["alias"], "lang": "en"}
    )
    after[MOVED]["locations"][0]["geonames_details"]["name"] = "Lamphun"
    after[MERGED]["status"] = "withdrawn"
    after[MERGED]["relationships"].append(
        {"id": f"https://ror.org/{SUCCESSOR}", "label": _name(after[SUCCESSOR])["value"],
         "type": "successor"}
    )  # fmt: skip
    after[WITHDRAWN]["status"] = "withdrawn"
    after[CLOSED]["status"] = "inactive"
    ended = next(id_ for id_, r in after.items() if r["status"] == "inactive" and id_ != CLOSED)
    after[ended]["status"] = "active"
    for ror_id, name, city, country in (
        (ALGARVE, "Universidade do Algarve", "Faro", ("PT", "Portugal")),
        (ICELAND, "University of Iceland", "Reykjavík", ("IS", "Iceland")),
        (NAMESAKE, _name(after[TWIN])["value"], "Newcastle", ("ZA", "South Africa")),
    ):
        after[ror_id] = _added(after[TWIN], ror_id, name, city, country)
    return list(after.values())


def _name(record: Record) -> Record:
    name: Record = next(n for n in record["names"] if "ror_display" in n["types"])
    return name


def _added(like: Record, ror_id: str, name: str, city: str, country: tuple[str, str]) -> Record:
    record = copy.deepcopy(like)
    record |= {
        "id": f"https://ror.org/{ror_id}",
        "names": [{"value": name, "types": ["ror_display", "label"], "lang": "en"}],
        "relationships": [],
        "links": [],
        "domains": [],
        "external_ids": [],
    }
    place = record["locations"][0]["geonames_details"]
    place |= {"name": city, "country_code": country[0], "country_name": country[1]}
    return record
