"""An installation on the sample registry, made once by the commands that a user would run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import Run, run_in

from resolver import sample
from resolver.answering.chunk import resolve_chunk
from resolver.service import embedded
from resolver.service.installation import Installation
from resolver.service.service import open_service
from resolver.settings import Settings


@pytest.fixture(scope="session")
def sample_home(services_home: Path) -> Iterator[Path]:
    """Migrated, loaded and indexed; on embedded services of its own.

    Its Postgres stays up: each command would start and stop it. That commands do so is tested
    by those that run where nothing was set up, and by test_embedded.
    """
    home = services_home / "cli"
    with embedded.postgres(home):
        _set_up(home)
        yield home


@pytest.fixture(scope="session")
def answered_home(services_home: Path) -> Iterator[Path]:
    """Another one, where the sample's affiliations have been resolved."""
    home = services_home / "answered"
    with embedded.postgres(home):
        _set_up(home)
        with (
            Installation(Settings(home=home)) as installation,
            open_service(installation) as opened,
        ):
            lines = sample.AFFILIATIONS.read_text().splitlines()
            report = resolve_chunk(
                opened.engine, opened.matcher, opened.version.id, list(map(json.loads, lines))
            )
            assert report.linked > 100
        yield home


def _set_up(home: Path) -> None:
    home.mkdir(exist_ok=True)
    for command in (
        ("migrate",),
        ("registry", "load", str(sample.REGISTRY)),
        ("index", "build"),
    ):
        done = run_in(home, *command)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def resolver(sample_home: Path) -> Run:
    """Run the command line on the sample installation."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return run_in(sample_home, *arguments, **options)

    return run


@pytest.fixture
def resolver_anew(tmp_path: Path) -> Run:
    """Run the command line where nothing was ever set up."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        return run_in(tmp_path, *arguments, **options)

    return run
