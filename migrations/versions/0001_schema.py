"""tables, views, functions and roles

The tables are those of 0001_tables.sql. The views and functions named below are read from their files
(`resolver.database.definitions`), but for the view `unmatched`, whose present form reads columns of a
later migration: 0001_unmatched.sql has the first one.

Roles belong to all databases of a server, so a role that is there already is taken as it is.
`resolver_grants` makes the two roles, where the user of the migration may make roles; `resolver
migrate` calls it again each time. Going back takes the privileges away, and drops a role that has
none in another database and no member.

Revision ID: 0001
Revises: nothing
"""

from pathlib import Path

from alembic import op

from resolver.database.definitions import function, view

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "past_link",
    "past_outcome",
    "past_record",
    "stale",
    "link",
    "outcome",
    "source_record",
    "refused_record",
    "link_override",
    "affiliation",
    "policy",
    "resolver_version",
    "model",
    "release_change",
    "release_organisation",
    "organisation_version",
    "registry_release",
)
"""In the order in which they can be dropped."""

VIEWS = (
    "organisations",
    "resolved_links",
    "unmatched",
    "pending",
    "link_history",
    "outdated",
    "override_problems",
    "drift",
)
FUNCTIONS = ("resolved_links_at", "resolver_grants")
"""In the order in which they can be created: a view after those that it reads."""

UNMATCHED = Path(__file__).with_name("0001_unmatched.sql").read_text(encoding="utf-8")

REVOKES = r"""
DROP FUNCTION resolver_grants();
DO $$
DECLARE
    here name := (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'link'::regclass);
    granted name;
BEGIN
    FOREACH granted IN ARRAY ARRAY['resolver_writer', 'resolver_reader'] LOOP
        CONTINUE WHEN to_regrole(granted) IS NULL;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', here, granted);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', here, granted);
        EXECUTE format(
            'REVOKE ALL ON FUNCTION resolved_links_at(timestamptz) FROM %I', granted);
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', here, granted);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I'
            ' REVOKE ALL ON TABLES FROM %I', here, granted);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I'
            ' REVOKE ALL ON SEQUENCES FROM %I', here, granted);
        -- A member is somebody's decision, and DROP ROLE would undo it without a word. Who made
        -- the role may be a member by that alone (Postgres 16).
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_auth_members m
            WHERE m.roleid = to_regrole(granted) AND NOT m.admin_option
        );
        BEGIN
            EXECUTE format('DROP ROLE %I', granted);
        EXCEPTION
            WHEN dependent_objects_still_exist THEN
                RAISE NOTICE '% has privileges in other databases, and is kept', granted;
            WHEN insufficient_privilege THEN
                RAISE NOTICE '% is kept: % may not drop it', granted, current_user;
            WHEN undefined_object THEN NULL;
        END;
    END LOOP;
END
$$;
"""


def upgrade() -> None:
    op.execute(Path(__file__).with_name("0001_tables.sql").read_text(encoding="utf-8"))
    for name in VIEWS:
        op.execute(UNMATCHED if name == "unmatched" else view(name))
    for name in FUNCTIONS:
        op.execute(function(name))
    op.execute("SELECT resolver_grants()")


def downgrade() -> None:
    op.execute(REVOKES)
    op.execute("DROP FUNCTION resolved_links_at")
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    for name in TABLES:
        op.execute(f"DROP TABLE {name}")
