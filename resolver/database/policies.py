"""Policies that records were sent with: each once, by its fingerprint."""

from __future__ import annotations

import psycopg
from sqlalchemy import Engine, text

from resolver.database.connection import driver, transaction
from resolver.errors import PolicyError
from resolver.matching.policy import Policy

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


def find(engine: Engine, policy_id: int) -> Policy:
    """The policy of this key.

    Raises:
        PolicyError: there is none, or it was stored by a version that knew other choices.
    """
    with transaction(engine) as connection:
        settings = connection.execute(
            text("SELECT settings FROM policy WHERE id = :id"), {"id": policy_id}
        ).scalar()
    if settings is None:
        raise PolicyError(
            f"there is no policy {policy_id}", remedy="its records are gone; send them again"
        )
    try:
        return Policy.from_object(settings)
    except ValueError as error:
        raise PolicyError(
            f"policy {policy_id} cannot be used: {error}",
            remedy="it is of another version of the code; send its records with one of today",
        ) from error


def key(cursor: psycopg.Cursor[tuple[object, ...]], policy: Policy) -> int:
    """The policy's key, in the transaction of `cursor`. Call it before any other statement: another
    process that registers the same policy waits for the end of this transaction."""
    values = {"fingerprint": policy.fingerprint}
    found = cursor.execute(_FIND, values).fetchone()
    if found is None:
        cursor.execute(_INSERT, {**values, "settings": policy.canonical})
        # This finds it too where another transaction has inserted it meanwhile.
        found = cursor.execute(_FIND, values).fetchone()
    assert found is not None  # inserted above, or by another one that has committed
    (policy_id,) = found
    assert isinstance(policy_id, int)
    return policy_id
