from __future__ import annotations

import socket

import pytest
from sqlalchemy import Engine, text

from resolver.database.connection import (
    APPLICATION_NAME,
    connect,
    require_schema,
    transaction,
)
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
