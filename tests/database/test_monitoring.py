"""What an operator asks of the database, on real rows."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import Engine, text

from resolver.database import locks, monitoring, releases, resolver_versions
from resolver.database.connection import transaction
from resolver.database.locks import updating_alone
from resolver.database.monitoring import REST, SOURCES, Drift

TODAY = date(2026, 11, 18)
"""A Wednesday."""

ROWS = """
INSERT INTO registry_release (version, sha256, source, organisation_count, rejected_count, is_current)
VALUES ('v2.9', repeat('0', 64), 'v2.9.zip', 1, 0, true);
INSERT INTO model (role, name, fingerprint) VALUES ('encoder', 'e', 'e'), ('reranker', 'r', 'r');
INSERT INTO resolver_version
    (release_id, encoder_id, reranker_id, settings, fingerprint, is_current, index_version)
SELECT r.id, e.id, k.id, '{}', '\\x00', true, 'v2.9-1'
FROM registry_release r, model e, model k WHERE e.role = 'encoder' AND k.role = 'reranker';
INSERT INTO policy (fingerprint, settings) VALUES ('\\x00', '{}');
INSERT INTO affiliation (text_hash, text) SELECT decode(md5(n::text), 'hex'), n::text
FROM generate_series(1, 10) n;
INSERT INTO outcome (affiliation_id, policy_id, resolver_version_id, status, reason, begin_reason)
SELECT a.id, p.id, v.id,
    CASE WHEN a.text::int <= 4 THEN 'no_match' ELSE 'linked' END,
    CASE WHEN a.text::int <= 4 THEN 'empty' END, 'source sent'
FROM affiliation a, policy p, resolver_version v;
INSERT INTO link (affiliation_id, policy_id, ror_id, rank, score, probability, name, matched_name,
    beginning, since, since_version_id, since_reason)
SELECT a.id, p.id, o.ror_id, o.rank, 1, o.probability, 'n', 'n', 'new', now(), v.id, 'source sent'
FROM affiliation a, policy p, resolver_version v,
    (VALUES ('a', 1, 0.75), ('b', 2, 0.25)) o (ror_id, rank, probability)
