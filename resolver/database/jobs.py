"""Jobs: affiliations that were sent by HTTP to be resolved in bulk.

A job is kept whole, so that nothing of it is lost when the server that took it, or the queue, ends.
Its affiliations are records of the source ``job:ID``; their ids are their numbers in the job, from
0. Those whose message became a dead letter are noted, so that the job ends without them.
"""

from __future__ import annotations

import gzip
import hashlib
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, text

from resolver.database import records
from resolver.database.connection import transaction
from resolver.matching.outcome import Link

SOURCE = "job:"
"""What the source of a job's records begins with."""

Row = tuple[str | int | None, str | None, str | None]
"""An affiliation of a job: the sender's id, the text, or why there is none."""

BATCH = 1_000
"""Results read at a time."""

_DIGITS = 10
"""Fewer digits than this are a number that Postgres' type integer takes."""

_LOCK = 7_305_117
"""First key of the advisory locks by which one process alone sends a job."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job with `received` affiliations: `refused` of them cannot be read, and `sent` of them the
    queue has for certain. To send it was tried in vain `attempts` times. One with a `failure` was
    set aside: it is not sent any more."""

    id: str
    policy: Mapping[str, object]
    organizations: str
    received: int
    refused: int
    sent: int
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None
    finished_at: datetime | None
    cancelled_at: datetime | None
    failure: str | None
    attempts: int

    @property
    def source(self) -> str:
        """The source of its records."""
        return SOURCE + self.id


