"""How Postgres is reached, and what its failures become."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg
from psycopg import errors as postgres_errors
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy import exc as sqlalchemy_errors

from resolver.addresses import is_plain
from resolver.errors import (
    DatabaseForbidden,
    DatabaseOutdated,
    DatabaseUnavailable,
    SettingsError,
)

APPLICATION_NAME = "affiliation-resolver"
"""What ``pg_stat_activity`` shows."""

CONNECT_SECONDS = 10
"""How long to wait for the server to answer; libpq's own default is for ever."""

_POSTGRES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})

_PASSWORDS = ("password", "sslpassword")
"""Parameters of a URL that are secret."""

_PASSWORD = re.compile(r"(?<=://)([^\s/@:]*):[^\s@]*@|password=\S+", re.IGNORECASE)


def connect(url: str) -> Engine:
    """An engine for a libpq or SQLAlchemy URL; nothing is sent yet.

    A connection that went stale in the pool is replaced before it is used.

    Raises:
        SettingsError: not a URL of Postgres.
    """
    remedy = (
        "write it as postgresql://user:password@host:5432/database, with what is no letter and no "
        "digit in percent-encoding"
    )
    if not is_plain(url):
        raise SettingsError("the database URL cannot be read", remedy=remedy)
    try:
        parsed = make_url(url)
    except (sqlalchemy_errors.ArgumentError, ValueError):
        # The message of either may quote the URL, and a URL may hold a password.
        raise SettingsError("the database URL cannot be read", remedy=remedy) from None
    if parsed.drivername not in _POSTGRES:
        raise SettingsError(
            f"the database URL is for {parsed.drivername!r}, not for Postgres", remedy=remedy
        )
    options: dict[str, Any] = {
        name: value
        for name, value in (
            ("application_name", APPLICATION_NAME),
            ("connect_timeout", CONNECT_SECONDS),
        )
        if name not in parsed.query
    }
    # An engine shows its URL, but for the password before the host.
    options |= {name: parsed.query[name] for name in _PASSWORDS if name in parsed.query}
    return create_engine(
        parsed.set(drivername="postgresql+psycopg").difference_update_query(_PASSWORDS),
        pool_pre_ping=True,
        connect_args=options,
        json_deserializer=orjson.loads,
    )


@contextmanager
def translate(engine: Engine) -> Iterator[None]:
    """Turn what the driver raises inside the block into errors that carry a remedy.

    A server that cannot be reached, stops, takes no writes, or gives up on a lock or a full disk is
    `DatabaseUnavailable`; a missing grant is `DatabaseForbidden`; a table or column that is not
    there is `DatabaseOutdated`. What is left is about values and about SQL itself: a mistake of
    the program, which passes through.
    """
    try:
        yield
    except sqlalchemy_errors.DBAPIError as error:
        driver_error = error.orig if isinstance(error.orig, psycopg.Error) else None
        raise _translated(engine, driver_error) or error from error
    except psycopg.Error as error:
        raise _translated(engine, error) or error from error
    except sqlalchemy_errors.TimeoutError as error:
        raise DatabaseUnavailable(
            "every database connection of this process is in use",
            remedy="run fewer threads in one process",
        ) from error


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed when the block ends, rolled back when it raises."""
    with translate(engine), engine.begin() as connection:
        yield connection


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection below, for COPY; in the same transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def require_schema(engine: Engine) -> None:
    """Go on only with the schema that this version of the code needs.

    Raises:
        DatabaseOutdated: another one is there, or none.
        DatabaseUnavailable: no answer.
    """
    # Alembic is loaded here alone: `migrating` is above this module.
    from resolver.database import migrating

    found, needed = migrating.current(engine), migrating.head()
    if found != needed:
        raise DatabaseOutdated(
            f"the database has schema {found or 'none'}, this version needs {needed}",
            remedy="run: resolver migrate"
            if found is None or migrating.knows(found)
            else "install the version that the database was migrated with, or a later one",
        )


def require_writable(engine: Engine) -> None:
    """Go on only where this user may write, as `resolver_writer` may.

    Raises:
        DatabaseForbidden: a grant is missing; names it.
        DatabaseUnavailable: no answer, or a server that takes no writes, as a standby.
    """
    with transaction(engine) as connection:
        read_only = connection.execute(text("SELECT current_setting('transaction_read_only')"))
        if read_only.scalar_one() == "on":
            raise DatabaseUnavailable(
                f"Postgres at {_address(engine)} takes no writes", remedy=_READ_ONLY
            )
        missing = connection.execute(text(_MISSING_GRANTS)).all()
    if missing:
        told = "; ".join(f"{privileges} on {table}" for table, privileges in missing[:5])
        more = f" and {len(missing) - 5} tables more" if len(missing) > 5 else ""
        raise DatabaseForbidden(f"the database user may not {told}{more}", remedy=_GRANT)


_MISSING_GRANTS = """
    SELECT c.relname, string_agg(p, ', ' ORDER BY p)
    FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p
    WHERE c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
        AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'link'::regclass)
        AND c.relowner = (SELECT relowner FROM pg_class WHERE oid = 'link'::regclass)
        AND NOT has_table_privilege(c.oid, p)
    GROUP BY c.relname ORDER BY c.relname
