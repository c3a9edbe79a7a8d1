"""overrides that a text names no organisation, and what came nearest where an answer has no link

Going back deletes these overrides, since the earlier schema has no place for them, and marks the
answers that they decided as due.

Revision ID: 0011
Revises: 0010
"""

from pathlib import Path

from alembic import op

from resolver.database.definitions import view

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NONE = """
ALTER TABLE link_override ALTER COLUMN ror_id DROP NOT NULL;
ALTER TABLE link_override DROP CONSTRAINT ck_link_override_verdict;
ALTER TABLE link_override ADD CONSTRAINT ck_link_override_verdict
    CHECK (verdict in ('is', 'is not', 'none'));
ALTER TABLE link_override ADD CONSTRAINT ck_link_override_ror_id
    CHECK ((verdict = 'none') = (ror_id is null));
CREATE UNIQUE INDEX uq_link_override_text_hash_none ON link_override (text_hash)
    WHERE verdict = 'none' AND ended_at IS NULL;
COMMENT ON COLUMN link_override.ror_id IS 'Nine characters after https://ror.org/; null: none';
COMMENT ON COLUMN link_override.verdict IS
    'is, is not, or none: the text names none of the registry''s organisations';
"""

NEAREST = """
ALTER TABLE outcome
    ADD COLUMN nearest TEXT,
    ADD COLUMN nearest_probability REAL,
    ADD CONSTRAINT ck_outcome_nearest CHECK (
        nearest is null and nearest_probability is null
        or status = 'no_match' and nearest is not null and nearest_probability between 0 and 1
    );
COMMENT ON COLUMN outcome.nearest IS
    'ROR id of the most probable candidate of an answer without a link; null: none, or not known';
COMMENT ON COLUMN outcome.nearest_probability IS 'Its probability, 0 to 1; null as nearest';
"""

UNMATCHED_BEFORE = Path(__file__).with_name("0001_unmatched.sql").read_text(encoding="utf-8")

WITHOUT_NEAREST = """
ALTER TABLE outcome
    DROP CONSTRAINT ck_outcome_nearest,
    DROP COLUMN nearest,
    DROP COLUMN nearest_probability
"""

WITHOUT_NONE = """
INSERT INTO stale (affiliation_id, policy_id, resolver_version_id, cause)
SELECT o.affiliation_id, o.policy_id, o.resolver_version_id, 'override'
FROM link_override x
JOIN affiliation a ON a.text_hash = x.text_hash
JOIN outcome o ON o.affiliation_id = a.id
WHERE x.verdict = 'none' AND x.id = ANY(o.overrides)
ON CONFLICT (affiliation_id, policy_id, resolver_version_id) DO NOTHING;
DELETE FROM link_override WHERE verdict = 'none';
DROP INDEX uq_link_override_text_hash_none;
ALTER TABLE link_override DROP CONSTRAINT ck_link_override_ror_id;
ALTER TABLE link_override DROP CONSTRAINT ck_link_override_verdict;
ALTER TABLE link_override ADD CONSTRAINT ck_link_override_verdict
    CHECK (verdict in ('is', 'is not'));
ALTER TABLE link_override ALTER COLUMN ror_id SET NOT NULL;
COMMENT ON COLUMN link_override.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN link_override.verdict IS 'is or is not';
"""


def upgrade() -> None:
    op.execute(NONE)
    op.execute(NEAREST)
    # `outdated` as it was read all columns of answers there were.
    for name in ("override_problems", "unmatched", "outdated"):
        op.execute(f"DROP VIEW {name}")
        op.execute(view(name))


def downgrade() -> None:
    op.execute("DROP VIEW unmatched")
    op.execute(WITHOUT_NEAREST)
    op.execute(UNMATCHED_BEFORE)
    # The other two views stay as they are: they read the earlier tables, too.
    op.execute(WITHOUT_NONE)
