"""What the name of a release's file tells: ``v2.10-2026-10-28-ror-data.zip``."""

from __future__ import annotations

import re
from datetime import date

_VERSION = re.compile(r"(?<![A-Za-z0-9])(?<!schema_)v(\d{1,6}(?:\.\d{1,6})+)")
_DATE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")

MARK = "ror-data"
"""What the names of all of ROR's release files hold."""


def version_in(name: str) -> str | None:
    """ "v2.10"; None where the name tells no version."""
    found = _VERSION.search(name)
    return found[0] if found else None


def numbers_in(name: str) -> tuple[int, ...]:
    """The version as numbers, in whose order v2.10 comes after v2.9; empty where there is none."""
    found = _VERSION.search(name)
    return tuple(map(int, found[1].split("."))) if found else ()


def date_in(name: str) -> date | None:
    """The day of publication; None where the name tells none."""
    if found := _DATE.search(name):
        try:
            return date.fromisoformat(found[0])
        except ValueError:
            return None
    return None
