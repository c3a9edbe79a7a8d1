"""The index in Qdrant's engine in this process: no server, one folder.

::

    directory/
    ├── current -> versions/<version>        swapped atomically
    └── versions/<version>/
        ├── lock                             shared by readers, exclusive for the writer
        ├── shard/                           the engine's files: documents and both vectors
        ├── dense/                           how dense vectors are searched (`index.dense`)
        ├── names/                           how documents are read (`index.names_file`)
        ├── statistics.npz                   what the sparse vectors were made with
        └── manifest.json                    written last; without it the version is unfinished

A complete version has no write-ahead log and its data is never written again, so any number of
processes can read it at the same time. When it loads a version, the engine replaces two small
configuration files by files of the same content, atomically: readers need the right to write. POSIX
only (flock, symbolic links).

A derived version begins with a copy of the files of another version, for the engine writes in
place. On a file system that shares blocks (Btrfs, XFS) the copy takes no room. New points then go
to a second, small segment of the engine, and removed points are only marked. From `_SEGMENT` new
names on, or when a fifth of the names is removed, the optimiser makes a single segment of all. What
dense vectors are searched by and documents are read by is always written anew.

The engine writes to files that are mapped into memory, and the kernel kills a process without an
error when the disk is full under such a file. So there is a check for free room before a version is
begun, before each batch is written, and before the optimiser writes the version a second time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from resolver import disk
from resolver.encoder.lexical import SparseVector
from resolver.errors import DiskFull, IndexBusy, IndexMissing, IndexProblem
from resolver.index import (
    IndexStore,
    IndexWriter,
    Manifest,
    Point,
    Query,
    dense,
    names_file,
)
from resolver.index.dense import DenseFiles, DenseSearch, DenseWriter
from resolver.index.manifest import (
    check_base,
    check_counts,
    check_statistics,
    check_version,
    check_whole,
    from_json,
    in_order,
    read_statistics,
    to_json,
)
from resolver.index.names_file import NamesFile, NamesWriter
from resolver.index.organisation_count import OrganisationCount
from resolver.index.payload import (
    DENSE,
    SPARSE,
    Answer,
    Found,
    check_points,
    payload,
    point_id,
)
from resolver.index.payload import document as read_document
from resolver.index.reading import OpenIndex
from resolver.registry.document import Document

if TYPE_CHECKING:
    import qdrant_edge

    from resolver.encoder.statistics import Statistics

log = logging.getLogger(__name__)

T = TypeVar("T")

_INSTALL = "install it: pip install 'affiliation-resolver[embedded]', or set RESOLVER_QDRANT_URL"
_REBUILD = "build it again: resolver index build"
_UPSERT = 1024
"""Points in one call of the engine."""
_SEGMENT = 4_000
"""New names from which the optimiser merges the small segment with the large one. Each process has
the words of the small segment in a memory of its own, and reads them when it opens the version. The
optimiser reads and writes all, for 4 s on a core."""
_NAME_BYTES = 1_100
"""Bytes on the disk for a name beside its dense vector: payload, words, ids. In an index of
release 2.8 they are 1,053, as `du` counts."""
_SPARE = 32 * 2**20
"""Bytes to be left free beside those counted: for small files of the engine, and for what other
programs write meanwhile."""
_REWRITTEN = 0.2
"""Share of removed names from which the optimiser rewrites a segment (Qdrant's
`deleted_threshold`)."""
_COLD = ("payload_storage", f"vector_storage-{DENSE}", f"vector_storage-{SPARSE}")
"""Folders of the engine that only writers read: of a whole release they have 400 MB."""
_STATISTICS = "statistics.npz"
_CLONE = 0x40049409
"""FICLONE of Linux, ioctl_ficlone(2): the copy shares blocks with the original until either is
written."""

AT_ONCE = 64
"""Queries in one call of the engine. The engine holds the interpreter lock meanwhile (measured:
threads that search at the same time take as long as one after the other), so all other threads
wait: 0.1 s for 64 queries, half a second for those of a whole chunk. With fewer queries the
calls themselves take longer than that saves."""


class EmbeddedStore(IndexStore):
    """Index versions in a folder of this machine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._versions = directory / "versions"
        self._current = directory / "current"

    def close(self) -> None:
        """Does nothing: the store holds nothing between calls."""

    def versions(self) -> list[Manifest]:
        if not self._versions.is_dir():
            return []
        manifests = []
        for path in self._versions.iterdir():
            if _is_complete(path) and not path.name.startswith("."):
                with contextlib.suppress(IndexMissing):  # dropped meanwhile
                    manifests.append(_read_manifest(path))
        return in_order(manifests)

    def active(self) -> Manifest | None:
        return self._follow(_read_manifest)

    def create(
        self,
        manifest: Manifest,
        statistics: Statistics | None = None,
        *,
        base: str | None = None,
    ) -> EmbeddedWriter:
        path = self._versions / check_version(manifest.version)
        if _is_complete(path):
            raise IndexProblem(
                f"index version {manifest.version} exists already",
                remedy="drop it first, or build under another name",
            )
        if base is None:
            check_statistics(manifest, statistics)
        self._versions.mkdir(parents=True, exist_ok=True)
        self._sweep()
        names = f"an index of {manifest.points:,} names"
        if base is None:
            disk.require(self._versions, _written_twice(manifest), names)
        else:
            # A file system that shares blocks needs less, but that cannot be known in advance.
            disk.require(self._versions, _size(self._complete(base)) + _SPARE, names)
        path.mkdir(exist_ok=True)
        lock = _lock(path, fcntl.LOCK_EX, "is being built by another process")
        try:
            with disk.writing(path):
                begun = None if base is None else self._copy(base, path, manifest)
                if statistics and begun is None:
                    (path / _STATISTICS).write_bytes(statistics.to_bytes())
                return EmbeddedWriter(path, manifest, lock, begun)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            raise

    def _copy(self, base: str, path: Path, manifest: Manifest) -> Manifest:
        """Copy the files of a complete version; returns its manifest."""
        source = self._complete(base)
        lock = _lock(source, fcntl.LOCK_SH, "is being dropped by another process")
        try:
            begun = _read_manifest(source)
            check_base(manifest, begun)
            for part in ("shard", dense.FOLDER, names_file.FOLDER):
                _copy_tree(source / part, path / part)
            if begun.statistics:
                _copy_file(source / _STATISTICS, path / _STATISTICS)
        finally:
            os.close(lock)
        return begun

    def statistics(self, version: str) -> Statistics:
        path = self._complete(version)
        file = path / _STATISTICS
        return read_statistics(_read_manifest(path), file.read_bytes() if file.is_file() else None)

    def activate(self, version: str) -> None:
        """Replace the link `current`."""
        path = self._complete(version)
        # rename(2) replaces the link in one step: a reader finds the old version or the new one.
        fresh = self._directory / f".current-{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(path.relative_to(self._directory))
        fresh.replace(self._current)
        _sync(self._directory)

    def open(self, version: str | None = None) -> EmbeddedIndex:
        if version is not None:
            return EmbeddedIndex(self._complete(version))
        index = self._follow(EmbeddedIndex)
        if index is None:
            raise IndexMissing(
                f"no index is active in {self._directory}", remedy="run: resolver index build"
            )
        return index

    def folder(self, version: str) -> Path:
        """Where the files of a complete version are: a copy of them serves anywhere.

        Raises:
            IndexMissing: there is no such version.
        """
        return self._complete(version)

    def drop(self, version: str) -> None:
        path = self._complete(version)
        if path == self._active_path():
            raise IndexProblem(
                f"index version {version} is active", remedy="activate another one first"
            )
        lock = _lock(path, fcntl.LOCK_EX, "is open in another process")
        try:
            self._discard(path)
        finally:
            os.close(lock)

    def _complete(self, version: str) -> Path:
        path = self._versions / check_version(version)
        if not _is_complete(path):
            known = ", ".join(manifest.version for manifest in self.versions()) or "none"
            raise IndexMissing(
                f"no complete index version {version} in {self._directory}",
                remedy=f"there is: {known}",
            )
        return path

    def _active_path(self) -> Path | None:
        try:
            target = self._current.readlink()
        except FileNotFoundError:
            return None
        return self._versions / target.name

    def _follow(self, read: Callable[[Path], T]) -> T | None:
        """What `read` returns for the folder of the active version; None if no version is active.

        Between following the link and reading, another version may be activated and this one
        dropped: then the other one is read.
        """
        while True:
            path = self._active_path()
            if path is None:
                return None
            try:
                return read(path)
            except (IndexMissing, IndexBusy):
                if self._active_path() == path:
                    if not _is_complete(path):
                        return None
                    raise

    def _sweep(self) -> None:
        """Delete what killed builds and drops left behind."""
        for path in self._versions.iterdir():
            if not path.is_dir() or (_is_complete(path) and not path.name.startswith(".")):
                continue
            try:
                lock = _lock(path, fcntl.LOCK_EX, "is being built")
            except IndexBusy:
                continue
            try:
                self._discard(path)
            finally:
                os.close(lock)

    def _discard(self, path: Path) -> None:
        # Renamed first, so that nobody opens a version with half of its files.
        doomed = path.with_name(f".dropped-{path.name.removeprefix('.dropped-')}")
        if doomed != path:
            shutil.rmtree(doomed, ignore_errors=True)
            path.rename(doomed)
        shutil.rmtree(doomed)


