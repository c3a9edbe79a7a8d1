"""The roles of the schema, with users that log in: what they can do, and what not."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, text
from support import postgres_servers
from support.next_release import write_next_release
from support.paths import ROOT
from support.reviewing import ETH, GRAZ, OXFORD, answer, new_version

from resolver import sample
from resolver.answering.chunk import resolve_chunk
from resolver.answering.refresh import refresh_due
from resolver.curation import overrides, review
from resolver.curation.review import Action, Choice, Decided, Filters, LackingState
from resolver.database.connection import connect, driver, transaction
from resolver.database.forgetting import Ages, Forgotten, forget, forgettable
from resolver.database.records import withdraw
from resolver.database.revision import current, head, require_schema
from resolver.database.schema import downgrade, upgrade
from resolver.errors import DatabaseProblem
from resolver.matching.override import Override, Verdict
from resolver.network import addresses
from resolver.release.index import index_release
from resolver.release.load import load
from resolver.release.update import update
from resolver.service.installation import Installation
from resolver.service.parts import load_encoder
from resolver.service.service import open_service
from resolver.settings import Settings

COOKBOOK = ROOT / "docs" / "sql.md"
QUERIES = dict(
    re.findall(r"^## (.+?)\n(?:(?!^## ).)*?```sql\n(.*?)```", COOKBOOK.read_text(), re.M | re.S)
)
ROLES = ("resolver_writer", "resolver_reader", "resolver_curator")

Login = Callable[[str], Engine]


def as_user(url: str, user: str, password: str) -> str:
    return replace(addresses.read(url), user=user, password=password).written()


def run(engine: Engine, statement: str) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(statement)


@contextmanager
def logins(url: str) -> Iterator[Login]:
    """Makes users that are members of a role, and the engines that they log in by."""
    made: list[tuple[str, Engine]] = []
    engine = connect(url)

    def make(role: str) -> Engine:
        user, password = f"test_{uuid.uuid4().hex[:12]}", f"{uuid.uuid4().hex}@/ :%?"
        run(
            engine,
            f"CREATE ROLE {user} LOGIN PASSWORD '{password.replace('%', '%%')}' IN ROLE {role}",
        )
        made.append((user, connect(as_user(url, user, password))))
        return made[-1][1]

    yield make
    for user, opened in made:
        opened.dispose()
        # A closed connection's temporary tables go with its process, a moment later.
        while connected(engine, user):
            time.sleep(0.02)
        run(engine, f"DROP ROLE {user}")
    engine.dispose()


@pytest.fixture
def login(database_url: str) -> Iterator[Login]:
    with logins(database_url) as make:
        yield make


def connected(engine: Engine, user: str) -> int:
    with engine.connect() as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE usename = :user"
        return connection.execute(text(count), {"user": user}).scalar_one()


RECORDS: list[dict[str, object]] = [
    {"source": "crossref", "id": "10.1/a", "affiliation": "University of Oxford, UK"},
    {"source": "crossref", "id": "10.1/b", "affiliation": "Nowhere in particular"},
    {"source": "crossref", "id": "10.1/c", "affiliation": 7},
]


@pytest.mark.slow
def test_a_writer_does_all_of_the_work_and_a_reader_sees_it(
    tmp_path: Path, any_database_url: str
) -> None:
    with logins(any_database_url) as login:
        work(tmp_path, login("resolver_writer"), login("resolver_reader"))


def work(tmp_path: Path, writer: Engine, reader: Engine) -> None:
    settings = Settings(_env_file=None, home=tmp_path, threads=1)  # type: ignore[call-arg]

    require_schema(writer)
    load(writer, sample.REGISTRY, rejects=tmp_path / "rejects.jsonl")
    installation = Installation(settings, engine=writer)
    indexed = index_release(installation, load_encoder(settings))
    installation.store.activate(indexed.manifest.version)
    with open_service(installation) as opened:
        resolve_chunk(writer, opened.matcher, opened.version.id, RECORDS, opened.policy(None))
        said = Override(None, "Nowhere in particular", "052gg0110", Verdict.IS, "ada")
        assert overrides.add(writer, [said]).answers == 1
        update(installation, write_next_release(tmp_path), refresh=False)
        assert opened.follow()
        assert refresh_due(opened).resolved > 0
    assert withdraw(writer, [("crossref", "10.1/a", None)]).records == 1
    assert forgettable(reader, Ages(withdrawn=0)).texts == 1
    with pytest.raises(DatabaseProblem, match="may not delete"):
        forget(reader, Ages(withdrawn=0))

    with transaction(reader) as connection:
        found = {name: len(connection.exec_driver_sql(sql).all()) for name, sql in QUERIES.items()}
        for table in ("refused_record", "past_record", "past_outcome"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 1
    assert found["Links that a curator made"] == 1
    assert forget(writer, Ages(withdrawn=0, past=0, refused=0)).texts == 1
    assert forgettable(reader, Ages(withdrawn=0, past=0, refused=0)) == Forgotten()


FORBIDDEN = {
    "drop a table": "DROP TABLE link",
    "change a table": "ALTER TABLE link ADD COLUMN more text",
    "make a table": "CREATE TABLE more (id int)",
    "empty a table": "TRUNCATE link CASCADE",
    "change a view": "CREATE OR REPLACE VIEW pending AS SELECT 1",
    "drop a function": "DROP FUNCTION resolved_links_at",
    "make a role": "CREATE ROLE another",
    "give itself privileges": "SELECT resolver_grants()",
    "say what schema it is": "UPDATE alembic_version SET version_num = '9999'",
    "run a program": "COPY link TO PROGRAM 'cat'",
    "read a file of the server": "SELECT pg_read_file('postgresql.conf')",
    "become the other role": "SET ROLE {other}",
}
READERS_ONLY = {
    "insert": "INSERT INTO policy (fingerprint, settings) VALUES ('x', '{}')",
    "update": "UPDATE source_record SET source = 'x'",
    "delete": "DELETE FROM outcome",
    "update through a view": "UPDATE pending SET source = 'x'",
    "lock a table": "LOCK TABLE link IN ACCESS EXCLUSIVE MODE",
}
REVIEWERS_TOO = {
    "say what an override says": "UPDATE link_override SET ror_id = 'x'",
    "delete an override": "DELETE FROM link_override",
    "say what a decision says": "UPDATE review_decision SET ror_ids = '{}'",
    "delete a decision": "DELETE FROM review_decision",
    "say how doubtful an item is": "UPDATE review_item SET priority = 1",
    "make an item": "INSERT INTO review_item DEFAULT VALUES",
    "delete an item": "DELETE FROM review_item",
    "delete a request": "DELETE FROM review_lacking",
    "take a mark away": "DELETE FROM stale",
    "change an answer": "UPDATE outcome SET reason = NULL",
}


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_may_not_do(login: Login, role: str) -> None:
    user = login(role)
    forbidden = dict(FORBIDDEN)
    if role != "resolver_writer":
        forbidden |= READERS_ONLY
    if role == "resolver_curator":
        forbidden |= REVIEWERS_TOO
    other = next(one for one in ROLES if one != role)
    refused = {}
    for what, statement in forbidden.items():
        with user.connect() as opened:
            connection = driver(opened)
            try:
                connection.execute(statement.replace("{other}", other).encode())
            except psycopg.errors.InsufficientPrivilege:
                refused[what] = True
            except psycopg.errors.ObjectNotInPrerequisiteState:  # a view that nobody can write to
                refused[what] = True
            connection.rollback()
    assert refused == dict.fromkeys(forbidden, True)


def test_a_reviewer_reviews(engine: Engine, login: Login) -> None:
    answer(engine, new_version(engine), {"Graz and Oxford": {GRAZ: 0.9, ETH: 0.6}})
    curator = login("resolver_curator")
    said = Override(None, "Graz and Oxford", ETH, Verdict.IS, "bo")
    overrides.add(engine, [said])
    taken = review.take(curator, Filters(), "ada")
    assert taken is not None
    assert review.renew(curator, taken.affiliation_id, "ada")
    change = Choice(UUID(int=1), taken.affiliation_id, Action.CHANGE, "ada", (GRAZ, OXFORD))
    decided = review.decide(curator, change)
    assert isinstance(decided, Decided)
    assert decided.due
    assert review.undo(curator, decided.ids[0], "ada").decisions == decided.ids
    lacking = Choice(UUID(int=2), taken.affiliation_id, Action.LACKING, "ada", seen=decided.ids[0])
    assert isinstance(review.decide(curator, lacking), Decided)
    (request,) = review.lacking(curator)
    sent = review.update_lacking(curator, request.cluster, "ada", state=LackingState.SENT)
    assert sent.state is LackingState.SENT
    assert len(list(review.labels(curator))) == 1
    assert review.figures(curator).texts == 1


def test_what_later_migrations_make_is_theirs_too(engine: Engine, login: Login) -> None:
    run(engine, "CREATE TABLE later (id int GENERATED ALWAYS AS IDENTITY, word text)")
    run(login("resolver_writer"), "INSERT INTO later (word) VALUES ('x')")
    reader = login("resolver_reader")
    with transaction(reader) as connection:
        assert connection.exec_driver_sql("SELECT word FROM later").scalar() == "x"
    with pytest.raises(Exception, match="permission denied"):
        run(reader, "DELETE FROM later")


# A server of its own: roles belong to all of its databases


@pytest.fixture(scope="module", params=["newest", "oldest"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    installed = postgres_servers.from_wheels() | postgres_servers.from_distribution()
    wanted = max(installed) if request.param == "newest" else min(installed)
    with postgres_servers.server(installed[wanted]) as url:
        yield url


@contextmanager
def database(server: str, name: str, owner: str | None = None) -> Iterator[Engine]:
    """A database; its owner's password is the owner's name."""
    administrator = connect(server)
    run(administrator, f"CREATE DATABASE {name} OWNER {owner or 'postgres'}")
    there = as_user(server, owner, owner) if owner else server
    engine = connect(replace(addresses.read(there), path=f"/{name}").written())
    yield engine
    engine.dispose()
    run(administrator, f"DROP DATABASE {name} WITH (FORCE)")
    administrator.dispose()


@pytest.fixture
def administrator(server: str) -> Iterator[Engine]:
    engine = connect(server)
    yield engine
    engine.dispose()


def existing(server: Engine) -> set[str]:
    with server.connect() as connection:
        found = connection.execute(
            text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names)"), {"names": list(ROLES)}
        )
        return {row.rolname for row in found}


def may_read(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.execute(
                text("SELECT has_table_privilege('resolver_reader', 'link', 'SELECT')")
            ).scalar()
        )


@pytest.mark.slow
def test_who_may_not_make_roles_migrates_all_the_same(
    server: str, administrator: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    run(administrator, "CREATE ROLE tenant LOGIN PASSWORD 'tenant'")
    with database(server, "rented", owner="tenant") as rented:
        with caplog.at_level(logging.WARNING):
            upgrade(rented)
        assert current(rented) == head()
        assert existing(administrator) == set()
        (told,) = (r.getMessage() for r in caplog.records if r.name.startswith("resolver."))
        needed = re.findall(r"CREATE ROLE \w+ NOLOGIN;", told)
        assert len(needed) == len(ROLES)

        for statement in needed:
            run(administrator, statement)
        caplog.clear()
        upgrade(rented)
        assert not caplog.records
        assert may_read(rented)
        downgrade(rented, "base")
        # Who may not make them may not drop them either.
        assert existing(administrator) == set(ROLES)
    run(administrator, f"DROP ROLE tenant, {', '.join(ROLES)}")


@pytest.mark.slow
def test_roles_go_with_the_last_that_needs_them(server: str, administrator: Engine) -> None:
    with database(server, "one") as one, database(server, "other") as other:
        upgrade(one)
        upgrade(other)
        upgrade(other)
        assert existing(administrator) == set(ROLES)
        downgrade(one, "base")
        assert existing(administrator) == set(ROLES)
        assert may_read(other)
        run(administrator, "CREATE ROLE analyst LOGIN IN ROLE resolver_reader")
        downgrade(other, "base")
        assert existing(administrator) == {"resolver_reader"}
        upgrade(other)
        run(administrator, "DROP ROLE analyst")
        downgrade(other, "base")
        assert existing(administrator) == set()
