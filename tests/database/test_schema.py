from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, inspect, text

from resolver.database.answers import intake, save
from resolver.database.connection import connect, transaction
from resolver.database.due_answers import due
from resolver.database.overrides import add
from resolver.database.resolver_versions import find_resolver, put_in_use, resolvers
from resolver.database.schema import (
    check,
    current,
    downgrade,
    head,
    losses,
    migrate,
    upgrade,
)
from resolver.errors import DatabaseOutdated, DatabaseUnavailable
from resolver.intake.record import SourceRecord
from resolver.matching.outcome import Link, Outcome, Reason
from resolver.matching.override import Override, Verdict
from resolver.matching.policy import Policy

OXFORD = Link("052gg0110", "University of Oxford", "Oxford", 3.0, 0.8, 1)

VIEWS = {
    "drift",
    "link_history",
    "organisations",
    "outdated",
    "override_problems",
    "pending",
    "resolved_links",
    "unresolved",
}


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


BEFORE_POLICIES = """
    INSERT INTO registry_release (version, sha256, source, organisation_count, rejected_count)
    VALUES ('v2.9', 'aa', 'v2.9.json', 0, 0);
    INSERT INTO model (role, name, fingerprint) VALUES ('encoder', 'b', 'e'), ('reranker', 'b', 'r');
    INSERT INTO resolver_version
        (release_id, encoder_id, reranker_id, settings, fingerprint, is_current)
    VALUES
        (1, 1, 2, '{"accept_probability": 0.5, "max_links": 10, "judge": "1"}', '1', false),
        (1, 1, 2, '{"accept_probability": 0.9, "max_links": 10, "judge": "1"}', '2', false),
        (1, 1, 2, '{"accept_probability": 0.5, "max_links": 10, "judge": "2"}', '3', true);
    INSERT INTO affiliation (text_hash, text) VALUES ('a', 'Oxford'), ('b', 'ETH'), ('c', 'Later');
    INSERT INTO source_record (source, external_id, position, affiliation_id, raw_text)
    SELECT 'crossref', text, 0, id, text FROM affiliation;
    INSERT INTO outcome (affiliation_id, resolver_version_id, status, reason)
    VALUES (1, 1, 'linked', null), (2, 2, 'linked', null);
    INSERT INTO link (affiliation_id, ror_id, resolver_version_id, rank, score, probability,
                      name, matched_name)
    VALUES (1, '052gg0110', 1, 1, 3, 0.8, 'University of Oxford', 'Oxford'),
           (2, '05a28rw58', 2, 1, 4, 0.95, 'ETH Zurich', 'ETH'),
           (2, '02crff812', 2, 2, 4, 0.91, 'University of Zurich', 'Zurich');
"""

LINKS = "SELECT affiliation_id, ror_id, resolver_version_id, rank FROM link ORDER BY 1, 4"


def test_answers_get_the_policy_of_their_resolver_version(empty: Engine) -> None:
    upgrade(empty, "0001")
    with transaction(empty) as connection:
        connection.exec_driver_sql(BEFORE_POLICIES)
        before = connection.execute(text(LINKS)).fetchall()
    upgrade(empty)
    check(empty)
    policies = {"Oxford": Policy(), "ETH": Policy(accept_probability=0.9), "Later": Policy()}
    with transaction(empty) as connection:
        assert connection.execute(text(LINKS)).fetchall() == before
        sent = connection.execute(
            text(
                "SELECT a.text, p.fingerprint, p.settings, o.policy_id = p.id"
                " FROM source_record s JOIN policy p ON p.id = s.policy_id"
                " JOIN affiliation a ON a.id = s.affiliation_id"
                " LEFT JOIN outcome o ON o.affiliation_id = a.id"
            )
        ).fetchall()
        assert connection.execute(text("SELECT count(*) FROM policy")).scalar() == 2
        shown = connection.execute(
            text("SELECT affiliation, ror_id, policy, stands_for, evidence FROM resolved_links")
        ).fetchall()
        pending = connection.execute(text("SELECT affiliation FROM pending")).fetchall()
    assert {name: (fingerprint, settings) for name, fingerprint, settings, _ in sent} == {
        name: (policy.fingerprint, policy.as_object()) for name, policy in policies.items()
    }
    assert {name: same for name, *_, same in sent} == {"Oxford": True, "ETH": True, "Later": None}
    assert sorted((name, ror_id) for name, ror_id, *_ in shown) == [
        ("ETH", "02crff812"),
        ("ETH", "05a28rw58"),
        ("Oxford", "052gg0110"),
    ]
    assert all(row[2:] == (policies[row[0]].as_object(), [], None) for row in shown)
    assert pending == [("Later",)]


