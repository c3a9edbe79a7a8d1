"""``resolver enqueue`` and ``resolver withdraw`` as a user runs them."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from pathlib import Path

import pytest
from sqlalchemy import text
from support.command_line import Run

from resolver import sample
from resolver.database.records import intake
from resolver.intake.record import SourceRecord
from resolver.service.installation import open_database
from resolver.settings import Settings

pytestmark = pytest.mark.slow


def test_enqueue_tells_bad_lines_and_sends_the_others(resolver: Run, sample_home: Path) -> None:
    file = sample_home / "mixed.jsonl"
    good = {"source": "test", "id": "1", "affiliation": "University of Oxford"}
    file.write_text(
        "\n".join([json.dumps(good), '{"id": 5}', "nonsense", json.dumps(good | {"id": "2"})])
    )
    done = resolver("enqueue", str(file))
    assert done.returncode == 2
    assert "2 records in 1 messages" in done.stderr
    assert "2 records refused" in done.stderr


def test_enqueue_says_how_the_file_was_read(resolver: Run, sample_home: Path) -> None:
    file = sample_home / "table.csv"
    file.write_text("doi;affiliation\n10.1/a;ETH\n10.1/b;UCL\n10.1/a;MIT, USA\n")
    done = resolver("enqueue", str(file), "--id-column", "doi")
    assert done.returncode == 0, done.stderr
    assert "3 records in 1 messages" in done.stderr
    assert "columns are separated by semicolons" in done.stderr
    assert "1 rows have the id of an earlier row and no position" in done.stderr


def test_enqueue_says_how_many_were_sent_before_a_file_broke_off(
    resolver: Run, sample_home: Path
) -> None:
    lines = (json.dumps({"id": i, "affiliation": os.urandom(20).hex()}) for i in range(5_000))
    whole = gzip.compress("\n".join(lines).encode())
    file = sample_home / "cut.jsonl.gz"
    file.write_bytes(whole[: len(whole) // 2])
    done = resolver("enqueue", str(file))
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    line, sent = map(
        int,
        re.search(
            r"line (\d+): .* breaks off.*; ([\d,]+) records were sent before", said.replace(",", "")
        ).groups(),
    )  # type: ignore[union-attr]
    assert 0 < line - sent <= 256
    assert "get the whole file" in said


def test_enqueue_reads_parquet_from_a_pipe(resolver: Run) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    written = io.BytesIO()
    parquet.write_table(pyarrow.table({"affiliation": ["ETH", "MIT", "UCL"]}), written)
    done = resolver("enqueue", "-", stdin=_pipe(written.getvalue()))
    assert done.returncode == 0, done.stderr
    assert "3 records in 1 messages" in done.stderr


def _pipe(content: bytes) -> int:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(content)
    return reading


def test_enqueue_does_not_replace_a_record_by_its_rest(resolver: Run, sample_home: Path) -> None:
    file = sample_home / "apart.csv"
    file.write_text("id,affiliation\na,ETH\nb,UCL\na,MIT\n")
    done = resolver("enqueue", "--replace", str(file))
    assert done.returncode == 1
    assert "apart a comes back after other records" in " ".join(done.stderr.split())
    file.write_text("id,affiliation\na,ETH\na,MIT\nb,UCL\n")
    assert resolver("enqueue", "--replace", str(file)).returncode == 0


def test_resolve_reads_a_table_as_such(resolver: Run, sample_home: Path) -> None:
    file = sample_home / "papers.csv"
    file.write_text('id,affiliation\n10.1/a,"University of Oxford, Oxford, UK"\n10.1/a\n')
    done = resolver("resolve", "--json", "--file", str(file))
    assert done.returncode == 2
    assert "line 3: 1 cells under a header of 2" in done.stderr
    (answer,) = map(json.loads, done.stdout.splitlines())
    assert (answer["id"], answer["position"], answer["status"]) == ("10.1/a", 0, "linked")
    shown = resolver("resolve", "--file", str(file))
    assert "10.1/a  University of Oxford, Oxford, UK" in shown.stdout


@pytest.fixture
def sent(resolver: Run, sample_home: Path) -> Settings:
    """Some records are stored."""
    settings = Settings(home=sample_home)
    with open_database(settings) as engine:
        records = [SourceRecord("crossref", "10.1/a", "ETH", place) for place in range(2)]
        intake(engine, 1, [*records, SourceRecord("crossref", "10.1/b", "ETH")])
    return settings


def _stored(settings: Settings) -> list[str]:
    with open_database(settings) as engine, engine.connect() as connection:
        query = text("SELECT external_id FROM source_record WHERE source = 'crossref' ORDER BY 1")
        return list(connection.execute(query).scalars())


def test_withdraw_says_what_was_found(resolver: Run, sent: Settings, sample_home: Path) -> None:
    ids = sample_home / "gone.txt"
    ids.write_text("10.1/a\n\n10.1/nowhere\n")
    done = resolver("withdraw", "--source", "crossref", "--file", str(ids))
    assert done.returncode == 2
    assert "2 records withdrawn, of 1 ids of 2" in done.stderr
    assert "not found 10.1/nowhere" in done.stderr
    assert "1 ids were never sent by crossref" in done.stderr
    again = resolver("withdraw", "--source", "crossref", "--id", "10.1/a")
    assert again.returncode == 0
    assert "1 ids were withdrawn before" in again.stderr
    assert _stored(sent) == ["10.1/b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", '{"source": "crossref", "id": "10.1/a"}\n', "is not a file of ids, one a line, but jsonl"),
        ("a.txt", '{"source": "crossref", "id": "10.1/a"}\n', "is not a file of ids, one a line, but jsonl"),
        ("a.csv", "id\n10.1/a\n", "is not a file of ids, one a line, but csv"),
        ("none.txt", None, "No such file"),
    ],
)  # fmt: skip
def test_withdraw_takes_ids_alone(
    resolver: Run, sent: Settings, sample_home: Path, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (sample_home / name).write_text(content)
    done = resolver("withdraw", "--source", "crossref", "--file", name)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert "10.1/b" in _stored(sent)


def test_withdraw_refuses_what_is_no_id(resolver: Run, sent: Settings) -> None:
    done = resolver(
        "withdraw", "--source", "crossref", "--file", "-", input="x" * 501 + "\n10.1/b\n"
    )
    assert done.returncode == 2
    assert "line 1: id: 501 characters; 500 is the most" in done.stderr
    assert "1 lines refused" in done.stderr
    assert "10.1/b" not in _stored(sent)


def test_enqueue_reads_works_and_says_whose_they_are(resolver: Run) -> None:
    done = resolver("enqueue", str(sample.CROSSREF))
    assert done.returncode == 2
    assert "5 records in 1 messages" in done.stderr
    assert "read as works of Crossref (recognised by its content): 3 works" in done.stderr
    assert "crossref.json, work 3: affiliation: is a string, not an object" in done.stderr
    assert "1 records refused; the others were sent" in done.stderr
    assert resolver("enqueue", "--format", "datacite", str(sample.DATACITE)).returncode == 0
