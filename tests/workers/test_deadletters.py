"""Dead letters on real brokers: seen, sent back, thrown away, and never lost in between."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from support.paths import ROOT
from typer.testing import CliRunner

from resolver.cli import app as command
from resolver.errors import BrokerUnavailable, SettingsError
from resolver.settings import Settings
from resolver.workers.app import create_app
from resolver.workers.client import FORGET, RESOLVE_CHUNK, UPDATE
from resolver.workers.deadletters import LOOKS, DeadLetter, drop, letters, remedy, retry
from resolver.workers.delivery import bury


@pytest.fixture
def settings(broker_url: str) -> Settings:
    return Settings(_env_file=None, broker_url=SecretStr(broker_url))  # type: ignore[call-arg]


def _bury(settings: Settings, number: int, **changes: Any) -> None:
    """A dead letter as a worker writes it."""
    chunk = [{"source": "crossref", "id": f"10.1/{number}-{n}", "affiliation": "x"} for n in (1, 2)]
    message: Any = SimpleNamespace(
        body=json.dumps([[chunk], {}, {}]).encode(),
        content_type="application/json",
        content_encoding="utf-8",
        properties={"correlation_id": f"letter-{number}"},
        delivery_info={"routing_key": "interactive"},
        headers={"task": "resolver.resolve_chunk", "id": f"letter-{number}", "x-delivery-count": 4},
    )
    vars(message).update(changes)
    bury(create_app(settings), message, f"ValueError: the {number}th")


def _queued(settings: Settings, queue: str) -> list[Any]:
    """The messages of a queue, taken."""
    app = create_app(settings)
    with app.connection_for_read() as connection:
        bound = app.amqp.queues[queue](connection.default_channel)
        bound.declare()
        found = []
        while message := bound.get(no_ack=True):
            found.append(message)
        return found


def test_nothing_failed(settings: Settings) -> None:
    assert letters(settings) == ([], 0)
    assert (retry(settings), drop(settings)) == (0, 0)


def test_letters_are_told_and_stay(settings: Settings) -> None:
    for number in (1, 2, 3):
        _bury(settings, number)
    for _ in range(2):
        found, count = letters(settings, most=2)
        assert ([letter.id for letter in found], count) == (["letter-1", "letter-2"], 3)
    [letter, _, _], _ = letters(settings)
    assert (letter.queue, letter.task) == ("interactive", "resolver.resolve_chunk")
    assert (letter.records, letter.first) == (2, ("crossref", "10.1/1-1"))
    assert letter.error == "ValueError: the 1th"
    assert letter.failed_at is not None
    assert datetime.now(UTC) - letter.failed_at < timedelta(minutes=10)


def test_looking_often_loses_none(settings: Settings) -> None:
    # RabbitMQ counts each look as a delivery and, from version 4 on, drops what has too many.
    _bury(settings, 1)
    first = letters(settings)[0]
    for _ in range(3 * LOOKS):
        assert letters(settings) == (first, 1)


def test_letter_goes_back_to_its_queue_as_it_was_sent(settings: Settings) -> None:
    for number in (1, 2, 3):
        _bury(settings, number)
    assert retry(settings, ["letter-2"]) == 1
    [message] = _queued(settings, "interactive")
    # RabbitMQ itself counts deliveries, from 0 on again.
    assert message.headers.pop("x-delivery-count", 0) == 0
    assert message.headers == {"task": "resolver.resolve_chunk", "id": "letter-2"}
    assert message.content_type == "application/json"
    assert message.payload[0][0][0]["id"] == "10.1/2-1"
    assert [letter.id for letter in letters(settings)[0]] == ["letter-1", "letter-3"]
    assert retry(settings) == 2
    assert [message.headers["id"] for message in _queued(settings, "interactive")] == [
        "letter-1",
        "letter-3",
    ]
    assert letters(settings) == ([], 0)


def test_letters_are_thrown_away(settings: Settings) -> None:
    for number in (1, 2, 3):
        _bury(settings, number)
    assert drop(settings, ["letter-1"]) == 1
    assert [letter.id for letter in letters(settings)[0]] == ["letter-2", "letter-3"]
    assert drop(settings) == 2
    assert letters(settings) == ([], 0)
    assert _queued(settings, "interactive") == []


@pytest.mark.parametrize("action", [retry, drop])
def test_unknown_id_is_told(settings: Settings, action: Callable[..., int]) -> None:
    _bury(settings, 1)
    with pytest.raises(SettingsError, match="has the id letter-9; 0 others"):
        action(settings, ["letter-9"])
    assert [letter.id for letter in letters(settings)[0]] == ["letter-1"]


def test_letter_that_is_no_task_has_a_name_too(settings: Settings) -> None:
    _bury(settings, 1, body=b"\xff", headers={}, content_type="text/plain")
    [letter], _ = letters(settings)
    assert letter.id.startswith("body-")
    assert (letter.task, letter.records, letter.first) == (None, None, None)
    assert drop(settings, [letter.id]) == 1


def test_letter_that_rabbitmq_made_itself(rabbitmq_url: str) -> None:
    settings = Settings(_env_file=None, broker_url=SecretStr(rabbitmq_url))  # type: ignore[call-arg]
    letters(settings)  # declares the queue that it goes to
    app = create_app(settings)
    with app.connection_for_write() as connection:
        app.send_task("resolver.refresh_chunk", args=([5, 6], 1), queue="refresh", task_id="r")
        bound = app.amqp.queues["refresh"](connection.default_channel)
        message = None
        while message is None:
            message = bound.get()
        message.reject()
    found: list[Any] = []
    while not found:
        found, _ = letters(settings)
    [letter] = found
    assert (letter.id, letter.queue, letter.records, letter.first) == ("r", "refresh", 2, None)
    assert "log has the reason" in letter.error
    assert letter.failed_at is not None
    assert abs(datetime.now(UTC) - letter.failed_at) < timedelta(minutes=10)
    assert retry(settings) == 1
    [message] = _queued(settings, "refresh")
    assert {name for name in message.headers if name.startswith("x-")} <= {"x-delivery-count"}
    assert message.headers.get("x-delivery-count", 0) == 0


_KILLED = """
import os, sys
from pydantic import SecretStr
from resolver.settings import Settings
from resolver.workers import deadletters