WHERE a.text::int > 4;
"""
"""Ten answers: four without a link, six with a best link of 0.75 and another one."""

SENT = """
INSERT INTO source_record (source, external_id, position, affiliation_id, policy_id, raw_text, received_at)
SELECT :source, CAST(:week AS text) || '/' || n, 0, a.id, p.id, a.text, CAST(:received AS timestamptz)
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) n JOIN affiliation a ON a.text = n::text CROSS JOIN policy p
"""


@pytest.fixture
def filled(engine: Engine) -> Engine:
    with transaction(engine) as connection:
        connection.exec_driver_sql(ROWS)
    return engine


def send(engine: Engine, source: str, received: str, first: int, last: int) -> None:
    with transaction(engine) as connection:
        connection.execute(
            text(SENT),
            {
                "source": source,
                "week": received,
                "received": received,
                "first": first,
                "last": last,
            },
        )


def test_drift_is_by_source_and_week(filled: Engine) -> None:
    # Sunday evening in Greenwich, Monday in Kyiv: of the week before, in UTC.
    send(filled, "crossref", "2026-11-16 01:30+02", 1, 10)
    send(filled, "crossref", "2026-11-16 00:00+00", 3, 10)
    send(filled, "datacite", "2026-11-18", 1, 4)
    send(filled, "datacite", "2026-10-20", 1, 10)
    assert monitoring.drift(filled, seconds=30, today=TODAY) == [
        Drift("crossref", date(2026, 11, 9), 10, 0.4, 0.75),
        Drift("crossref", date(2026, 11, 16), 8, 0.25, 0.75),
        Drift("datacite", date(2026, 11, 16), 4, 1.0, None),
    ]


def test_small_sources_are_one(filled: Engine) -> None:
    for number in range(SOURCES):
        send(filled, f"large {number:02}", "2026-11-17", 1, 10)
    for number in range(5):
        send(filled, f"small {number}", "2026-11-17", 4, 5)
    found = monitoring.drift(filled, seconds=30, today=TODAY)
    assert found is not None
    assert len(found) == SOURCES + 1
    rest = next(one for one in found if one.source == REST)
    assert (rest.records, rest.no_match, rest.probability) == (10, 0.5, 0.75)


def test_the_overview_counts_what_is_due(filled: Engine) -> None:
    send(filled, "crossref", "2026-11-17", 1, 10)
    with transaction(filled) as connection:
        connection.exec_driver_sql(
            "INSERT INTO stale (affiliation_id, policy_id, resolver_version_id, cause)"
            " SELECT affiliation_id, policy_id, resolver_version_id, 'override'"
            " FROM outcome LIMIT 3"
        )
    found = monitoring.overview(filled, seconds=30)
    assert found.migrated
    assert found.release is not None
    assert found.version is not None
    assert (found.release.version, found.version.index_version) == ("v2.9", "v2.9-1")
    assert found.due == 3


def test_a_count_that_takes_too_long_is_left_out(filled: Engine) -> None:
    # Somebody changes the table: the count waits for its lock, and not for ever.
    with transaction(filled) as connection:
        connection.exec_driver_sql("LOCK TABLE stale, source_record, job IN ACCESS EXCLUSIVE MODE")
        found = monitoring.overview(filled, seconds=0.2)
        assert (found.due, found.counted) == (None, False)
        assert found.jobs_set_aside is None
        assert found.version is not None
        assert monitoring.drift(filled, seconds=0.2, today=TODAY) is None
    # The limit was that count's alone.
    with transaction(filled) as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"


def test_jobs_set_aside_are_those_that_a_retry_would_send(filled: Engine) -> None:
    """Not those that wait, were cancelled, or have expired."""
    with transaction(filled) as connection:
        connection.exec_driver_sql(
            """
            INSERT INTO job
                (id, request_hash, body, policy, organizations, received, refused, failure,
                 cancelled_at, expires_at)
            SELECT name, '', '', '{}', 'none', 1, 0, failure, cancelled_at, expires_at
            FROM (VALUES
                ('a', 'no such choice', NULL::timestamptz, now() + interval '1 day'),
                ('b', 'BadGzipFile', NULL, now() + interval '1 day'),
                ('cancelled', 'BadGzipFile', now(), now() + interval '1 day'),
                ('expired', 'BadGzipFile', NULL, now()),
                ('waits', NULL, NULL, now() + interval '1 day')
            ) job (name, failure, cancelled_at, expires_at)
            """
        )
    assert monitoring.overview(filled, seconds=30).jobs_set_aside == 2


def test_an_update_that_runs_is_seen(filled: Engine) -> None:
    assert monitoring.overview(filled, seconds=30).updating is False
    with updating_alone(filled):
        assert monitoring.overview(filled, seconds=30).updating is True
    assert locks.updating(filled) is False


def test_who_went_back_is_told_from_who_is_not_through(filled: Engine) -> None:
    with transaction(filled) as connection:
        connection.exec_driver_sql(
            """
            UPDATE resolver_version SET generation = 1, selected_at = now();
            UPDATE registry_release SET is_current = false;
            INSERT INTO registry_release
                (version, sha256, source, organisation_count, rejected_count, is_current)
            VALUES ('v3.0', repeat('1', 64), 'v3.0.zip', 1, 0, true);
            """
        )
    first = resolver_versions.current_resolver(filled)
    release = releases.current_release(filled)
    assert first is not None
    assert release is not None
    # Loaded, and nobody has switched to it.
    assert monitoring.overview(filled, seconds=30).before is None
    later = resolver_versions.register(
        filled,
        release_id=release.id,
        encoder=first.encoder,
        reranker=first.reranker,
        settings=first.settings,
        index_version="v3.0-1",
    )
    assert monitoring.overview(filled, seconds=30).before is None
    resolver_versions.put_in_use(filled, later.id)
    assert monitoring.overview(filled, seconds=30).before is None
    resolver_versions.put_in_use(filled, first.id)
    assert monitoring.overview(filled, seconds=30).before == later.id