def test_going_back_keeps_the_newest_answer(empty: Engine) -> None:
    upgrade(empty, "0001")
    with transaction(empty) as connection:
        connection.exec_driver_sql(BEFORE_POLICIES)
        before = connection.execute(text(LINKS)).fetchall()
    upgrade(empty)
    # Under another policy: ETH by a later resolver version, Oxford by an earlier one.
    save(empty, 3, [(2, Outcome("", reason=Reason.AMBIGUOUS))], Policy(max_links=1))
    with transaction(empty) as connection:
        connection.execute(
            text("UPDATE outcome SET resolver_version_id = 2 WHERE affiliation_id = 1")
        )
    put_in_use(empty, 1)
    save(empty, 1, [(1, Outcome("", reason=Reason.AMBIGUOUS))], Policy(max_links=1))
    downgrade(empty, "0001")
    with transaction(empty) as connection:
        assert connection.execute(text(LINKS)).fetchall() == before[:1]
        kept = connection.execute(
            text("SELECT affiliation_id, resolver_version_id, status FROM outcome ORDER BY 1")
        ).fetchall()
        assert connection.execute(text("SELECT count(*) FROM resolved_links")).scalar() == 1
    assert kept == [(1, 2, "linked"), (2, 3, "no_match")]
    upgrade(empty)
    check(empty)


@pytest.mark.parametrize(
    ("revision", "rows", "values"),
    [
        ("head", {}, {}),
        ("0004", {}, {}),
        (
            "0001",
            {"link": 1, "outcome": 1, "policy": 3},
            {"link.policy_id": 4, "outcome.policy_id": 3, "source_record.policy_id": 3},
        ),
        (
            "base",
            {
                "affiliation": 3, "link": 4, "model": 2, "outcome": 3, "policy": 3,
                "registry_release": 1, "resolver_version": 3, "source_record": 3,
            },
            {},
        ),
    ],
)  # fmt: skip
def test_what_a_way_down_loses_is_known_before_and_after(
    empty: Engine, revision: str, rows: dict[str, int], values: dict[str, int]
) -> None:
    upgrade(empty, "0001")
    with transaction(empty) as connection:
        connection.exec_driver_sql(BEFORE_POLICIES)
    upgrade(empty)
    # A second answer to one of the affiliations.
    save(empty, 3, [(1, Outcome("", (OXFORD,)))], Policy(max_links=1))
    found = losses(empty, revision)
    # A dry run: all of it is there.
    assert current(empty) == head()
    check(empty)
    with transaction(empty) as connection:
        assert connection.execute(text("SELECT count(*) FROM link")).scalar() == 4
    wanted = {name: found.values.get(name) for name in values}
    assert (found.rows, wanted) == (rows, values)
    assert migrate(empty, revision) == found
    assert all(f"{table} ({count} rows)" in str(found) for table, count in rows.items())


def test_nothing_is_lost_where_nothing_is_stored(empty: Engine) -> None:
    upgrade(empty)
    assert not losses(empty, "base")


