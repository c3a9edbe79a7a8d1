"""Which schema the database has, and which one this program needs.

The revision of the database is in the table of Alembic, those of the program in the names of the
migration files (``0001_….py``). Both are read here without Alembic: every command asks, and to load
it takes a quarter of a second.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

from sqlalchemy import Engine, text

from resolver.database.connection import translate
from resolver.errors import DatabaseOutdated

MIGRATIONS: Traversable = resources.files("resolver.migrations")
"""Where the migrations are."""


def head() -> str:
    """The revision that this version of the code needs."""
    return max(_revisions())


def knows(revision: str) -> bool:
    """Whether this version of the code has such a revision; it has none of later versions."""
    return revision in _revisions()


def current(engine: Engine) -> str | None:
    """The revision that the database has; None for an empty one.

    Raises:
        DatabaseUnavailable: no answer.
    """
    with translate(engine), engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
            return None
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if revision is None else str(revision)


def require_schema(engine: Engine) -> None:
    """Go on only with the schema that this version of the code needs.

    Raises:
        DatabaseOutdated: another one is there, or none.
        DatabaseUnavailable: no answer.
    """
    revision, needed = current(engine), head()
    if revision != needed:
        raise DatabaseOutdated(
            f"the database has schema {revision or 'none'}, this version needs {needed}",
            remedy="run: resolver migrate"
            if revision is None or knows(revision)
            else "install the version that the database was migrated with, or a later one",
        )


def _revisions() -> set[str]:
    files = (MIGRATIONS / "versions").iterdir()
    return {
        file.name.partition("_")[0]
        for file in files
        if file.name[0].isdigit() and file.name.endswith(".py")
    }
