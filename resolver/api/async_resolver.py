"""`AsyncResolver`: a server of affiliations (`resolver serve`), asked by a program with asyncio."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, overload
from urllib.parse import quote

import orjson

from resolver.api.answer import Answer
from resolver.api.choices import PolicyChoices
from resolver.api.frames import frame_maker
from resolver.api.job import Job, job_of
from resolver.api.progress import reporting
from resolver.api.results import NDJSON, answer_of_result, in_query, lines_of, merged, sent
from resolver.api.server import LONGEST_PAUSE, Server
from resolver.api.texts import each_text, texts_of
from resolver.errors import (
    JobFailed,
    JobIncomplete,
    ServerUnavailable,
    SettingsError,
)
from resolver.network.retrying import asked_wait

if TYPE_CHECKING:
    import pandas
    import polars

PART = 256
"""Affiliations of one request. The server sends an answer as soon as it has it, so that little is
asked for again where a connection breaks."""

JSON = {"Content-Type": "application/json"}

FIRST_LOOK = 0.5
"""Seconds until a job is looked at for the first time; then twice as long each time, up to what the
server asks for."""


class AsyncResolver:
    """A server of affiliations (``resolver serve``), asked by a program with asyncio.

    ::

        async with AsyncResolver("https://resolver.example", key="…") as resolver:
            answers = await resolver.resolve(["Univ. of York, UK", None])

    It gives the answers that a `Resolver` gives, with what the server has beside its index:
    curators' decisions. Probabilities and scores are rounded to four digits. Nothing is loaded here
    but httpx.

    `url` is the server's address, `key` one of its keys, if it asks for one. The keyword arguments
    of `PolicyChoices` say what to link; what is left out is as the server's settings say. Texts are
    sent in parts, of which at most `in_flight` are in work at once. Several calls may run at the
    same time, all in the event loop in which the first one was made.

    The server may be silent for `timeout` seconds, which should be more than its
    ``RESOLVER_SERVE_SECONDS`` (50). A request that fails because the server is full, is asked too
    often, stops, starts again or cannot be reached is sent again, after the time that the server
    asks for or pauses that grow; only what has no answer yet is sent. Each new try is logged as a
    warning. It ends in an error when nothing was answered for `retry_seconds`.

    Certificates are checked against those that httpx brings, or those in the file
    ``SSL_CERT_FILE``.

    Raises:
        SettingsError: the address or an argument makes no sense.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        in_flight: int = 4,
        timeout: float = 90.0,
        retry_seconds: float = 120.0,
        **choices: Unpack[PolicyChoices],
    ) -> None:
        if in_flight < 1:
            raise SettingsError(f"in_flight={in_flight}: at least one part is in work at a time")
        self._server = Server(url, key=key, timeout=timeout, retry_seconds=retry_seconds)
        self._in_flight = in_flight
        self._choices = choices

    async def resolve(
        self,
        affiliations: Iterable[str | None],
        *,
        progress: Callable[[int, int], None] | bool = False,
        **choices: Unpack[PolicyChoices],
    ) -> list[Answer]:
        """One answer an affiliation, in order.

        `affiliations` and `progress` are as for `Resolver.resolve`. Texts that repeat are sent
        once.

        Raises:
            AffiliationsError: one string in the place of a list, or a value that is no text; says
                at which position.
            RequestRefused: the server does not accept the key, or a choice makes no sense to it.
            ServerUnavailable: the server does not answer, is full or stops, or an affiliation
                cannot be answered, whatever is tried; says why.
        """
        texts = texts_of(affiliations)
        counts = Counter(texts)
        answers: dict[str, Answer] = {}
        answered = 0
        with reporting(progress) as report:
            report(answered, len(texts))
            async with aclosing(self._parts(iter(counts), choices)) as parts:
                async for part in parts:
                    answers.update((answer.affiliation, answer) for answer in part)
                    answered += sum(counts[answer.affiliation] for answer in part)
                    report(answered, len(texts))
        return [answers[text] for text in texts]

    @overload
    async def frame(
        self,
        affiliations: polars.Series,
        *,
        progress: Callable[[int, int], None] | bool = False,
        **choices: Unpack[PolicyChoices],
    ) -> polars.DataFrame: ...

    @overload
    async def frame(
        self,
        affiliations: pandas.Series[Any],
        *,
        progress: Callable[[int, int], None] | bool = False,
        **choices: Unpack[PolicyChoices],
    ) -> pandas.DataFrame: ...

    async def frame(
        self,
        affiliations: polars.Series | pandas.Series[Any],
        *,
        progress: Callable[[int, int], None] | bool = False,
        **choices: Unpack[PolicyChoices],
    ) -> polars.DataFrame | pandas.DataFrame:
        """Like `resolve`, as the frame that `Resolver.frame` makes.

        Raises:
            AffiliationsError: it is no Series of pandas or polars.
            otherwise as `resolve`.
        """
        in_frame = frame_maker(affiliations)
        return in_frame(await self.resolve(affiliations, progress=progress, **choices))

    async def stream(
        self,
        affiliations: Iterable[str | None] | AsyncIterable[str | None],
        **choices: Unpack[PolicyChoices],
    ) -> AsyncGenerator[Answer, None]:
        """One answer an affiliation, in order, for any number of them: memory stays the same.

        `affiliations` may be an asynchronous generator too. The texts are read up to
        ``256 * (in_flight + 1)`` ahead of the answers; those that repeat are sent each time.

        Raises:
            as `resolve`, after the answers to the texts before.
        """
        async with aclosing(self._parts(each_text(affiliations), choices)) as parts:
            async for part in parts:
                for answer in part:
                    yield answer

    async def submit(
        self,
        affiliations: Iterable[str | None],
        *,
        idempotency_key: str | None = None,
        **choices: Unpack[PolicyChoices],
    ) -> Job:
        """Let the server's workers resolve the affiliations, at most 100,000, and return at once.

        A job outlives this program; its `id` is what the other methods take, in any program. Sent
        again with the same `idempotency_key` (at most 255 characters) the same affiliations and
        choices are the same job, also after this program broke off.

        Raises:
            AffiliationsError: as `resolve`.
            RequestRefused: as `resolve`; or it is too much for a job, or the key was that of
                another one.
            ServerUnavailable: as `resolve`. The server may have taken the job all the same; to send
                it again with the same key tells.
        """
        body = {
            "affiliations": [sent(text) for text in texts_of(affiliations)],
            "policy": merged(self._choices, choices),
            "organizations": "brief",
        }
        # With a key, for the try after a broken connection not to make a second job.
        key = uuid.uuid4().hex if idempotency_key is None else idempotency_key
        if not key.isascii() or not key.isprintable():
            raise SettingsError("idempotency_key: has other characters than printable ASCII")
        response = await self._server.request(
            "POST", "/jobs", content=orjson.dumps(body), headers={**JSON, "Idempotency-Key": key}
        )
        return self._job(response.content)

    async def job(self, job_id: str) -> Job:
        """How far a job is.

        Raises:
            RequestRefused: there is no such job, or it has expired.
            ServerUnavailable: as `resolve`.
        """
        return self._job((await self._server.request("GET", _path(job_id))).content)

    async def wait(self, job_id: str) -> Job:
        """The job, once it is finished. ``asyncio.timeout`` limits how long that may take.

        Raises:
            JobFailed: it failed or was cancelled.
            RequestRefused, ServerUnavailable: as `job`.
        """
        pause = FIRST_LOOK
        while True:
            response = await self._server.request("GET", _path(job_id))
            job = self._job(response.content)
            if job.state == "finished":
                return job
            if not job.waits:
                raise JobFailed(
                    f"job {job.id} is {job.state}{f': {job.reason}' if job.reason else ''}",
                    remedy="when the cause is gone, send it again: retry(job_id)"
                    if job.state == "failed"
                    else None,
                )
            asked = asked_wait(response.headers.get("Retry-After", "")) or LONGEST_PAUSE
            await asyncio.sleep(min(pause, asked))
            pause *= 2

    async def results(self, job_id: str) -> list[Answer]:
        """The answers of a finished job, one an affiliation, in order.

        Raises:
            JobIncomplete: some affiliations have no answer; has the answers of the others.
            RequestRefused: the job is not finished, or as `job`.
            ServerUnavailable: as `resolve`.
        """
        received = (await self.job(job_id)).received
        answers: list[Answer | None] = []
        failures: dict[int, str] = {}
        retries = self._server.retries()
        while len(answers) < received:
            problem = ServerUnavailable(f"the results of job {job_id} break off")
            answers, failures = [], {}
            try:
                async with self._server.opened("GET", f"{_path(job_id)}/results") as response:
                    async for result in self._server.lines(response):
                        answer = self._answer(result, result.get("affiliation") or "")
                        if answer is None:
                            failures[len(answers)] = str(result.get("reason"))
                        answers.append(answer)
            except ServerUnavailable as error:
                problem = error
            if len(answers) < received:
                await asyncio.sleep(retries.next_pause(problem))
        if failures:
            raise JobIncomplete(job_id, answers=answers, failures=failures)
        return [answer for answer in answers if answer is not None]

    async def retry(self, job_id: str) -> Job:
        """Send a job again that failed, or of which affiliations failed, once the cause is gone.

        Affiliations that have an answer keep it; `wait` waits for the others. A job that is on its
        way to the queue goes on.

        Raises:
            RequestRefused: the job was cancelled, or as `job`.
            ServerUnavailable: as `resolve`.
        """
        response = await self._server.request("POST", f"{_path(job_id)}/retry")
        return self._job(response.content)

    async def delete(self, job_id: str) -> None:
        """Cancel a job: what waits is not resolved, and what was answered is withdrawn.

        Raises:
            RequestRefused, ServerUnavailable: as `job`.
        """
        await self._server.request("DELETE", _path(job_id))

    async def aclose(self) -> None:
        """Close the connections; done twice it does nothing more."""
        await self._server.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        closed = ", closed" if self._server.is_closed else ""
        return f"<AsyncResolver: {self._server.url}{closed}>"

    async def _parts(
        self, texts: Iterator[str] | AsyncIterator[str], choices: PolicyChoices
    ) -> AsyncGenerator[list[Answer], None]:
        """The answers to all texts, in order, part by part; `in_flight` parts are in work at a
        time."""
        query = in_query(merged(self._choices, choices))
        in_work: deque[asyncio.Task[list[Answer]]] = deque()
        first = 0
        try:
            async with aclosing(_cut(texts)) as parts:
                async for part in parts:
                    if len(in_work) == self._in_flight:
                        yield await in_work.popleft()
                    in_work.append(asyncio.create_task(self._part(first, part, query)))
                    first += len(part)
            while in_work:
                yield await in_work.popleft()
        finally:
            for task in in_work:
                task.cancel()
            await asyncio.gather(*in_work, return_exceptions=True)

    async def _part(
        self, first: int, texts: Sequence[str], query: Mapping[str, str]
    ) -> list[Answer]:
        """The answers to the texts of a part; `first` is the position of the first one among
        all."""
        answers: dict[int, Answer] = {}
        retries = self._server.retries()
        while missing := [place for place in range(len(texts)) if place not in answers]:
            problem = ServerUnavailable(f"{self._server.url} breaks off")
            try:
                async with self._server.opened(
                    "POST",
                    "/match",
                    params={**query, "organizations": "brief"},
                    content=lines_of(texts[place] for place in missing),
                    headers=NDJSON,
                ) as response:
                    async for result in self._server.lines(response):
                        index = result.get("index")
                        if not isinstance(index, int) or not 0 <= index < len(missing):
                            # Of no affiliation: the server could not read on.
                            problem = ServerUnavailable(
                                f"{self._server.url}: {result.get('reason')}"
                            )
                            continue
                        place = missing[index]
                        answer = self._answer(result, texts[place])
                        if answer is None:
                            problem = ServerUnavailable(
                                f"{self._server.url} cannot answer the affiliation at position "
                                f"{first + place}: {result.get('reason')}"
                            )
                        else:
                            answers[place] = answer
                            retries.progress()
            except ServerUnavailable as error:
                problem = error
            if len(answers) < len(texts):
                await asyncio.sleep(retries.next_pause(problem))
        return [answers[place] for place in range(len(texts))]

    def _answer(self, result: Mapping[str, Any], affiliation: str) -> Answer | None:
        """The answer that a result is; None where the affiliation failed or was refused."""
        try:
            if result["status"] not in ("linked", "no_match"):
                return None
            return answer_of_result(result, affiliation)
        except (KeyError, TypeError, ValueError) as error:
            self._server.not_understood(error)

    def _job(self, body: bytes) -> Job:
        document = self._server.read(body)
        try:
            return job_of(document)
        except (KeyError, TypeError, ValueError) as error:
            self._server.not_understood(error)


def _path(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


async def _cut(texts: Iterator[str] | AsyncIterator[str]) -> AsyncGenerator[list[str], None]:
    """The texts in parts of `PART`."""
    part: list[str] = []
    async for text in _each(texts):
        part.append(text)
        if len(part) == PART:
            yield part
            part = []
    if part:
        yield part


async def _each(texts: Iterator[str] | AsyncIterator[str]) -> AsyncIterator[str]:
    if isinstance(texts, AsyncIterator):
        async for text in texts:
            yield text
    else:
        for text in texts:
            yield text
