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
