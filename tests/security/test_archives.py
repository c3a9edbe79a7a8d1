"""Archives made to do harm: each is refused early, with its file named, and writes nothing."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from resolver import sample
from resolver.errors import RegistryError
from resolver.registry import dump
from resolver.registry.dump import accepted, open_release
from resolver.registry.rejects import RejectsFile
from resolver.release.load import load

REGISTRY = sample.REGISTRY.read_bytes()
MEMBER = "v2.9-2026-01-01-ror-data_schema_v2.json"
RECORD = b'{"id": "' + b"x" * 2**20 + b'"}'
"""Refused, a MiB long, and nearly nothing when compressed."""


def of_megabytes(count: int) -> bytes:
    return b"[" + b",".join([RECORD] * count) + b"]"


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def gzip_bomb(path: Path) -> None:
    path.write_bytes(gzip.compress(of_megabytes(80), 1))


def zip_bomb(path: Path) -> None:
    zipped(path, {MEMBER: of_megabytes(80)})


def lying_zip_bomb(path: Path) -> None:
    """Says of its member that it is small."""
    content = of_megabytes(80)
    zipped(path, {MEMBER: content})
    said = len(content).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(said, (1000).to_bytes(4, "little")))


def many_members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, REGISTRY)
        for number in range(20_000):
            archive.writestr(f"{number}.json", b"")


def zip_of_a_zip(path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, of_megabytes(80))
    zipped(path, {MEMBER: inner.getvalue()})


def gzip_of_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.compress(of_megabytes(80))))


def gzip_in_pieces(path: Path) -> None:
    """A gzip file may be several, one after the other."""
    path.write_bytes(gzip.compress(b"[") + gzip.compress(RECORD + b",") * 80)


def white_space(path: Path) -> None:
    path.write_bytes(gzip.compress(b" " * 80 * 2**20 + b"[]"))


HARMFUL: list[tuple[Callable[[Path], None], str]] = [
    (gzip_bomb, "unpacks to more than 64 MiB"),
    (zip_bomb, "unpacks to more than 64 MiB"),
    (lying_zip_bomb, "CRC|unpacks to more than|cannot be read"),
    (gzip_in_pieces, "unpacks to more than 64 MiB"),
    (white_space, "a record longer than 16 MiB"),
    (many_members, r"a directory of [\d,]+ bytes"),
    (zip_of_a_zip, "neither JSON nor"),
    (gzip_of_gzip, "neither JSON nor"),
]


@pytest.mark.parametrize(("make", "problem"), HARMFUL, ids=[make.__name__ for make, _ in HARMFUL])
def test_a_harmful_archive_is_refused(
    tmp_path: Path, make: Callable[[Path], None], problem: str
) -> None:
    path = tmp_path / "release"
    make(path)
    before = set(tmp_path.rglob("*"))
    tracemalloc.start()
    with pytest.raises(RegistryError, match=problem) as caught:
        for _ in open_release(path).records():
            pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(path) in caught.value.problem
    assert caught.value.remedy
    assert set(tmp_path.rglob("*")) == before
    # A record of 16 MiB and what reads it, not the 80 MiB that are in there.
    assert most < 60 * 2**20


TRAVERSING = [
    "../../../escaped_schema_v2.json",
    "/escaped_schema_v2.json",
    "C:\\escaped_schema_v2.json",
    "..\\..\\escaped_schema_v2.json",
    "a/../../escaped_schema_v2.json",
    "~/escaped_schema_v2.json",
    "escaped_schema_v2.json\x00.json",
]


@pytest.mark.parametrize("name", TRAVERSING)
def test_a_member_is_read_and_its_name_is_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    inside = tmp_path / "a" / "b" / "c"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = zipped(inside / "release.zip", {name: REGISTRY})
    before = {found: found.stat().st_mtime_ns for found in tmp_path.rglob("*")}
    assert len(list(open_release(path).records())) > 300
    assert {found: found.stat().st_mtime_ns for found in tmp_path.rglob("*")} == before
    assert not Path("/escaped_schema_v2.json").exists()


def test_a_link_in_an_archive_leads_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_bytes(REGISTRY)
    entry = zipfile.ZipInfo(MEMBER)
    entry.external_attr = 0o120777 << 16
    path = tmp_path / "release.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, str(secret))
    with pytest.raises(RegistryError, match="neither JSON nor"):
        open_release(path)


def test_a_name_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    path = zipped(tmp_path / "release.zip", {"\x1b[2Ja.json": b"[]", "\x1b]0;b\x07.json": b"[]"})
    with pytest.raises(RegistryError, match="2 JSON files") as caught:
        open_release(path)
    assert str(caught.value).isprintable()


def test_records_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "MAX_RECORDS", 100)
    with pytest.raises(RegistryError, match="more than 100 records"):
        list(open_release(sample.REGISTRY).records())


def test_reasons_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "MAX_REFUSED", 20)
    path = tmp_path / "release.json"
    path.write_bytes(b"[" + b",".join([b'{"id": 1}'] * 10_000) + b"]")
    with (
        RejectsFile(tmp_path / "rejects.jsonl") as rejects,
        pytest.raises(RegistryError, match="21 of 21 records are refused"),
    ):
        list(accepted(open_release(path).records(), rejects=rejects))
    assert len((tmp_path / "rejects.jsonl").read_bytes().splitlines()) == 21


def test_a_bomb_leaves_the_registry_as_it_is(tmp_path: Path, engine: object) -> None:
    path = tmp_path / "release"
    gzip_bomb(path)
    with pytest.raises(RegistryError, match="unpacks to more"):
        load(engine, path, rejects=tmp_path / "rejects.jsonl")  # type: ignore[arg-type]
    with engine.connect() as connection:  # type: ignore[attr-defined]
        assert connection.exec_driver_sql("SELECT count(*) FROM registry_release").scalar() == 0
