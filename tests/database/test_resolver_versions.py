from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from resolver.database.answers import save
from resolver.database.connection import transaction
from resolver.database.due_answers import selection_done
from resolver.database.releases import ReleaseInfo, load_release
from resolver.database.resolver_versions import (
    ResolverVersion,
    carry_nothing,
    current_resolver,
    find_resolver,
    previous_resolver,
    put_in_use,
    register,
    resolvers,
    valid_versions,
)
from resolver.errors import RegistryError, ResolverSuperseded, SettingsError
from resolver.matching.outcome import Outcome, Reason
from resolver.registry.organisation import Name, NameKind, Organisation, OrganisationStatus

PARTS: dict[str, Any] = {
    "encoder": ("builtin", "e1"),
    "reranker": ("builtin", "r1"),
    "settings": {"recall_depth": 50, "judge": "1"},
}


def load(engine: Engine, version: str = "v2.9", sha256: str = "aa") -> int:
    organisation = Organisation(
        ror_id="052gg0110",
        status=OrganisationStatus.ACTIVE,
        names=(Name("University of Oxford", frozenset({NameKind.DISPLAY})),),
    )
    report = load_release(
        engine,
        ReleaseInfo(version, date(2026, 10, 1), version + sha256, f"{version}.json"),
        [organisation],
        rejected=lambda: 0,
        schema_version=lambda: "2.1",
        force=True,
    )
    return report.release_id


@pytest.fixture
def release_id(engine: Engine) -> int:
    return load(engine)


# Registering


def test_the_same_parts_are_the_same_version(engine: Engine, release_id: int) -> None:
    first = register(engine, release_id=release_id, **PARTS)
    turned = dict(reversed(PARTS["settings"].items()))
    assert register(engine, release_id=release_id, **{**PARTS, "settings": turned}) == first
    assert current_resolver(engine) is None  # not in use by that
    assert (first.release, first.settings) == ("v2.9", PARTS["settings"])
    assert (first.encoder, first.reranker) == (("builtin", "e1"), ("builtin", "r1"))
    assert (first.generation, first.selected_at, first.is_current) == (None, None, False)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"encoder": ("builtin", "e2")}, id="encoder's weights"),
        pytest.param({"reranker": ("builtin", "r2")}, id="reranker's weights"),
        pytest.param({"settings": {"recall_depth": 40, "judge": "1"}}, id="a setting"),
        pytest.param({"index_version": "v2.9-1234"}, id="index"),
    ],
)
def test_another_part_is_another_version(
    engine: Engine, release_id: int, change: dict[str, object]
) -> None:
    first = register(engine, release_id=release_id, **PARTS)
    second = register(engine, release_id=release_id, **{**PARTS, **change})
    assert second.id > first.id
    assert resolvers(engine) == [second, first]
    assert find_resolver(engine, second.id) == second


def test_how_to_open_it_is_no_part(engine: Engine, release_id: int) -> None:
    opened: list[dict[str, object]] = [{"encoder": "builtin"}, {"encoder": "/models/copy"}]
    first, second = (
        register(engine, release_id=release_id, configuration=how, **PARTS) for how in opened
    )
    assert second.id == first.id
    assert [first.configuration, second.configuration] == opened
    assert register(engine, release_id=release_id, **PARTS) == second  # left as it is


def test_a_model_that_moved_is_the_same_model(engine: Engine, release_id: int) -> None:
    first = register(engine, release_id=release_id, **PARTS)
    moved = {**PARTS, "encoder": ("/models/copy", "e1")}
    assert register(engine, release_id=release_id, **moved) == first
    with transaction(engine) as connection:
        models = connection.execute(text("SELECT role, name FROM model ORDER BY role")).fetchall()
    assert models == [("encoder", "builtin"), ("reranker", "builtin")]


def test_a_release_with_another_content_is_a_new_version(engine: Engine) -> None:
    first = register(engine, release_id=load(engine, sha256="aa"), **PARTS)
    second = register(engine, release_id=load(engine, sha256="bb"), **PARTS)
    assert first.id != second.id
    assert first.release == second.release


def test_workers_that_start_at_once_get_one_version(engine: Engine, release_id: int) -> None:
    def start(_: int) -> int:
        return put_in_use(engine, register(engine, release_id=release_id, **PARTS).id).id

    with ThreadPoolExecutor(5) as pool:
        assert len(set(pool.map(start, range(10)))) == 1
    assert [version.generation for version in resolvers(engine)] == [1]


def test_a_release_or_version_that_is_not_there_is_refused(engine: Engine) -> None:
    with pytest.raises(RegistryError, match="resolver registry load"):
        register(engine, release_id=7, **PARTS)
    for use in (put_in_use, find_resolver):
        with pytest.raises(SettingsError, match="resolver version list"):
            use(engine, 7)
    assert current_resolver(engine) is None
    assert previous_resolver(engine) is None


