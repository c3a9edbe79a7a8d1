"""An installation is opened once, when it is used, and closed once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from resolver.database import schema
from resolver.errors import DatabaseOutdated
from resolver.index.embedded import EmbeddedStore
from resolver.service import installation as installations
from resolver.service.installation import Installation
from resolver.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, empty_database_url: str) -> Settings:
    return Settings(  # type: ignore[call-arg]
        _env_file=None, home=tmp_path, database_url=SecretStr(empty_database_url)
    )


def test_it_is_opened_once_and_closed_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    @contextmanager
    def open_database(settings: Settings) -> Iterator[Engine]:
        events.append("opened")
        with real(settings) as engine:
            yield engine
        events.append("closed")

    real = installations.open_database
    monkeypatch.setattr(installations, "open_database", open_database)
    with Installation(settings) as installation:
        assert events == []
        engine = installation.engine_of_any_schema
        schema.upgrade(engine)
        assert installation.engine is installation.engine_of_any_schema is engine
        assert installation.store is installation.store
        assert events == ["opened"]
    assert events == ["opened", "closed"]
    for part in ("engine", "engine_of_any_schema", "store"):
        with pytest.raises(RuntimeError, match="closed"):
            getattr(installation, part)


def test_a_database_of_another_schema_is_refused_until_it_is_migrated(settings: Settings) -> None:
    with Installation(settings) as installation:
        with pytest.raises(DatabaseOutdated):
            _ = installation.engine
        schema.upgrade(installation.engine_of_any_schema)
        assert installation.engine is installation.engine_of_any_schema


def test_what_needs_the_index_alone_starts_no_database(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]
    with Installation(settings) as installation:
        assert installation.store.versions() == []
    assert not (tmp_path / "postgres").exists()


def test_parts_that_are_given_are_used_and_left_open(tmp_path: Path, engine: Engine) -> None:
    settings = Settings(_env_file=None, home=tmp_path)  # type: ignore[call-arg]
    store = EmbeddedStore(tmp_path / "index")
    with Installation(settings, engine=engine, store=store) as installation:
        assert installation.engine is engine
        assert installation.store is store
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
