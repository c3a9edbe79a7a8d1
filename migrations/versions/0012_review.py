"""review: the queue of the review page, what people decide there, and a role for them

The tables are those of 0012_tables.sql. The queue is empty at first: `resolver review rebuild` fills
it from the stored answers, and answers that are stored from now on fill it by themselves.

`resolver_grants` is made anew, to make the role resolver_curator too and give it its privileges.

Revision ID: 0012
Revises: 0011
"""

from pathlib import Path

from alembic import op

from resolver.database.definitions import function

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = ("review_lacking", "review_decision", "review_item")

REVOKES = r"""
DO $$
DECLARE
    here name := (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'link'::regclass);
BEGIN
    IF to_regrole('resolver_curator') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM resolver_curator', here);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM resolver_curator', here);
    REVOKE ALL ON FUNCTION resolved_links_at(timestamptz) FROM resolver_curator;
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM resolver_curator', here);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I'
        ' REVOKE ALL ON TABLES FROM resolver_curator', here);
    -- As in 0001: not where somebody is a member.
    IF EXISTS (
        SELECT FROM pg_auth_members m
        WHERE m.roleid = to_regrole('resolver_curator') AND NOT m.admin_option
    ) THEN
        RETURN;
    END IF;
    BEGIN
        DROP ROLE resolver_curator;
    EXCEPTION
        WHEN dependent_objects_still_exist THEN
            RAISE NOTICE 'resolver_curator has privileges in other databases, and is kept';
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'resolver_curator is kept: % may not drop it', current_user;
        WHEN undefined_object THEN NULL;
    END;
END
$$;
"""


def upgrade() -> None:
    op.execute(Path(__file__).with_name("0012_tables.sql").read_text(encoding="utf-8"))
    op.execute("DROP FUNCTION resolver_grants()")
    op.execute(function("resolver_grants"))
    op.execute("SELECT resolver_grants()")


def downgrade() -> None:
    for name in TABLES:
        op.execute(f"DROP TABLE {name}")
    op.execute(REVOKES)
