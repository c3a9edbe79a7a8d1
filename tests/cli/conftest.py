"""An installation on the sample registry, made once by the commands that a user would run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from command_line import Run, run_in

from resolver import sample


@pytest.fixture(scope="session")
def sample_home(services_home: Path) -> Path:
    """Migrated, loaded and indexed; on embedded services of its own."""
    home = services_home / "cli"
    home.mkdir()
    for command in (
        ("migrate",),
        ("registry", "load", str(sample.REGISTRY)),
        ("index", "build"),
    ):
        done = run_in(home, *command)
        assert done.returncode == 0, done.stderr
    return home


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
