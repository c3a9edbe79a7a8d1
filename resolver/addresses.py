"""URLs that hold a password, and may be written wrongly."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# A host by name or number, an IPv6 address, or a path in percent-encoding; a Unix socket has none.
_HOST = re.compile(r"[\w.%-]*|\[[0-9A-Fa-f:.]+(%\w+)?\]", re.ASCII)
_SPACE = re.compile(r"[\s\x00-\x1f]")


def is_plain(url: str) -> bool:
    """Whether all readers of a URL find its password in the same place.

    Where they do not, one of them takes a part of it for a host, a port or a path, and prints it.
    A password with any of ``@ : / ? # [ ]`` or white space in it must be percent-encoded.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return False
    user, at, place = parts.netloc.rpartition("@")
    host = place if place.endswith("]") else place.rpartition(":")[0] or place
    return (
        url.count("@") == (1 if at else 0)
        and user.count(":") <= 1
        and _HOST.fullmatch(host) is not None
        and not _SPACE.search(url)
    )
