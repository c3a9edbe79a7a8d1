"""resolver.registry.dump: release files of every form, and every way in which they are unfit."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT, SHARED

from resolver.errors import RecordError, RegistryError
from resolver.registry import dump
from resolver.registry.dump import accepted, open_release
from resolver.registry.organisation import Organisation
from resolver.registry.record import parse
from resolver.registry.rejects import RejectsFile

RELEASE = SHARED / "data/registry/ror-v2.9.json.gz"

IDS = ("05a28rw58", "000025p04", "02crff812")


def record(ror_id: str, schema: str = "2.1") -> dict[str, Any]:
    return {
        "id": f"https://ror.org/{ror_id}",
        "names": [{"value": f"Name of {ror_id}", "types": ["ror_display"], "lang": None}],
        "status": "active",
        "admin": {"last_modified": {"date": "2024-12-11", "schema_version": schema}},
    }


RECORDS = [record(ror_id) for ror_id in IDS]
JSON = json.dumps(RECORDS).encode()
SCHEMA_1 = json.dumps(
    [{"id": "https://ror.org/05a28rw58", "name": "ETH Zurich", "status": "active"}]
).encode()
CSV = b"id,name\n"
JSON_LINES = b"".join(json.dumps(one).encode() + b"\n" for one in RECORDS)
NOT_READ = json.dumps(RECORDS[:1]).encode()


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("form", ["json", "json.gz", "zip", "gz in zip"])
def test_how_much_of_the_file_was_read_is_known(form: str, tmp_path: Path) -> None:
    path = tmp_path / "v2.9-ror-data.json"
    many = [record(f"0{n:06}00") for n in range(5_000)]
    content = json.dumps(many).encode()
    match form:
        case "json":
            path.write_bytes(content)
        case "json.gz":
            path.write_bytes(gzip.compress(content))
        case "zip":
            zipped(path, {"v2.9-ror-data.json": content})
        case _:
            zipped(path, {"v2.9-ror-data.json.gz": gzip.compress(content)})
    release = open_release(path)
    assert release.share_read == 0
    shares = [release.share_read for _ in release.records()]
    assert shares == sorted(shares)
    # Some blocks are read ahead.
    assert 0.3 < shares[len(shares) // 2] < 0.8
    assert shares[-1] == pytest.approx(1, abs=0.01)


def read_ids(path: Path) -> list[str]:
    organisations = list(open_release(path).records())
    assert all(isinstance(organisation, Organisation) for organisation in organisations)
    return [o.ror_id for o in organisations if isinstance(o, Organisation)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("ror.json", JSON, id="compact"),
        pytest.param("ror.json", json.dumps(RECORDS, indent=4).encode(), id="indented"),
        pytest.param("ror.json", json.dumps(RECORDS, ensure_ascii=False).encode(), id="UTF-8"),
        pytest.param("ror.json", b"\xef\xbb\xbf" + JSON, id="byte order mark"),
        pytest.param("ror.json", b"\n \t" + JSON + b"\n\n", id="white space around"),
        pytest.param("ror.json", b" " * 200_000 + JSON, id="white space beyond a read"),
        pytest.param("ror.json.gz", gzip.compress(JSON), id="gzip"),
        pytest.param("ror.json", gzip.compress(JSON), id="gzip named .json"),
        pytest.param("ror.zip", JSON, id="JSON named .zip"),
        pytest.param("ror", gzip.compress(JSON[:100]) + gzip.compress(JSON[100:]), id="gzip twice"),
    ],
)
def test_forms(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert read_ids(path) == list(IDS)


@pytest.mark.parametrize(
    ("members", "version", "day"),
    [
        pytest.param(
            {"v2.9-2026-10-28-ror-data.csv": CSV, "v2.9-2026-10-28-ror-data.json": JSON},
            "v2.9",
            date(2026, 10, 28),
            id="as published since 2.0",
        ),
        pytest.param(
            {
                "v1.58-2024-12-11-ror-data.json": SCHEMA_1,
                "v1.58-2024-12-11-ror-data.csv": CSV,
                "v1.58-2024-12-11-ror-data_schema_v2.json": JSON,
                "v1.58-2024-12-11-ror-data_schema_v2.csv": CSV,
            },
            "v1.58",
            date(2024, 12, 11),
            id="both schemas",
        ),
        pytest.param(
            {"release/v2.0.1-2025-12-16-ror-data.json": JSON},
            "v2.0.1",
            date(2025, 12, 16),
            id="in a folder",
        ),
        pytest.param(
            {"v2.9-ror-data.json": JSON, "__MACOSX/._v2.9-ror-data.json": b"\0", "a.json": b"{}"},
            "v2.9",
            None,
            id="other JSON beside it",
        ),
        pytest.param(
            {
                "v2.9-ror-data-manifest.json": b'{"sha256": "0"}',
                "v2.9-ror-data-files.json": b'[{"file": "v2.9-ror-data.json", "sha256": "0"}]',
                "v2.9-ror-data-schema.json": b'["id", "names"]',
                "v2.9-ror-data.jsonl": JSON_LINES,
                "v2.9-ror-data.json.gz": gzip.compress(JSON),
                ".v2.9-ror-data.json": JSON,
                "v2.9-ror-data.json": JSON,
            },
            "v2.9",
            None,
            id="files about it, and other forms of it",
        ),
        pytest.param(
            {"v2.9-ror-data.json.gz": gzip.compress(JSON), "manifest.json": b"{}"},
            "v2.9",
            None,
            id="gzipped in the zip",
        ),
        pytest.param(
            {"v2.9-ror-data.json": NOT_READ, "v2.10-ror-data.json": JSON},
            "v2.10",
            None,
            id="two versions",
        ),
        pytest.param({"old.json": SCHEMA_1, "new.json": JSON}, "x", None, id="schemas by content"),
        pytest.param(
            {"manifest.json": b"{", "v2.9-data.json": JSON}, "v2.9", None, id="damaged file beside"
        ),
        pytest.param({"../../v2.9-ror-data.json": JSON}, "v2.9", None, id="path traversal"),
        pytest.param({"organisations.json": JSON}, "v3.1", date(2027, 1, 5), id="from the zip"),
    ],
)
def test_zip(tmp_path: Path, members: dict[str, bytes], version: str, day: date | None) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = folder / ("v3.1-2027-01-05.zip" if "organisations.json" in members else "x.zip")
    zipped(path, members)
    release = open_release(path)
    assert (release.version, release.date) == (version, day)
    assert read_ids(path) == list(IDS)
    # Nothing is unpacked to disk.
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


@pytest.mark.parametrize(
    ("name", "version", "day"),
    [
        ("ror-v2.9.json.gz", "v2.9", None),
        ("v2.9-2026-10-28-ror-data.json", "v2.9", date(2026, 10, 28)),
        ("v1.58-2024-12-11-ror-data_schema_v2.json", "v1.58", date(2024, 12, 11)),
        ("ror-data_schema_v2.1.json", "ror-data_schema_v2.1", None),
        ("latest.json.gz", "latest", None),
        ("rev2.9.json", "rev2.9", None),
        ("v2.9-2026-13-45.json", "v2.9", None),
        ("data.2026-10-28.v2", "data.2026-10-28.v2", date(2026, 10, 28)),
        (".json", ".json", None),
    ],
)
def test_version_and_date(tmp_path: Path, name: str, version: str, day: date | None) -> None:
    path = tmp_path / name
    path.write_bytes(JSON)
    release = open_release(path)
    assert (release.version, release.date) == (version, day)


def test_sha256_is_of_the_file_as_given(tmp_path: Path) -> None:
    path = tmp_path / "ror.json.gz"
    path.write_bytes(gzip.compress(JSON))
    assert open_release(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_schema_version_is_the_highest_seen(tmp_path: Path) -> None:
    path = tmp_path / "ror.json"
    schemas = ("2.2", "2.10", "2.9")
    path.write_text(json.dumps([record(*pair) for pair in zip(IDS, schemas, strict=True)]))
    release = open_release(path)
    assert release.schema_version is None
    list(release.records())
    assert release.schema_version == "2.10"


@pytest.mark.parametrize(
    "admin",
    [None, 5, {}, {"last_modified": "x"}, {"last_modified": {"schema_version": "two"}}],
)
def test_schema_version_unknown(tmp_path: Path, admin: object) -> None:
    path = tmp_path / "ror.json"
    path.write_text(json.dumps([{**RECORDS[0], "admin": admin}]))
    release = open_release(path)
    assert len(list(release.records())) == 1
    assert release.schema_version is None


def test_records_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "ror.json"
    path.write_bytes(JSON)
    release = open_release(path)
    assert list(release.records()) == list(release.records())


def test_refused_records_are_told_in_place(tmp_path: Path) -> None:
    path = tmp_path / "ror.json"
    unnamed = {**RECORDS[1], "names": []}
    path.write_text(json.dumps([RECORDS[0], unnamed, 5, RECORDS[0], RECORDS[1], RECORDS[2]]))
    found = [
        (item.index, item.ror_id, item.field) if isinstance(item, RecordError) else item.ror_id
        for item in open_release(path).records()
    ]
    assert found == [
        IDS[0],
        (1, IDS[1], "names"),
        (2, None, "record"),
        (3, IDS[0], "id"),
        # Its only predecessor was refused.
        IDS[1],
        IDS[2],
    ]


def write(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def write_zip(members: dict[str, bytes], **options: int) -> Callable[[Path], None]:
    return lambda path: zipped(path, members, **options)


def write_cut_zip(path: Path) -> None:
    zipped(path, {"v2.9-ror-data.json": JSON})
    path.write_bytes(path.read_bytes()[:-40])


def write_damaged_zip(path: Path) -> None:
    zipped(path, {"v2.9-ror-data.json": JSON}, zipfile.ZIP_STORED)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Name of 02crff812", b"Name of 02crff813"))


def write_encrypted_zip(path: Path) -> None:
    zipped(path, {"v2.9-ror-data.json": JSON})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(lambda path: None, "there is no file", id="missing"),
        pytest.param(Path.mkdir, "is not a file", id="directory"),
        pytest.param(write(b""), "is empty", id="empty"),
        pytest.param(write(b" \n"), "is empty", id="blank"),
        pytest.param(write(gzip.compress(b"")), "is empty", id="empty gzip"),
        pytest.param(write(b"[]"), "holds no record", id="empty array"),
        pytest.param(write(b"id,name\n1,2\n"), "neither JSON nor", id="CSV"),
        pytest.param(write(b"<html>"), "neither JSON nor", id="HTML"),
        pytest.param(write(b"\x00\x01\x02\x03"), "neither JSON nor", id="binary"),
        pytest.param(write(b"\xef\xbb"), "neither JSON nor", id="half a byte order mark"),
        pytest.param(write(JSON.decode().encode("utf-16")), "neither JSON nor", id="UTF-16"),
        pytest.param(write(b'{"items": []}'), "a JSON object, not an array", id="object"),
        pytest.param(write(b"[1, 2]"), "not of ROR records", id="array of numbers"),
        pytest.param(write(b"[[]]"), "not of ROR records", id="array of arrays"),
        pytest.param(write(SCHEMA_1), "schema 1", id="schema 1"),
        pytest.param(write(JSON[:-1]), "cannot be read: .*premature EOF", id="cut JSON"),
        pytest.param(write(JSON[:-30]), "cannot be read", id="JSON cut in a record"),
        pytest.param(write(JSON + b"]"), "cannot be read: .*trailing", id="JSON and more"),
        pytest.param(write(JSON + JSON), "cannot be read: .*trailing", id="two arrays"),
        pytest.param(write(JSON[:-1] + b",]"), "cannot be read", id="trailing comma"),
        pytest.param(write(b"[{'id': 1}]"), "cannot be read", id="not quite JSON"),
        pytest.param(write(b'[{"id": NaN}]'), "cannot be read", id="NaN"),
        pytest.param(write(b'[{"id": 1e999}]'), "cannot be read: .*overflow", id="huge number"),
        pytest.param(write(b'[{"id": "\xff"}]'), "cannot be read: .*UTF8", id="not UTF-8"),
        pytest.param(write(gzip.compress(JSON)[:-20]), "cannot be read", id="cut gzip"),
        pytest.param(write(gzip.compress(JSON)[:5]), "cannot be read", id="gzip cut in its head"),
        pytest.param(
            write(gzip.compress(JSON)[:-8] + b"\0" * 8), "cannot be read: CRC", id="gzip checksum"
        ),
        pytest.param(write(b"PK\x03\x04 and no zip"), "not a zip file", id="not a zip"),
        pytest.param(write_cut_zip, "not a zip file", id="cut zip"),
        pytest.param(write_damaged_zip, "Bad CRC", id="damaged zip"),
        pytest.param(write_encrypted_zip, "encrypted", id="encrypted zip"),
        pytest.param(write_zip({}), "zip without a JSON file", id="empty zip"),
        pytest.param(write_zip({"a.csv": CSV}), "zip without a JSON file", id="zip of CSV"),
        pytest.param(write_zip({"a.json": b""}), "is empty", id="zip of an empty file"),
        pytest.param(write_zip({"a.json": SCHEMA_1}), "schema 1", id="zip of schema 1"),
        pytest.param(
            write_zip({"a.json": JSON, "b.json": JSON}), "2 JSON files.*: a.json, b.json", id="two"
        ),
        pytest.param(
            write_zip({"a.json": b"{}", "b.json": b"[]", "c.jsonl": JSON_LINES}),
            "2 JSON files.*: a.json, b.json",
            id="none with records",
        ),
        pytest.param(write_zip({"a.jsonl": JSON_LINES}), "without a JSON file", id="JSON lines"),
        pytest.param(
            write_zip({"a.json": JSON}, method=zipfile.ZIP_LZMA), "method 14", id="LZMA zip"
        ),
        pytest.param(
            write(b"[" * 300_000), "more than 10,000 arrays and objects", id="nested deeply"
        ),
        pytest.param(
            write(gzip.compress(JSON[:-1] + b', {"id": "' + b"x" * 2**25)),
            "a record longer than 16 MiB",
            id="endless string",
        ),
    ],
)
def test_unfit(tmp_path: Path, make: Callable[[Path], object], problem: str) -> None:
    path = tmp_path / "release"
    make(path)
    with pytest.raises(RegistryError, match=problem) as caught:
        list(open_release(path).records())
    assert type(caught.value) is RegistryError
    assert str(path) in caught.value.problem
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["zip", "gzip", "zip that lies about its size"])
def test_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(dump, "MAX_UNPACKED_BYTES", 100_000)
    path = tmp_path / "bomb"
    content = JSON[:-1] + b" " * 5_000_000 + b"]"
    if form == "gzip":
        path.write_bytes(gzip.compress(content))
    else:
        zipped(path, {"v2.9-ror-data.json": content})
    if form == "zip that lies about its size":
        data = path.read_bytes()
        size = len(content).to_bytes(4, "little")
        path.write_bytes(data.replace(size, (len(content) // 100).to_bytes(4, "little")))
    with pytest.raises(RegistryError, match=r"unpacks to more than|CRC"):
        list(open_release(path).records())


def outcomes(good: int, bad: int) -> list[Organisation | RecordError]:
    organisation = parse(RECORDS[0], index=0)
    refused = [
        RecordError(index=index, ror_id=None, field="id", reason="missing") for index in range(bad)
    ]
    return [*refused, *[organisation] * good]


@pytest.mark.parametrize(
    ("good", "bad", "fails"),
    [
        pytest.param(100, 0, False, id="none refused"),
        pytest.param(99, 1, False, id="exactly 1 %"),
        pytest.param(98, 1, True, id="just over 1 %"),
        pytest.param(2, 1, True, id="few records"),
        pytest.param(0, 3, True, id="all refused"),
        pytest.param(0, 0, False, id="nothing"),
    ],
)
def test_accepted(tmp_path: Path, good: int, bad: int, fails: bool) -> None:
    path = tmp_path / "rejects.jsonl"
    taken = []
    error = None
    with RejectsFile(path) as rejects:
        try:
            for organisation in accepted(outcomes(good, bad), rejects=rejects):
                taken.append(organisation)
        except RegistryError as caught:
            error = caught
    assert len(taken) == good
    assert rejects.count == bad
    assert path.exists() == (bad > 0)
    assert (error is not None) == fails
    if error is not None:
        assert f"{bad} of {good + bad} records" in str(error)
        assert str(path) in str(error)


UNFAMILIAR = RecordError(
    index=0, ror_id=None, field="status", reason="'merged' is none of …", unfamiliar=True
)


@pytest.mark.parametrize(
    ("good", "unknown", "fails"),
    [
        pytest.param(2, 1, False, id="one"),
        pytest.param(90, 10, False, id="a tenth"),
        pytest.param(88, 10, True, id="more than a tenth"),
        pytest.param(0, 2, True, id="all"),
    ],
)
def test_words_of_a_later_version(tmp_path: Path, good: int, unknown: int, fails: bool) -> None:
    taken: list[Organisation] = []
    with RejectsFile(tmp_path / "rejects.jsonl") as rejects:
        found = accepted([UNFAMILIAR] * unknown + outcomes(good, 0), rejects=rejects)
        if fails:
            with pytest.raises(RegistryError, match=r"does not know.*newer version"):
                taken += found
        else:
            taken += found
            assert len(taken) == good
    assert rejects.count == unknown


def test_what_is_not_known_is_counted(tmp_path: Path) -> None:
    """A record of a later schema is kept but for what this version does not know; one of a new
    status is refused alone."""
    path = tmp_path / "v3.0-ror-data.json"
    later = {
        **RECORDS[1],
        "types": ["education", "museum"],
        "names": [
            *RECORDS[1]["names"],
            {"value": "T", "types": ["nickname", "label"], "lang": "x"},
        ],
        "relationships": [{"type": "sibling", "id": f"https://ror.org/{IDS[0]}", "label": "S"}],
        "links": [{"type": "mastodon", "value": "https://a"}, {"type": "website", "value": "b"}],
        "external_ids": [{"type": "ringgold", "all": ["1"], "preferred": None}],
    }
    path.write_text(json.dumps([{**RECORDS[0], "status": "merged"}, later, RECORDS[2]]))
    release = open_release(path)
    refused, kept, whole = release.records()
    assert isinstance(refused, RecordError)
    assert isinstance(kept, Organisation)
    assert (refused.ror_id, refused.field, refused.unfamiliar) == (IDS[0], "status", True)
    assert kept.types == ("education", "museum")
    assert [one.scheme for one in kept.identifiers] == ["ringgold"]
    assert (kept.relations, kept.websites) == ((), ("b",))
    assert isinstance(whole, Organisation)
    assert release.unfamiliar == {
        "status 'merged' is none of active, inactive, withdrawn: refused": 1,
        "types 'museum' is kept": 1,
        "names.types 'nickname' is left out": 1,
        "relationships.type 'sibling' is left out": 1,
        "links.type 'mastodon' is left out": 1,
        "external_ids.type 'ringgold' is kept": 1,
    }


@pytest.mark.skipif(not RELEASE.exists(), reason="needs ../shared/data/registry")
@pytest.mark.slowest
def test_this_version_knows_all_of_a_release() -> None:
    release = open_release(RELEASE)
    assert sum(1 for _ in release.records()) == 129_046
    assert not release.unfamiliar


def test_unfamiliar_words_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "ror.json"
    path.write_text(json.dumps([{**RECORDS[0], "types": [f"t{n}" for n in range(500)]}]))
    release = open_release(path)
    assert len(list(release.records())) == 1
    assert len(release.unfamiliar) == dump.MAX_UNFAMILIAR_WORDS


MEASURE = """
import re, sys
from pathlib import Path
from resolver.registry.organisation import Organisation
from resolver.registry.dump import open_release
release = open_release(Path(sys.argv[1]))
count = sum(isinstance(record, Organisation) for record in release.records())
# In KiB. Not ru_maxrss: a child begins with the peak of the process that started it.
status = Path('/proc/self/status').read_text()
print(count, int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) / 1024, release.schema_version)
"""


@pytest.mark.slow
@pytest.mark.skipif(not RELEASE.exists(), reason="needs ../shared/data/registry")
def test_whole_release_in_little_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(RELEASE)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=300,
    )
    count, peak_mib, schema = done.stdout.split()
    assert int(count) == 129_046
    assert float(peak_mib) < 600
    assert schema == "2.1"