BEFORE_HISTORY = """
    INSERT INTO registry_release
        (version, sha256, source, organisation_count, rejected_count, is_current)
    VALUES ('v2.8', 'aa', 'v2.8.json', 0, 0, false), ('v2.9', 'bb', 'v2.9.json', 0, 0, true);
    INSERT INTO model (role, name, fingerprint) VALUES ('encoder', 'b', 'e'), ('reranker', 'b', 'r');
    INSERT INTO resolver_version
        (release_id, encoder_id, reranker_id, settings, fingerprint, is_current)
    VALUES (1, 1, 2, '{}', '1', true), (1, 1, 2, '{}', '2', false), (2, 1, 2, '{}', '3', false),
           (2, 1, 2, '{}', '4', false);
    INSERT INTO policy (fingerprint, settings) VALUES ('p', '{}');
    INSERT INTO affiliation (text_hash, text) VALUES ('a', 'Oxford'), ('b', 'ETH');
    INSERT INTO source_record (source, external_id, position, affiliation_id, policy_id, raw_text)
    SELECT 'crossref', text, 0, id, 1, text FROM affiliation;
    INSERT INTO outcome (affiliation_id, policy_id, resolver_version_id, status, reason)
    VALUES (1, 1, 2, 'linked', null), (2, 1, 4, 'no_match', 'ambiguous');
    INSERT INTO link (affiliation_id, policy_id, ror_id, resolver_version_id, rank, score,
                      probability, name, matched_name)
    VALUES (1, 1, '052gg0110', 2, 1, 3, 0.8, 'University of Oxford', 'Oxford');
"""


def test_old_answers_are_kept_and_due(empty: Engine) -> None:
    upgrade(empty, "0002")
    columns = "ror_id, score, resolved_at"
    shown = text(f"SELECT source_id, {columns} FROM resolved_links")
    with transaction(empty) as connection:
        connection.exec_driver_sql(BEFORE_HISTORY)
        before = connection.execute(shown).fetchall()
        files = {
            row[0]: row[1]
            for row in connection.exec_driver_sql(
                "SELECT relname, relfilenode FROM pg_class"
                " WHERE relname IN ('outcome', 'link', 'source_record', 'affiliation')"
            )
        }
    upgrade(empty)
    check(empty)
    shown = text(f"SELECT external_id, {columns} FROM resolved_links")
    with transaction(empty) as connection:
        assert connection.execute(shown).fetchall() == before
        assert {
            row[0]: row[1]
            for row in connection.exec_driver_sql(
                "SELECT relname, relfilenode FROM pg_class WHERE relname = ANY(%s)", ([*files],)
            )
        } == files  # no table was rewritten
        moment = connection.execute(text("SELECT now()")).scalar_one()
        then = connection.execute(
            text(f"SELECT external_id, {columns} FROM resolved_links_at(:moment)"),
            {"moment": moment},
        ).fetchall()
    assert then == before
    # In the order of their ids, the present one last; the third never gave an answer.
    assert {one.id: one.generation for one in resolvers(empty)} == {1: 3, 2: 1, 3: None, 4: 2}
    current_version = find_resolver(empty, 1)
    assert (current_version.is_current, current_version.carries_id) == (True, None)
    assert current_version.selected_at is not None
    assert (current_version.index_version, current_version.configuration) == (None, {})
    assert [one.text for one in due(empty, 1, limit=9)] == ["Oxford", "ETH"]


MARKED = """
    INSERT INTO stale (affiliation_id, policy_id, cause)
    VALUES (1, 1, 'organisation added'), (2, 1, 'override')
"""


