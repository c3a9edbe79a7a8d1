"""resolver.registry.rejects: the file of refused records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resolver.errors import RecordError, RegistryError
from resolver.registry.rejects import RejectsFile

ERROR = RecordError(index=7, ror_id="05a28rw58", field="names[2].value", reason="missing or empty")


def test_one_line_each(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "rejects.jsonl"
    with RejectsFile(path) as rejects:
        rejects.add(ERROR)
        rejects.add(RecordError(index=8, ror_id=None, field="id", reason="missing"))
    assert rejects.count == 2
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {
            "index": 7,
            "ror_id": "05a28rw58",
            "field": "names[2].value",
            "reason": "missing or empty",
        },
        {"index": 8, "ror_id": None, "field": "id", "reason": "missing"},
    ]


def test_nothing_refused_no_file(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.write_text("from an earlier load\n")
    with RejectsFile(path) as rejects:
        pass
    assert rejects.count == 0
    assert not path.exists()


def test_lines_are_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    with RejectsFile(path) as rejects:
        rejects.add(ERROR)
        assert path.read_bytes().endswith(b"\n")


def test_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RegistryError, match=r"rejects file .* cannot be written"),
        RejectsFile(tmp_path / "file" / "rejects.jsonl") as rejects,
    ):
        rejects.add(ERROR)
