"""A folder on disk, or a prefix in an object store; what is written appears whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from resolver import disk
from resolver.errors import BackfillError, SettingsError
from resolver.validation import first_problem

T = TypeVar("T")

_SCHEME = re.compile(r"[a-z][a-z0-9+]*://")

_OF_ADDRESSES = ":/?&=%+@~,;!$'()*"
"""Characters of an address that are no others in disguise."""

_BLOCK = 8 * 2**20
"""Bytes that are copied at a time."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file by its path below the folder; `size` in bytes."""

    name: str
    size: int
    modified: datetime


class Folder:
    """``/data/run``, ``s3://bucket/run``, ``gs://bucket/run``: whatever pyarrow opens.

    `address` names it on any machine: a path on disk is absolute. Names of files are relative, with
    slashes. The credentials of a store come from the environment, as its own programs read them.
    """

    def __init__(self, address: str) -> None:
        """
        Raises:
            SettingsError: pyarrow is missing, or does not know the kind of store.
        """
        self.on_disk = not _SCHEME.match(address)
        self.address = os.path.abspath(address) if self.on_disk else address.rstrip("/")  # noqa: PTH100
        fs = _pyarrow_fs()
        try:
            if self.on_disk:
                self._files, self._root = fs.LocalFileSystem(), self.address
            else:
                self._files, self._root = fs.FileSystem.from_uri(
                    quote(self.address, safe=_OF_ADDRESSES)
                )
        except (OSError, ValueError) as error:
            raise SettingsError(f"{address}: {_line(error)}", remedy=_REMEDY) from error

    def __truediv__(self, name: str) -> Self:
        return type(self)(f"{self.address}/{name}")

    def file(self, name: str) -> StoredFile | None:
        with self._named(name):
            info = self._files.get_file_info(self._path(name))
        return StoredFile(name, info.size, info.mtime) if info.is_file else None

    def files(self, below: str = "", *, deep: bool = True) -> list[StoredFile]:
        """The files in a folder of it and, if `deep`, all below, in the order of their names; none
        where it is missing.

        Raises:
            BackfillError: the store does not answer, or refuses.
        """
        fs = _pyarrow_fs()
        selector = fs.FileSelector(self._path(below), allow_not_found=True, recursive=deep)
        with self._named(below):
            found = self._files.get_file_info(selector)
        start = len(self._root.rstrip("/")) + 1
        files = [
            StoredFile(info.path[start:], info.size, info.mtime)
            for info in found
            if info.type == fs.FileType.File and not _is_fragment(info.path)
        ]
        return sorted(files, key=lambda file: file.name)

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""
        try:
            with self._named(name), self._files.open_input_file(self._path(name)) as file:
                return bytes(file.read())
        except FileNotFoundError:
            return None

    def read_object(self, name: str, kind: TypeAdapter[T], *, remedy: str) -> T | None:
        """What a file of JSON holds; None where there is none.

        Raises:
            BackfillError: it is not of this kind.
        """
        content = self.read(name)
        if content is None:
            return None
        try:
            return kind.validate_json(content)
        except ValidationError as error:
            problem = ": ".join(filter(None, first_problem(error)))
            raise BackfillError(
                f"{self.address}/{name} cannot be read: {problem}", remedy=remedy
            ) from error

    def write(self, name: str, content: Any) -> None:
        """Put a file in place in one step: by renaming on disk, by one upload in a store. `content`
        is bytes or a buffer."""
        path = self._path(name)
        if self.on_disk:
            fragment = Path(path).with_name(f".{Path(path).name}.{uuid4().hex}")
            fragment.parent.mkdir(parents=True, exist_ok=True)
            try:
                with disk.writing(fragment), fragment.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                fragment.replace(path)
            finally:
                fragment.unlink(missing_ok=True)
            return
        with self._named(name), self._files.open_output_stream(path) as file:
            file.write(content)

    def remove(self, name: str) -> None:
        with self._named(name):
            self._files.delete_file(self._path(name))

    @contextmanager
    def reading(self, name: str) -> Iterator[Any]:
        """A file, open to be read from any place of it."""
        with self._named(name), self._files.open_input_file(self._path(name)) as file:
            yield file

    def upload(self, source: Path, name: str) -> None:
        """Copy a file of this machine; whoever reads it must know its size or its digest."""
        target = self._path(name)
        if self.on_disk:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            with disk.writing(Path(target)):
                shutil.copyfile(source, target)
            return
        with (
            self._named(name),
            source.open("rb") as file,
            self._files.open_output_stream(target) as uploaded,
        ):
            while block := file.read(_BLOCK):
                uploaded.write(block)

    def blocks(self, name: str) -> Iterator[bytes]:
        """What a file holds, in pieces of some megabytes."""
        with self._named(name), self._files.open_input_stream(self._path(name)) as file:
            while block := file.read(_BLOCK):
                yield bytes(block)

    def dataset(self, names: Sequence[str]) -> Any:
        """These Parquet files as one `pyarrow.dataset.Dataset`.

        Raises:
            BackfillError: one of them is no Parquet file.
        """
        import pyarrow.dataset

        paths = [self._path(name) for name in names]
        try:
            with self._named(names[0]):
                return pyarrow.dataset.dataset(paths, filesystem=self._files, format="parquet")
        except ValueError as error:
            raise BackfillError(f"{self.address}: {_line(error)}") from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Say which file it is that a store does not read or write."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.filename is not None:
                raise
            raise BackfillError(
                f"{self.address}{name and '/'}{name}: {_line(error)}", remedy=_REMEDY
            ) from error


def matching(address: str) -> tuple[Folder, list[StoredFile]]:
    """The Parquet files that an address names: one file, all below a folder, or those of a pattern
    (``s3://bucket/works/*.parquet``), with the folder that their names start from.

    Raises:
        BackfillError: it names none.
    """
    parts = address.rstrip("/").split("/")
    first = next((i for i, part in enumerate(parts) if _WILD.search(part)), None)
    if first is not None:
        above, pattern = _above(parts, first), parts[first:]
        listed = above.files(deep=len(pattern) > 1)
        return above, _some([file for file in listed if _matches(file.name, pattern)], address)
    above = _above(parts, len(parts) - 1)
    if file := above.file(parts[-1]):
        return above, [file]
    folder = Folder(address)
    whole = [file for file in folder.files() if file.name.endswith(".parquet")]
    return folder, _some(whole, address)


def _some(files: list[StoredFile], address: str) -> list[StoredFile]:
    if not files:
        raise BackfillError(
            f"{address} names no Parquet file", remedy="name a file, a folder, or a pattern"
        )
    return files


_WILD = re.compile(r"[*?\[]")


def _matches(name: str, pattern: Sequence[str]) -> bool:
    """Whether each part of a name fits: as in a shell, a star stands for no slash."""
    parts = name.split("/")
    return len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))


def _above(parts: Sequence[str], count: int) -> Folder:
    """The folder of the first `count` parts of an address."""
    return Folder("/".join(parts[:count]) or ("/" if parts[0] == "" else "."))


def _is_fragment(path: str) -> bool:
    return path.rpartition("/")[2].startswith(".")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


_REMEDY = (
    "check the address, and the credentials and the endpoint in the environment (docs/backfill.md)"
)


def _pyarrow_fs() -> Any:
    try:
        from pyarrow import fs
    except ImportError as error:
        raise SettingsError(
            "a backfill needs pyarrow", remedy="pip install 'affiliation-resolver[backfill]'"
        ) from error
    return fs
