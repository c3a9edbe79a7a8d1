from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resolver.backfill import outcome_file
from resolver.backfill.folder import Folder
from resolver.errors import BackfillError
from resolver.matching.outcome import (
    CountryAgreement,
    Link,
    LinkEvidence,
    Nearest,
    Outcome,
    OverrideNote,
    Reason,
)
from resolver.text.affiliation import text_hash

EVIDENCE = LinkEvidence(
    text="ETH", start=0, end=3, country=CountryAgreement.NAMED, city_named=True,
    first_stage_rank=2, sparse=1.5, dense=None, runner_up="03cpyc314", margin=0.25,
)  # fmt: skip
LINK = Link("05a28rw58", "ETH Zurich", "ETH", 2.5, 0.75, 1, EVIDENCE)
DECIDED = replace(EVIDENCE, override=OverrideNote(7, "", "", None), runner_up=None, margin=None)

OUTCOMES = [
    Outcome("ETH, Zürich", (LINK, replace(LINK, ror_id="x", rank=2, stands_for=("y", "z")))),
    Outcome("ETH by a curator", (replace(LINK, score=None, evidence=DECIDED),), overrides=(7,)),
    Outcome("nothing near", reason=Reason.NOT_IN_REGISTRY),
    Outcome("something near", reason=Reason.AMBIGUOUS, nearest=Nearest("05a28rw58", 0.5)),
    Outcome("", reason=Reason.EMPTY),
    None,
]
TEXTS = [outcome.affiliation if outcome else "killer" for outcome in OUTCOMES]


def content() -> pa.Buffer:
    return outcome_file.to_buffer([*map(text_hash, TEXTS)], TEXTS, OUTCOMES, pin="abc")


def test_what_is_written_is_read() -> None:
    table = pq.read_table(pa.BufferReader(content()))
    assert list(outcome_file.outcomes(table)) == list(zip(TEXTS, OUTCOMES, strict=True))
    assert table.schema.equals(outcome_file.schema())


def test_the_foot_says_whose_and_how_many(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write("a", content())
    assert outcome_file.written(folder, "a") == outcome_file.Written("abc", 6, 1)


@pytest.mark.parametrize("part", [b"", bytes(content())[:-20], b"nonsense"])
def test_a_file_that_is_not_whole(tmp_path: Path, part: bytes) -> None:
    folder = Folder(str(tmp_path))
    folder.write("a", part)
    with pytest.raises(BackfillError, match="no whole file of outcomes"):
        outcome_file.written(folder, "a")


def test_another_parquet_file_is_no_file_of_outcomes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a")
    with pytest.raises(BackfillError, match="no whole file of outcomes"):
        outcome_file.written(Folder(str(tmp_path)), "a")
