from __future__ import annotations

import pytest

from resolver.domain.policy import Level, Policy, Succession
from resolver.errors import SettingsError
from resolver.service import deciding, policy
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
    assert deciding(settings()) == deciding(settings(accept_probability=0.9, level="both"))
    assert deciding(settings()) != deciding(settings(rerank_depth=7))
