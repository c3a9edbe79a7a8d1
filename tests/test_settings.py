import re
from pathlib import Path
from typing import get_args

import pytest
from support.paths import ROOT

import resolver.settings
from resolver.errors import SettingsError
from resolver.matching.policy import Level, Policy, Succession
from resolver.settings import Settings, load_settings

DOCS = ROOT / "docs/settings.md"


def shown(default: object) -> str:
    return ",".join(sorted(default)) if isinstance(default, frozenset) else str(default)


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `RESOLVER_(\w+)` \| `?([^`|]*?)`? \|", DOCS.read_text(), re.M))
    defaults = {
        name.upper(): "–" if field.default in (None, frozenset()) else shown(field.default)
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


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory of its own, where nothing was warned of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resolver.settings, "_warned", set())
    return tmp_path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("RESOLVER_DATABSE_URL", "did you mean RESOLVER_DATABASE_URL?"),
        ("RESOLVER_QDRANT_APIKEY", "did you mean RESOLVER_QDRANT_API_KEY?"),
        ("resolver_brokr_url", "did you mean RESOLVER_BROKER_URL?"),
        ("RESOLVER_ZZZZ", "docs/settings.md"),
        ("RESOLVER_HOME", None),
        ("resolver_judge", None),
        ("RESOLVER_TEST_DATABASE_URL", None),
        ("RESOLVE_HOME", None),
    ],
)
@pytest.mark.parametrize("where", ["the environment", ".env"])
def test_names_that_are_no_settings_are_told(
    anew: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
    name: str,
    told: str | None,
) -> None:
    if where == ".env":
        (anew / ".env").write_text(f"{name}=s3cret\n")
    else:
        monkeypatch.setenv(name, "s3cret")
    load_settings()
    load_settings()
    found = [one.getMessage() for one in caplog.records if name in one.getMessage()]
    assert len(found) == (told is not None)  # once, not at every load
    for message in found:
        assert f"{name} in {where} is no setting" in message
        assert told is not None
        assert told in message
        assert "s3cret" not in message
