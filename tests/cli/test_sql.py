"""``resolver sql``: it reads, whatever it is given, and what it prints others can read."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text
from support.command_line import Run, run_in
from support.paths import ROOT

from resolver.database import querying
from resolver.database.connection import connect, transaction
from resolver.errors import DatabaseUnavailable, SettingsError


@pytest.fixture
def ask(database_url: str, tmp_path: Path) -> Run:
    """The command, on a database with a password."""

    def run(*arguments: str, **options: object) -> object:
        given = {"RESOLVER_DATABASE_URL": database_url} | options.pop("env", {})  # type: ignore[operator]
        return run_in(tmp_path, "sql", *arguments, env=given, **options)

    return run  # type: ignore[return-value]


@pytest.fixture
def rows(database_url: str) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    engine = connect(database_url)

    def read(query: str) -> list[tuple[object, ...]]:
        with querying.asking(engine, query) as answer:
            return list(answer.rows)

    yield read
    engine.dispose()


QUERIES = {
    "percent": ("SELECT 1 WHERE 'Bonn' ILIKE '%bonn%'", [(1,)]),
    "percent and letter": ("SELECT 5 % 3, '%s', '%(x)s'", [(2, "%s", "%(x)s")]),
    "colon": ("SELECT ':x', 'a'::text", [(":x", "a")]),
    "semicolon": ("SELECT 1;", [(1,)]),
    "comments": ("-- one\n/* two */ SELECT 1 -- three", [(1,)]),
    "table": ("TABLE alembic_version LIMIT 0", []),
    "values": ("VALUES (1), (2)", [(1,), (2,)]),
    "with": ("WITH a AS (SELECT 1 AS one) SELECT one FROM a", [(1,)]),
    "show": ("SHOW transaction_read_only", [("on",)]),
    "json": ("""SELECT '{"a": [1, null]}'::json""", [('{"a": [1, null]}',)]),
    "forever": ("SELECT 'infinity'::timestamptz, '-infinity'::date", [("infinity", "-infinity")]),
    "null": ("SELECT NULL, ''", [(None, "")]),
}


@pytest.mark.parametrize("name", QUERIES)
def test_queries(rows: Callable[[str], list[tuple[object, ...]]], name: str) -> None:
    query, expected = QUERIES[name]
    assert rows(query) == expected


def test_a_plan_is_shown(rows: Callable[[str], list[tuple[object, ...]]]) -> None:
    assert "Seq Scan" in str(rows("/* why */ explain SELECT * FROM alembic_version"))


MISTAKES = {
    "division by zero": ("SELECT 1/0", "division by zero"),
    "in the second page": (
        "SELECT 1 / (n - 5000) FROM generate_series(1, 6000) AS n", "division by zero",
    ),
    "unknown table": ("SELECT * FROM nothing", 'relation "nothing" does not exist'),
    "unknown column": ("SELECT nothing FROM link", 'column "nothing" does not exist'),
    "typing error": ("SELEC 1", "syntax error"),
    "not closed": ("SELECT 'a", "unterminated quoted string"),
    "empty": ("", "there is no query"),
    "nothing but a semicolon": (" ;\n", "there is no query"),
    "nothing but a comment": ("-- nothing", "syntax error"),
    "not UTF-8": ("SELECT '\udcff'", "the query"),
    "NUL": ("SELECT '\0'", "the query"),
}  # fmt: skip

CHANGES = {
    "delete": "DELETE FROM witness",
    "insert": "INSERT INTO witness VALUES (2)",
    "update": "UPDATE witness SET number = 2",
    "truncate": "TRUNCATE witness",
    "drop": "DROP TABLE witness",
    "create": "CREATE TABLE another (number int)",
    "commit and create": "COMMIT; CREATE TABLE another (number int)",
    "select, commit and create": "SELECT 1; COMMIT; CREATE TABLE another (number int)",
    "rollback and create": "ROLLBACK; BEGIN; DROP TABLE witness; COMMIT",
    "explain and create": "EXPLAIN SELECT 1; COMMIT; CREATE TABLE another (number int)",
    "show and create": "SHOW server_version; COMMIT; CREATE TABLE another (number int)",
    "explain analyse": "EXPLAIN ANALYZE DELETE FROM witness",
    "write": "SET TRANSACTION READ WRITE",
    "write for good": "SET default_transaction_read_only = off",
    "write by a function": "SELECT set_config('transaction_read_only', 'off', false)",
    "data-modifying with": "WITH gone AS (DELETE FROM witness RETURNING 1) SELECT * FROM gone",
    "into": "SELECT 1 AS number INTO another",
    "lock for update": "SELECT * FROM witness FOR UPDATE",
    "block": "DO $$ BEGIN DELETE FROM witness; END $$",
    "function": "SELECT destroy()",
    "sequence": "SELECT nextval('counter')",
    "file of the server": "COPY witness TO '/tmp/resolver-witness'",
    "program of the server": "COPY witness TO PROGRAM 'true'",
    "out of the cursor": "SELECT 1) TO PROGRAM 'true' --",
    "call": "CALL away()",
    "explain a table": "EXPLAIN ANALYZE CREATE TABLE another AS SELECT 1",
}

UNDONE = "explain a table"


def refused() -> AbstractContextManager[object]:
    return pytest.raises(SettingsError, match="the query failed")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_clear_line(
    rows: Callable[[str], list[tuple[object, ...]]], name: str
) -> None:
    query, said = MISTAKES[name]
    with pytest.raises(SettingsError) as caught:
        rows(query)
    assert said in caught.value.problem
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_that_is_asked_changes_anything(
    rows: Callable[[str], list[tuple[object, ...]]], database_url: str, name: str
) -> None:
    """Not even as the administrator of the server."""
    engine = connect(database_url)
    with transaction(engine) as connection:
        for statement in (
            "CREATE TABLE witness (number int)",
            "INSERT INTO witness VALUES (1)",
            "CREATE SEQUENCE counter",
            "CREATE FUNCTION destroy() RETURNS int LANGUAGE sql AS 'DELETE FROM witness; SELECT 1'",
            "CREATE PROCEDURE away() LANGUAGE plpgsql AS 'BEGIN COMMIT; DELETE FROM witness; END'",
        ):
            connection.exec_driver_sql(statement)
    # Postgres takes the last one in a read-only transaction; it is not committed.
    with suppress(SettingsError) if name == UNDONE else refused():
        rows(CHANGES[name])
    with transaction(engine) as connection:
        found = connection.execute(text("SELECT number FROM witness")).scalars().all()
        assert found == [1]
        assert connection.execute(text("SELECT to_regclass('another')")).scalar() is None
        assert connection.execute(text("SELECT is_called FROM counter")).scalar() is False
    # Nor is the next query anything but read-only.
    assert rows("SHOW transaction_read_only") == [("on",)]
    engine.dispose()


def test_a_server_that_goes_away_is_told_as_that(database_url: str) -> None:
    engine = connect(database_url)
    with (
        pytest.raises(DatabaseUnavailable),
        querying.asking(engine, "SELECT pg_terminate_backend(pg_backend_pid())") as answer,
    ):
        list(answer.rows)
    engine.dispose()


VALUES = """SELECT 1 AS number, 0.1::numeric(4, 2) AS money, 2.5::numeric AS share,
    1.5::float8 AS score, true AS good, NULL::text AS nothing, 'Köln, "am" Rhein' AS place,
    DATE '2026-10-01' AS day, TIMESTAMPTZ '2026-10-01 12:00:00+02' AS moment,
    ARRAY['ETH', NULL, 'a,b'] AS names, ARRAY[1, 2] AS ranks,
    '{"a": {"b": [1, "x"]}}'::jsonb AS evidence, ROW(1, 'x') AS pair, '\\x0aff'::bytea AS bytes
