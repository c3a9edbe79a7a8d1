"""What a type checker makes of the package; test_types.py has mypy check it."""

from __future__ import annotations

from typing import Any, assert_type

import pandas as pd
import polars as pl

from resolver import (
    Answer,
    AsyncResolver,
    EnqueueReport,
    Job,
    LinkedOrganisation,
    Reason,
    Resolver,
    enqueue,
    withdraw,
)
from resolver.api.job import State


def program(resolver: Resolver, column: pd.Series[str], other: pl.Series) -> None:
    answers = resolver.resolve(["Univ. of York", None], target_precision=0.95, countries=["GB"])
    assert_type(answers, list[Answer])
    assert_type(answers[0].links, tuple[LinkedOrganisation, ...])
    assert_type(answers[0].links[0].ror_url, str)
    assert_type(answers[0].links[0].country, str | None)
    assert_type(answers[0].reason, Reason | None)

    assert_type(resolver.resolve(column), list[Answer])
    assert_type(resolver.resolve(other), list[Answer])
    assert_type(resolver.resolve(text for text in ["a", None]), list[Answer])
    assert_type(resolver.frame(column, level="top-parent"), pd.DataFrame)
    assert_type(resolver.frame(other, progress=print), pl.DataFrame)

    records: list[dict[str, Any]] = [{"source": "a", "id": "1", "affiliation": "b"}]
    assert_type(enqueue(records), EnqueueReport)
    assert_type(withdraw(records), EnqueueReport)

    with Resolver("home", max_links=1) as opened:
        assert_type(opened, Resolver)

    async def asynchronous() -> None:
        async with AsyncResolver("http://host", key="key", max_links=1) as server:
            assert_type(server, AsyncResolver)
            assert_type(await server.resolve(column, countries={"GB"}), list[Answer])
            assert_type(await server.frame(column, progress=True), pd.DataFrame)
            assert_type(await server.frame(other), pl.DataFrame)
            async for answer in server.stream(text for text in ["a", None]):
                assert_type(answer, Answer)
            job = await server.submit(["a"], idempotency_key="key", level="both")
            assert_type(job, Job)
            assert_type((await server.wait(job.id)).state, State)
            assert_type(await server.results(job.id), list[Answer])
            await server.resolve([7])  # type: ignore[list-item]
            await server.resolve(["a"], max_link=1)  # type: ignore[call-arg]

    # Each of these is an error; mypy tells of a comment that silences none.
    resolver.resolve([7])  # type: ignore[list-item]
    resolver.resolve(["a"], level="top")  # type: ignore[arg-type]
    resolver.resolve(["a"], max_link=1)  # type: ignore[call-arg]
    resolver.frame(["a"])  # type: ignore[call-overload]
    Resolver("home", types="education")  # type: ignore[arg-type]
