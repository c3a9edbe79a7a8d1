"""Labels over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from sqlalchemy import Engine
from support.review_page import BERKELEY, TWO, decide, id_of

from resolver.evaluation.gold import read_gold


def test_labels_are_read_by_the_evaluation(
    ada: httpx.Client, engine: Engine, tmp_path: Path
) -> None:
    decide(ada, id_of(engine, TWO), ror_id=[BERKELEY])
    file = tmp_path / "labels.jsonl"
    file.write_bytes(ada.get("/labels.jsonl").content)
    line = json.loads(file.read_text())
    assert line["affiliation"] == TWO
    assert line["ror_ids"] == [BERKELEY]
    assert len(line["not"]) >= 1
    assert line["source"] == "review:Ada"
    [label] = read_gold(file)
    assert label.affiliation == TWO
