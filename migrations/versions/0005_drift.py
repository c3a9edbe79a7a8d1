"""the view drift: how answers change by source and week

A view alone: no table is touched, and nothing is computed before it is asked.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import importlib

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

first = importlib.import_module("resolver.migrations.versions.0001_registry_affiliations_and_links")

# The week is a column to group by, so a condition on it is met before anything is added up.
DRIFT = """
CREATE VIEW drift AS
SELECT
    s.source,
    date_trunc('week', s.received_at AT TIME ZONE 'UTC')::date AS week,
    count(*) AS records,
    count(*) FILTER (WHERE o.status = 'no_match') AS no_match,
    (count(*) FILTER (WHERE o.status = 'no_match'))::float8 / count(*) AS no_match_share,
    avg(l.probability) AS mean_probability
FROM source_record s
JOIN outcome o ON o.affiliation_id = s.affiliation_id AND o.policy_id = s.policy_id
LEFT JOIN link l
    ON l.affiliation_id = o.affiliation_id AND l.policy_id = o.policy_id AND l.rank = 1
GROUP BY s.source, week
"""

COMMENTS = {
    "source": "Who sent the records",
    "week": "Monday of the week in which they were received, UTC",
    "records": "Records that have an answer",
    "no_match": "Records of these without a link",
    "no_match_share": "no_match in relation to records, 0 to 1",
    "mean_probability": "Mean over the others of the probability of the best link; null if none",
}


def upgrade() -> None:
    op.execute(DRIFT)
    op.execute(
        "COMMENT ON VIEW drift IS"
        " 'Share of answers without a link and mean probability, by source and week'"
    )
    for column, comment in COMMENTS.items():
        op.execute(f"COMMENT ON COLUMN drift.{column} IS {first.quoted(comment)}")


def downgrade() -> None:
    op.execute("DROP VIEW drift")
