"""The schema goes up, down and nowhere else; it is what `tables` and the files of views say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from support import later_schema

from resolver.database import revision
from resolver.database.connection import connect, transaction
from resolver.database.definitions import FUNCTIONS, VIEWS, function, view
from resolver.database.revision import current, head, require_schema
from resolver.database.schema import check, downgrade, losses, migrate, upgrade
from resolver.database.tables import metadata
from resolver.errors import DatabaseOutdated, DatabaseUnavailable


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    engine = connect(empty_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """From here on the code is of a later version, whose migrations are in this folder."""
    folder = later_schema.later_schema(tmp_path)
    monkeypatch.setattr(revision, "MIGRATIONS", folder)
    return folder


def test_up_is_clean_and_a_second_time_changes_nothing(empty: Engine) -> None:
    assert current(empty) is None
    upgrade(empty)
    upgrade(empty)
    assert current(empty) == head()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(empty)


def test_down_leaves_nothing_behind(empty: Engine) -> None:
    upgrade(empty)
    downgrade(empty, "base")
    assert inspect(empty).get_table_names() == ["alembic_version"]
    assert inspect(empty).get_view_names() == []
    with transaction(empty) as connection:
        functions = text("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        assert connection.execute(functions).scalar() == 0
    assert current(empty) is None


def test_the_way_back_to_the_first_schema_takes_the_later_views_and_no_row(empty: Engine) -> None:
    upgrade(empty, "0001")
    first = set(inspect(empty).get_view_names())
    migrate(empty)
    assert set(inspect(empty).get_view_names()) - first == {
        *("organisation_parents", "organisation_topmost_parents", "organisation_identifiers"),
        *("organisation_places", "linked_since", "never_linked"),
    }
    assert not losses(empty, "0001")
    migrate(empty, "0001")
    assert set(inspect(empty).get_view_names()) == first


def test_migrate_goes_up_and_down(empty: Engine) -> None:
    migrate(empty)
    assert current(empty) == head()
    migrate(empty, "base")
    assert current(empty) is None
    migrate(empty, "0001")
    migrate(empty, "0001")
    assert current(empty) == "0001"


# What the files say


def test_the_views_are_those_of_the_files(engine: Engine) -> None:
    definitions = text(
        """
        SELECT c.relname, pg_get_viewdef(c.oid), obj_description(c.oid),
            ARRAY(
                SELECT a.attname || ': ' || coalesce(col_description(c.oid, a.attnum), '')
                FROM pg_attribute a WHERE a.attrelid = c.oid ORDER BY a.attnum
            )
        FROM pg_class c
        WHERE c.relkind = 'v' AND c.relnamespace = CAST(:schema AS regnamespace)
        ORDER BY c.relname
        """
    )
    functions = text(
        """
        SELECT proname, prosrc, pg_get_function_result(oid), obj_description(oid) FROM pg_proc
        WHERE pronamespace = CAST(:schema AS regnamespace) ORDER BY proname
        """
    )
    with transaction(engine) as connection:
        migrated = [
            connection.execute(query, {"schema": "public"}).all()
            for query in (definitions, functions)
        ]
        # The names of the tables are found in the other schema, and written without it.
        connection.exec_driver_sql("CREATE SCHEMA files")
        connection.exec_driver_sql("SET search_path = files, public")
        for name in VIEWS:
            connection.execute(text(view(name)))
        for name in FUNCTIONS:
            connection.execute(text(function(name)))
        of_files = [
            connection.execute(query, {"schema": "files"}).all()
            for query in (definitions, functions)
        ]
    assert of_files == migrated
    assert {row[0] for row in of_files[0]} == set(VIEWS)
    assert {row[0] for row in of_files[1]} == set(FUNCTIONS)


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = CAST(:schema AS regnamespace) AND contype <> 'n'",
            id="constraints",
        ),
        pytest.param(
            "SELECT indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes"
            " WHERE schemaname = :schema",
            id="indexes",
        ),
        pytest.param(
            "SELECT table_name, column_name, ordinal_position, data_type, is_nullable,"
            " column_default, is_identity FROM information_schema.columns"
            " WHERE table_schema = :schema AND table_name = ANY(:tables)",
            id="columns",
        ),
    ],
)
def test_the_tables_are_those_of_the_module(engine: Engine, query: str) -> None:
    """More than `check` compares: conditions, too, and the order of columns."""

    def found(connection: Connection, schema_name: str) -> list[tuple[object, ...]]:
        values = {"schema": schema_name, "tables": list(metadata.tables)}
        rows = connection.execute(text(query), values).all()
        return sorted(tuple(row) for row in rows if "alembic_version" not in str(row))

    with transaction(engine) as connection:
        migrated = found(connection, "public")
        connection.exec_driver_sql("CREATE SCHEMA module")
        connection.exec_driver_sql("SET search_path = module")
        metadata.create_all(connection, checkfirst=False)
        assert found(connection, "module") == migrated


# What a way down loses

STORED = """
    INSERT INTO registry_release (version, sha256, source, organisation_count, rejected_count)
    VALUES ('v2.9', 'aa', 'v2.9.json', 0, 0);
    INSERT INTO model (role, name, fingerprint) VALUES ('encoder', 'b', 'e'), ('reranker', 'b', 'r');
    INSERT INTO resolver_version (release_id, encoder_id, reranker_id, settings, fingerprint)
    VALUES (1, 1, 2, '{}', '1');
    INSERT INTO policy (fingerprint, settings) VALUES ('p', '{}');
    INSERT INTO affiliation (text_hash, text) VALUES ('a', 'Oxford'), ('b', 'ETH and PSI');
    INSERT INTO source_record (source, external_id, position, affiliation_id, policy_id)
    SELECT 'crossref', text, 0, id, 1 FROM affiliation;
    INSERT INTO outcome (affiliation_id, policy_id, resolver_version_id, status, begin_reason)
    VALUES (1, 1, 1, 'linked', 'source sent'), (2, 1, 1, 'linked', 'source sent');
    INSERT INTO link (affiliation_id, policy_id, ror_id, rank, score, probability, name,
                      matched_name, beginning, since, since_version_id, since_reason)
    VALUES
        (1, 1, '052gg0110', 1, 3, 0.8, 'University of Oxford', 'Oxford', 'new', now(), 1, 'override'),
        (2, 1, '05a28rw58', 1, 4, 0.95, 'ETH Zurich', 'ETH', 'new', now(), 1, 'override'),
        (2, 1, '03eh3y714', 2, 4, 0.91, 'Paul Scherrer Institute', 'PSI', 'new', now(), 1, 'override');
