"""The file of mistakes; what their kinds mean is tests/evaluation/test_mistake.py."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from resolver.errors import SettingsError
from resolver.evaluation.mistake import Mistake, MistakeKind, Named, Side
from resolver.evaluation.mistake_file import COLUMNS, require_writable, write
from resolver.evaluation.stage import Stage
from resolver.matching.decision import Fate

OXFORD = Named("052gg0110", "University of Oxford", 0.4)
BROOKES = Named("04v2twj65", "Oxford Brookes University", 0.75)
NOWHERE = Named("01aaaaa11", None, None)
MISTAKE = Mistake(
    affiliation='Univ. of "Oxford",\nOxford \udc80',
    side=Side.MISSED,
    kind=MistakeKind.OUTRANKED,
    ror_id="052gg0110",
    name="University of Oxford",
    city="Oxford",
    country_code="GB",
    lost_at=Stage.DECISION,
    fate=Fate.WORDS_CLAIMED,
    rival=BROOKES,
    probability=0.4,
    logit=-1.25,
    first_stage_rank=2,
    reranker_rank=1,
    judge_rank=1,
    against=(),
    labels=(OXFORD, NOWHERE),
    maybe=(NOWHERE,),
    links=(),
)


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "errors.jsonl"
    write(path, [("x", MISTAKE), ("y", MISTAKE)])
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert list(first) == list(COLUMNS)
    assert (first["set"], second["set"]) == ("x", "y")
    assert first["affiliation"] == 'Univ. of "Oxford",\nOxford ?'
    assert (first["side"], first["kind"], first["logit"]) == ("missed", "outranked", -1.25)
    assert (first["lost_at"], first["fate"]) == ("decision", "words_claimed")
    assert first["rival"]["ror_id"] == "04v2twj65"
    assert first["labels"][0] == {
        "ror_id": "052gg0110", "name": "University of Oxford", "probability": 0.4,
    }  # fmt: skip


def test_csv_is_read_back_by_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "errors.csv"
    write(path, [("x", MISTAKE)])
    with path.open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert tuple(row) == COLUMNS
    assert row["affiliation"] == 'Univ. of "Oxford",\nOxford ?'
    assert row["probability"] == "0.4000"
    assert row["labels"] == "052gg0110 University of Oxford (0.400) | 01aaaaa11 ?"
    assert row["rival"] == "04v2twj65 Oxford Brookes University (0.750)"
    assert row["maybe"] == "01aaaaa11 ?"
    assert (row["against"], row["lost_at"], row["fate"]) == ("", "decision", "words_claimed")


@pytest.mark.parametrize(
    ("name", "said"),
    [("errors.txt", "jsonl or .csv"), ("errors", "jsonl or .csv"), ("no/errors.csv", "no folder")],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        require_writable(tmp_path / name)
