"""A service on a real database and a real index."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from support.next_release import ICELAND, write_next_release

from resolver.answering.chunk import resolve_chunk
from resolver.database import due_answers, releases, resolver_versions
from resolver.errors import IndexMissing, ModelError, ResolverSuperseded
from resolver.release import switch
from resolver.release.index import restore_index
from resolver.release.load import load
from resolver.release.update import update
from resolver.service.installation import Installation, index_directory
from resolver.service.parts import load_encoder
from resolver.service.service import open_service, open_version
from resolver.service.version import FORMS
from resolver.settings import Settings


@pytest.fixture
def installation(
    tmp_path: Path,
    database_url: str,
    engine: Engine,
    sample_installed: Callable[[Path], None],
) -> Iterator[Installation]:
    """The sample registry, loaded and indexed; no resolver version yet."""
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, home=tmp_path, database_url=SecretStr(database_url), threads=1
    )
    sample_installed(settings.home)
    with Installation(settings, engine=engine) as made:
        yield made


def take_in(installation: Installation) -> None:
    """The next release, without what follows from it."""
    update(installation, write_next_release(installation.settings.home), refresh=False)


def test_the_first_service_makes_the_version_and_the_next_opens_it(
    installation: Installation, engine: Engine
) -> None:
    with open_service(installation) as opened:
        version = opened.version
        assert version.is_current
        assert version.index_version == opened.matcher.recall.index.manifest.version
        assert version.settings["statistics"] == opened.matcher.recall.index.manifest.statistics
        with open_service(installation) as other:
            assert other.version == version
    assert len(resolver_versions.resolvers(engine)) == 1


def test_a_service_follows_the_version_in_use(installation: Installation, engine: Engine) -> None:
    with open_service(installation) as opened:
        before, models_before = opened.version, opened.matcher
        assert not opened.follow()
        assert opened.matcher is models_before
        take_in(installation)
        assert opened.follow()
        assert opened.version.release == "v3.0"
        assert opened.matcher.recall.index.manifest.version == opened.version.index_version
        # What did not change was not loaded again.
        assert opened.matcher.recall.encoder is models_before.recall.encoder
        assert opened.matcher.reranker is models_before.reranker
        links = opened.matcher.resolve(["University of Iceland, Reykjavík"])[0].links
        assert [link.ror_id for link in links] == [ICELAND]
        switch.switch_to(installation, before)
        assert opened.follow()
        assert opened.version.id == before.id


def test_a_service_that_cannot_follow_keeps_what_it_has(
    installation: Installation, engine: Engine
) -> None:
    with open_service(installation) as opened:
        before = opened.version
        other = resolver_versions.register(
            engine,
            release_id=before.release_id,
            encoder=before.encoder,
            reranker=before.reranker,
            settings=before.settings,
            index_version="gone",
            configuration=before.configuration,
        )
        with pytest.raises(IndexMissing, match="gone"):
            switch.switch_to(installation, other)
        resolver_versions.put_in_use(engine, other.id)
        for _ in range(2):
            with pytest.raises(IndexMissing, match="gone"):
                opened.follow()
        assert opened.version == before
        assert opened.matcher.resolve(["ETH Zurich"])[0].links


def test_answers_of_a_version_that_went_out_of_use_are_not_stored(
    installation: Installation, engine: Engine
) -> None:
    records = [{"source": "test", "id": "1", "affiliation": "University of Iceland, Reykjavík"}]
    with open_service(installation) as opened:
        take_in(installation)
        with pytest.raises(ResolverSuperseded):
            resolve_chunk(engine, opened.matcher, opened.version.id, records)
        assert opened.follow()
        assert resolve_chunk(engine, opened.matcher, opened.version.id, records).linked == 1


@pytest.mark.slowest
def test_an_index_that_is_gone_is_built_again_and_serves_the_same_version(
    installation: Installation, engine: Engine
) -> None:
    with open_service(installation) as opened:
        version = opened.version
    shutil.rmtree(index_directory(installation.settings))
    with (
        pytest.raises(IndexMissing, match="index of resolver version 1 is gone") as told,
        open_service(installation),
    ):
        pass
    assert "resolver index restore" in told.value.remedy
    restored = restore_index(installation, load_encoder(installation.settings), version)
    assert restored.made
    assert switch.successor(engine, version, restored.manifest) == version
    with open_service(installation) as opened:
        assert opened.version == version


@pytest.mark.slowest
def test_settings_that_say_otherwise_are_told_and_not_followed(
    installation: Installation, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with open_service(installation):
        pass
    assert "RESOLVER_" not in caplog.text
    other = installation.settings.model_copy(update={"rerank_depth": 3})
    with open_service(Installation(other, engine=engine)) as opened:
        assert opened.matcher.rerank_depth == 20
    assert "RESOLVER_RERANK_DEPTH is 3 here, and 20 in resolver version 1" in caplog.text


def test_a_release_that_was_loaded_and_not_taken_in_is_told(
    installation: Installation, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with open_service(installation):
        pass
    home = installation.settings.home
    load(engine, write_next_release(home), rejects=home / "rejects.jsonl")
    with open_service(installation) as opened:
        assert opened.version.release == "registry"
    assert "release v3.0 is loaded, the answers are by registry" in caplog.text


def test_the_settings_make_a_version_that_is_switched_to(
    installation: Installation, engine: Engine
) -> None:
    with open_service(installation) as opened:
        before = opened.version
        shallow = installation.settings.model_copy(update={"rerank_depth": 3})
        other = switch.of_settings(Installation(shallow, engine=engine))
        assert not other.is_current
        with open_version(installation, other.id) as compared:
            assert compared.matcher.rerank_depth == 3
        other = switch.switch_to(installation, other)
        assert (other.is_current, other.carries_id) == (True, None)
        assert opened.follow()
        assert opened.matcher.rerank_depth == 3
        assert switch.version_before(engine).id == before.id


@pytest.mark.parametrize("name", FORMS)
def test_code_that_answers_otherwise_makes_every_answer_due(
    installation: Installation, engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A worker of a later program refuses the version of an earlier one; a switch makes its own."""
    records = [{"source": "test", "id": "1", "affiliation": "University of Iceland, Reykjavík"}]
    with open_service(installation) as opened:
        before = opened.version
        resolve_chunk(engine, opened.matcher, before.id, records)
    assert before.settings[name] == FORMS[name]
    assert due_answers.due_count(engine, before.id) == 0
    monkeypatch.setitem(FORMS, name, FORMS[name] + 1)
    what = name.replace("_", " ")
    with (
        pytest.raises(ModelError, match=f"{what} {FORMS[name] - 1}, here {FORMS[name]}") as told,
        open_service(installation),
    ):
        pass
    assert "resolver version use" in told.value.remedy
    with pytest.raises(ModelError, match=what):
        take_in(installation)
    encoder, newest = load_encoder(installation.settings), installation.store.versions()[-1]
    assert switch.switch_to_index(installation, encoder, newest) is None
    after = switch.switch_to(installation, switch.of_settings(installation))
    assert after.id != before.id
    assert due_answers.due_count(engine, after.id) == 1
    with open_service(installation) as opened:
        assert opened.version == after


@pytest.mark.parametrize("role", ["encoder", "reranker"])
def test_other_models_under_the_same_name_are_refused(
    installation: Installation, engine: Engine, role: str
) -> None:
    with open_service(installation):
        pass
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE model SET fingerprint = 'another' WHERE role = :role"), {"role": role}
        )
    with (
        pytest.raises(ModelError, match=f"has another {role} than there is here"),
        open_service(installation),
    ):
        pass


@pytest.mark.slowest
def test_a_version_of_before_they_named_their_index_gives_way(
    installation: Installation, engine: Engine
) -> None:
    release = releases.require_release(engine)
    old = resolver_versions.register(
        engine, release_id=release.id, encoder=("a", "b"), reranker=("c", "d"), settings={}
    )
    resolver_versions.put_in_use(engine, old.id)
    with open_service(installation) as opened:
        assert opened.version.id != old.id
        assert opened.version.index_version
    with (
        pytest.raises(IndexMissing, match="when none named its index"),
        open_version(installation, old.id),
    ):
        pass