# In use


Use = Callable[[str], ResolverVersion]


@pytest.fixture
def use(engine: Engine) -> Use:
    """Put a version in use by its letter: A to D are of one model and four releases, M is of
    another model and the release of B. Its selection is done, unless the letter is small."""
    releases = [load(engine, f"v2.{number}") for number in range(4)]
    ids = {
        letter: register(engine, release_id=release_id, **PARTS).id
        for letter, release_id in zip("ABCD", releases, strict=True)
    }
    ids["M"] = register(
        engine, release_id=releases[1], **{**PARTS, "reranker": ("builtin", "r2")}
    ).id

    def put(letter: str) -> ResolverVersion:
        version = put_in_use(engine, ids[letter.upper()])
        if letter.isupper():
            selection_done(engine, version.id)
        return version

    return put


def valid(engine: Engine, version_id: int) -> str:
    with transaction(engine) as connection:
        return "".join("?ABCDM"[one] for one in valid_versions(connection, version_id))


@pytest.mark.parametrize(
    ("order", "carried", "to_select"),
    [
        pytest.param("A", "A", False, id="the first"),
        pytest.param("AB", "BA", True, id="a release"),
        pytest.param("ABC", "CBA", True, id="two releases"),
        pytest.param("AM", "M", False, id="another model"),
        pytest.param("ABA", "A", False, id="back"),
        pytest.param("ABCB", "BA", False, id="back to what carries"),
        pytest.param("ABCA", "A", False, id="two back"),
        pytest.param("ABCAB", "BA", True, id="two back and one forth"),
        pytest.param("ABAB", "BA", True, id="back and forth"),
        pytest.param("ABAC", "CA", True, id="back and past it"),
        pytest.param("ABMB", "BA", False, id="another model tried"),
        pytest.param("ABMAB", "BA", True, id="another model tried, and back"),
        pytest.param("ABMAMB", "B", False, id="what it carried was in use since"),
        pytest.param("AbC", "C", False, id="before the selection was done"),
        pytest.param("AbB", "BA", True, id="again"),
        pytest.param("AbA", "A", False, id="back before the selection was done"),
        pytest.param("ACB", "BCA", True, id="an older release after a newer one"),
    ],
)
def test_a_version_carries_what_only_the_release_makes_differ(
    engine: Engine, use: Use, order: str, carried: str, to_select: bool
) -> None:
    *before, last = list(order)
    for letter in before:
        use(letter)
    version = use(last.lower())
    assert version == current_resolver(engine)
    assert valid(engine, version.id) == carried
    assert (version.selected_at is None) == to_select


def test_a_version_may_carry_nothing(engine: Engine, use: Use) -> None:
    first, version = use("A"), use("b")
    for _ in range(2):
        carry_nothing(engine, version.id)
        found = find_resolver(engine, version.id)
        assert found.selected_at is not None
        assert valid(engine, version.id) == "B"
    with pytest.raises(ResolverSuperseded):
        carry_nothing(engine, first.id)
    use("M")
    assert valid(engine, use("B").id) == "B"


def test_the_version_before_is_the_one_that_was_in_use(engine: Engine, use: Use) -> None:
    seen = []
    for letter in "ABBCBA":
        use(letter)
        previous = previous_resolver(engine)
        seen.append(previous and "?ABCDM"[previous.id])
    assert seen == [None, "A", "A", "B", "C", "B"]


def test_the_version_in_use_put_in_use_again_is_left_alone(engine: Engine, use: Use) -> None:
    use("A")
    first = use("B")
    assert use("b") == current_resolver(engine)
    assert find_resolver(engine, first.id).generation == first.generation


def test_a_selection_is_of_the_version_in_use(engine: Engine, use: Use) -> None:
    first = use("A")
    use("B")
    with pytest.raises(ResolverSuperseded):
        selection_done(engine, first.id)


def test_a_switch_waits_for_answers_that_are_being_stored(engine: Engine, use: Use) -> None:
    first = use("A")
    with transaction(engine) as connection:
        connection.execute(text("INSERT INTO affiliation (text_hash, text) VALUES ('a', 'Oxford')"))
    answers = [(1, Outcome("Oxford", reason=Reason.AMBIGUOUS))]
    with engine.begin() as connection:
        # As `save` has it until it commits.
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": 0x726F7204})
        switch = threading.Thread(target=use, args=("b",))
        switch.start()
        switch.join(0.3)
        assert switch.is_alive()
        assert current_resolver(engine) == first
    switch.join(20)
    with pytest.raises(ResolverSuperseded):
        save(engine, first.id, answers)
