from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolver.database.tables import MAX_EXTERNAL_ID, MAX_SOURCE
from resolver.domain.affiliation import SourceRecord
from resolver.errors import IntakeError, SettingsError
from resolver.intake import (
    MAX_CHUNK,
    MAX_LINE,
    MAX_POSITION,
    Columns,
    Format,
    parse_chunk,
    parse_record,
    read_file,
)

GOOD = {"source": "crossref", "id": "10.1/a", "affiliation": "ETH Zürich", "position": 2}


# Records


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, SourceRecord("crossref", "10.1/a", "ETH Zürich", 2), id="plain"),
        pytest.param(
            {"id": 17}, SourceRecord("crossref", "17", "ETH Zürich", 2), id="number as id"
        ),
        pytest.param({"affiliation": ""}, SourceRecord("crossref", "10.1/a", "", 2), id="empty"),
        pytest.param(
            {"affiliation": "a\0\ud800"},
            SourceRecord("crossref", "10.1/a", "a\0\ud800", 2),
            id="any text is an affiliation",
        ),
        pytest.param(
            {"doi": 1, "links": []},
            SourceRecord("crossref", "10.1/a", "ETH Zürich", 2),
            id="unknown keys",
        ),
        pytest.param(
            {"position": MAX_POSITION},
            SourceRecord("crossref", "10.1/a", "ETH Zürich", MAX_POSITION),
            id="last position",
        ),
        pytest.param(
            {"source": "s" * MAX_SOURCE, "id": "i" * MAX_EXTERNAL_ID},
            SourceRecord("s" * MAX_SOURCE, "i" * MAX_EXTERNAL_ID, "ETH Zürich", 2),
            id="longest names",
        ),
    ],
)
def test_record_is_taken(change: dict[str, object], expected: SourceRecord) -> None:
    assert parse_record(GOOD | change, position=0) == expected


def test_position_may_be_left_out() -> None:
    record = {key: value for key, value in GOOD.items() if key != "position"}
    assert parse_record(record, position=9).position == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"source": None}, "source: is null, not a string", id="source null"),
        pytest.param({"source": ""}, "source: empty", id="source empty"),
        pytest.param({"source": " \t"}, "source: empty", id="source blank"),
        pytest.param({"source": 5}, "source: is a number, not a string", id="source number"),
        pytest.param({"source": "a\0"}, "source: contains NUL", id="source NUL"),
        pytest.param({"source": "s" * 101}, "source: 101 characters; 100 is the most", id="source"),
        pytest.param({"id": None}, "id: is null, not a string", id="id null"),
        pytest.param({"id": True}, "id: is a boolean, not a string", id="id boolean"),
        pytest.param({"id": 1.5}, "id: is a number, not a string", id="id fraction"),
        pytest.param({"id": ["x"]}, "id: is a list, not a string", id="id list"),
        pytest.param({"id": "\0"}, "id: contains NUL", id="id NUL"),
        pytest.param(
            {"id": "\ud800"}, "id: is not valid Unicode (lone surrogate)", id="id surrogate"
        ),
        pytest.param(
            {"id": "i" * (MAX_EXTERNAL_ID + 1)},
            f"id: {MAX_EXTERNAL_ID + 1} characters; {MAX_EXTERNAL_ID} is the most",
            id="id long",
        ),
        pytest.param(
            {"id": 10**6000}, f"id: longer than {MAX_EXTERNAL_ID} digits", id="id of 6001 digits"
        ),
        pytest.param({"affiliation": None}, "affiliation: is null", id="affiliation null"),
        pytest.param({"affiliation": 3}, "affiliation: is a number", id="affiliation number"),
        pytest.param({"affiliation": {}}, "affiliation: is an object", id="affiliation object"),
        pytest.param({"position": -1}, "position: not between 0 and 2147483647", id="negative"),
        pytest.param({"position": 2**31}, "position: not between 0 and 2147483647", id="2**31"),
        pytest.param(
            {"position": "1"}, "position: is a string, not a whole number", id="position string"
        ),
        pytest.param(
            {"position": True}, "position: is a boolean, not a whole number", id="position boolean"
        ),
        pytest.param(
            {"position": 1.0}, "position: is a number, not a whole number", id="position fraction"
        ),
        pytest.param(
            {"position": None}, "position: is null, not a whole number", id="position null"
        ),
    ],
)
def test_record_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(IntakeError) as refused:
        parse_record(GOOD | change, position=7)
    assert (refused.value.position, refused.value.reason) == (7, reason)


@pytest.mark.parametrize("field", ["source", "id", "affiliation"])
def test_missing_field_is_named(field: str) -> None:
    record = {key: value for key, value in GOOD.items() if key != field}
    with pytest.raises(IntakeError, match=f"record 3: {field}: missing"):
        parse_record(record, position=3)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(None, "null"), ("x", "a string"), ([], "a list"), (1, "a number"), (float("nan"), "not a")],
)
def test_no_object_is_refused(raw: object, kind: str) -> None:
    with pytest.raises(IntakeError, match=f"not an object but {kind}"):
        parse_record(raw, position=0)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.lists(
        _JSON
        | st.fixed_dictionaries(
            {}, optional={"source": _JSON, "id": _JSON, "affiliation": _JSON, "position": _JSON}
        )
    )
)
def test_every_item_is_taken_or_refused(raw: list[object]) -> None:
    records, refused = parse_chunk(raw)
    assert len(records) + len(refused) == len(raw)
    assert all(refusal.reason for refusal in refused)


def test_bad_record_leaves_its_neighbours() -> None:
    records, refused = parse_chunk([GOOD, {"id": "10.1/b"}, GOOD | {"position": 3}])
    assert [record.position for record in records] == [2, 3]
    [one] = refused
    assert (one.external_id, one.reason) == ("10.1/b", "affiliation: missing")


@pytest.mark.parametrize("raw", [None, {"records": []}, "text", [GOOD] * (MAX_CHUNK + 1)])
def test_chunk_as_a_whole_is_refused(raw: object) -> None:
    with pytest.raises(IntakeError, match="chunk"):
        parse_chunk(raw)


# Files


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
        (0, f"line 1: longer than {MAX_LINE} bytes"),
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

    with pytest.raises(IntakeError, match=r"cut\.jsonl\.gz, line \d+: the file breaks off"):
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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            b'{"affiliation": "ETH", "id": "a", "source": "x"}\n',
            [SourceRecord("x", "a", "ETH")],
            id="json lines",
        ),
        pytest.param(b"ETH\nMIT", [SourceRecord("stdin", "1", "ETH"),
                                   SourceRecord("stdin", "2", "MIT")], id="text"),
    ],
)  # fmt: skip
def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, content: bytes, expected: list[SourceRecord]
) -> None:
    pipe = io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stdin", pipe)
    assert list(read_file(None)) == expected


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


def test_parquet_is_not_read_from_a_pipe() -> None:
    with pytest.raises(SettingsError, match="pipe"):
        read_file(None, format=Format.PARQUET)
