"""Which records and positions were read already, for files too large to keep these in memory."""

from __future__ import annotations

import hashlib
import sqlite3
from types import TracebackType

from resolver.errors import SettingsError

CACHE = 64 * 2**20
"""Bytes kept in memory; what is beyond lies in a temporary file, some 17 bytes a record."""


class Positions:
    """Gives positions to records in order, and notices records and positions that come twice.

    A record is known by 8 bytes of BLAKE2b over its source and id: of some 3,700 files of 100
    million records, one has two records that are taken for the same.

    Raises (each method):
        SettingsError: the temporary file has no room.
    """

    def __init__(self) -> None:
        self._known = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            f"PRAGMA cache_size = -{CACHE // 1024}",
            "CREATE TABLE given_out (record INTEGER PRIMARY KEY, next INTEGER NOT NULL)",
            "CREATE TABLE seen (key INTEGER PRIMARY KEY)",
            "BEGIN",
        ):
            self._known.execute(statement)
        self._anything_seen = self._anything_given_out = False

    def __enter__(self) -> Positions:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._known.close()

    def next(self, source: str, external_id: str) -> tuple[int, bool]:
        """The next position of a record that gives none (0, 1, 2 …), and whether the file has named
        that position itself before."""
        self._anything_given_out = True
        record = _key(source, external_id)
        ((position,),) = self._run(
            "INSERT INTO given_out VALUES (?, 1) ON CONFLICT DO UPDATE SET next = next + 1 "
            "RETURNING next - 1",
            record,
        )
        came = self._anything_seen and self._has(_key(source, external_id, position))
        return position, came

    def came(self, source: str, external_id: str, position: int | None = None) -> bool:
        """Whether this record, or this position of it, was read before; it is noted as read."""
        self._anything_seen = True
        if not self._run(
            "INSERT INTO seen VALUES (?) ON CONFLICT DO NOTHING RETURNING 1",
            _key(source, external_id, position),
        ):
            return True
        if position is None or not self._anything_given_out:
            return False
        given_out = self._run(
            "SELECT next FROM given_out WHERE record = ?", _key(source, external_id)
        )
        return bool(given_out) and position < given_out[0][0]

    def _has(self, key: int) -> bool:
        return bool(self._run("SELECT 1 FROM seen WHERE key = ?", key))

    def _run(self, statement: str, key: int) -> list[tuple[int, ...]]:
        try:
            return self._known.execute(statement, (key,)).fetchall()
        except sqlite3.OperationalError as error:
            raise SettingsError(
                f"the temporary file of ids: {error}",
                remedy="make room in the folder for temporary files, or name another (TMPDIR)",
            ) from error


def _key(source: str, external_id: str, position: int | None = None) -> int:
    # The length in front makes it unique: no two records are written the same way.
    text = f"{len(source)}:{source}:{external_id}:{'' if position is None else position}"
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
