"""What every index store does, whichever Qdrant is behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from support.hashing_encoder import HashingEncoder
from support.index_points import NAMES, documents_of, manifest_of, points_of, statistics_of
from support.searching import search
from support.stored_points import stored

from resolver.encoder import DenseVectors
from resolver.encoder.lexical import SparseVector, query_vector
from resolver.errors import IndexMissing, IndexProblem
from resolver.index import IndexStore, Manifest, Point
from resolver.index.payload import point_id
from resolver.registry.document import Document
from resolver.registry.organisation import OrganisationStatus

Publish = Callable[..., Manifest]

# Width of a graph search means nothing to the client's own memory.
pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact")

EMPTY = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))
AFFILIATION = "University Hospital of Oslo, Norway"


def dense(text: str) -> DenseVectors:
    return HashingEncoder().encode_queries([text])[0]


def sparse_product(left: SparseVector, right: SparseVector) -> float:
    values = dict(zip(left.indices.tolist(), left.values.tolist(), strict=True))
    pairs = zip(right.indices.tolist(), right.values.tolist(), strict=True)
    return sum(values.get(index, 0.0) * value for index, value in pairs)


def test_nothing_is_there_at_first(store: IndexStore) -> None:
    assert store.versions() == []
    assert store.active() is None
    with pytest.raises(IndexMissing, match="resolver index build"):
        store.open()


def test_a_published_version_is_read_back(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    manifest = publish(store, "v1", points)
    assert store.active() == manifest
    assert store.versions() == [manifest]
    index = store.open()
    assert index.manifest == manifest
    assert index.count() == len(points)
    index.close()


def test_every_name_finds_itself_first(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    index = store.open()
    by_sparse = search(index, [query_vector(name) for name in NAMES], limit=1)
    by_dense = search(index, [dense(name) for name in NAMES], limit=1)
    index.close()
    assert [hits[0].document.name for hits in by_sparse] == list(NAMES)
    assert [hits[0].document.name for hits in by_dense] == list(NAMES)


def test_scores_are_dot_products_best_first(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    index = store.open()
    by_dense, away, by_sparse = search(
        index,
        [dense(AFFILIATION), -dense(AFFILIATION), query_vector(AFFILIATION)],
        limit=len(points),
    )
    index.close()

    expected = {p.document.name: float(p.dense @ dense(AFFILIATION)) for p in points}
    assert {h.document.name: h.score for h in by_dense} == pytest.approx(expected, abs=1e-5)
    assert {h.document.name: -h.score for h in away} == pytest.approx(expected, abs=1e-5)
    expected = {
        p.document.name: sparse_product(p.sparse, query_vector(AFFILIATION)) for p in points
    }
    # Without a common term there is no hit.
    expected = {name: score for name, score in expected.items() if score > 0}
    assert len(expected) >= 3
    assert {h.document.name: h.score for h in by_sparse} == pytest.approx(expected, abs=1e-5)
    for hits in (by_dense, away, by_sparse):
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)


def test_answers_keep_the_order_of_the_queries(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    queries = [query_vector("Bergen"), dense("ETH Zürich"), EMPTY, query_vector("北京大学")]
    index = store.open()
    together = search(index, queries, limit=1)
    apart = [search(index, [query], limit=1)[0] for query in queries]
    none = search(index, [], limit=1)
    index.close()
    assert [[hit.document.name for hit in hits] for hits in together] == [
        ["University of Bergen"],
        ["ETH Zürich"],
        [],
        ["北京大学"],
    ]
    assert together == apart
    assert none == []


@pytest.mark.parametrize("limit", [1, 5, 1000])
def test_limit(store: IndexStore, points: list[Point], publish: Publish, limit: int) -> None:
    publish(store, "v1", points)
    index = store.open()
    (hits,) = search(index, [dense("Oslo")], limit=limit)
    index.close()
    assert len(hits) == min(limit, len(points))


def test_equal_scores_come_in_order_of_the_organisation(
    store: IndexStore, publish: Publish
) -> None:
    points = points_of(documents_of(["Institute of Physics"] * 20))
    publish(store, "v1", points)
    index = store.open()
    found = search(index, [query_vector("physics"), dense("Institute of Physics")], limit=20)
    index.close()
    for hits in found:
        ids = [hit.document.ror_id for hit in hits]
        assert len(ids) == 20
        assert ids == sorted(ids)


def test_results_tell_names_and_organisations_apart(store: IndexStore, publish: Publish) -> None:
    bonn, oslo = documents_of(["University of Bonn", "University of Oslo"])
    alias = dataclasses.replace(bonn, name="Uni Bonn")
    publish(store, "v1", points_of([alias, oslo, bonn]))
    index = store.open()
    # Twice: the second time from what is kept.
    for _ in range(2):
        (found,) = index.search([dense("University of Bonn")], limit=10)
        documents = index.documents(found.names.tolist())
        assert sorted(document.name for document in documents.values()) == sorted(
            document.name for document in (alias, bonn, oslo)
        )
        bearers = [documents[name].ror_id for name in found.names.tolist()]
        assert [int(ror_id, 36) for ror_id in bearers] == found.organisations.tolist()
    assert index.documents([]) == {}
    index.close()
    with pytest.raises(IndexProblem, match="closed"):
        index.documents(found.names.tolist())


@pytest.mark.parametrize("ror_id", ["", "05A28RW58", "05a28rw5", "05a28rw588", "05a28-w58"])
def test_a_point_of_no_ror_id_is_refused(store: IndexStore, ror_id: str) -> None:
    (point,) = points_of(documents_of(["ETH Zürich"]))
    wrong = dataclasses.replace(point, document=dataclasses.replace(point.document, ror_id=ror_id))
    with (
        pytest.raises(IndexProblem, match=r"ETH Zürich.*not a ROR id"),
        store.create(manifest_of("v1", [wrong])) as writer,
    ):
        writer.add([wrong])


@pytest.mark.parametrize(
    ("query", "limit", "error", "says"),
    [
        (np.zeros(63, np.float32), 1, IndexProblem, r"query 1: .*\(63,\)"),
        (np.zeros((1, 64), np.float32), 1, IndexProblem, r"query 1: .*\(1, 64\)"),
        (np.full(64, np.nan, np.float32), 1, IndexProblem, "query 1: .*not finite"),
        (EMPTY, 0, ValueError, "limit"),
    ],
    ids=["dimension", "rank", "nan", "limit"],
)
def test_a_query_that_does_not_fit_is_refused(
    store: IndexStore,
    points: list[Point],
    publish: Publish,
    query: DenseVectors,
    limit: int,
    error: type[Exception],
    says: str,
) -> None:
    publish(store, "v1", points)
    index = store.open()
    with pytest.raises(error, match=says):
        search(index, [query_vector("Oslo"), query], limit=limit)
    index.close()


def test_a_point_that_does_not_fit_is_refused_by_name(
    store: IndexStore, points: list[Point]
) -> None:
    wrong = dataclasses.replace(points[3], dense=np.zeros(32, np.float32))
    with (
        pytest.raises(IndexProblem, match=r"ETH Zürich.*\(32,\)"),
        store.create(manifest_of("v1", points)) as writer,
    ):
        writer.add([*points[:3], wrong])
    assert store.versions() == []


def test_a_closed_index_is_refused(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    index = store.open()
    index.close()
    index.close()
    with pytest.raises(IndexProblem, match="closed"):
        search(index, [query_vector("Oslo")], limit=1)


@pytest.mark.parametrize(
    "document",
    [
        Document("012345678", "Plain", "Plain", False, None, None, None, None),
        Document(
            "012345678",
            "ETHZ",
            "ETH Zürich",
            True,
            "Zürich",
            "Zürich (canton)",
            "CH",
            "Switzerland",
            ("education", "funder"),
            OrganisationStatus.INACTIVE,
            namesakes=3,
            parents=("011111111",),
            successors=("022222222", "033333333"),
            relatives=("044444444",),
            identifiers=("domain:ethz.ch", "ror:012345678"),
        ),
        Document("012345678", "", "", False, "", None, "", None, ("other",)),
        *documents_of(NAMES),
        Document("012345678", "a\u0000b \U0001f9ec \ufffd ‏‎", "«ñ»", False, None, None, None, None),
    ],
    ids=lambda document: document.name.replace("\0", "NUL") or "empty",
)
def test_a_document_comes_back_as_it_was(
    store: IndexStore, publish: Publish, document: Document
) -> None:
    (point,) = points_of([document])
    publish(store, "v1", [point])
    index = store.open()
    ((hit,),) = search(index, [point.dense], limit=1)
    index.close()
    assert hit.document == document


def test_organisations_come_by_their_display_names(store: IndexStore, publish: Publish) -> None:
    bonn, oslo = documents_of(["Uni Bonn", "University of Oslo"])
    alias = dataclasses.replace(bonn, name="Rheinische Friedrich-Wilhelms-Universität")
    publish(store, "v1", points_of([alias, bonn, oslo]))
    index = store.open()
    asked = [bonn.ror_id, oslo.ror_id, "099999999"]
    # Twice: the second time from what is kept.
    assert index.organisations(asked) == {bonn.ror_id: bonn, oslo.ror_id: oslo}
    assert index.organisations(asked[:1]) == {bonn.ror_id: bonn}
    assert index.organisations([]) == {}
    index.close()
    with pytest.raises(IndexProblem, match="closed"):
        index.organisations(asked)


def test_the_same_name_of_the_same_organisation_replaces(
    store: IndexStore, points: list[Point]
) -> None:
    moved = [
        dataclasses.replace(point, document=dataclasses.replace(point.document, city="Elsewhere"))
        for point in points
    ]
    with store.create(manifest_of("v1", points)) as writer:
        writer.add(points)
        writer.add(moved)
        writer.finish()
    store.activate("v1")
    index = store.open()
    assert index.count() == len(points)
    (hits,) = search(index, [dense("Oslo")], limit=100)
    index.close()
    assert {hit.document.city for hit in hits} == {"Elsewhere"}


def test_the_same_name_of_two_organisations_stays_two(store: IndexStore, publish: Publish) -> None:
    publish(store, "v1", points_of(documents_of(["Ministry of Health", "Ministry of Health"])))
    index = store.open()
    assert index.count() == 2
    index.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"points": 15}, "14 points written, 15 expected"),
        ({"points": 13}, "14 points written, 13 expected"),
        ({"organisations": 15}, "14 organisations written, 15 expected"),
    ],
    ids=["too few points", "too many points", "organisations"],
)
def test_a_wrong_count_is_refused(
    store: IndexStore, points: list[Point], changes: dict[str, int], says: str
) -> None:
    with store.create(manifest_of("v1", points, **changes)) as writer:
        writer.add(points)
        with pytest.raises(IndexProblem, match=says):
            writer.finish()
    assert store.versions() == []
    with pytest.raises(IndexProblem, match="v1"):
        store.activate("v1")


def test_an_unfinished_version_is_invisible_and_replaced(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    with store.create(manifest_of("v2", points)) as writer:
        writer.add(points[:5])
        assert [manifest.version for manifest in store.versions()] == ["v1"]
        with pytest.raises(IndexProblem, match="v2"):
            store.activate("v2")
    with pytest.raises(RuntimeError, match="the encoder broke"):
        _fill_and_fail(store, points)
    assert [manifest.version for manifest in store.versions()] == ["v1"]
    # Nothing of the two attempts is left in the third.
    publish(store, "v2", points[5:8])
    index = store.open()
    assert index.count() == 3
    index.close()


def _fill_and_fail(store: IndexStore, points: list[Point]) -> None:
    with store.create(manifest_of("v2", points)) as writer:
        writer.add(points[:5])
        raise RuntimeError("the encoder broke")


def test_a_complete_version_is_not_overwritten(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    with pytest.raises(IndexProblem, match="v1 exists already"):
        store.create(manifest_of("v1", points))
    assert store.open().count() == len(points)


def test_a_reader_stays_with_its_version(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points[:3])
    before = store.open()
    publish(store, "v2", points[3:])
    after = store.open()
    found = [
        {hit.document.name for hit in search(index, [dense("university")], limit=100)[0]}
        for index in (before, after)
    ]
    assert found == [set(NAMES[:3]), set(NAMES[3:])]
    assert [before.manifest.version, after.manifest.version] == ["v1", "v2"]
    before.close()
    after.close()
    store.activate("v1")
    assert store.active() == before.manifest


def test_a_version_is_opened_by_its_name(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points[:3])
    publish(store, "v2", points)
    index = store.open("v1")
    assert (index.manifest.version, index.count()) == ("v1", 3)
    index.close()
    with pytest.raises(IndexMissing, match=r"v3.*there is: v1, v2"):
        store.open("v3")


def derive(
    store: IndexStore, version: str, base: str, *, removed: list[Point], added: list[Point]
) -> Manifest:
    """A version from another one, its counts as they ought to be."""
    begun = next(manifest for manifest in store.versions() if manifest.version == base)
    manifest = dataclasses.replace(
        begun,
        version=version,
        derived_from=base,
        points=begun.points + len(added) - len(removed),
        organisations=begun.organisations + len(added) - len(removed),
    )
    with store.create(manifest, base=base) as writer:
        writer.remove([point.document for point in removed])
        writer.add(added)
        writer.finish()
    return manifest


def test_a_derived_version_begins_with_the_points_of_its_base(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points[:10])
    publish(store, "expected", points[3:])
    before = store.open("v1")
    made = derive(store, "v2", "v1", removed=points[:3], added=points[10:])
    assert [m for m in store.versions() if m.version == "v2"] == [made]
    # A derived version of a derived one.
    derive(store, "v3", "v2", removed=points[3:5], added=points[:1])
    assert before.count() == 10
    before.close()
    assert stored(store, "v2") == stored(store, "expected")
    assert len(stored(store, "v3")) == 10
    publish(store, "again", points[:10])
    assert stored(store, "v1") == stored(store, "again")
    # It stands alone.
    store.drop("v1")
    index = store.open("v2")
    found = search(index, [query_vector(name) for name in NAMES[3:]], limit=1)
    index.close()
    assert [hits[0].document.name for hits in found] == list(NAMES[3:])


def test_documents_are_rewritten_and_vectors_stay(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    told = [
        dataclasses.replace(point.document, namesakes=7 - i) for i, point in enumerate(points[:7])
    ]
    manifest = dataclasses.replace(manifest_of("v2", points), derived_from="v1")
    ids = [point_id(document) for document in told]
    with store.create(manifest, base="v1") as writer:
        assert writer.held([*ids, point_id(dataclasses.replace(told[0], ror_id="099999999"))]) == {
            point_id(point.document): point.document for point in points[:7]
        }
        assert writer.held([]) == {}
        writer.rewrite(told)
        writer.rewrite([])
        assert writer.held(ids) == dict(zip(ids, told, strict=True))
        writer.finish()
    rewritten = [
        dataclasses.replace(point, document=document)
        for point, document in zip(points, told, strict=False)
    ]
    publish(store, "expected", rewritten + points[7:])
    assert stored(store, "v2") == stored(store, "expected")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"organisations": 11}, "11 points written, 14 expected"),
        ({"points": 11}, "11 organisations written, 14 expected"),
        ({"points": 11, "organisations": 11}, None),
    ],
    ids=["points", "organisations", "both as promised"],
)
def test_what_is_derived_is_counted(
    store: IndexStore,
    points: list[Point],
    publish: Publish,
    changes: dict[str, int],
    says: str | None,
) -> None:
    publish(store, "v1", points)
    gone = [point.document for point in points[:3]]
    with store.create(manifest_of("v2", points, **changes), base="v1") as writer:
        writer.remove(gone)
        writer.remove(gone)
        writer.add(points[3:5])
        if says is None:
            writer.finish()
        else:
            with pytest.raises(IndexProblem, match=says):
                writer.finish()
    assert len(store.versions()) == (2 if says is None else 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"encoder_fingerprint": "other"}, "encoder fingerprint character-hashing-64"),
        ({"form": 1}, "form"),
        ({"statistics": "0123456789abcdef"}, "statistics none"),
    ],
    ids=["encoder", "form", "statistics"],
)
def test_a_base_of_another_make_is_refused(
    store: IndexStore,
    points: list[Point],
    publish: Publish,
    changes: dict[str, object],
    says: str,
) -> None:
    publish(store, "v1", points)
    with pytest.raises(IndexProblem, match=f"v1 has.*{says}.*build --full"):
        store.create(manifest_of("v2", points, **changes), base="v1")
    with pytest.raises(IndexMissing, match="there is: v1"):
        store.create(manifest_of("v2", points), base="v0")
    assert [manifest.version for manifest in store.versions()] == ["v1"]


def test_statistics_are_kept_with_their_version(store: IndexStore, points: list[Point]) -> None:
    statistics = statistics_of([point.document for point in points])
    manifest = manifest_of("v1", points, statistics=statistics.fingerprint)
    for wrong in (None, statistics_of([points[0].document])):
        with pytest.raises(ValueError, match=f"v1 is to have the statistics {manifest.statistics}"):
            store.create(manifest, wrong)
    with store.create(manifest, statistics) as writer:
        writer.add(points)
        writer.finish()
    derive(store, "v2", "v1", removed=points[:1], added=[])
    for version in ("v1", "v2"):
        found = store.statistics(version)
        assert found.fingerprint == statistics.fingerprint
        assert found.vectors([points[3].document])[0].values.tolist() == (
            points[3].sparse.values.tolist()
        )
    store.drop("v1")
    assert store.statistics("v2").fingerprint == statistics.fingerprint
    with pytest.raises(IndexMissing, match="there is: v2"):
        store.statistics("v1")


def test_a_version_without_statistics(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    publish(store, "v1", points)
    with pytest.raises(IndexProblem, match=r"v1 keeps no statistics.*build --full"):
        store.statistics("v1")


def test_drop(store: IndexStore, points: list[Point], publish: Publish) -> None:
    publish(store, "v1", points)
    second = publish(store, "v2", points)
    with pytest.raises(IndexProblem, match="v2 is active"):
        store.drop("v2")
    store.drop("v1")
    assert store.versions() == [second]
    with pytest.raises(IndexProblem, match="there is: v2"):
        store.drop("v1")
    with pytest.raises(IndexProblem, match="there is: v2"):
        store.activate("v1")


def test_versions_come_oldest_first(
    store: IndexStore, points: list[Point], publish: Publish
) -> None:
    for version, day in (("b", "02"), ("c", "01"), ("a", "03")):
        publish(store, version, points[:1], built_at=f"2026-01-{day}T00:00:00+00:00")
    assert [manifest.version for manifest in store.versions()] == ["c", "b", "a"]


@pytest.mark.parametrize("version", ["", ".", "..", "../v1", ".hidden", "a b", "v1\n", "ü"])
def test_a_version_must_be_a_plain_name(
    store: IndexStore, points: list[Point], version: str
) -> None:
    with pytest.raises(IndexProblem, match="cannot name an index version"):
        store.create(manifest_of(version, points))
    with pytest.raises(IndexProblem, match="cannot name an index version"):
        store.drop(version)
