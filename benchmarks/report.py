"""What a benchmark prints and keeps: Markdown tables, and the same figures as JSON with the
machine, the versions and the settings."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resolver.hardware import hardware, versions
from resolver.settings import load_settings

PACKAGES = (
    "affiliation-resolver",
    "onnxruntime",
    "qdrant-edge-py",
    "numpy",
    "torch",
    "transformers",
    "sentence-transformers",
    "infinity-emb",
    "flashrank",
    "celery",
    "sqlalchemy",
    "psycopg",
)
"""Those of them that are installed are named in a report."""


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with what all benchmarks take; `description` is the module's docstring."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    return parser


def header(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures were taken on, with and when."""
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            **asdict(hardware(load_settings().threads)),
            "system": f"{platform.system()} {platform.machine()}",
            # Whoever shares the cores is in the figures, too.
            "load_average": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
        "settings": {name: _plain(value) for name, value in sorted(vars(options).items())},
    }


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown; the first column is text, the others are figures."""
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def finish(figures: Mapping[str, Any], text: str, path: Path | None) -> None:
    """Print the tables under the machine and the versions; write the JSON where asked to."""
    machine, versions = figures["machine"], figures["versions"]
    print(
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"load {machine['load_average']:.1f}; "
        + ", ".join(f"{name} {value}" for name, value in versions.items())
    )
    print(f"\n{text}")
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


def folder_bytes(folder: Path) -> int:
    """What the files of a folder take on the disk; sparse files count by what is written."""
    return sum(
        file.stat().st_blocks * 512
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
    )


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def significant(value: float) -> str:
    """Three digits are all that a measurement on a shared machine has."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
