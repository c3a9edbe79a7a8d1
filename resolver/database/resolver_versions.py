"""Resolver versions: all that an answer depends on, under one number, and which one is in use.

*Valid* are the answers of the version in use, and those that it carries over from other versions,
but for the stale ones (`resolver.database.due_answers`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import psycopg
from sqlalchemy import Connection, Engine, text

from resolver.database.connection import driver, transaction
from resolver.errors import RegistryError, ResolverSuperseded, SettingsError

_REGISTER_LOCK = 0x726F7203
"""Key of the advisory lock that lets workers register one after the other."""

SWITCH_LOCK = 0x726F7204
"""Key of the advisory lock that saving answers shares, and that putting a version in use and
marking answers for an override hold alone: meanwhile no answer is saved."""


@dataclass(frozen=True, slots=True)
class ResolverVersion:
    """A release, an index of it, two models and the settings that bear on every answer.

    `release` is the version of release `release_id`. `encoder` and `reranker` are (name,
    fingerprint). `configuration` says how to open the models, by setting. It may be empty and
    `index_version` None: then the settings of the process say it.

    `generation` grows with each version that comes in use; None for one that never did.
    `carries_id` is the version whose valid answers this one carries over. `selected_at` is when the
    selection of the stale ones among them ended, None until then; `selected_to` the last
    affiliation that a selection under way is done with, None before it has begun.
    """

    id: int
    release_id: int
    release: str
    index_version: str | None
    configuration: Mapping[str, Any] = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    encoder: tuple[str, str]
    reranker: tuple[str, str]
    carries_id: int | None
    generation: int | None
    selected_at: datetime | None
    selected_to: int | None
    created_at: datetime
    is_current: bool


def register(
    engine: Engine,
    *,
    release_id: int,
    encoder: tuple[str, str],
    reranker: tuple[str, str],
    settings: Mapping[str, object],
    index_version: str | None = None,
    configuration: Mapping[str, object] | None = None,
) -> ResolverVersion:
    """The version of these parts, made if it is new; `put_in_use` makes it the one in use.

    `encoder` and `reranker` are (name, fingerprint); `settings` are JSON values, only those that
    answers depend on. No answer depends on `configuration`: it replaces the one before, and None
    leaves that as it is. Several workers may call this at once and get the same version.

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
        if index_version is not None:
            parts["index"] = index_version
        canonical = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
        fingerprint = hashlib.blake2b(canonical, digest_size=16).digest()
        connection.execute(
            text(
                """
                INSERT INTO resolver_version
                    (release_id, encoder_id, reranker_id, settings, fingerprint, index_version)
                SELECT :release, :encoder, :reranker, CAST(:settings AS jsonb), :fingerprint, :index
                WHERE NOT EXISTS (
                    SELECT FROM resolver_version WHERE fingerprint = :fingerprint
                )
                """
            ),
            {
                "release": release_id,
                "encoder": _model(connection, "encoder", *encoder),
                "reranker": _model(connection, "reranker", *reranker),
                "settings": orjson.dumps(dict(settings)).decode(),
                "fingerprint": fingerprint,
                "index": index_version,
            },
        )
        if configuration is not None:
            connection.execute(
                text(
                    "UPDATE resolver_version SET configuration = CAST(:configuration AS jsonb)"
                    " WHERE fingerprint = :fingerprint"
                    " AND configuration <> CAST(:configuration AS jsonb)"
                ),
                {
                    "configuration": orjson.dumps(dict(configuration)).decode(),
                    "fingerprint": fingerprint,
                },
            )
        found = _find(connection, "v.fingerprint = :fingerprint", fingerprint=fingerprint)
    assert found is not None  # inserted above, or there before
    return found


def put_in_use(engine: Engine, version_id: int) -> ResolverVersion:
    """Make this the version in use; nothing happens if it is. Waits for answers that are just being
    stored; afterwards none of another version is stored.

    It carries over the valid answers of the version before, if only the release differs and models
    and settings are the same. A selection must then find out which of them are stale (`selected_at`
    is None); if it carried that version before, only among the answers since. Three exceptions:

    - The selection of the version before is not complete: nothing is carried, since nobody knows
      which of its answers are valid. Complete that selection first.
    - It is a version that the one before carries, directly or through others: a rollback. Valid is
      what was valid for it then; what was answered since is not.
    - Models or settings differ. A version that comes back carries what it carried, unless a version
      of these came in use meanwhile; a new version carries nothing.

    Raises:
        SettingsError: there is no such version.
    """
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SWITCH_LOCK})
        version = _require(connection, version_id)
        if not version.is_current:
            carries, selected_at, selected_to = _carried(connection, version)
            connection.execute(
                text("UPDATE resolver_version SET is_current = false WHERE is_current")
            )
            connection.execute(
                text(_PUT_IN_USE),
                {
                    "id": version_id,
                    "carries": carries,
                    "selected_at": selected_at,
                    "selected_to": selected_to,
                    "again": carries == version.carries_id,
                },
            )
        return _require(connection, version_id)


_PUT_IN_USE = """
    UPDATE resolver_version SET
        is_current = true,
        generation = (SELECT coalesce(max(generation), 0) + 1 FROM resolver_version),
        carries_id = :carries,
        selected_at = :selected_at,
        selected_to = :selected_to,
        selected_until = CASE WHEN :again THEN selected_until END,
        selected_of = CASE WHEN :again THEN selected_of END
    WHERE id = :id
"""


