"""A release of the registry as a file: ROR's zip, or its JSON, gzipped or plain.

It is read in a stream, never unpacked to disk and never held in memory as a whole.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path, PureWindowsPath
from typing import Any, Protocol

import ijson

from resolver.errors import RecordError, RegistryError
from resolver.registry.organisation import Organisation
from resolver.registry.record import is_schema_1, parse, unfamiliar
from resolver.registry.rejects import RejectsFile
from resolver.registry.release_name import MARK, date_in, numbers_in, version_in

MAX_REJECTED_SHARE = 0.01
"""Largest share of records that may be refused. In releases 2.8 and 2.9 none is; with more than one
in a hundred the file is damaged, or of a schema that this version does not know."""

MAX_UNFAMILIAR_SHARE = 0.1
"""Largest share of records that may be refused because this version does not know a word of them.
They are not damaged, but a registry that lacks more organisations gives wrong answers."""

MAX_UNFAMILIAR_WORDS = 100
"""Most unknown words that are reported; a damaged file may have any number."""

MAX_UNPACKED_BYTES = 4 * 2**30
"""A release has less than 0.4 GiB unpacked; a file of ten times as much is no release."""

MAX_RATIO = 100
"""Largest ratio of unpacked to compressed bytes. ROR's releases have 7 to 8; deflate can reach
1,032."""

MIN_UNPACKED_BYTES = 64 * 2**20
"""Up to this size the ratio is not checked: a small file of many spaces does no harm."""

MAX_DIRECTORY_BYTES = 2**20
"""Longest directory of a zip: some 10,000 members. ROR's zips have up to six. `zipfile` reads the
directory as a whole, and keeps an object for each member."""

MAX_CANDIDATES = 20
"""Files of a zip that are looked into for the release; ROR's zips have up to two of JSON."""

MAX_RECORDS = 2_000_000
"""Release 2.9 has 129,046."""

MAX_REFUSED = int(MAX_RECORDS * MAX_REJECTED_SHARE)
"""With more the file will be refused in any case, and further reasons would only fill the disk."""

MAX_UNFAMILIAR = int(MAX_RECORDS * MAX_UNFAMILIAR_SHARE)

MAX_RECORD_BYTES = 16 * 2**20
"""The longest record of release 2.9 has 0.15 MiB. This bounds the memory of the JSON reader."""

MAX_RECORD_BRACKETS = 10_000
"""Most `[` and `{` in a record; release 2.9 has up to 1,067. This bounds the depth: the memory of
the JSON reader grows with its square (0.25 GB at this depth, over 200 GB at 300,000)."""

_READ_BYTES = 2**16
_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_JSON_SPACE = b" \t\r\n"

_SUFFIXES = frozenset({".json", ".gz", ".zip"})
_SCHEMA_VERSION = re.compile(r"\d+(?:\.\d+)*")

_UNREADABLE = (
    ijson.JSONError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    ValueError,
)
"""What the readers raise on a damaged file: `gzip.BadGzipFile` is an OSError, the last two come
from `zipfile` where a damaged directory asks for what it cannot do."""

_PUBLISHED = "download the release again from https://zenodo.org/communities/ror-data"


