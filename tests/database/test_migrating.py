from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, inspect, text

from resolver.database.connection import connect, transaction
from resolver.database.migrating import check, current, downgrade, head, migrate, upgrade
from resolver.errors import DatabaseOutdated

VIEWS = {"organisations", "pending", "resolved_links", "unresolved"}


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    engine = connect(empty_database_url)
    yield engine
    engine.dispose()


def test_up_is_clean_and_a_second_time_changes_nothing(empty: Engine) -> None:
    assert current(empty) is None
    upgrade(empty)
    upgrade(empty)
    assert current(empty) == head()
    assert set(inspect(empty).get_view_names()) == VIEWS
    check(empty)


def test_down_leaves_nothing_behind(empty: Engine) -> None:
    upgrade(empty)
    downgrade(empty, "base")
    assert inspect(empty).get_table_names() == ["alembic_version"]
    assert inspect(empty).get_view_names() == []
    assert current(empty) is None


def test_migrate_goes_up_and_down(empty: Engine) -> None:
    migrate(empty)
    assert current(empty) == head()
    migrate(empty, "base")
    assert current(empty) is None
    migrate(empty, "0001")
    migrate(empty, "0001")
    assert current(empty) == "0001"


def test_a_revision_that_does_not_exist_is_refused(engine: Engine) -> None:
    with pytest.raises(DatabaseOutdated, match="no_such"):
        migrate(engine, "no_such")
    assert current(engine) == head()


def test_a_database_of_a_later_version_is_left_alone(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseOutdated, match="9999"):
        migrate(engine)


def test_several_processes_may_migrate_at_once(empty: Engine) -> None:
    with ThreadPoolExecutor(3) as pool:
        # Alembic's context is global to a process, so one of these at a time gets that far;
        # that they do not fail on each other's tables is what the lock is for.
        list(pool.map(lambda _: upgrade(empty), range(3)))
    assert current(empty) == head()


def test_timeouts_of_migrations_do_not_stay_on_pooled_connections(empty: Engine) -> None:
    upgrade(empty)
    with transaction(empty) as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar() == "0"


def test_check_finds_a_column_that_is_missing(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("ALTER TABLE model DROP COLUMN first_used_at"))
    with pytest.raises(DatabaseOutdated, match="first_used_at"):
        check(engine)


def test_every_table_view_and_column_says_what_it_is(engine: Engine) -> None:
    with transaction(engine) as connection:
        silent = connection.execute(
            text(
                """
                SELECT c.relname, a.attname
                FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                WHERE c.relkind IN ('r', 'v') AND c.relname <> 'alembic_version'
                AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)
                """
            )
        ).fetchall()
        described = connection.execute(
            text(
                "SELECT count(*) FROM pg_description d JOIN pg_class c ON c.oid = d.objoid"
                " WHERE c.relname = 'resolved_links'"
            )
        ).scalar_one()
    assert silent == []
    assert described == 19
