"""Who may ask what, and what every answer carries."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from support.review_page import USER_HEADER

from resolver.errors import SettingsError
from resolver.review.guard import People, host_name, same_site
from resolver.review.serving import run
from resolver.settings import Settings


def scope(peer: str, *headers: tuple[str, bytes]) -> dict[str, Any]:
    return {
        "client": (peer, 1234),
        "headers": [(name.lower().encode(), value) for name, value in headers],
    }


@pytest.mark.parametrize(
    ("peer", "headers", "person"),
    [
        ("172.18.0.7", [("X-User", b"ada")], "ada"),
        ("172.18.0.7", [("X-User", "Zoë".encode())], "Zoë"),
        ("172.18.0.7", [("X-User", b"Zo\xeb")], "Zoë"),
        ("10.0.0.1", [("X-User", b"ada")], "ada"),
        ("10.0.0.2", [("X-User", b"ada")], None),
        ("172.18.0.7", [], None),
        ("172.18.0.7", [("X-User", b"  ")], None),
        ("172.18.0.7", [("X-User", b"ada"), ("X-User", b"eve")], None),
        ("172.18.0.7", [("X-User", b"a" * 300)], None),
        ("172.18.0.7", [("X-User", b"a\x00b")], None),
        ("not an address", [("X-User", b"ada")], None),
    ],
)
def test_the_person_comes_from_the_proxy_alone(
    peer: str, headers: list[tuple[str, bytes]], person: str | None
) -> None:
    people = People.of("local", "X-User", ["10.0.0.1", "172.18.0.0/16"])
    assert people.person(scope(peer, *headers)) == person


def test_without_a_header_there_is_one_person() -> None:
    people = People.of("  local  user ", None, [])
    assert people.person(scope("10.0.0.9", ("X-User", b"eve"))) == "local user"


@pytest.mark.parametrize("proxies", [["proxy.example"], ["10.0.0.1/8"]])
def test_proxies_that_cannot_be_read(proxies: list[str]) -> None:
    with pytest.raises(SettingsError, match="RESOLVER_REVIEW_PROXIES"):
        People.of(None, "X-User", proxies)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "example.org"])
def test_others_do_not_decide_under_one_name_by_accident(host: str) -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    with pytest.raises(SettingsError, match="would decide as 'me'"):
        run(settings, host=host, port=0, author=None, own_name="me")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8080", "localhost"),
        ("LOCALHOST", "localhost"),
        ("[::1]:8080", "[::1]"),
        ("[::1]", "[::1]"),
        ("a.example:x", "a.example:x"),
        ("", ""),
    ],
)
def test_host_names(host: str, name: str) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize(
    ("method", "headers", "allowed"),
    [
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "none"}, True),
        ("POST", {"sec-fetch-site": "same-site"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "origin": "http://page:1"}, False),
        ("POST", {"origin": "http://page:1"}, True),
        ("POST", {"origin": "http://page:2"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {}, False),
        ("DELETE", {}, False),
        ("GET", {}, True),
        ("GET", {"sec-fetch-site": "same-origin"}, True),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, False),
        (
            "GET",
            {
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "sec-fetch-dest": "document",
            },
            True,
        ),
        (
            "GET",
            {
                "sec-fetch-site": "cross-site",
                "sec-fetch-mode": "navigate",
                "sec-fetch-dest": "iframe",
            },
            False,
        ),
    ],
)
def test_what_other_sites_may_make_a_browser_send(
    method: str, headers: dict[str, str], allowed: bool
) -> None:
    assert same_site(method, Headers({"host": "page:1", **headers})) == allowed


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 401),
        ("GET", "/", {USER_HEADER: "Ada"}, 200),
        ("GET", "/", {USER_HEADER: "Ada", "Host": "evil.example"}, 400),
        ("GET", "/", {USER_HEADER: "Ada", "Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", "/undo/1", {USER_HEADER: "Ada"}, 403),
        ("POST", "/undo/1", {USER_HEADER: "Ada", "Origin": "https://evil.example"}, 403),
        ("POST", "/undo/1", {USER_HEADER: "Ada", "Sec-Fetch-Site": "same-origin"}, 422),
        ("POST", "/item/1", {USER_HEADER: "Ada", "Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", "/renew/1", {USER_HEADER: "Ada"}, 403),
        ("POST", "/lacking/00", {USER_HEADER: "Ada"}, 403),
        ("GET", "/healthz", {}, 200),
        ("GET", "/readyz", {}, 200),
        ("GET", "/openapi.json", {USER_HEADER: "Ada"}, 404),
        ("GET", "/docs", {USER_HEADER: "Ada"}, 404),
    ],
)
def test_requests_that_are_refused(
    anonymous: httpx.Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = anonymous.request(method, path, headers=headers)
    assert answer.status_code == status
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
