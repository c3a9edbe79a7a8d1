"""The review page on the sample registry, with some strings to review."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from support.review_page import USER_HEADER, fill, undo_all
from support.serving import serving_app

from resolver.curation.review import deciding
from resolver.database.connection import connect
from resolver.review.app import create_app
from resolver.settings import Settings


@pytest.fixture(scope="module", autouse=True)
def _no_second_looks() -> Iterator[None]:
    """A page draws the number that says whether a second person is to look: three decisions in a
    hundred would leave their string in the queue. `tests/curation/review` tries both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deciding, "SECOND_LOOKS", 0.0)
        yield


@pytest.fixture(scope="session")
def review_settings(
    prepared: tuple[str, Path],
    copied_database: Callable[[str | None], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """An installation whose strings are resolved; a proxy on this machine names the person."""
    url, home = prepared
    copy = tmp_path_factory.mktemp("reviewed")
    shutil.copytree(home, copy, symlinks=True, dirs_exist_ok=True)
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=copy,
        database_url=SecretStr(copied_database(url)),
        threads=1,
        review_user_header=USER_HEADER,
    )
    fill(settings)
    return settings


@pytest.fixture(scope="session")
def _server(review_settings: Settings) -> Iterator[httpx.Client]:
    with serving_app(create_app(review_settings, author=None)) as client:
        yield client


@pytest.fixture
def engine(review_settings: Settings) -> Iterator[Engine]:
    """The server's database."""
    assert review_settings.database_url
    engine = connect(review_settings.database_url.get_secret_value())
    yield engine
    engine.dispose()


@pytest.fixture
def anonymous(_server: httpx.Client, engine: Engine) -> Iterator[httpx.Client]:
    """A client that says nothing of who it is; what is decided in a test is undone after it."""
    yield _server
    undo_all(_server, engine)


@pytest.fixture
def as_person(anonymous: httpx.Client) -> Iterator[Callable[[str], httpx.Client]]:
    """Makes clients that are a person's browser, as a proxy passes its requests on."""
    made: list[httpx.Client] = []

    def client(name: str) -> httpx.Client:
        made.append(
            httpx.Client(
                base_url=anonymous.base_url,
                headers={USER_HEADER: name, "Sec-Fetch-Site": "same-origin"},
                timeout=60,
            )
        )
        return made[-1]

    yield client
    for one in made:
        one.close()


@pytest.fixture
def ada(as_person: Callable[[str], httpx.Client]) -> httpx.Client:
    return as_person("Ada")