"""


@pytest.mark.parametrize(
    ("revision", "rows", "values"),
    [
        ("head", {}, {}),
        (later_schema.BEFORE, {"link": 1}, {f"link.{later_schema.COLUMN}": 2}),
        (
            "base",
            {
                "affiliation": 2, "link": 3, "model": 2, "outcome": 2, "policy": 1,
                "registry_release": 1, "resolver_version": 1, "source_record": 2,
            },
            {},
        ),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("later")
def test_what_a_way_down_loses_is_known_before_and_after(
    empty: Engine, revision: str, rows: dict[str, int], values: dict[str, int]
) -> None:
    upgrade(empty)
    with transaction(empty) as connection:
        connection.exec_driver_sql(STORED)
        connection.exec_driver_sql(
            f"UPDATE link SET {later_schema.COLUMN} = 'a' WHERE affiliation_id = 2"
        )
    found = losses(empty, revision)
    # A dry run: all of it is there.
    assert current(empty) == head()
    with transaction(empty) as connection:
        counted = text(f"SELECT count(*), count({later_schema.COLUMN}) FROM link")
        assert tuple(connection.execute(counted).one()) == (3, 2)
    assert (found.rows, found.values) == (rows, values)
    assert migrate(empty, revision) == found
    assert all(f"{table} ({count} rows)" in str(found) for table, count in rows.items())
    assert all(f"{column} ({count} values)" in str(found) for column, count in values.items())


NONE = """
    INSERT INTO link_override (text_hash, affiliation, ror_id, verdict, author, note) VALUES
        ('a', 'Oxford', NULL, 'none', 'ada', ''), ('b', 'ETH and PSI', '05a28rw58', 'is', 'ada', '');
    DELETE FROM link WHERE affiliation_id = 1;
    UPDATE outcome SET status = 'no_match', reason = 'overridden', overrides = '{1}'
    WHERE affiliation_id = 1;
