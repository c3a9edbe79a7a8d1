"""why links began, what may be forgotten, and one name for the sender's record

Each answer says why it was given, and each link whether it is new, confirmed or changed, and since
when, by which resolver version and why the text has this organisation. Of what is stored already
this is not known: the columns are null, and a link that is confirmed later keeps them so.

The column `source_id` of the views is `external_id` now, as in the tables.

The text of an override may be null: it was forgotten, and the hash still says what it is of.

No table is rewritten or read: new columns are null, and the constraints hold for new rows alone
(NOT VALID), which is enough, since all old ones are null. Three indexes are built while the tables
are written to.

Going back drops what the new columns say. What was said of texts that were forgotten holds no more:
the code of before finds it by its text.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from resolver.migrations.concurrently import build_indexes, drop_indexes

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_VERSIONS = "resolver.migrations.versions"
first = importlib.import_module(f"{_VERSIONS}.0001_registry_affiliations_and_links")
policies = importlib.import_module(f"{_VERSIONS}.0002_policies_and_evidence")
history = importlib.import_module(f"{_VERSIONS}.0003_releases_history_and_overrides")

INDEXES = {
    "ix_past_outcome_ended_at": "past_outcome (ended_at)",
    "ix_past_record_ended_at": "past_record (ended_at)",
    "ix_refused_record_received_at": "refused_record (received_at)",
}

RENAMED = ("resolved_links", "unresolved", "pending", "link_history", "outdated")
"""Views with the column `external_id`."""

# As in 0003: four times a record and an answer, each of the present or of the past. A record that
# came when its text was answered already begins with the record; `same_before` and `same_after` say
# that only its raw text changed, which changes no link.
LINK_HISTORY = """
CREATE OR REPLACE VIEW link_history AS
SELECT
    h.source,
    h.external_id,
    h.position,
    a.text AS affiliation,
    h.ror_id,
    'https://ror.org/' || h.ror_id AS ror_url,
    h.name AS organisation,
    h.matched_name,
    h.probability,
    h.score,
    h.rank,
    h.stands_for,
    h.evidence,
    p.settings AS policy,
    h.resolver_version_id AS resolver_version,
    r.version AS registry_release,
    k.name AS reranker,
    h.resolved_at,
    greatest(h.received_at, h.resolved_at) AS valid_from,
    h.valid_to,
    h.end_reason,
    h.continued,
    CASE
        WHEN h.received_at <= h.resolved_at THEN h.beginning
        WHEN EXISTS (
            SELECT FROM past_record q
            WHERE q.source = h.source AND q.external_id = h.external_id AND q.position = h.position
            AND q.ended_at = h.received_at AND q.end_reason = 'changed'
            AND q.affiliation_id = h.affiliation_id AND q.policy_id = h.policy_id
        ) THEN 'confirmed'
        ELSE 'new'
    END AS beginning,
    CASE
        WHEN h.received_at <= h.resolved_at THEN h.begin_reason ELSE 'source sent'
    END AS begin_reason,
    e.version AS end_release,
    h.since AS linked_since,
    f.version AS linked_since_release,
    h.since_reason AS linked_since_reason
