"""How the dense vectors of an embedded version are searched: by files beside the engine's.

::

    dense/
    ├── points.npy     (names, 16) uint8: ids of the points, ascending
    ├── exact.npy      (names, dimension) float32
    ├── rounded.npy    (names, dimension) uint8: the same in `steps`, with 128 for zero
    ├── steps.npy      (dimension,) float32
    └── contents.json  written last: the version, and the CRC-32 of each file

The engine keeps the same vectors, and reads them only to write a version once more. The files are
mapped into memory, so that all processes that read a version share them. A search
multiplies the rounded vectors of all names by the rounded queries, in ONNX Runtime, and scores the
names of the largest products again, exactly. That takes 0.4 ms a query with 290,000 names of 96
dimensions, where Qdrant's engine takes 2.0 ms to score its own rounded copy, and it finds the same:
0.99998 of the exact first hundred, and of the others the scores are equal.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from resolver import onnx_graph
from resolver.errors import IndexProblem

if TYPE_CHECKING:
    import onnxruntime

FOLDER = "dense"

Nearest = tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]
"""Names by their number in the order of their points' ids, and their scores; best first."""

SPARE = 50
"""Names that are scored exactly beside those that are wanted, at least; half of these where that is
more. For a hundred that are wanted 20 would find as many of the exact first hundred; each costs
0.3 µs."""
TOGETHER = 32
"""Queries that are multiplied at once. Products of more of them do not fit into a core's cache."""

_TILE = 4096
"""Names that are multiplied at once: their products with `TOGETHER` queries take 512 kB."""
_DEPTH = 32
"""Names of a tile whose largest product is taken first. The largest products of all names are then
looked for where these are."""
_ZERO = 128
_FINEST, _FINEST_OF_QUERIES = 127, 64
"""Steps from zero to the largest value, in vectors of names and of queries. Processors without
8-bit dot products add two products in 16 bits and cut off what does not fit: 2 · 255 · 64 does."""
_CHUNK = 8192
"""Vectors that are written at once."""
_LEAST = np.iinfo(np.int32).min

_FILES = ("points.npy", "exact.npy", "rounded.npy", "steps.npy")
_CONTENTS = "contents.json"
_ADDED = "added"

_NAMES, _QUERIES, _PRODUCTS = "names", "queries", "products"


def size(names: int, dimension: int) -> int:
    """Bytes on the disk."""
    return names * (5 * dimension + 16)


