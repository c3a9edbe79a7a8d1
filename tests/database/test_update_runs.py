"""How an update ended is recorded, however it ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from resolver.database import update_runs
from resolver.database.connection import transaction
from resolver.database.update_runs import MAX_PROBLEM, recorded
from resolver.errors import FetchError


def fail(engine: Engine, error: BaseException) -> None:
    with recorded(engine, scheduled=True) as at_step:
        at_step("fetch")
        raise error


def test_before_the_first(engine: Engine) -> None:
    assert update_runs.last(engine) is None


@pytest.mark.parametrize("scheduled", [True, False])
def test_one_that_is_done(engine: Engine, scheduled: bool) -> None:
    with recorded(engine, scheduled=scheduled) as at_step:
        at_step("fetch")
        under_way = update_runs.last(engine)
        at_step("load")
    done = update_runs.last(engine)
    assert under_way is not None
    assert done is not None
    assert (under_way.step, under_way.ended_at) == ("fetch", None)
    assert (done.scheduled, done.step, done.problem) == (scheduled, "load", None)
    assert done.ended_at is not None
    assert timedelta() < done.ended_at - done.began_at < timedelta(minutes=10)
    assert abs(datetime.now(UTC) - done.began_at) < timedelta(minutes=10)
    assert done.began_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("error", "problem", "remedy"),
    [
        (FetchError("no answer", remedy="wait"), "no answer", "wait"),
        (FetchError("no answer"), "no answer", None),
        (ValueError("a mistake"), "ValueError: a mistake", None),
        (ValueError("nul \0"), "ValueError: nul \ufffd", None),
        (KeyboardInterrupt(), "it was stopped", None),
        (FetchError("x" * 5_000), "x" * MAX_PROBLEM, None),
    ],
)
def test_one_that_fails(
    engine: Engine, error: BaseException, problem: str, remedy: str | None
) -> None:
    with pytest.raises(type(error)):
        fail(engine, error)
    run = update_runs.last(engine)
    assert run is not None
    assert (run.step, run.problem, run.remedy) == ("fetch", problem, remedy)
    assert run.ended_at is not None
    # The next one is what counts.
    with recorded(engine, scheduled=True):
        pass
    again = update_runs.last(engine)
    assert again is not None
    assert again.problem is None


def test_where_no_record_can_be_taken_the_failure_itself_is_raised(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
                " AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''disk_full''; END';"
                "CREATE TRIGGER refuse BEFORE UPDATE OF ended_at ON update_run"
                " FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    with pytest.raises(FetchError, match="no answer"):
        fail(engine, FetchError("no answer"))
