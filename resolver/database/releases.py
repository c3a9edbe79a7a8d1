"""The registry in Postgres: releases that share the records which did not change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

import orjson
import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Engine, Row, text

from resolver.database.connection import driver, transaction
from resolver.errors import RegistryError
from resolver.registry.change import Change, ChangeKind, OrganisationChange
from resolver.registry.organisation import Organisation, OrganisationStatus
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
    """A release in the database; `schema_version` is None where no record said.

    `previous_id` is the release that was in use when it was loaded, None for the first.
    """

    id: int
    version: str
    released_on: date | None
    sha256: str
    schema_version: str | None
    source: str
    loaded_at: datetime
    organisation_count: int
    rejected_count: int
    previous_id: int | None
    is_current: bool


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load changed, against the release that was in use before.

    ``new + changed + unchanged == total``; `removed` were in the release before and are not in
    this one. Of the `changed`, some ended: `merged` with a successor, `withdrawn` and `inactive`
    without, and some are `reactivated`. `already_loaded` holds when the very same file had been
    loaded and was not read. `previous` is the version of the release before, None for the first.
    """

    release_id: int
    version: str
    previous: str | None
    total: int
    new: int
    changed: int
    unchanged: int
    removed: int
    merged: int
    withdrawn: int
    inactive: int
    reactivated: int
    rejected: int
    already_loaded: bool

    def __str__(self) -> str:
        total, refused = f"{self.total:,} organisations", f"{self.rejected:,} records refused"
        if self.already_loaded and not (self.new or self.changed or self.removed):
            return f"release {self.version}: {total}, {refused}; loaded before, nothing changes"
        ended = [
            f"{count:,} {kind}"
            for kind, count in (
                ("merged", self.merged),
                ("withdrawn", self.withdrawn),
                ("inactive", self.inactive),
                ("reactivated", self.reactivated),
            )
            if count
        ]
        changed = f"{self.changed:,} changed" + (f" ({', '.join(ended)})" if ended else "")
        counts = (
            f"release {self.version}: {total}, {self.new:,} new, {changed}, "
            f"{self.unchanged:,} unchanged, {self.removed:,} removed, {refused}"
        )
        return f"{counts}; this file was loaded before" if self.already_loaded else counts


def load_release(
    engine: Engine,
    release: ReleaseInfo,
    organisations: Iterable[Organisation],
    *,
    rejected: Callable[[], int],
    schema_version: Callable[[], str | None],
    force: bool = False,
) -> LoadReport:
    """Store a release and put it in use, in one transaction; memory does not grow with it.

    The same version and content again changes nothing, and `organisations` is not read. The same
    version with another content is a release of its own: what was linked with the one before can
    still be looked up. What it changes, against the release in use, goes to ``release_change``
    with it. `rejected` (how many records were refused) and `schema_version` are asked once, after
    the last organisation.

    Raises:
        RegistryError: it is older than the release in use, and `force` is not set; or it has no
            organisation, one twice, or one that cannot be stored.
        Exception: whatever `organisations` raises. In every case the stored registry is as it was.
    """
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOAD_LOCK})
        before = _release(connection, "is_current")
        if before is not None and not force and _older(release, before):
            raise RegistryError(
                f"release {_dated(release)} is older than {_dated(before)}, which is in use",
                remedy="add --force to go back to it",
            )
        stored = _release(
            connection,
            "version = :version AND sha256 = :sha256",
            version=release.version,
            sha256=release.sha256,
        )
        already_loaded = stored is not None
        if stored is None:
            known = frozenset() if before is None else _states(connection, before.id)
            total = _copy(driver(connection), organisations, known)
            _check(connection, total)
            stored = _store(connection, release, total, rejected(), schema_version(), before)
        _put_in_use(connection, stored.id)
        kinds = {} if before is None else _count_kinds(connection, before.id, stored.id)
    new = kinds.get(ChangeKind.ADDED, 0) if before else stored.organisation_count
    removed = kinds.get(ChangeKind.REMOVED, 0)
    changed = sum(kinds.values()) - kinds.get(ChangeKind.ADDED, 0) - removed
    return LoadReport(
        release_id=stored.id,
        version=stored.version,
        previous=None if before is None else before.version,
        total=stored.organisation_count,
        new=new,
        changed=changed,
        unchanged=stored.organisation_count - new - changed,
        removed=removed,
        merged=kinds.get(ChangeKind.MERGED, 0),
        withdrawn=kinds.get(ChangeKind.WITHDRAWN, 0),
        inactive=kinds.get(ChangeKind.INACTIVE, 0),
        reactivated=kinds.get(ChangeKind.REACTIVATED, 0),
        rejected=stored.rejected_count,
        already_loaded=already_loaded,
    )


