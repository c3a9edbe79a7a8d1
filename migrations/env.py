"""How migrations run: over the connection that `resolver.database.schema` hands in,
or over RESOLVER_DATABASE_URL where the `alembic` command is used."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from resolver.database.connection import connect
from resolver.database.tables import metadata
from resolver.errors import SettingsError
from resolver.settings import load_settings

LOCK_TIMEOUT = "5s"
"""A migration that waits for a lock makes everyone behind it wait too: better to fail and retry."""

STATEMENT_TIMEOUT = "15min"


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
    if not context.config.attributes.get("trial"):
        # A trial is all in the transaction of the caller, who takes it back.
        connection.commit()
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    connection = context.config.attributes.get("connection")
    if isinstance(connection, Connection):
        _run(connection)
        return
    url = load_settings().database_url
    if url is None:
        raise SettingsError(
            "no database is set", remedy="set RESOLVER_DATABASE_URL or run: resolver migrate"
        )
    engine = connect(url.get_secret_value())
    with engine.connect() as connection:
        _run(connection)
    engine.dispose()


main()
