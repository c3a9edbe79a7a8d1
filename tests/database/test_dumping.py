"""Backup and restore on servers that ask for a password, of several versions."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, text
from support import postgres_servers

from resolver.database import dumping, revision, schema
from resolver.database.connection import connect, transaction
from resolver.errors import DatabaseProblem, SettingsError
from resolver.network import addresses
from resolver.network.addresses import Address

TEXTS = ["SET transaction_timeout = 0;", "University of Oxford", "Ελλάδα\n\t\\.", "\\."]
"""Also what looks like the beginning of a script, and like the end of a COPY."""


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = connect(url)
    yield engine
    engine.dispose()


def fill(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.exec_driver_sql("INSERT INTO policy (fingerprint, settings) VALUES ('x', '{}')")
        for number, one in enumerate(TEXTS):
            connection.execute(
                text(
                    "WITH a AS (INSERT INTO affiliation (text_hash, text)"
                    " VALUES (:id, :text) RETURNING id)"
                    " INSERT INTO source_record (source, external_id, position, affiliation_id,"
                    " policy_id, raw_text) SELECT 'test', :id, 0, a.id, p.id, :text"
                    " FROM a, policy p"
                ),
                {"id": f"10.1/{number}", "text": one},
            )


def stored(engine: Engine) -> list[tuple[object, ...]]:
    with transaction(engine) as connection:
        query = "SELECT external_id, raw_text FROM source_record ORDER BY external_id"
        return [tuple(row) for row in connection.execute(text(query))]


@pytest.fixture
def filled(any_database_url: str) -> Iterator[Engine]:
    with opened(any_database_url) as engine:
        fill(engine)
        yield engine


@contextmanager
def beside(engine: Engine, url: str) -> Iterator[Engine]:
    """An empty database on the same server."""
    name = f"resolver_test_{uuid.uuid4().hex[:12]}"
    alone = engine.execution_options(isolation_level="AUTOCOMMIT")
    with alone.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    with opened(replace(addresses.read(url), path=f"/{name}").written()) as empty:
        yield empty
    with alone.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.mark.slow
def test_there_and_back_with_a_password(
    filled: Engine, any_database_url: str, tmp_path: Path
) -> None:
    before = stored(filled)
    assert len(before) == len(TEXTS)
    size = dumping.dump(filled, tmp_path / "resolver.dump")
    assert size == (tmp_path / "resolver.dump").stat().st_size
    with beside(filled, any_database_url) as empty:
        dumping.restore(empty, tmp_path / "resolver.dump")
        assert stored(empty) == before
        assert revision.current(empty) == revision.head()
        schema.upgrade(empty)
        schema.check(empty)


@pytest.mark.slow
@pytest.mark.parametrize("any_postgres_url", ["distribution"], indirect=True)
def test_what_newer_programs_wrote_goes_back_to_an_older_server(
    filled: Engine, any_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the embedded Postgres has the only programs there are."""
    wheels = postgres_servers.from_wheels()
    newest = wheels[max(wheels)]
    monkeypatch.setattr(dumping, "_folders", lambda: iter([newest]))
    dumping.dump(filled, tmp_path / "resolver.dump")
    with beside(filled, any_database_url) as empty:
        dumping.restore(empty, tmp_path / "resolver.dump")
        assert stored(empty) == stored(filled)


