"""Advisory locks: what only one process may do at a time, whichever machine it is on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

from resolver.database.connection import transaction, translate
from resolver.errors import UpdateRunning

_UPDATE_LOCK = 0x726F7207
"""Key of the lock that an update holds: "ror" and a number."""

_LET_GO = 5.0
"""Seconds after which the server has surely noticed that a killed process is gone."""


def updating(engine: Engine) -> bool:
    """Whether a process holds the update lock.

    Raises:
        DatabaseUnavailable: no answer.
    """
    with transaction(engine) as connection:
        return bool(connection.execute(_HELD, {"key": _UPDATE_LOCK}).scalar_one())


def require_no_update(engine: Engine) -> None:
    """Go on only while no update is under way.

    Raises:
        UpdateRunning: one is.
    """
    if updating(engine):
        raise UpdateRunning(
            "another process is taking in a release or switching versions",
            remedy="wait for it to end, and run it again",
        )


# A lock on one number shows it in two parts, of which this one's first is 0.
_HELD = text(
    """
    SELECT EXISTS (
        SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
        AND (l.classid, l.objid, l.objsubid) = (0, :key, 1)
    )
    """
)


@contextmanager
def updating_alone(engine: Engine, *, wait: float = _LET_GO) -> Iterator[None]:
    """Hold the update lock while the block runs; a process that dies lets it go.

    Raises:
        UpdateRunning: another process holds it, after `wait` seconds still.
    """
    deadline = time.monotonic() + wait
    # Each statement commits: a transaction open for minutes would keep dead rows.
    with (
        translate(engine),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        taken = text("SELECT pg_try_advisory_lock(:key)")
        while not connection.execute(taken, {"key": _UPDATE_LOCK}).scalar_one():
            if time.monotonic() >= deadline:
                raise UpdateRunning(
                    "another process is taking in a release or switching versions",
                    remedy="wait for it to end",
                )
            time.sleep(0.1)
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _UPDATE_LOCK})