FROM (
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id, s.received_at,
        u.resolver_version_id, u.resolved_at, u.begin_reason,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for, l.evidence,
        l.beginning, l.since, l.since_version_id, l.since_reason,
        NULL::timestamptz AS valid_to,
        NULL::text AS end_reason,
        false AS continued,
        NULL::integer AS ended_by
    FROM source_record s
    JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN link l ON l.affiliation_id = u.affiliation_id AND l.policy_id = u.policy_id
    UNION ALL
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id, s.received_at,
        u.resolver_version_id, u.resolved_at, u.begin_reason,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for, l.evidence,
        l.beginning, l.since, l.since_version_id, l.since_reason,
        u.ended_at,
        u.end_reason,
        l.continued,
        u.ended_by
    FROM source_record s
    JOIN past_outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN past_link l ON l.past_outcome_id = u.id
    WHERE greatest(s.received_at, u.resolved_at) < u.ended_at
    UNION ALL
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id, s.received_at,
        u.resolver_version_id, u.resolved_at, u.begin_reason,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for, l.evidence,
        l.beginning, l.since, l.since_version_id, l.since_reason,
        s.ended_at,
        'source ' || s.end_reason,
        s.same_after,
        NULL
    FROM ({past_record}) s
    JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN link l ON l.affiliation_id = u.affiliation_id AND l.policy_id = u.policy_id
    WHERE greatest(s.received_at, u.resolved_at) < s.ended_at
    UNION ALL
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id, s.received_at,
        u.resolver_version_id, u.resolved_at, u.begin_reason,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for, l.evidence,
        l.beginning, l.since, l.since_version_id, l.since_reason,
        least(s.ended_at, u.ended_at),
        CASE WHEN u.ended_at < s.ended_at THEN u.end_reason ELSE 'source ' || s.end_reason END,
        CASE
            WHEN u.ended_at < s.ended_at THEN l.continued
            WHEN u.ended_at = s.ended_at THEN l.continued AND s.same_after
            ELSE s.same_after
        END,
        CASE WHEN u.ended_at < s.ended_at THEN u.ended_by END
    FROM ({past_record}) s
    JOIN past_outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN past_link l ON l.past_outcome_id = u.id
    WHERE greatest(s.received_at, u.resolved_at) < least(s.ended_at, u.ended_at)
) h
JOIN affiliation a ON a.id = h.affiliation_id
JOIN policy p ON p.id = h.policy_id
JOIN resolver_version v ON v.id = h.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
JOIN model k ON k.id = v.reranker_id
LEFT JOIN resolver_version w ON w.id = h.ended_by
LEFT JOIN registry_release e ON e.id = w.release_id
LEFT JOIN resolver_version b ON b.id = h.since_version_id
LEFT JOIN registry_release f ON f.id = b.release_id
""".replace(
    "{past_record}",
    """
        SELECT
            d.*,
            d.end_reason = 'changed' AND (
                EXISTS (
                    SELECT FROM source_record n
                    WHERE n.source = d.source AND n.external_id = d.external_id
                    AND n.position = d.position AND n.received_at = d.ended_at
                    AND n.affiliation_id = d.affiliation_id AND n.policy_id = d.policy_id
                )
                OR EXISTS (
                    SELECT FROM past_record n
                    WHERE n.source = d.source AND n.external_id = d.external_id
                    AND n.position = d.position AND n.received_at = d.ended_at
                    AND n.affiliation_id = d.affiliation_id AND n.policy_id = d.policy_id
                )
            ) AS same_after
        FROM past_record d
    """,
)

COLUMN_COMMENTS = {
    "probability": "The judge's, that the affiliation names it: 0 to 1; 1 where a person said so",
    "continued": "The next answer for the text has this organisation too, or only the raw text "
    "changed",
    "beginning": "new; confirmed: the answer before had it, too; changed: it had it by another "
    "name, at another rank or for another organisation; null: stored before this was kept",
    "begin_reason": "registry release, resolver change, override, resolved again or source sent; "
    "null: stored before this was kept",
    "end_release": "The release that the next answer was made from; null: the source ended it, or "
    "it holds",
    "linked_since": "Since when answers for the text have this organisation without a break; null: "
    "not known",
    "linked_since_release": "The release that the first of these was made from; null: not known",
    "linked_since_reason": "Why that one was given, as begin_reason; null: not known",
}

PROBABILITY = (
    "The judge's, that the affiliation names it: 0 to 1; 1 where a person said so",
    "The score, calibrated: 0 to 1",
)
"""What it is, and what was said of it until now."""

SCORE = (
    "The reranker's logit; null where a person said so and it was not read",
    "The reranker's logit",
)
OVERRIDE = (
    "The normalised text; null: forgotten, it holds for whatever has text_hash",
    "The normalised text",
)

Columns = Mapping[str, tuple[TypeEngine[Any], str]]
"""By name: type and comment."""

ANSWER_COLUMNS: Columns = {
    "begin_reason": (
        sa.Text(),
        "Why this answer was given: source sent for the first, else as past_outcome.end_reason;"
        " null in old answers",
    )
}
LINK_COLUMNS: Columns = {
    "beginning": (
        sa.Text(),
        "new, confirmed or changed, beside the answer before; null in old answers",
    ),
    "since": (
        postgresql.TIMESTAMP(timezone=True),
        "Since when the answers have this organisation without a break; null: not known",
    ),
    "since_version_id": (sa.Integer(), "Who gave the first of these; null: not known"),
    "since_reason": (
        sa.Text(),
        "Why that one was given, as outcome.begin_reason; null: not known",
    ),
}
COLUMNS: Mapping[str, Columns] = {
    "outcome": ANSWER_COLUMNS,
    "past_outcome": ANSWER_COLUMNS,
    "link": LINK_COLUMNS,
    "past_link": LINK_COLUMNS,
}

REASONS = (
    "('source sent', 'override', 'registry release', 'resolver change', 'resolved again')"
)
CHECKS = {
    "begin_reason": REASONS,
    "since_reason": REASONS,
    "beginning": "('new', 'confirmed', 'changed')",
}


def upgrade() -> None:
    build_indexes(INDEXES)
    for table, columns in COLUMNS.items():
        for name, (kind, comment) in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True, comment=comment))
        for name in columns.keys() & CHECKS.keys():
            op.execute(
                f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{name}"
                f" CHECK ({name} IN {CHECKS[name]}) NOT VALID"
            )
    for table in ("link", "past_link"):
        op.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT fk_{table}_since_version_id"
            " FOREIGN KEY (since_version_id) REFERENCES resolver_version (id) NOT VALID"
        )
        policies.say(table, "probability", PROBABILITY[0])
    policies.say("past_link", "score", SCORE[0])
    op.alter_column("link_override", "affiliation", nullable=True)
    policies.say("link_override", "affiliation", OVERRIDE[0])
    # Its text names columns, and is not kept up with their names.
    op.execute("DROP FUNCTION resolved_links_at")
    for view in RENAMED:
        op.execute(f"ALTER VIEW {view} RENAME COLUMN source_id TO external_id")
    op.execute(LINK_HISTORY)
    for column, comment in COLUMN_COMMENTS.items():
        policies.say("link_history", column, comment)
    create_resolved_links_at("external_id")


def create_resolved_links_at(record: str) -> None:
    op.execute(history.RESOLVED_LINKS_AT.replace("source_id", record))
    op.execute(
        "COMMENT ON FUNCTION resolved_links_at IS"
        " 'What resolved_links showed at a moment; organisations as the release of the answer"
        " has them'"
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION resolved_links_at")
    op.execute("DROP VIEW link_history")
    op.execute(history.LINK_HISTORY)
    op.execute(
        f"COMMENT ON VIEW link_history IS {first.quoted(history.VIEW_COMMENTS['link_history'])}"
    )
    for column, comment in history.COLUMN_COMMENTS["link_history"].items():
        policies.say("link_history", column, comment)
    for view in set(RENAMED) - {"link_history"}:
        op.execute(f"ALTER VIEW {view} RENAME COLUMN external_id TO source_id")
    create_resolved_links_at("source_id")
    op.execute(
        "UPDATE link_override SET affiliation = 'forgotten ' || encode(text_hash, 'hex')"
        " WHERE affiliation IS NULL"
    )
    op.alter_column("link_override", "affiliation", nullable=False)
    policies.say("link_override", "affiliation", OVERRIDE[1])
    for table in ("link", "past_link"):
        policies.say(table, "probability", PROBABILITY[1])
    policies.say("past_link", "score", SCORE[1])
    for table, columns in COLUMNS.items():
        for name in columns:
            op.drop_column(table, name)
    drop_indexes(INDEXES)