@dataclass(frozen=True, slots=True)
class StoredLink:
    """A link of a stored answer, without its evidence but for the part of the text that has the
    name: from character `start` to before `end`, both 0 where no part has it."""

    link: Link
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The present answer to an affiliation of a job: links, most probable first, or the reason.

    `text` is the affiliation as it was read."""

    text: str
    reason: str | None
    links: Sequence[StoredLink]
    version_id: int
    release_id: int
    release: str


_COLUMNS = (
    "id, policy, organizations, received, refused, sent, created_at, expires_at, sent_at,"
    " finished_at, cancelled_at, failure, attempts"
)

_SENDABLE = "failure IS NULL AND (try_at IS NULL OR try_at <= clock_timestamp())"
"""Whether a job may be sent now."""


class RequestDiffers(ValueError):
    """A request has the Idempotency-Key of an earlier one, and is another."""


def create(
    engine: Engine,
    rows: Sequence[Row],
    *,
    policy: Mapping[str, object],
    organizations: str,
    days: int,
    request_hash: bytes,
    request_key: bytes | None = None,
) -> Job:
    """Keep a job. A request with the key of an earlier one that is kept gets that one's job.

    Raises:
        RequestDiffers: the key is that of another request.
    """
    with transaction(engine) as connection:
        row = connection.execute(
            text(
                "INSERT INTO job (id, request_key, request_hash, body, policy, organizations,"  # noqa: S608
                " received, refused, expires_at)"
                " VALUES (:id, :key, :hash, :body, CAST(:policy AS jsonb), :organizations,"
                " :received, :refused, now() + make_interval(days => :days))"
                " ON CONFLICT (request_key) DO NOTHING"
                f" RETURNING {_COLUMNS}"
            ),
            {
                "id": uuid.uuid4().hex,
                "key": request_key,
                "hash": request_hash,
                "body": _packed(rows),
                "policy": orjson.dumps(policy).decode(),
                "organizations": organizations,
                "received": len(rows),
                "refused": sum(1 for _, affiliation, _ in rows if affiliation is None),
                "days": days,
            },
        ).one_or_none()
        if row is not None:
            return Job(*row)
        earlier = connection.execute(
            text(f"SELECT request_hash, {_COLUMNS} FROM job WHERE request_key = :key"),  # noqa: S608
            {"key": request_key},
        ).one()
    if bytes(earlier[0]) != request_hash:
        raise RequestDiffers
    return Job(*earlier[1:])


def find(engine: Engine, job_id: str) -> Job | None:
    """A job that has not expired."""
    with transaction(engine) as connection:
        row = connection.execute(
            text(f"SELECT {_COLUMNS} FROM job WHERE id = :id AND expires_at > now()"),  # noqa: S608
            {"id": job_id},
        ).one_or_none()
    return None if row is None else Job(*row)


def rows(engine: Engine, job: Job) -> list[Row]:
    """The affiliations of a job, in order."""
    with transaction(engine) as connection:
        body = connection.execute(
            text("SELECT body FROM job WHERE id = :id"), {"id": job.id}
        ).scalar_one()
    return [tuple(orjson.loads(line)) for line in gzip.decompress(bytes(body)).splitlines()]


@dataclass(frozen=True, slots=True)
class Progress:
    """How many affiliations of a job have an answer, and how many have none because their message
    became a dead letter."""

    answered: int
    dead: int


_DEAD = (
    "SELECT d.number, d.letter_id FROM job_dead_letter d WHERE d.job_id = :id AND NOT EXISTS"
    " (SELECT FROM source_record s JOIN outcome o USING (affiliation_id, policy_id)"
    " WHERE s.external_id = CAST(d.number AS text) AND s.source = :source AND s.position = 0)"
)
"""The affiliations of a job that have no answer because of a dead letter."""


def progress(engine: Engine, job: Job) -> Progress:
    """How far a job is. When nothing of it waits any more, it is finished from then."""
    names = {"id": job.id, "source": job.source, "received": job.received}
    with transaction(engine) as connection:
        dead = len(connection.execute(text(_DEAD), names).all())
        if job.finished_at:
            return Progress(job.received - job.refused - dead, dead)
        # By the primary key of the records: no index begins with their source.
        count = connection.execute(
            text(
                "SELECT count(*) FROM generate_series(0, :received - 1) AS number"
                " JOIN source_record s ON s.external_id = CAST(number AS text)"
                " AND s.source = :source AND s.position = 0"
                " JOIN outcome o USING (affiliation_id, policy_id)"
            ),
            names,
        ).scalar_one()
        if count + dead >= job.received - job.refused and job.cancelled_at is None:
            connection.execute(
                text("UPDATE job SET finished_at = now() WHERE id = :id AND finished_at IS NULL"),
                names,
            )
    return Progress(int(count), dead)


def dead_letters(engine: Engine, job: Job) -> dict[int, str]:
    """The ids of the dead letters, by the numbers of the affiliations that have no answer because
    of them."""
    with transaction(engine) as connection:
        dead = connection.execute(text(_DEAD), {"id": job.id, "source": job.source}).all()
    return {number: letter_id for number, letter_id in dead}  # noqa: C416 - rows are no pairs to mypy


def answers(engine: Engine, job: Job, first: int, last: int) -> dict[int, StoredAnswer]:
    """The answers to its affiliations of these numbers, `last` not included; none where there is
    none (yet)."""
    with transaction(engine) as connection:
        linked = connection.execute(
            text(
                "SELECT number, a.text, o.reason, o.resolver_version_id, v.release_id, r.version,"
                " l.ror_id, l.name, l.matched_name, l.score, l.probability, l.rank, l.stands_for,"
                " l.text_start, l.text_end"
                " FROM generate_series(CAST(:first AS integer), CAST(:last AS integer) - 1) number"
                " JOIN source_record s ON s.external_id = CAST(number AS text)"
                " AND s.source = :source AND s.position = 0"
                " JOIN affiliation a ON a.id = s.affiliation_id"
                " JOIN outcome o USING (affiliation_id, policy_id)"
                " JOIN resolver_version v ON v.id = o.resolver_version_id"
                " JOIN registry_release r ON r.id = v.release_id"
                " LEFT JOIN link l USING (affiliation_id, policy_id)"
                " ORDER BY number, l.rank"
            ),
            {"first": first, "last": last, "source": job.source},
        ).all()
    by_number: dict[int, StoredAnswer] = {}
    for number, affiliation, reason, version_id, release_id, release, *columns in linked:
        links = list(by_number[number].links) if number in by_number else []
        if columns[0] is not None:
            links.append(_stored_link(*columns))
        by_number[number] = StoredAnswer(
            affiliation, reason, links, version_id, release_id, release
        )
    return by_number


def _stored_link(
    ror_id: str,
    name: str,
    matched_name: str,
    score: float | None,
    probability: float,
    rank: int,
    stands_for: Sequence[str],
    start: int | None,
    end: int | None,
) -> StoredLink:
    link = Link(ror_id, name, matched_name, score, probability, rank, stands_for=tuple(stands_for))
    return StoredLink(link, start or 0, end or 0)


def cancel(engine: Engine, job: Job) -> None:
    """Cancel a job: what of it was answered is withdrawn, and what still waits in the queue is not
    resolved (`wanted`). A second time changes nothing."""
    with transaction(engine) as connection:
        connection.execute(
            text("UPDATE job SET cancelled_at = now() WHERE id = :id AND cancelled_at IS NULL"),
            {"id": job.id},
        )
    _withdraw(engine, job)


def wanted(engine: Engine, chunk: object) -> object:
    """The records of a message without those of jobs that were cancelled or have expired."""
    ids = {job_id for job_id, _ in _of_jobs(chunk)}
    if not isinstance(chunk, list) or not ids:
        return chunk
    with transaction(engine) as connection:
        kept = {
            SOURCE + job_id
            for (job_id,) in connection.execute(
                text("SELECT id FROM job WHERE id = ANY(:ids) AND cancelled_at IS NULL"),
                {"ids": list(ids)},
            )
        }
    left = {SOURCE + job_id for job_id in ids} - kept
    return [
        record
        for record in chunk
        if not (isinstance(record, Mapping) and record.get("source") in left)
    ]


def note_dead_letter(engine: Engine, chunk: object, letter_id: str) -> None:
    """Note for the jobs whose records are in a message that it is, or is about to become, a dead
    letter. Nothing is noted for other records; a record that has an answer, or gets one later,
    counts as answered all the same.

    Raises:
        DatabaseUnavailable: nothing is noted.
    """
    noted = [(job_id, number) for job_id, number in _of_jobs(chunk) if number is not None]
    if not noted:
        return
    with transaction(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO job_dead_letter (job_id, number, letter_id)"
                " SELECT DISTINCT j.id, n.number, CAST(:letter AS text)"
                " FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS integer[])) AS n (id, number)"
                " JOIN job j ON j.id = n.id AND n.number < j.received"
                " ON CONFLICT (job_id, number)"
                " DO UPDATE SET letter_id = excluded.letter_id, noted_at = now()"
            ),
            {
                "letter": letter_id,
                "ids": [job_id for job_id, _ in noted],
                "numbers": [number for _, number in noted],
            },
        )


def _of_jobs(chunk: object) -> Iterator[tuple[str, int | None]]:
    """The job of each record of a message that is of a job, and the record's number there; None
    where that cannot be read."""
    for record in chunk if isinstance(chunk, list) else []:
        source = record.get("source") if isinstance(record, Mapping) else None
        if isinstance(source, str) and source.startswith(SOURCE):
            number = str(record.get("id"))
            readable = number.isascii() and number.isdigit() and len(number) < _DIGITS
            yield source.removeprefix(SOURCE), int(number) if readable else None


@contextmanager
def sending(engine: Engine) -> Iterator[Job | None]:
    """A job that the queue does not have whole, for this process alone as long as the block lasts;
    None where there is none, or others have them all. Those that wait for another try are left
    out."""
    with transaction(engine) as connection:
        yield _unsent(connection)


def _unsent(connection: Connection) -> Job | None:
    waiting = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM job WHERE sent_at IS NULL AND cancelled_at IS NULL"  # noqa: S608
            f" AND {_SENDABLE} AND expires_at > now() ORDER BY created_at"
        )
    ).all()
    for row in waiting:
        job = Job(*row)
        lock = int.from_bytes(hashlib.sha256(job.id.encode()).digest()[:4], signed=True)
        locked = connection.execute(
            text("SELECT pg_try_advisory_xact_lock(:all, :one)"), {"all": _LOCK, "one": lock}
        ).scalar_one()
        if locked:
            # It may have been sent between the two statements.
            return _again(connection, job)
    return None


def _again(connection: Connection, job: Job) -> Job | None:
    row = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM job WHERE id = :id"  # noqa: S608
            f" AND sent_at IS NULL AND cancelled_at IS NULL AND {_SENDABLE}"
        ),
        {"id": job.id},
    ).one_or_none()
    return None if row is None else Job(*row)


def note_sent(engine: Engine, job: Job, sent: int) -> None:
    """Keep how many of its affiliations the queue has."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "UPDATE job SET sent = :sent,"
                " sent_at = CASE WHEN :sent = received THEN now() END WHERE id = :id"
            ),
            {"sent": sent, "id": job.id},
        )