def releases(engine: Engine) -> list[StoredRelease]:
    """All releases that were loaded, the last one first."""
    with transaction(engine) as connection:
        rows = connection.execute(
            text(f"SELECT {_RELEASE_COLUMNS} FROM registry_release ORDER BY id DESC")  # noqa: S608
        ).all()
    return [_stored(row) for row in rows]


def find_release(engine: Engine, version: str, sha256: str | None = None) -> StoredRelease:
    """The release of this version with this content; for None, the one in use, else the last
    loaded.

    Raises:
        RegistryError: it was not loaded; names those that were.
    """
    with transaction(engine) as connection:
        stored = _release(
            connection,
            "version = :version AND (CAST(:sha256 AS text) IS NULL OR sha256 = :sha256)"
            " ORDER BY is_current DESC, id DESC LIMIT 1",
            version=version,
            sha256=sha256,
        )
    if stored is None:
        loaded = ", ".join(dict.fromkeys(release.version for release in releases(engine))) or "none"
        what = "" if sha256 is None else f" with the SHA-256 {sha256[:12]}…"
        raise RegistryError(
            f"release {version}{what} is not loaded; loaded: {loaded}",
            remedy="run: resolver registry load PATH",
        )
    return stored


def release_of(engine: Engine, release_id: int) -> StoredRelease:
    """The release with this key.

    Raises:
        RegistryError: there is none.
    """
    with transaction(engine) as connection:
        stored = _release(connection, "id = :release", release=release_id)
    if stored is None:
        raise RegistryError(f"there is no release with the key {release_id}")
    return stored


def diff(engine: Engine, before_id: int, after_id: int) -> list[OrganisationChange]:
    """The organisations that differ between two releases, by ROR id; either may be the older
    one."""
    with transaction(engine) as connection:
        rows = connection.execute(
            text(f"{_DIFF} ORDER BY ror_id"), {"before": before_id, "after": after_id}
        ).all()
    return [
        OrganisationChange(
            row.ror_id, row.name, ChangeKind(row.kind), tuple(row.fields), tuple(row.successors)
        )
        for row in rows
    ]


def changed_organisations(engine: Engine, before_id: int, after_id: int) -> list[Change]:
    """The organisations that differ between two releases as (before, after), by ROR id; None where
    a release has it not."""
    with transaction(engine) as connection:
        rows = connection.execute(
            text(
                f"""
                SELECT b.record, a.record FROM ({_DIFFERING}) d
                LEFT JOIN organisation_version b ON b.id = d.before_id
                LEFT JOIN organisation_version a ON a.id = d.after_id
                ORDER BY d.ror_id
                """  # noqa: S608
            ),
            {"before": before_id, "after": after_id},
        ).all()
    return [
        (before and load_record(before), after and load_record(after)) for before, after in rows
    ]


