from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.errors import FileBroken, IntakeError, SettingsError
from resolver.intake.columns import Columns
from resolver.intake.files import read_file
from resolver.intake.format import Format
from resolver.intake.lines import MAX_LINE
from resolver.intake.record import SourceRecord

GOOD = {"source": "crossref", "id": "10.1/a", "affiliation": "ETH Zürich", "position": 2}


def _write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def _shown(rows: list[SourceRecord | IntakeError]) -> list[tuple[object, ...]]:
    """Records as tuples, refusals as (position, reason without the file's name)."""
    return [
        (row.source, row.external_id, row.affiliation, row.position)
        if isinstance(row, SourceRecord)
        else (row.position, row.reason.split(", ", maxsplit=1)[1])
        for row in rows
    ]


_LINES = b"""\
{"source": "crossref", "id": "10.1/a", "affiliation": "ETH Z\xc3\xbcrich"}

{"source": "crossref", "id": "10.1/b"}
{"source": "crossref", "id": 5, "affiliation": "MIT", "position": 1, "more": [1]}
not json
[1]
{"source": "crossref", "id": "10.1/c", "affiliation": "Z\xfcrich"}
{"source": "crossref", "id": "10.1/d", "affiliation": "lone \\ud800"}"""

_FROM_LINES = [
    ("crossref", "10.1/a", "ETH Zürich", 0),
    (1, "line 3: affiliation: missing"),
    ("crossref", "5", "MIT", 1),
    (3, "line 5: not JSON: Expecting value (column 1)"),
    (4, "line 6: not an object but a list"),
    (5, "line 7: not UTF-8 (byte 0xfc at 56)"),
    ("crossref", "10.1/d", "lone \ud800", 0),
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.ndjson", "A.JSONL"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    assert _shown(list(read_file(_write(tmp_path, name, _LINES)))) == _FROM_LINES


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param(
            "gold.csv",
            'affiliation,country\n"ETH, Zürich",CH\n\nMIT,US\n',
            [("gold", "2", "ETH, Zürich", 0), ("gold", "4", "MIT", 0)],
            id="csv without id and source",
        ),
        pytest.param(
            "gold.csv",
            "\ufeffaffiliation,id,source,position\nETH,a,x,3\nMIT,,x,0\nUCL,b,,0\nKTH,c,x,\n"
            "CNRS,d,x,-1\n",
            [
                ("x", "a", "ETH", 3),
                (1, "line 3: id: empty"),
                (2, "line 4: source: empty"),
                ("x", "c", "KTH", 0),
                (4, "line 6: position: is a string, not a whole number"),
            ],
            id="csv with all columns and a byte order mark",
        ),
        pytest.param(
            "gold.csv",
            'affiliation,id\n"ETH\nZürich",a\nMIT\nUCL,b,c\n"KTH",d\n',
            [
                ("gold", "a", "ETH\nZürich", 0),
                (1, "line 4: 1 cells under a header of 2"),
                (2, "line 5: 3 cells under a header of 2"),
                ("gold", "d", "KTH", 0),
            ],
            id="csv with line breaks and bad rows",
        ),
        pytest.param(
            "gold.tsv.gz",
            "id\taffiliation\na\tETH, Zürich\n",
            [("gold", "a", "ETH, Zürich", 0)],
            id="tsv, gzipped",
        ),
        pytest.param(
            "gold.txt",
            "\ufeffETH, Zürich\r\n\n MIT \n",
            [("gold", "1", "ETH, Zürich", 0), ("gold", "3", " MIT ", 0)],
            id="text",
        ),
        pytest.param(
            "gold.v1.jsonl",
            '{"affiliation": "ETH"}\n{"affiliation": "MIT"}\n',
            [("gold", "1", "ETH", 0), ("gold", "2", "MIT", 0)],
            id="json lines without id and source",
        ),
        pytest.param("gold.jsonl", "", [], id="nothing"),
    ],
)
def test_file(tmp_path: Path, name: str, content: str, expected: list[tuple[object, ...]]) -> None:
    assert _shown(list(read_file(_write(tmp_path, name, content.encode())))) == expected


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param(
            "a.csv",
            b"affiliation,id\nZ\xfcrich,a\nMIT,b\n",
            [(0, "line 2: not UTF-8"), ("a", "b", "MIT", 0)],
            id="csv",
        ),
        pytest.param(
            "a.txt",
            b"Z\xfcrich\nMIT\n",
            [(0, "line 1: not UTF-8 (byte 0xfc at 1)"), ("a", "2", "MIT", 0)],
            id="text",
        ),
    ],
)
def test_lines_that_are_not_utf8_are_refused(
    tmp_path: Path, name: str, content: bytes, expected: list[tuple[object, ...]]
) -> None:
    assert _shown(list(read_file(_write(tmp_path, name, content)))) == expected