"""
"""Of our tables: others in the schema are another owner's."""

_READ_ONLY = (
    "name the server that takes writes in RESOLVER_DATABASE_URL (of several hosts, it is found by "
    "target_session_attrs=read-write), or switch off default_transaction_read_only"
)

_GRANT = (
    "run resolver migrate as the owner of the tables; for all else have the owner run: GRANT "
    "resolver_writer TO the user of RESOLVER_DATABASE_URL (docs/security.md)"
)


def _translated(engine: Engine, error: BaseException | None) -> Exception | None:
    match error:
        case (
            postgres_errors.UndefinedTable()
            | postgres_errors.UndefinedColumn()
            | postgres_errors.InvalidSchemaName()
        ):
            return DatabaseOutdated(_first_line(error), remedy="run: resolver migrate")
        case postgres_errors.InsufficientPrivilege():
            return DatabaseForbidden(
                f"Postgres at {_address(engine)}: {_first_line(error)}", remedy=_GRANT
            )
        case postgres_errors.ReadOnlySqlTransaction():
            # A server that was the primary may be alive still: whoever connects anew is led on.
            engine.dispose()
            return DatabaseUnavailable(
                f"Postgres at {_address(engine)} takes no writes: {_first_line(error)}",
                remedy=_READ_ONLY,
            )
        # The latter: ended by the server for its time, and damaged data.
        case psycopg.OperationalError() | psycopg.InterfaceError() | psycopg.InternalError():
            return DatabaseUnavailable(
                f"Postgres at {_address(engine)}: {_first_line(error)}", remedy=_remedy(error)
            )
        case _:
            return None


def _remedy(error: psycopg.Error) -> str:
    match error:
        case postgres_errors.LockNotAvailable() | postgres_errors.QueryCanceled():
            return "another process holds a lock or the server is overloaded; try again later"
        case postgres_errors.DeadlockDetected() | postgres_errors.SerializationFailure():
            return "nothing was stored; run it again"
        case postgres_errors.InsufficientResources():
            return "the server has no room; see its log"
        case psycopg.InternalError():
            return "see the server's log"
        case _:
            return "check RESOLVER_DATABASE_URL and that the server runs"


def _first_line(error: psycopg.Error) -> str:
    line = str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
    return _PASSWORD.sub("***", line)


def _address(engine: Engine) -> str:
    url = engine.url
    host = url.host or url.query.get("host") or "the local socket"
    port = f":{url.port}" if url.port else ""
    return f"{host}{port}/{url.database or ''}"