def test_marks_become_those_of_a_version(empty: Engine) -> None:
    upgrade(empty, "0002")
    with transaction(empty) as connection:
        connection.exec_driver_sql(BEFORE_HISTORY)
    upgrade(empty, "0005")
    with transaction(empty) as connection:
        connection.exec_driver_sql(MARKED)
    upgrade(empty)
    check(empty)
    marks = text("SELECT affiliation_id, resolver_version_id FROM stale ORDER BY 1")
    with transaction(empty) as connection:
        # The version in use, and for the override the one that gave the answer.
        assert connection.execute(marks).fetchall() == [(1, 1), (2, 4)]
        connection.exec_driver_sql("INSERT INTO stale VALUES (1, 1, 'override', NULL, now(), 2)")
    downgrade(empty, "0005")
    with transaction(empty) as connection:
        kept = connection.execute(text("SELECT affiliation_id, cause FROM stale")).fetchall()
    assert kept == [(1, "organisation added")]
    upgrade(empty)
    check(empty)


def test_an_index_that_was_half_built_is_built_again(empty: Engine) -> None:
    upgrade(empty, "0005")
    with empty.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = "ix_outcome_resolver_version_id_affiliation_id_policy_id"
        connection.exec_driver_sql(f"CREATE INDEX {name} ON outcome (status)")
        connection.exec_driver_sql(
            f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass"
        )
    upgrade(empty)
    check(empty)


def test_going_back_drops_history_and_overrides(empty: Engine) -> None:
    upgrade(empty)
    corrected = BEFORE_HISTORY.replace("('v2.8', 'aa'", "('v2.9', 'aa'")
    with transaction(empty) as connection:
        connection.exec_driver_sql(corrected)
    add(empty, [Override(None, "Oxford", "05a28rw58", Verdict.IS, "ada")])
    eth = Link("05a28rw58", "ETH Zurich", "ETH Zurich", None, 1.0, 1)
    save(empty, 1, [(1, Outcome("", (eth,), overrides=(1,)))])
    downgrade(empty, "0002")
    links = text("SELECT ror_id, score FROM link ORDER BY ror_id")
    with transaction(empty) as connection:
        assert connection.execute(links).fetchall() == [("052gg0110", 3), ("05a28rw58", 0)]
        versions = text("SELECT version FROM registry_release ORDER BY id")
        assert connection.execute(versions).scalars().all() == ["v2.9 aa", "v2.9"]
    assert "past_link" not in inspect(empty).get_table_names()
    upgrade(empty)
    check(empty)


def test_going_back_drops_how_links_began(empty: Engine) -> None:
    upgrade(empty)
    with transaction(empty) as connection:
        connection.exec_driver_sql(BEFORE_HISTORY)
    eth = Link("05a28rw58", "ETH Zurich", "ETH Zurich", None, 1.0, 1)
    stored = intake(empty, 1, [SourceRecord("crossref", "new", "ETH Zurich")])
    save(empty, 1, [(one.id, Outcome("", (eth,))) for one in stored])
    add(empty, [Override(None, "Forgotten", "05a28rw58", Verdict.IS, "ada")])
    shown = "SELECT {}, ror_id, valid_from, valid_to, end_reason, continued FROM link_history"
    with transaction(empty) as connection:
        connection.exec_driver_sql("UPDATE link_override SET affiliation = NULL")
        before = connection.exec_driver_sql(shown.format("external_id")).fetchall()
    downgrade(empty, "0005")
    with transaction(empty) as connection:
        assert connection.exec_driver_sql(shown.format("source_id")).fetchall() == before
        at = "SELECT source_id FROM resolved_links_at(now()) ORDER BY 1"
        assert connection.exec_driver_sql(at).scalars().all() == ["Oxford", "new"]
        said = connection.exec_driver_sql("SELECT affiliation FROM link_override").scalar_one()
        assert said.startswith("forgotten ")
    upgrade(empty)
    check(empty)


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


# Large tables that are in use


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


LOCK_TIMEOUT_OF_MIGRATIONS = 5.0
"""Seconds, as env.py sets it."""


