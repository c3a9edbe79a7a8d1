"""marks of what is stale belong to a version, a selection is resumed, and pages have their index

A mark is now of the resolver version that is to give the answer anew: going back to the version
before does not find due what that one gave, and coming back finds what was selected still there.
Marks that are here already become those of the version in use; those for an override are of the
version that gave the answer, which holds for whoever carries it.

A version remembers how far its selection has looked, and what it need not look at twice.

Indexes are built while others write: two of `outcome` and `source_record` in place of two that were
shorter, so that what is due is read in the order of its keys and no more of it than a page, and a
small one of the weeks of records, for drift. A million answers with two million records took 18 s;
until they are there nothing is locked. What was begun and broke off is done again by the next try.

Going back drops what is remembered, and marks that are not of the version in use.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import importlib
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from resolver.migrations.concurrently import build_indexes, drop_indexes

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

first = importlib.import_module("resolver.migrations.versions.0001_registry_affiliations_and_links")
third = importlib.import_module("resolver.migrations.versions.0003_releases_history_and_overrides")

# Of an answer that several versions have marked one row is shown. Written so that an index is read:
# an array, and a range of one version, of which Postgres does not expect all answers.
OUTDATED = """
CREATE VIEW outdated AS
WITH RECURSIVE valid AS (
    SELECT id, carries_id FROM resolver_version WHERE is_current
    UNION
    SELECT v.id, v.carries_id FROM resolver_version v JOIN valid ON v.id = valid.carries_id
)
SELECT
    s.source,
    s.external_id AS source_id,
    s.position,
    a.text AS affiliation,
    d.cause,
    d.ror_id,
    r.version AS registry_release,
    d.resolver_version_id AS resolver_version,
    p.settings AS policy,
    d.resolved_at
FROM (
    SELECT
        u.affiliation_id, u.policy_id, u.resolver_version_id, u.resolved_at, m.cause, m.ror_id
    FROM stale m
    JOIN outcome u ON u.affiliation_id = m.affiliation_id AND u.policy_id = m.policy_id
    WHERE m.resolver_version_id = ANY(ARRAY(SELECT id FROM valid))
    AND NOT EXISTS (
        SELECT FROM stale n
        WHERE n.affiliation_id = m.affiliation_id AND n.policy_id = m.policy_id
        AND n.resolver_version_id > m.resolver_version_id
        AND n.resolver_version_id = ANY(ARRAY(SELECT id FROM valid))
    )
    UNION ALL
    SELECT
        u.affiliation_id, u.policy_id, u.resolver_version_id, u.resolved_at,
        'resolver change', NULL
    FROM (SELECT id FROM resolver_version EXCEPT SELECT id FROM valid) w
    CROSS JOIN LATERAL (
        SELECT * FROM outcome
        WHERE resolver_version_id >= w.id AND resolver_version_id <= w.id
        OFFSET 0
    ) u
    WHERE NOT EXISTS (
        SELECT FROM stale m
        WHERE m.affiliation_id = u.affiliation_id AND m.policy_id = u.policy_id
        AND m.resolver_version_id = ANY(ARRAY(SELECT id FROM valid))
    )
) d
JOIN source_record s ON s.affiliation_id = d.affiliation_id AND s.policy_id = d.policy_id
JOIN affiliation a ON a.id = d.affiliation_id
JOIN policy p ON p.id = d.policy_id
JOIN resolver_version v ON v.id = d.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
"""

REMEMBERED: dict[str, tuple[sa.types.TypeEngine[Any], str]] = {
    "selected_to": (sa.BigInteger(), "Affiliation up to which a selection under way has looked"),
    "selected_until": (
        postgresql.TIMESTAMP(timezone=True),
        "Answers from before it, of versions in selected_of, were looked at by a selection",
    ),
    "selected_of": (postgresql.ARRAY(sa.Integer()), "Versions whose answers it looked at"),
}

# As the view drift has it: of the last weeks a few blocks are read, not all records.
WEEK = "((date_trunc('week', received_at AT TIME ZONE 'UTC'))::date)"

# A constant default rewrites nothing; the marks that it is not true of are mended below. It is
# committed with the first index, so a second try finds it there.
ADD_VERSION = """
DO $$
BEGIN
    EXECUTE format(
        'ALTER TABLE stale ADD COLUMN IF NOT EXISTS resolver_version_id integer NOT NULL DEFAULT %s',
        coalesce((SELECT id FROM resolver_version WHERE is_current), 0)
    );
