"""`AsyncResolver` on real servers: the answers, many of them, jobs, what fails and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pandas as pd
import polars as pl
import pytest
import trustme
from fastapi import FastAPI
from sqlalchemy import Engine
from support.deployment import DEADLY, Deployment, until
from support.serving import command, free_port, serving
from support.tls_front import tls_front

from benchmarks.deadly import WORD
from resolver import Answer, AsyncResolver, PolicyChoices, Reason, Resolver
from resolver.api import async_resolver
from resolver.database import jobs
from resolver.database.records import withdraw
from resolver.errors import (
    AffiliationsError,
    JobFailed,
    JobIncomplete,
    RequestRefused,
    ResolverError,
    ServerUnavailable,
    SettingsError,
)
from resolver.settings import Settings
from resolver.workers import deadletters

T = TypeVar("T")

YORK = "04m01e293"
KEY = "0123456789abcdef"
TEXTS = [
    "Univ. of Oxford, UK",
    "CONICET - Universidad de Buenos Aires, Argentina",
    "",
    None,
    "x" * 10_001,
    "University&nbsp;of York\u2028Heslington\x85York",
    "a lone \ud800 surrogate, University of York",
    "Department of General Internal Medicine, 3rd floor",
    "King's College London",
    "Univ. of Oxford, UK",
]


@pytest.fixture
def url(served: tuple[httpx.Client, FastAPI]) -> str:
    return str(served[0].base_url)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of eight, for a few texts to be many parts."""
    monkeypatch.setattr(async_resolver, "PART", 8)


def asked(url: str, ask: Callable[[AsyncResolver], Awaitable[T]], **options: Any) -> T:
    """What `ask` gets of a resolver that is opened for it."""

    async def run() -> T:
        async with AsyncResolver(url, **options) as resolver:
            return await ask(resolver)

    return asyncio.run(run())


def resolved(
    url: str, texts: Sequence[str | None] = ("University of York",), **options: Any
) -> list[Answer]:
    return asked(url, lambda resolver: resolver.resolve(texts), **options)


def rooms(count: int) -> list[str]:
    """Texts that name York."""
    return [f"University of York, room {number}" for number in range(count)]


def assert_york(answers: Sequence[Answer], texts: list[str]) -> None:
    """The answers are those to these texts, in order."""
    assert [answer.affiliation for answer in answers] == texts
    assert {link.ror_id for answer in answers for link in answer.links} == {YORK}


def as_served(answer: Answer) -> Answer:
    """An answer with the four digits that the server gives."""
    links = [
        replace(
            link,
            probability=pytest.approx(link.probability, abs=2e-4),
            score=pytest.approx(link.score, abs=2e-3),
        )
        for link in answer.links
    ]
    return replace(answer, links=tuple(links))


# The answers


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"level": "top-parent", "max_links": 1},
        {"countries": ("GB", "CH"), "types": {"education"}, "target_precision": 0.95},
        {"accept_probability": 0.9, "succession": "roll-forward", "ambiguity_margin": None},
    ],
    ids=["settings", "parents", "countries", "threshold"],
)
def test_the_answers_are_those_of_a_resolver(
    url: str, resolver: Resolver, choices: PolicyChoices
) -> None:
    answers = asked(url, lambda server: server.resolve(TEXTS, **choices))
    assert answers == [as_served(answer) for answer in resolver.resolve(TEXTS, **choices)]
    assert any(answer.links for answer in answers)
    assert answers[4].reason is Reason.TOO_LONG


def test_choices_of_a_call_take_the_place_of_the_resolver_s(url: str) -> None:
    async def ask(resolver: AsyncResolver) -> list[int]:
        texts = ["King's College London and ETH Zurich"]
        answers = [
            await resolver.resolve(texts),
            await resolver.resolve(texts, countries=["GB"]),
            await resolver.resolve(texts, accept_probability=1.0),
        ]
        return [len(answer.links) for [answer] in answers]

    assert asked(url, ask, countries=["CH", "GB"], target_precision=0.95) == [2, 1, 0]


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_a_column_becomes_the_frame_of_a_resolver(
    url: str, resolver: Resolver, library: Any
) -> None:
    column = library.Series(["ETH Zurich and University of Bonn", None, "Zz"])
    frame = asked(url, lambda server: server.frame(column))
    expected = resolver.frame(column)
    digits = ["probability", "score"]
    if library is pd:
        pd.testing.assert_frame_equal(frame, expected, atol=2e-3)
    else:
        assert frame.drop(digits).equals(expected.drop(digits))
        assert frame.schema == expected.schema


