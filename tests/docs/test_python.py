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
from support.paths import ROOT
from support.sample_index import build_sample_index

GUIDE = ROOT / "docs/python.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", GUIDE.read_text(), re.M | re.S
)
"""Code, and what it prints."""


@pytest.mark.slow
def test_the_guide_prints_what_it_shows(
    tmp_path: Path, services_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks in order, in one namespace. The embedded Redis needs a short path."""
    assert len(BLOCKS) >= 8
    for name in os.environ:
        if name.startswith("RESOLVER_"):
            monkeypatch.delenv(name)
    home = services_home / "python"
    home.mkdir()
    (tmp_path / ".demo").symlink_to(build_sample_index(home))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with chdir(tmp_path):
        for code, expected in BLOCKS:
            with redirect_stdout(StringIO()) as printed:
                exec(compile(code, GUIDE.name, "exec"), namespace)
            assert printed.getvalue() == expected, code


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
