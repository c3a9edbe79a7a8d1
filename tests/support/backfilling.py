"""Mentions, runs and their counts, for the tests of the backfill."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from resolver import sample
from resolver.backfill.folder import Folder
from resolver.backfill.plan import OUTCOMES, TAKEN
from resolver.text.affiliation import Affiliation, text_hash
from support.paths import ROOT

AFFILIATIONS = list(
    dict.fromkeys(
        json.loads(line)["affiliation"] for line in sample.AFFILIATIONS.read_text().splitlines()
    )
)


def deadly_environment() -> dict[str, str]:
    """In which the processes that resolve die of the word KILLER."""
    folders = (ROOT / "tests/support/deadly_site", ROOT)
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(map(str, folders))}


def write_mentions(folder: Path, texts: Sequence[str | None], *, files: int = 1) -> Path:
    """The folder, with a row for each text; every row has an id."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        mine = texts[number::files]
        ids = [f"{number}-{row}" for row in range(len(mine))]
        table = pa.table({"id": ids, "affiliation": pa.array(mine, pa.string())})
        pq.write_table(table, folder / f"{number}.parquet")
    return folder


def varied(count: int) -> list[str]:
    """So many distinct texts, made of the sample's."""
    return [
        f"{AFFILIATIONS[n % len(AFFILIATIONS)]}, Room {n // len(AFFILIATIONS)}"
        for n in range(count)
    ]


def rows(run: Folder) -> list[dict[str, object]]:
    """All rows of the files of outcomes."""
    names = [file.name for below in (TAKEN, OUTCOMES) for file in run.files(below)]
    return run.dataset(names).to_table().to_pylist() if names else []


def counts(run: Folder, raws: Sequence[str | None]) -> dict[str, int]:
    """What a run has of the texts that it should have."""
    due = {text_hash(Affiliation.of(raw or "").text) for raw in raws}
    found = rows(run)
    keys = [row["key"] for row in found]
    return {
        "due": len(due),
        "rows": len(keys),
        "doubled": len(keys) - len(set(keys)),
        "lost": len(due - set(keys)),
        "alien": len(set(keys) - due),
        "failed": sum(1 for row in found if row["status"] == "failed"),
    }
