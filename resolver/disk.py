"""Room on the disk: what is left, what is needed, and what is said where there is none."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resolver.errors import DiskFull, ResolverError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a write fails with where the disk, or a user's share of it, is full."""

_MESSAGES = tuple(os.strerror(number) for number in FULL)
"""The same in the errors of libraries that have kinds of their own."""


def is_full(error: BaseException) -> bool:
    """Whether a write failed because there was no room."""
    if isinstance(error, OSError):
        return error.errno in FULL
    return any(message in str(error) for message in _MESSAGES)


def free(path: Path) -> int:
    """Bytes that may still be written where `path` is, or is to be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def require(path: Path, needed: int, what: str) -> None:
    """Refuse to begin what would fill the disk.

    Raises:
        DiskFull: fewer than `needed` bytes are free.
    """
    left = free(path)
    if left < needed:
        raise DiskFull(
            f"{what} needs {shown(needed)} in {path}, where {shown(left)} are free",
            remedy="free space on that disk, or use a folder on another one",
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name `path` where what is written to it finds the disk full.

    Raises:
        DiskFull: there was no room.
    """
    try:
        yield
    except ResolverError:
        raise
    except Exception as error:
        if not is_full(error):
            raise
        raise DiskFull(
            f"the disk is full: {path} cannot be written, {shown(free(path))} are free there",
            remedy="free space on that disk, or use a folder on another one",
        ) from error


def shown(size: int) -> str:
    """ "1.2 GB"."""
    for unit, bytes_of in (("GB", 10**9), ("MB", 10**6)):
        if size >= bytes_of:
            return f"{size / bytes_of:,.1f} {unit}"
    return f"{size / 1000:,.1f} kB"
