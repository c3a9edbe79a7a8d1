"""No code from a model repository is ever run: nothing in the project so much as offers it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.paths import ROOT

SWITCH = "trust_remote_code"


def test_the_switch_is_nowhere() -> None:
    """In all files that are the project's, tracked or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    assert len(names) > 100
    # A tracked file may be gone from the folder, and not yet from the index.
    files = [ROOT / name for name in names if (ROOT / name).is_file()]
    holding = [path for path in files if SWITCH.encode() in path.read_bytes()]
    assert holding == [Path(__file__).resolve()]
