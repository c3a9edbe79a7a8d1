"""An installation on the sample registry, made once by the commands that a user would run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resolver import sample

Run = Callable[..., subprocess.CompletedProcess[str]]


def run_in(home: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """``resolver …`` as a process of its own, with nothing but `home` set."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RESOLVER_")}
    environment |= {"RESOLVER_HOME": str(home), "COLUMNS": "160"}
    environment |= options.pop("env", {})  # type: ignore[arg-type, operator]
    return subprocess.run(
        [sys.executable, "-m", "resolver.cli", *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
        **options,  # type: ignore[call-overload]
    )


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
