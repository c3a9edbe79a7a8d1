"""A collection that the server copies itself, or the client where the server does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.copying_client import CopyingClient
from support.index_points import manifest_of
from support.searches_in_memory import store_in_memory
from support.stored_points import stored

from resolver.errors import IndexUnavailable
from resolver.index import Manifest, Point
from resolver.index.server import ServerStore

Publish = Callable[..., Manifest]
BY_ITSELF = ["cluster_status", "create_snapshot", "recover_snapshot", "delete_snapshot"]


def store_of(client: CopyingClient) -> ServerStore:
    return store_in_memory(client, retry_delays=(), poll_interval=0.001, seen_within=0)


def derived(store: ServerStore, points: list[Point]) -> None:
    """v2 from v1: three points less, one moved."""
    manifest = replace(manifest_of("v2", points[3:]), derived_from="v1")
    moved = replace(points[4], document=replace(points[4].document, city="Elsewhere"))
    with store.create(manifest, base="v1") as writer:
        writer.remove([point.document for point in points[:3]])
        writer.add([moved])
        writer.finish()
    expected = [moved if point is points[4] else point for point in points[3:]]
    with store.create(manifest_of("expected", expected)) as writer:
        writer.add(expected)
        writer.finish()


def test_the_server_copies_it_itself(
    points: list[Point], publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = CopyingClient()
    store = store_of(client)
    base = publish(store, "v1", points)
    before = stored(store, "v1")
    seen: list[list[Manifest]] = []
    recover = client.recover_snapshot

    def recovered(*given: Any, **named: Any) -> bool:
        done = recover(*given, **named)
        # It has the manifest of its base by now, under another name.
        seen.append(store.versions())
        return done

    monkeypatch.setattr(client, "recover_snapshot", recovered)
    derived(store, points)
    assert client.asked == BY_ITSELF
    assert seen == [[base]]
    assert client.left == {}
    assert stored(store, "v2") == stored(store, "expected")
    assert stored(store, "v1") == before
    assert [manifest.version for manifest in store.versions()] == ["expected", "v1", "v2"]


@pytest.mark.parametrize("call", BY_ITSELF)
@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_what_the_server_refuses_is_copied_by_the_client(
    points: list[Point], publish: Publish, call: str, status: int
) -> None:
    client = CopyingClient(refused=call, status=status)
    store = store_of(client)
    publish(store, "v1", points)
    derived(store, points)
    assert client.asked[: BY_ITSELF.index(call) + 1] == BY_ITSELF[: BY_ITSELF.index(call) + 1]
    assert stored(store, "v2") == stored(store, "expected")


@pytest.mark.parametrize("call", BY_ITSELF)
@pytest.mark.parametrize("status", [0, 504])
def test_a_copy_that_may_still_be_under_way_is_an_error(
    points: list[Point], publish: Publish, call: str, status: int
) -> None:
    client = CopyingClient(refused=call, status=status)
    store = store_of(client)
    base = publish(store, "v1", points)
    with pytest.raises(IndexUnavailable):
        derived(store, points)
    assert store.versions() == [base]


def test_several_nodes_are_copied_by_the_client(points: list[Point], publish: Publish) -> None:
    client = CopyingClient(nodes=3)
    store = store_of(client)
    publish(store, "v1", points)
    derived(store, points)
    assert client.asked == ["cluster_status"]
    assert stored(store, "v2") == stored(store, "expected")