@pytest.mark.parametrize("any_postgres_url", ["newest"], indirect=True)
def test_programs_that_are_too_old_are_named(
    filled: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = postgres_servers.from_wheels()
    monkeypatch.setattr(dumping, "_folders", lambda: iter([wheels[min(wheels)]]))
    with pytest.raises(SettingsError, match="pg_dump must be of that version or newer") as caught:
        dumping.dump(filled, tmp_path / "resolver.dump")
    assert f"server is Postgres {max(wheels)}" in str(caught.value)
    assert f"the newest here is {min(wheels)}" in str(caught.value)


def moved_to_an_option(address: Address) -> tuple[Address, dict[str, str]]:
    options = (("password", address.password or ""),)
    return replace(address, password=None, options=options), {}


def moved_to_the_environment(address: Address) -> tuple[Address, dict[str, str]]:
    return replace(address, password=None), {"PGPASSWORD": address.password or ""}


def elsewhere_by_the_environment(address: Address) -> tuple[Address, dict[str, str]]:
    """What variables say otherwise is overruled by the URL, for the programs too."""
    return address, {"PGPORT": "1", "PGHOST": "nowhere.invalid", "PGDATABASE": "none"}


def two_hosts(address: Address) -> tuple[Address, dict[str, str]]:
    hosts = (("host", "127.0.0.1:1"), ("host", f"{address.host}:{address.port}"))
    return replace(address, host="", port=None, options=hosts), {}


def with_the_password_of_a_key(address: Address) -> tuple[Address, dict[str, str]]:
    return replace(address, options=(("sslpassword", "k3y-w0rd"),)), {}


@pytest.mark.parametrize("any_postgres_url", ["newest"], indirect=True)
@pytest.mark.parametrize(
    "given",
    [
        moved_to_an_option,
        moved_to_the_environment,
        elsewhere_by_the_environment,
        two_hosts,
        with_the_password_of_a_key,
    ],
)
def test_programs_meet_the_server_as_the_engine_does(
    filled: Engine,
    any_database_url: str,
    given: Callable[[Address], tuple[Address, dict[str, str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, environment = given(addresses.read(any_database_url))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with opened(address.written()) as engine:
        assert postgres_servers.PASSWORD not in repr(engine)
        dumping.dump(engine, tmp_path / "resolver.dump")
        with beside(filled, any_database_url) as empty:
            dumping.restore(empty, tmp_path / "resolver.dump")
            assert stored(empty) == stored(filled)


@pytest.mark.parametrize("any_postgres_url", ["newest"], indirect=True)
def test_no_password_is_on_a_command_line(
    filled: Engine, any_database_url: str, tmp_path: Path
) -> None:
    address = replace(addresses.read(any_database_url), options=(("sslpassword", "k3y-w0rd"),))
    program = (
        "import sys; from pathlib import Path;"
        "from resolver.database import dumping; from resolver.database.connection import connect;"
        "dumping.dump(connect(sys.stdin.read()), Path(sys.argv[1]))"
    )
    with filled.begin() as held:
        # pg_dump waits for its locks, and can be looked at.
        held.execute(text("LOCK TABLE link IN ACCESS EXCLUSIVE MODE"))
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "x.dump")],
            stdin=subprocess.PIPE, text=True, env=os.environ,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(address.written())
        process.stdin.close()
        lines: list[list[str]] = []
        while not lines:
            assert process.poll() is None
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(process.pid).children()
                lines = [line for child in children if "--dbname" in (line := child.cmdline())]
            time.sleep(0.01)
    assert process.wait(timeout=60) == 0
    shown = " ".join(part for line in lines for part in line)
    assert address.path.removeprefix("/") in shown
    assert postgres_servers.PASSWORD not in shown
    assert "k3y-w0rd" not in shown


@pytest.mark.parametrize("any_postgres_url", ["newest"], indirect=True)
def test_a_restore_that_fails_leaves_the_database_empty(
    filled: Engine, any_database_url: str, tmp_path: Path
) -> None:
    dumping.dump(filled, tmp_path / "resolver.dump")
    with beside(filled, any_database_url) as empty:
        with empty.begin() as connection:
            # In the way of the table, when others are there already.
            connection.execute(text("CREATE VIEW link AS SELECT 1"))
        with pytest.raises(DatabaseProblem, match='"link" already exists') as caught:
            dumping.restore(empty, tmp_path / "resolver.dump")
        assert "nothing was kept" in str(caught.value)
        assert revision.current(empty) is None


def test_a_folder_that_is_not_there(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written: No such file"):
        dumping.dump(engine, tmp_path / "missing" / "resolver.dump")
