"""docs/notebook.ipynb runs and prints what it shows, and the page of the site is made from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from support.paths import ROOT
from support.serving import serving

from resolver.settings import Settings

NOTEBOOK = ROOT / "docs/notebook.ipynb"
PAGE = ROOT / "docs/notebook.md"


def printed(notebook: Any) -> dict[str, list[Any]]:
    """What each cell of code printed and showed, by the cell's name."""
    return {
        cell.id: [output.get("text") or output.get("data") for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


@pytest.mark.slow
def test_the_notebook_prints_what_it_shows(
    tmp_path: Path, installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its cells, the one that asks a server too."""
    (tmp_path / ".demo").symlink_to(installation.home)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    shown = nbformat.read(NOTEBOOK, as_version=4)
    run = nbformat.read(NOTEBOOK, as_version=4)
    for cell in run.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    with serving(installation) as (client, _):
        monkeypatch.setenv("RESOLVER_SERVE_URL", str(client.base_url))
        NotebookClient(
            run, kernel_name="python3", timeout=300, resources={"metadata": {"path": tmp_path}}
        ).execute()
    assert printed(run) == printed(shown)
    assert "157 affiliations, 163 links\n" in printed(run)["server"]


def test_the_notebook_was_run_whole_and_holds_nothing_of_the_run_but_its_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell.metadata for cell in notebook.cells] == [{}] * len(notebook.cells)


def test_the_page_is_made_from_the_notebook() -> None:
    done = subprocess.run(
        [sys.executable, ".ci/notebook_page.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == PAGE.read_text(), "run: python .ci/notebook_page.py > docs/notebook.md"