class EmbeddedWriter(IndexWriter):
    """A version while it is being filled."""

    def __init__(self, path: Path, manifest: Manifest, lock: int, base: Manifest | None) -> None:
        self._path = path
        self._manifest = manifest
        self._lock = lock
        self._organisations = OrganisationCount(self.held, base=base.organisations if base else 0)
        edge = _engine()
        with _named_errors(manifest.version):
            shard_path = path / "shard"
            if base:
                self._shard = _load(shard_path, _config(manifest.dimension))
            else:
                shard_path.mkdir()
                self._shard = edge.EdgeShard.create(str(shard_path), _config(manifest.dimension))
        self._closed = False
        self._base = base
        self._written = self._removed = 0
        if base:
            # Where segments are missing, the engine starts an empty one and reports nothing.
            check_whole(base, points=self._count())
        self._dense = DenseWriter(
            path / dense.FOLDER, manifest.dimension, base.version if base else None
        )
        self._names = NamesWriter(path / names_file.FOLDER, base=base.points if base else None)

    def add(self, points: Sequence[Point]) -> None:
        edge = _engine()
        check_points(points, dimension=self._manifest.dimension)
        self._organisations.note(point.document for point in points)
        for start in range(0, len(points), _UPSERT):
            batch = points[start : start + _UPSERT]
            ids = [point_id(point.document) for point in batch]
            self._require_room(len(batch))
            with _named_errors(self._manifest.version):
                self._shard.update(
                    edge.UpdateOperation.upsert_points([*map(_edge_point, ids, batch)])
                )
            with disk.writing(self._path):
                self._dense.add(ids, [point.dense for point in batch])
                self._names.write(ids, [point.document for point in batch])
        self._written += len(points)

    def held(self, points: Collection[UUID]) -> dict[UUID, Document]:
        with _named_errors(self._manifest.version):
            records = self._shard.retrieve(list(points), True, False)
        return {_uuid(record.id): read_document(record.payload) for record in records}

    def rewrite(self, documents: Sequence[Document]) -> None:
        edge = _engine()
        self._require_room(len(documents))
        with _named_errors(self._manifest.version):
            for document in documents:
                self._shard.update(
                    edge.UpdateOperation.overwrite_payload([point_id(document)], payload(document))
                )
        with disk.writing(self._path):
            self._names.write([*map(point_id, documents)], documents)

    def remove(self, documents: Sequence[Document]) -> None:
        edge = _engine()
        self._organisations.note(documents)
        ids = [*map(point_id, documents)]
        with _named_errors(self._manifest.version):
            self._shard.update(edge.UpdateOperation.delete_points(ids))
        self._dense.remove(ids)
        self._names.remove(ids)
        self._removed += len(documents)

    def _require_room(self, names: int) -> None:
        """Refuse to write names when the disk has no room for them."""
        needed = _bytes(names, self._manifest.dimension) + _SPARE
        disk.require(self._path, needed, f"index version {self._manifest.version}")

    def _require_room_to_finish(self) -> None:
        """The same before what is there is written once more: the dense vectors, the documents, and
        a segment that is optimised; the old ones go only after the new ones are written."""
        base, points = self._base, self._manifest.points
        needed = dense.size(points, self._manifest.dimension) + names_file.size(points)
        if not base or self._written >= _SEGMENT or self._removed >= _REWRITTEN * base.points:
            needed += points * (4 * self._manifest.dimension + _NAME_BYTES)
        disk.require(self._path, needed + _SPARE, f"index version {self._manifest.version}")

    def _count(self) -> int:
        with _named_errors(self._manifest.version):
            return int(self._shard.count(_engine().CountRequest(exact=True)))

    def finish(self) -> None:
        """Flush, optimise, write the dense vectors, count what is on disk, then mark as complete.

        Raises:
            IndexProblem: the counts differ from the manifest's.
        """
        edge = _engine()
        points = self._count()
        organisations = self._organisations.total()
        check_counts(self._manifest, organisations=organisations, points=points)
        self._require_room_to_finish()
        with _named_errors(self._manifest.version):
            self._shard.flush()
            log.info("index version %s: optimising %d points", self._manifest.version, points)
            while self._shard.optimize():
                pass
            self._shard.flush()
            self._shard.close()
            self._closed = True
            # The first load after writing deletes journals. Many readers may come at the same time
            # and must not have to delete anything, so it is loaded here once.
            shard = _load(self._path / "shard")
            points = shard.count(edge.CountRequest(exact=True))
            shard.close()
        check_counts(self._manifest, organisations=organisations, points=points)
        with disk.writing(self._path):
            for written in (self._dense.finish(self._manifest.version), self._names.finish()):
                check_counts(self._manifest, organisations=organisations, points=written)
        with disk.writing(self._path):
            for file in self._path.rglob("*"):
                _sync(file)
            _write_manifest(self._path, self._manifest)
        self._release()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._closed:
            self._closed = True
            # The files are deleted anyway; a failure to close must not hide the first error.
            with contextlib.suppress(Exception):
                self._dense.close()
                self._names.close()
                self._shard.close()
        if not _is_complete(self._path):
            shutil.rmtree(self._path, ignore_errors=True)
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