def test_columns_and_source_by_name(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.csv", b"aff,doi,n\nETH,10.1/a,4\n")
    columns = Columns(affiliation="aff", id="doi", position="n")
    assert list(read_file(path, source="pubmed", columns=columns)) == [
        SourceRecord("pubmed", "10.1/a", "ETH", 4)
    ]


def test_line_beyond_the_limit_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.txt", b"x" * (2 * MAX_LINE + 5) + b"\nMIT\n")
    assert _shown(list(read_file(path))) == [
        (0, f"line 1: longer than {MAX_LINE} characters"),
        ("a", "2", "MIT", 0),
    ]


def test_cut_gzip_file_is_told_after_its_records(tmp_path: Path) -> None:
    line = json.dumps(GOOD).encode() + b"\n"
    whole = gzip.compress(b"".join(line.replace(b"10.1/a", b"%d" % i) for i in range(20_000)))
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    taken = []

    def take() -> None:
        for row in read_file(path):
            taken.append(row)  # one by one: what came before the end must have come

    with pytest.raises(FileBroken, match=r"cut\.jsonl\.gz, line \d+: the file breaks off"):
        take()
    assert [row.external_id for row in taken if isinstance(row, SourceRecord)] == [
        str(i) for i in range(len(taken))
    ]
    assert 5_000 < len(taken) < 20_000


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        pytest.param("a.csv", b"name,id\nETH,1\n", "no column 'affiliation'; there are: name, id",
                     id="no such column"),
        pytest.param("a.csv", b"", "no column 'affiliation'; there are: none", id="empty csv"),
        pytest.param("a.xlsx", b"", "does not tell its format", id="unknown suffix"),
        pytest.param("a", b"", "does not tell its format", id="no suffix"),
        pytest.param("a.parquet", b"PAR1 or not", "not a Parquet file", id="not parquet"),
        pytest.param("a.csv", b"PK\x03\x04\x14\x00", "an Excel workbook or a zip", id="workbook"),
        pytest.param("a.csv", b"\x28\xb5\x2f\xfd\x04", "compressed by zstd", id="zstd"),
        pytest.param("a.csv", b'id,"affiliation\na,b\n', "line 1: a quote is opened", id="header"),
        pytest.param("a.csv", b"id,affiliation,affiliation\n", "2 columns are named 'affiliation' "
                     r"\(columns 2, 3\)", id="two columns of one name"),
        pytest.param("a.txt", "ETH\nMIT\n".encode("utf-16-le"), "seems to be UTF-16-LE", id="utf-16"),
        pytest.param("a.csv", "affiliation\nETH\n".encode("utf-16-be"), "seems to be UTF-16-BE",
                     id="utf-16, the other way round"),
    ],
)  # fmt: skip
def test_unusable_file_is_told_at_once(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    path = _write(tmp_path, name, content)
    with pytest.raises(SettingsError, match=problem):
        read_file(path)


def test_missing_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.jsonl: No such file or directory"):
        read_file(tmp_path / "none.jsonl")


_TWO = [SourceRecord("stdin", "1", "ETH"), SourceRecord("stdin", "2", "MIT")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            b'\n{"affiliation": "ETH", "id": "a", "source": "x"}\n',
            [SourceRecord("x", "a", "ETH")],
            id="json lines",
        ),
        pytest.param(b"ETH\nMIT", _TWO, id="text"),
        pytest.param(b"{ETH}", [SourceRecord("stdin", "1", "{ETH}")], id="text in braces"),
        pytest.param(gzip.compress(b"ETH\nMIT"), _TWO, id="gzipped"),
        pytest.param(b"affiliation\nETH\n", [SourceRecord("stdin", "2", "ETH")], id="one column"),
        pytest.param(
            b"id;affiliation\na;ETH, Zurich\n", [SourceRecord("stdin", "a", "ETH, Zurich")],
            id="table",
        ),
        pytest.param(b"", [], id="nothing"),
    ],
)  # fmt: skip
def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, content: bytes, expected: list[SourceRecord]
) -> None:
    _pipe(monkeypatch, content)
    assert list(read_file(None)) == expected


