"""How Postgres is reached, and what its failures become."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import orjson
import psycopg
from psycopg import errors as postgres_errors
from psycopg import pq
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy import exc as sqlalchemy_errors

from resolver.errors import (
    DatabaseForbidden,
    DatabaseOutdated,
    DatabaseUnavailable,
    SettingsError,
)
from resolver.network import addresses
from resolver.network.addresses import SECRET_OPTIONS, Address

log = logging.getLogger(__name__)

APPLICATION_NAME = "affiliation-resolver"
"""What ``pg_stat_activity`` shows."""

CONNECT_SECONDS = 10
"""How long to wait for the server to answer; libpq's own default is for ever."""

SERVERS = (15, 18)
"""Oldest and newest major version of Postgres that is supported: the oldest that its makers still
mend, and the newest that there is."""

_POSTGRES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})

_OPTIONS = frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())
"""What may follow the ``?``: libpq's own parameters."""

_UNREADABLE = (
    "write it as postgresql://user:password@host:5432/database, with what is no letter and no "
    "digit in percent-encoding"
)


def connect(url: str, *, connect_seconds: int | None = None) -> Engine:
    """An engine for a libpq or SQLAlchemy URL; nothing is sent yet.

    `connect_seconds` is how long to wait for the server's answer; None: what the URL says, or
    `CONNECT_SECONDS`. A connection that went stale in the pool is replaced before it is used.

    The engine's first connection raises `DatabaseOutdated` where the server is older than
    `SERVERS`, and warns of a newer one.

    Raises:
        SettingsError: not a URL of Postgres.
    """
    try:
        address = addresses.read(url)
    except ValueError:
        raise SettingsError("the database URL cannot be read", remedy=_UNREADABLE) from None
    if address.scheme not in _POSTGRES:
        raise SettingsError(
            f"the database URL is for {address.scheme!r}, not for Postgres", remedy=_UNREADABLE
        )
    if not _OPTIONS.issuperset(name for name, _ in address.options):
        # Without its name: in a password option, what follows an & is a part of the password.
        raise SettingsError(
            "the database URL has an option that Postgres does not know", remedy=_UNREADABLE
        )
    # An engine shows its URL, but for the password.
    secret = {name: value for name, value in address.options if name in SECRET_OPTIONS}
    target = _target(address, password=secret.pop("password", address.password))
    options: dict[str, Any] = dict(secret)
    if "application_name" not in target.query:
        options["application_name"] = APPLICATION_NAME
    if connect_seconds is not None or "connect_timeout" not in target.query:
        options["connect_timeout"] = connect_seconds or CONNECT_SECONDS
    engine = create_engine(
        target, pool_pre_ping=True, connect_args=options, json_deserializer=orjson.loads
    )
    event.listen(engine, "connect", _check_server)
    return engine


def _target(address: Address, *, password: str | None) -> URL:
    """The address in SQLAlchemy's form, without its secret options."""
    options: dict[str, list[str]] = defaultdict(list)
    for name, value in address.options:
        if name not in SECRET_OPTIONS:
            options[name].append(value)
    bracketed = address.host.startswith("[")
    return URL.create(
        "postgresql+psycopg",
        username=address.user,
        password=password,
        host=(address.host[1:-1] if bracketed else unquote(address.host)) or None,
        port=address.port,
        database=unquote(address.path.removeprefix("/")) or None,
        query={name: values if len(values) > 1 else values[0] for name, values in options.items()},
    )


def _check_server(connection: psycopg.Connection[Any], _record: object) -> None:
    """Refuse a server that is too old; it is known from the greeting, so nothing is asked."""
    oldest, newest = SERVERS
    major = connection.info.server_version // 10_000
    if major < oldest:
        connection.close()
        raise DatabaseOutdated(
            f"the server is Postgres {major}, and versions {oldest} to {newest} are supported",
            remedy=f"upgrade the server to Postgres {oldest} or newer",
        )
    if major > newest and major not in _warned_of:
        _warned_of.add(major)
        log.warning(
            "the server is Postgres %d, which nobody has tried: %d to %d are supported",
            major,
            oldest,
            newest,
        )


_warned_of: set[int] = set()
"""Servers' versions that this process has warned of."""


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
                f"Postgres at {place(engine)} takes no writes", remedy=_READ_ONLY
            )
        missing = connection.execute(text(_MISSING_GRANTS)).all()
    if missing:
        shown = "; ".join(f"{privileges} on {table}" for table, privileges in missing[:5])
        more = f" and {len(missing) - 5} tables more" if len(missing) > 5 else ""
        raise DatabaseForbidden(f"the database user may not {shown}{more}", remedy=_GRANT)


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
            return DatabaseOutdated(_first_line(engine, error), remedy="run: resolver migrate")
        case postgres_errors.InsufficientPrivilege():
            return DatabaseForbidden(
                f"Postgres at {place(engine)}: {_first_line(engine, error)}", remedy=_GRANT
            )
        case postgres_errors.ReadOnlySqlTransaction():
            # The server may have been the primary until now: new connections find the present one.
            engine.dispose()
            return DatabaseUnavailable(
                f"Postgres at {place(engine)} takes no writes: {_first_line(engine, error)}",
                remedy=_READ_ONLY,
            )
        # The latter: ended by the server for its time, and damaged data.
        case psycopg.OperationalError() | psycopg.InterfaceError() | psycopg.InternalError():
            return DatabaseUnavailable(
                f"Postgres at {place(engine)}: {_first_line(engine, error)}", remedy=_remedy(error)
            )
        case _:
            return None


def _remedy(error: psycopg.Error) -> str:
    """By SQLSTATE: its first two characters are the class (Postgres' documentation, appendix A)."""
    match error.sqlstate:
        case None if "FATAL" in str(error):
            return (
                "the server refuses it and says why: user, password and database are those of "
                "RESOLVER_DATABASE_URL, the most connections its own max_connections"
            )
        case None:
            # No answer from a server.
            return "check RESOLVER_DATABASE_URL and that the server runs"
        case "55P03" | "57014":
            return "another process holds a lock or the server is overloaded; try again later"
        case state if state.startswith("40"):
            return "nothing was stored; run it again"
        case "53100":
            return "the server's disk is full: make room there, then run it again"
        case "53200":
            return "the server has no memory left; see its log, and work_mem and max_connections"
        case "53300":
            return "run fewer processes, or raise the server's max_connections"
        case state if state.startswith(("53", "54")):
            return "a limit of the server is reached; see its log, then run it again"
        case state if state.startswith("57P"):
            return "the server stops or starts; try again later"
        case state if state.startswith(("58", "XX", "F0")):
            return "the server has a fault of its own, such as a disk that fails; see its log"
        case state if state.startswith(("28", "3D")):
            return "check user, password and database in RESOLVER_DATABASE_URL"
        case _:
            return "see the server's log"


def _first_line(engine: Engine, error: psycopg.Error) -> str:
    line = str(error).strip().split("\n", maxsplit=1)[0] or type(error).__name__
    return addresses.masked(line, {str(engine.url.password)} if engine.url.password else ())


def place(engine: Engine) -> str:
    """Host, port and database of an engine, for people."""
    url = engine.url
    hosts = url.query.get("host", ())
    return Address(
        scheme=url.drivername,
        host=f"[{url.host}]" if url.host and ":" in url.host else url.host or "",
        port=url.port,
        path=f"/{url.database or ''}",
        options=tuple(("host", one) for one in ((hosts,) if isinstance(hosts, str) else hosts)),
    ).place