"""


def test_csv(ask: Run) -> None:
    done = ask("--csv", VALUES, env={"PGTZ": "UTC", "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    [found] = csv.DictReader(io.StringIO(done.stdout))
    assert json.loads(found.pop("names")) == ["ETH", None, "a,b"]
    assert json.loads(found.pop("ranks")) == [1, 2]
    assert json.loads(found.pop("evidence")) == {"a": {"b": [1, "x"]}}
    assert json.loads(found.pop("pair")) == ["1", "x"]
    assert found == {
        "number": "1", "money": "0.10", "share": "2.5", "score": "1.5", "good": "true",
        "nothing": "", "place": 'Köln, "am" Rhein', "day": "2026-10-01",
        "moment": "2026-10-01 10:00:00+00", "bytes": "\\x0aff",
    }  # fmt: skip


def test_parquet(ask: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    done = ask("--parquet", "x.parquet", VALUES)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "x.parquet: 1 row\n"
    [found] = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert json.loads(found.pop("evidence")) == {"a": {"b": [1, "x"]}}
    assert json.loads(found.pop("pair")) == ["1", "x"]
    assert found == {
        "number": 1, "money": Decimal("0.10"), "share": 2.5, "score": 1.5, "good": True,
        "nothing": None, "place": 'Köln, "am" Rhein', "day": date(2026, 10, 1),
        "moment": datetime(2026, 10, 1, 10, tzinfo=UTC), "names": ["ETH", None, "a,b"],
        "ranks": [1, 2], "bytes": b"\x0a\xff",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kept", "type_"),
    [
        ("1::smallint", 1, "int16"),
        ("1::bigint", 1, "int64"),
        ("1.5::real", 1.5, "float"),
        ("TIME '12:30'", time(12, 30), "time64[us]"),
        ("TIMESTAMP '2026-10-01 12:00'", datetime(2026, 10, 1, 12), "timestamp[us]"),
        ("ARRAY[DATE '2026-10-01', NULL]", [date(2026, 10, 1), None], "list<element: date32[day]>"),
        ("ARRAY[0.5::real]", [0.5], "list<element: float>"),
        ("ARRAY[true, false]", [True, False], "list<element: bool>"),
        ("INTERVAL '1 day'", "1 day", "string"),
        ("NULL::bytea", None, "binary"),
    ],
)
def test_a_column_keeps_its_type_in_parquet(
    ask: Run, tmp_path: Path, value: str, kept: object, type_: str
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    done = ask("--parquet", "x.parquet", f"SELECT {value} AS value")
    assert done.returncode == 0, done.stderr
    table = parquet.read_table(tmp_path / "x.parquet")
    assert (table["value"].to_pylist(), str(table.schema.field("value").type)) == ([kept], type_)


def test_a_result_without_rows_is_a_file_with_columns(ask: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert ask("--parquet", "x.parquet", "SELECT 1 AS one WHERE false").returncode == 0
    table = parquet.read_table(tmp_path / "x.parquet")
    assert (table.num_rows, table.column_names) == (0, ["one"])


def test_without_pyarrow_it_says_what_to_install(ask: Run, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "pyarrow.py"
    missing.parent.mkdir()
    missing.write_text("raise ImportError('No module named pyarrow')")
    path = os.pathsep.join([str(missing.parent), str(ROOT)])
    done = ask("--parquet", "x.parquet", "SELECT 1", env={"PYTHONPATH": path})
    assert done.returncode == 1
    assert "needs pyarrow" in done.stderr
    assert "pip install 'affiliation-resolver[parquet]'" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--csv", "--parquet", "x", "SELECT 1"), "exclude each other"),
        (("--parquet", "x", "SELECT 1 AS a, 2 AS a"), "two columns have the name 'a'"),
        (("--parquet", "no/x", "SELECT 1"), "no/x: "),
        (("--parquet", "x", "SELECT 1/0"), "division by zero"),
        (("--parquet", "x", "SELECT 'infinity'::date"), "date too large"),
    ],
)
def test_what_cannot_be_written(
    ask: Run, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = ask(*arguments)
    assert done.returncode == 1
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_table_shows_all_rows_and_json_as_json(ask: Run) -> None:
    query = "SELECT n, json_build_object('n', n) AS object FROM generate_series(1, 2500) AS n"
    done = ask(query)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('{"n" : ') == 2500
    assert '{"n" : 2500}' in done.stdout
    nothing = ask("SELECT 1 AS number WHERE false")
    assert "number" in nothing.stdout


def test_the_query_may_come_by_standard_input(ask: Run) -> None:
    assert ask("--csv", input="SELECT 1 AS one;\n").stdout.split() == ["one", "1"]


MEMORY = """
import resource, sys
from pathlib import Path
from resolver.cli import query_files
from resolver.database import querying
from resolver.database.connection import connect
engine = connect(sys.stdin.readline().strip())
query = "SELECT n, repeat('x', 200) FROM generate_series(1, {rows}) AS n"
with querying.asking(engine, query, typed={parquet}) as answer:
    if {parquet}:
        query_files.write_parquet(Path("out.parquet"), answer)
    else:
        with open("out.csv", "w") as file:
            query_files.write_csv(file, answer)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize(("parquet", "few"), [(False, 1_000), (True, 60_000)])
def test_memory_does_not_grow_with_the_rows(
    database_url: str, tmp_path: Path, parquet: bool, few: int
) -> None:
    """MB at most; the larger result is of 80 MB. A Parquet file is written by 20,000 rows."""
    taken = [
        int(
            subprocess.run(
                [sys.executable, "-c", MEMORY.format(rows=rows, parquet=parquet)], input=f"{database_url}\n",
                cwd=tmp_path, capture_output=True, text=True, check=True,
            ).stdout
        )
        for rows in (few, 400_000)
    ]  # fmt: skip
    assert taken[1] < taken[0] + 20
