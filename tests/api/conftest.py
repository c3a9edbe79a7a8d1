"""An installation without a database: a folder with the index of the sample registry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sample_index import build_sample_index

from resolver import Resolver


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_sample_index(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="session")
def resolver(home: Path) -> Iterator[Resolver]:
    with Resolver(home) as resolver:
        yield resolver


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("RESOLVER_"):
            monkeypatch.delenv(name)