def test_texts_that_repeat_are_sent_once_and_progress_counts_them_all(
    served: tuple[httpx.Client, FastAPI], url: str, small_parts: None
) -> None:
    def answered() -> float:
        [line] = [
            line
            for line in served[0].get("/metrics").text.splitlines()
            if line.startswith("resolver_http_affiliations_total")
        ]
        return float(line.split()[1])

    texts = rooms(10) * 20
    reports: list[tuple[int, int]] = []
    before = answered()
    answers = asked(
        url, lambda server: server.resolve(texts, progress=lambda *report: reports.append(report))
    )
    assert_york(answers, texts)
    assert answered() - before == 10
    assert reports == [(0, 200), (160, 200), (200, 200)]


@pytest.mark.parametrize(
    ("given", "says"),
    [("Univ. of York", "not one string"), (["a", 7], "position 1 is no string but int"),
     ({"a": 1}, "not dict"), (None, "not NoneType")],
)  # fmt: skip
def test_what_is_no_list_of_texts_is_an_error(url: str, given: Any, says: str) -> None:
    async def streamed(resolver: AsyncResolver) -> None:
        async for _ in resolver.stream(given):
            pass

    for ask in (
        streamed,
        lambda server: server.resolve(given),
        lambda server: server.submit(given),
    ):
        with pytest.raises(AffiliationsError, match=says):
            asked(url, ask)


# Many


async def coming(texts: list[str], came: list[int]) -> AsyncIterator[str]:
    for text in texts:
        await asyncio.sleep(0)
        came[0] += 1
        yield text


def test_any_number_streams_in_order_and_is_read_little_ahead(url: str, small_parts: None) -> None:
    texts = rooms(100)
    ahead: list[int] = []

    async def ask(resolver: AsyncResolver) -> list[Answer]:
        answers, came = [], [0]
        async for answer in resolver.stream(coming(texts, came), max_links=1):
            answers.append(answer)
            ahead.append(came[0] - len(answers))
        return answers

    assert_york(asked(url, ask, in_flight=3), texts)
    assert 3 * 8 <= max(ahead) <= 4 * 8


def test_a_stream_that_is_left_leaves_nothing_behind(url: str, small_parts: None) -> None:
    async def ask(resolver: AsyncResolver) -> int:
        async with aclosing(resolver.stream(rooms(400))) as stream:
            await anext(stream)
            begun = len(asyncio.all_tasks())
        assert begun > 1
        return len(asyncio.all_tasks())

    # More than the server answers at a time.
    assert asked(url, ask, in_flight=40) == 1


def test_a_call_that_takes_too_long_for_its_caller_leaves_nothing_behind(url: str) -> None:
    async def ask(resolver: AsyncResolver) -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await resolver.resolve(rooms(2000))
        return len(asyncio.all_tasks())

    assert asked(url, ask) == 1


def test_nothing_is_answered_by_nothing(url: str) -> None:
    async def ask(resolver: AsyncResolver) -> list[Answer]:
        return [answer async for answer in resolver.stream(())]

    assert asked(url, ask) == resolved(url, []) == []


def test_an_error_of_the_source_comes_through(url: str, small_parts: None) -> None:
    def source() -> Iterator[str]:
        yield from rooms(30)
        raise OSError("the file breaks off")

    async def ask(resolver: AsyncResolver) -> None:
        async for _ in resolver.stream(source()):
            pass

    with pytest.raises(OSError, match="breaks off"):
        asked(url, ask)


# What fails and comes back


@asynccontextmanager
async def cutting(url: str, *, after: int, times: int) -> AsyncIterator[str]:
    """An address in front of the server; its first `times` connections break after so many bytes of
    an answer."""
    left = times

    async def relay(client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        nonlocal left
        most, left = (after if left > 0 else 10**9), left - 1
        server, requests = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)

        async def forth() -> None:
            while data := await client.read(4096):
                requests.write(data)

        sending = asyncio.create_task(forth())
        # At the end of the test it still waits for what does not come.
        with suppress(asyncio.CancelledError):
            while most > 0 and (data := await server.read(min(4096, most))):
                answers.write(data)
                await answers.drain()
                most -= len(data)
        sending.cancel()
        requests.close()
        answers.transport.abort()

    relaying = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with relaying:
        yield f"http://127.0.0.1:{relaying.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("after", "breaks"),
    # What is missing after 3,000 bytes comes in fewer.
    [(0, 2), (100, 2), (3000, 1)],
)
def test_a_connection_that_breaks_is_taken_up_again(
    url: str, after: int, breaks: int, caplog: pytest.LogCaptureFixture
) -> None:
    texts = rooms(200)

    async def run() -> list[Answer]:
        async with (
            cutting(url, after=after, times=2) as front,
            AsyncResolver(front, retry_seconds=30) as resolver,
        ):
            return await resolver.resolve(texts)

    assert_york(asyncio.run(run()), texts)
    warnings = [
        record.getMessage() for record in caplog.records if record.name.startswith("resolver.api")
    ]
    assert len(warnings) == breaks
    assert "does not answer: " in warnings[0]
    assert "asked again in" in warnings[0]


