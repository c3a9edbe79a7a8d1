"""Indexes of tables that workers write to meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from alembic import context, op

_TIMEOUTS = ("lock_timeout", "statement_timeout")


def build_indexes(indexes: Mapping[str, str], *, unique: bool = False) -> None:
    """Build each index that is missing, by name and by what it is ``ON``; writers do not wait.

    Call it before all else of a migration. It can be in no transaction, and so ends the one that is
    open: a migration that breaks off after it has left nothing but whole indexes (and what was done
    before, which must bear to be done twice), and the next try finds them. An index whose building
    broke off is there and invalid; it is dropped and built again.

    A trial, which is taken back (`schema.losses`), stays in its transaction; writers wait.
    """
    kind = "UNIQUE INDEX" if unique else "INDEX"
    if not context.is_offline_mode() and context.config.attributes.get("trial"):
        for name in indexes:
            op.execute(f"CREATE {kind} IF NOT EXISTS {name} ON {indexes[name]}")
        return
    with op.get_context().autocommit_block():
        if context.is_offline_mode():
            missing, timeouts = list(indexes), {}
        else:
            missing = [name for name in indexes if not _is_whole(name)]
            timeouts = {name: _scalar(f"SHOW {name}") for name in _TIMEOUTS}
        # Building waits for every transaction that is open, which may be an analyst's for an hour,
        # and reads the table twice. Nobody waits for it meanwhile, so it may take its time.
        for name in timeouts:
            op.execute(f"SET {name} = 0")
        for name in missing:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE {kind} CONCURRENTLY {name} ON {indexes[name]}")
        for name, value in timeouts.items():
            op.execute(f"SET {name} = '{value}'")


def drop_indexes(indexes: Iterable[str]) -> None:
    """Drop them if they are there."""
    for name in indexes:
        op.execute(f"DROP INDEX IF EXISTS {name}")


def _is_whole(name: str) -> bool:
    query = f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{name}')"  # noqa: S608
    return bool(_scalar(query))


def _scalar(query: str) -> object:
    return op.get_bind().exec_driver_sql(query).scalar()
