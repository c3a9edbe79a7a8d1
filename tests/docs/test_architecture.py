"""What the pages for contributors name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.paths import ROOT

PAGES = (ROOT / "docs/architecture.md", ROOT / "CONTRIBUTING.md")
PATH = re.compile(r"`((?:[\w.]+/)+[\w.]*)`(?: `(\w+(?:\.\w+)?)`)?")
"""A file or folder, and a name in it if one follows."""


def named(page: Path) -> list[tuple[str, str]]:
    return [(found[1], found[2] or "") for found in PATH.finditer(page.read_text())]


def located(path: str) -> Path | None:
    """A path from the checkout, or, in short, from the package."""
    return next((p for p in (ROOT / path, ROOT / "resolver" / path) if p.exists()), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_is_there_and_has_what_is_said_of_it(page: Path) -> None:
    assert len(named(page)) > 10
    for path, name in named(page):
        file = located(path)
        assert file is not None, f"{page.name}: {path}"
        last = name.rpartition(".")[2]
        assert not name or re.search(rf"\b(class|def) {last}\b", file.read_text()), (path, name)


def test_every_package_is_in_the_picture() -> None:
    picture = PAGES[0].read_text().split("```")[1]
    packages = {
        path.name
        for path in (ROOT / "resolver").iterdir()
        if (path / "__init__.py").exists() and path.name != "sample"
    }
    assert {name for name in packages if not re.search(rf"\b{name}\b", picture)} == set()
