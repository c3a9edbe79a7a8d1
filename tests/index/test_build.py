"""Organisations into an index version: which, how often, and whether it fits."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Semaphore

import pytest
from support.hashing_encoder import HashingEncoder
from support.searching import search

from resolver.encoder.lexical import query_vector
from resolver.errors import IndexMismatch, IndexProblem
from resolver.index import Manifest, Point
from resolver.index.build import build, require_fresh
from resolver.index.embedded import EmbeddedStore, EmbeddedWriter
from resolver.registry.document import FORM
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus, Place

SHA = "5" * 64


def organisation(
    ror_id: str, *names: str, status: OrganisationStatus = OrganisationStatus.ACTIVE
) -> Organisation:
    kinds = [NameKind.DISPLAY] + [NameKind.ALIAS] * (len(names) - 1)
    return Organisation(
        ror_id=ror_id,
        status=status,
        names=tuple(Name(name, frozenset({kind})) for name, kind in zip(names, kinds, strict=True)),
        places=(Place("CH", "Switzerland", "Zurich"),),
    )


ORGANISATIONS = [
    organisation("000000001", "ETH Zurich", "Swiss Federal Institute of Technology"),
    organisation("000000002", "University of Zurich", "Universität Zürich", "universität zürich"),
    organisation("000000003", "Bell Labs", status=OrganisationStatus.INACTIVE),
    organisation("000000004", "Duplicate of ETH", status=OrganisationStatus.WITHDRAWN),
]


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "index")


def built(store: EmbeddedStore, **changes: object) -> Manifest:
    arguments: dict[str, object] = {
        "release": "v2.9",
        "release_sha256": SHA,
        "encoder": HashingEncoder(),
        "store": store,
    }
    organisations = changes.pop("organisations", ORGANISATIONS)
    return build(organisations, **{**arguments, **changes})  # type: ignore[arg-type]


def names(store: EmbeddedStore, version: str) -> set[str]:
    index = store.open(version)
    (hits,) = search(index, list(HashingEncoder().encode_queries(["x"])), limit=1000)
    index.close()
    return {hit.document.name for hit in hits}


def test_names_of_active_and_inactive_organisations_are_indexed(store: EmbeddedStore) -> None:
    manifest = built(store)
    assert store.active() is None
    assert store.versions() == [manifest]
    assert (manifest.organisations, manifest.points) == (3, 5)
    assert (manifest.release, manifest.release_sha256) == ("v2.9", SHA)
    assert (manifest.encoder, manifest.dimension) == ("character-hashing", 64)
    assert manifest.form == FORM
    assert names(store, manifest.version) == {
        "ETH Zurich",
        "Swiss Federal Institute of Technology",
        "University of Zurich",
        "Universität Zürich",
        "Bell Labs",
    }


def test_both_vectors_are_of_the_name_that_carries_them(store: EmbeddedStore) -> None:
    index = store.open(built(store).version)
    text = "Swiss Federal Institute of Technology, Zurich, Switzerland"
    by_sparse, by_dense = search(
        index, [query_vector(text), HashingEncoder().encode_queries([text])[0]], limit=1
    )
    index.close()
    assert by_sparse[0].document == by_dense[0].document
    assert by_dense[0].document.name == "Swiss Federal Institute of Technology"
    # The dense vector is of the name with its place: the same text is the same vector.
    assert by_dense[0].score == pytest.approx(1.0, abs=1e-5)


def test_statuses_are_a_choice(store: EmbeddedStore) -> None:
    everything = built(store, statuses=tuple(OrganisationStatus))
    active = built(store, statuses=(OrganisationStatus.ACTIVE,))
    assert (everything.organisations, active.organisations) == (4, 2)


def test_a_stream_is_read_once_and_progress_is_told(store: EmbeddedStore) -> None:
    told: list[tuple[int, int]] = []
    built(
        store,
        organisations=iter(ORGANISATIONS),
        batch=2,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_the_same_version_is_not_built_twice(store: EmbeddedStore) -> None:
    def untouched() -> Iterator[Organisation]:
        raise AssertionError("the registry was read")
        yield

    first = built(store)
    built(store, release="v2.8", release_sha256="4" * 64)
    assert built(store, organisations=untouched()) == first


def test_force_builds_beside_the_version_that_is_there(store: EmbeddedStore) -> None:
    first = built(store)
    reader = store.open(first.version)
    second = built(store, organisations=ORGANISATIONS[:1], force=True)
    assert second.version != first.version
    assert second.points == 2
    assert reader.count() == 5
    reader.close()
    assert built(store) == second
    third = built(store, force=True)
    assert len({first.version, second.version, third.version}) == 3
    store.drop(second.version)
    assert built(store, force=True).version == second.version


@pytest.mark.parametrize(
    "changes",
    [
        {"release_sha256": "6" * 64},
        {"encoder": HashingEncoder(32)},
        {"encoder": HashingEncoder(name="another")},
        {"release": "v2.10"},
    ],
    ids=["release's content", "dimension", "encoder", "release's name"],
)
def test_another_version_for_whatever_differs(
    store: EmbeddedStore, changes: dict[str, object]
) -> None:
    assert built(store).version != built(store, **changes).version
    assert len(store.versions()) == 2


@pytest.mark.parametrize(
    "organisations", [[], ORGANISATIONS[3:]], ids=["none", "withdrawn ones alone"]
)
def test_an_empty_index_is_refused(store: EmbeddedStore, organisations: list[Organisation]) -> None:
    with pytest.raises(IndexProblem, match=r"v2\.9 has no organisation"):
        built(store, organisations=organisations)
    assert store.versions() == []


class FailingEncoder(HashingEncoder):
    """Fails at the second batch, as a model out of memory does."""

    calls = 0

    def encode_documents(self, texts):  # type: ignore[no-untyped-def]
        self.calls += 1
        if self.calls == 2:
            raise MemoryError("out of memory")
        return super().encode_documents(texts)


def test_a_failed_build_changes_nothing(store: EmbeddedStore, tmp_path: Path) -> None:
    first = built(store)
    store.activate(first.version)
    with pytest.raises(MemoryError):
        built(store, encoder=FailingEncoder(name="failing"), batch=2)
    assert store.active() == first
    assert store.versions() == [first]
    assert [path.name for path in (tmp_path / "index" / "versions").iterdir()] == [first.version]


def test_a_write_that_fails_ends_the_build(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def add(_writer: EmbeddedWriter, points: Sequence[Point]) -> None:
        written.append(len(points))
        raise IndexProblem("not written")

    monkeypatch.setattr(EmbeddedWriter, "add", add)
    with pytest.raises(IndexProblem, match="not written"):
        built(store, batch=1)
    assert (written, store.versions()) == ([1], [])


def test_a_batch_is_made_while_the_one_before_is_written(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Semaphore(0)
    write = EmbeddedWriter.add

    class Encoder(HashingEncoder):
        def encode_documents(self, texts):  # type: ignore[no-untyped-def]
            made.release()
            return super().encode_documents(texts)

    def add(writer: EmbeddedWriter, points: Sequence[Point]) -> None:
        # This batch and the next one, but for the last.
        assert len(points) < 2 or (made.acquire(timeout=30) and made.acquire(timeout=30))
        made.release()
        write(writer, points)

    monkeypatch.setattr(EmbeddedWriter, "add", add)
    assert built(store, encoder=Encoder(), batch=2).points == 5


def test_the_garbage_collector_is_on_again_after_a_build(store: EmbeddedStore) -> None:
    was_on: list[bool] = []
    built(store, progress=lambda _done, _total: was_on.append(gc.isenabled()))
    with pytest.raises(IndexProblem):
        built(store, organisations=[], force=True)
    assert (set(was_on), gc.isenabled()) == ({False}, True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"form": FORM + 1}, f"document form {FORM + 1}, {FORM} is in use"),
        ({"encoder": "e5"}, "encoder e5, character-hashing is in use"),
        ({"encoder_fingerprint": "old"}, "encoder fingerprint old, character-hashing-64"),
        ({"dimension": 32}, "encoder dimension 32, 64"),
        ({"release": "v2.8"}, "release v2.8, v2.9"),
    ],
    ids=["form", "encoder", "fingerprint", "dimension", "release"],
)
def test_an_index_of_something_else_is_refused(
    store: EmbeddedStore, changes: dict[str, object], says: str
) -> None:
    stale = dataclasses.replace(built(store), **changes)  # type: ignore[arg-type]
    with pytest.raises(IndexMismatch, match=f"{says}.*run: resolver index build"):
        require_fresh(stale, encoder=HashingEncoder(), release="v2.9")


@pytest.mark.parametrize("release", ["v2.9", None], ids=["this release", "any release"])
def test_an_index_that_fits(store: EmbeddedStore, release: str | None) -> None:
    require_fresh(built(store), encoder=HashingEncoder(), release=release)
