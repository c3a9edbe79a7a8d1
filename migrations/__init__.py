"""Alembic migrations of the database; run them with ``resolver migrate``.

Its name is `resolver.migrations`.
"""

if __name__ != "resolver.migrations":
    raise ImportError(f"import resolver.migrations, not {__name__}")