class EmbeddedIndex(OpenIndex):
    """A complete version, open for reading in this process. Searches may come from any thread."""

    def __init__(self, path: Path) -> None:
        self._pid = os.getpid()
        self._path = path
        self._lock = _lock(path, fcntl.LOCK_SH, "is being dropped by another process")
        try:
            manifest = _read_manifest(path)
            edge = _engine()
            with _named_errors(manifest.version):
                self._shard = _load(path / "shard")
                # Where segments are missing, the engine starts an empty one and reports nothing.
                points = self._shard.count(edge.CountRequest(exact=True))
            check_whole(manifest, points=points)
            self._files = DenseFiles(path / dense.FOLDER, manifest.version)
            self._files.require(points=points, dimension=manifest.dimension)
            self._dense = DenseSearch(self._files)
            names = NamesFile(path / names_file.FOLDER, points=points)
            names.require_order(self._files.points)
        except BaseException:
            os.close(self._lock)
            raise
        super().__init__(manifest, names)

    def _found(self, queries: Sequence[Query], limit: int) -> list[Found]:
        by_words = [query for query in queries if isinstance(query, SparseVector)]
        by_meaning = [query for query in queries if not isinstance(query, SparseVector)]
        sparse = iter(self._names.found(self._nearest_by_words(by_words, limit)))
        # Names and dense vectors are numbered alike.
        dense = iter(self._dense.nearest(by_meaning, limit=limit))
        return [next(sparse if isinstance(query, SparseVector) else dense) for query in queries]

    def _nearest_by_words(self, queries: Sequence[SparseVector], limit: int) -> list[Answer]:
        edge = _engine()
        requests = [
            edge.QueryRequest(limit=limit, query=_edge_query(query), with_payload=False)
            for query in queries
        ]
        answers: list[Answer] = []
        for start in range(0, len(requests), AT_ONCE):
            part = requests[start : start + AT_ONCE]
            with _named_errors(self.manifest.version):
                answers += map(_answer, self._shard.query_batch(edge.QueryBatchRequest(part)))
        return answers

    def _count(self) -> int:
        with _named_errors(self.manifest.version):
            return int(self._shard.count(_engine().CountRequest(exact=True)))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # A forked child has the shard of its parent without the threads: closing it would hang.
        if self._pid == os.getpid():
            self._shard.close()
            os.close(self._lock)

    def _check_usable(self) -> None:
        super()._check_usable()
        if self._pid != os.getpid():
            raise IndexProblem(
                "the embedded index was opened before this process was forked",
                remedy="open it in the process that searches",
            )


