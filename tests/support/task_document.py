"""The examples of docs/tasks.md, run as they stand there."""

from __future__ import annotations

import os
import re

import pytest

from support.paths import ROOT

DOCUMENT = ROOT / "docs" / "tasks.md"


def run_example(name: str, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the Python block that begins with the comment `name`."""
    [block] = re.findall(rf"```python\n(# {name}\n.*?)```", DOCUMENT.read_text(), re.DOTALL)
    # The client of Redis writes the address of a socket in another way than Celery.
    plain = broker_url.replace("redis+socket://", "unix://").replace("?virtual_host=", "?db=")
    monkeypatch.setitem(os.environ, "RESOLVER_BROKER_URL", plain)
    exec(compile(block, str(DOCUMENT), "exec"), {})