class _Container(Enum):
    ZIP = "zip"
    GZIP = "gzip"
    PLAIN = "plain"


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(slots=True)
class ReleaseFile:
    """A release that can be read, as often as needed.

    `version` is like "v2.9" (the stem of the file name where no name has a version), `date` the day
    of publication, `sha256` the hex digest of the file as given. `unfamiliar` counts the words that
    this version does not know, in the records read so far, with what was done about them.
    `share_read` is how much of the file was read so far, 0 to 1.
    """

    path: Path
    version: str
    date: date | None
    sha256: str
    _container: _Container
    _member: str | None
    unfamiliar: Counter[str] = field(default_factory=Counter, init=False)
    share_read: float = field(default=0.0, init=False)
    _schema: tuple[int, ...] = field(default=(), init=False)

    @property
    def schema_version(self) -> str | None:
        """Highest ``admin.last_modified.schema_version`` of the records read so far."""
        return ".".join(map(str, self._schema)) or None

    def records(self) -> Iterator[Organisation | RecordError]:
        """Every record in the order of the file: the organisation, or why the record is refused.

        A record with the id of an earlier record is refused.

        Raises:
            RegistryError: the file is damaged, is no array of records, is of schema 1, or
                is empty.
        """
        first_seen: dict[str, int] = {}
        index = -1
        for index, raw in enumerate(self._raw_records()):
            if index == 0:
                self._check_shape(raw)
            if index >= MAX_RECORDS:
                raise RegistryError(
                    f"{self.path} holds more than {MAX_RECORDS:,} records", remedy=_PUBLISHED
                )
            try:
                organisation = parse(raw, index=index)
            except RecordError as error:
                if error.unfamiliar:
                    self._meet(f"{error.field} {error.reason}: refused")
                yield error
                continue
            for what in unfamiliar(raw):
                self._meet(what)
            ror_id = organisation.ror_id
            earlier = first_seen.setdefault(ror_id, index)
            if earlier != index:
                yield RecordError(
                    index=index, ror_id=ror_id, field="id", reason=f"also that of record {earlier}"
                )
                continue
            self._schema = max(self._schema, _schema_version(raw))
            yield organisation
        if index < 0:
            raise RegistryError(f"{self.path} holds no record", remedy=_PUBLISHED)

    def _meet(self, what: str) -> None:
        if what in self.unfamiliar or len(self.unfamiliar) < MAX_UNFAMILIAR_WORDS:
            self.unfamiliar[what] += 1

    def _check_shape(self, raw: object) -> None:
        if not isinstance(raw, dict):
            raise RegistryError(
                f"{self.path} is a JSON array, but not of ROR records", remedy=_PUBLISHED
            )
        if is_schema_1(raw):
            raise RegistryError(
                f"{self.path} is of ROR's schema 1",
                remedy="give the file of schema 2; before release 2.0 its name ends in "
                "_schema_v2.json",
            )

    def _raw_records(self) -> Iterator[Any]:
        with (
            _reporting(self.path),
            _opened(self.path, self._container, self._member) as (stream, share),
        ):
            text = _JsonText(stream, self.path, self._container)
            items = ijson.items(text, "item", use_float=True, buf_size=_READ_BYTES)
            for raw in items:
                text.mark_record()
                self.share_read = share()
                yield raw


def open_release(path: Path) -> ReleaseFile:
    """Recognise a release by its content, and read version and date from its names.

    It may be ROR's zip, a gzipped or a plain JSON file, whatever the suffix. If a zip holds both
    schemas, schema 2 is taken.

    Raises:
        RegistryError: there is no such file, or it is none of these.
    """
    if not path.exists():
        raise RegistryError(f"there is no file {path}", remedy="check the path")
    if not path.is_file():
        raise RegistryError(
            f"{path} is not a file", remedy="give the zip or the JSON file of a release"
        )
    with _reporting(path):
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not head:
            raise RegistryError(f"{path} is empty", remedy=_PUBLISHED)
        member: str | None = None
        if head.startswith(_ZIP_MAGICS):
            container = _Container.ZIP
            member = _json_member(path)
        elif head.startswith(_GZIP_MAGIC):
            container = _Container.GZIP
        else:
            container = _Container.PLAIN
        # A file of another kind fails here, before anything is done with it.
        with _opened(path, container, member) as (stream, _):
            _JsonText(stream, path, container)
    names = (_name(member), path.name) if member else (path.name,)
    return ReleaseFile(
        path=path,
        version=next(filter(None, map(version_in, names)), None) or _stem(path),
        date=next(filter(None, map(date_in, names)), None),
        sha256=sha256,
        _container=container,
        _member=member,
    )


def accepted(
    records: Iterable[Organisation | RecordError], *, rejects: RejectsFile
) -> Iterator[Organisation]:
    """The organisations; records that are refused go to `rejects`.

    Raises:
        RegistryError: more than `MAX_REJECTED_SHARE` of the records were refused (raised after the
            last record, or after `MAX_REFUSED` refusals); or more than `MAX_UNFAMILIAR_SHARE`, and
            more than one, because of a word that this version does not know. The caller then
            discards the organisations that it was given.
    """
    total = refused = unknown = 0
    for record in records:
        total += 1
        if isinstance(record, RecordError):
            unknown += record.unfamiliar
            refused += not record.unfamiliar
            rejects.add(record)
            if refused > MAX_REFUSED or unknown > MAX_UNFAMILIAR:
                break
        else:
            yield record
    if refused > total * MAX_REJECTED_SHARE:
        raise RegistryError(
            f"{refused:,} of {total:,} records are refused, at most "
            f"{MAX_REJECTED_SHARE:.0%} may be",
            remedy=f"see the reasons in {rejects.path}",
        )
    if unknown > max(1, total * MAX_UNFAMILIAR_SHARE):
        raise RegistryError(
            f"{unknown:,} of {total:,} records have a word that this version does not know, at "
            f"most {MAX_UNFAMILIAR_SHARE:.0%} may",
            remedy=f"install a newer version of affiliation-resolver; see {rejects.path}",
        )


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    """Turn what the readers raise into a RegistryError that names the file."""
    try:
        yield
    except _UNREADABLE as error:
        raise RegistryError(
            f"{path} cannot be read: {_first_line(error)}", remedy=_PUBLISHED
        ) from error


