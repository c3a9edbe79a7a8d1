from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge

from resolver.errors import SettingsError
from resolver.observing.serving import Serving


@pytest.fixture
def wrong() -> list[str]:
    """What is wrong now; empty when nothing is."""
    return []


@pytest.fixture
def registry() -> CollectorRegistry:
    found = CollectorRegistry()
    Gauge("resolver_test", "A figure", registry=found).set(7)
    return found


@pytest.fixture
def serving(registry: CollectorRegistry, wrong: list[str]) -> Iterator[Serving]:
    served = Serving(registry, lambda: wrong[0] if wrong else None, host="127.0.0.1", port=0)
    yield served
    served.close()


def test_metrics_and_health(serving: Serving, wrong: list[str]) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{serving.port}") as client:
        metrics = client.get("/metrics")
        assert metrics.status_code == 200
        assert "resolver_test 7.0\n" in metrics.text
        assert (client.get("/healthz").status_code, client.get("/healthz").text) == (200, "ok\n")
        wrong.append("no heartbeat for 61 s")
        answer = client.get("/healthz")
        assert (answer.status_code, answer.text) == (503, "no heartbeat for 61 s\n")
        assert client.get("/").status_code == 404
        assert client.get("/metrics").status_code == 200


def test_a_client_that_says_nothing_stops_nobody(serving: Serving) -> None:
    with socket.create_connection(("127.0.0.1", serving.port)):
        assert httpx.get(f"http://127.0.0.1:{serving.port}/healthz").status_code == 200


def test_a_port_in_use_says_so(serving: Serving, registry: CollectorRegistry) -> None:
    with pytest.raises(SettingsError, match=f"127.0.0.1:{serving.port}.*RESOLVER_METRICS_PORT"):
        Serving(registry, lambda: None, host="127.0.0.1", port=serving.port)
