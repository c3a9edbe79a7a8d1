"""Addresses of servers: how a URL is read, and how it is shown. Nothing else does either.

A URL may hold a password and may be written wrongly, and whoever reads it another way takes a part
of the password for a host, a port or a path, and prints it. So there is one reader, which refuses
what is not plain, and one way to show a URL: scheme, host, port and path, no user and no option.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

SECRET_OPTIONS = frozenset({"password", "sslpassword", "oauth_client_secret"})
"""Options after the ``?`` that are secret: those that libpq does not show either."""

MASK = "***"

UNREADABLE = "a URL that cannot be read"

# A host by name or number, an IPv6 address, or a path in percent-encoding; a Unix socket has none.
_HOST = re.compile(r"[\w.%-]*|\[[0-9A-Fa-f:.]+(%\w+)?\]", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_SPACE = re.compile(r"[\s\x00-\x1f]")

# From the colon behind a user to the last @ of the same word; and an option's value.
_PASSWORD = re.compile(
    r"(://[^\s:/@\"'<>]*:)[^\s\"'<>]+(?=@)|\b((?:ssl)?password=|oauth_client_secret=)[^\s&\"'<>]+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Address:
    """A URL in its parts. ``str`` and ``repr`` show nothing that is secret.

    `user`, `password` and `options` are decoded; `host` and `path` stand as they were written.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def place(self) -> str:
        """Host, port and path; a socket's folder, or several hosts, where an option names them."""
        hosts = ",".join(value for name, value in self.options if name == "host")
        port = "" if self.port is None else f":{self.port}"
        return f"{self.host or hosts or 'the local socket'}{port}{self.path}"

    def __str__(self) -> str:
        place = self.place if self.host else self.path
        return f"{self.scheme}://{place}"

    @property
    def secrets(self) -> frozenset[str]:
        """The password, and options of `SECRET_OPTIONS`."""
        found = {value for name, value in self.options if name in SECRET_OPTIONS}
        return frozenset(found | {self.password or ""}) - {""}

    def written(self) -> str:
        """The URL again, password included: for whoever connects, not for whoever reads."""
        user = "" if self.user is None else quote(self.user, safe="")
        password = "" if self.password is None else ":" + quote(self.password, safe="")
        at = "@" if self.user is not None or self.password is not None else ""
        port = "" if self.port is None else f":{self.port}"
        options = f"?{urlencode(self.options, quote_via=quote)}" if self.options else ""
        return f"{self.scheme}://{user}{password}{at}{self.host}{port}{self.path}{options}"


def read(url: str) -> Address:
    """Take a URL apart, if all readers of a URL find its password in the same place.

    A password with any of ``@ : / ? # [ ]`` or white space in it must be percent-encoded.

    Raises:
        ValueError: it is not plain; repeats nothing of it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # What it says may be a part of the password.
        raise ValueError(UNREADABLE) from None
    user, at, place = parts.netloc.rpartition("@")
    host = place.rpartition(":")[0] if ":" in place and not place.endswith("]") else place
    if not (
        _SCHEME.fullmatch(parts.scheme)
        and url[len(parts.scheme) :].startswith("://")
        and url.count("@") == (1 if at else 0)
        and user.count(":") <= 1
        and _HOST.fullmatch(host)
        and not _SPACE.search(url)
        and not parts.fragment
    ):
        raise ValueError(UNREADABLE)
    name, colon, password = user.partition(":")
    return Address(
        scheme=parts.scheme,
        host=host,
        port=port,
        path=parts.path,
        user=unquote(name) if at else None,
        password=unquote(password) if colon else None,
        options=tuple(parse_qsl(parts.query, keep_blank_values=True)),
    )


def read_all(urls: str) -> tuple[Address, ...]:
    """As `read`, for a URL or several with semicolons between them, as brokers may be named."""
    try:
        return (read(urls),)
    except ValueError:
        return tuple(read(url) for url in urls.split(";"))


def shown(urls: str) -> str:
    """A URL, or several, for people: scheme, host, port and path."""
    try:
        return "; ".join(map(str, read_all(urls)))
    except ValueError:
        return UNREADABLE


def secrets(urls: str) -> frozenset[str]:
    """What of a URL must be shown nowhere, decoded and as it was written."""
    try:
        found = {secret for address in read_all(urls) for secret in address.secrets}
    except ValueError:
        # Nobody knows where its password ends.
        user = urls.partition("://")[2].rpartition("@")[0]
        return frozenset({urls, user, user.partition(":")[2]}) - {""}
    return frozenset(found | {quote(secret, safe=safe) for secret in found for safe in ("", "/")})


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """A text without `secrets`, and without what looks like the password of a URL."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}{MASK}", text)
