"""overrides that a text names none of the registry's organisations

Going back deletes them, since the earlier schema has no place for them, and marks the answers that
they decided as due.

Revision ID: 0011
Revises: 0010
"""

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
    op.execute("DROP VIEW override_problems")
    op.execute(view("override_problems"))


def downgrade() -> None:
    # The view stays as it is: it reads the earlier table, too.
    op.execute(WITHOUT_NONE)