"""


def test_decisions_that_the_earlier_schema_cannot_hold_are_dropped_and_their_answers_due(
    empty: Engine,
) -> None:
    upgrade(empty)
    with transaction(empty) as connection:
        connection.exec_driver_sql(STORED)
        connection.exec_driver_sql(NONE)
    assert losses(empty, "0010").rows == {"link_override": 1}
    migrate(empty, "0010")
    with transaction(empty) as connection:
        kept = connection.execute(text("SELECT verdict FROM link_override")).all()
        due = connection.execute(text("SELECT affiliation_id, cause FROM stale")).all()
    assert [*kept, *due] == [("is",), (1, "override")]
    migrate(empty)


def test_nothing_is_lost_where_nothing_is_stored(empty: Engine) -> None:
    upgrade(empty)
    assert not losses(empty, "base")


# Other versions of the code


def test_a_revision_that_does_not_exist_is_refused(engine: Engine) -> None:
    with pytest.raises(DatabaseOutdated, match="no_such"):
        migrate(engine, "no_such")
    assert current(engine) == head()


def test_a_database_of_a_later_version_is_left_alone(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseOutdated, match="9999"):
        migrate(engine)


@pytest.mark.usefixtures("later")
def test_a_database_of_an_earlier_version_asks_for_the_migration(engine: Engine) -> None:
    with pytest.raises(
        DatabaseOutdated, match=f"has schema {later_schema.BEFORE}.*run: resolver mig"
    ):
        require_schema(engine)
    upgrade(engine)
    require_schema(engine)


# Several at once, and broken off


def test_several_processes_may_migrate_at_once(empty: Engine) -> None:
    with ThreadPoolExecutor(3) as pool:
        # Alembic's context is global to a process, so one of these at a time gets that far;
        # that they do not fail on each other's tables is what the lock is for.
        list(pool.map(lambda _: upgrade(empty), range(3)))
    assert current(empty) == head()


@pytest.fixture
def apart(empty: Engine, empty_database_url: str) -> Iterator[Callable[[], Connection]]:
    """Opens further connections to the empty database."""
    engine = connect(empty_database_url)
    opened: list[Connection] = []

    def another() -> Connection:
        opened.append(engine.connect())
        return opened[-1]

    yield another
    for connection in opened:
        connection.close()
    engine.dispose()


def waits_for(connection: Connection, what: str, *, seconds: float = 30) -> None:
    """Until another process of this database is in such a statement and waits for a lock."""
    deadline = time.monotonic() + seconds
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND query LIKE :what"
    )
    while not connection.execute(query, {"what": f"%{what}%"}).scalar_one():
        connection.rollback()
        assert time.monotonic() < deadline, f"nobody waits in {what}"
        time.sleep(0.05)
    connection.rollback()


UPGRADE = """
import sys
from pathlib import Path
from resolver.database import connection, revision, schema
revision.MIGRATIONS = Path(sys.argv[1])
schema.upgrade(connection.connect(sys.argv[2]))
"""


@pytest.mark.slowest
def test_two_migrations_at_once_do_not_wait_for_each_other_for_ever(
    empty: Engine, empty_database_url: str, apart: Callable[[], Connection], later: Path
) -> None:
    """One that builds an index waits for all transactions, also of one that waits for the lock."""
    upgrade(empty, later_schema.BEFORE)
    reader, watcher = apart(), apart()
    reader.execution_options(isolation_level="REPEATABLE READ")
    reader.execute(text("SELECT count(*) FROM link"))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(upgrade, empty)
        waits_for(watcher, "CREATE INDEX CONCURRENTLY")
        # Another process, since Alembic's context belongs to one.
        second = subprocess.Popen(
            [sys.executable, "-c", UPGRADE, str(later), empty_database_url],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        advisory = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND query LIKE '%advisory_lock%'"
        )
        while not watcher.execute(advisory).scalar_one() and second.poll() is None:
            watcher.rollback()
            time.sleep(0.05)
        watcher.rollback()
        time.sleep(1)
        reader.rollback()
        first.result(timeout=120)
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 0, errors
    assert current(empty) == head() == later_schema.REVISION


@pytest.mark.parametrize("broken_off", ["killed", "waited too long"])
def test_a_first_migration_that_broke_off_has_left_nothing(
    empty: Engine, apart: Callable[[], Connection], broken_off: str
) -> None:
    other, watcher = apart(), apart()
    # Somebody creates a table of that name, and has not committed it.
    other.exec_driver_sql("CREATE TABLE past_link ()")
    with ThreadPoolExecutor(1) as pool:
        migration = pool.submit(upgrade, empty)
        waits_for(watcher, "CREATE TABLE affiliation")
        if broken_off == "killed":
            watcher.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND query LIKE '%CREATE TABLE affiliation%'"
                )
            )
        with pytest.raises(DatabaseUnavailable):
            migration.result(timeout=60)
    other.rollback()
    assert current(empty) is None
    assert inspect(empty).get_table_names() in ([], ["alembic_version"])
    upgrade(empty)
    check(empty)


@pytest.mark.usefixtures("later")
def test_a_later_migration_that_broke_off_is_completed_by_the_next(
    empty: Engine, apart: Callable[[], Connection]
) -> None:
    upgrade(empty, later_schema.BEFORE)
    with transaction(empty) as connection:
        connection.exec_driver_sql(STORED)
    reader = apart()
    reader.execute(text("LOCK TABLE link IN ACCESS SHARE MODE"))
    with pytest.raises(DatabaseUnavailable):
        upgrade(empty)  # the index is there, and the column must wait
    reader.rollback()
    assert current(empty) == later_schema.BEFORE
    upgrade(empty)
    assert current(empty) == head()
    with transaction(empty) as connection:
        counted = text(f"SELECT count(*) FROM link WHERE {later_schema.COLUMN} IS NULL")
        assert connection.execute(counted).scalar_one() == 3


def test_timeouts_of_migrations_do_not_stay_on_pooled_connections(empty: Engine) -> None:
    upgrade(empty)
    with transaction(empty) as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar() == "0"


# Names and comments


def test_check_finds_a_column_that_is_missing(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("ALTER TABLE model DROP COLUMN first_used_at"))
    with pytest.raises(DatabaseOutdated, match="first_used_at"):
        check(engine)


def test_one_thing_has_one_name_in_tables_and_views(engine: Engine) -> None:
    """What holds a sender's record calls its key alike."""
    columns: dict[str, set[str]] = {}
    with transaction(engine) as connection:
        for table, column in connection.exec_driver_sql(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public'"
        ):
            columns.setdefault(table, set()).add(column)
        (arguments,) = connection.exec_driver_sql(
            "SELECT proargnames FROM pg_proc WHERE proname = 'resolved_links_at'"
        ).scalars()
    keyed = {name: found for name, found in columns.items() if "position" in found}
    assert set(keyed) == {
        *("source_record", "past_record", "refused_record"),
        *("resolved_links", "unmatched", "pending", "link_history", "outdated", "linked_since"),
    }
    for name, found in {**keyed, "resolved_links_at": set(arguments)}.items():
        assert {"source", "external_id", "position"} <= found, name
        assert not {"source_id", "id_in_source", "record_id"} & found, name


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
    assert described == 33


def test_the_revision_needed_is_alembics_own(later: Path) -> None:
    scripts = ScriptDirectory(str(later))
    assert head() == scripts.get_current_head()
    known = {script.revision for script in scripts.walk_revisions()}
    assert all(map(revision.knows, known))
    assert not revision.knows("9999")