def set_aside(engine: Engine, job: Job, reason: str) -> None:
    """Send a job no more, until it is retried."""
    with transaction(engine) as connection:
        connection.execute(
            text("UPDATE job SET failure = :reason WHERE id = :id"),
            {"reason": reason, "id": job.id},
        )


def count_set_aside(engine: Engine) -> int:
    """How many jobs are set aside now."""
    with transaction(engine) as connection:
        count = connection.execute(
            text(
                "SELECT count(*) FROM job WHERE failure IS NOT NULL"
                " AND cancelled_at IS NULL AND expires_at > now()"
            )
        ).scalar_one()
    return int(count)


def note_attempt(engine: Engine, job: Job, seconds: float) -> None:
    """Keep that sending it met an error of the program, and let it wait so long for another try."""
    with transaction(engine) as connection:
        connection.execute(
            text(
                "UPDATE job SET attempts = attempts + 1,"
                " try_at = clock_timestamp() + make_interval(secs => :seconds) WHERE id = :id"
            ),
            {"seconds": seconds, "id": job.id},
        )


def retry(engine: Engine, job: Job) -> None:
    """Let a job be sent again from its beginning: what has an answer keeps it. One that is being
    sent, or was cancelled, is left alone."""
    with transaction(engine) as connection:
        begun = connection.execute(
            text(
                "UPDATE job SET sent = 0, sent_at = NULL, finished_at = NULL, failure = NULL,"
                " attempts = 0, try_at = NULL WHERE id = :id AND cancelled_at IS NULL"
                " AND (sent_at IS NOT NULL OR failure IS NOT NULL) RETURNING id"
            ),
            {"id": job.id},
        ).one_or_none()
        if begun:
            connection.execute(
                text("DELETE FROM job_dead_letter WHERE job_id = :id"), {"id": job.id}
            )


