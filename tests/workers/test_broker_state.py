"""Looking at a broker, without touching what waits there."""

from __future__ import annotations

import time

import pytest
from pydantic import SecretStr

from resolver.errors import BrokerUnavailable
from resolver.settings import Settings
from resolver.workers import broker_state
from resolver.workers.app import create_app
from resolver.workers.client import enqueue
from resolver.workers.queues import QUEUES, dead_queue

RECORDS = [{"source": "test", "id": str(n), "affiliation": "Oxford"} for n in range(3)]


def settings_of(broker_url: str) -> Settings:
    return Settings(_env_file=None, broker_url=SecretStr(broker_url), chunk_size=1)  # type: ignore[call-arg]


def test_what_waits_is_counted_and_left_alone(broker_url: str) -> None:
    settings = settings_of(broker_url)
    app = create_app(settings)
    before = broker_state.read_state(app, timeout=5, listen=0)
    assert [one.queue for one in before.queues] == list(QUEUES)
    assert before.waiting == before.dead.messages == 0
    assert before.workers == ()

    enqueue(RECORDS, settings=settings)
    enqueue(RECORDS[:1], settings=settings, queue="interactive")
    sent = time.time()
    for _ in range(2):
        found = broker_state.read_state(app, timeout=5, listen=0)
        assert {one.queue: one.messages for one in found.queues} == {
            "interactive": 1, "bulk": 3, "registry": 0, "refresh": 0,
        }  # fmt: skip
        bulk = found.queues[1]
        if app.amqp_broker:
            assert bulk.oldest is None
        else:
            assert bulk.oldest is not None
            assert 0 <= bulk.oldest <= time.time() - sent + 60
    with app.connection_for_read() as connection:
        message = app.amqp.queues["bulk"](connection.default_channel).get()
        assert message.headers[broker_state.SENT_AT] == pytest.approx(sent, abs=60)
        assert not message.delivery_info.get("redelivered")
        assert not message.headers.get("x-delivery-count")
        message.requeue()


def test_dead_letters_are_counted(broker_url: str) -> None:
    app = create_app(settings_of(broker_url))
    with app.connection_for_write() as connection:
        app.send_task(
            "resolver.resolve_chunk", args=([],), connection=connection,
            queue=dead_queue(amqp=app.amqp_broker), declare=[dead_queue(amqp=app.amqp_broker)],
        )  # fmt: skip
    found = broker_state.read_state(app, timeout=5, listen=0)
    assert (found.dead.messages, found.waiting) == (1, 0)


@pytest.mark.parametrize(
    "message",
    [None, b"", b"\xff", b"[]", b"{}", b'{"headers": {"sent_at": "soon"}}', b'{"headers": 1}'],
)
def test_a_message_of_anybody_s_has_no_age(message: bytes | None) -> None:
    assert broker_state._age(message) is None


@pytest.mark.parametrize(
    "url", ["redis://:hush-hush@127.0.0.1:9/0", "amqp://user:hush-hush@127.0.0.1:9//"]
)
def test_a_broker_that_is_away_is_told_soon_and_without_its_password(url: str) -> None:
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:9") as told:
        broker_state.read_state(create_app(settings_of(url)), timeout=1)
    assert "hush-hush" not in str(told.value)
    assert "RESOLVER_BROKER_URL" in str(told.value)
    assert time.monotonic() - began < 30
