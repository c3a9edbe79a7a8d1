from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import Engine, text

from resolver.database.connection import transaction
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolvers import current_resolver, register
from resolver.domain.organisation import Name, NameKind, Organisation, OrganisationStatus
from resolver.errors import RegistryError

SETTINGS = {"accept_probability": 0.5, "max_links": 10}
ENCODER = ("builtin", "e1")
RERANKER = ("builtin", "r1")


def load(engine: Engine, sha256: str = "aa") -> int:
    organisation = Organisation(
        ror_id="052gg0110",
        status=OrganisationStatus.ACTIVE,
        names=(Name("University of Oxford", frozenset({NameKind.DISPLAY})),),
    )
    report = load_release(
        engine,
        ReleaseInfo("v2.9", date(2026, 10, 1), sha256, "v2.9.json"),
        [organisation],
        rejected=lambda: 0,
        schema_version=lambda: "2.1",
    )
    return report.release_id


@pytest.fixture
def release_id(engine: Engine) -> int:
    return load(engine)


def test_the_same_parts_are_the_same_version(engine: Engine, release_id: int) -> None:
    first = register(
        engine, release_id=release_id, encoder=ENCODER, reranker=RERANKER, settings=SETTINGS
    )
    turned = dict(reversed(SETTINGS.items()))
    second = register(
        engine, release_id=release_id, encoder=ENCODER, reranker=RERANKER, settings=turned
    )
    assert first == second == current_resolver(engine)
    assert first.settings == SETTINGS


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"encoder": ("builtin", "e2")}, id="encoder's weights"),
        pytest.param({"reranker": ("builtin", "r2")}, id="reranker's weights"),
        pytest.param({"settings": {**SETTINGS, "max_links": 9}}, id="a setting"),
    ],
)
def test_another_part_is_a_newer_version_and_in_use(
    engine: Engine, release_id: int, change: dict[str, object]
) -> None:
    parts = {"encoder": ENCODER, "reranker": RERANKER, "settings": SETTINGS}
    first = register(engine, release_id=release_id, **parts)  # type: ignore[arg-type]
    second = register(engine, release_id=release_id, **(parts | change))  # type: ignore[arg-type]
    assert second.id > first.id
    assert current_resolver(engine) == second
    back = register(engine, release_id=release_id, **parts)  # type: ignore[arg-type]
    assert back == first == current_resolver(engine)


def test_a_model_that_moved_is_the_same_model(engine: Engine, release_id: int) -> None:
    first = register(
        engine, release_id=release_id, encoder=ENCODER, reranker=RERANKER, settings=SETTINGS
    )
    moved = register(
        engine,
        release_id=release_id,
        encoder=("/models/copy", "e1"),
        reranker=RERANKER,
        settings=SETTINGS,
    )
    assert moved == first
    with transaction(engine) as connection:
        models = connection.execute(text("SELECT role, name FROM model ORDER BY role")).fetchall()
    assert models == [("encoder", "builtin"), ("reranker", "builtin")]


def test_a_release_loaded_again_with_another_content_is_a_new_version(engine: Engine) -> None:
    parts = {"encoder": ENCODER, "reranker": RERANKER, "settings": SETTINGS}
    first = register(engine, release_id=load(engine, "aa"), **parts)  # type: ignore[arg-type]
    second = register(engine, release_id=load(engine, "bb"), **parts)  # type: ignore[arg-type]
    assert first.release_id == second.release_id
    assert first.id != second.id


def test_workers_that_start_at_once_get_one_version(engine: Engine, release_id: int) -> None:
    def start(_: int) -> int:
        return register(
            engine, release_id=release_id, encoder=ENCODER, reranker=RERANKER, settings=SETTINGS
        ).id

    with ThreadPoolExecutor(5) as pool:
        assert len(set(pool.map(start, range(10)))) == 1
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM resolver_version")).scalar() == 1


def test_a_release_that_is_not_there_is_refused(engine: Engine) -> None:
    with pytest.raises(RegistryError, match="resolver registry load"):
        register(engine, release_id=7, encoder=ENCODER, reranker=RERANKER, settings=SETTINGS)
    assert current_resolver(engine) is None
