"""The client as a guest in another program: light, and without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.paths import ROOT

MOST_MODULES = 450
"""Loaded by `import resolver.workers.client` in a fresh process; measured: 345, of which kombu has 193
and pydantic 131."""

HEAVY = (
    "alembic", "celery", "httpx", "numpy", "onnxruntime", "prometheus_client", "psycopg",
    "qdrant_client", "sqlalchemy", "structlog", "tokenizers", "torch", "transformers",
)  # fmt: skip

_IMPORTED = """
import json, logging, sys, warnings
before = set(sys.modules)
state = lambda: [logging.root.level, list(map(str, logging.root.handlers)), len(warnings.filters)]
said = state()
from resolver.workers.client import enqueue
added = set(sys.modules) - before
print(json.dumps({"count": len(added), "names": sorted({m.split(".")[0] for m in added}),
                  "changed": state() != said}))
"""


def _run(program: str, *arguments: str) -> dict[str, object]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RESOLVER_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        cwd=ROOT, env=clean, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_client_loads_little() -> None:
    found = _run(_IMPORTED)
    names, count = found["names"], found["count"]
    assert isinstance(names, list)
    assert isinstance(count, int)
    assert not {*HEAVY} & {*names}
    assert count <= MOST_MODULES
    assert found["changed"] is False


_HOST = """
import json, sys
import prometheus_client
from celery import Celery, signals

own = prometheus_client.CollectorRegistry()
counted = prometheus_client.Counter("orders", "Orders", registry=own)
host = Celery("host", broker=sys.argv[1])
host.conf.task_default_queue = "orders"

@host.task(name="host.order")
def order(): ...

handlers = lambda: {
    name: len(getattr(signals, name).receivers or ())
    for name in ("before_task_publish", "after_task_publish", "task_prerun", "worker_process_init")
}
published = []
before = handlers()

from pydantic import SecretStr
from resolver.settings import Settings
from resolver.workers.client import enqueue

@signals.before_task_publish.connect
def count(sender=None, **_):
    published.append(sender)

enqueue(
    [{"source": "a", "id": "1", "affiliation": "Oxford"}],
    settings=Settings(_env_file=None, broker_url=SecretStr(sys.argv[1])),
)
signals.before_task_publish.disconnect(count)
order.delay()
later = prometheus_client.Counter("later", "Later", registry=own)
with host.connection_for_read() as connection:
    message = connection.SimpleQueue("orders").get(timeout=10)
print(json.dumps({
    "same handlers": handlers() == before,
    "told of": published,
    "headers": sorted(message.headers),
    "created": sum(
        line.split()[0].endswith("_created")
        for line in prometheus_client.generate_latest(own).decode().splitlines()
    ),
    "tasks": sorted(name for name in host.tasks if not name.startswith("celery.")),
    "in use": __import__("celery").current_app.main,
}))
"""


@pytest.mark.parametrize("name", ["redis", "rabbitmq"])
def test_sending_changes_nothing_in_its_host(name: str, request: pytest.FixtureRequest) -> None:
    found = _run(_HOST, request.getfixturevalue(f"{name}_url"))
    headers = found.pop("headers")
    assert isinstance(headers, list)
    assert "sent_at" not in headers
    assert found == {
        "same handlers": True,
        "told of": [],
        "created": 2,
        "tasks": ["host.order"],
        "in use": "host",
    }


_WORKER = """
import json
import prometheus_client
from celery import signals
import resolver.workers.app, resolver.workers.deadletters, resolver.workers.monitor
import resolver.workers.schedule, resolver.workers.tasks

own = prometheus_client.CollectorRegistry()
prometheus_client.Counter("orders", "Orders", registry=own)
print(json.dumps({
    "created": sum(
        line.split()[0].endswith("_created")
        for line in prometheus_client.generate_latest(own).decode().splitlines()
    ),
    "stamps": len(signals.before_task_publish.receivers or ()),
}))
"""


def test_what_works_on_messages_changes_nothing_by_being_imported() -> None:
    assert _run(_WORKER) == {"created": 1, "stamps": 0}
