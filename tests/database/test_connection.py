from __future__ import annotations

import socket
from dataclasses import replace

import postgres_servers
import pytest
from sqlalchemy import Engine, text

from resolver import addresses
from resolver.database import connection
from resolver.database.connection import (
    APPLICATION_NAME,
    connect,
    require_schema,
    transaction,
)
from resolver.database.migrating import current, upgrade
from resolver.errors import DatabaseOutdated, DatabaseUnavailable, SettingsError

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


def test_the_schema_of_an_earlier_version_asks_for_the_migration(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    with pytest.raises(DatabaseOutdated, match=r"has schema 0002.*run: resolver migrate"):
        require_schema(engine)


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
    monkeypatch.setattr(connection, "_told", set())
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