def test_it_ends_loudly_when_nothing_comes(url: str) -> None:
    async def run() -> None:
        async with (
            cutting(url, after=0, times=10**6) as front,
            AsyncResolver(front, retry_seconds=2) as resolver,
        ):
            await resolver.resolve(["University of York"])

    started = time.monotonic()
    with pytest.raises(
        ServerUnavailable, match=r"does not answer: .* — check the address"
    ) as raised:
        asyncio.run(run())
    assert raised.value.status is None
    assert time.monotonic() - started < 20


@pytest.mark.slow
def test_a_server_that_is_killed_and_starts_again_in_the_middle_loses_nothing(
    installation: Settings, tmp_path: Path, small_parts: None
) -> None:
    assert installation.database_url
    environment = {
        "RESOLVER_DATABASE_URL": installation.database_url.get_secret_value(),
        "RESOLVER_THREADS": "1",
    }
    port, texts = free_port(), rooms(80)

    def start() -> Any:
        log = tmp_path / f"log-{time.monotonic_ns()}"
        return command(installation.home, environment=environment, log=log, port=port)

    with ExitStack() as servers:
        first, url = servers.enter_context(start())

        async def ask(resolver: AsyncResolver) -> list[Answer]:
            answers = []
            async for answer in resolver.stream(texts):
                answers.append(answer)
                if len(answers) == 10:
                    first.kill()
                    await asyncio.to_thread(servers.enter_context, start())
            return answers

        assert_york(asked(url, ask, retry_seconds=300), texts)
        assert first.poll() is not None