def _uuid(point: object) -> UUID:
    return point if isinstance(point, UUID) else UUID(str(point))


def _answer(points: Sequence[Any]) -> Answer:
    # All ids are UUIDs, for `point_id` made them; `_uuid` would take longer than all else here.
    return [point.id.int for point in points], [point.score for point in points]


def _engine() -> Any:
    try:
        import qdrant_edge
    except ImportError as error:
        raise IndexProblem("the embedded index needs qdrant-edge-py", remedy=_INSTALL) from error
    return qdrant_edge


def _load(shard: Path, config: qdrant_edge.EdgeConfig | None = None) -> qdrant_edge.EdgeShard:
    # When a shard is closed, the engine drops its files from the page cache, and when it is loaded,
    # it reads those that are not cold page by page: half a minute on a slow disk. Reading them in
    # order first takes a second.
    block = bytearray(1 << 20)
    for folder, folders, names in os.walk(shard):
        folders[:] = [name for name in folders if name not in _COLD]
        for name in names:
            # Other processes that are loading it make and remove temporary files.
            with (
                contextlib.suppress(FileNotFoundError),
                (Path(folder) / name).open("rb", buffering=0) as file,
            ):
                while file.readinto(block):
                    pass
    loaded: qdrant_edge.EdgeShard = _engine().EdgeShard.load(str(shard), config)
    return loaded


