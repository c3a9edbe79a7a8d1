"""Rows with all their columns: nothing of a file is lost or changed."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from resolver import sample
from resolver.errors import IntakeError, SettingsError
from resolver.intake.format import Format
from resolver.intake.whole_rows import WORK_COLUMNS, WholeRow, read_rows


def read(folder: Path, name: str, content: bytes, **options: Any) -> list[WholeRow | IntakeError]:
    path = folder / name
    path.write_bytes(content)
    return list(read_rows(path, **options))


def shown(rows: list[WholeRow | IntakeError]) -> list[object]:
    return [
        row.reason.split(", ", 1)[1]
        if isinstance(row, IntakeError)
        else (row.line, list(row.cells))
        for row in rows
    ]


def test_a_table_keeps_all_columns_whatever_they_are_called(tmp_path: Path) -> None:
    content = b'id;note;note;org\n7.0;a;b;ETH\n\n1E+5;"x\ny";;"U;CL"\n1;2\n'
    rows = read(tmp_path, "a.csv", content, affiliation="org")
    assert shown(rows) == [
        (2, ["7.0", "a", "b", "ETH"]),
        (4, ["1E+5", "x\ny", "", "U;CL"]),
        "line 6: 2 cells under a header of 4",
    ]
    assert [row.affiliation for row in rows if isinstance(row, WholeRow)] == ["ETH", "U;CL"]


def test_json_lines_keep_the_keys_of_each_line(tmp_path: Path) -> None:
    lines = [{"affiliation": "ETH", "a": [1, {"b": None}]}, {"b": 2}, {"affiliation": 3}]
    content = "\n".join(map(json.dumps, lines)).encode() + b"\nnonsense\n"
    rows = read(tmp_path, "a.jsonl.gz", gzip.compress(content))
    assert shown(rows) == [
        (1, ["ETH", [1, {"b": None}]]),
        (2, [2]),
        "line 3: affiliation: is a number, not a string",
        "line 4: not JSON: Expecting value (column 1)",
    ]
    assert [row.affiliation for row in rows if isinstance(row, WholeRow)] == ["ETH", ""]


def test_parquet_keeps_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"n": pa.array([1, None], pa.int16()), "affiliation": ["ETH", None]})
    parquet.write_table(table, path)
    rows = read_rows(path)
    assert rows.schema == table.schema
    assert shown(list(rows)) == [(1, [1, "ETH"]), (2, [None, None])]


def test_works_are_rows_too() -> None:
    rows = read_rows(sample.CROSSREF)
    assert rows.form is Format.CROSSREF
    found = list(rows)
    assert [type(row).__name__ for row in found] == [*5 * ["WholeRow"], "IntakeError"]
    assert isinstance(found[1], WholeRow)
    assert dict(zip(WORK_COLUMNS, found[1].cells, strict=True)) == {
        "source": "crossref",
        "id": "10.5555/sample.2024.001",
        "position": 1,
        "affiliation": "Dept. of Geography, Univ. of Bonn, Bonn, Germany",
        "asserted_ror_ids": [],
    }


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_line_in_another_encoding_stops_with_what_helps(tmp_path: Path, name: str) -> None:
    lines = {"a.csv": "affiliation\nETH\nZürich\n", "a.txt": "ETH\n\nZürich\n"}
    text = lines.get(name, '{"affiliation": "ETH"}\n\n{"affiliation": "Zürich"}\n')
    with pytest.raises(SettingsError, match=r"line 3: not UTF-8 \(byte 0xfc at \d+\)") as raised:
        read(tmp_path, name, text.encode("latin-1"))
    assert raised.value.remedy is not None
    assert "--encoding windows-1252" in raised.value.remedy
    assert len(read(tmp_path, name, text.encode("latin-1"), encoding="latin-1")) >= 2


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3).filter(any), max_size=8),
    delimiter=st.sampled_from(",;\t|"),
)
def test_what_the_csv_module_writes_is_read_cell_by_cell(
    rows: list[list[str]], delimiter: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([["a", "affiliation", "b"], *rows])
    read_back = read(tmp_path_factory.mktemp("csv"), "a.csv", written.getvalue().encode())
    assert [list(row.cells) for row in read_back if isinstance(row, WholeRow)] == rows
