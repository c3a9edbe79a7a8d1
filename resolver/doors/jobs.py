"""``/jobs``: more affiliations than a request should wait for. Workers resolve them (the queue
``bulk``), and their answers are read from the database.

A job is stored before it is accepted. Any process of any server then sends it to the queue, and
goes on where another one ended. A job that cannot be sent because of an error in this program is
tried again after pauses that grow, while later jobs are sent; in the end it is set aside as failed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field
from sqlalchemy import Engine
from starlette.responses import Response

from resolver.database import jobs
from resolver.database.jobs import Job, Progress, Row, StoredAnswer
from resolver.doors.backend import Backend
from resolver.doors.lines import JSON, NDJSON, Asked, Lines, content_type, json_of, read, read_line
from resolver.doors.match import (
    Detail,
    Streamed,
    detail_of,
    link_of,
    organisations_of,
    policy_in_query,
    read_document,
    result_of,
    unanswered,
)
from resolver.doors.problems import UNAVAILABLE, Problem, documented
from resolver.errors import ResolverError
from resolver.registry.organisation import Organisation
from resolver.workers.client import enqueue

log = logging.getLogger(__name__)

MAX_AFFILIATIONS = 100_000
"""Most affiliations of a job."""

POLL_SECONDS = 5
"""What a client is told to wait before it looks at its job again."""

LOOK_SECONDS = 2.0
"""Between two looks for jobs that the queue does not have."""

PAUSES = (2.0, 10.0, 60.0, 300.0)
"""Seconds before a job that met an error of the program is tried again, after each try in turn;
after one more it is set aside. Six minutes in all: a server is started anew meanwhile, and nobody
waits long for the reason."""

PURGE_SECONDS = 600
"""Between two looks for jobs that have expired."""

State = Literal["queued", "running", "finished", "failed", "cancelled"]


class JobDocument(BaseModel):
    """A job: `done` of the `received` affiliations are answered; `failed` cannot be read, or their
    message became a dead letter."""

    id: str
    state: State
    received: Annotated[int, Field(ge=0)]
    done: Annotated[int, Field(ge=0)]
    failed: Annotated[int, Field(ge=0)]
    created_at: datetime
    expires_at: datetime
    results_url: str | None = Field(description="Where the results are, once it is finished")
    reason: str | None = Field(None, description="Why it failed")


class _Stop(Exception):
    """The server stops, or the job was cancelled, while it is sent."""


def _ignored() -> None:
    """Nobody counts."""


@dataclass(slots=True)
class Jobs:
    """Takes jobs, and sends them to the queue in a thread beside the requests."""

    backend: Backend
    set_aside: Callable[[], None] = _ignored
    """Called when a job is set aside."""
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: threading.Event = field(default_factory=threading.Event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Jobs are sent and deleted as long as the block lasts."""
        self._stopping.clear()
        tasks = [asyncio.create_task(self._send_all()), asyncio.create_task(self._purge())]
        try:
            yield
        finally:
            self._stopping.set()
            self._came.set()
            tasks[1].cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks)

    async def create(
        self,
        rows: Sequence[Row],
        *,
        policy: dict[str, object],
        organizations: str,
        request_hash: bytes,
        request_key: bytes | None,
    ) -> Job:
        """Keep a job and let it be sent.

        Raises:
            Problem: 422, the key is that of another request.
            DatabaseUnavailable: it was not kept.
        """
        try:
            job = await asyncio.to_thread(
                jobs.create,
                self.backend.matching.engine,
                rows,
                policy=policy,
                organizations=organizations,
                days=self.backend.settings.serve_jobs_days,
                request_hash=request_hash,
                request_key=request_key,
            )
        except jobs.RequestDiffers as error:
            raise Problem(422, "Idempotency-Key: another request was sent with this key") from error
        self._came.set()
        return job

    async def find(self, job_id: str) -> Job:
        """A job.

        Raises:
            Problem: 404, there is none, or it has expired.
        """
        job = await asyncio.to_thread(jobs.find, self.backend.matching.engine, job_id)
        if job is None:
            raise Problem(404, "there is no such job, or it has expired")
        return job

    async def retry(self, job: Job) -> Job:
        """Let a job be sent again, and return it as it is then.

        Raises:
            Problem: 404, it has expired meanwhile.
        """
        await asyncio.to_thread(jobs.retry, self.backend.matching.engine, job)
        self._came.set()
        return await self.find(job.id)

    async def document(self, job: Job, request: Request) -> dict[str, Any]:
        """The job as `JobDocument`."""
        progress = await asyncio.to_thread(jobs.progress, self.backend.matching.engine, job)
        state = state_of(job, progress)
        url = str(request.url_for("job_results", job_id=job.id))
        return {
            "id": job.id,
            "state": state,
            "received": job.received,
            "done": progress.answered,
            "failed": job.refused + progress.dead,
            "created_at": jobs.as_json(job.created_at.astimezone(UTC)),
            "expires_at": jobs.as_json(job.expires_at.astimezone(UTC)),
            "results_url": url if state == "finished" else None,
            "reason": job.failure,
        }

    async def _send_all(self) -> None:
        """Send what the queue does not have, until the server stops."""
        while not self._stopping.is_set():
            self._came.clear()
            try:
                while await asyncio.to_thread(self._send_one):
                    pass
            except UNAVAILABLE as error:
                log.warning("jobs wait: %s", error)
            except Exception:
                log.exception("jobs cannot be sent")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), LOOK_SECONDS)

    def _send_one(self) -> bool:
        """Send a job to the queue, or the rest of one; whether there may be another.

        Raises:
            BrokerUnavailable, QueueFull: not all of it was sent; how much is kept.
        """
        if self._stopping.is_set():
            return False
        engine = self.backend.matching.engine
        with jobs.sending(engine) as job:
            if job is None:
                return False
            try:
                self._send(job)
            except _Stop:
                return not self._stopping.is_set()
            except UNAVAILABLE:
                raise
            except ResolverError as error:
                self._set_aside(job, error.problem, error)
            except Exception as error:  # noqa: BLE001 - the job waits; later ones are sent
                self._postpone(job, error)
        return True

    def _send(self, job: Job) -> None:
        """Send what of a job the queue does not have.

        Raises:
            _Stop: the server stops, or the job was cancelled.
            otherwise as `enqueue`; how much was sent is kept.
        """
        engine = self.backend.matching.engine
        rows = jobs.rows(engine, job)[job.sent :]
        texts = [
            (number, text)
            for number, (_, text, _) in enumerate(rows, start=job.sent)
            if text is not None
        ]
        sent = job.sent

        def progress(records: int) -> None:
            nonlocal sent
            sent = texts[records - 1][0] + 1
            if self._stopping.is_set() or jobs.is_cancelled(engine, job):
                raise _Stop

        try:
            enqueue(
                (
                    {"source": job.source, "id": str(number), "affiliation": text}
                    for number, text in texts
                ),
                settings=self.backend.settings,
                policy=job.policy,
                progress=progress,
            )
            sent = job.received
        finally:
            jobs.note_sent(engine, job, sent)

    def _postpone(self, job: Job, error: Exception) -> None:
        """Let a job wait after an error of the program, or set it aside after the last pause."""
        if job.attempts >= len(PAUSES):
            reason = f"an error in this server at each of {job.attempts + 1} tries to send it"
            self._set_aside(job, f"{reason}: {type(error).__name__}", error)
            return
        seconds = PAUSES[job.attempts]
        log.error(
            "job %s: try %d to send it failed, the next is in %.0f s",
            job.id,
            job.attempts + 1,
            seconds,
            exc_info=error,
        )
        jobs.note_attempt(self.backend.matching.engine, job, seconds)

    def _set_aside(self, job: Job, reason: str, error: Exception) -> None:
        """Send a job no more, until it is retried."""
        unexpected = None if isinstance(error, ResolverError) else error
        log.error("job %s is set aside: %s", job.id, reason, exc_info=unexpected)
        jobs.set_aside(self.backend.matching.engine, job, reason)
        self.set_aside()

    async def _purge(self) -> None:
        """Delete what has expired, from time to time."""
        while True:
            try:
                await asyncio.to_thread(jobs.delete_expired, self.backend.matching.engine)
            except ResolverError as error:
                log.warning("expired jobs are not deleted yet: %s", error)
            except Exception:
                log.exception("expired jobs are not deleted yet")
            await asyncio.sleep(PURGE_SECONDS)