def _copy_tree(source: Path, target: Path) -> None:
    """Copy the files of a shard that others may have open."""
    for folder, _, names in os.walk(source):
        into = target / Path(folder).relative_to(source)
        into.mkdir()
        for name in names:
            # Other processes that are loading it make and remove temporary files.
            with contextlib.suppress(FileNotFoundError):
                _copy_file(Path(folder) / name, into / name)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        try:
            fcntl.ioctl(written, _CLONE, read.fileno())
        except OSError:
            _copy_data(read.fileno(), written.fileno())


def _copy_data(read: int, written: int) -> None:
    """Copy the data of a file but not its holes: the engine allocates 32 MB in advance."""
    size = os.fstat(read).st_size
    os.truncate(written, size)
    start = 0
    while start < size:
        try:
            start = os.lseek(read, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        end = os.lseek(read, start, os.SEEK_HOLE)
        os.lseek(written, start, os.SEEK_SET)
        while start < end:
            block = os.pread(read, min(end - start, 1 << 20), start)
            os.write(written, block)
            start += len(block)


def _config(dimension: int) -> qdrant_edge.EdgeConfig:
    edge = _engine()
    config: qdrant_edge.EdgeConfig = edge.EdgeConfig(
        # Cached: mapped into memory and read, shared by processes. Cold: read when it is asked for.
        # Pinned: a copy in each process.
        vectors={
            # The engine keeps them, and is not asked to search them: so there is no quantised copy.
            DENSE: edge.EdgeVectorParams(
                size=dimension, distance=edge.Distance.Dot, memory=edge.Memory.Cold
            )
        },
        sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(memory=edge.Memory.Cached)},
        # m 0: no graph. The other two are required and unused.
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
        optimizers=edge.EdgeOptimizersConfig(
            # One segment: each further segment is searched and ranked by itself.
            default_segment_number=1,
            max_segment_size=1 << 30,
            indexing_threshold=_SEGMENT * dimension * 4 // 1024,
        ),
        payload_memory=edge.Memory.Cold,
        # A version is rebuilt rather than repaired, and with a log only one process could open it.
        wal_enabled=False,
    )
    return config


