"""What is installed is all that is needed: data files and migrations are in the wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from setuptools import find_namespace_packages

from resolver import sample
from resolver.encoder.static import WEIGHTS

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = ("resolver", "workers", "migrations")


def files(*, code: bool) -> set[Path]:
    return {
        path.relative_to(ROOT)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and (path.suffix == ".py") == code
    }


def test_every_module_is_in_a_package() -> None:
    packages = find_namespace_packages(str(ROOT), include=SETUPTOOLS["packages"]["find"]["include"])
    assert {".".join(path.parent.parts) for path in files(code=True)} <= set(packages)


def test_every_data_file_is_package_data() -> None:
    listed = {
        path.relative_to(ROOT)
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in (ROOT / package).glob(pattern)
        if path.is_file()
    }
    assert files(code=False) == listed & files(code=False)


@pytest.mark.parametrize(
    "path",
    [
        "resolver/builtin/judge.json", "resolver/builtin/tokenizer.json",
        f"resolver/builtin/encoder/{WEIGHTS}", "resolver/builtin/reranker/model.onnx",
        "migrations/script.py.mako", str(sample.REGISTRY.relative_to(ROOT)),
    ],
)  # fmt: skip
def test_what_it_cannot_do_without_is_there(path: str) -> None:
    assert Path(path) in files(code=False)
