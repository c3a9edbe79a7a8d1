"""Version and date in the name of a release's file: ``v2.10-2026-10-28-ror-data.zip``."""

from __future__ import annotations

import re
from datetime import date

_VERSION = re.compile(r"(?<![A-Za-z0-9])(?<!schema_)v(\d{1,6}(?:\.\d{1,6})+)")
_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")

MARK = "ror-data"
"""What the names of all of ROR's release files hold."""


def version_in(name: str) -> str | None:
    """The version as "v2.10"; None where the name has none."""
    match = _VERSION.search(name)
    return match[0] if match else None


def numbers_in(name: str) -> tuple[int, ...]:
    """The version as numbers, so that v2.10 sorts after v2.9; empty where the name has none."""
    match = _VERSION.search(name)
    return tuple(map(int, match[1].split("."))) if match else ()


def date_in(name: str) -> date | None:
    """The day of publication; None where the name has none."""
    if match := _DATE.search(name):
        try:
            return date.fromisoformat(match[0])
        except ValueError:
            return None
    return None