def _edge_point(id: UUID, point: Point) -> qdrant_edge.Point:
    edge = _engine()
    made: qdrant_edge.Point = edge.Point(
        id,
        {DENSE: point.dense.tolist(), SPARSE: _edge_vector(point.sparse)},
        payload(point.document),
    )
    return made


def _edge_query(query: SparseVector) -> qdrant_edge.Query:
    made: qdrant_edge.Query = _engine().Query.Nearest(_edge_vector(query), using=SPARSE)
    return made


def _edge_vector(vector: SparseVector) -> qdrant_edge.SparseVector:
    made: qdrant_edge.SparseVector = _engine().SparseVector(
        vector.indices.tolist(), vector.values.tolist()
    )
    return made


@contextlib.contextmanager
def _named_errors(version: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The engine raises plain `Exception`; errors of other classes are not from it.
        if type(error) is not Exception:
            raise
        if disk.is_full(error):
            raise DiskFull(
                f"index version {version}: {error}",
                remedy="free space on the disk of RESOLVER_HOME, or set it to a folder on another",
            ) from error
        raise IndexProblem(f"index version {version}: {error}", remedy=_REBUILD) from error


def _lock(path: Path, operation: int, reason: str) -> int:
    """Lock a version; the lock is held until the file descriptor that is returned is closed."""
    file = path / "lock"
    try:
        if operation == fcntl.LOCK_SH:
            descriptor = os.open(file, os.O_RDONLY)
        else:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError as error:
        raise IndexMissing(f"index version {path.name} is gone", remedy=_REBUILD) from error
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise IndexBusy(
            f"index version {path.name} {reason}", remedy="wait for it, or stop that process"
        ) from error
    return descriptor


def _bytes(names: int, dimension: int) -> int:
    """Bytes on the disk for names: all that the engine keeps of them, and how they are searched."""
    of_engine = names * (4 * dimension + _NAME_BYTES)
    return of_engine + dense.size(names, dimension) + names_file.size(names)


def _written_twice(manifest: Manifest) -> int:
    return 2 * _bytes(manifest.points, manifest.dimension) + _SPARE


def _size(path: Path) -> int:
    """Bytes on the disk, not counting holes in files."""
    blocks = 0
    for folder, _, names in os.walk(path):
        for name in names:
            # Other processes that are loading it make and remove temporary files.
            with contextlib.suppress(FileNotFoundError):
                blocks += (Path(folder) / name).lstat().st_blocks
    return blocks * 512


def _is_complete(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _read_manifest(path: Path) -> Manifest:
    file = path / "manifest.json"
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise IndexMissing(f"index version {path.name} is gone", remedy=_REBUILD) from error
    return from_json(content, where=str(file))


def _write_manifest(path: Path, manifest: Manifest) -> None:
    fresh = path / ".manifest.json"
    fresh.write_text(json.dumps(to_json(manifest), indent=2) + "\n", encoding="utf-8")
    _sync(fresh)
    fresh.replace(path / "manifest.json")
    _sync(path)


def _sync(path: Path) -> None:
    """Have a file or folder on the disk before anything that relies on it is written."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