forward = deadletters.forward
def dying(*given):
    forward(*given)
    os._exit(9)
deadletters.forward = dying
deadletters.retry(Settings(_env_file=None, broker_url=SecretStr(sys.argv[1])))
"""


def test_kill_between_two_queues_loses_nothing(settings: Settings) -> None:
    assert settings.broker_url is not None
    _bury(settings, 1)
    url = settings.broker_url.get_secret_value()
    done = subprocess.run([sys.executable, "-c", _KILLED, url], cwd=ROOT, check=False)
    assert done.returncode == 9
    [message] = _queued(settings, "interactive")
    assert message.headers["id"] == "letter-1"


def test_letter_needs_no_binding_on_redis(redis_url: str) -> None:
    settings = Settings(_env_file=None, broker_url=SecretStr(redis_url))  # type: ignore[call-arg]
    _bury(settings, 1)
    with create_app(settings).connection_for_write() as connection:
        client = connection.default_channel.client
        for key in client.keys("_kombu.binding.*"):
            client.delete(key)
    # By a connection that has declared the queue and need not do it again.
    _bury(settings, 2)
    assert [letter.id for letter in letters(settings)[0]] == ["letter-1", "letter-2"]


def test_missing_broker_is_told() -> None:
    away = Settings(_env_file=None, broker_url=SecretStr("redis://:secret@127.0.0.1:9/0"))  # type: ignore[call-arg]
    with pytest.raises(BrokerUnavailable) as missing:
        letters(away)
    assert "secret" not in str(missing.value)


# The command


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    assert settings.broker_url is not None
    monkeypatch.setenv("RESOLVER_BROKER_URL", settings.broker_url.get_secret_value())
    return lambda *arguments: CliRunner().invoke(command, ["deadletters", *arguments])


def test_commands(run: Callable[..., Any], settings: Settings) -> None:
    for number in (1, 2, 3):
        _bury(settings, number)
    lines = run("list", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["letter-1", "letter-2", "letter-3"]
    assert json.loads(lines[0]) | {"failed_at": None} == {
        "id": "letter-1",
        "queue": "interactive",
        "task": "resolver.resolve_chunk",
        "records": 2,
        "first_source": "crossref",
        "first_id": "10.1/1-1",
        "error": "ValueError: the 1th",
        "failed_at": None,
    }
    assert run("retry", "letter-2").exit_code == 0
    assert run("drop", "letter-3").exit_code == 0
    assert [letter.id for letter in letters(settings)[0]] == ["letter-1"]
    unsure = run("drop", "--all").exception
    assert isinstance(unsure, SettingsError)
    assert "all 1 dead letters would be deleted for good" in str(unsure)
    assert run("drop", "--all", "--yes").exit_code == 0
    assert run("list", "--json").stdout == ""
    assert "nothing has failed" in run("list").output


def test_a_letter_is_shown_with_its_message_and_what_helps(
    run: Callable[..., Any], settings: Settings
) -> None:
    records = [
        {"source": "crossref", "id": "10.1/1", "position": 3, "affiliation": "Oxford\x1b[31m, UK"},
        {"id": 5, "affiliation": None},
        "no record",
    ]
    body = json.dumps([[records, {"level": "top"}], {"replace": [["crossref", "10.1/1"]]}, {}])
    headers = {"task": "resolver.resolve_chunk", "id": "letter-1", "sent_at": 1795000000.0}
    _bury(settings, 1, body=body.encode(), headers=headers)
    _bury(settings, 2)
    shown = run("show", "letter-1")
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    for line in (
        "id letter-1",
        "queue interactive",
        "task resolver.resolve_chunk",
        "sent 2026-11-18 11:06:40 UTC",
        "records 3",
        'policy {"level":"top"}',
        'replace [["crossref","10.1/1"]]',
        "error ValueError: the 1th",
        "crossref 10.1/1 3 Oxford\ufffd[31m, UK",
        "– 5 – –",
        "– – – no record",
        "resolver deadletters retry letter-1",
    ):
        assert line in lines
    assert any(line.startswith("what helps: the worker's log") for line in lines)
    assert "2 more records" in run("show", "letter-1", "--limit", "1").output
    told = json.loads(run("show", "letter-1", "--json").stdout)
    assert told["arguments"] == {
        "records": records, "policy": {"level": "top"}, "replace": [["crossref", "10.1/1"]],
    }  # fmt: skip
    assert (told["id"], told["body"]) == ("letter-1", None)
    assert letters(settings)[1] == 2
    assert "has the id letter-9" in str(run("show", "letter-9").exception)


@pytest.mark.parametrize(
    ("body", "headers", "line"),
    [
        pytest.param(b"\xff{", {}, "\ufffd{", id="no JSON"),
        pytest.param(
            b"[[[5, 6], 1], {}, {}]",
            {"task": "resolver.refresh_chunk", "id": "x"},
            "affiliation ids [5,6]",
            id="affiliations that are due",
        ),
        pytest.param(
            b'[[1, 2], {"x": 3}, {}]', {"task": "y", "id": "x"}, "argument 2 2", id="another task"
        ),
    ],
)
def test_whatever_a_letter_is_it_is_shown(
    run: Callable[..., Any], settings: Settings, body: bytes, headers: dict[str, Any], line: str
) -> None:
    _bury(settings, 1, body=body, headers=headers, content_type="text/plain")
    [letter], _ = letters(settings)
    shown = run("show", letter.id)
    assert shown.exit_code == 0, shown.exception
    assert line in [" ".join(each.split()) for each in shown.stdout.splitlines()]


@pytest.mark.parametrize(
    ("task", "error", "helps"),
    [
        (UPDATE, "FetchError: no answer — wait", "run: resolver update; then drop"),
        (UPDATE, "not done after 21600 s", "no time limit"),
        (FORGET, "ValueError: x", "resolver forget"),
        (RESOLVE_CHUNK, "PolicyError: level: 'x' is none of", "with a policy that"),
        (RESOLVE_CHUNK, "MessageError: the arguments do not fit: x", "mend the sender"),
        (RESOLVE_CHUNK, "IntakeError: x", "mend the sender"),
        (RESOLVE_CHUNK, "PoisonMessage: its process died 4 times", "one by one"),
        (RESOLVE_CHUNK, "ValueError: x (in each of 4 processes)", "one by one"),
        (RESOLVE_CHUNK, "its process died each time", "one by one"),
        ("other.task", "no such task: other.task", "upgrade the workers"),
        (None, "the message has no headers", "only be dropped"),
        (None, "the body is not [arguments, keyword arguments, {}]", "only be dropped"),
        (None, "header id: not a string of 1 to 255 characters", "only be dropped"),
        (RESOLVE_CHUNK, "it was refused; the worker's log has the reason", "the worker's log"),
    ],
)
def test_each_kind_of_error_has_a_remedy(task: str | None, error: str, helps: str) -> None:
    assert helps in remedy(DeadLetter("x", "bulk", task, 1, None, error, None))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(["retry"], "by their ids", id="retry what"),
        pytest.param(["drop"], "by their ids", id="drop what"),
        pytest.param(["retry", "x", "--all"], "by their ids", id="both"),
    ],
)
def test_what_is_not_clear_is_refused(
    arguments: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESOLVER_BROKER_URL", "redis://127.0.0.1:9/0")
    found = CliRunner().invoke(command, ["deadletters", *arguments])
    assert isinstance(found.exception, SettingsError)
    assert problem in str(found.exception)
