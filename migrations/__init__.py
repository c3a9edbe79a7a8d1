"""Alembic migrations of the database; run them with ``resolver migrate``."""
