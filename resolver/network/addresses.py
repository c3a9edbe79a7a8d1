"""Addresses of servers: the only place that reads URLs and shows them.

A URL may hold a password and may be written wrongly; a second reader could take a part of the
password for a host, a port or a path, and print it. So there is a single reader, which refuses URLs
that can be read in two ways, and a single way to show a URL: scheme, host, port and path, without
user and options.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

SECRET_OPTIONS = frozenset({"password", "sslpassword", "oauth_client_secret"})
"""Options after the ``?`` that are secret, as they are for libpq."""

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
    """The parts of a URL. ``str`` and ``repr`` show nothing that is secret.

    `user`, `password` and `options` are decoded; `host` and `path` are as written.
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
        """Host, port and path; the hosts, or the folder of a socket, may be those of an option."""
        hosts = ",".join(value for name, value in self.options if name == "host")
        port = "" if self.port is None else f":{self.port}"
        return f"{self.host or hosts or 'the local socket'}{port}{self.path}"

    def __str__(self) -> str:
        place = self.place if self.host else self.path
        return f"{self.scheme}://{place}"

    @property
    def secrets(self) -> frozenset[str]:
        """The password, and options of `SECRET_OPTIONS`."""
        options = {value for name, value in self.options if name in SECRET_OPTIONS}
        return frozenset(options | {self.password or ""}) - {""}

    def written(self) -> str:
        """The URL with its password: to connect with, not to be shown."""
        user = "" if self.user is None else quote(self.user, safe="")
        password = "" if self.password is None else ":" + quote(self.password, safe="")
        at = "@" if self.user is not None or self.password is not None else ""
        port = "" if self.port is None else f":{self.port}"
        options = f"?{urlencode(self.options, quote_via=quote)}" if self.options else ""
        return f"{self.scheme}://{user}{password}{at}{self.host}{port}{self.path}{options}"


def read(url: str) -> Address:
    """The parts of a URL, if all readers of URLs would find the password in the same place.

    A password with any of ``@ : / ? # [ ]`` or white space in it must be percent-encoded.

    Raises:
        ValueError: the URL could be read in several ways; the error quotes nothing of it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # The text of the first error may hold a part of the password.
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
    """As `read`, for a URL or several ones with semicolons between them, as brokers may have."""
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
    """The parts of a URL that must never be shown, decoded and as written."""
    try:
        decoded = {secret for address in read_all(urls) for secret in address.secrets}
    except ValueError:
        # It is not clear where its password ends.
        user = urls.partition("://")[2].rpartition("@")[0]
        return frozenset({urls, user, user.partition(":")[2]}) - {""}
    return frozenset(
        decoded | {quote(secret, safe=safe) for secret in decoded for safe in ("", "/")}
    )


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """A text with `secrets`, and anything that looks like the password of a URL, masked."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _PASSWORD.sub(lambda match: f"{match[1] or match[2]}{MASK}", text)