END
$$
"""

# 0: no version is in use.
OWN_OVERRIDES = """
UPDATE stale m SET resolver_version_id = o.resolver_version_id
FROM outcome o
WHERE (o.affiliation_id, o.policy_id) = (m.affiliation_id, m.policy_id)
AND (m.cause = 'override' OR m.resolver_version_id = 0)
"""


INDEXES = {
    "ix_stale_resolver_version_id_affiliation_id_policy_id": "stale"
    " (resolver_version_id, affiliation_id, policy_id)",
    "ix_outcome_resolver_version_id_affiliation_id_policy_id": "outcome"
    " (resolver_version_id, affiliation_id, policy_id)",
    "ix_source_record_affiliation_id_policy_id": "source_record (affiliation_id, policy_id)",
    "ix_source_record_week": f"source_record USING brin ({WEEK})",
}
REPLACED = {
    "ix_outcome_resolver_version_id": "outcome (resolver_version_id)",
    "ix_source_record_affiliation_id": "source_record (affiliation_id)",
}
KEY = {"pk_stale_of_version": "stale (affiliation_id, policy_id, resolver_version_id)"}


def upgrade() -> None:
    op.execute(ADD_VERSION)
    build_indexes(KEY, unique=True)
    build_indexes(INDEXES)
    # Or nothing is known of how many records a week has, and the index is not used.
    op.execute("ANALYZE source_record")
    op.execute(OWN_OVERRIDES)
    op.alter_column(
        "stale",
        "resolver_version_id",
        server_default=None,
        comment="The version that is to give it anew; so are all that carry this one",
    )
    op.drop_constraint(op.f("pk_stale"), "stale", type_="primary")
    op.execute(
        "ALTER TABLE stale ADD CONSTRAINT pk_stale PRIMARY KEY USING INDEX pk_stale_of_version"
    )
    op.create_foreign_key(
        op.f("fk_stale_resolver_version_id"),
        "stale",
        "resolver_version",
        ["resolver_version_id"],
        ["id"],
    )
    op.create_table_comment(
        "stale", "An answer that a version is to give anew; gone when it has", existing_comment=None
    )
    for column, (kind, comment) in REMEMBERED.items():
        op.add_column("resolver_version", sa.Column(column, kind, nullable=True, comment=comment))
    _replace_outdated(OUTDATED)
    drop_indexes(REPLACED)


def downgrade() -> None:
    build_indexes(REPLACED)
    _replace_outdated(third.OUTDATED)
    for column in reversed(REMEMBERED):
        op.drop_column("resolver_version", column)
    op.execute(
        """
        DELETE FROM stale WHERE resolver_version_id NOT IN (
            WITH RECURSIVE valid AS (
                SELECT id, carries_id FROM resolver_version WHERE is_current
                UNION
                SELECT v.id, v.carries_id
                FROM resolver_version v JOIN valid ON v.id = valid.carries_id
            )
            SELECT id FROM valid
        )
        """
    )
    op.execute(
        """
        DELETE FROM stale m USING stale n
        WHERE (n.affiliation_id, n.policy_id) = (m.affiliation_id, m.policy_id)
        AND n.resolver_version_id > m.resolver_version_id
        """
    )
    op.drop_constraint(op.f("pk_stale"), "stale", type_="primary")
    # With it go its foreign key and its index.
    op.drop_column("stale", "resolver_version_id")
    op.create_primary_key(op.f("pk_stale"), "stale", ["affiliation_id", "policy_id"])
    op.create_table_comment(
        "stale", "A present answer that is to be given anew; gone when it is", existing_comment=None
    )
    drop_indexes(INDEXES.keys() - {"ix_stale_resolver_version_id_affiliation_id_policy_id"})


def _replace_outdated(definition: str) -> None:
    op.execute("DROP VIEW outdated")
    op.execute(definition)
    op.execute(f"COMMENT ON VIEW outdated IS {first.quoted(third.VIEW_COMMENTS['outdated'])}")
    for column, comment in third.COLUMN_COMMENTS["outdated"].items():
        op.execute(f"COMMENT ON COLUMN outdated.{column} IS {first.quoted(comment)}")
