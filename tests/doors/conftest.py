"""A server on the sample registry, for the tests of all doors."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Engine
from support.serving import serving

from resolver.database.connection import connect
from resolver.settings import Settings


@pytest.fixture(scope="session")
def served_settings(
    prepared: tuple[str, Path],
    copied_database: Callable[[str | None], str],
    redis_server_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """The sample, loaded and indexed, with a broker that no worker listens to."""
    url, home = prepared
    copy = tmp_path_factory.mktemp("served")
    shutil.copytree(home, copy, symlinks=True, dirs_exist_ok=True)
    return Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=copy,
        database_url=SecretStr(copied_database(url)),
        broker_url=SecretStr(redis_server_url),
        threads=1,
        # Cores that others use too should fail no test.
        serve_seconds=300,
    )


@pytest.fixture(scope="session")
def _server(served_settings: Settings) -> Iterator[tuple[httpx.Client, FastAPI]]:
    with serving(served_settings) as served:
        yield served


@pytest.fixture
def client(_server: tuple[httpx.Client, FastAPI]) -> httpx.Client:
    """A client of the server; tests share both."""
    return _server[0]


@pytest.fixture
def served_engine(served_settings: Settings) -> Iterator[Engine]:
    """The server's database."""
    assert served_settings.database_url
    engine = connect(served_settings.database_url.get_secret_value())
    yield engine
    engine.dispose()
