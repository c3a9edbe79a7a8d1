"""Every ``sh`` block of the documentation runs, in order, document by document.

Blocks marked ``console`` are for the reader's eyes: they wait for ever, need Docker or the
network, or set up what the tests already stand on.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest

from resolver import embedded

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUNNABLE = [path for path in DOCUMENTS if BLOCK.search(path.read_text())]


def test_there_is_something_to_run() -> None:
    assert {path.name for path in RUNNABLE} >= {"README.md", "operations.md"}


def bash(script: str, home: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["RESOLVER_HOME"] = str(home)
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def followed(services_home: Path) -> Callable[[Path], Path]:
    """Follows a document, once; returns the home that its commands set up."""

    @cache
    def follow(document: Path) -> Path:
        home = services_home / f"docs-{document.stem}"
        # The README is followed as it stands: each command starts and stops Postgres. For the
        # others it stays up meanwhile.
        held = nullcontext() if document == README else embedded.postgres(home)
        with held:
            bash("\n".join(BLOCK.findall(document.read_text())), home)
        return home

    return follow


@pytest.mark.slow
@pytest.mark.parametrize("path", RUNNABLE, ids=[path.name for path in RUNNABLE])
def test_commands_run(path: Path, followed: Callable[[Path], Path]) -> None:
    assert followed(path).is_dir()


@pytest.mark.slow
def test_the_readme_example_links_what_it_shows(followed: Callable[[Path], Path]) -> None:
    """The same ROR ids in the same order; probabilities may differ in the last digits."""
    (block,) = re.findall(
        r"^```console\n\$ (resolver resolve .*?)^```", README.read_text(), re.M | re.S
    )
    lines = block.splitlines()
    end = next(i for i, line in enumerate(lines) if not line.endswith("\\")) + 1
    answered = bash("\n".join(lines[:end]), followed(README))
    shown = "\n".join(lines[end:])
    found = re.compile(r"^  (\w{9}) |no match: (\w+)", re.M)
    assert found.findall(answered) == found.findall(shown) != []


@pytest.mark.parametrize("path", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def test_the_demo_shows_queries_of_the_cookbook() -> None:
    from resolver import sample

    cookbook = (ROOT / "docs/sql.md").read_text()
    for query in sample.QUERIES:
        assert query.read_text().strip() in cookbook, query.name
