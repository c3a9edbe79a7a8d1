"""What the settings mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from resolver.errors import SettingsError
from resolver.matching.policy import Level, Policy, Succession
from resolver.service.parts import make_policy, runs_in_torch
from resolver.settings import Settings

MEASURED = [(0.3, 0.90, 0.95), (0.7, 0.97, 0.80)]


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]


def test_unset_choices_are_the_default_policy() -> None:
    assert make_policy(settings()) == Policy()


def test_settings_become_a_policy() -> None:
    chosen = settings(
        accept_probability=0.8,
        max_links=3,
        level="both",
        succession="roll-forward",
        types="education,Facility",
        countries="ch,DE",
    )
    assert make_policy(chosen) == Policy(
        accept_probability=0.8,
        max_links=3,
        level=Level.BOTH,
        succession=Succession.ROLL_FORWARD,
        types=frozenset({"education", "facility"}),
        countries=frozenset({"CH", "DE"}),
    )


def test_a_target_precision_is_looked_up_in_what_was_measured() -> None:
    assert make_policy(settings(target_precision=0.95), MEASURED) == Policy(accept_probability=0.7)


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
        make_policy(settings(**values), MEASURED)


@pytest.mark.parametrize(
    ("values", "in_torch"),
    [
        ({}, False),
        ({"encoder": "sentence-transformers/some-model"}, True),
        ({"reranker": "some/cross-encoder"}, True),
        ({"reranker": "http://reranker:8080"}, False),
        ({"reranker": "some/cross-encoder", "scorer": "scorer.sock"}, False),
    ],
    ids=["built-in", "an encoder", "a reranker", "a server's reranker", "a scorer's reranker"],
)
def test_only_models_that_run_in_torch_may_use_a_gpu(
    values: dict[str, object], in_torch: bool
) -> None:
    assert runs_in_torch(settings(**values)) is in_torch


def test_exported_models_do_not_run_in_torch(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    (tmp_path / "encoder.safetensors").touch()
    assert not runs_in_torch(settings(encoder=str(tmp_path), reranker=str(tmp_path)))
