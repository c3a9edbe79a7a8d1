import re
from pathlib import Path

import pytest

from resolver.errors import SettingsError
from resolver.settings import Settings, load_settings

DOCS = Path(__file__).parents[1] / "docs/settings.md"


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `RESOLVER_(\w+)` \| `?([^`|]*?)`? \|", DOCS.read_text(), re.M))
    defaults = {
        name.upper(): "–" if field.default is None else str(field.default)
        for name, field in Settings.model_fields.items()
    }
    assert rows == {name: value.removesuffix(".0") for name, value in defaults.items()}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RESOLVER_ACCEPT_PROBABILITY", "1.5"),
        ("RESOLVER_CHUNK_SIZE", "0"),
        ("RESOLVER_RECALL_DEPTH", "deep"),
    ],
)
def test_a_bad_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        load_settings()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESOLVER_DATABASE_URL", "postgresql://u:s3cret@host/db")
    assert "s3cret" not in repr(load_settings())