@pytest.mark.parametrize(
    ("before", "after", "index"),
    [
        pytest.param("0002", "0003", "ix_link_runner_up", id="links"),
        pytest.param("0005", "0006", "pk_stale_of_version", id="marks"),
        pytest.param("0006", "0007", "ix_past_outcome_ended_at", id="the past"),
    ],
)
def test_who_writes_does_not_wait_for_an_index(
    empty: Engine, apart: Callable[[], Connection], before: str, after: str, index: str
) -> None:
    upgrade(empty, "0002")
    with transaction(empty) as connection:
        connection.exec_driver_sql(BEFORE_HISTORY)
    upgrade(empty, before)
    reader, writer = apart(), apart()
    reader.execution_options(isolation_level="REPEATABLE READ")
    reader.execute(text("SELECT count(*) FROM link"))  # a query that takes long
    with ThreadPoolExecutor(1) as pool:
        migration = pool.submit(upgrade, empty, after)
        try:
            waits_for(writer, f"INDEX CONCURRENTLY {index}")
            # Longer than a migration waits for a lock that would make others wait.
            time.sleep(LOCK_TIMEOUT_OF_MIGRATIONS + 0.5)
            writer.execute(text("SET lock_timeout = '1s'"))
            for table in ("link", "outcome", "past_outcome", "past_record", "refused_record"):
                if inspect(writer).has_table(table):
                    writer.execute(text(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE"))
            writer.execute(text("UPDATE link SET rank = 2"))
            writer.commit()
        finally:
            reader.rollback()
        migration.result(timeout=60)
    assert current(empty) == after


def test_two_migrations_at_once_do_not_wait_for_each_other_for_ever(
    empty: Engine, empty_database_url: str, apart: Callable[[], Connection]
) -> None:
    """Who builds an index waits for all transactions, also for one that waits for the lock."""
    upgrade(empty, "0002")
    reader, watcher = apart(), apart()
    reader.execution_options(isolation_level="REPEATABLE READ")
    reader.execute(text("SELECT count(*) FROM link"))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(upgrade, empty)
        waits_for(watcher, "CREATE INDEX CONCURRENTLY")
        # Another process, since Alembic's context belongs to one.
        second = subprocess.Popen(
            [sys.executable, "-m", "resolver.cli", "migrate"],
            env=os.environ | {"RESOLVER_DATABASE_URL": empty_database_url},
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
    _, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert current(empty) == head()


@pytest.mark.parametrize("broken_off", ["in the index", "behind it"])
def test_a_migration_that_broke_off_is_completed_by_the_next(
    empty: Engine, apart: Callable[[], Connection], broken_off: str
) -> None:
    upgrade(empty, "0002")
    with transaction(empty) as connection:
        connection.exec_driver_sql(BEFORE_HISTORY)
    other = apart()
    whole = text(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_link_runner_up')"
    )
    if broken_off == "in the index":
        other.execution_options(isolation_level="REPEATABLE READ")
        other.execute(text("SELECT count(*) FROM link"))
        watcher = apart()
        with ThreadPoolExecutor(1) as pool:
            migration = pool.submit(upgrade, empty)
            waits_for(watcher, "CREATE INDEX CONCURRENTLY ix_link_runner_up")
            watcher.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <>"
                    " pg_backend_pid() AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
                )
            )
            with pytest.raises(DatabaseUnavailable):
                migration.result(timeout=60)
        assert watcher.execute(whole).scalar_one() is False
    else:
        other.execute(text("LOCK TABLE outcome IN ACCESS SHARE MODE"))
        with pytest.raises(DatabaseUnavailable):
            upgrade(empty)
        assert other.execute(whole).scalar_one() is True
    other.rollback()
    assert current(empty) == "0002"
    upgrade(empty)
    check(empty)
    with transaction(empty) as connection:
        assert connection.execute(whole).scalar_one() is True
        assert connection.execute(text("SELECT count(*) FROM link")).scalar_one() == 1


def test_timeouts_of_migrations_do_not_stay_on_pooled_connections(empty: Engine) -> None:
    upgrade(empty)
    with transaction(empty) as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar() == "0"


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
        *("resolved_links", "unresolved", "pending", "link_history", "outdated"),
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
    assert described == 23
