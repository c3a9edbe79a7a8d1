"""Whoever opens an index closes it: no connection to a Qdrant server is left behind."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from qdrant_client import QdrantClient
from support.http_server import Server, answer, collection
from support.index_points import manifest_of
from support.paths import ROOT
from typer.testing import CliRunner

from resolver.cli import app
from resolver.errors import IndexProblem
from resolver.index import Point, qdrant
from resolver.index.manifest import to_json
from resolver.index.server import ServerStore
from resolver.service.installation import Installation, open_index_store
from resolver.settings import Settings
from resolver.workers import health

OPENERS = {
    "Installation",
    "open_database",
    "open_index_store",
    "open_matcher",
    "open_recall",
    "open_service",
    "open_version",
}
"""Of `resolver.service`."""


@pytest.fixture
def server(points: list[Point]) -> Iterator[Server]:
    """With one version, which is active."""
    whole = collection("green")
    manifest = manifest_of("v1", points)
    config = whole[1]["result"]["config"]  # type: ignore[index]
    config["metadata"] = {"alias": "organisations", "manifest": to_json(manifest)}
    answers = {
        "GET /collections": [answer({"collections": [{"name": "organisations-v1"}]})],
        "GET /collections/organisations-v1": [whole],
        "GET /aliases": [
            answer({
                "aliases": [
                    {"alias_name": "organisations", "collection_name": "organisations-v1"}
                ]
            })
        ],
        "POST /collections/organisations-v1/points/count": [answer({"count": len(points)})],
        "*": [answer(True)],
    }  # fmt: skip
    # Not 127.0.0.1: with that address the client keeps no connection at all.
    with Server(answers, host="127.0.0.2").running() as server:
        yield server


@pytest.fixture
def settings(server: Server, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RESOLVER_QDRANT_URL", server.url)
    return Settings(_env_file=None, qdrant_url=server.url)  # type: ignore[call-arg]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[QdrantClient]:
    """All clients that are made; kept here, so that none is closed by being forgotten."""
    made: list[QdrantClient] = []
    connect = qdrant.connect

    def connecting(*given: object, **named: object) -> QdrantClient:
        made.append(connect(*given, **named))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(qdrant, "connect", connecting)
    return made


def command(*arguments: str, says: str) -> Callable[[Settings], None]:
    def run(settings: Settings) -> None:
        done = CliRunner().invoke(app, arguments)
        assert says in done.output + str(done.exception)

    return run


def opened(settings: Settings) -> None:
    with open_index_store(settings) as store:
        index = store.open()
        assert index.count() == 14


def opened_in_vain(settings: Settings) -> None:
    # Its encoder is another one than the built-in.
    with suppress(IndexProblem), Installation(settings) as installation, installation.open_recall():
        raise AssertionError


def matcher_in_vain(settings: Settings) -> None:
    with (
        suppress(IndexProblem),
        Installation(settings) as installation,
        installation.open_matcher(),
    ):
        raise AssertionError


def looked_at(settings: Settings) -> None:
    assert health.check(settings).index.state


@pytest.mark.parametrize(
    "use",
    [
        opened,
        opened_in_vain,
        matcher_in_vain,
        looked_at,
        command("index", "show", says="v1"),
        command("index", "activate", "v1", says="index v1 is active"),
        command("index", "activate", "v9", says="there is no index version v9"),
    ],
    ids=["store", "recall", "matcher", "status", "show", "activate", "activate in vain"],
)
def test_no_connection_is_left(
    server: Server,
    settings: Settings,
    clients: list[QdrantClient],
    use: Callable[[Settings], None],
) -> None:
    use(settings)
    assert server.requests, "nothing was asked"
    assert clients
    deadline = time.monotonic() + 5
    while server.open and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not server.open


def test_copies_are_those_of_the_settings(settings: Settings) -> None:
    chosen = settings.model_copy(update={"qdrant_copies": 3})
    for given, copies in ((settings, 1), (chosen, 3)):
        with open_index_store(given) as store:
            assert isinstance(store, ServerStore)
            assert store._copies == copies


def test_what_is_closed_says_so(settings: Settings) -> None:
    with open_index_store(settings) as store:
        index = store.open()
    store.close()
    for call in (store.versions, store.active, store.open, index.count):
        with pytest.raises(IndexProblem, match="the index is closed — open it again"):
            call()


def test_a_store_closes_its_client() -> None:
    client = QdrantClient(":memory:")
    with ServerStore(client) as store:
        assert store.versions() == []
    with pytest.raises(RuntimeError, match="closed"):
        client.get_collections()


def opening_calls(path: Path) -> Iterator[tuple[int, bool]]:
    """The line of each call of what opens something, and whether somebody is sure to close it."""
    tree = ast.parse(path.read_text())
    closed = {
        id(call)
        for node in ast.walk(tree)
        for call in (
            [item.context_expr for item in node.items]
            if isinstance(node, ast.With)
            else node.args
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "enter_context"
            else []
        )
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name in OPENERS:
            yield node.lineno, id(node) in closed


@pytest.mark.parametrize("folder", ["resolver", "workers", "benchmarks"])
def test_everything_that_is_opened_is_closed_by_a_block(folder: str) -> None:
    calls = {
        f"{path.relative_to(ROOT)}:{line}": closed
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, closed in opening_calls(path)
    }
    assert calls
    assert not [place for place, closed in calls.items() if not closed]
