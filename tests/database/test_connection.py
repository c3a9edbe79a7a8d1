from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from support import postgres_servers
from support.standby import primary_and_standby

from resolver.database import connection
from resolver.database.connection import APPLICATION_NAME, connect, require_writable, transaction
from resolver.database.revision import current, require_schema
from resolver.database.schema import upgrade
from resolver.errors import (
    DatabaseForbidden,
    DatabaseOutdated,
    DatabaseUnavailable,
    SettingsError,
)
from resolver.network import addresses

SECRET = "s3cret-word"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgres_reaches_it(database_url: str, scheme: str) -> None:
    engine = connect(database_url.replace("postgresql", scheme, 1))
    with transaction(engine) as connection:
        assert connection.execute(text("SHOW application_name")).scalar() == APPLICATION_NAME
    engine.dispose()


def test_an_application_name_in_the_url_is_kept(database_url: str) -> None:
    engine = connect(f"{database_url}?application_name=nightly")
    with transaction(engine) as connection:
        assert connection.execute(text("SHOW application_name")).scalar() == "nightly"
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"mysql://me:{SECRET}@host/db", id="another database"),
        pytest.param(f"me:{SECRET}@host/db", id="no scheme"),
        pytest.param(f"postgresql://me:{SECRET}@host:port/db", id="port that is no number"),
        pytest.param("", id="empty"),
    ],
)
def test_a_url_of_something_else_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="database URL") as caught:
        connect(url)
    assert SECRET not in str(caught.value)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refuses at once
        port = held.getsockname()[1]
        engine = connect(f"postgresql://me:{SECRET}@127.0.0.1:{port}/links")
        with pytest.raises(DatabaseUnavailable, match=f"127.0.0.1:{port}/links") as caught:
            require_schema(engine)
    assert SECRET not in str(caught.value)
    assert "RESOLVER_DATABASE_URL" in str(caught.value)


def test_a_connection_that_is_cut_is_unavailable_and_the_next_one_works(engine: Engine) -> None:
    with (
        pytest.raises(DatabaseUnavailable),
        transaction(engine) as connection,
    ):
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_a_pooled_connection_that_went_stale_is_replaced(engine: Engine, postgres_url: str) -> None:
    with transaction(engine) as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    other = connect(postgres_url)
    with transaction(other) as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    other.dispose()
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar() != pid


def test_a_lock_that_is_not_to_be_had_says_try_again(engine: Engine) -> None:
    with engine.begin() as holder:
        holder.execute(text("LOCK TABLE link"))
        with (  # noqa: PT012 - the timeout is the transaction's
            pytest.raises(DatabaseUnavailable, match="try again later"),
            transaction(engine) as connection,
        ):
            connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
            connection.execute(text("SELECT * FROM link"))


def test_a_mistake_of_the_program_passes_through(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), transaction(engine):
        _ = 1 / 0


def test_an_empty_database_asks_for_the_migration(empty_database_url: str) -> None:
    engine = connect(empty_database_url)
    with pytest.raises(DatabaseOutdated, match="run: resolver migrate"):
        require_schema(engine)
    with (
        pytest.raises(DatabaseOutdated, match="run: resolver migrate"),
        transaction(engine) as connection,
    ):
        connection.execute(text("SELECT * FROM link"))
    engine.dispose()


def test_a_migrated_database_is_taken(engine: Engine) -> None:
    require_schema(engine)


def test_the_schema_of_a_later_version_is_refused(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseOutdated, match=r"has schema 9999.*install the version"):
        require_schema(engine)


# A database that is there, and may not be written to


WRITE = "INSERT INTO policy (fingerprint, settings) VALUES ('\\x01', '{}')"


def test_a_server_that_takes_no_writes_is_unavailable_until_it_does(
    engine: Engine, postgres_url: str
) -> None:
    require_writable(engine)
    name = engine.url.database
    other = connect(postgres_url)
    with transaction(other) as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :n"),
            {"n": name},
        )
    with pytest.raises(DatabaseUnavailable, match=r"takes no writes.*target_session_attrs"):
        require_writable(engine)
    with (
        pytest.raises(DatabaseUnavailable, match=r"takes no writes.*default_transaction_read_only"),
        transaction(engine) as connection,
    ):
        connection.execute(text(WRITE))
    with transaction(other) as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
    other.dispose()
    # Without a new engine: the connections of then were given up.
    with transaction(engine) as connection:
        connection.execute(text(WRITE))


@pytest.mark.slow
def test_a_standby_takes_no_writes_and_is_the_server_once_it_is_promoted(
    services_home: Path,
) -> None:
    folder = services_home / "failover"
    folder.mkdir()
    with primary_and_standby(folder) as (primary, standby):
        upgrade(connect(primary))
        engine = connect(standby)
        _until_followed(engine)
        require_schema(engine)
        with pytest.raises(DatabaseUnavailable, match="takes no writes"):
            require_writable(engine)
        with (
            pytest.raises(DatabaseUnavailable, match=r"takes no writes.*read-only transaction"),
            transaction(engine) as connection,
        ):
            connection.execute(text(WRITE))
        with transaction(engine) as connection:
            assert connection.execute(text("SELECT pg_promote()")).scalar()
        require_writable(engine)
        with transaction(engine) as connection:
            connection.execute(text(WRITE))
        engine.dispose()


