"""docs/python.md runs as typed and prints what it shows; the reference is what the docstrings say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from support.deployment import Deployment
from support.paths import ROOT
from support.sample_index import build_sample_index
from support.serving import serving

from resolver.settings import Settings

GUIDE = ROOT / "docs/python.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", GUIDE.read_text(), re.M | re.S
)
"""Code, and what it prints."""

SERVER = "http://127.0.0.1:8000"
"""The server that the guide asks; here it has another port."""


@pytest.mark.slow
def test_the_guide_prints_what_it_shows(
    tmp_path: Path,
    services_home: Path,
    installation: Settings,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All blocks in order, in one namespace, with a server and a worker. The embedded Redis needs a
    short path."""
    assert len(BLOCKS) >= 12
    for name in os.environ:
        if name.startswith("RESOLVER_"):
            monkeypatch.delenv(name)
    home = services_home / "python"
    home.mkdir()
    (tmp_path / ".demo").symlink_to(build_sample_index(home))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    deployment = Deployment(installation, engine, tmp_path)
    with chdir(tmp_path), serving(installation) as (client, _), deployment.worker("-Q", "bulk"):
        url = str(client.base_url)
        for code, expected in BLOCKS:
            with redirect_stdout(StringIO()) as printed:
                exec(compile(code.replace(SERVER, url), GUIDE.name, "exec"), namespace)
            assert printed.getvalue().replace(url, SERVER) == expected, code


@pytest.mark.parametrize("of", ["python", "http"])
def test_the_reference_is_made_from_the_code(of: str) -> None:
    done = subprocess.run(
        [sys.executable, f".ci/{of}_reference.py"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = f"docs/{of}-reference.md"
    assert done.stdout == (ROOT / page).read_text(), f"run: python .ci/{of}_reference.py > {page}"