def names(
    engine: Engine, release_id: int, *, batch: int = _READ_BATCH
) -> Iterator[tuple[str, OrganisationStatus, list[str]]]:
    """ROR id, status and all names of every organisation of a release, in no order.

    Lighter than `organisations`: the database takes the names out of the records. One transaction
    stays open until the iterator is exhausted or closed.
    """
    with transaction(engine) as connection:
        rows = connection.execution_options(yield_per=batch).execute(
            text(
                "SELECT v.ror_id, v.status, jsonb_path_query_array(v.record, '$.names[*].value')"
                " FROM release_organisation m"
                " JOIN organisation_version v ON v.id = m.organisation_version_id"
                " WHERE m.release_id = :release"
            ),
            {"release": release_id},
        )
        for ror_id, status, values in rows:
            yield ror_id, OrganisationStatus(status), values


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
    " organisation_count, rejected_count, previous_id, is_current"
)


def find_organisations(
    engine: Engine, release_id: int, ror_ids: Collection[str]
) -> dict[str, Organisation]:
    """What a release has of these organisations, by the nine characters of their ids; those that it
    does not have are left out."""
    with transaction(engine) as connection:
        rows = connection.execute(
            text(
                "SELECT m.ror_id, v.record FROM release_organisation m"
                " JOIN organisation_version v ON v.id = m.organisation_version_id"
                " WHERE m.release_id = :release AND m.ror_id = ANY(:ror_ids)"
            ),
            {"release": release_id, "ror_ids": list(ror_ids)},
        ).all()
    return {ror_id: load_record(record) for ror_id, record in rows}


def _release(connection: Connection, condition: str, **values: object) -> StoredRelease | None:
    row = connection.execute(
        text(f"SELECT {_RELEASE_COLUMNS} FROM registry_release WHERE {condition}"),  # noqa: S608
        values,
    ).one_or_none()
    return None if row is None else _stored(row)


def _stored(row: Row[tuple[object, ...]]) -> StoredRelease:
    return StoredRelease(**row._mapping)


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
    connection: psycopg.Connection[tuple[object, ...]],
    source: Iterable[Organisation],
    known: Collection[tuple[str, bytes]],
) -> int:
    """Stream the organisations into the temporary table ``incoming``; returns how many.

    Of an organisation whose state is stored already (`known`) only the key is sent. From one month
    to the next these are nearly all: it saves Postgres reading 130,000 records, 2 s.
    """
    total = 0
    with connection.cursor() as cursor:
        cursor.execute(_INCOMING)
        try:
            with cursor.copy("COPY incoming FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(_INCOMING_TYPES)
                for organisation in source:
                    record = _record(organisation)
                    state = organisation.ror_id, _hash(record)
                    if state in known:
                        copy.write_row(state + _NO_MORE)
                    else:
                        copy.write_row(state + _columns(organisation, record))
                    total += 1
        except psycopg.DataError as error:
            raise RegistryError(
                f"an organisation cannot be stored: {error.diag.message_primary or error}"
                f" ({error.diag.context or f'near number {total}'})"
            ) from error
        cursor.execute("ANALYZE incoming")
    return total


def _states(connection: Connection, release_id: int) -> frozenset[tuple[str, bytes]]:
    """ROR id and content hash of every organisation of a release: some 30 MB."""
    rows = connection.execute(
        text(
            "SELECT v.ror_id, v.content_hash FROM release_organisation m"
            " JOIN organisation_version v ON v.id = m.organisation_version_id"
            " WHERE m.release_id = :release"
        ),
        {"release": release_id},
    )
    return frozenset((row.ror_id, bytes(row.content_hash)) for row in rows)


def _record(organisation: Organisation) -> bytes:
    # Sorted keys: the same content gives the same bytes, whatever order it came in.
    return orjson.dumps(dump_record(organisation), option=orjson.OPT_SORT_KEYS)


def _hash(record: bytes) -> bytes:
    return hashlib.blake2b(record, digest_size=16).digest()


def _columns(organisation: Organisation, record: bytes) -> tuple[object, ...]:
    """The columns of ``incoming`` after the first two."""
    place = organisation.place
    return (
        organisation.display_name,
        organisation.status.value,
        list(organisation.types),
        place.country_code if place else None,
        place.country if place else None,
        place.city if place else None,
        organisation.established,
        Jsonb(record, dumps=_as_it_is),
    )


_NO_MORE = (None,) * 8


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
    before: StoredRelease | None,
) -> StoredRelease:
    """Make a release of the rows in ``incoming``, and store what it changes against the one
    before."""
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
                 organisation_count, rejected_count, previous_id)
            VALUES (:version, :released_on, :sha256, :schema_version, :source,
                    :total, :rejected, :previous)
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
            "previous": before and before.id,
        },
    ).one()
    stored = _stored(row)
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
    if before is not None:
        connection.execute(
            text(
                f"""
                INSERT INTO release_change
                    (release_id, ror_id, kind, fields, successors, before_id, after_id)
                SELECT :after, ror_id, kind, fields, successors, before_id, after_id
                FROM ({_DIFF}) d
                ORDER BY ror_id
                """  # noqa: S608
            ),
            {"before": before.id, "after": stored.id},
        )
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


