"""Fixtures of several modules: a version in use, and the queue of a review made by it."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine
from support.reviewing import fill_queue, new_version


@pytest.fixture
def version(engine: Engine) -> int:
    return new_version(engine)


@pytest.fixture
def texts(engine: Engine, version: int) -> dict[str, int]:
    """The affiliation ids of the texts in the queue."""
    return fill_queue(engine, version)
