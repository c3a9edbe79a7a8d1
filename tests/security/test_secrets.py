"""Secrets: where they may come from, and that nothing that is printed, logged or raised has them."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from support.paths import ROOT

from resolver.database.connection import connect, transaction
from resolver.errors import ResolverError, SettingsError
from resolver.service.installation import open_index_store
from resolver.service.parts import load_reranker
from resolver.settings import MAX_SECRET_BYTES, SECRETS, Settings, load_settings
from resolver.workers import health
from resolver.workers.app import create_app
from resolver.workers.client import enqueue

SECRET = "s3cr3t-0f-the-test"

VALUES = {
    "database_url": f"postgresql://ada:{SECRET}@db.invalid:5432/resolver",
    "broker_url": f"amqp://ada:{SECRET}@mq.invalid:5672//",
    "qdrant_api_key": SECRET,
    "reranker_api_key": SECRET,
    "serve_rate_url": f"redis://:{SECRET}@redis.invalid:6379/1",
}


def test_these_are_the_secrets() -> None:
    assert set(SECRETS) == set(VALUES)
    assert {f"{name}_file" for name in SECRETS} <= set(Settings.model_fields)


# From files


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("RESOLVER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("how", ["environment", ".env"])
def test_a_secret_from_a_file(
    name: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret file"
    path.write_text(f"{VALUES[name]}\r\n")
    if how == ".env":
        (tmp_path / ".env").write_text(f"RESOLVER_{name.upper()}_FILE='{path}'\n")
    else:
        monkeypatch.setenv(f"RESOLVER_{name.upper()}_FILE", str(path))
    loaded = load_settings()
    assert getattr(loaded, name).get_secret_value() == VALUES[name]
    assert SECRET not in repr(loaded) + str(loaded) + loaded.model_dump_json()


def no_file(path: Path) -> None:
    pass


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(no_file, "No such file", id="missing"),
        pytest.param(Path.mkdir, "Is a directory", id="a folder"),
        pytest.param(write(b""), "is empty", id="empty"),
        pytest.param(write(b" \n"), "is empty", id="blank"),
        pytest.param(write(SECRET.encode() + b"\xff"), "is not UTF-8", id="binary"),
        pytest.param(
            write(SECRET.encode() * MAX_SECRET_BYTES), "has more than 65,536 bytes", id="too long"
        ),
    ],
)
def test_a_file_that_is_no_secret(
    make: Callable[[Path], object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    make(path)
    monkeypatch.setenv("RESOLVER_DATABASE_URL_FILE", str(path))
    with pytest.raises(SettingsError, match="RESOLVER_DATABASE_URL_FILE") as caught:
        load_settings()
    assert said in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_there_is_one_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVER_BROKER_URL", VALUES["broker_url"])
    monkeypatch.setenv("RESOLVER_BROKER_URL_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsError, match="exclude each other") as caught:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_an_empty_path_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVER_DATABASE_URL_FILE", "")
    assert load_settings().database_url is None


@pytest.mark.parametrize("written", [f"ada:{SECRET}", SECRET, f"ada:a/{SECRET}", f"a:b@{SECRET}"])
@pytest.mark.parametrize("variable", ["RESOLVER_QDRANT_URL", "RESOLVER_REGISTRY_URL"])
def test_a_url_that_is_shown_holds_no_password(
    variable: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, f"https://{written}@host:6333")
    with pytest.raises(SettingsError, match=variable) as caught:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


# Shown nowhere


def told(error: BaseException) -> str:
    """All that a traceback of it would print: causes, contexts and notes."""
    return "".join(traceback.format_exception(error))


PASSWORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12
).map(lambda text: SECRET + text + SECRET)
MANGLED: list[Callable[[str], str]] = [
    lambda url: url,
    lambda url: url.replace("://", ":/", 1),
    lambda url: url.replace("@", "", 1),
    lambda url: url.replace("@", "@@", 1),
    lambda url: url.partition("://")[2],
    lambda url: url.replace("127.0.0.1", "[::1", 1),
    lambda url: url.replace(":1", ":port", 1),
    lambda url: url + "?sslmode=" + url,
    lambda url: url + "?password=" + SECRET,
    lambda url: " " + url,
    lambda url: url.upper(),
]


def hidden(text: str) -> bool:
    return SECRET.lower() not in text.lower()


@budget(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    password=PASSWORDS,
    quoted=st.booleans(),
    mangle=st.sampled_from(MANGLED),
    scheme=st.sampled_from(["postgresql", "postgres", "mysql", "amqp", "redis", "qdrant", ""]),
)
@example(password=SECRET, quoted=False, mangle=MANGLED[0], scheme="postgresql")
def test_no_error_of_any_url_tells_its_password(
    password: str, quoted: bool, mangle: Callable[[str], str], scheme: str
) -> None:
    written = quote(password, safe="") if quoted else password
    url = mangle(f"{scheme}://ada:{written}@127.0.0.1:1/resolver")
    for use in (_as_database, _as_broker):
        assert hidden(said := _failure(use, url)), said


def _failure(use: Callable[[str], None], url: str) -> str:
    try:
        use(url)
    except ResolverError as error:
        return told(error)
    return ""


def _as_database(url: str) -> None:
    engine = connect(url)
    assert hidden(repr(engine))
    with transaction(engine):
        pass


def _as_broker(url: str) -> None:
    app = create_app(Settings(_env_file=None), broker_url=url)  # type: ignore[call-arg]
    assert hidden(repr(app.conf.humanize(with_defaults=True, censored=True)))


def closed_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.parametrize("scheme", ["amqp", "amqps", "redis", "rediss"])
def test_a_broker_that_is_away(
    scheme: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolver.workers.client.RETRIES", {"max_retries": 0})
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        broker_url=f"{scheme}://ada:{SECRET}@127.0.0.1:{closed_port()}/",
    )
    record = {"source": "a", "id": "b", "affiliation": "c"}
    with caplog.at_level(logging.DEBUG), pytest.raises(ResolverError) as caught:
        enqueue([record], settings=settings)
    assert hidden(told(caught.value))
    assert hidden(caplog.text)


def test_servers_that_are_away(caplog: pytest.LogCaptureFixture) -> None:
    away = f"http://127.0.0.1:{closed_port()}"
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        qdrant_url=away,
        qdrant_api_key=SECRET,
        reranker=away,
        reranker_api_key=SECRET,
        reranker_timeout=0.2,
        qdrant_timeout=1,
    )
    for ask in (lambda: open_index_store(settings).versions(), lambda: load_reranker(settings)):
        with caplog.at_level(logging.DEBUG), pytest.raises(ResolverError) as caught:
            ask()
        assert hidden(told(caught.value))
    assert hidden(caplog.text)


@pytest.mark.parametrize("written", [f"ada:a/{SECRET}", f"ada:a@{SECRET}", f"ada:{SECRET}#a"])
@pytest.mark.parametrize("variable", ["database_url", "broker_url"])
def test_the_state_of_an_installation_shows_no_part_of_a_password(
    tmp_path: Path, variable: str, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What ``status`` and ``monitor`` print, for a URL that nobody can read."""
    scheme = "postgresql" if variable == "database_url" else "amqp"
    url = f"{scheme}://{written}@127.0.0.1:{closed_port()}/x"
    settings = Settings(_env_file=None, home=tmp_path, **{variable: url})  # type: ignore[arg-type]
    with caplog.at_level(logging.DEBUG):
        found = health.check(settings)
    part = found.database if variable == "database_url" else found.broker
    assert part.error is not None
    assert "cannot be read" in part.error.problem
    assert hidden("".join(f"{p.problem} {p.remedy}" for p in health.problems(found)))
    assert hidden(told(part.error))
    assert hidden(caplog.text)


