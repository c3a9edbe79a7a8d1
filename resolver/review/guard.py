"""Who may ask what: the person behind a request, requests that other sites make a browser send, and
the headers of every answer.

The page has no passwords. On one's own machine all requests are those of one person; behind a proxy
that knows its users, the proxy names the person in a header. That header is taken from the
addresses of the proxy alone: from any other it is worth nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resolver.doors.limits import OPEN
from resolver.errors import SettingsError
from resolver.matching.override import MAX_AUTHOR, remark

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing from elsewhere, and no code or style within a page: what a string or a record of the
registry says can never run."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Names that nobody else can give to a machine of theirs."""

STATIC = "/static/"

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class People:
    """How the person behind a request is known: `header`, sent by one of the `proxies`, or always
    `author`."""

    author: str | None
    header: str | None = None
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, author: str | None, header: str | None, proxies: Collection[str]) -> People:
        """`proxies` are addresses or networks ("172.18.0.0/16").

        Raises:
            SettingsError: one of them is none, or the author's name cannot be stored.
        """
        try:
            networks = tuple(ipaddress.ip_network(proxy) for proxy in sorted(proxies))
        except ValueError as error:
            raise SettingsError(
                f"RESOLVER_REVIEW_PROXIES: {error}",
                remedy="write addresses or networks, with commas between them",
            ) from error
        try:
            author = author and remark("author", author, MAX_AUTHOR)
        except ValueError as error:
            raise SettingsError(str(error), remedy="choose another --author") from error
        return cls(author or None, header, networks)

    def person(self, scope: Scope) -> str | None:
        """Who asks; None where that is not known."""
        if self.header is None:
            return self.author
        if not self._is_proxy(scope):
            return None
        names = [
            value for name, value in scope["headers"] if name.decode("latin-1").lower() == self.key
        ]
        # Of two headers nobody knows which one is the proxy's.
        if len(names) != 1:
            return None
        try:
            return remark("author", _text(names[0]), MAX_AUTHOR) or None
        except ValueError:
            return None

    @property
    def key(self) -> str:
        return (self.header or "").lower()

    def _is_proxy(self, scope: Scope) -> bool:
        client = scope.get("client")
        try:
            address = ipaddress.ip_address(client[0]) if client else None
        except ValueError:
            return False
        return address is not None and any(address in network for network in self.proxies)


def _text(value: bytes) -> str:
    """A header as proxies write it: UTF-8, or what HTTP says it is."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


class Guard:
    """Wraps the application. `scope["state"]["holder"]` is the person, for pages and the log."""

    def __init__(self, app: ASGIApp, *, people: People, hosts: Collection[str]) -> None:
        self._app = app
        self._people = people
        self._hosts = LOCAL_HOSTS | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        static = scope["path"].startswith(STATIC)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not static or message["status"] >= 400:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        app = refused or self._app
        await app(scope, receive, sending)

    def _refused(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if host_name(headers.get("host", "")) not in self._hosts:
            return PlainTextResponse("this host name is not served here\n", 400)
        if scope["path"] in OPEN:
            return None
        if not same_site(scope["method"], headers):
            return PlainTextResponse("another site sent this request\n", 403)
        person = self._people.person(scope)
        if person is None:
            return PlainTextResponse(
                "the proxy in front of this page did not say who you are\n", 401
            )
        scope.setdefault("state", {})["holder"] = person
        return None


def host_name(host: str) -> str:
    """The name in a Host header, without its port, in lower case."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def same_site(method: str, headers: Headers) -> bool:
    """Whether the page itself sent this request, and not another site through the person's browser.

    Browsers say so in Sec-Fetch-Site; those that do not, in Origin. A link from elsewhere to a page
    is followed, but nothing of the page can be fetched, embedded or changed from there.
    """
    site = headers.get("sec-fetch-site")
    if method in SAFE_METHODS:
        followed = headers.get("sec-fetch-mode") == "navigate" and headers.get(
            "sec-fetch-dest"
        ) in (None, "document")
        return site in (None, "same-origin", "none") or followed
    if site is not None:
        return site in ("same-origin", "none")
    return headers.get("origin", "").partition("://")[2] == headers.get("host")
