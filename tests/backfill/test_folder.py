from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resolver.backfill.folder import Folder, matching
from resolver.errors import BackfillError, SettingsError


def test_what_is_written_is_read_listed_and_removed(folder: Folder, tmp_path: Path) -> None:
    assert folder.files() == []
    assert folder.read("a.txt") is None
    folder.write("a.txt", b"first")
    folder.write("a.txt", b"second")
    folder.write("below/b.txt", b"b" * 20_000_000)
    assert folder.read("a.txt") == b"second"
    assert [(file.name, file.size) for file in folder.files()] == [
        ("a.txt", 6), ("below/b.txt", 20_000_000),
    ]  # fmt: skip
    assert [file.name for file in folder.files("below")] == ["below/b.txt"]
    source = tmp_path / "source"
    source.write_bytes(b"c" * 10_000_000)
    folder.upload(source, "below/c.txt")
    assert b"".join(folder.blocks("below/c.txt")) == source.read_bytes()
    folder.remove("below/c.txt")
    assert [file.name for file in folder.files("below")] == ["below/b.txt"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write("a", b"before")
    with pytest.raises(TypeError):
        folder.write("a", "no bytes")
    assert folder.read("a") == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("", ["a.parquet", "b/c.parquet", "b/d.parquet"]),
        ("/", ["a.parquet", "b/c.parquet", "b/d.parquet"]),
        ("/b", ["c.parquet", "d.parquet"]),
        ("/b/c.parquet", ["c.parquet"]),
        ("/b/odd.name", ["odd.name"]),
        ("/b/*.parquet", ["c.parquet", "d.parquet"]),
        ("/*.parquet", ["a.parquet"]),
        ("/*/[cx].parquet", ["b/c.parquet"]),
    ],
)
def test_files_that_an_address_names(folder: Folder, address: str, names: list[str]) -> None:
    for name in ("a.parquet", "b/c.parquet", "b/d.parquet", "b/odd.name"):
        folder.write(name, b"")
    assert [file.name for file in matching(folder.address + address)[1]] == names


@pytest.mark.parametrize("address", ["/nothing", "/nothing/*.parquet", "/b/*.csv"])
def test_an_address_that_names_nothing(folder: Folder, address: str) -> None:
    folder.write("b/c.parquet", b"")
    with pytest.raises(BackfillError, match="names no Parquet file"):
        matching(folder.address + address)


def test_a_data_set_is_of_all_its_files(folder: Folder) -> None:
    for name in ("a", "b"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"name": [name]}), sink)
        folder.write(f"{name}.parquet", sink.getvalue())
    table = folder.dataset(["a.parquet", "b.parquet"]).to_table()
    assert sorted(table["name"].to_pylist()) == ["a", "b"]


def test_a_file_that_is_no_parquet_is_named(folder: Folder) -> None:
    folder.write("a.parquet", b"nonsense")
    with pytest.raises(BackfillError, match=r"a\.parquet"):
        folder.dataset(["a.parquet"])


def test_a_store_that_refuses_is_named(s3: str) -> None:
    with pytest.raises(BackfillError, match=r"s3://no-such-bucket/run/a.*bucket") as caught:
        Folder(f"{s3.replace('bucket', 'no-such-bucket')}/run").write("a", b"")
    assert "credentials" in str(caught.value)


def test_a_kind_of_store_that_is_not_known() -> None:
    with pytest.raises(SettingsError, match="ftp://host"):
        Folder("ftp://host/run")
