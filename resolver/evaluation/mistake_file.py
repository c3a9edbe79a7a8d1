"""The file of mistakes: one line for each, as JSON lines or CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

import orjson

from resolver.errors import SettingsError
from resolver.evaluation.mistake import Mistake, Named

SUFFIXES = (".jsonl", ".csv")

COLUMNS = ("set", *(field.name for field in fields(Mistake)))
"""The same in both forms. In CSV an organisation is "id name (probability)", and a list of them is
one cell, with " | " between them."""


def require_writable(path: Path) -> None:
    """Refuse a path that `write` cannot write to, before minutes of work are lost.

    Raises:
        SettingsError: another suffix, or no such folder.
    """
    if path.suffix not in SUFFIXES:
        raise SettingsError(
            f"{path}: mistakes are written as {' or '.join(SUFFIXES)}",
            remedy="give the file one of these suffixes",
        )
    if not path.parent.is_dir():
        raise SettingsError(f"{path.parent} is no folder", remedy="make it, or name another one")


def write(path: Path, mistakes: Iterable[tuple[str, Mistake]]) -> None:
    """Write (set, mistake) pairs in the form of the path's suffix."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for name, mistake in mistakes:
                values = (getattr(mistake, column) for column in COLUMNS[1:])
                writer.writerow([name, *map(_cell, values)])
        return
    with path.open("wb") as lines:
        for name, mistake in mistakes:
            # JSON has no lone surrogates.
            text = mistake.affiliation.encode("utf-8", "replace").decode()
            row = {"set": name, **asdict(mistake), "affiliation": text}
            lines.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        return " | ".join(map(_named, value))
    if isinstance(value, Named):
        return _named(value)
    return f"{value:.4f}" if isinstance(value, float) else value


def _named(organisation: Named) -> str:
    probability = organisation.probability
    shown = "" if probability is None else f" ({probability:.3f})"
    return f"{organisation.ror_id} {organisation.name or '?'}{shown}"
