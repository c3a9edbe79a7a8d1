"""The package as a guest in another program: what it loads, and what it leaves as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from support.paths import ROOT

HEAVY = {
    "alembic", "celery", "kombu", "numpy", "onnxruntime", "pandas", "polars", "prometheus_client",
    "psycopg", "pydantic", "qdrant_client", "qdrant_edge", "rich", "sqlalchemy", "structlog",
    "tokenizers", "torch", "transformers",
}  # fmt: skip

_OBSERVED = """
import json, logging, os, signal, sys, threading, warnings
state = lambda: {
    "environment": dict(os.environ),
    "signals": [str(signal.getsignal(number)) for number in signal.valid_signals()],
    "loggers": [logging.root.level, [*map(str, logging.root.handlers)], logging.getLogger("resolver").level],
    "hooks": [str(sys.excepthook), str(threading.excepthook), str(sys.displayhook)],
    "folder": os.getcwd(),
}
before, loaded = state(), set(sys.modules)
%s
added = set(sys.modules) - loaded
print(json.dumps({
    "count": len(added),
    "loaded": sorted({name.partition(".")[0] for name in added}),
    "changed": [name for name, value in state().items() if value != before[name]],
}))
"""


def observed(program: str, *arguments: str) -> dict[str, Any]:
    """What a program loads and changes, in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RESOLVER_")}
    done = subprocess.run(
        [sys.executable, "-c", _OBSERVED % program, *arguments],
        cwd=ROOT, env=clean, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    return report


SMALL = HEAVY - {"pydantic"}
SENDING = SMALL - {"kombu"}

IMPORTS = {
    "import resolver": (5, HEAVY),
    "from resolver import *": (450, SENDING),
    "from resolver import Answer, LinkedOrganisation, Reason, ResolverError": (300, SMALL),
    "from resolver import Resolver, Settings, PolicyChoices": (300, SMALL),
    "from resolver import AsyncResolver, Job": (300, SMALL | {"httpx"}),
    "from resolver import enqueue, withdraw, EnqueueReport": (450, SENDING),
}
"""An import, the most modules that it may load (measured: 5, 360, 99, 250, 171 and 347), and what it
must not."""


@pytest.mark.parametrize("program", IMPORTS)
def test_an_import_loads_little_and_changes_nothing(program: str) -> None:
    most, barred = IMPORTS[program]
    report = observed(program)
    assert not barred & {*report["loaded"]}
    assert report["count"] <= most
    assert report["changed"] == []


_RESOLVE = """
from resolver import Resolver
with Resolver(sys.argv[1]) as resolver:
    assert resolver.resolve(["Univ. of York, UK"])[0].links
"""


_ASK = """
import asyncio
from resolver import AsyncResolver
async def main():
    async with AsyncResolver(sys.argv[1]) as resolver:
        assert (await resolver.resolve(["Univ. of York, UK"]))[0].links
asyncio.run(main())
"""


def test_asking_a_server_loads_nothing_that_resolves(
    served: tuple[httpx.Client, FastAPI],
) -> None:
    report = observed(_ASK, str(served[0].base_url))
    # Rich comes with httpx, for its command line.
    assert not (HEAVY - {"pydantic", "rich"}) & {*report["loaded"]}
    assert report["changed"] == []


def test_resolving_needs_no_torch_and_no_celery_and_changes_nothing(home: Path) -> None:
    report = observed(_RESOLVE, str(home))
    assert not {"torch", "transformers", "celery", "kombu", "prometheus_client", "pandas", "polars",
                "qdrant_client", "structlog", "rich"} & {*report["loaded"]}  # fmt: skip
    assert report["changed"] == []