def _older(release: ReleaseInfo, other: StoredRelease) -> bool:
    """By the days of release where both are known and differ, else by the version numbers."""
    if release.released_on and other.released_on and release.released_on != other.released_on:
        return release.released_on < other.released_on
    ours, theirs = _number(release.version), _number(other.version)
    return bool(ours and theirs) and ours < theirs


def _number(version: str) -> tuple[int, ...]:
    """v2.10.1 as (2, 10, 1); empty for what is no number."""
    found = _VERSION.match(version)
    return tuple(map(int, found[1].split("."))) if found else ()


_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)")


def _dated(release: ReleaseInfo | StoredRelease) -> str:
    day = release.released_on
    return f"{release.version} of {day}" if day else release.version


def _count_kinds(connection: Connection, before_id: int, after_id: int) -> dict[str, int]:
    rows = connection.execute(
        text(f"SELECT kind, count(*) AS organisations FROM ({_DIFF}) d GROUP BY kind"),  # noqa: S608
        {"before": before_id, "after": after_id},
    ).all()
    return {row.kind: int(row.organisations) for row in rows}


_DIFFERING = """
    SELECT
        ror_id,
        b.organisation_version_id AS before_id,
        a.organisation_version_id AS after_id
    FROM (SELECT * FROM release_organisation WHERE release_id = :before) b
    FULL JOIN (SELECT * FROM release_organisation WHERE release_id = :after) a USING (ror_id)
    WHERE b.organisation_version_id IS DISTINCT FROM a.organisation_version_id
"""

_DIFF = f"""
    SELECT
        d.ror_id,
        coalesce(a.name, b.name) AS name,
        CASE
            WHEN b.id IS NULL THEN 'added'
            WHEN a.id IS NULL THEN 'removed'
            WHEN a.status = b.status THEN 'changed'
            WHEN a.status = 'active' THEN 'reactivated'
            WHEN s.successors <> '{{}}' THEN 'merged'
            ELSE a.status
        END AS kind,
        CASE WHEN b.id IS NULL OR a.id IS NULL THEN '{{}}'::text[] ELSE ARRAY(
            SELECT field
            FROM (
                SELECT jsonb_object_keys(b.record) UNION SELECT jsonb_object_keys(a.record)
            ) AS both_records(field)
            WHERE (b.record -> field) IS DISTINCT FROM (a.record -> field)
            ORDER BY field
        ) END AS fields,
        s.successors,
        d.before_id,
        d.after_id
    FROM ({_DIFFERING}) d
    LEFT JOIN organisation_version b ON b.id = d.before_id
    LEFT JOIN organisation_version a ON a.id = d.after_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN a.status = 'active' THEN '{{}}'::text[] ELSE ARRAY(
            SELECT relation ->> 'id'
            FROM jsonb_array_elements(a.record -> 'relations') WITH ORDINALITY AS r(relation, place)
            WHERE relation ->> 'kind' = 'successor'
            ORDER BY place
        ) END AS successors
    ) s
"""  # noqa: S608
"""One row for each organisation that differs between the releases :before and :after."""
