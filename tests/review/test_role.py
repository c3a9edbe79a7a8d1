"""The page as a database user that may do no more than review, beside workers."""

from __future__ import annotations

import html
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from kombu import Connection
from pydantic import SecretStr
from sqlalchemy import make_url
from support.deployment import until
from support.review_page import TWO, USER_HEADER, fill, id_of, rows
from support.serving import serving_app

from resolver.database.connection import connect
from resolver.review.app import create_app
from resolver.settings import Settings

pytestmark = pytest.mark.slow


def test_the_page_needs_no_more_than_its_role(
    prepared: tuple[str, Path],
    copied_database: Callable[[str | None], str],
    redis_url: str,
    tmp_path: Path,
) -> None:
    url, home = prepared
    shutil.copytree(home, tmp_path / "home", symlinks=True)
    owner = copied_database(url)
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        home=tmp_path / "home",
        database_url=SecretStr(owner),
        threads=1,
        review_user_header=USER_HEADER,
    )
    fill(settings)
    engine = connect(owner)
    # Roles are the server's, which several processes may use.
    name = f"reviewing_{uuid.uuid4().hex[:12]}"
    rows(engine, f"CREATE ROLE {name} LOGIN PASSWORD 'secret' IN ROLE resolver_curator")
    user = make_url(owner).set(username=name, password="secret")
    reviewing = settings.model_copy(
        update={
            "database_url": SecretStr(user.render_as_string(hide_password=False)),
            "broker_url": SecretStr(redis_url),
        }
    )
    try:
        with serving_app(create_app(reviewing, author=None)) as client:
            client.headers.update({USER_HEADER: "Ada", "Sec-Fetch-Site": "same-origin"})
            for path in ("/", "/state", "/history", "/lacking", "/find?q=york", "/labels.jsonl"):
                assert client.get(path).status_code == 200, path
            item = id_of(engine, TWO)
            page = client.get(f"/item/{item}").text
            sent = {
                name: html.unescape(re.findall(f'name="{name}" value="([^"]*)"', page)[0])
                for name in ("request", "seen", "decision")
            }
            saved = client.post(f"/item/{item}", data={**sent, "action": "none"})
            assert saved.status_code == 303, saved.text
            [decision] = rows(engine, "SELECT id FROM review_decision")
            assert client.get(f"/became/{item}").text.count("pending") == 1
            assert client.post(f"/renew/{item}").status_code == 409
            assert client.post(f"/undo/{decision.id}").status_code == 303
        # Workers give the answer again, once for the decision and once for its end.
        with Connection(redis_url) as connection:
            assert connection.default_channel.client.llen("refresh") == 2
    finally:
        # A session that ends drops its temporary tables a moment after its client has left.
        sessions = "SELECT 1 FROM pg_stat_activity WHERE usename = :name"
        until(lambda: not rows(engine, sessions, name=name), "the page's sessions have ended")
        rows(engine, f"DROP ROLE {name}")
        engine.dispose()