class DenseFiles:
    """The vectors of a complete version, mapped into memory.

    Raises:
        IndexProblem: files are missing, damaged, or of another version.
    """

    def __init__(self, folder: Path, version: str) -> None:
        self._version = version
        try:
            contents = json.loads((folder / _CONTENTS).read_bytes())
            if contents["version"] != version:
                raise self._damaged(f"they are of version {contents['version']}")
            checksums = contents["checksums"]
            for name in _FILES:
                if checksums[name] != _checksum(folder / name):
                    raise self._damaged(f"{name} is not as it was written")
            self.points, self.exact, self.rounded, self.steps = (
                _mapped(folder / name) for name in _FILES
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(str(error)) from error

    def require(self, *, points: int, dimension: int) -> None:
        """Refuse vectors of other names than those of the version.

        Raises:
            IndexProblem: their number or their dimension differs.
        """
        if self.exact.shape != (points, dimension):
            raise self._damaged(f"they are {self.exact.shape}, not {(points, dimension)}")

    def _damaged(self, how: str) -> IndexProblem:
        return IndexProblem(
            f"the dense vectors of index version {self._version} are damaged: {how}",
            remedy="build it again: resolver index build --force",
        )


class DenseSearch:
    """Searches among the vectors of a version. Threads may share an instance; one of them searches
    at a time."""

    def __init__(self, files: DenseFiles) -> None:
        self._files = files
        self._tiles = -(-len(files.exact) // _TILE)
        # Kept, for the system takes as long to give it as the search takes. Of it, only what a
        # search fills takes room: 4 bytes a name and query.
        self._products = np.empty(self._tiles * _TILE * TOGETHER, np.int32)
        self._searching = threading.Lock()

    def nearest(self, queries: Sequence[npt.NDArray[np.float32]], *, limit: int) -> list[Nearest]:
        """For each query the `limit` names with the largest dot products; equal ones in the order
        of their points' ids."""
        if not self._tiles:
            return [(np.empty(0, np.intp), np.empty(0, np.float32))] * len(queries)
        found: list[Nearest] = []
        for start in range(0, len(queries), TOGETHER):
            found += self._nearest(np.stack(queries[start : start + TOGETHER]), limit)
        return found

    def _nearest(self, queries: npt.NDArray[np.float32], limit: int) -> list[Nearest]:
        query, names = self._candidates(queries, limit + max(SPARE, limit // 2))
        # Each product by itself: those of equal vectors must be equal, wherever they stand.
        scores = np.vecdot(self._files.exact[names], queries[query])
        best = np.lexsort((names, -scores, query))
        query, names, scores = query[best], names[best], scores[best]
        ends = np.searchsorted(query, np.arange(len(queries) + 1)).tolist()
        parts = [slice(start, min(start + limit, end)) for start, end in pairwise(ends)]
        return [(names[part], scores[part]) for part in parts]

    def _candidates(
        self, queries: npt.NDArray[np.float32], least: int
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Queries and names of the largest products of each query, `least` or more of them where
        there are as many; all of those that are equal, or none."""
        count = len(queries)
        with self._searching:
            products = self._products[: self._tiles * _TILE * count].reshape(-1, count)
            maxima = self._multiply(_rounded_queries(queries * self._files.steps), products)
            kept = max(0, maxima.shape[1] - least)
            smallest = np.partition(maxima, kept, axis=1)[:, kept]
            query, group = np.nonzero(maxima >= smallest[:, None])
            tile, within = np.divmod(group, _TILE // _DEPTH)
            first = tile * _TILE + within
            beside = np.arange(0, _TILE, _TILE // _DEPTH)
            found = products.ravel()[(first[:, None] + beside) * count + query[:, None]]
            which, member = np.nonzero(found >= smallest[query, None])
        query, names = query[which], first[which] + beside[member]
        there = names < len(self._files.exact)
        return query[there], names[there]

    def _multiply(
        self, queries: npt.NDArray[np.int8], products: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int32]:
        """Fill in the products, (names, queries). Returns the largest of each group of names,
        (queries, groups): those of a tile that are `_TILE` / `_DEPTH` apart."""
        count = queries.shape[1]
        maxima = np.empty((self._tiles, _TILE // _DEPTH * count), np.int32)
        binding = self._session.io_binding()
        binding.bind_cpu_input(_QUERIES, queries)
        for tile in range(self._tiles):
            names = self._files.rounded[tile * _TILE : (tile + 1) * _TILE]
            filled = products[tile * _TILE : (tile + 1) * _TILE]
            binding.bind_cpu_input(_NAMES, names)
            binding.bind_output(
                _PRODUCTS, "cpu", 0, np.int32, (len(names), count), filled.ctypes.data
            )
            self._session.run_with_iobinding(binding)
            filled[len(names) :] = _LEAST
            filled.reshape(_DEPTH, -1).max(axis=0, out=maxima[tile])
        return np.ascontiguousarray(maxima.reshape(-1, count).T)

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        # Here, not above: a worker's parent imports this module and forks afterwards.
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        return onnxruntime.InferenceSession(
            self._graph(), options, providers=["CPUExecutionProvider"]
        )

    def _graph(self) -> bytes:
        dimension = self._files.exact.shape[1]
        return onnx_graph.model(
            "products",
            onnx_graph.node("MatMulInteger", [_NAMES, _QUERIES], [_PRODUCTS]),
            [
                onnx_graph.values(_NAMES, np.uint8, ["names", dimension]),
                onnx_graph.values(_QUERIES, np.int8, [dimension, "queries"]),
            ],
            [onnx_graph.values(_PRODUCTS, np.int32, ["names", "queries"])],
            operators=10,  # the first version that has MatMulInteger
        )


class DenseWriter:
    """Collects vectors, and writes the files of a version.

    With `base` the folder has the files of that version, and it begins with its vectors. Vectors
    are written to the disk as they come; in memory there are 24 bytes a name.
    """

    def __init__(self, folder: Path, dimension: int, base: str | None) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._dimension = dimension
        self._base = None if base is None else DenseFiles(folder, base)
        self._added = (folder / _ADDED).open("wb")
        # What was done with points, in order: their ids, and the row of the new vector or -1.
        self._points: list[npt.NDArray[np.uint8]] = []
        self._rows: list[npt.NDArray[np.int64]] = []
        self._count = 0
        if self._base is not None:
            self._points.append(self._base.points)
            self._rows.append(np.arange(len(self._base.points)))
            self._count = len(self._base.points)

    def add(self, points: Sequence[UUID], vectors: Sequence[npt.NDArray[np.float32]]) -> None:
        """The vectors of points; they replace earlier ones."""
        if not points:
            return
        self._added.write(np.stack(vectors).astype("<f4", copy=False).tobytes())
        self._points.append(_ids(points))
        self._rows.append(self._count + np.arange(len(points)))
        self._count += len(points)

    def remove(self, points: Sequence[UUID]) -> None:
        """Leave points out; those that are not there are ignored."""
        if points:
            self._points.append(_ids(points))
            self._rows.append(np.full(len(points), -1))

    def finish(self, version: str) -> int:
        """Write the files; returns the number of vectors."""
        self._added.close()
        points, rows = self._last()
        checksums = {}
        vectors = self._vectors(rows)
        steps = np.full(self._dimension, 0, np.float32)
        for chunk in vectors():
            steps = np.maximum(steps, np.abs(chunk).max(axis=0, initial=0))
        steps /= _FINEST
        steps[steps == 0] = 1
        shape = (len(points), self._dimension)
        for name, kind, of, chunks in (
            ("points.npy", np.uint8, points.shape, [points]),
            ("exact.npy", np.float32, shape, vectors()),
            ("rounded.npy", np.uint8, shape, (_rounded(chunk, steps) for chunk in vectors())),
            ("steps.npy", np.float32, steps.shape, [steps]),
        ):
            checksums[name] = _write(self._folder / f"new-{name}", np.dtype(kind), of, chunks)
        self._base = None
        for name in _FILES:
            (self._folder / f"new-{name}").replace(self._folder / name)
        (self._folder / _ADDED).unlink()
        contents = {"version": version, "checksums": checksums}
        (self._folder / _CONTENTS).write_text(json.dumps(contents, indent=2) + "\n")
        return len(points)

    def close(self) -> None:
        """Give up; `finish` needs no call of it."""
        self._added.close()

    def _last(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """The points that are there at the end, ascending, and the rows of their vectors."""
        points = np.concatenate([np.empty((0, 16), np.uint8), *self._points])
        rows = np.concatenate([np.empty(0, np.int64), *self._rows])
        first, second = points.view(">u8").T.astype(np.uint64)
        order = np.lexsort((np.arange(len(rows)), second, first))
        points, rows = points[order], rows[order]
        is_last = np.append((points[1:] != points[:-1]).any(axis=1), [True])[: len(rows)]
        there = is_last & (rows >= 0)
        return points[there], rows[there]

    def _vectors(self, rows: npt.NDArray[np.int64]) -> Callable[[], Iterable[Any]]:
        """What yields the vectors of these rows, some at a time, as often as it is called."""
        base = (
            np.empty((0, self._dimension), np.float32) if self._base is None else self._base.exact
        )
        file = self._folder / _ADDED
        added = np.empty((0, self._dimension), np.float32)
        if file.stat().st_size:
            added = np.memmap(file, "<f4", "r").reshape(-1, self._dimension)

        def vectors() -> Iterable[Any]:
            for start in range(0, len(rows), _CHUNK):
                part = rows[start : start + _CHUNK]
                chunk = np.empty((len(part), self._dimension), np.float32)
                old = part < len(base)
                chunk[old] = base[part[old]]
                chunk[~old] = added[part[~old] - len(base)]
                yield chunk

        return vectors


def _ids(points: Sequence[UUID]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(point.bytes for point in points), np.uint8).reshape(-1, 16)


def _rounded(vectors: npt.NDArray[np.float32], steps: npt.NDArray[np.float32]) -> Any:
    return (np.rint(vectors / steps) + _ZERO).astype(np.uint8)


def _rounded_queries(queries: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
    """(dimension, queries), each query in steps of its own."""
    largest = np.abs(queries).max(axis=1, initial=0, keepdims=True)
    largest[largest == 0] = 1
    return np.ascontiguousarray(np.rint(queries / largest * _FINEST_OF_QUERIES).astype(np.int8).T)


def _write(
    file: Path, kind: np.dtype[Any], shape: tuple[int, ...], chunks: Iterable[npt.NDArray[Any]]
) -> int:
    """Write an array as a .npy file, some at a time; returns its CRC-32.

    It is not written through a map: the kernel kills a process where the disk is full.
    """
    header = {"descr": kind.newbyteorder("<").str, "fortran_order": False, "shape": shape}
    with file.open("wb") as written:
        np.lib.format.write_array_header_1_0(written, header)
        for chunk in chunks:
            written.write(np.ascontiguousarray(chunk, kind.newbyteorder("<")).data)
    return _checksum(file)


def _checksum(file: Path) -> int:
    checksum = 0
    block = bytearray(1 << 20)
    with file.open("rb", buffering=0) as read:
        while count := read.readinto(block):
            checksum = zlib.crc32(memoryview(block)[:count], checksum)
    return checksum


def _mapped(file: Path) -> npt.NDArray[Any]:
    """The array of a .npy file; a plain one, for a `memmap` is slower to slice."""
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