def _until_followed(engine: Engine) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            return require_schema(engine)
        except DatabaseOutdated:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def writer(engine: Engine, postgres_url: str) -> Iterator[Engine]:
    """An engine of a user that is in `resolver_writer`."""
    name = f"writer_{uuid.uuid4().hex[:8]}"
    with transaction(engine) as connection:
        connection.execute(
            text(f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE resolver_writer")
        )
    url = engine.url.set(username=name, password="secret")
    own = connect(url.render_as_string(hide_password=False))
    yield own
    own.dispose()
    with transaction(engine) as connection:
        connection.execute(text(f"DROP ROLE {name}"))


def test_a_user_in_the_role_may_write(writer: Engine) -> None:
    require_schema(writer)
    require_writable(writer)


def test_a_missing_grant_is_named(engine: Engine, writer: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("REVOKE INSERT, DELETE ON policy FROM resolver_writer"))
    with pytest.raises(DatabaseForbidden, match=r"DELETE, INSERT on policy.*GRANT resolver_writer"):
        require_writable(writer)
    with (
        pytest.raises(DatabaseForbidden, match=r"permission denied for table policy"),
        transaction(writer) as connection,
    ):
        connection.execute(text(WRITE))


def test_a_table_of_somebody_else_is_none_of_our_business(engine: Engine, writer: Engine) -> None:
    other = f"other_{uuid.uuid4().hex[:8]}"
    with transaction(engine) as connection:
        connection.execute(text(f"CREATE ROLE {other}"))
        connection.execute(text("CREATE TABLE notes (id int)"))
        connection.execute(text("REVOKE ALL ON notes FROM resolver_writer"))
        connection.execute(text(f"ALTER TABLE notes OWNER TO {other}"))
    require_writable(writer)
    with transaction(engine) as connection:
        connection.execute(text("DROP TABLE notes"))
        connection.execute(text(f"DROP ROLE {other}"))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("25P03", DatabaseUnavailable),  # idle in transaction for too long
        ("XX001", DatabaseUnavailable),  # damaged data
        ("53100", DatabaseUnavailable),  # disk full
        ("40P01", DatabaseUnavailable),  # deadlock
        ("42501", DatabaseForbidden),
        ("42P01", DatabaseOutdated),
        ("3F000", DatabaseOutdated),
        ("22P02", DBAPIError),  # a value that is none: a mistake of the program
        ("42601", DBAPIError),
    ],
)
def test_what_the_server_says_is_translated(
    engine: Engine, code: str, error: type[Exception]
) -> None:
    with pytest.raises(error), transaction(engine) as connection:
        connection.execute(
            text(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$")
        )


def test_a_server_that_is_too_old_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first connection, whatever it was for."""
    monkeypatch.setattr(connection, "SERVERS", (19, 20))
    for ask in (require_schema, upgrade, current):
        engine = connect(database_url)
        with pytest.raises(DatabaseOutdated, match="versions 19 to 20 are supported") as caught:
            ask(engine)
        assert "upgrade the server to Postgres 19" in str(caught.value)
        engine.dispose()


def test_a_server_that_nobody_has_tried_is_told_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "SERVERS", (10, 11))
    monkeypatch.setattr(connection, "_warned_of", set())
    for _ in range(2):
        engine = connect(database_url)
        require_schema(engine)
        engine.dispose()
    (told,) = (r.getMessage() for r in caplog.records if r.name == connection.__name__)
    assert "10 to 11 are supported" in told


def test_servers_of_all_versions_are_taken(any_database_url: str) -> None:
    engine = connect(any_database_url)
    require_schema(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ("53100", "disk is full"),
        ("53200", "memory"),
        ("53300", "max_connections"),
        ("53400", "a limit"),
        ("54000", "a limit"),
        ("55P03", "try again later"),
        ("57014", "try again later"),
        ("57P03", "stops or starts"),
        ("40P01", "run it again"),
        ("58030", "its log"),
    ],
)
def test_the_remedy_is_for_what_the_server_says(engine: Engine, state: str, remedy: str) -> None:
    """And not the URL, which was right, or nothing would have been said."""
    with pytest.raises(DatabaseUnavailable) as caught, transaction(engine) as opened:
        opened.execute(
            text(f"DO $$ BEGIN RAISE SQLSTATE '{state}' USING MESSAGE = 'no luck'; END $$")
        )
    assert "no luck" in caught.value.problem
    assert caught.value.remedy is not None
    assert remedy in caught.value.remedy
    assert "RESOLVER_DATABASE_URL" not in caught.value.remedy


@pytest.mark.parametrize(
    "changed", [{"password": "wrong"}, {"user": "nobody"}, {"path": "/none"}], ids=str
)
def test_who_is_refused_is_sent_to_the_url(
    database_url: str, changed: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    engine = connect(replace(addresses.read(database_url), **changed).written())
    with pytest.raises(DatabaseUnavailable, match="the server refuses it") as caught:
        require_schema(engine)
    assert "RESOLVER_DATABASE_URL" in str(caught.value)
    assert postgres_servers.PASSWORD not in str(caught.value)


def test_a_password_may_stand_among_the_options(database_url: str) -> None:
    address = addresses.read(database_url)
    options = (("password", address.password or ""),)
    engine = connect(replace(address, password=None, options=options).written())
    require_schema(engine)
    assert postgres_servers.PASSWORD not in repr(engine)
    engine.dispose()
