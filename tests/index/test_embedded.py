"""What is particular to the engine in process: other processes, forks, kills, files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.index_points import NAMES, documents_of, manifest_of, points_of, statistics_of
from support.paths import ROOT
from support.searching import search

from resolver.encoder.lexical import query_vector
from resolver.errors import IndexBusy, IndexProblem
from resolver.index import Manifest, Point
from resolver.index.build import prune
from resolver.index.embedded import AT_ONCE, EmbeddedStore, _copy_file

Publish = Callable[..., Manifest]

SECONDS = 60

PRELUDE = f"""
import os, sys
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT)!r}]
from pathlib import Path
from support.index_points import *
from support.paths import ROOT
from support.searching import search
from resolver.encoder.lexical import query_vector
from resolver.index.embedded import AT_ONCE, EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]))
points = points_of(documents_of(NAMES))
def say(word): print(word, flush=True)
"""


@contextmanager
def process(code: str, directory: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Another Python process; killed at the end if it still runs."""
    script = PRELUDE + textwrap.dedent(code)
    running = subprocess.Popen(
        [sys.executable, "-c", script, str(directory), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def outcome(code: str, directory: Path) -> str:
    with process(code, directory) as running:
        said, _ = running.communicate(timeout=SECONDS)
    return said.strip()


def line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def digests(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def store(directory: Path) -> EmbeddedStore:
    return EmbeddedStore(directory)


READER = """
    index = store.open()
    say("open")
    sys.stdin.readline()
    for _ in range(20):
        found = search(index, [query_vector(name) for name in NAMES], limit=1)
        assert [hits[0].document.name for hits in found] == list(NAMES)
    say(index.manifest.version)
    sys.stdin.readline()
    index.close()
    say("closed")
"""


def test_many_processes_read_one_version_and_change_nothing(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    files = digests(directory)
    index = store.open()
    with process(READER, directory) as one, process(READER, directory) as two:
        for word in ("open", "v1", "closed"):
            for running in (one, two):
                assert line(running) == word
                assert running.stdin is not None
                if word != "closed":
                    running.stdin.write("\n")
                    running.stdin.flush()
            assert (
                search(index, [query_vector("北京大学")], limit=1)[0][0].document.name == "北京大学"
            )
        assert one.wait(SECONDS) == two.wait(SECONDS) == 0
    index.close()
    assert digests(directory) == files


def test_a_reader_outlives_a_switch_in_another_process(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    with process(READER, directory) as reader:
        assert line(reader) == "open"
        publish(store, "v2", points[:2])
        with pytest.raises(IndexBusy, match="v1 is open in another process"):
            store.drop("v1")
        said, _ = reader.communicate("\n\n", timeout=SECONDS)
        assert said.split() == ["v1", "closed"]
    store.drop("v1")
    assert [manifest.version for manifest in store.versions()] == ["v2"]


BUILDER = """
    with store.create(manifest_of("v2", points)) as writer:
        writer.add(points)
        say("filled")
        sys.stdin.readline()
        writer.finish()
"""


def test_two_builds_of_one_version_do_not_meet(
    store: EmbeddedStore, directory: Path, points: list[Point]
) -> None:
    with process(BUILDER, directory) as builder:
        assert line(builder) == "filled"
        with pytest.raises(IndexBusy, match="v2 is being built by another process"):
            store.create(manifest_of("v2", points))
        # A build of another version sweeps what is abandoned, and this is not.
        with store.create(manifest_of("v3", points)) as writer:
            writer.add(points)
            writer.finish()
        builder.communicate("\n", timeout=SECONDS)
        assert builder.returncode == 0
    assert {manifest.version for manifest in store.versions()} == {"v2", "v3"}


def test_a_killed_build_leaves_the_active_version_usable(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish
) -> None:
    first = publish(store, "v1", points)
    with process(BUILDER, directory) as builder:
        assert line(builder) == "filled"
        builder.send_signal(signal.SIGKILL)
        assert builder.wait(SECONDS) == -signal.SIGKILL
    assert (directory / "versions" / "v2").is_dir()
    assert store.versions() == [first]
    assert store.active() == first
    index = store.open()
    assert search(index, [query_vector("Bergen")], limit=1)[0][0].document.name == NAMES[2]
    index.close()

    second = publish(store, "v3", points[:4])
    assert store.versions() == [first, second]
    assert sorted(path.name for path in (directory / "versions").iterdir()) == ["v1", "v3"]


ENDLESS_READER = """
    import select
    said, reads = None, 0
    sys.stdin.readline()
    while not select.select([0], [], [], 0)[0]:
        index = store.open()
        (hits,) = search(index, [points[0].dense], limit=100)
        version = index.manifest.version
        assert {hit.document.city for hit in hits} == {version}, (version, hits)
        assert len(hits) == len(points), (version, len(hits))
        assert store.active() is not None
        assert version in {m.version for m in store.versions()} or store.active().version != version
        index.close()
        reads += 1
        if version != said:
            say(version)
            said = version
    say("done" if reads > 10 else "hardly a read")
"""


def lived_in(points: list[Point], city: str) -> list[Point]:
    return [replace(point, document=replace(point.document, city=city)) for point in points]


def test_readers_in_a_loop_see_one_version_at_a_time(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish
) -> None:
    """While versions are derived, switched to and pruned."""
    base = publish(store, "v0", lived_in(points, "v0"))
    with process(ENDLESS_READER, directory) as one, process(ENDLESS_READER, directory) as two:
        for running in (one, two):
            assert running.stdin is not None
            running.stdin.write("\n")
            running.stdin.flush()
            assert line(running) == "v0"
        for turn in range(1, 6):
            manifest = replace(base, version=f"v{turn}", built_at=f"2026-01-02T00:00:0{turn}")
            moved = lived_in(points, manifest.version)
            with store.create(manifest, base=f"v{turn - 1}") as writer:
                writer.rewrite([point.document for point in moved[:7]])
                writer.add(moved[7:])
                writer.finish()
            store.activate(manifest.version)
            prune(store, keep=0)
        for running in (one, two):
            # Versions that came and went between two readings are not told; the last one stays.
            told = ["v0"]
            while told[-1] != "v5":
                told.append(line(running))
                assert told == sorted(told), told
            last, _ = running.communicate("stop\n", timeout=SECONDS)
            assert last.strip() == "done", last


KILLED = """
    import dataclasses, resolver.index.embedded as embedded
    begun = next(m for m in store.versions())
    manifest = dataclasses.replace(begun, version="v2", derived_from="v1", points=begun.points - 3,
                                   organisations=begun.organisations - 3)
    whole = embedded._copy_file
    def half(source, target):
        if target.suffix == ".dat":
            say("copying")
            sys.stdin.readline()
        whole(source, target)
    if sys.argv[2] == "copying":
        embedded._copy_file = half
    with store.create(manifest, base="v1") as writer:
        writer.remove([point.document for point in points[:3]])
        say("removed")
        sys.stdin.readline()
        writer.finish()
"""


@pytest.mark.parametrize("moment", ["copying", "removed"])
def test_a_killed_derivation_leaves_its_base_as_it_was(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish, moment: str
) -> None:
    first = publish(store, "v1", points)
    files = digests(directory / "versions" / "v1")
    with process(KILLED, directory, moment) as running:
        assert line(running) == moment
        with pytest.raises(IndexBusy, match="v2 is being built"):
            store.create(manifest_of("v2", points))
        running.send_signal(signal.SIGKILL)
        assert running.wait(SECONDS) == -signal.SIGKILL
    assert (directory / "versions" / "v2").is_dir()
    assert store.versions() == [first]
    assert digests(directory / "versions" / "v1") == files
    with store.create(manifest_of("v2", points), base="v1") as writer:
        writer.finish()
    assert sorted(path.name for path in (directory / "versions").iterdir()) == ["v1", "v2"]


def test_a_base_that_is_being_read_can_be_copied(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    with process(READER, directory) as reader:
        assert line(reader) == "open"
        with store.create(manifest_of("v2", points), base="v1") as writer:
            writer.finish()
        said, _ = reader.communicate("\n\n", timeout=SECONDS)
        assert said.split() == ["v1", "closed"]
    names = [sorted(path.name for path in store._complete(v).iterdir()) for v in ("v1", "v2")]
    assert names[0] == names[1]


@pytest.mark.parametrize("damage", ["lost", "cut short", "another's"])
def test_damaged_statistics_are_named(
    store: EmbeddedStore, directory: Path, points: list[Point], damage: str
) -> None:
    statistics = statistics_of([point.document for point in points])
    manifest = manifest_of("v1", points, statistics=statistics.fingerprint)
    with store.create(manifest, statistics) as writer:
        writer.add(points)
        writer.finish()
    file = directory / "versions" / "v1" / "statistics.npz"
    match damage:
        case "lost":
            file.unlink()
        case "cut short":
            file.write_bytes(file.read_bytes()[:-40])
        case _:
            file.write_bytes(statistics_of([points[0].document]).to_bytes())
    with pytest.raises(IndexProblem, match=r"v1.*resolver index build --full"):
        store.statistics("v1")


@pytest.mark.parametrize(
    "parts",
    [[], [b"all"], [b"a" * 5_000_000], [None, b"end"], [b"begin", None], [b"a", None, b"b", None]],
    ids=["empty", "small", "large", "hole first", "hole last", "holes"],
)
def test_a_copied_file_has_the_content_and_the_holes(
    tmp_path: Path, parts: list[bytes | None]
) -> None:
    hole = 3 << 20
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        for part in parts:
            if part is None:
                file.truncate(file.tell() + hole)
                file.seek(hole, 1)
            else:
                file.write(part)
    _copy_file(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks + 16


def test_a_search_in_a_forked_child_is_refused(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    code = """
    from resolver.errors import IndexProblem
    index = store.open()
    search(index, [points[0].dense], limit=1)
    child = os.fork()
    if child == 0:
        try:
            search(index, [points[0].dense], limit=1)
        except IndexProblem as error:
            say(error)
        index.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    say(search(index, [query_vector("Bergen")], limit=1)[0][0].document.name)
    """
    refused, found = outcome(code, directory).splitlines()
    assert refused == (
        "the embedded index was opened before this process was forked"
        " — open it in the process that searches"
    )
    assert found == "University of Bergen"


def test_a_forked_child_opens_its_own(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    code = """
    index = store.open()
    search(index, [points[0].dense], limit=1)
    child = os.fork()
    if child == 0:
        own = store.open()
        say(search(own, [query_vector("Bergen")], limit=1)[0][0].document.name)
        own.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    """
    assert outcome(code, directory) == "University of Bergen"


def test_searches_from_many_threads(
    store: EmbeddedStore, points: list[Point], publish: Publish
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    publish(store, "v1", points)
    index = store.open()
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda name: search(index, [query_vector(name)], limit=1), NAMES * 10)
        )
    index.close()
    assert [hits[0][0].document.name for hits in found] == list(NAMES * 10)


def test_answers_come_in_the_order_of_the_queries(
    store: EmbeddedStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    index = store.open()
    empty = query_vector("")
    queries = [query_vector(name) for name in NAMES] + [empty] + [p.dense for p in points]
    queries *= 1 + 2 * AT_ONCE // len(queries)
    for count in (0, 1, AT_ONCE, AT_ONCE + 1, len(queries)):
        found = search(index, queries[-count:] if count else [], limit=1)
        names = [*NAMES, None, *NAMES] * (len(queries) // (2 * len(NAMES) + 1))
        expected = names[-count:] if count else []
        assert [hits[0].document.name if hits else None for hits in found] == expected
    index.close()


@pytest.mark.parametrize(
    ("content", "says"),
    [("", "not JSON"), ("[]", "is a list, not an object"), ('{"version": "v1"}', "release")],
    ids=["empty", "a list", "half"],
)
def test_a_broken_manifest_is_named(
    store: EmbeddedStore,
    directory: Path,
    points: list[Point],
    publish: Publish,
    content: str,
    says: str,
) -> None:
    publish(store, "v1", points)
    (directory / "versions" / "v1" / "manifest.json").write_text(content)
    with pytest.raises(IndexProblem, match=f"manifest.json: {says}"):
        store.open()


@pytest.mark.parametrize("loss", ["emptied", "deleted"])
def test_lost_files_are_an_error_and_not_an_empty_index(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish, loss: str
) -> None:
    publish(store, "v1", points)
    segments = directory / "versions" / "v1" / "shard" / "segments"
    if loss == "deleted":
        shutil.rmtree(segments)
    else:
        for path in segments.rglob("*"):
            if path.is_file():
                path.write_bytes(b"")
    with pytest.raises(IndexProblem, match=r"index version v1.*resolver index build"):
        store.open()


@pytest.mark.parametrize("loss", ["lost", "of another version"])
def test_damaged_dense_vectors_are_refused_by_readers_and_derivations(
    store: EmbeddedStore, directory: Path, points: list[Point], publish: Publish, loss: str
) -> None:
    publish(store, "v0", points)
    publish(store, "v1", points)
    dense = directory / "versions" / "v1" / "dense"
    shutil.rmtree(dense)
    if loss != "lost":
        shutil.copytree(directory / "versions" / "v0" / "dense", dense)
    says = r"dense vectors of index version v1 are damaged.*resolver index build --force"
    with pytest.raises(IndexProblem, match=says):
        store.open()
    with pytest.raises(IndexProblem, match=says):
        store.create(manifest_of("v2", points), base="v1")
    assert [manifest.version for manifest in store.versions()] == ["v0", "v1"]


def test_the_folder_may_move(
    store: EmbeddedStore, directory: Path, tmp_path: Path, points: list[Point], publish: Publish
) -> None:
    manifest = publish(store, "v1", points)
    directory.rename(tmp_path / "elsewhere")
    moved = EmbeddedStore(tmp_path / "elsewhere")
    assert moved.active() == manifest
    assert moved.open().count() == len(points)


def test_json_of_the_manifest_is_readable(
    store: EmbeddedStore, directory: Path, publish: Publish
) -> None:
    publish(store, "v1", points_of(documents_of(NAMES)))
    written = json.loads((directory / "current" / "manifest.json").read_text())
    assert written["version"] == "v1"
    assert written["points"] == len(NAMES)


NAMESPACE = ("unshare", "--mount") if os.getuid() == 0 else ("unshare", "--mount", "--user", "-r")
MAY_MOUNT = (
    shutil.which("unshare")
    and not subprocess.run(
        [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True, check=False
    ).returncode
)


@pytest.mark.skipif(not MAY_MOUNT, reason="needs a file system of its own: root, or namespaces")
@pytest.mark.parametrize(
    ("names", "filled_after", "left", "told"),
    [
        pytest.param(30_000, 40_000, 0, "an index of 30,000 names needs", id="before it begins"),
        pytest.param(5_000, 1_000, 20_000_000, "index version v1.0-", id="while it is written"),
        pytest.param(5_000, 5_000, 34_000_000, "index version v1.0-", id="before it is optimised"),
    ],
)
def test_a_full_disk(tmp_path: Path, names: int, filled_after: int, left: int, told: str) -> None:
    """It is told with what is needed and what is there; nothing half-built stays."""
    script = ROOT / "tests/support/full_disk.py"
    arguments = [str(tmp_path), *map(str, (names, filled_after, left))]
    done = subprocess.run(
        [*NAMESPACE, sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said, complete, files = done.stdout.splitlines()
    assert told in said
    assert re.search(r"needs [\d,.]+ MB in .*, where [\d,.]+ MB are free", said)
    assert (complete, files) == ("[]", "[]")