def state_of(job: Job, progress: Progress) -> State:
    if job.cancelled_at:
        return "cancelled"
    if progress.answered + progress.dead >= job.received - job.refused:
        return "finished"
    if job.failure:
        return "failed"
    return "running" if progress.answered or job.sent else "queued"


def router(door: Jobs) -> APIRouter:
    """The routes below ``/jobs``."""
    routes = APIRouter(tags=["jobs"])

    def engine() -> Engine:
        return door.backend.matching.engine

    @routes.post(
        "/jobs",
        status_code=202,
        summary="Have many affiliations resolved",
        response_model=JobDocument,
        responses={
            202: {
                "headers": {
                    "Location": {"schema": {"type": "string"}},
                    "Retry-After": {"schema": {"type": "integer"}},
                }
            },
            **documented(400, 413, 415, 422, 503),
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {"schema": {"$ref": "#/components/schemas/MatchRequest"}},
                    NDJSON: {"schema": {"type": "string"}},
                },
            }
        },
    )
    async def create_job(
        request: Request,
        idempotency_key: Annotated[
            str | None,
            Header(
                max_length=255,
                description="The same key with the same body gets the same job",
            ),
        ] = None,
    ) -> Response:
        """The body is that of `POST /match`, with 100,000 affiliations or 64 MiB."""
        kind = content_type(request)
        body = await request.body()
        query = dict(request.query_params)
        query.pop("api_key", None)
        asked, policy, detail = await asyncio.to_thread(_read_body, kind, body, query)
        door.backend.choices(policy)
        if not asked:
            raise Problem(422, "there is no affiliation in it")
        holder = getattr(request.state, "holder", None) or ""
        job = await door.create(
            [(entry.id, entry.text, entry.refusal) for entry in asked],
            policy=policy,
            organizations=detail,
            request_hash=jobs.fingerprint(kind.encode(), orjson.dumps(sorted(query.items())), body),
            request_key=jobs.fingerprint(holder.encode(), idempotency_key.encode())
            if idempotency_key is not None
            else None,
        )
        return Response(
            orjson.dumps(await door.document(job, request)),
            202,
            headers={
                "Location": str(request.url_for("job", job_id=job.id)),
                "Retry-After": str(POLL_SECONDS),
            },
            media_type=JSON,
        )

    @routes.get(
        "/jobs/{job_id}",
        name="job",
        summary="How far a job is",
        response_model=JobDocument,
        responses=documented(404, 503),
    )
    async def show(request: Request, job_id: str) -> Response:
        document = await door.document(await door.find(job_id), request)
        waits = document["state"] in ("queued", "running")
        return Response(
            orjson.dumps(document),
            headers={"Retry-After": str(POLL_SECONDS)} if waits else None,
            media_type=JSON,
        )

    @routes.get(
        "/jobs/{job_id}/results",
        name="job_results",
        summary="The results of a finished job, one a line, in order",
        response_class=Response,
        responses={
            200: {"content": {NDJSON: {"schema": {"type": "string"}}}},
            **documented(404, 409, 503),
        },
    )
    async def results(request: Request, job_id: str) -> Response:
        job = await door.find(job_id)
        document = await door.document(job, request)
        if document["state"] != "finished":
            raise Problem(
                409,
                f"the job is {document['state']}: {document['done']:,} of {job.received:,} done",
                headers={"Retry-After": str(POLL_SECONDS)},
            )
        rows = await asyncio.to_thread(jobs.rows, engine(), job)
        return Streamed(_result_lines(door.backend, job, rows))

    @routes.post(
        "/jobs/{job_id}/retry",
        status_code=202,
        summary="Send a job again",
        response_model=JobDocument,
        responses=documented(404, 409, 503),
    )
    async def retry(request: Request, job_id: str) -> Response:
        """A job that failed, or of which affiliations failed, is sent again; what is answered stays
        as it is."""
        job = await door.find(job_id)
        if job.cancelled_at:
            raise Problem(409, "the job is cancelled")
        return Response(
            orjson.dumps(await door.document(await door.retry(job), request)),
            202,
            headers={"Retry-After": str(POLL_SECONDS)},
            media_type=JSON,
        )

    @routes.delete(
        "/jobs/{job_id}",
        status_code=204,
        response_class=Response,
        summary="Cancel a job",
        responses=documented(404, 503),
    )
    async def cancel(job_id: str) -> Response:
        """What was answered is withdrawn, what waits is not resolved."""
        await asyncio.to_thread(jobs.cancel, engine(), await door.find(job_id))
        return Response(status_code=204)

    return routes


