from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from support.next_release import ICELAND, write_next_release

from resolver import sample
from resolver.answering.chunk import resolve_chunk
from resolver.database import due_answers, releases, resolver_versions
from resolver.errors import IndexMissing, ModelError, ResolverSuperseded, SettingsError
from resolver.matching.policy import Level, Policy, Succession
from resolver.release import switch
from resolver.release.load import load
from resolver.release.update import update
from resolver.service.service import (
    FORMS,
    Service,
    configuration,
    configured,
    deciding,
    index_directory,
    index_store,
    models,
    open_service,
    open_version,
    policy,
)
from resolver.settings import Settings

MEASURED = [(0.3, 0.90, 0.95), (0.7, 0.97, 0.80)]


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


def test_unset_choices_are_the_default_policy() -> None:
    assert policy(settings()) == Policy()


def test_settings_become_a_policy() -> None:
    chosen = settings(
        accept_probability=0.8,
        max_links=3,
        level="both",
        succession="roll-forward",
        types="education,Facility",
        countries="ch,DE",
    )
    assert policy(chosen) == Policy(
        accept_probability=0.8,
        max_links=3,
        level=Level.BOTH,
        succession=Succession.ROLL_FORWARD,
        types=frozenset({"education", "facility"}),
        countries=frozenset({"CH", "DE"}),
    )