def _first_line(error: Exception) -> str:
    # ijson shows the offending bytes below the message, and gives bytes where they are not UTF-8.
    message = error.args[0] if isinstance(error, ijson.JSONError) and error.args else str(error)
    text = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    return next(iter(text.splitlines()), type(error).__name__).strip()


@contextmanager
def _opened(
    path: Path, container: _Container, member: str | None
) -> Iterator[tuple[_Stream, Callable[[], float]]]:
    """The unpacked bytes, and how much of them was read so far, 0 to 1."""
    match container:
        case _Container.ZIP:
            assert member is not None
            with _archive(path) as archive, archive.open(member) as inner:
                size = archive.getinfo(member).file_size
                if member.lower().endswith(".gz"):
                    with gzip.open(inner) as unpacked:
                        yield unpacked, lambda: _share(inner.tell(), size)
                else:
                    yield inner, lambda: _share(inner.tell(), size)
        case _Container.GZIP:
            size = path.stat().st_size
            with path.open("rb") as packed, gzip.open(packed) as unpacked:
                yield unpacked, lambda: _share(packed.tell(), size)
        case _Container.PLAIN:
            size = path.stat().st_size
            with path.open("rb") as plain:
                yield plain, lambda: _share(plain.tell(), size)


def _share(position: int, size: int) -> float:
    """At most 1: a zip may claim to be smaller than it is."""
    return min(position / size, 1.0) if size else 0.0


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with path.open("rb", buffering=0) as file, zipfile.ZipFile(_Archive(file, path)) as archive:
        yield archive


