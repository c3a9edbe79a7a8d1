"""What a resolver version records of the settings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from resolver.database.resolver_versions import ResolverVersion
from resolver.service.parts import load_models
from resolver.service.version import configuration, configured, fingerprints
from resolver.settings import Settings


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]


def test_a_resolver_version_does_not_depend_on_the_choices() -> None:
    built_in = load_models(settings())
    assert fingerprints(settings(), built_in) == fingerprints(
        settings(accept_probability=0.9, level="both"), built_in
    )
    assert fingerprints(settings(), built_in) != fingerprints(settings(rerank_depth=7), built_in)


def test_a_configuration_opens_the_same_models_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "judge.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    kept = configuration(settings(judge="judge.json", reranker="some/model", rerank_depth=7))
    assert kept["judge"] == str(tmp_path / "judge.json")
    assert (kept["reranker"], kept["encoder"], kept["rerank_depth"]) == ("some/model", "builtin", 7)


def test_the_key_of_a_server_goes_to_that_server_alone() -> None:
    ours = settings(reranker="http://ours", reranker_api_key=SecretStr("s3cret"))
    unset = settings(reranker_api_key=SecretStr("s3cret"))
    version = ResolverVersion(
        1, 1, "v1", "v1-0", configuration(settings(reranker="http://theirs")), {}, ("e", "1"),
        ("r", "1"), None, 1, None, None, datetime.now(UTC), True,
    )  # fmt: skip
    assert configured(ours, version).reranker == "http://theirs"
    assert configured(ours, version).reranker_api_key is None
    assert configured(unset, version).reranker_api_key is not None
