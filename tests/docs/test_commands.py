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
from support.paths import ROOT

from resolver.service import embedded

README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENTED = [path for path in DOCUMENTS[1:] if BLOCK.search(path.read_text())]


def test_there_is_something_to_run() -> None:
    assert {path.name for path in DOCUMENTED} >= {"operations.md", "tasks.md"}


def bash(script: str, folder: Path = ROOT, **settings: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"], cwd=folder, env=environment | settings,
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def clone(services_home: Path) -> Path:
    """A checkout whose own folders are empty, with the environment that the tests run in: what
    a reader has who followed the README up to ``make demo``."""
    folder = services_home / "clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "resolver"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


# What is installed is there already.
INSTALLED = "--old-file=.venv/.embedded"


@pytest.fixture(scope="module")
def readme(clone: Path) -> Path:
    """The clone in which the README was followed as it is typed, from the first command on."""
    blocks = BLOCK.findall(README.read_text())
    bash("\n".join(blocks), clone, MAKEFLAGS=INSTALLED)
    return clone


@pytest.mark.slow
def test_the_readme_s_commands_run_as_typed(readme: Path) -> None:
    assert (readme / ".demo").is_dir()
    assert (readme / ".resolver").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("path", DOCUMENTED, ids=[path.name for path in DOCUMENTED])
def test_commands_run(path: Path, services_home: Path) -> None:
    home = services_home / f"docs-{path.stem}"
    # Else each command would start and stop it.
    with embedded.postgres(home):
        bash(
            "\n".join(BLOCK.findall(path.read_text())),
            RESOLVER_HOME=str(home),
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        )


SHOWN = re.compile(r"^  (\w{9}) |no match: (\w+)", re.MULTILINE)
"""An organisation, or why there is none."""


def example() -> tuple[str, str]:
    """The README's example: what is typed, and what is shown."""
    (block,) = re.findall(
        r"^```console\n\$ (resolver resolve .*?)^```", README.read_text(), re.M | re.S
    )
    lines = block.splitlines()
    end = next(i for i, line in enumerate(lines) if not line.endswith("\\")) + 1
    return "\n".join(lines[:end]), "\n".join(lines[end:])


@pytest.mark.slow
def test_the_readme_s_example_holds_on_the_sample(readme: Path) -> None:
    """The same organisations in the same order: probabilities are those of a whole release."""
    typed, shown = example()
    answered = bash(f"source .venv/bin/activate\n{typed}", readme, RESOLVER_HOME=".demo")
    assert SHOWN.findall(answered) == SHOWN.findall(shown) != []


RELEASE = ROOT.parent / "shared/data/registry/ror-v2.9.json.gz"


@pytest.mark.slowest
@pytest.mark.skipif(not RELEASE.exists(), reason="a whole release is not beside the checkout")
def test_the_readme_s_example_holds_on_a_whole_release(clone: Path) -> None:
    """Organisations and probabilities as shown, to two digits."""
    bash(f"make demo REGISTRY={RELEASE}", clone, MAKEFLAGS=INSTALLED, RESOLVER_HOME="")
    typed, shown = example()
    answered = bash(f"source .venv/bin/activate\n{typed}", clone, RESOLVER_HOME=".demo")
    assert SHOWN.findall(answered) == SHOWN.findall(shown)
    probability = re.compile(r"^  \w{9} +(0\.\d{3}) ", re.MULTILINE)
    assert [float(p) for p in probability.findall(answered)] == pytest.approx(
        [float(p) for p in probability.findall(shown)], abs=0.01
    )


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
