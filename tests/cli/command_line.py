"""``resolver …`` as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
