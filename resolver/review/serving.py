"""`resolver review`: uvicorn with the pages, in one process: the models are in it once, and people
are few."""

from __future__ import annotations

import ipaddress

from resolver.doors.serving import listening, serve_app
from resolver.errors import SettingsError
from resolver.review.app import create_app
from resolver.settings import Settings


def run(settings: Settings, *, host: str, port: int, author: str | None, own_name: str) -> int:
    """Serve until it is stopped; returns the exit code.

    Decisions are saved under the name that a proxy sends, else under `author`, else under
    `own_name`. The last is for this machine alone.

    Raises:
        SettingsError: others could decide under one name without anybody having said so; the
            address cannot be listened on; or a setting cannot be used.
        ResolverError: the version in use cannot be opened.
    """
    named = settings.review_user_header or author
    if not named and not _is_local(host):
        raise SettingsError(
            f"whoever reaches {host} would decide as {own_name!r}",
            remedy="set RESOLVER_REVIEW_USER_HEADER to the header in which your proxy names the "
            "user, or name one author for all with --author (docs/review.md)",
        )
    app = create_app(settings, author=author or own_name)
    with listening(host, port) as listener:
        # The peer of a connection must be the proxy itself: no header says whom a request is from.
        return serve_app(app, settings, listener)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