def _pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Standard input from a pipe, as a shell makes it."""
    reading, writing = os.pipe()
    Thread(target=_write_all, args=(writing, content), daemon=True).start()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reading))


def _write_all(writing: int, content: bytes) -> None:
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(content)


# Parquet


def _parquet(path: Path, columns: dict[str, list[object]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path, row_group_size=2)
    return path


def test_parquet(tmp_path: Path) -> None:
    path = _parquet(
        tmp_path / "works.parquet",
        {"affiliation": ["ETH", None, "MIT"], "id": [1, 2, 3], "position": [0, 0, None],
         "abstract": ["…", "…", "…"]},
    )  # fmt: skip
    assert _shown(list(read_file(path))) == [
        ("works", "1", "ETH", 0),
        (1, "line 2: affiliation: is null"),
        ("works", "3", "MIT", 0),
    ]


def test_parquet_without_ids_is_numbered(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "works.parquet", {"affiliation": ["ETH", "MIT", "UCL"]})
    assert [row.external_id for row in read_file(path) if isinstance(row, SourceRecord)] == [
        "1",
        "2",
        "3",
    ]


def test_parquet_string_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    bad = pyarrow.array([b"Z\xfcrich", b"MIT"]).view(pyarrow.string())
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"affiliation": bad}), path)
    assert _shown(list(read_file(path))) == [
        (0, "line 1: affiliation: is of type bytes"),
        ("a", "2", "MIT", 0),
    ]


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path, "a.parquet", b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError, match=r"pip install 'affiliation-resolver\[parquet\]'"):
        read_file(path)


@pytest.mark.parametrize("packed", [False, True])
def test_parquet_from_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    content = _parquet(tmp_path / "a.parquet", {"affiliation": ["ETH", "MIT"]}).read_bytes()
    _pipe(monkeypatch, gzip.compress(content) if packed else content)
    assert list(read_file(None)) == _TWO


def test_parquet_by_another_name_is_read_as_what_it_is(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "a.csv", {"affiliation": ["ETH"]})
    assert _shown(list(read_file(path))) == [("a", "1", "ETH", 0)]
    with pytest.raises(SettingsError, match="is a Parquet file, not csv"):
        read_file(path, format=Format.CSV)


def test_parquet_of_pandas(tmp_path: Path) -> None:
    """Where some are missing, whole numbers are fractions, and nothing is not a number."""
    path = _parquet(
        tmp_path / "a.parquet",
        {"affiliation": ["ETH", "MIT", "UCL"], "id": [7.0, 7.0, float("nan")],
         "position": [1.0, float("nan"), 0.0]},
    )  # fmt: skip
    assert _shown(list(read_file(path))) == [
        ("a", "7", "ETH", 1),
        ("a", "7", "MIT", 0),
        (2, "line 3: id: is not a number, not a string"),
    ]


# Files as they come


@dataclass(frozen=True)
class Case:
    """A file, the options it is read with, its rows, and a word of what is remarked."""

    name: str
    content: bytes
    rows: list[tuple[object, ...]]
    remark: str = ""
    options: dict[str, Any] = field(default_factory=dict)


ETH, MIT, UCL = "ETH Zürich", "MIT, USA", "UCL"
AS_TEXT = {"quoted": False}

CASES = {
    "several rows of one id": Case(
        "a.csv",
        b"id,affiliation\nx,ETH\nx,MIT\ny,UCL\n",
        [("a", "x", "ETH", 0), ("a", "x", "MIT", 1), ("a", "y", "UCL", 0)],
        "1 rows have the id of an earlier row and no position:",
    ),
    "an id that comes back": Case(
        "a.csv",
        b"id,affiliation\nx,ETH\ny,UCL\nx,MIT\n",
        [("a", "x", "ETH", 0), ("a", "y", "UCL", 0), ("a", "x", "MIT", 1)],
        "1 rows have the id of an earlier row and no position, 1 of them not next to each other",
    ),
    "one id of two sources": Case(
        "a.csv",
        b"id,affiliation,source\nx,ETH,s\nx,MIT,t\n",
        [("s", "x", "ETH", 0), ("t", "x", "MIT", 0)],
    ),
    "json lines of one id": Case(
        "a.jsonl",
        b'{"id": 1, "affiliation": "ETH"}\n{"id": "1", "affiliation": "MIT"}\n',
        [("a", "1", "ETH", 0), ("a", "1", "MIT", 1)],
        "1 rows have the id of an earlier row",
    ),
    "positions for some": Case(
        "a.csv",
        b"id,affiliation,position\nx,ETH,\nx,MIT,\ny,UCL,3\n",
        [("a", "x", "ETH", 0), ("a", "x", "MIT", 1), ("a", "y", "UCL", 3)],
        "1 rows have the id of an earlier row and no position",
    ),
    "a position twice": Case(
        "a.csv",
        b"id,affiliation,position\nx,ETH,0\nx,MIT,0\n",
        [("a", "x", "ETH", 0), ("a", "x", "MIT", 0)],
        "1 rows have the source, id and position of an earlier row",
    ),
    "a position that order gave before": Case(
        "a.csv",
        b"id,affiliation,position\nx,ETH,\nx,MIT,0\n",
        [("a", "x", "ETH", 0), ("a", "x", "MIT", 0)],
        "1 rows have the source, id and position of an earlier row",
    ),
    "an order that meets a position": Case(
        "a.csv",
        b"id,affiliation,position\nx,ETH,0\nx,MIT,\n",
        [("a", "x", "ETH", 0), ("a", "x", "MIT", 0)],
        "1 rows have the source, id and position of an earlier row",
    ),
    "no column of ids": Case(
        "a.csv",
        b"doi,affiliation\nx,ETH\n",
        [("a", "2", "ETH", 0)],
        "there is no 'id': numbers of lines are taken as ids; where another column has them, say so "
        "(--id-column); columns there are: doi",
    ),
    "a quote that is not closed": Case(
        "a.csv",
        b'id,affiliation\nx,"ETH\ny,MIT\nz,UCL\n',
        [
            (0, "line 2: a quote is opened and not closed; double it, or say that quotes are part "
             "of the text (--unquoted)"),
            ("a", "y", "MIT", 0),
            ("a", "z", "UCL", 0),
        ],
    ),
    "a quote that a later one seems to close": Case(
        "a.csv",
        b'id,affiliation\nx,"ETH\ny,"MIT, USA"\nz,UCL\n',
        [
            (0, "line 2: a quote is opened and not closed; double it, or say that quotes are part "
             "of the text (--unquoted)"),
            ("a", "y", MIT, 0),
            ("a", "z", "UCL", 0),
        ],
    ),
    "a quote that is not doubled": Case(
        "a.csv",
        b'id,affiliation\nx,"ETH "Z" Zurich"\ny,"MIT, USA"\n',
        [
            (0, "line 2: a quote inside a quoted cell is not doubled; double it, or say that quotes "
             "are part of the text (--unquoted)"),
            ("a", "y", MIT, 0),
        ],
    ),
    "quotes that are text": Case(
        "a.csv",
        b'id,affiliation\nx,"ETH" Zurich\n',
        [("a", "x", '"ETH" Zurich', 0)],
        options=AS_TEXT,
    ),
    "line breaks in quotes": Case(
        "a.csv",
        b'id,affiliation\nx,"ETH\r\nZurich"\ny,UCL\n',
        [("a", "x", "ETH\r\nZurich", 0), ("a", "y", "UCL", 0)],
        "1 rows go over several lines, by quoted line breaks; the longest over 2, from line 2",
    ),
    "quotes in a table with tabs": Case(
        "a.tsv",
        b'id\taffiliation\nx\t"Institut" de Physique\ny\t"ETH\nz\tUCL\n',
        [("a", "x", '"Institut" de Physique', 0), ("a", "y", '"ETH', 0), ("a", "z", "UCL", 0)],
    ),
    "cells in quotes in a table with tabs": Case(
        "a.tsv",
        b'id\taffiliation\nx\t"ETH, ""Z"""\n',
        [("a", "x", '"ETH, ""Z"""', 0)],
        "1 rows have a cell in quotes, taken as part of the text",
    ),
    "a table with tabs that quotes its header": Case(
        "a.tsv", b'"id"\t"affiliation"\n"x"\t"ETH ""Z"""\n', [("a", "x", 'ETH "Z"', 0)]
    ),
    "a table with tabs that is said to quote": Case(
        "a.tsv", b'id\taffiliation\nx\t"ETH\tZ"\n', [("a", "x", "ETH\tZ", 0)],
        options={"quoted": True},
    ),
    "text with the line ends of old": Case(
        "a.txt", b"ETH\rMIT\r\rUCL", [("a", "1", "ETH", 0), ("a", "2", "MIT", 0), ("a", "4", "UCL", 0)]
    ),
    "an end of old in a line": Case(
        "a.txt", b"ETH\nMIT\rUSA\n", [("a", "1", "ETH", 0), ("a", "2", "MIT\rUSA", 0)]
    ),
    "a table with the line ends of old": Case(
        "a.csv", b"id,affiliation\rx,ETH\r", [("a", "x", "ETH", 0)]
    ),
    "a name twice in an object": Case(
        "a.jsonl",
        b'{"id": 1, "affiliation": "ETH", "affiliation": "MIT"}\n',
        [(0, "line 1: affiliation: there are 2 of that name")],
    ),
    "two columns of a name that is not used": Case(
        "a.csv", b"note,note,affiliation,id\n,,ETH,x\n", [("a", "x", "ETH", 0)]
    ),
    "a source for lines without one": Case(
        "a.jsonl",
        b'{"id": 1, "affiliation": "ETH", "source": "t"}\n{"id": 2, "affiliation": "MIT"}\n',
        [("t", "1", "ETH", 0), ("s", "2", "MIT", 0)],
        options={"source": "s"},
    ),
    "no source for lines without one": Case(
        "a.jsonl",
        b'{"id": 1, "affiliation": "ETH", "source": "t"}\n{"id": 2, "affiliation": "MIT"}\n',
        [("t", "1", "ETH", 0), (1, "line 2: source: missing")],
    ),
    "a source for rows without one": Case(
        "a.csv",
        b"id,affiliation,source\nx,ETH,\ny,MIT,t\n",
        [("s", "x", "ETH", 0), ("t", "y", "MIT", 0)],
        options={"source": "s"},
    ),
    "an id where the first has none": Case(
        "a.jsonl",
        b'{"affiliation": "ETH"}\n{"affiliation": "MIT", "id": "1"}\n',
        [("a", "1", "ETH", 0), (1, "line 2: has an id, and the first record has none")],
        "there is no 'id'",
    ),
    "UTF-16 with its mark": Case(
        "a.csv",
        codecs.BOM_UTF16_LE + f"id,affiliation\r\nx,{ETH}\r\n".encode("utf-16-le"),
        [("a", "x", ETH, 0)],
    ),
    "UTF-16 the other way round": Case(
        "a.txt", codecs.BOM_UTF16_BE + f"{ETH}\n".encode("utf-16-be"), [("a", "1", ETH, 0)]
    ),
    "UTF-16 that is said": Case(
        "a.jsonl.gz",
        json.dumps({"id": 1, "affiliation": ETH}).encode("utf-16-le"),
        [("a", "1", ETH, 0)],
        options={"encoding": "utf-16-le"},
    ),
    "half a character of UTF-16": Case(
        "a.txt",
        codecs.BOM_UTF16_LE + "ETH\n".encode("utf-16-le") + b"\x00\xd8\n\x00M\x00",
        [("a", "1", "ETH", 0), (1, "line 2: not UTF-16 (a lone surrogate at 0)"), ("a", "3", "M", 0)],
    ),
    "what Excel calls Unicode text": Case(
        "a.txt",
        codecs.BOM_UTF16_LE + f"id\taffiliation\r\nx\t{ETH}\r\n".encode("utf-16-le"),
        [("a", "x", ETH, 0)],
        "columns are separated by tabs",
    ),
    "windows-1252": Case(
        "a.csv",
        f"id,affiliation\nx,{ETH}\n".encode("cp1252") + b"y,\x81\n",
        [("a", "x", ETH, 0), (1, "line 3: not CP1252")],
        options={"encoding": "windows-1252"},
    ),
    "semicolons": Case(
        "a.csv",
        b'id;affiliation\nx;MIT, USA\ny;"a;b"\n',
        [("a", "x", MIT, 0), ("a", "y", "a;b", 0)],
        "columns are separated by semicolons",
    ),
    "a delimiter that is said": Case(
        "a.csv", b"id:affiliation\nx:ETH\n", [("a", "x", "ETH", 0)], "separated by ':'",
        options={"delimiter": ":"},
    ),
    "a table that is called text": Case(
        "a.txt", b"id,affiliation\nx,ETH\n", [("a", "x", "ETH", 0)]
    ),
    "gzipped without saying so": Case(
        "a.csv", gzip.compress(b"id,affiliation\nx,ETH\n"), [("a", "x", "ETH", 0)]
    ),
    "ids that pandas made fractions": Case(
        "a.csv",
        b"id,affiliation,position\n123.0,ETH,1.0\n,MIT,\n7.0,UCL,0.0\n",
        [
            ("a", "123", "ETH", 1),
            (1, "line 3: id: empty"),
            ("a", "7", "UCL", 0),
        ],
        "ids are written as fractions (123.0) and taken as whole numbers (123)",
    ),
    "an id among fractions": Case(
        "a.csv",
        b"id,affiliation\n" + b"".join(b"%d.0,ETH\n" % i for i in range(100)) + b"x,KTH\n",
        [("a", str(i), "ETH", 0) for i in range(100)]
        + [(100, "line 102: id: 'x' among ids that are numbers (123.0)")],
        "ids are written as fractions (123.0) and taken as whole numbers (123)",
    ),
    "ids that look like fractions": Case(
        "a.csv", b"id,affiliation\n1.0,ETH\n1.1,MIT\n", [("a", "1.0", "ETH", 0), ("a", "1.1", "MIT", 0)],
        "1 ids end in .0, others do not",
    ),
    "fractions in json": Case(
        "a.jsonl", b'{"id": 123.0, "affiliation": "ETH", "position": 1.0}', [("a", "123", "ETH", 1)]
    ),
    "ids that Excel cut": Case(
        "a.csv",
        b"id,affiliation\n1.23457E+12,ETH\n1e+16,MIT\n",
        [
            (0, "line 2: id: 1.23457E+12 has lost its digits (Excel and pandas write long numbers "
             "so): store the column as text"),
            (1, "line 3: id: 1e+16 has lost its digits (Excel and pandas write long numbers so): "
             "store the column as text"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_files_as_they_come(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    reading = read_file(_write(tmp_path, case.name, case.content), **case.options)
    assert _shown(list(reading)) == case.rows
    if case.remark:
        assert any(case.remark in remark for remark in reading.remarks()), reading.remarks()
    else:
        assert reading.remarks() == []


@pytest.mark.parametrize(
    ("columns", "content"),
    [
        (Columns(id="doi"), b"id,affiliation\nx,ETH\n"),
        (Columns(position="n"), b"id,affiliation\nx,ETH\n"),
        (Columns(source="from"), b"id,affiliation\nx,ETH\n"),
    ],
)
def test_column_that_was_named_must_be_there(
    tmp_path: Path, columns: Columns, content: bytes
) -> None:
    with pytest.raises(
        SettingsError, match=r"no column '(doi|n|from)'; there are: id, affiliation"
    ):
        read_file(_write(tmp_path, "a.csv", content), columns=columns)


@pytest.mark.parametrize("encoding", ["klingon", "base64", "undefined"])
def test_unknown_encoding(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(SettingsError, match=f"no such encoding: {encoding}"):
        read_file(_write(tmp_path, "a.txt", b"ETH"), encoding=encoding)


def test_delimiter_of_a_file_without_columns(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="a delimiter separates columns"):
        read_file(_write(tmp_path, "a.jsonl", b"{}"), delimiter=";")


def test_blank_lines_are_kept_where_each_line_is_to_be_answered(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.txt", b"ETH\n\n \nMIT")
    assert [row[2] for row in _shown(list(read_file(path, blank=True)))] == ["ETH", "", " ", "MIT"]


@pytest.mark.parametrize("at", [10, 25, 60])
def test_cut_file_is_told_wherever_it_was_cut(tmp_path: Path, at: int) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"id,affiliation\n" + os.urandom(400).hex().encode())[:at])
    with pytest.raises(FileBroken, match=r"a\.csv\.gz, line \d: the file breaks off"):
        list(read_file(path))


# What programs write is read as it was

_CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_ID = _CELL.map(lambda text: f"10.1/{text}")
_TABLE = st.lists(st.tuples(_ID, _CELL), min_size=1, max_size=8)


def _expected(rows: list[tuple[str, str]]) -> list[SourceRecord]:
    seen: dict[str, int] = {}
    records = []
    for number, affiliation in rows:
        place = seen.get(number, -1) + 1
        seen[number] = place
        records.append(SourceRecord("s", number, affiliation, place))
    return records


def _read_back(content: bytes, name: str, **options: Any) -> list[SourceRecord | IntakeError]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return list(read_file(path, source="s", **options))


@given(
    rows=_TABLE,
    dialect=st.sampled_from([csv.excel, csv.excel_tab, csv.unix_dialect]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    packed=st.booleans(),
)
def test_what_the_csv_module_writes(
    rows: list[tuple[str, str]],
    dialect: type[csv.Dialect],
    delimiter: str,
    encoding: str,
    packed: bool,
) -> None:
    written = io.StringIO()
    writer = csv.writer(written, dialect, delimiter=delimiter)
    writer.writerows([("id", "affiliation"), *rows])
    content = written.getvalue().encode(encoding)
    read = _read_back(gzip.compress(content) if packed else content, "a.csv", quoted=True)
    assert read == _expected(rows)


@given(_TABLE)
def test_what_pandas_writes(rows: list[tuple[str, str]]) -> None:
    """An index in front, LF, quotes where they are needed."""
    rows = [(number.replace("\r", " "), text.replace("\r", " ")) for number, text in rows]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows([("", "id", "affiliation"), *((i, *row) for i, row in enumerate(rows))])
    assert _read_back(written.getvalue().encode(), "a.csv") == _expected(rows)


@given(st.lists(st.tuples(st.integers(0, 10**12), _CELL), min_size=1, max_size=8))
def test_what_pandas_makes_of_whole_numbers(rows: list[tuple[int, str]]) -> None:
    rows = [(number, text.replace("\r", " ")) for number, text in rows]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows([("id", "affiliation"), *((float(i), text) for i, text in rows)])
    expected = _expected([(str(number), text) for number, text in rows])
    assert _read_back(written.getvalue().encode(), "a.csv") == expected


@given(
    st.lists(
        st.tuples(_ID, _CELL).filter(lambda row: not any(c in "".join(row) for c in "\t\r\n")),
        min_size=1,
        max_size=8,
    )
)
def test_tables_with_tabs_and_no_quoting(rows: list[tuple[str, str]]) -> None:
    lines = ["id\taffiliation", *map("\t".join, rows)]
    assert _read_back("\n".join(lines).encode(), "a.tsv") == _expected(rows)


@given(_TABLE, st.booleans())
def test_what_json_writes(rows: list[tuple[str, str]], ascii_alone: bool) -> None:
    lines = [
        json.dumps({"id": number, "affiliation": text}, ensure_ascii=ascii_alone)
        for number, text in rows
    ]
    assert _read_back("\n".join(lines).encode(), "a.jsonl") == _expected(rows)


@given(st.binary(max_size=200), st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.txt"]))
def test_anything_is_read_or_told(content: bytes, name: str) -> None:
    for head in (b"", b"id,affiliation\n", b"id\taffiliation\n"):
        try:
            rows = _read_back(head + content, name)
        except (SettingsError, FileBroken):
            continue
        assert all(isinstance(row, SourceRecord) or row.reason for row in rows)
