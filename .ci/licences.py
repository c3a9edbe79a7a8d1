"""The licence of every package that the project needs, and whether it may be used.

``python .ci/licences.py`` prints package, version and licence, and ends with 1 where a licence is
not in ``licences.toml``. It reads what is installed: the project with all of its extras but those
of `LEFT_OUT`, and what these need in turn.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "affiliation-resolver"
LEFT_OUT = ("fuzz",)
"""Extras of tools that are run on demand, and are part of nothing."""

LISTED = Path(__file__).with_name("licences.toml")


def needed() -> dict[str, Distribution]:
    """What is installed and needed, by canonical name; the project itself left out."""
    project = distribution(PROJECT)
    extras = set(project.metadata.get_all("Provides-Extra", [])) - set(LEFT_OUT)
    found: dict[str, Distribution] = {}
    waiting = [(project, extras)]
    seen: set[tuple[str, str]] = set()
    while waiting:
        package, wanted = waiting.pop()
        for line in package.requires or ():
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in ("", *sorted(wanted))]
            if requirement.marker and not any(map(requirement.marker.evaluate, environments)):
                continue
            name = canonicalize_name(requirement.name)
            fresh = {(name, extra) for extra in ("", *requirement.extras)} - seen
            if not fresh:
                continue
            seen |= fresh
            try:
                found[name] = distribution(requirement.name)
            except PackageNotFoundError:
                continue
            waiting.append((found[name], set(requirement.extras)))
    return dict(sorted(found.items()))


def licence(metadata: Any) -> str:
    """What a package says of itself: an SPDX expression, classifiers, or a line; may be empty."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = metadata.get_all("Classifier") or ()
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    if named:
        return " AND ".join(named)
    return str(metadata.get("License") or "").strip().partition("\n")[0]


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether every licence that an expression names is allowed, its alternatives included."""
    parts = re.split(r" AND | OR | WITH ", expression)
    return all(part in allowed or part.strip("() ") in allowed for part in parts)


def main() -> int:
    listed = tomllib.loads(LISTED.read_text())
    allowed = frozenset(listed["allowed"])
    refused = []
    for name, package in needed().items():
        said = listed["named"].get(name) or licence(package.metadata)
        print(f"{name:32} {package.version:16} {said or '-'}")
        if not is_allowed(said, allowed):
            refused.append(name)
    if refused:
        print(f"\nnot in {LISTED.name}: {', '.join(refused)}", file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
