"""The registry in Postgres: releases that share the records which did not change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

import orjson
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Engine, Row, text

from resolver.database.connection import driver, transaction
from resolver.domain.organisation import Organisation
from resolver.errors import RegistryError
from resolver.registry.record import dump_record, load_record

_LOAD_LOCK = 0x726F7202
"""Key of the advisory lock that keeps two loads apart: "ror" and a number."""

_READ_BATCH = 2_000
"""Organisations fetched at a time: about 3 MB."""


@dataclass(frozen=True, slots=True)
class ReleaseInfo:
    """What a registry file says of itself. `sha256` is hexadecimal, `source` the file's name."""

    version: str
    released_on: date | None
    sha256: str
    source: str


@dataclass(frozen=True, slots=True)
class StoredRelease:
    """A release in the database; `schema_version` is None where no record said."""

    id: int
    version: str
    released_on: date | None
    sha256: str
    schema_version: str | None
    source: str
    loaded_at: datetime
    organisation_count: int
    rejected_count: int


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load changed, against the release that was in use before.

    ``new + changed + unchanged == total``; `removed` were in the release before and are not in
    this one. `already_loaded` holds when the very same file had been loaded and was not read.
    """

    release_id: int
    version: str
    total: int
    new: int
    changed: int
    unchanged: int
    removed: int
    rejected: int
    already_loaded: bool

    def __str__(self) -> str:
        counts = (
            f"release {self.version}: {self.total:,} organisations, {self.new:,} new, "
            f"{self.changed:,} changed, {self.unchanged:,} unchanged, {self.removed:,} removed, "
            f"{self.rejected:,} records refused"
        )
        return f"{counts}; this file was loaded before" if self.already_loaded else counts


def load_release(
    engine: Engine,
    release: ReleaseInfo,
    organisations: Iterable[Organisation],
    *,
    rejected: Callable[[], int],
    schema_version: Callable[[], str | None],
) -> LoadReport:
    """Store a release and put it in use, in one transaction; memory does not grow with it.

    The same version and content again changes no record, and `organisations` is not read. The
    same version with another content replaces what it held. `rejected` (how many records were
    refused) and `schema_version` are asked once, after the last organisation.

    Raises:
        RegistryError: no organisation, one twice, or one that cannot be stored.
        Exception: whatever `organisations` raises. In every case the stored registry is as it was.
    """
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOAD_LOCK})
        connection.execute(_REMEMBER)
        stored = _release(connection, "version = :version", version=release.version)
        already_loaded = stored is not None and stored.sha256 == release.sha256
        if stored is None or not already_loaded:
            total = _copy(driver(connection), organisations)
            _check(connection, total)
            stored = _store(connection, release, total, rejected(), schema_version())
        _put_in_use(connection, stored.id)
        counts = connection.execute(_COMPARE, {"release": stored.id}).one()
    return LoadReport(
        release_id=stored.id,
        version=stored.version,
        total=stored.organisation_count,
        new=counts.new,
        changed=counts.changed,
        unchanged=counts.unchanged,
        removed=counts.removed,
        rejected=stored.rejected_count,
        already_loaded=already_loaded,
    )


def current_release(engine: Engine) -> StoredRelease | None:
    """The release in use; None before the first load."""
    with transaction(engine) as connection:
        return _release(connection, "is_current")


def require_release(engine: Engine) -> StoredRelease:
    """The release in use.

    Raises:
        RegistryError: none was loaded yet.
    """
    release = current_release(engine)
    if release is None:
        raise RegistryError(
            "no registry release is loaded", remedy="run: resolver registry load PATH"
        )
    return release


def organisations(
    engine: Engine, release_id: int, *, batch: int = _READ_BATCH
) -> Iterator[Organisation]:
    """Every organisation of a release, ordered by ROR id, `batch` of them in memory at a time.

    One transaction stays open until the iterator is exhausted or closed.
    """
    with transaction(engine) as connection:
        rows = connection.execution_options(yield_per=batch).execute(
            text(
                "SELECT v.record FROM release_organisation m"
                " JOIN organisation_version v ON v.id = m.organisation_version_id"
                " WHERE m.release_id = :release ORDER BY m.ror_id"
            ),
            {"release": release_id},
        )
        for (record,) in rows:
            yield load_record(record)


def find(engine: Engine, ror_id: str) -> Organisation | None:
    """One organisation of the release in use, by the nine characters of its id."""
    with transaction(engine) as connection:
        record = connection.execute(
            text("SELECT record FROM organisations WHERE ror_id = :ror_id"), {"ror_id": ror_id}
        ).scalar()
    return None if record is None else load_record(record)


_RELEASE_COLUMNS = (
    "id, version, released_on, sha256, schema_version, source, loaded_at,"
    " organisation_count, rejected_count"
)


def _release(connection: Connection, condition: str, **values: object) -> StoredRelease | None:
    row = connection.execute(
        text(f"SELECT {_RELEASE_COLUMNS} FROM registry_release WHERE {condition}"),  # noqa: S608
        values,
    ).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Row[tuple[object, ...]]) -> StoredRelease:
    return StoredRelease(**row._mapping)


_REMEMBER = text(
    """
    CREATE TEMP TABLE before ON COMMIT DROP AS
    SELECT m.ror_id, m.organisation_version_id
    FROM registry_release r JOIN release_organisation m ON m.release_id = r.id
    WHERE r.is_current
    """
)

_INCOMING = """
    CREATE TEMP TABLE incoming (
        ror_id text, content_hash bytea, name text, status text, types text[],
        country_code text, country text, city text, established integer, record jsonb
    ) ON COMMIT DROP