@pytest.mark.slow
def test_a_full_server_is_asked_again_after_the_time_that_it_says(
    installation: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(resolver: AsyncResolver) -> list[Any]:
        return await asyncio.gather(
            *(
                resolver.resolve(
                    [f"University {number} of York, room {room}" for room in range(15)]
                )
                for number in range(12)
            ),
            return_exceptions=True,
        )

    with serving(installation.model_copy(update={"serve_waiting": 20})) as (client, _):
        url = str(client.base_url)
        at_once = asked(url, ask, retry_seconds=0)
        patient = asked(url, ask, retry_seconds=300)
    refused = [result for result in at_once if isinstance(result, BaseException)]
    assert refused
    for error in refused:
        assert isinstance(error, ServerUnavailable)
        assert (error.status, error.wait) == (503, 5)
        assert "affiliations wait already" in str(error)
    assert [len(answers) for answers in patient] == [15] * 12
    assert any("affiliations wait already" in record.getMessage() for record in caplog.records)


@pytest.mark.slow
def test_keys_and_rates(installation: Settings, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"ada {KEY}\ngrace fedcba9876543210\n")
    limits = {"serve_keys": keys, "serve_rate": "2/second; 12/hour"}
    with serving(installation.model_copy(update=limits)) as (client, _):
        url = str(client.base_url)
        for key, says in ((None, "401: send a key"), ("wrong", "401: this key is not known")):
            with pytest.raises(RequestRefused, match=says) as refused:
                resolved(url, key=key)
            assert refused.value.status == 401
            assert str(refused.value).endswith(" — give one of the server's keys as key=…")

        async def ask(resolver: AsyncResolver, times: int) -> None:
            for _ in range(times):
                await resolver.resolve(["University of York"])

        started = time.monotonic()
        asked(url, lambda resolver: ask(resolver, 5), key=KEY)
        assert time.monotonic() - started >= 1, "the rate was waited for"
        started = time.monotonic()
        with pytest.raises(ServerUnavailable, match=r"429: too many .*12 per 1 hour") as late:
            asked(url, lambda resolver: ask(resolver, 10), key=KEY)
        assert late.value.status == 429
        assert (late.value.wait or 0) > 60
        assert time.monotonic() - started < 30, "nobody waits for an hour"
        assert resolved(url, key="fedcba9876543210")


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"accept_probability": 7}, "accept_probability"),
        ({"countries": ["Switzerland"]}, "countries"),
        ({"colour": "red"}, "colour: no such choice"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_at_once(url: str, choices: Any, says: str) -> None:
    for ask in (
        lambda server: server.resolve(["a"], **choices),
        lambda server: server.submit(["a"], **choices),
    ):
        with pytest.raises(RequestRefused, match=f"422: policy: {says}") as refused:
            asked(url, ask)
        assert refused.value.status == 422


def test_a_text_that_cannot_be_answered_is_named(
    served: tuple[httpx.Client, FastAPI],
    url: str,
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batcher = served[1].state.backend.batcher
    work = batcher.work

    def failing(choices: str, texts: Sequence[str]) -> object:
        if "poison" in texts:
            raise ValueError("a fault of this program")
        return work(choices, texts)

    monkeypatch.setattr(batcher, "work", failing)
    with pytest.raises(ServerUnavailable, match="the affiliation at position 11: "):
        resolved(url, [*rooms(11), "poison", "y"], retry_seconds=1)


def test_certificates_are_checked(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    port = httpx.URL(url).port
    assert port
    with tls_front(context, ("127.0.0.1", port)) as front:
        started = time.monotonic()
        with pytest.raises(ServerUnavailable, match=r"CERTIFICATE_VERIFY_FAILED.*SSL_CERT_FILE"):
            resolved(f"https://127.0.0.1:{front}")
        assert time.monotonic() - started < 30
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert_york(resolved(f"https://127.0.0.1:{front}"), ["University of York"])


# Jobs


@pytest.mark.slow
def test_a_job_from_its_sending_to_its_end(
    installation: Settings, engine: Engine, tmp_path: Path
) -> None:
    deployment = Deployment(installation, engine, tmp_path)
    texts = [text for text in TEXTS if text != "x" * 10_001]

    async def ask(resolver: AsyncResolver) -> None:
        job = await resolver.submit(texts, idempotency_key="paper 17", max_links=1)
        again = await resolver.submit(texts, idempotency_key="paper 17", max_links=1)
        assert (again.id, again.received, again.failed) == (job.id, len(texts), 0)
        assert job.waits
        with pytest.raises(RequestRefused, match="another request was sent with this key"):
            await resolver.submit(["a"], idempotency_key="paper 17")
        with pytest.raises(RequestRefused, match="409: the job is"):
            await resolver.results(job.id)
        with deployment.worker("-Q", "bulk"):
            done = await resolver.wait(job.id)
        assert (done.state, done.done, done.waits) == ("finished", len(texts), False)
        assert done.expires_at > done.created_at

        answers = await resolver.results(job.id)
        expected = await resolver.resolve(texts, max_links=1)
        assert [answer.text for answer in answers] == [answer.text for answer in expected]
        assert [as_served(answer) for answer in expected] == [
            replace(answer, affiliation=text or "")
            for answer, text in zip(answers, texts, strict=True)
        ]

        withdraw(engine, [(f"job:{job.id}", "1", None)])
        with pytest.raises(JobIncomplete, match=r"1 of 9 .* position 1: its answer was") as partly:
            await resolver.results(job.id)
        assert partly.value.failures == {1: "its answer was withdrawn"}
        assert partly.value.answers == [answers[0], None, *answers[2:]]

        await resolver.delete(job.id)
        assert (await resolver.job(job.id)).state == "cancelled"
        with pytest.raises(JobFailed, match=r"is cancelled$"):
            await resolver.wait(job.id)
        with pytest.raises(RequestRefused, match="409: the job is cancelled"):
            await resolver.retry(job.id)

    with serving(installation) as (client, _):
        asked(str(client.base_url), ask)


@pytest.mark.slow
def test_a_job_that_failed_is_sent_again(
    installation: Settings, engine: Engine, tmp_path: Path
) -> None:
    deployment = Deployment(installation, engine, tmp_path)
    rows: list[jobs.Row] = [(None, "University of York", None)]
    damaged = jobs.create(
        engine, rows, policy={"max_links": "many"}, organizations="brief", days=1, request_hash=b""
    ).id

    async def ask(resolver: AsyncResolver) -> None:
        with pytest.raises(JobFailed, match=f"job {damaged} is failed: .*max_links.* retry"):
            await resolver.wait(damaged)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE job SET policy = '{}' WHERE id = %s", (damaged,))
        again = await resolver.retry(damaged)
        assert (again.id, again.waits, again.reason) == (damaged, True, None)
        with deployment.worker("-Q", "bulk"):
            await resolver.wait(damaged)
        assert_york(await resolver.results(damaged), ["University of York"])

    with serving(installation) as (client, _):
        asked(str(client.base_url), ask)


@pytest.mark.slow
def test_affiliations_that_failed_are_sent_again(
    installation: Settings, engine: Engine, tmp_path: Path
) -> None:
    """Their message became a dead letter: it killed its worker."""
    deployment = Deployment(installation, engine, tmp_path)
    texts = ["University of York", f"{WORD}, University of York"]

    async def ask(resolver: AsyncResolver) -> None:
        job = await resolver.submit(texts)
        with deployment.worker("--queues", "bulk", program=DEADLY):
            done = await resolver.wait(job.id)
            until(lambda: deadletters.letters(installation)[1], "the letter arrives")
        assert (done.done, done.failed) == (1, 1)
        with pytest.raises(JobIncomplete, match="position 1: its message became dead") as partly:
            await resolver.results(job.id)
        assert (await resolver.retry(job.id)).failed == 0
        with deployment.worker("-Q", "bulk"):
            assert (await resolver.wait(job.id)).done == 2
        answers = await resolver.results(job.id)
        assert_york(answers, texts)
        assert answers[0] == partly.value.answers[0], "what was answered stays as it was"

    with serving(installation) as (client, _):
        asked(str(client.base_url), ask)


def test_a_job_is_made_once_though_the_connection_breaks(
    served: tuple[httpx.Client, FastAPI], url: str, served_settings: Settings
) -> None:
    from resolver.database.connection import connect

    assert served_settings.database_url
    engine = connect(served_settings.database_url.get_secret_value())
    deployment = Deployment(served_settings, engine, served_settings.home)

    async def run() -> str:
        async with (
            cutting(url, after=20, times=2) as front,
            AsyncResolver(front, retry_seconds=60) as resolver,
        ):
            return (await resolver.submit(["University of York"])).id

    before = deployment.count("job")
    job_id = asyncio.run(run())
    assert deployment.count("job") == before + 1
    assert asked(url, lambda server: server.job(job_id)).received == 1
    engine.dispose()


@pytest.mark.parametrize("method", ["job", "wait", "results", "retry", "delete"])
def test_an_unknown_job_is_refused(url: str, method: str) -> None:
    for job_id in ("none", "a/b?c"):
        with pytest.raises(RequestRefused, match="404: "):
            asked(url, lambda server, job_id=job_id: getattr(server, method)(job_id))


# Opening and closing


@pytest.mark.parametrize(
    ("address", "options", "says"),
    [
        ("resolver.example", {}, "cannot be read"),
        ("ftp://resolver.example", {}, "no address of a server"),
        ("http://resolver.example?api_key=1", {}, "no address of a server"),
        ("http://ada:secret@resolver.example", {}, "give the key as key="),
        ("http://resolver.example", {"key": "schlüssel"}, "the key has other characters"),
        ("http://resolver.example", {"key": " "}, "the key has other characters"),
        ("http://resolver.example", {"in_flight": 0}, "in_flight=0"),
        ("http://resolver.example", {"timeout": 0}, "not times"),
        ("http://resolver.example", {"retry_seconds": -1}, "not times"),
    ],
)
def test_what_makes_no_sense_is_an_error(address: str, options: Any, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as raised:
        AsyncResolver(address, **options)
    assert "secret" not in str(raised.value)


def test_a_key_of_a_job_is_ascii(url: str) -> None:
    with pytest.raises(SettingsError, match="printable ASCII"):
        asked(url, lambda server: server.submit(["a"], idempotency_key="schlüssel"))


def test_what_was_closed_says_so(url: str) -> None:
    async def run() -> str:
        resolver = AsyncResolver(url + "/")
        assert repr(resolver) == f"<AsyncResolver: {url}>"
        await resolver.aclose()
        await resolver.aclose()
        for ask in (resolver.resolve(["a"]), resolver.submit(["a"]), resolver.job("a")):
            with pytest.raises(ResolverError, match="was closed — open another one"):
                await ask
        return repr(resolver)

    assert asyncio.run(run()).endswith(", closed>")
