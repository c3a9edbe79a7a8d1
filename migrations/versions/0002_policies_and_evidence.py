"""policies, evidence and what a link stands for

Until now an affiliation had one answer, whatever was asked for: threshold and number of links were
settings of the resolver version. From now on they belong to a policy, and an affiliation has one
answer for each. Every answer gets the policy that its resolver version had; records get that of
their answer.

The primary keys of outcome and link change, so workers of the version before cannot write: stop
them first. The tables are locked while the new keys are built, but for adding columns nothing is
rewritten where all answers had the same settings.

Going back keeps the newest answer of each affiliation and drops evidence and policies.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-22
"""

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

before = importlib.import_module("resolver.migrations.versions.0001_registry_affiliations_and_links")

RESOLVED_LINKS = """
CREATE VIEW resolved_links AS
SELECT
    s.source,
    s.external_id AS source_id,
    s.position,
    a.text AS affiliation,
    l.ror_id,
    'https://ror.org/' || l.ror_id AS ror_url,
    coalesce(o.name, l.name) AS organisation,
    o.country_code,
    o.country,
    o.city,
    l.matched_name,
    nullif(l.evidence ->> 'text', '') AS matched_text,
    l.probability,
    l.score,
    l.rank,
    l.stands_for,
    l.evidence,
    o.status AS organisation_status,
    r.version AS registry_release,
    l.resolver_version_id AS resolver_version,
    p.settings AS policy,
    u.resolved_at
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
JOIN link l ON l.affiliation_id = u.affiliation_id AND l.policy_id = u.policy_id
JOIN policy p ON p.id = s.policy_id
JOIN resolver_version v ON v.id = l.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
LEFT JOIN organisations o ON o.ror_id = l.ror_id
"""

UNRESOLVED = """
CREATE VIEW unresolved AS
SELECT
    s.source,
    s.external_id AS source_id,
    s.position,
    a.text AS affiliation,
    u.reason,
    r.version AS registry_release,
    u.resolver_version_id AS resolver_version,
    p.settings AS policy,
    u.resolved_at
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
JOIN policy p ON p.id = s.policy_id
JOIN resolver_version v ON v.id = u.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
WHERE u.status = 'no_match'
"""

PENDING = """
CREATE VIEW pending AS
SELECT
    s.source,
    s.external_id AS source_id,
    s.position,
    a.text AS affiliation,
    p.settings AS policy,
    s.received_at
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN policy p ON p.id = s.policy_id
WHERE NOT EXISTS (
    SELECT FROM outcome u
    WHERE u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
)
"""

VIEWS = {"resolved_links": RESOLVED_LINKS, "unresolved": UNRESOLVED, "pending": PENDING}

POLICY = {"policy": "What was asked for: all choices"}

COLUMN_COMMENTS = {
    "resolved_links": {
        **before.COLUMN_COMMENTS["resolved_links"],
        "matched_name": "The name that was met",
        "matched_text": "The part of the affiliation that this name stands on",
        "stands_for": "ROR ids of what is named, where successor or parent stand for it",
        "evidence": "Why: part of the text, places, scores, runner-up",
        **POLICY,
    },
    "unresolved": {**before.COLUMN_COMMENTS["unresolved"], **POLICY},
    "pending": {
        **before.COLUMN_COMMENTS["pending"],
        **POLICY,
        "received_at": "When this text was received, with this policy",
    },
}

# What each comment was, and what it is.
COMMENTS = {
    ("affiliation", None): (
        "A distinct affiliation text; answered once, however often sent",
        "A distinct affiliation text; answered once a policy, however often sent",
    ),
    ("outcome", None): (
        "The present answer for an affiliation",
        "The present answer for an affiliation under a policy",
    ),
    ("resolver_version", "settings"): (
        "Settings that bear on an answer",
        "Settings that bear on every answer",
    ),
    ("source_record", "received_at"): (
        "When this text was received",
        "When this text was received, with this policy",
    ),
    ("link", "matched_name"): ("The name of it that was met", "The name that was met"),
}