def _read_body(
    kind: str, body: bytes, query: dict[str, str]
) -> tuple[list[Asked], dict[str, object], Detail]:
    """The affiliations, the policy and the detail of a request.

    Raises:
        Problem: it cannot be read.
    """
    if kind == NDJSON:
        detail = detail_of(query.pop("organizations", "none"))
        policy = policy_in_query(query)
        lines = Lines()
        asked = [
            read_line(index, line) for index, line in enumerate([*lines.add(body), *lines.end()])
        ]
    else:
        affiliations, policy, detail = read_document(json_of(body))
        asked = [read(index, value) for index, value in enumerate(affiliations)]
    if len(asked) > MAX_AFFILIATIONS:
        raise Problem(
            413, f"{len(asked):,} affiliations; {MAX_AFFILIATIONS:,} are the most of a job"
        )
    return asked, policy, detail


async def _result_lines(backend: Backend, job: Job, rows: Sequence[Row]) -> AsyncIterator[bytes]:
    engine = backend.matching.engine
    detail = detail_of(job.organizations)
    letters = await asyncio.to_thread(jobs.dead_letters, engine, job)
    for first in range(0, len(rows), jobs.BATCH):
        piece = rows[first : first + jobs.BATCH]
        answers = await asyncio.to_thread(jobs.answers, engine, job, first, first + len(piece))
        organisations = await organisations_of(
            backend,
            (
                (answer.release_id, [stored.link.ror_id for stored in answer.links])
                for answer in answers.values()
            ),
            detail,
        )
        results = (
            _result(
                Asked(number, *row), answers.get(number), letters.get(number), organisations, detail
            )
            for number, row in enumerate(piece, start=first)
        )
        yield b"".join(orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE) for result in results)


def _result(
    asked: Asked,
    answer: StoredAnswer | None,
    letter_id: str | None,
    organisations: Mapping[int, Mapping[str, Organisation]],
    detail: Detail,
) -> dict[str, Any]:
    if asked.text is None:
        return unanswered(asked, "refused", asked.refusal)
    if answer is None and letter_id is not None:
        return unanswered(asked, "failed", f"its message became dead letter {letter_id}")
    if answer is None:
        return unanswered(asked, "failed", "its answer was withdrawn")
    of_release = organisations.get(answer.release_id)
    links = [
        link_of(stored.link, answer.text, (stored.start, stored.end), of_release, detail)
        for stored in answer.links
    ]
    status = "linked" if links else "no_match"
    return result_of(asked, status, answer.text, links, answer.reason) | {
        # Whoever reads the results need not be who sent the job.
        "affiliation": asked.text,
        "release": answer.release,
        "resolver_version": str(answer.version_id),
    }
