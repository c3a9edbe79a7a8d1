"""What is particular to a server: one that is down, slow, broken or locked; retries; waiting.

The servers here are real HTTP servers that answer as a Qdrant in trouble does.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from index_points import manifest_of, statistics_of
from qdrant_client import QdrantClient
from searching import search

from resolver.errors import IndexMissing, IndexProblem, IndexUnavailable
from resolver.index import Manifest, Point
from resolver.index.server import ServerIndex, ServerStore, ServerWriter, connect
from resolver.indexing import prune

Publish = Callable[..., Manifest]
Answer = tuple[int, dict[str, object], float]
"""HTTP status, body, seconds before it comes."""

pytestmark = pytest.mark.filterwarnings("ignore:Local mode performs exact")

OK: Answer = (200, {"result": {"operation_id": 1, "status": "completed"}, "status": "ok"}, 0)
KEY = "a-secret-key"


class Server:
    """Gives "METHOD /path", or else "*", the answers listed for it, the last one for good."""

    def __init__(self, answers: dict[str, list[Answer]]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str]] = []
        self.keys: set[str | None] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.partition("?")[0]
                outer.requests.append((self.command, path))
                outer.keys.add(self.headers.get("api-key"))
                request = f"{self.command} {path}"
                left = outer.answers[request if request in outer.answers else "*"]
                status, body, delay = left.pop(0) if len(left) > 1 else left[0]
                time.sleep(delay)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    @contextmanager
    def running(self) -> Iterator[Server]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


@contextmanager
def serving(answers: dict[str, list[Answer]]) -> Iterator[Server]:
    with Server(answers).running() as server:
        yield server


def failure(status: int, message: str = "trouble", delay: float = 0) -> Answer:
    return (status, {"status": {"error": message}, "result": None}, delay)


def store_of(url: str, *, timeout: float = 5) -> ServerStore:
    client = connect(url, timeout=timeout)
    return ServerStore(client, retry_delays=(0.01, 0.01), poll_interval=0.01)


def writer_of(url: str, points: list[Point], *, indexing_timeout: float = 5) -> ServerWriter:
    """A writer on a collection that the server need not have made."""
    store = ServerStore(connect(url, timeout=5), retry_delays=(0.01, 0.01))
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
        (failure(403), IndexUnavailable, "403.*RESOLVER_QDRANT_API_KEY"),
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


def test_the_key_is_sent_and_never_told(points: list[Point]) -> None:
    with serving({"*": [failure(500)]}) as server:
        with pytest.warns(UserWarning, match="insecure connection"):
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


def collection(status: str, *, optimiser: object = "ok", indexed: int = 0) -> Answer:
    """What Qdrant says of a collection."""
    result = {
        "status": status,
        "optimizer_status": optimiser,
        "indexed_vectors_count": indexed,
        "points_count": 14,
        "segments_count": 1,
        "config": {
            "params": {"vectors": {"dense": {"size": 64, "distance": "Dot"}}},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
        },
        "payload_schema": {},
    }
    return (200, {"result": result, "status": "ok", "time": 0.0}, 0)


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ([collection("yellow")], "still indexing organisations-v1 after 0 s"),
        ([collection("red")], "could not index organisations-v1"),
        (
            [collection("yellow", optimiser={"error": "no space left"})],
            "could not index organisations-v1: .*no space left",
        ),
        # All goes well, except that metadata was not kept.
        (
            [collection("green"), collection("yellow"), collection("green")],
            "use Qdrant 1.16 or newer",
        ),
    ],
    ids=["too slow", "red", "optimiser failed", "before 1.16"],
)
def test_an_index_that_does_not_become_ready(
    points: list[Point], states: list[Answer], says: str
) -> None:
    done: Answer = (200, {"result": True, "status": "ok", "time": 0.0}, 0)
    count: Answer = (200, {"result": {"count": len(points)}, "status": "ok", "time": 0.0}, 0)
    answers = {
        "PUT /collections/organisations-v1/points": [OK],
        "POST /collections/organisations-v1/points/count": [count],
        "PATCH /collections/organisations-v1": [done],
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
    ours = ServerStore(client, poll_interval=0.001)
    theirs = ServerStore(client, alias="organisations-test", poll_interval=0.001)
    first = publish(ours, "v1", points)
    second = publish(theirs, "v1", points[:3])
    assert ours.versions() == [first]
    assert theirs.versions() == [second]


def test_a_collection_that_lost_points_is_refused(points: list[Point], publish: Publish) -> None:
    client = QdrantClient(":memory:")
    store = ServerStore(client, poll_interval=0.001)
    publish(store, "v1", points)
    from qdrant_client import models

    (some, _) = client.scroll("organisations", limit=3)
    client.delete("organisations", models.PointIdsList(points=[point.id for point in some]))
    with pytest.raises(IndexProblem, match="has 11 points, 14 were built"):
        store.open()


def test_threads_in_a_loop_see_one_version_at_a_time(points: list[Point], publish: Publish) -> None:
    """While versions are derived and switched to."""
    client = QdrantClient(":memory:")
    store = ServerStore(client, poll_interval=0.001)

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
    store = ServerStore(client, poll_interval=0.001)
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
    store = ServerStore(client, poll_interval=0.001)
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
