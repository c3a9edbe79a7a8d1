from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from support.deployment import Deployment

from resolver.settings import Settings


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A worker on RabbitMQ is for ``make test-all``, where the broker makes no difference to what is
    tested: without the mark `each_broker`, `make test` starts it on Redis alone."""
    for item in items:
        if isinstance(item, pytest.Function) and "bare" in item.fixturenames:
            brokers = item.callspec.params if hasattr(item, "callspec") else {}
            one_of_two = brokers.get("broker_url") == "rabbitmq" and not _is_for_rabbitmq(item)
            if one_of_two and item.get_closest_marker("each_broker") is None:
                item.add_marker(pytest.mark.slowest)


def _is_for_rabbitmq(item: pytest.Function) -> bool:
    """Whether it runs on no other broker."""
    marks = item.iter_markers("parametrize")
    return any(mark.args[:2] == ("broker_url", ["rabbitmq"]) for mark in marks)


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
def deployment(bare: Deployment, sample_installed: Callable[[Path], None]) -> Deployment:
    """With the sample registry, loaded and indexed."""
    sample_installed(bare.settings.home)
    return bare
