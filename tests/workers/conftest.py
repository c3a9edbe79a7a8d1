from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from support.deployment import Deployment, prepare

from resolver.settings import Settings


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def bare(broker_url: str, database_url: str, engine: Engine, tmp_path: Path) -> Deployment:
    """Migrated, and nothing else."""
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=tmp_path / "home",
        broker_url=SecretStr(broker_url),
        database_url=SecretStr(database_url),
    )
    return Deployment(settings, engine, tmp_path)


@pytest.fixture
def deployment(bare: Deployment) -> Deployment:
    """With the sample registry, loaded and indexed."""
    prepare(bare)
    return bare