COMMANDS = [
    ["--help"],
    ["--verbose", "migrate"],
    ["--verbose", "enqueue", "one.txt"],
    ["worker", "--log-level", "DEBUG"],
]


@pytest.mark.slow
def test_no_command_prints_a_secret(tmp_path: Path) -> None:
    """With services that do not answer, and with as much logging as there is."""
    (tmp_path / "one.txt").write_text("University of Oxford\n")
    environment = {name: v for name, v in os.environ.items() if not name.startswith("RESOLVER_")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "RESOLVER_HOME": str(tmp_path),
        "RESOLVER_DATABASE_URL": f"postgresql://ada:{SECRET}@127.0.0.1:{closed_port()}/resolver",
        "RESOLVER_BROKER_URL": f"amqp://ada:{SECRET}@127.0.0.1:{closed_port()}//",
        "RESOLVER_QDRANT_API_KEY": SECRET,
        "RESOLVER_RERANKER_API_KEY": SECRET,
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "resolver.cli", *command],
            cwd=tmp_path, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for command in COMMANDS
    ]  # fmt: skip
    for command, process in zip(COMMANDS, running, strict=True):
        printed, _ = process.communicate(timeout=300)
        assert printed.strip(), command
        assert hidden(printed), command
    assert [process.returncode == 0 for process in running] == [True, False, False, False]
