import re
from pathlib import Path
from typing import get_args

import pytest

from resolver.domain.policy import Level, Policy, Succession
from resolver.errors import SettingsError
from resolver.settings import Settings, load_settings

DOCS = Path(__file__).parents[1] / "docs/settings.md"


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `RESOLVER_(\w+)` \| `?([^`|]*?)`? \|", DOCS.read_text(), re.M))
    defaults = {
        name.upper(): "–" if field.default in (None, frozenset()) else str(field.default)
        for name, field in Settings.model_fields.items()
    }
    assert rows == {name: value.removesuffix(".0") for name, value in defaults.items()}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RESOLVER_ACCEPT_PROBABILITY", "1.5"),
        ("RESOLVER_CHUNK_SIZE", "0"),
        ("RESOLVER_RECALL_DEPTH", "deep"),
        ("RESOLVER_LEVEL", "top"),
        ("RESOLVER_SUCCESSION", "forward"),
        ("RESOLVER_TARGET_PRECISION", "1"),
    ],
)
def test_a_bad_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        load_settings()


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVER_TYPES", "education, healthcare,")
    monkeypatch.setenv("RESOLVER_COUNTRIES", "")
    settings = load_settings()
    assert settings.types == {"education", "healthcare"}
    assert settings.countries == frozenset()


def test_there_is_one_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVER_TARGET_PRECISION", "0.95")
    assert load_settings().target_precision == 0.95
    monkeypatch.setenv("RESOLVER_ACCEPT_PROBABILITY", "0.5")
    with pytest.raises(SettingsError) as told:
        load_settings()
    assert str(told.value).startswith(
        "RESOLVER_TARGET_PRECISION and RESOLVER_ACCEPT_PROBABILITY exclude each other"
    )


def test_choices_are_those_of_a_policy() -> None:
    fields = Settings.model_fields
    for name, values in (("level", Level), ("succession", Succession)):
        assert get_args(fields[name].annotation) == tuple(values)
    defaults = {name: fields[name].default for name in Policy().as_object() if name in fields}
    assert Policy.from_object(defaults) == Policy()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVER_DATABASE_URL", "postgresql://u:s3cret@host/db")
    assert "s3cret" not in repr(load_settings())
