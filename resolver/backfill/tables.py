"""DuckDB, for what must be sorted, joined or made distinct and may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from resolver.errors import BackfillError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 50_000
"""Rows that go from DuckDB to Python at a time."""


class Tables:
    """Tables in a file that goes with the `with` block."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, statement: str, **tables: Any) -> None:
        """Run a statement that may read the Arrow tables, data sets or readers in `tables` by their
        names."""
        with _named_errors():
            for name, table in tables.items():
                self._connection.register(name, table)
            # To the end: a statement is done when its result is read.
            self._connection.execute(statement).fetchall()
            for name in tables:
                self._connection.unregister(name)

    def value(self, query: str) -> int:
        """The one number that a query asks for."""
        with _named_errors():
            return int(self._connection.execute(query).fetchall()[0][0])

    def batches(self, query: str, *, rows: int = ROWS, **tables: Any) -> Iterator[pa.RecordBatch]:
        """The rows of a query, in no order unless it asks for one; `tables` as for `run`. Other
        statements may be run meanwhile."""
        with _named_errors():
            cursor = self._connection.cursor()
            try:
                for name, table in tables.items():
                    cursor.register(name, table)
                yield from cursor.sql(query).to_arrow_reader(rows)
            finally:
                cursor.close()


@contextmanager
def opened(*, scratch: Path | None, memory: str | None) -> Iterator[Tables]:
    """`scratch` is the folder for what memory has no room for, None: that of the system's temporary
    files; `memory` the most that DuckDB takes, as "8GB", None: most of the machine's.

    Raises:
        SettingsError: DuckDB is missing, or `memory` is no size.
    """
    try:
        import duckdb
    except ImportError as error:
        raise SettingsError(
            "this needs DuckDB", remedy="pip install 'affiliation-resolver[backfill]'"
        ) from error
    with TemporaryDirectory(prefix="resolver-backfill-", dir=scratch) as folder:
        configuration = {
            "temp_directory": f"{folder}/spilled",
            # Nothing is fetched from anywhere.
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        }
        if memory:
            configuration["memory_limit"] = memory
        try:
            connection = duckdb.connect(f"{folder}/tables.duckdb", config=configuration)
        except duckdb.Error as error:
            raise SettingsError(str(error).splitlines()[0]) from error
        try:
            yield Tables(connection)
        finally:
            connection.close()


@contextmanager
def _named_errors() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise BackfillError(
            str(error).splitlines()[0],
            remedy="allow more with --memory, or name a folder with more room with --scratch",
        ) from error
    except duckdb.Error as error:
        raise BackfillError(str(error).splitlines()[0]) from error
