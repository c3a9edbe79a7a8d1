"""What is installed is all that is needed, under one name that is nobody else's."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest
from support.paths import ROOT

from resolver import sample
from resolver.encoder.static import WEIGHTS

FOLDERS = {
    "resolver": "resolver",
    "workers": "resolver/workers",
    "migrations": "resolver/migrations",
}
"""Where the folders of the checkout are in the wheel."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The paths in a wheel that is built of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", *FOLDERS):
        (copy / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as packed:
        return frozenset(packed.namelist())


def test_nothing_but_resolver_is_importable(wheel: frozenset[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"resolver"}


def test_every_file_of_the_checkout_is_installed(wheel: frozenset[str]) -> None:
    files = {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - wheel == set()


@pytest.mark.parametrize(
    "path",
    [
        "resolver/builtin/judge.json", "resolver/builtin/tokenizer.json",
        f"resolver/builtin/encoder/{WEIGHTS}", "resolver/builtin/reranker/model.onnx",
        "resolver/migrations/script.py.mako", "resolver/migrations/versions/0001_tables.sql",
        "resolver/database/views/resolved_links.sql", "resolver/workers/client.py",
        str(sample.REGISTRY.relative_to(ROOT)),
    ],
)  # fmt: skip
def test_what_it_cannot_do_without_is_there(wheel: frozenset[str], path: str) -> None:
    assert path in wheel


@pytest.mark.parametrize("name", ["workers", "migrations"])
def test_a_folder_of_the_checkout_has_one_name(name: str) -> None:
    """From the checkout's root both could be imported twice, with two sets of tasks."""
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"import resolver.{name}, not {name}" in done.stderr
