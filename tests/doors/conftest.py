"""A server on the sample registry, for the tests of all doors."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine

from resolver.database.connection import connect
from resolver.settings import Settings


@pytest.fixture
def client(served: tuple[httpx.Client, FastAPI]) -> httpx.Client:
    """A client of the server; tests share both."""
    return served[0]


@pytest.fixture
def served_engine(served_settings: Settings) -> Iterator[Engine]:
    """The server's database."""
    assert served_settings.database_url
    engine = connect(served_settings.database_url.get_secret_value())
    yield engine
    engine.dispose()