"""

_INCOMING_TYPES = (
    "text",
    "bytea",
    "text",
    "text",
    "text[]",
    "text",
    "text",
    "text",
    "int4",
    "jsonb",
)


def _copy(
    connection: psycopg.Connection[tuple[object, ...]], source: Iterable[Organisation]
) -> int:
    """Stream the organisations into the temporary table ``incoming``; returns how many."""
    total = 0
    with connection.cursor() as cursor:
        cursor.execute(_INCOMING)
        try:
            with cursor.copy("COPY incoming FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(_INCOMING_TYPES)
                for organisation in source:
                    copy.write_row(_row(organisation))
                    total += 1
        except psycopg.DataError as error:
            raise RegistryError(
                f"an organisation cannot be stored: {error.diag.message_primary or error}"
                f" ({error.diag.context or f'near number {total}'})"
            ) from error
        cursor.execute("ANALYZE incoming")
    return total


def _row(organisation: Organisation) -> tuple[object, ...]:
    # Sorted keys: the same content gives the same bytes, whatever order it came in.
    record = orjson.dumps(dump_record(organisation), option=orjson.OPT_SORT_KEYS)
    place = organisation.place
    return (
        organisation.ror_id,
        hashlib.blake2b(record, digest_size=16).digest(),
        organisation.display_name,
        organisation.status.value,
        list(organisation.types),
        place.country_code if place else None,
        place.country if place else None,
        place.city if place else None,
        organisation.established,
        Jsonb(record, dumps=_as_it_is),
    )


def _as_it_is(record: bytes) -> bytes:
    return record


def _check(connection: Connection, total: int) -> None:
    if not total:
        raise RegistryError(
            "the release holds no organisation", remedy="download the release again"
        )
    twice = connection.execute(
        text("SELECT ror_id FROM incoming GROUP BY ror_id HAVING count(*) > 1 LIMIT 1")
    ).scalar()
    if twice is not None:
        raise RegistryError(
            f"organisation {twice} is in the release twice", remedy="download the release again"
        )


def _store(
    connection: Connection,
    release: ReleaseInfo,
    total: int,
    rejected: int,
    schema_version: str | None,
) -> StoredRelease:
    """What is in ``incoming`` becomes the content of the release."""
    connection.execute(
        text(
            """
            INSERT INTO organisation_version
                (ror_id, content_hash, name, status, types,
                 country_code, country, city, established, record)
            SELECT i.ror_id, i.content_hash, i.name, i.status, i.types,
                   i.country_code, i.country, i.city, i.established, i.record
            FROM incoming i
            WHERE NOT EXISTS (
                SELECT FROM organisation_version v
                WHERE v.ror_id = i.ror_id AND v.content_hash = i.content_hash
            )
            ORDER BY i.ror_id
            """
        )
    )
    row = connection.execute(
        text(
            f"""
            INSERT INTO registry_release
                (version, released_on, sha256, schema_version, source,
                 organisation_count, rejected_count)
            VALUES (:version, :released_on, :sha256, :schema_version, :source, :total, :rejected)
            ON CONFLICT (version) DO UPDATE SET
                released_on = excluded.released_on,
                sha256 = excluded.sha256,
                schema_version = excluded.schema_version,
                source = excluded.source,
                loaded_at = now(),
                organisation_count = excluded.organisation_count,
                rejected_count = excluded.rejected_count
            RETURNING {_RELEASE_COLUMNS}
            """  # noqa: S608
        ),
        {
            "version": release.version,
            "released_on": release.released_on,
            "sha256": release.sha256,
            "schema_version": schema_version,
            "source": release.source,
            "total": total,
            "rejected": rejected,
        },
    ).one()
    stored = _stored(row)
    connection.execute(
        text("DELETE FROM release_organisation WHERE release_id = :release"), {"release": stored.id}
    )
    connection.execute(
        text(
            """
            INSERT INTO release_organisation (release_id, ror_id, organisation_version_id)
            SELECT :release, v.ror_id, v.id
            FROM incoming i JOIN organisation_version v USING (ror_id, content_hash)
            ORDER BY v.ror_id
            """
        ),
        {"release": stored.id},
    )
    # Readers come at once; without statistics their first queries would scan.
    connection.execute(text("ANALYZE organisation_version, release_organisation"))
    return stored


def _put_in_use(connection: Connection, release_id: int) -> None:
    connection.execute(
        text("UPDATE registry_release SET is_current = false WHERE is_current AND id <> :release"),
        {"release": release_id},
    )
    connection.execute(
        text(
            "UPDATE registry_release SET is_current = true WHERE NOT is_current AND id = :release"
        ),
        {"release": release_id},
    )


_COMPARE = text(
    """
    SELECT
        count(*) FILTER (WHERE b.ror_id IS NULL) AS new,
        count(*) FILTER (WHERE b.organisation_version_id <> m.organisation_version_id) AS changed,
        count(*) FILTER (WHERE b.organisation_version_id = m.organisation_version_id) AS unchanged,
        count(*) FILTER (WHERE m.ror_id IS NULL) AS removed
    FROM (SELECT * FROM release_organisation WHERE release_id = :release) m
    FULL JOIN before b USING (ror_id)
    """
)
