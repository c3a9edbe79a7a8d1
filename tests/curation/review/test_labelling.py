from __future__ import annotations

from pathlib import Path

import orjson
from sqlalchemy import Engine
from support.deciding import KELMAR, WRONG, choice, decided
from support.reviewing import ETH, GRAZ

from resolver.curation import review
from resolver.curation.review import Action
from resolver.evaluation.gold import read_gold


def test_labels_are_read_as_gold(engine: Engine, texts: dict[str, int], tmp_path: Path) -> None:
    decided(engine, choice(engine, texts[WRONG], Action.CHANGE, GRAZ))
    decided(engine, choice(engine, texts[KELMAR], Action.NONE, author="bob"))
    decided(engine, choice(engine, texts["ETH, Zurich"], Action.UNSURE))
    file = tmp_path / "labels.jsonl"
    file.write_bytes(
        b"".join(orjson.dumps(one.as_object()) + b"\n" for one in review.labels(engine))
    )
    gold = {line.affiliation: line for line in read_gold(file)}
    assert gold[WRONG].ror_ids == (GRAZ,)
    assert gold[WRONG].ruled_out == (ETH,)
    assert gold[WRONG].source == "review:ada"
    assert gold[KELMAR].ror_ids == ()
    assert all(line.complete for line in gold.values())
    assert "ETH, Zurich" not in gold  # nobody said what it may be
