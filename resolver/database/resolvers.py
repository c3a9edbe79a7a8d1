"""Resolver versions: what an answer depends on, as one number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, text

from resolver.database.connection import transaction
from resolver.errors import RegistryError

_REGISTER_LOCK = 0x726F7203
"""Key of the advisory lock that lets workers register one after the other."""


@dataclass(frozen=True, slots=True)
class ResolverVersion:
    """A release, two models and the settings. A version registered later has a higher `id`."""

    id: int
    release_id: int
    settings: Mapping[str, Any]
    created_at: datetime


def register(
    engine: Engine,
    *,
    release_id: int,
    encoder: tuple[str, str],
    reranker: tuple[str, str],
    settings: Mapping[str, object],
) -> ResolverVersion:
    """The version of these parts, made when they are new, and in use from now on.

    `encoder` and `reranker` are (name, fingerprint); `settings` are JSON values, and only those
    that bear on an answer. Several workers may call this at once and get the same version. A
    release that was loaded again with another content makes a new version.

    Raises:
        RegistryError: there is no such release.
    """
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _REGISTER_LOCK})
        content = connection.execute(
            text("SELECT sha256 FROM registry_release WHERE id = :id"), {"id": release_id}
        ).scalar()
        if content is None:
            raise RegistryError(
                f"there is no registry release {release_id} in the database",
                remedy="run: resolver registry load PATH",
            )
        parts = {
            "release": [release_id, content],
            "encoder": encoder[1],
            "reranker": reranker[1],
            "settings": dict(settings),
        }
        canonical = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
        fingerprint = hashlib.blake2b(canonical, digest_size=16).digest()
        found = _find(connection, "fingerprint = :fingerprint", fingerprint=fingerprint)
        if found is None:
            connection.execute(
                text(
                    """
                    INSERT INTO resolver_version
                        (release_id, encoder_id, reranker_id, settings, fingerprint)
                    VALUES (:release, :encoder, :reranker, CAST(:settings AS jsonb), :fingerprint)
                    """
                ),
                {
                    "release": release_id,
                    "encoder": _model(connection, "encoder", *encoder),
                    "reranker": _model(connection, "reranker", *reranker),
                    "settings": orjson.dumps(dict(settings)).decode(),
                    "fingerprint": fingerprint,
                },
            )
            found = _find(connection, "fingerprint = :fingerprint", fingerprint=fingerprint)
            assert found is not None  # inserted above, in this transaction
        _put_in_use(connection, found.id)
    return found


def current_resolver(engine: Engine) -> ResolverVersion | None:
    """The version in use; None before the first worker started."""
    with transaction(engine) as connection:
        return _find(connection, "is_current")


def _find(connection: Connection, condition: str, **values: object) -> ResolverVersion | None:
    row = connection.execute(
        text(
            f"SELECT id, release_id, settings, created_at FROM resolver_version WHERE {condition}"  # noqa: S608
        ),
        values,
    ).one_or_none()
    return None if row is None else ResolverVersion(**row._mapping)


def _model(connection: Connection, role: str, name: str, fingerprint: str) -> int:
    """The model's key; a model that moved keeps the name it had first."""
    values = {"role": role, "name": name, "fingerprint": fingerprint}
    connection.execute(
        text(
            "INSERT INTO model (role, name, fingerprint) VALUES (:role, :name, :fingerprint)"
            " ON CONFLICT (role, fingerprint) DO NOTHING"
        ),
        values,
    )
    key = connection.execute(
        text("SELECT id FROM model WHERE role = :role AND fingerprint = :fingerprint"), values
    ).scalar_one()
    return int(key)


def _put_in_use(connection: Connection, resolver_id: int) -> None:
    connection.execute(
        text("UPDATE resolver_version SET is_current = false WHERE is_current AND id <> :id"),
        {"id": resolver_id},
    )
    connection.execute(
        text("UPDATE resolver_version SET is_current = true WHERE NOT is_current AND id = :id"),
        {"id": resolver_id},
    )