class _Archive(io.BufferedReader):
    """A zip file that refuses to read a directory longer than `MAX_DIRECTORY_BYTES`.

    `zipfile` reads the directory in one call; its other calls are for fewer bytes.
    """

    def __init__(self, file: io.FileIO, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise RegistryError(
                f"{self._path} is a zip with a directory of {size:,} bytes",
                remedy="unpack it and give the JSON file",
            )
        return super().read(size)


def _json_member(path: Path) -> str:
    """The name of the file in the zip of a release that holds the records, in ROR's schema 2.

    Beside it there may be CSV, the same records in schema 1, other versions, or documentation.
    """
    with _archive(path) as archive:
        members = [
            info.filename
            for info in archive.infolist()
            if not info.is_dir()
            and _is_json(_name(info.filename).lower())
            and "__MACOSX" not in info.filename
        ]
        if not members:
            raise RegistryError(f"{path} is a zip without a JSON file", remedy=_PUBLISHED)
        if len(members) > 1:
            members = _chosen(members, path)
        if len(members) == 1:
            return _checked(archive.getinfo(members[0]), path)
    raise RegistryError(
        f"{path} holds {len(members)} JSON files, and which one is the release cannot be told: "
        # A name may hold anything, even control sequences for a terminal.
        + ", ".join(name[:100].encode("unicode_escape").decode() for name in members[:5]),
        remedy="unpack it and give the JSON file",
    )


def _name(member: str) -> str:
    """The name of a member without its folders, whichever slash these are written with."""
    return PureWindowsPath(member).name


def _is_json(name: str) -> bool:
    return name.endswith((".json", ".json.gz")) and not name.startswith(".")


def _chosen(members: list[str], path: Path) -> list[str]:
    """Those of several files that may be the release. Each rule leaves out the files that do not
    meet it, unless none does."""
    names = {member: _name(member) for member in members}
    firsts = {member: _first_record(path, member) for member in members[:MAX_CANDIDATES]}
    newest = max(map(numbers_in, names.values()))
    wanted = numbers_in(path.name)
    rules: tuple[Callable[[str], bool], ...] = (
        lambda member: bool(firsts.get(member)),
        lambda member: not is_schema_1(firsts.get(member) or {}),
        lambda member: "_schema_v2" in names[member],
        lambda member: numbers_in(names[member]) == wanted,
        lambda member: numbers_in(names[member]) == newest,
        lambda member: MARK in names[member],
        lambda member: names[member].lower().endswith(".json"),
    )
    for rule in rules:
        members = list(filter(rule, members)) or members
    return members


def _first_record(path: Path, member: str) -> dict[str, Any]:
    """The first record of a file in a zip; empty where it is no array of ROR records."""
    try:
        with _opened(path, _Container.ZIP, member) as (stream, _):
            text = _JsonText(stream, path, _Container.ZIP)
            first = next(ijson.items(text, "item", use_float=True, buf_size=_READ_BYTES), None)
    except (RegistryError, RuntimeError, *_UNREADABLE):
        # Encrypted, damaged, an object, JSON lines: if it is chosen all the same, reading it fails.
        return {}
    if isinstance(first, dict) and "id" in first and {"name", "names"} & first.keys():
        return first
    return {}


def _checked(info: zipfile.ZipInfo, path: Path) -> str:
    if info.flag_bits & 0x1:
        raise RegistryError(f"{path} is encrypted", remedy="unpack it and give the JSON file")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RegistryError(
            f"{path} uses a compression that is not read here (method {info.compress_type})",
            remedy="unpack it and give the JSON file",
        )
    limit = _unpacked_limit(path, _Container.ZIP)
    if info.file_size > limit:
        raise _too_large(path, limit)
    return info.filename


class _JsonText:
    """The unpacked bytes of a JSON array, within bounds, for ijson to read.

    Checks when it is made that an array begins; a byte order mark is left out.
    """

    def __init__(self, stream: _Stream, path: Path, container: _Container) -> None:
        self._stream = stream
        self._path = path
        self._limit = _unpacked_limit(path, container)
        self._read = 0
        self._record_bytes = 0
        self._record_brackets = 0
        self._head = self._begin()

    def _begin(self) -> bytes:
        # A byte order mark may be cut by a short first read.
        head = self._next(_READ_BYTES)
        while 0 < len(head) < len(_BYTE_ORDER_MARK) and (more := self._next(_READ_BYTES)):
            head += more
        head = head.removeprefix(_BYTE_ORDER_MARK).lstrip(_JSON_SPACE)
        while not head and (more := self._next(_READ_BYTES)):
            head = more.lstrip(_JSON_SPACE)
        if not head:
            raise RegistryError(f"{self._path} is empty", remedy=_PUBLISHED)
        if head.startswith(b"{"):
            raise RegistryError(
                f"{self._path} holds a JSON object, not an array of ROR records",
                remedy=_PUBLISHED,
            )
        if not head.startswith(b"["):
            raise RegistryError(
                f"{self._path} is neither JSON nor a zip or gzip of it", remedy=_PUBLISHED
            )
        return head

    def read(self, size: int, /) -> bytes:
        if size == 0:
            # ijson asks once for 0 bytes, to learn whether it gets bytes or text.
            return b""
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._next(size)

    def mark_record(self) -> None:
        """A record ends here: the bounds count again from 0 for the next one."""
        self._record_bytes = 0
        self._record_brackets = 0

    def _next(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._read += len(data)
        if self._read > self._limit:
            raise _too_large(self._path, self._limit)
        self._record_bytes += len(data)
        self._record_brackets += data.count(b"[") + data.count(b"{")
        if self._record_bytes > MAX_RECORD_BYTES or self._record_brackets > MAX_RECORD_BRACKETS:
            raise RegistryError(
                f"{self._path} holds a record longer than {MAX_RECORD_BYTES / 2**20:.0f} MiB "
                f"or of more than {MAX_RECORD_BRACKETS:,} arrays and objects",
                remedy=_PUBLISHED,
            )
        return data


def _unpacked_limit(path: Path, container: _Container) -> int:
    if container is _Container.PLAIN:
        return MAX_UNPACKED_BYTES
    of_its_size = max(MIN_UNPACKED_BYTES, MAX_RATIO * path.stat().st_size)
    return min(MAX_UNPACKED_BYTES, of_its_size)


def _too_large(path: Path, limit: int) -> RegistryError:
    return RegistryError(
        f"{path} unpacks to more than {limit / 2**20:,.0f} MiB, which no release of its size does",
        remedy=_PUBLISHED,
    )


def _schema_version(raw: dict[str, Any]) -> tuple[int, ...]:
    """The schema version of a record as numbers; empty where it has none."""
    admin = raw.get("admin")
    modified = admin.get("last_modified") if isinstance(admin, dict) else None
    version = modified.get("schema_version") if isinstance(modified, dict) else None
    if not isinstance(version, str) or not _SCHEMA_VERSION.fullmatch(version):
        return ()
    return tuple(map(int, version.split(".")))


def _stem(path: Path) -> str:
    """The file's name without the suffixes of a release, in characters that can be stored."""
    name = path
    while name.suffix.lower() in _SUFFIXES:
        name = name.with_suffix("")
    return name.name.encode(errors="replace").decode()