def carry_nothing(engine: Engine, version_id: int) -> None:
    """Have the version in use carry nothing: all answers of other versions are due.

    So no answer that its release changes is missed, at the price of resolving all again.

    Raises:
        ResolverSuperseded: the version is not in use.
    """
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SWITCH_LOCK})
        done = connection.execute(
            text(
                "UPDATE resolver_version SET carries_id = NULL,"
                " selected_at = coalesce(selected_at, now()) WHERE id = :id AND is_current"
            ),
            {"id": version_id},
        ).rowcount
        if not done:
            current = _find(connection, "v.is_current")
            current_id = current.id if current else None
            raise ResolverSuperseded(version_id=version_id, current_id=current_id)


def current_resolver(engine: Engine) -> ResolverVersion | None:
    """The version in use; None before the first."""
    with transaction(engine) as connection:
        return _find(connection, "v.is_current")


def previous_resolver(engine: Engine) -> ResolverVersion | None:
    """The version that was in use before the present one; None where there was none."""
    with transaction(engine) as connection:
        return _find(
            connection,
            "v.generation = (SELECT max(p.generation) FROM resolver_version p"
            " WHERE p.generation < (SELECT c.generation FROM resolver_version c"
            " WHERE c.is_current))",
        )


def used_before(engine: Engine, version: ResolverVersion, release_id: int) -> int | None:
    """The last version of this release that was in use before `version` came in use; None where
    there is none.

    Asked with the release that is loaded, this tells a deliberate switch back from an update that
    is not complete.
    """
    with transaction(engine) as connection:
        found = connection.execute(
            text(
                "SELECT id FROM resolver_version WHERE release_id = :release"
                " AND generation < :generation ORDER BY generation DESC LIMIT 1"
            ),
            {"release": release_id, "generation": version.generation},
        ).scalar()
    return None if found is None else int(found)


def find_resolver(engine: Engine, version_id: int) -> ResolverVersion:
    """The version of this number.

    Raises:
        SettingsError: there is none.
    """
    with transaction(engine) as connection:
        return _require(connection, version_id)


def resolvers(engine: Engine) -> list[ResolverVersion]:
    """All versions, the newest first."""
    with transaction(engine) as connection:
        rows = connection.execute(text(f"{_SELECT} ORDER BY v.id DESC")).all()
    return [_version(row) for row in rows]


def valid_versions(cursor: psycopg.Cursor[Any] | Connection, version_id: int) -> list[int]:
    """This version and those that it carries, the nearest first, in the transaction at hand."""
    if isinstance(cursor, Connection):
        with driver(cursor).cursor() as own:
            return valid_versions(own, version_id)
    found = cursor.execute(_VALID, {"version": version_id}).fetchall()
    return [int(row[0]) for row in found]


_VALID = """
    WITH RECURSIVE valid AS (
        SELECT id, carries_id, 0 AS remove FROM resolver_version WHERE id = %(version)s
        UNION ALL
        SELECT v.id, v.carries_id, valid.remove + 1
        FROM resolver_version v JOIN valid ON v.id = valid.carries_id
    ) CYCLE id SET again USING path
    SELECT id FROM valid WHERE NOT again ORDER BY remove
"""
"""There is no cycle (see `_carries`); if somebody made one by hand, this still ends."""


def _carried(
    connection: Connection, version: ResolverVersion
) -> tuple[int | None, datetime | None, int | None]:
    """`carries_id`, `selected_at` and `selected_to` of a version that comes in use."""
    before = _find(connection, "v.is_current")
    if before is not None and _carries(connection, version, before):
        return before.id, None, None
    if _returns_as_it_was(connection, version):
        return version.carries_id, version.selected_at, version.selected_to
    # Nothing is carried, so there is nothing to select.
    return None, _now(connection), None


def _carries(connection: Connection, version: ResolverVersion, before: ResolverVersion) -> bool:
    """Whether a version carries over the answers of the version before."""
    return (
        (before.encoder[1], before.reranker[1], before.settings)
        == (version.encoder[1], version.reranker[1], version.settings)
        and before.release_id != version.release_id
        and before.selected_at is not None
        and version.id not in valid_versions(connection, before.id)
    )


def _returns_as_it_was(connection: Connection, version: ResolverVersion) -> bool:
    """Whether it was in use, and none of the versions that it carries has been since."""
    if version.generation is None:
        return False
    latest = connection.execute(
        text("SELECT max(generation) FROM resolver_version WHERE id = ANY(:ids)"),
        {"ids": valid_versions(connection, version.id)},
    ).scalar_one()
    return bool(latest == version.generation)


def _now(connection: Connection) -> datetime:
    moment = connection.execute(text("SELECT now()")).scalar_one()
    assert isinstance(moment, datetime)
    return moment


_SELECT = """
    SELECT
        v.id, v.release_id, r.version AS release, v.index_version, v.configuration, v.settings,
        e.name AS encoder_name, e.fingerprint AS encoder_fingerprint,
        k.name AS reranker_name, k.fingerprint AS reranker_fingerprint,
        v.carries_id, v.generation, v.selected_at, v.selected_to, v.created_at, v.is_current
    FROM resolver_version v
    JOIN registry_release r ON r.id = v.release_id
    JOIN model e ON e.id = v.encoder_id
    JOIN model k ON k.id = v.reranker_id
"""


def _find(connection: Connection, condition: str, **values: object) -> ResolverVersion | None:
    row = connection.execute(text(f"{_SELECT} WHERE {condition}"), values).one_or_none()
    return None if row is None else _version(row)


def _require(connection: Connection, version_id: int) -> ResolverVersion:
    found = _find(connection, "v.id = :id", id=version_id)
    if found is None:
        raise SettingsError(
            f"there is no resolver version {version_id}", remedy="run: resolver version list"
        )
    return found


def _version(row: Any) -> ResolverVersion:
    values = dict(row._mapping)
    for role in ("encoder", "reranker"):
        values[role] = (values.pop(f"{role}_name"), values.pop(f"{role}_fingerprint"))
    return ResolverVersion(**values)


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
