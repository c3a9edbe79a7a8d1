from __future__ import annotations

import pytest
from sqlalchemy import Engine
from support.deciding import TEXTS
from support.reviewing import answer, new_version


@pytest.fixture
def version(engine: Engine) -> int:
    return new_version(engine)


@pytest.fixture
def texts(engine: Engine, version: int) -> dict[str, int]:
    """The affiliation ids of `TEXTS`."""
    return answer(engine, version, TEXTS)
