"""What is particular to a server: one that is down, slow, broken or locked; retries; waiting.

The servers here are real HTTP servers that answer as a Qdrant in trouble does.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import QdrantClient
from support.http_server import OK, Answer, answer, collection, failure, serving, version
from support.index_points import manifest_of, statistics_of
from support.lagging_client import LaggingClient
from support.searches_in_memory import store_in_memory
from support.searching import search

from resolver.errors import IndexMissing, IndexProblem, IndexUnavailable
from resolver.index import Manifest, Point
from resolver.index.build import prune
from resolver.index.payload import payload, point_id
from resolver.index.qdrant import connect
from resolver.index.server import ServerIndex, ServerStore, ServerWriter

Publish = Callable[..., Manifest]
pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact")

KEY = "a-secret-key"


def store_of(url: str, *, timeout: float = 5) -> ServerStore:
    client = connect(url, timeout=timeout)
    return ServerStore(client, retry_delays=(0.01, 0.01), poll_interval=0.01, seen_within=0)


def writer_of(url: str, points: list[Point], *, indexing_timeout: float = 5) -> ServerWriter:
    """A writer on a collection that the server need not have made."""
    store = store_of(url)
    return ServerWriter(
        store._server,
        "organisations-v1",
        manifest_of("v1", points),
        alias="organisations",
        indexing_timeout=indexing_timeout,
        poll_interval=0.01,
    )


def index_of(url: str, points: list[Point], *, timeout: float = 5) -> ServerIndex:
    store = store_of(url, timeout=timeout)
    return ServerIndex(store._server, "organisations-v1", manifest_of("v1", points))


def test_a_server_that_is_down(points: list[Point]) -> None:
    with serving({"*": [OK]}) as server:
        url = server.url
    for call in (
        store_of(url).versions,
        store_of(url).active,
        store_of(url).open,
        lambda: index_of(url, points).search([points[0].dense], limit=1),
    ):
        with pytest.raises(IndexUnavailable, match=rf"{url}.*RESOLVER_QDRANT_URL"):
            call()


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (failure(500, "disk is full"), IndexUnavailable, "answered 500 .*disk is full"),
        (failure(400, "Wrong input"), IndexUnavailable, "answered 400 .*Wrong input"),
        (failure(401), IndexUnavailable, "401.*RESOLVER_QDRANT_API_KEY"),
        (failure(403), IndexUnavailable, "403.*full key.*read-only one is enough to answer"),
        (failure(404), IndexMissing, "404.*open the index again"),
        (failure(429), IndexUnavailable, "overloaded.*try again in 1 s"),
        (failure(200, delay=1.5), IndexUnavailable, "does not answer .*timed out"),
        ((200, {"result": "nonsense"}, 0), IndexUnavailable, "is not Qdrant"),
    ],
    ids=["500", "400", "401", "403", "404", "429", "too slow", "not qdrant"],
)
def test_a_failed_search_is_never_an_empty_answer(
    points: list[Point], answer: Answer, error: type[IndexProblem], says: str
) -> None:
    with serving({"*": [answer]}) as server:
        index = index_of(server.url, points, timeout=1)
        with pytest.raises(error, match=f"(?s){says}") as raised:
            index.search([points[0].dense], limit=1)
        assert type(raised.value) is error
        assert server.url in str(raised.value)


@pytest.mark.parametrize(
    "result",
    [
        [],
        [{"points": []}, {"points": []}],
        [[]],
        [{"points": [{"score": 0.5}]}],
        [{"points": [{"id": 7, "score": 0.5}]}],
        [{"points": [{"id": "no uuid", "score": 0.5}]}],
        None,
    ],
)
def test_an_answer_that_no_qdrant_gives_is_told(points: list[Point], result: object) -> None:
    with (
        serving({"*": [answer(result)]}) as server,
        pytest.raises(IndexUnavailable, match="is not Qdrant"),
    ):
        index_of(server.url, points).search([points[0].dense], limit=1)


def test_the_key_goes_with_searches_too(points: list[Point]) -> None:
    found = {"points": [{"id": str(point_id(points[0].document)), "score": 0.5, "version": 3}]}
    answers = {
        "POST /collections/organisations-v1/points/query/batch": [answer([found])],
        "POST /collections/organisations-v1/points": [
            answer([{"id": found["points"][0]["id"], "payload": payload(points[0].document)}])
        ],
    }
    with serving(answers) as server, ServerStore(connect(server.url, api_key=KEY)) as store:
        index = ServerIndex(store._server, "organisations-v1", manifest_of("v1", points))
        ((hit,),) = search(index, [points[0].dense], limit=1)
        assert hit == (points[0].document, 0.5)
        assert server.keys == {KEY}


def test_the_key_is_sent_and_never_told(points: list[Point]) -> None:
    with serving({"*": [failure(500)]}) as server:
        client = connect(server.url, api_key=KEY)
        with pytest.raises(IndexUnavailable) as raised:
            ServerStore(client).versions()
        assert server.keys == {KEY}
    assert KEY not in str(raised.value)


def test_credentials_in_the_url_are_not_told() -> None:
    with pytest.raises(IndexUnavailable) as raised:
        store_of("http://someone:hunter2@127.0.0.1:1").versions()
    assert "hunter2" not in str(raised.value)
    assert "http://127.0.0.1:1" in str(raised.value)


@pytest.mark.parametrize("url", ["http://a:b:c", "ftp://host", "http://"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(IndexProblem, match="RESOLVER_QDRANT_URL"):
        store_of(url).versions()


def test_a_client_is_made_without_asking_the_server() -> None:
    with serving({"*": [failure(500)]}) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        store_of(server.url)
        time.sleep(0.1)
        assert server.requests == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_write_is_tried_again(points: list[Point], status: int) -> None:
    with serving({"*": [failure(status), failure(status), OK]}) as server:
        writer_of(server.url, points).add(points)
        assert server.requests == [("PUT", "/collections/organisations-v1/points")] * 3


@pytest.mark.parametrize(
    ("status", "tries"), [(503, 3), (400, 1), (401, 1)], ids=["bounded", "refused", "locked"]
)
def test_a_write_is_not_tried_for_ever(points: list[Point], status: int, tries: int) -> None:
    with serving({"*": [failure(status)]}) as server:
        with pytest.raises(IndexUnavailable, match=str(status)):
            writer_of(server.url, points).add(points)
        assert len(server.requests) == tries


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ([collection("yellow")], "still indexing organisations-v1 after 0 s"),
        ([collection("red")], "could not index organisations-v1"),
        (
            [collection("yellow", optimiser={"error": "no space left"})],
            "could not index organisations-v1: .*no space left",
        ),
        # All goes well, except that metadata is not seen.
        (
            [collection("green"), collection("yellow"), collection("green")],
            "does not show it after 0 s: the manifest of organisations-v1 .*all of its nodes",
        ),
    ],
    ids=["too slow", "red", "optimiser failed", "no metadata"],
)
def test_an_index_that_does_not_become_ready(
    points: list[Point], states: list[Answer], says: str
) -> None:
    answers = {
        "PUT /collections/organisations-v1/points": [OK],
        "POST /collections/organisations-v1/points/count": [answer({"count": len(points)})],
        "PATCH /collections/organisations-v1": [answer(True)],
        "GET /collections/organisations-v1": states,
    }
    with serving(answers) as server:
        writer = writer_of(server.url, points, indexing_timeout=0.3)
        writer.add(points)
        with pytest.raises(IndexProblem, match=says):
            writer.finish()


def test_waiting_outlasts_a_first_green(points: list[Point]) -> None:
    """A server is green until its optimiser notices that there is work."""
    states = [collection(s) for s in ("green", "yellow", "yellow", "green", "green", "red")]
    with serving({"*": states}) as server:
        writer_of(server.url, points)._wait_until_green()
        assert len(server.requests) == 5


def test_two_aliases_on_one_server_do_not_mix(points: list[Point], publish: Publish) -> None:
    client = QdrantClient(":memory:")
    ours = store_in_memory(client, poll_interval=0.001)
    theirs = store_in_memory(client, alias="organisations-test", poll_interval=0.001)
    first = publish(ours, "v1", points)
    second = publish(theirs, "v1", points[:3])
    assert ours.versions() == [first]
    assert theirs.versions() == [second]


def test_a_collection_that_lost_points_is_refused(points: list[Point], publish: Publish) -> None:
    client = QdrantClient(":memory:")
    store = store_in_memory(client, poll_interval=0.001, seen_within=0)
    publish(store, "v1", points)
    from qdrant_client import models

    (some, _) = client.scroll("organisations", limit=3)
    client.delete("organisations", models.PointIdsList(points=[point.id for point in some]))
    with pytest.raises(IndexProblem, match="has 11 points, 14 were built"):
        store.open()


def test_threads_in_a_loop_see_one_version_at_a_time(points: list[Point], publish: Publish) -> None:
    """While versions are derived and switched to."""
    client = QdrantClient(":memory:")
    store = store_in_memory(client, poll_interval=0.001)

    def lived_in(city: str) -> list[Point]:
        return [replace(p, document=replace(p.document, city=city)) for p in points]

    base = publish(store, "v0", lived_in("v0"))
    seen: dict[int, list[str]] = {0: [], 1: []}
    done = threading.Event()

    def read(reader: int) -> None:
        while not done.is_set():
            index = store.open()
            version = index.manifest.version
            for _ in range(3):
                (hits,) = search(index, [points[0].dense], limit=100)
                assert {hit.document.city for hit in hits} == {version}
                assert len(hits) == len(points)
            if version not in seen[reader][-1:]:
                seen[reader].append(version)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read, reader) for reader in seen]
        try:
            for turn in range(1, 6):
                manifest = replace(base, version=f"v{turn}", built_at=f"2026-01-02T00:00:0{turn}")
                with store.create(manifest, base=f"v{turn - 1}") as writer:
                    moved = lived_in(manifest.version)
                    writer.rewrite([point.document for point in moved[:7]])
                    writer.add(moved[7:])
                    writer.finish()
                store.activate(manifest.version)
                # Nobody knows who reads what on a server: `keep` and `needed` leave time for it.
                prune(store, keep=3)
                time.sleep(0.05)
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert all(versions == sorted(versions) and len(versions) > 2 for versions in seen.values())
    assert [m.version for m in store.versions()] == ["v3", "v4", "v5"]


def test_long_statistics_are_kept_in_parts(
    points: list[Point], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolver.index.server._PART", 100)
    client = QdrantClient(":memory:")
    store = store_in_memory(client, poll_interval=0.001, seen_within=0)
    statistics = statistics_of([point.document for point in points])
    manifest = manifest_of("v1", points, statistics=statistics.fingerprint)
    with store.create(manifest, statistics) as writer:
        writer.add(points)
        writer.finish()
    parts = client.count("organisations.statistics-v1").count
    assert parts > 10
    assert store.statistics("v1").fingerprint == statistics.fingerprint
    client.delete("organisations.statistics-v1", [parts - 1])
    with pytest.raises(IndexProblem, match=r"v1.*resolver index build --full"):
        store.statistics("v1")


def test_nothing_is_left_of_what_is_dropped(points: list[Point], publish: Publish) -> None:
    client = QdrantClient(":memory:")
    store = store_in_memory(client, poll_interval=0.001)
    statistics = statistics_of([point.document for point in points])
    manifest = manifest_of("v1", points, statistics=statistics.fingerprint)
    for _ in range(2):
        with store.create(manifest, statistics) as writer:
            writer.add(points)
    publish(store, "v2", points)
    with store.create(manifest, statistics) as writer:
        writer.add(points)
        writer.finish()
    store.drop("v1")
    assert [c.name for c in client.get_collections().collections] == ["organisations-v2"]


# Which server it is


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("1.18.3", ""),
        ("1.21.0-dev", ""),
        ("v1.20.1", ""),
        ("1.22.0", "client here of 1.20.*upgrade qdrant-client"),
        ("1.17.9", "refused"),
        ("1.16.3", "refused"),
        ("0.11.7", "refused"),
        ("2.0.0", "refused"),
        ("", "refused"),
        ("nonsense", "refused"),
    ],
)
def test_which_servers_are_supported(
    number: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving({"GET /": [version(number)], "*": [answer({"collections": []})]}) as server:
        store = store_of(server.url)
        if says == "refused":
            for call in (store.versions, store.active):
                with pytest.raises(
                    IndexProblem,
                    match=rf"{server.url} is of version {number}.* Qdrant 1.18 or newer, below 2.0",
                ) as raised:
                    call()
                assert not isinstance(raised.value, IndexUnavailable), "nothing that passes"
            assert server.requests == []
            return
        assert store.versions() == []
        assert store.versions() == []
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == bool(says), "not once"
    assert re.search(says, "".join(told))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://qdrant.example.org:6333", True),
        ("http://203.0.114.9:6333", True),
        ("https://qdrant.example.org:6333", False),
        ("http://qdrant:6333", False),
        ("http://localhost:6333", False),
        ("http://127.0.0.1:6333", False),
        ("http://10.0.0.7:6333", False),
        ("http://[::1]:6333", False),
    ],
)
def test_a_key_as_plain_text_is_told_where_it_may_be_overheard(
    url: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        connect(url).close()
        assert not caplog.records
        connect(url, api_key=KEY).close()
    assert ["use https" in record.getMessage() for record in caplog.records] == [True] * told
    assert KEY not in caplog.text


# Several nodes


def test_every_collection_is_one_shard_in_so_many_copies(
    points: list[Point], publish: Publish
) -> None:
    class Recording(QdrantClient):
        def create_collection(self, collection_name: str, **named: Any) -> bool:
            made[collection_name] = named["shard_number"], named["replication_factor"]
            return super().create_collection(collection_name, **named)

    made: dict[str, tuple[int, int]] = {}
    store = store_in_memory(Recording(":memory:"), copies=3, poll_interval=0.001)
    statistics = statistics_of([point.document for point in points])
    manifest = manifest_of("v1", points, statistics=statistics.fingerprint)
    with store.create(manifest, statistics) as writer:
        writer.add(points)
        writer.finish()
    store.create(replace(manifest, version="v2", derived_from="v1"), base="v1").discard()
    assert made == {
        f"organisations{what}-v{number}": (1, 3)
        for what in ("", ".statistics")
        for number in (1, 2)
    }


@pytest.mark.parametrize(
    ("first", "unseen"),
    [
        (("create_collection", "vectors_config"), "the new collection organisations-v2"),
        (("upsert", "wait"), "14 points of v1 that were copied to organisations-v2"),
        (("update_collection", "metadata"), "the manifest of organisations-v2"),
        (("update_collection_aliases", ""), "the alias organisations on organisations-v2"),
        (("delete_collection", ""), "that collection organisations-v2 is deleted"),
    ],
    ids=["create", "copy", "finish", "activate", "drop"],
)
def test_a_write_that_is_never_seen_is_told(
    points: list[Point], publish: Publish, first: tuple[str, str], unseen: str
) -> None:
    """`first` is the first write that does not reach the node that is asked."""
    client: Any = LaggingClient(late=0)
    store = store_in_memory(client, poll_interval=0.001, seen_within=0.2)
    publish(store, "v1", points)
    manifest = replace(manifest_of("v2", points), derived_from="v1")

    def make() -> None:
        with store.create(manifest, base="v1") as writer:
            writer.finish()

    steps = {
        "update_collection_aliases": lambda: store.activate("v2"),
        "delete_collection": lambda: store.drop("v2"),
    }
    if first[0] in steps:
        make()
    client.first_unseen = first
    with pytest.raises(IndexUnavailable, match=rf"not show it after 0.2 s: {unseen} .*its nodes"):
        steps.get(first[0], make)()
    active = store.active()
    assert active is not None
    assert active.version == "v1"


def test_a_version_that_one_was_told_of_is_waited_for(
    points: list[Point], publish: Publish
) -> None:
    """By another process, which wrote to another node."""
    client: Any = LaggingClient(late=3)
    publish(store_in_memory(client.where_it_is_written(), poll_interval=0.001), "v1", points)
    with pytest.raises(IndexMissing, match="no complete index version v1"):
        store_in_memory(client, poll_interval=0.001, seen_within=0).open("v1")
    index = store_in_memory(client, poll_interval=0.001, seen_within=5).open("v1")
    (found,) = search(index, [points[0].dense], limit=100)
    assert len(found) == len(points)