def upgrade() -> None:
    for view in VIEWS:
        op.execute(f"DROP VIEW {view}")
    op.create_table(
        "policy",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column(
            "fingerprint",
            postgresql.BYTEA(),
            nullable=False,
            comment="16 bytes of BLAKE2b over the settings as JSON with sorted keys",
        ),
        sa.Column(
            "settings",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="All choices, none left out",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was first used",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_policy_fingerprint")),
        comment="What a caller chose: threshold, level, restrictions",
    )
    # Without a connection (alembic --sql) there is nothing to read: for empty tables only.
    of_version = {} if context.is_offline_mode() else policies(op.get_bind())
    # A constant default writes no row; the rows of other policies are changed after.
    default = list(of_version.values())[-1] if of_version else None
    add_policy("outcome", default, "What was asked for")
    add_policy("link", default, "What was asked for")
    add_policy("source_record", default, "What was asked for: which of its answers counts")
    if others := {v: policy for v, policy in of_version.items() if policy != default}:
        for version, policy_id in others.items():
            op.execute(
                f"UPDATE outcome SET policy_id = {policy_id} WHERE resolver_version_id = {version}"
            )
        for table in ("link", "source_record"):
            op.execute(
                f"UPDATE {table} t SET policy_id = o.policy_id FROM outcome o"
                " WHERE o.affiliation_id = t.affiliation_id AND o.policy_id <> t.policy_id"
            )
    op.drop_constraint(op.f("fk_link_affiliation_id"), "link", type_="foreignkey")
    op.drop_constraint(op.f("pk_link"), "link", type_="primary")
    op.drop_constraint(op.f("pk_outcome"), "outcome", type_="primary")
    op.create_primary_key(op.f("pk_outcome"), "outcome", ["affiliation_id", "policy_id"])
    op.create_primary_key(op.f("pk_link"), "link", ["affiliation_id", "policy_id", "ror_id"])
    op.create_foreign_key(
        op.f("fk_link_affiliation_id"),
        "link",
        "outcome",
        ["affiliation_id", "policy_id"],
        ["affiliation_id", "policy_id"],
        ondelete="CASCADE",
    )
    for table in ("outcome", "source_record"):
        op.create_foreign_key(
            op.f(f"fk_{table}_policy_id"), table, "policy", ["policy_id"], ["id"]
        )
    op.add_column(
        "link",
        sa.Column(
            "stands_for",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="ROR ids of what the affiliation names, where successor or parent stand for it",
        ),
    )
    op.add_column(
        "link",
        sa.Column(
            "evidence",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Why: part of the text, places, scores, runner-up; null in old answers",
        ),
    )
    for (table, column), (_, comment) in COMMENTS.items():
        say(table, column, comment)
    create(VIEWS, COLUMN_COMMENTS)


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    op.execute(
        """
        DELETE FROM outcome o USING (
            SELECT affiliation_id, policy_id, row_number() OVER (
                PARTITION BY affiliation_id
                ORDER BY resolver_version_id DESC, resolved_at DESC, policy_id DESC
            ) AS place
            FROM outcome
        ) p
        WHERE (o.affiliation_id, o.policy_id) = (p.affiliation_id, p.policy_id) AND p.place > 1
        """
    )
    op.drop_constraint(op.f("fk_link_affiliation_id"), "link", type_="foreignkey")
    op.drop_constraint(op.f("pk_link"), "link", type_="primary")
    op.drop_constraint(op.f("pk_outcome"), "outcome", type_="primary")
    for table in ("link", "outcome", "source_record"):
        op.drop_column(table, "policy_id")
    op.drop_column("link", "stands_for")
    op.drop_column("link", "evidence")
    op.drop_table("policy")
    op.create_primary_key(op.f("pk_outcome"), "outcome", ["affiliation_id"])
    op.create_primary_key(op.f("pk_link"), "link", ["affiliation_id", "ror_id"])
    op.create_foreign_key(
        op.f("fk_link_affiliation_id"),
        "link",
        "outcome",
        ["affiliation_id"],
        ["affiliation_id"],
        ondelete="CASCADE",
    )
    for (table, column), (comment, _) in COMMENTS.items():
        say(table, column, comment)
    create({view: before.VIEWS[view] for view in VIEWS}, before.COLUMN_COMMENTS)


def policies(connection: sa.Connection) -> dict[int, int]:
    """Resolver version → its policy, each policy inserted once; last comes the one in use.

    Written out here, since what the code calls a policy may change after this migration.
    """
    versions = connection.execute(
        sa.text("SELECT id, settings FROM resolver_version ORDER BY is_current, id")
    ).fetchall()
    return {version: insert(connection, settings) for version, settings in versions}


def insert(connection: sa.Connection, settings: Mapping[str, Any]) -> int:
    canonical = json.dumps(
        {
            "accept_probability": float(settings.get("accept_probability", 0.5)),
            "ambiguity_margin": 0.01,
            "countries": [],
            "level": "named",
            "max_links": int(settings.get("max_links", 10)),
            "succession": "keep",
            "types": [],
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    values = {
        "fingerprint": hashlib.blake2b(canonical.encode(), digest_size=16).digest(),
        "settings": canonical,
    }
    connection.execute(
        sa.text(
            "INSERT INTO policy (fingerprint, settings)"
            " VALUES (:fingerprint, CAST(:settings AS jsonb)) ON CONFLICT DO NOTHING"
        ),
        values,
    )
    found = sa.text("SELECT id FROM policy WHERE fingerprint = :fingerprint")
    return int(connection.execute(found, values).scalar_one())


def add_policy(table: str, default: int | None, comment: str) -> None:
    op.add_column(
        table,
        sa.Column(
            "policy_id",
            sa.Integer(),
            server_default=None if default is None else sa.text(str(default)),
            nullable=False,
            comment=comment,
        ),
    )
    op.alter_column(table, "policy_id", server_default=None)


def say(table: str, column: str | None, comment: str) -> None:
    what = f"COLUMN {table}.{column}" if column else f"TABLE {table}"
    op.execute(f"COMMENT ON {what} IS {before.quoted(comment)}")


def create(views: Mapping[str, str], columns: Mapping[str, Mapping[str, str]]) -> None:
    for view, definition in views.items():
        op.execute(definition)
        op.execute(f"COMMENT ON VIEW {view} IS {before.quoted(before.VIEW_COMMENTS[view])}")
        for column, comment in columns[view].items():
            op.execute(f"COMMENT ON COLUMN {view}.{column} IS {before.quoted(comment)}")
