"""How the documents of an embedded version are read: by files beside the engine's.

::

    names/
    ├── points.npy           (2, names) uint64: the points' ids, the first 64 bits of each and the
    │                        last ones; ascending
    ├── organisations.npy    (names,) int64: the numbers of their organisations
    ├── ends.npy             (names,) int64: the byte after each name's document
    └── documents            one after the other, each in MessagePack

The engine keeps the same documents, and takes ten times as long to give one. The files are mapped
into memory, so that all processes that read a version share them, and a document is made of its
bytes whenever it is asked for: that takes a microsecond or two, less than keeping it would.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from resolver.errors import IndexProblem
from resolver.index.payload import Names, organisation_number, organisation_point_id
from resolver.registry.document import Document

FOLDER = "names"

_NAME_BYTES = 500
"""Bytes on the disk for a name, of which its document has 455 in release 2.9."""
_POINTS, _ORGANISATIONS, _ENDS = "points.npy", "organisations.npy", "ends.npy"
_DOCUMENTS = "documents"
_NEW = "new-"
_LAST = (1 << 64) - 1
"""The last 64 bits of a point's id."""


def size(names: int) -> int:
    """Bytes on the disk, about."""
    return names * _NAME_BYTES


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Document).decode


class NamesFile(Names):
    """The names of a complete version, numbered in the order of their points' ids.

    Raises:
        IndexProblem: files are missing, damaged, or of another number of names than `points`.
    """

    def __init__(self, folder: Path, *, points: int) -> None:
        try:
            self._points, self.bearers, ends = (
                np.asarray(np.load(folder / name, mmap_mode="r", allow_pickle=False))
                for name in (_POINTS, _ORGANISATIONS, _ENDS)
            )
            with (folder / _DOCUMENTS).open("rb") as file:
                # A file without a byte cannot be mapped, and no version is without a name.
                self._bytes = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError, EOFError) as error:
            raise _damaged(folder, str(error)) from error
        self._folder = folder
        if not (self._points.shape == (2, points) and len(self.bearers) == len(ends) == points):
            raise _damaged(folder, f"they are not of {points} names")
        if len(self._bytes) != ends[-1]:
            raise _damaged(folder, f"{_DOCUMENTS} has {len(self._bytes)} bytes, not {ends[-1]}")
        self._ends = np.concatenate([np.zeros(1, np.int64), ends])

    def require_order(self, points: npt.NDArray[np.uint8]) -> None:
        """Refuse dense vectors of other points, (names, 16), or in another order.

        Raises:
            IndexProblem: they differ.
        """
        if not np.array_equal(self._points, points.view(">u8").T):
            raise _damaged(self._folder, "they are not those of the dense vectors")

    def __len__(self) -> int:
        return len(self.bearers)

    def numbers(self, points: Sequence[int]) -> npt.NDArray[np.int32]:
        numbers = self._numbers(points)
        if missing := np.count_nonzero(numbers < 0):
            raise _damaged(self._folder, f"{missing} points that a search found are missing")
        return numbers

    def documents(self, names: Collection[int]) -> dict[int, Document]:
        return {name: self._document(name) for name in names}

    def organisations(self, ror_ids: Collection[str]) -> dict[str, Document]:
        points = [organisation_point_id(ror_id).int for ror_id in ror_ids]
        found = (self._document(name) for name in self._numbers(points).tolist() if name >= 0)
        return {document.ror_id: document for document in found}

    def ids(self) -> Iterator[int]:
        """The ids of all points, in order."""
        first, last = self._points.tolist()
        return (a << 64 | b for a, b in zip(first, last, strict=True))

    def places(self) -> Iterator[tuple[int, int, int]]:
        """In this order, where each document begins and ends, and the number of its
        organisation."""
        ends = self._ends.tolist()
        return zip(ends[:-1], ends[1:], self.bearers.tolist(), strict=True)

    def _document(self, name: int) -> Document:
        try:
            return _decode(self._bytes[self._ends[name] : self._ends[name + 1]])
        except msgspec.MsgspecError as error:
            raise _damaged(self._folder, f"document {name}: {error}") from error

    def _numbers(self, points: Sequence[int]) -> npt.NDArray[np.int32]:
        """The numbers of points, -1 for those that are not there."""
        first, last = self._points
        wanted = np.array([point >> 64 for point in points], np.uint64)
        wanted_last = np.array([point & _LAST for point in points], np.uint64)
        numbers = np.searchsorted(first, wanted)
        while True:
            there = numbers < len(self)
            there[there] = first[numbers[there]] == wanted[there]
            # Ids with the same first half are beside each other: they are hashes, and there is
            # hardly a pair of them.
            other = there.copy()
            other[there] = last[numbers[there]] != wanted_last[there]
            if not other.any():
                return np.where(there, numbers, -1).astype(np.int32)
            numbers[other] += 1


class NamesWriter:
    """Collects documents, and writes the files of a version.

    Where the folder has the files of another version, of `base` names, it begins with these. The
    documents are on the disk; in memory there are some 250 bytes a name.
    """

    def __init__(self, folder: Path, *, base: int | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        # Of each point where its document begins and ends, and the number of its organisation.
        self._places: dict[int, tuple[int, int, int]] = {}
        if base is not None:
            begun = NamesFile(folder, points=base)
            self._places.update(zip(begun.ids(), begun.places(), strict=True))
        self._documents = (folder / _DOCUMENTS).open("a+b")
        self._end = self._documents.tell()

    def write(self, points: Sequence[UUID], documents: Sequence[Document]) -> None:
        """The documents of points; they replace earlier ones."""
        for point, document in zip(points, documents, strict=True):
            encoded = _encode(document)
            self._documents.write(encoded)
            end = self._end + len(encoded)
            number = organisation_number(document.ror_id)
            self._places[point.int] = self._end, end, number
            self._end = end

    def remove(self, points: Iterable[UUID]) -> None:
        """Leave points out; those that are not there are ignored."""
        for point in points:
            self._places.pop(point.int, None)

    def finish(self) -> int:
        """Write the files, without what was replaced or removed; returns the number of names."""
        places = sorted(self._places.items())
        points = np.empty((2, len(places)), np.uint64)
        points[0] = [point >> 64 for point, _ in places]
        points[1] = [point & _LAST for point, _ in places]
        organisations = np.array([number for _, (_, _, number) in places], np.int64)
        ends = np.cumsum([end - start for _, (start, end, _) in places], dtype=np.int64)
        with (self._folder / f"{_NEW}{_DOCUMENTS}").open("wb") as written:
            self._documents.flush()
            read = self._documents.fileno()
            written.writelines(os.pread(read, e - start, start) for _, (start, e, _) in places)
        for name, array in ((_POINTS, points), (_ORGANISATIONS, organisations), (_ENDS, ends)):
            np.save(self._folder / f"{_NEW}{name}", array)
        self.close()
        for name in (_POINTS, _ORGANISATIONS, _ENDS, _DOCUMENTS):
            (self._folder / f"{_NEW}{name}").replace(self._folder / name)
        return len(places)

    def close(self) -> None:
        """Give up; after `finish` there is no need to."""
        self._documents.close()


def _damaged(folder: Path, how: str) -> IndexProblem:
    return IndexProblem(
        f"the names of index version {folder.parent.name} are damaged: {how}",
        remedy="build it again: resolver index build --force",
    )
