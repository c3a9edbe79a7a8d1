"""resolver.release.index: what the index of a release is made from, and what is built with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from resolver import sample
from resolver.database import releases
from resolver.release.index import index_release, prune
from resolver.release.load import load
from resolver.service import parts
from resolver.service.installation import Installation
from resolver.service.searching import folder_of
from resolver.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def installation(database_url: str, tmp_path: Path) -> Iterator[Installation]:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, home=tmp_path / "home", database_url=SecretStr(database_url), threads=1
    )
    settings.home.mkdir()
    with Installation(settings) as opened:
        yield opened


def redated(folder: Path) -> Path:
    """The sample as if every record had been touched a month later."""
    records = json.loads(sample.REGISTRY.read_bytes())
    for record in records:
        record["admin"]["last_modified"]["date"] = "2030-01-10"
    path = folder / "v3.0-2030-01-15-ror-data.json"
    path.write_text(json.dumps(records))
    return path


def test_dates_of_records_cost_no_index(installation: Installation, tmp_path: Path) -> None:
    engine, settings = installation.engine, installation.settings
    encoder = parts.load_encoder(settings)
    load(engine, sample.REGISTRY, rejects=tmp_path / "rejects.jsonl")
    first = index_release(installation, encoder).manifest
    installation.store.activate(first.version)
    report = load(engine, redated(tmp_path), rejects=tmp_path / "rejects.jsonl")
    assert report.changed == report.total
    second = index_release(installation, encoder).manifest
    assert second.derived_from == first.version
    assert second.statistics == first.statistics


def test_the_search_comes_and_goes_with_the_index(
    installation: Installation, tmp_path: Path
) -> None:
    engine, settings = installation.engine, installation.settings
    encoder = parts.load_encoder(settings)
    load(engine, sample.REGISTRY, rejects=tmp_path / "rejects.jsonl")
    before = index_release(installation, encoder).manifest
    load(engine, redated(tmp_path), rejects=tmp_path / "rejects.jsonl")
    installation.store.activate(index_release(installation, encoder).manifest.version)
    newer, older = (folder_of(settings, release) for release in releases.releases(engine))
    assert newer.is_dir()
    assert older.is_dir()
    assert prune(installation, keep=1) == [before.version]
    assert newer.is_dir()
    assert not older.exists()
