"""``resolver resolve FILE --out FILE``: all columns and their organisations, also after a kill."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from support.command_line import Run

from resolver import sample
from resolver.cli.file_to_file import BATCH

NEW = [
    "ror_ids", "ror_names", "ror_countries", "ror_cities", "ror_websites", "ror_probabilities",
    "ror_reason",
]  # fmt: skip

pytestmark = pytest.mark.slow

TWO, ONE, NONE = (
    "ETH Zurich and University of Bonn",
    "King's College London",
    "Department of Physics",
)

PLACES = {
    TWO: {
        "ror_ids": ["041nas322", "05a28rw58"],
        "ror_names": ["University of Bonn", "ETH Zurich"],
        "ror_countries": ["Germany", "Switzerland"],
        "ror_cities": ["Bonn", "Zurich"],
        "ror_websites": ["https://www.uni-bonn.de", "https://ethz.ch"],
        "ror_reason": None,
    },
    ONE: {
        "ror_ids": ["0220mzb33"],
        "ror_names": ["King's College London"],
        "ror_countries": ["United Kingdom"],
        "ror_cities": ["London"],
        "ror_websites": ["https://www.kcl.ac.uk"],
        "ror_reason": None,
    },
    NONE: {
        **{name: [] for name in NEW[:5]},
        "ror_reason": "department_only",
    },
    "": {**{name: [] for name in NEW[:5]}, "ror_reason": "empty"},
}  # fmt: skip
"""What is written for an affiliation, but for the probabilities."""

TEXTS = [TWO, ONE, NONE, "", TWO]

CSV = "doi;affiliation;year\n" + "".join(f"{i};{text};20{i}\n" for i, text in enumerate(TEXTS, 10))
ROWS = [{"doi": i, "affiliation": text or None, "year": 2000 + i} for i, text in enumerate(TEXTS)]


def write(folder: Path, name: str) -> Path:
    path = folder / name
    match path.suffix:
        case ".csv":
            path.write_text(CSV)
        case ".tsv":
            path.write_text(CSV.replace(";", "\t"))
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        case ".parquet":
            parquet.write_table(pa.Table.from_pylist(ROWS), path)
        case ".txt":
            path.write_text("\n".join(TEXTS) + "\n")
    return path


def read(path: Path, delimiter: str = ",") -> list[dict[str, Any]]:
    """The rows of an output, its lists as lists."""
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()  # type: ignore[no-any-return]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    rows: list[dict[str, Any]] = list(
        csv.DictReader(io.StringIO(path.read_text()), delimiter=delimiter)
    )
    for row in rows:
        for name in NEW[:6]:
            row[name] = row[name].split("|") if row[name] else []
        row["ror_reason"] = row["ror_reason"] or None
    return rows


@pytest.mark.parametrize(
    ("source", "out", "delimiter"),
    [
        ("in.csv", "out.csv", ";"),
        ("in.tsv", "out.parquet", ""),
        ("in.jsonl", "out.csv", ","),
        ("in.parquet", "out.parquet", ""),
        ("in.txt", "out.jsonl", ""),
    ],
)
def test_all_columns_are_kept_and_organisations_written_beside_them(
    resolver: Run, tmp_path: Path, source: str, out: str, delimiter: str
) -> None:
    write(tmp_path, source)
    done = resolver(
        "resolve", str(tmp_path / source), "--column", "affiliation", "--out", str(tmp_path / out)
    )
    assert done.returncode == 0, done.stderr
    assert f"5 rows are in {tmp_path / out}" in done.stderr
    rows = read(tmp_path / out, delimiter)
    columns = ["affiliation"] if source == "in.txt" else ["doi", "affiliation", "year"]
    assert list(rows[0]) == [*columns, *NEW]
    assert [row["affiliation"] or "" for row in rows] == TEXTS
    for row in rows:
        expected = PLACES[row["affiliation"] or ""]
        assert {name: row[name] for name in expected} == expected
        assert all(0.5 <= float(p) <= 1 for p in row["ror_probabilities"])
        assert len(row["ror_probabilities"]) == len(row["ror_ids"])
    if source == "in.parquet" and out == "out.parquet":
        assert [row["year"] for row in rows] == [row["year"] for row in ROWS]
        assert parquet.read_schema(tmp_path / out).field("year").type == pa.int64()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source, out])


def test_new_columns_collide_with_none(resolver: Run, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("affiliation,ror_ids,ror_reason_2\nETH Zurich,mine,theirs\n")
    done = resolver("resolve", str(path), "--out", str(tmp_path / "out.csv"))
    header, row = csv.reader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert header == ["affiliation", "ror_ids", "ror_reason_2", *(f"{name}_3" for name in NEW)]
    assert row[:4] == ["ETH Zurich", "mine", "theirs", "05a28rw58"]
    assert "the new ones are ror_ids_3" in done.stderr


def test_columns_of_one_name_stay_apart_in_a_table_only(resolver: Run, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("note,affiliation,note\na,ETH Zurich,b\n")
    resolver("resolve", str(path), "--out", str(tmp_path / "out.csv"))
    header, row = csv.reader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert (header[:3], row[:3]) == (["note", "affiliation", "note"], ["a", "ETH Zurich", "b"])
    refused = resolver("resolve", str(path), "--out", str(tmp_path / "out.jsonl"))
    assert "two columns are named 'note'" in refused.stderr
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "windows-1252"])
def test_encodings(resolver: Run, tmp_path: Path, encoding: str) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text("ort,affiliation\nMünchen,Universität Zürich\n", encoding=encoding)
    if encoding == "windows-1252":
        refused = resolver("resolve", str(path), "--out", str(out))
        assert refused.returncode == 1
        assert "in.csv, line 2: not UTF-8 (byte 0xfc at 1)" in refused.stderr
        assert "--encoding windows-1252" in refused.stderr
        assert not out.exists()
    done = resolver("resolve", str(path), "--encoding", encoding, "--out", str(out))
    assert done.returncode == 0, done.stderr
    # Excel takes a file for UTF-8 by its byte order mark: one that has it keeps it.
    assert out.read_bytes().startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")
    assert "München,Universität Zürich,02crff812" in out.read_text(encoding="utf-8-sig")


def test_works_are_completed_with_the_ids_they_assert(resolver: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = resolver("resolve", str(sample.CROSSREF), "--out", str(out))
    assert done.returncode == 2
    assert "crossref.json, work 3: affiliation: is a string" in done.stderr
    assert "1 rows refused; they are not in the output" in done.stderr
    rows = read(out)
    assert len(rows) == 5
    table = tmp_path / "out.csv"
    resolver("resolve", str(sample.OPENALEX), "--out", str(table))
    header, row, *_ = csv.reader(io.StringIO(table.read_text()))
    assert dict(zip(header, row, strict=True))["asserted_ror_ids"] == "https://ror.org/05a28rw58"
    assert rows[0]["id"] == "10.5555/sample.2024.001"
    assert [(row["position"], row["asserted_ror_ids"], row["ror_ids"]) for row in rows[:2]] == [
        (0, ["https://ror.org/05a28rw58"], ["05a28rw58"]),
        (1, [], ["041nas322"]),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["in.csv", "--out", "out.xlsx"], "its name does not tell the format of the output"),
        (["in.csv", "--out", "nowhere/out.csv"], "is no folder"),
        (["in.csv", "--out", "in.csv"], "in.csv is the input"),
        (["nothing.csv", "--out", "out.csv"], "nothing.csv is no file"),
        (["in.csv", "in.csv", "--out", "out.csv"], "--out needs one file of affiliations"),
        (["--out", "out.csv"], "--out needs one file of affiliations"),
        (["in.csv", "--column", "organisation", "--out", "out.csv"], "no column 'organisation'; there are: doi;affiliation;year"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_at_once(
    resolver: Run, sample_home: Path, arguments: list[str], said: str
) -> None:
    write(sample_home, "in.csv")
    done = resolver("resolve", *arguments)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert not list(sample_home.glob(".*answers"))


# Going on


def many(path: Path, count: int) -> None:
    """A table of different affiliations, each there twice."""
    texts = [json.loads(line)["affiliation"] for line in sample.GOLD.read_text().splitlines()]
    rows = [(i, f"{texts[i % len(texts)]} {i // len(texts)}") for i in range(count)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "affiliation"])
        writer.writerows([*rows, *rows])


def answered(store: Path) -> int:
    """Texts that a store has answers for; as it is on the disk, without its lock."""
    try:
        with sqlite3.connect(f"file:{store}?mode=ro&immutable=1", uri=True) as reading:
            ((count,),) = reading.execute("SELECT count(answer) FROM text").fetchall()
    except sqlite3.Error:
        return 0
    return int(count)


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    return subprocess.Popen(
        [sys.executable, "-m", "resolver.cli", *arguments],
        env=environment | {"RESOLVER_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )


def broken_off(
    home: Path, source: Path, out: Path, by: signal.Signals, *, after: int
) -> tuple[int, str]:
    """Exit code and messages of a run that is interrupted once it has stored so many answers."""
    process = start(home, "resolve", str(source), "--out", str(out))
    store = out.with_name(f".{out.name}.answers")
    while answered(store) < after:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    # What is seen may be in the middle of being stored.
    time.sleep(0.3)
    process.send_signal(by)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_killed_and_interrupted_it_goes_on_and_the_result_is_the_same(
    resolver: Run, sample_home: Path, tmp_path: Path
) -> None:
    source, out, whole = (tmp_path / name for name in ("in.csv", "out.csv", "whole.csv"))
    many(source, 700)
    killed, _ = broken_off(sample_home, source, out, signal.SIGKILL, after=BATCH)
    assert killed == -signal.SIGKILL
    assert not out.exists()
    stopped, said = broken_off(sample_home, source, out, signal.SIGINT, after=2 * BATCH)
    assert stopped == 130
    assert f"going on: {2 * BATCH} of 1,400 rows were answered before" in said
    assert "run the same command again to go on" in said
    assert not out.exists()
    done = resolver("resolve", str(source), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "of 1,400 rows were answered before" in done.stderr
    assert resolver("resolve", str(source), "--out", str(whole)).returncode == 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv", "whole.csv"]


def test_answers_of_another_policy_are_given_anew(
    resolver: Run, sample_home: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    many(source, 400)
    broken_off(sample_home, source, out, signal.SIGKILL, after=BATCH)
    done = resolver("resolve", str(source), "--out", str(out), "--countries", "CH")
    assert "earlier answers were given by another index, model or policy" in done.stderr
    assert {country for row in read(out) for country in row["ror_countries"]} == {"Switzerland"}


def test_two_commands_do_not_write_one_output(
    resolver: Run, sample_home: Path, tmp_path: Path
) -> None:
    source, out = write(tmp_path, "in.csv"), tmp_path / "out.csv"
    with sqlite3.connect(out.with_name(".out.csv.answers"), isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = resolver("resolve", str(source), "--out", str(out))
    assert done.returncode == 1
    assert "another command is writing this output" in done.stderr
