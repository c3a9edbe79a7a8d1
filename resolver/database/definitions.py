"""The SQL of the views and functions, one file each: what analysts read, and who may.

A file has the definition and the comments. Migrations run the files, and a test compares them with
what a migrated database has.
"""

from __future__ import annotations

from importlib import resources

VIEWS = (
    "organisations",
    "resolved_links",
    "unmatched",
    "pending",
    "link_history",
    "outdated",
    "override_problems",
    "drift",
    "organisation_parents",
    "organisation_topmost_parents",
    "organisation_identifiers",
    "organisation_places",
    "linked_since",
    "never_linked",
)
"""In the order in which they can be created: each after those that it reads."""

FUNCTIONS = ("resolved_links_at", "resolver_grants")
"""To be created after the views that they read."""


def view(name: str) -> str:
    """The statements that create this view, of `VIEWS`."""
    return _read("views", name)


def function(name: str) -> str:
    """The statements that create this function, of `FUNCTIONS`."""
    return _read("functions", name)


def _read(folder: str, name: str) -> str:
    file = resources.files("resolver.database") / folder / f"{name}.sql"
    return file.read_text(encoding="utf-8")
