"""Every ``sh`` block of the documentation runs, in order, document by document.

Blocks marked ``console`` are for the reader's eyes: they wait for ever, need Docker or the
network, or set up what the tests already stand on.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
README = (ROOT / "README.md").read_text()
RUNNABLE = [path for path in DOCUMENTS if BLOCK.search(path.read_text())]


def test_there_is_something_to_run() -> None:
    assert {path.name for path in RUNNABLE} >= {"README.md", "operations.md"}


@pytest.mark.slow
@pytest.mark.parametrize("path", RUNNABLE, ids=[path.name for path in RUNNABLE])
def test_commands_run(path: Path, services_home: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(BLOCK.findall(path.read_text()))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["RESOLVER_HOME"] = str(services_home / f"docs-{path.stem}")
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_the_readme_example_links_what_it_shows(services_home: Path) -> None:
    """The same ROR ids in the same order; probabilities may differ in the last digits."""
    (block,) = re.findall(r"^```console\n\$ (resolver resolve .*?)^```", README, re.M | re.S)
    lines = block.splitlines()
    end = next(i for i, line in enumerate(lines) if not line.endswith("\\")) + 1
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["RESOLVER_HOME"] = str(services_home / "docs-example")
    script = "\n".join(
        [
            "set -euo pipefail",
            "resolver migrate",
            "resolver registry load resolver/sample/registry.json",
            "resolver index build",
            *lines[:end],
        ]
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    shown = "\n".join(lines[end:])
    found = re.compile(r"^  (\w{9}) |no match: (\w+)", re.M)
    assert found.findall(done.stdout) == found.findall(shown) != []


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
