"""Policies that records were sent with: each once, by its fingerprint."""

from __future__ import annotations

import psycopg
from sqlalchemy import Engine

from resolver.database.connection import driver, transaction
from resolver.domain.policy import Policy

_FIND = "SELECT id FROM policy WHERE fingerprint = %(fingerprint)s"

_INSERT = """
    INSERT INTO policy (fingerprint, settings)
    VALUES (%(fingerprint)s, CAST(%(settings)s AS jsonb))
    ON CONFLICT (fingerprint) DO NOTHING
"""


def register(engine: Engine, policy: Policy) -> int:
    """The policy's key; several workers may call this at once and get the same."""
    with transaction(engine) as connection, driver(connection).cursor() as cursor:
        return key(cursor, policy)


def key(cursor: psycopg.Cursor[tuple[object, ...]], policy: Policy) -> int:
    """The policy's key, in the transaction of `cursor`. Call it before any other statement: who
    registers the same policy waits for the end of that transaction."""
    values = {"fingerprint": policy.fingerprint}
    found = cursor.execute(_FIND, values).fetchone()
    if found is None:
        cursor.execute(_INSERT, {**values, "settings": policy.canonical})
        # Also what another transaction has inserted meanwhile.
        found = cursor.execute(_FIND, values).fetchone()
    assert found is not None  # inserted above, or by another one that has committed
    (policy_id,) = found
    assert isinstance(policy_id, int)
    return policy_id