def is_cancelled(engine: Engine, job: Job) -> bool:
    """Whether it was cancelled by now, or deleted."""
    with transaction(engine) as connection:
        wanted = connection.execute(
            text("SELECT cancelled_at IS NULL FROM job WHERE id = :id"), {"id": job.id}
        ).scalar()
    return not wanted


def delete_expired(engine: Engine) -> int:
    """Delete the jobs that have expired, and withdraw their affiliations; returns how many."""
    with transaction(engine) as connection:
        expired = connection.execute(
            text(f"SELECT {_COLUMNS} FROM job WHERE expires_at <= now()")  # noqa: S608
        ).all()
    for row in expired:
        job = Job(*row)
        _withdraw(engine, job)
        with transaction(engine) as connection:
            connection.execute(text("DELETE FROM job WHERE id = :id"), {"id": job.id})
    return len(expired)


def _withdraw(engine: Engine, job: Job) -> None:
    records.withdraw(engine, ((job.source, str(number), None) for number in range(job.received)))


def _packed(rows: Collection[Row]) -> bytes:
    lines = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    return gzip.compress(lines, compresslevel=5, mtime=0)


def fingerprint(*parts: bytes) -> bytes:
    """SHA-256 of these, each with its length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.digest()


def as_json(moment: datetime | None) -> Any:
    """A time as RFC 3339 writes it in UTC; None stays."""
    return moment and moment.isoformat(timespec="seconds").replace("+00:00", "Z")
