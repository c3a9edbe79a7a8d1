"""The server as its operator has it: keys, rates, health, logs, stopping, several processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text
from support.deployment import until
from support.next_release import ICELAND, write_next_release
from support.serving import command, free_port, serving

from resolver.doors.limits import Keys
from resolver.doors.serving import listening
from resolver.errors import SettingsError
from resolver.release.update import update
from resolver.service.installation import Installation
from resolver.settings import Settings

KEY = "0123456789abcdef"
TEXT = {"affiliations": ["Univ. of Oxford, UK"]}


@pytest.fixture
def settings(
    tmp_path: Path, database_url: str, sample_installed: Callable[[Path], None]
) -> Settings:
    """An installation for one test."""
    sample_installed(tmp_path / "home")
    return Settings(  # type: ignore[call-arg]
        _env_file=None, home=tmp_path / "home", database_url=SecretStr(database_url), threads=1
    )


def environment(settings: Settings, **more: str) -> dict[str, str]:
    assert settings.database_url
    return {
        "RESOLVER_DATABASE_URL": settings.database_url.get_secret_value(),
        "RESOLVER_THREADS": "1",
        **more,
    }


# Keys and rates


@pytest.mark.slow
def test_keys_and_rates(settings: Settings, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# people\nada {KEY}\ngrace fedcba9876543210  # the second\n")
    limited = settings.model_copy(update={"serve_keys": keys, "serve_rate": "3/minute"})
    with serving(limited) as (client, _):
        assert client.get("/readyz").status_code == 200
        for headers, query in (
            ({"authorization": f"Bearer {KEY}"}, ""),
            ({"x-api-key": KEY}, ""),
            ({}, f"?api_key={KEY}"),
        ):
            answer = client.get(f"/reconcile{query}", headers=headers)
            assert answer.status_code == 200, answer.text
        manifest = answer.json()
        assert manifest["suggest"]["type"]["service_path"] == f"/suggest/type?api_key={KEY}"
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer"}):
            refused = client.get("/reconcile", headers=headers)
            assert refused.status_code == 401
            assert refused.headers["content-type"] == "application/problem+json"
        late = client.get("/reconcile", headers={"x-api-key": KEY, "origin": "http://a.example"})
        assert late.status_code == 429
        assert 1 <= int(late.headers["retry-after"]) <= 60
        assert late.headers["access-control-allow-origin"] == "*"
        other = client.get("/reconcile", headers={"x-api-key": "fedcba9876543210"})
        assert other.status_code == 200


@pytest.mark.slow
def test_rates_are_counted_in_redis_for_all_servers(settings: Settings, redis_url: str) -> None:
    limited = settings.model_copy(
        update={"serve_rate": "2/minute", "broker_url": SecretStr(redis_url)}
    )
    statuses = []
    for _ in range(2):
        with serving(limited) as (client, _app):
            statuses += [client.get("/reconcile").status_code for _ in range(2)]
    assert statuses == [200, 200, 429, 429]


def test_answers_are_sent_at_once() -> None:
    # asyncio sets TCP_NODELAY on sockets of this protocol alone; else a request takes 40 ms longer.
    with listening("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_nobody_is_refused_while_redis_is_away(settings: Settings) -> None:
    limited = settings.model_copy(
        update={"serve_rate": "1/minute", "serve_rate_url": SecretStr("redis://127.0.0.1:1/0")}
    )
    with serving(limited) as (client, _):
        assert [client.get("/reconcile").status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no key"),
        ("ada\n", "line 1: not a name and a key"),
        ("ada short\n", "line 1"),
        (f"ada {KEY} more\n", "line 1"),
        ("ada schlüsselschlüssel\n", "line 1"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(SettingsError, match=says):
        Keys(path)


def test_a_changed_file_of_keys_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    path.write_text(f"ada {KEY}\n")
    keys = Keys(path)
    assert keys.holder(KEY) == "ada"
    path.write_text("grace fedcba9876543210\n")
    assert (keys.holder(KEY), keys.holder("fedcba9876543210")) == (None, "grace")
    for break_it in (lambda: path.write_text("grace short\n"), path.unlink):
        break_it()
        assert keys.holder("fedcba9876543210") == "grace"
        assert keys.holder("fedcba9876543210") == "grace"
    # Once for each change.
    errors = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert [error.partition(":")[0] for error in errors] == ["the keys stay as they were"] * 2
    path.write_text(f"ada {KEY}\n")
    assert keys.holder(KEY) == "ada"


# Health, logs, headers


def test_health_and_figures(client: httpx.Client) -> None:
    client.post("/match", json=TEXT)
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"
    figures = client.get("/metrics").text
    assert 'resolver_http_request_seconds_count{door="match",status="2xx"}' in figures
    assert "resolver_http_affiliations_total" in figures
    assert "resolver_http_ready 1.0" in figures


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1", True), ("a b", False), ("x" * 200, False), ("", False)]
)
def test_a_request_has_an_id(client: httpx.Client, given: str, kept: bool) -> None:
    got = client.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"]
    assert (got == given) == kept
    assert got


@pytest.mark.parametrize("path", ["/match", "/reconcile", "/nothing", "/jobs"])
def test_scripts_of_any_site_may_ask(client: httpx.Client, path: str) -> None:
    origin = {"origin": "https://site.example"}
    preflight = client.options(
        path,
        headers=origin
        | {
            "access-control-request-method": "POST",
            "access-control-request-headers": "client-id, content-type",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert "*" in allowed or ("client-id" in allowed and "content-type" in allowed)
    answer = client.delete(path, headers=origin)
    assert answer.status_code in (404, 405)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.slow
def test_the_log_has_requests_and_no_affiliation(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with command(
        settings.home, environment=environment(settings, RESOLVER_LOG_FORMAT="json"), log=log
    ) as (_, url):
        headers = {"x-request-id": "request-1", "client-id": "someone"}
        httpx.post(f"{url}/match", json=TEXT, headers=headers, timeout=30)
        httpx.get(f"{url}/match", params={"input": "Univ. of Oxford"}, timeout=30)
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line.get("request_id") == "request-1"]
    assert (line["door"], line["method"], line["path"]) == ("match", "POST", "/match")
    assert (line["status"], line["client_id"]) == (200, "someone")
    assert "Oxford" not in log.read_text()


# Starting and stopping


@pytest.mark.slow
def test_a_server_that_stops_says_so_and_finishes_its_work(
    settings: Settings, tmp_path: Path
) -> None:
    with command(
        settings.home,
        environment=environment(settings, RESOLVER_SERVE_LEAVE_SECONDS="3"),
        log=tmp_path / "log",
    ) as (process, url):
        texts = [f"University of York, room {number}" for number in range(200)]
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{url}/match", json={"affiliations": texts}, timeout=90)
            )
        )
        asking.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{url}/readyz").status_code == 503, "it is not ready")
        # Those who come all the same are still answered.
        assert httpx.post(f"{url}/match", json=TEXT, timeout=30).status_code == 200
        asking.join(90)
        assert [answer.status_code for answer in answers] == [200]
        assert len(answers[0].json()["results"]) == 200
        assert process.wait(60) == 0


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "resolver.cli", "serve", "--port", "0"],
        env={
            **os.environ,
            "RESOLVER_HOME": str(tmp_path),
            "RESOLVER_DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/none",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "error:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_processes_share_a_port_and_one_that_dies_is_replaced(
    settings: Settings, tmp_path: Path
) -> None:
    with command(
        settings.home, "--processes", "2", environment=environment(settings), log=tmp_path / "log"
    ) as (process, url):
        children = psutil.Process(process.pid).children()
        assert len(children) == 2
        children[0].kill()

        def answered() -> bool:
            try:
                return httpx.post(f"{url}/match", json=TEXT, timeout=30).status_code == 200
            except httpx.HTTPError:
                return False

        until(answered, "the other process answers")
        until(lambda: len(psutil.Process(process.pid).children()) == 2, "another one is started")
        assert "resolver_http_request_seconds_count" in httpx.get(f"{url}/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not any(child.is_running() for child in children)


@pytest.mark.slow
def test_processes_end_with_their_parent_and_leave_the_port(
    settings: Settings, tmp_path: Path
) -> None:
    with command(
        settings.home, "--processes", "2", environment=environment(settings), log=tmp_path / "log"
    ) as (process, url):
        port = int(url.rpartition(":")[2])

        def is_free() -> bool:
            try:
                listening("127.0.0.1", port).close()
            except SettingsError:
                return False
            return True

        assert not is_free()
        process.kill()
        process.wait(60)
        until(is_free, "the port is free")


# What changes, or goes away, under it


@pytest.mark.slow
def test_a_new_release_is_followed_between_two_requests(settings: Settings, engine: Engine) -> None:
    with serving(settings) as (client, _):
        body = {"affiliations": ["University of Iceland, Reykjavík"]}
        before = client.post("/match", json=body).json()
        with Installation(settings, engine=engine) as installation:
            update(installation, write_next_release(settings.home), refresh=False)
        after = client.post("/match", json=body).json()
    assert before["resolver_version"] != after["resolver_version"]
    assert after["release"] == "v3.0"
    (link,) = after["results"][0]["links"]
    assert link["ror_id"] == f"https://ror.org/{ICELAND}"


@pytest.fixture
def maintenance(_maintenance: Engine) -> Engine:
    """The maintenance database of the server."""
    return _maintenance


@contextmanager
def away(maintenance: Engine, database: str) -> Iterator[None]:
    """The database takes no connections, and has none."""

    def allow(value: str) -> None:
        with maintenance.connect() as connection:
            connection.execute(text(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS {value}'))

    allow("false")
    try:
        with maintenance.connect() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :d"),
                {"d": database},
            )
        yield
    finally:
        allow("true")


@pytest.mark.slow
def test_without_its_database_it_says_when_to_come_back(
    settings: Settings, database_url: str, maintenance: Engine
) -> None:
    name = make_url(database_url).database
    assert name
    with serving(settings) as (client, _):
        assert client.post("/match", json=TEXT).status_code == 200
        with away(maintenance, name):
            for path in ("/match", "/jobs"):
                answer = client.post(path, json=TEXT)
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) > 0
                assert answer.headers["content-type"] == "application/problem+json"
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
            queries = json.dumps({"q": {"query": "Univ. of Oxford"}})
            answer = client.post("/reconcile", data={"queries": queries})
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) > 0
            figures = client.get("/metrics").text
            assert "resolver_http_ready 0.0" in figures
            for labels in ('door="match",status="503"', 'door="reconcile",status="429"'):
                assert f"resolver_http_requests_refused_total{{{labels}}} 1.0" in figures
        assert client.post("/match", json=TEXT).status_code == 200


@pytest.mark.slow
def test_a_full_server_says_when_to_come_back(settings: Settings) -> None:
    small = settings.model_copy(update={"serve_waiting": 20})
    with serving(small) as (client, _):
        statuses: list[int] = []

        def ask(number: int) -> None:
            texts = [f"University {number} of York, room {room}" for room in range(15)]
            answer = client.post("/match", json={"affiliations": texts})
            statuses.append(answer.status_code)
            assert answer.status_code == 200 or int(answer.headers["retry-after"]) > 0

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200, 503}
