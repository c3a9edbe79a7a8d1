"""The answers given so far for the texts of a file, kept on the disk until the file is done.

Each distinct text is answered once. Whoever is interrupted goes on with the texts that are left.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from resolver.errors import DiskFull, SettingsError

Answer = dict[str, Any]
"""What is written for a text: ``{"links": [{"ror_id", "name", …}], "reason"}``."""

_TABLES = """
CREATE TABLE IF NOT EXISTS given_by (configuration TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS text (
    number INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    text BLOB NOT NULL,
    rows INTEGER NOT NULL,
    answer BLOB
);
CREATE INDEX IF NOT EXISTS unanswered ON text (number) WHERE answer IS NULL;
"""


class AnswerStore:
    """The distinct texts of a file, in the order in which they first come, and their answers.

    `configuration` is all that answers depend on. If the stored ones were given under another one,
    they are dropped; `dropped` says how many. A text is known by 16 bytes of BLAKE2b.

    Raises (each method):
        SettingsError: another process uses the file, or it is no store.
        DiskFull: there is no room for it.
    """

    def __init__(self, path: Path, configuration: Mapping[str, object]) -> None:
        self._path = path
        self.dropped = 0
        with self._reporting():
            self._store = sqlite3.connect(path, isolation_level=None, timeout=0)
            try:
                self._open(orjson.dumps(configuration, option=orjson.OPT_SORT_KEYS).decode())
            except BaseException:
                self._store.close()
                raise

    def _open(self, configuration: str) -> None:
        # The lock is held until the store is closed: two commands would write one output.
        self._store.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._store.execute("BEGIN EXCLUSIVE")
        for statement in _TABLES.split(";"):
            self._store.execute(statement)
        stored = self._store.execute("SELECT configuration FROM given_by").fetchone()
        if stored != (configuration,):
            ((self.dropped,),) = self._store.execute("SELECT count(answer) FROM text").fetchall()
            self._store.execute("DELETE FROM text")
            self._store.execute("DELETE FROM given_by")
            self._store.execute("INSERT INTO given_by VALUES (?)", (configuration,))
        self._store.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.close()

    def count(self, texts: Iterable[str]) -> None:
        """Take in the texts of all rows of the file, in order."""
        with self._transaction():
            self._store.execute("UPDATE text SET rows = 0 WHERE rows > 0")
            self._store.executemany(
                "INSERT INTO text (digest, text, rows) VALUES (?, ?, 1) "
                "ON CONFLICT DO UPDATE SET rows = rows + 1",
                ((_digest(written), written) for written in map(_bytes, texts)),
            )

    def rows(self) -> tuple[int, int]:
        """The rows of the file, and those of them whose text has an answer."""
        with self._reporting():
            ((rows, answered),) = self._store.execute(
                "SELECT coalesce(sum(rows), 0), "
                "coalesce(sum(rows) FILTER (WHERE answer IS NOT NULL), 0) FROM text"
            ).fetchall()
        return rows, answered

    def unanswered(self, most: int) -> list[tuple[int, str, int]]:
        """The next texts without an answer: number, text, and rows that have it."""
        with self._reporting():
            found = self._store.execute(
                "SELECT number, text, rows FROM text WHERE answer IS NULL AND rows > 0 "
                "ORDER BY number LIMIT ?",
                (most,),
            ).fetchall()
        return [
            (number, text.decode("utf-8", "surrogatepass"), rows) for number, text, rows in found
        ]

    def save(self, answers: Sequence[tuple[int, Answer]]) -> None:
        """Store the answers of these numbers: all of them or, if interrupted, none."""
        with self._transaction():
            self._store.executemany(
                "UPDATE text SET answer = ? WHERE number = ?",
                ((orjson.dumps(answer), number) for number, answer in answers),
            )

    def answer(self, text: str) -> Answer:
        """The answer for a text of the file."""
        with self._reporting():
            ((answer,),) = self._store.execute(
                "SELECT answer FROM text WHERE digest = ?", (_digest(_bytes(text)),)
            ).fetchall()
        return orjson.loads(answer)  # type: ignore[no-any-return]

    def remove(self) -> None:
        """Delete the store: the file is done."""
        self._store.close()
        self._path.unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._reporting():
            self._store.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._store.execute("ROLLBACK")
                raise
            self._store.execute("COMMIT")

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "full" in str(error):
                raise DiskFull(
                    f"the disk is full: the answers so far cannot be kept in {self._path}",
                    remedy="free space on that disk, then run the command again: it goes on where "
                    "it was",
                ) from error
            if "locked" in str(error):
                raise SettingsError(
                    f"another command is writing this output: it uses {self._path}",
                    remedy="wait until it has ended, or name another output",
                ) from error
            raise SettingsError(
                f"{self._path}: {error}", remedy="delete this file, and begin anew"
            ) from error


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()