def test_a_target_precision_is_looked_up_in_what_was_measured() -> None:
    assert policy(settings(target_precision=0.95), MEASURED) == Policy(accept_probability=0.7)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"types": "university"}, "types: 'university'"),
        ({"countries": "UK"}, "countries: 'UK'"),
        ({"target_precision": 0.99}, "0.99 is out of reach"),
    ],
    ids=str,
)
def test_choices_that_make_no_sense_are_told(values: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        policy(settings(**values), MEASURED)


def test_a_resolver_version_does_not_depend_on_the_choices() -> None:
    built_in = models(settings())
    assert deciding(settings(), built_in) == deciding(
        settings(accept_probability=0.9, level="both"), built_in
    )
    assert deciding(settings(), built_in) != deciding(settings(rerank_depth=7), built_in)


def test_a_configuration_opens_the_same_models_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "judge.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    kept = configuration(settings(judge="judge.json", reranker="some/model", rerank_depth=7))
    assert kept["judge"] == str(tmp_path / "judge.json")
    assert (kept["reranker"], kept["encoder"], kept["rerank_depth"]) == ("some/model", "builtin", 7)


# A service on a real database and a real index


@pytest.fixture
def home(tmp_path: Path, database_url: str, engine: Engine) -> Settings:
    """The sample registry, loaded and indexed; no resolver version yet."""
    chosen = settings(home=tmp_path, database_url=SecretStr(database_url), threads=1)
    load(engine, sample.REGISTRY, rejects=tmp_path / "rejects.jsonl")
    store = index_store(chosen)
    store.activate(switch.index_release(engine, store, models(chosen).encoder).manifest.version)
    return chosen


def take_in(chosen: Settings, engine: Engine) -> None:
    """The next release, without what follows from it."""
    update(chosen, engine, write_next_release(chosen.home), refresh=False)


def test_the_first_service_makes_the_version_and_the_next_opens_it(
    home: Settings, engine: Engine
) -> None:
    with Service.open(home) as opened:
        version = opened.version
        assert version.is_current
        assert version.index_version == opened.matcher.recall.index.manifest.version
        assert version.settings["statistics"] == opened.matcher.recall.index.manifest.statistics
        with open_service(home, engine) as other:
            assert other.version == version
    assert len(resolver_versions.resolvers(engine)) == 1


def test_a_service_follows_the_version_in_use(home: Settings, engine: Engine) -> None:
    with open_service(home, engine) as opened:
        before, models_before = opened.version, opened.matcher
        assert not opened.follow()
        assert opened.matcher is models_before
        take_in(home, engine)
        assert opened.follow()
        assert opened.version.release == "v3.0"
        assert opened.matcher.recall.index.manifest.version == opened.version.index_version
        # What did not change was not loaded again.
        assert opened.matcher.recall.encoder is models_before.recall.encoder
        assert opened.matcher.reranker is models_before.reranker
        links = opened.matcher.resolve(["University of Iceland, Reykjavík"])[0].links
        assert [link.ror_id for link in links] == [ICELAND]
        switch.put_in_use(engine, index_store(home), before)
        assert opened.follow()
        assert opened.version.id == before.id


def test_a_service_that_cannot_follow_keeps_what_it_has(home: Settings, engine: Engine) -> None:
    with open_service(home, engine) as opened:
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
            switch.put_in_use(engine, index_store(home), other)
        resolver_versions.put_in_use(engine, other.id)
        for _ in range(2):
            with pytest.raises(IndexMissing, match="gone"):
                opened.follow()
        assert opened.version == before
        assert opened.matcher.resolve(["ETH Zurich"])[0].links


def test_answers_of_a_version_that_went_out_of_use_are_not_stored(
    home: Settings, engine: Engine
) -> None:
    records = [{"source": "test", "id": "1", "affiliation": "University of Iceland, Reykjavík"}]
    with open_service(home, engine) as opened:
        take_in(home, engine)
        with pytest.raises(ResolverSuperseded):
            resolve_chunk(engine, opened.matcher, opened.version.id, records)
        assert opened.follow()
        assert resolve_chunk(engine, opened.matcher, opened.version.id, records).linked == 1


def test_an_index_that_is_gone_is_built_again_and_serves_the_same_version(
    home: Settings, engine: Engine
) -> None:
    with open_service(home, engine) as opened:
        version = opened.version
    shutil.rmtree(index_directory(home))
    with (
        pytest.raises(IndexMissing, match="index of resolver version 1 is gone") as told,
        open_service(home, engine),
    ):
        pass
    assert "resolver index restore" in told.value.remedy
    store = index_store(home)
    restored = switch.restore_index(engine, store, models(home).encoder, version)
    assert restored.made
    assert switch.successor(engine, version, restored.manifest) == version
    with open_service(home, engine) as opened:
        assert opened.version == version


def test_settings_that_say_otherwise_are_told_and_not_followed(
    home: Settings, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with open_service(home, engine):
        pass
    assert "RESOLVER_" not in caplog.text
    other = home.model_copy(update={"rerank_depth": 3})
    with open_service(other, engine) as opened:
        assert opened.matcher.rerank_depth == 20
    assert "RESOLVER_RERANK_DEPTH is 3 here, and 20 in resolver version 1" in caplog.text


def test_a_release_that_was_loaded_and_not_taken_in_is_told(
    home: Settings, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with open_service(home, engine):
        pass
    load(engine, write_next_release(home.home), rejects=home.home / "rejects.jsonl")
    with open_service(home, engine) as opened:
        assert opened.version.release == "registry"
    assert "release v3.0 is loaded, the answers are by registry" in caplog.text


def test_the_settings_make_a_version_that_is_switched_to(home: Settings, engine: Engine) -> None:
    with open_service(home, engine) as opened:
        before = opened.version
        shallow = home.model_copy(update={"rerank_depth": 3})
        other = switch.of_settings(shallow, engine, index_store(home))
        assert not other.is_current
        with open_version(home, engine, other.id) as compared:
            assert compared.matcher.rerank_depth == 3
        other = switch.put_in_use(engine, index_store(home), other)
        assert (other.is_current, other.carries_id) == (True, None)
        assert opened.follow()
        assert opened.matcher.rerank_depth == 3
        assert switch.before(engine).id == before.id


@pytest.mark.parametrize("name", FORMS)
def test_code_that_answers_otherwise_makes_every_answer_due(
    home: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A worker of a later program refuses the version of an earlier one; a switch makes its own."""
    records = [{"source": "test", "id": "1", "affiliation": "University of Iceland, Reykjavík"}]
    with open_service(home, engine) as opened:
        before = opened.version
        resolve_chunk(engine, opened.matcher, before.id, records)
    assert before.settings[name] == FORMS[name]
    assert due_answers.due_count(engine, before.id) == 0
    monkeypatch.setitem(FORMS, name, FORMS[name] + 1)
    what = name.replace("_", " ")
    with (
        pytest.raises(ModelError, match=f"{what} {FORMS[name] - 1}, here {FORMS[name]}") as told,
        open_service(home, engine),
    ):
        pass
    assert "resolver version use" in told.value.remedy
    with pytest.raises(ModelError, match=what):
        take_in(home, engine)
    store = index_store(home)
    assert switch.adopt(engine, store, models(home).encoder, store.versions()[-1]) is None
    after = switch.put_in_use(engine, store, switch.of_settings(home, engine, store))
    assert after.id != before.id
    assert due_answers.due_count(engine, after.id) == 1
    with open_service(home, engine) as opened:
        assert opened.version == after


@pytest.mark.parametrize("role", ["encoder", "reranker"])
def test_other_models_under_the_same_name_are_refused(
    home: Settings, engine: Engine, role: str
) -> None:
    with open_service(home, engine):
        pass
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE model SET fingerprint = 'another' WHERE role = :role"), {"role": role}
        )
    with (
        pytest.raises(ModelError, match=f"has another {role} than there is here"),
        open_service(home, engine),
    ):
        pass


def test_a_version_of_before_they_named_their_index_gives_way(
    home: Settings, engine: Engine
) -> None:
    release = releases.require_release(engine)
    old = resolver_versions.register(
        engine, release_id=release.id, encoder=("a", "b"), reranker=("c", "d"), settings={}
    )
    resolver_versions.put_in_use(engine, old.id)
    with open_service(home, engine) as opened:
        assert opened.version.id != old.id
        assert opened.version.index_version
    with (
        pytest.raises(IndexMissing, match="when none named its index"),
        open_version(home, engine, old.id),
    ):
        pass


def test_the_key_of_a_server_goes_to_that_server_alone() -> None:
    ours = settings(reranker="http://ours", reranker_api_key=SecretStr("s3cret"))
    unset = settings(reranker_api_key=SecretStr("s3cret"))
    version = resolver_versions.ResolverVersion(
        1, 1, "v1", "v1-0", configuration(settings(reranker="http://theirs")), {}, ("e", "1"),
        ("r", "1"), None, 1, None, None, datetime.now(UTC), True,
    )  # fmt: skip
    assert configured(ours, version).reranker == "http://theirs"
    assert configured(ours, version).reranker_api_key is None
    assert configured(unset, version).reranker_api_key is not None
