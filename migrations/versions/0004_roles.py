"""roles for those who write and those who only read

Two roles without login, for an operator to grant to the users that log in: `resolver_writer` for
workers and whoever sends, loads and overrides, `resolver_reader` for analysts. Roles belong to all
databases of a server, so what is there already is taken as it is.

The function `resolver_grants` makes them and gives them their privileges in this database. It may
be called again at any time, and `resolver migrate` does: where the user of the migration may not
make roles, it says what an administrator is to run, and grants once that is done. No table is
touched.

Going back takes the privileges away, and drops a role that has none in another database and no
member.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

GRANTS = r"""
CREATE FUNCTION resolver_grants() RETURNS text
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    -- First among the schemas of the migration: where the tables are.
    here name := (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'link'::regclass);
    wanted name;
    missing name[] := '{}';
BEGIN
    FOREACH wanted IN ARRAY ARRAY['resolver_writer', 'resolver_reader'] LOOP
        IF to_regrole(wanted) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION
                WHEN insufficient_privilege THEN missing := missing || wanted;
                -- Another database of this server is migrated at the same time.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    IF cardinality(missing) > 0 THEN
        RETURN (SELECT string_agg(format('CREATE ROLE %I NOLOGIN;', role), ' ')
                FROM unnest(missing) AS role);
    END IF;

    EXECUTE format('GRANT USAGE ON SCHEMA %I TO resolver_writer, resolver_reader', here);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO resolver_reader', here);
    EXECUTE format(
        'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO resolver_writer', here);
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I.alembic_version FROM resolver_writer', here);
    EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO resolver_writer', here);
    GRANT EXECUTE ON FUNCTION resolved_links_at(timestamptz) TO resolver_writer, resolver_reader;

    -- What later migrations make.
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I'
        ' GRANT SELECT ON TABLES TO resolver_reader', here);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I'
        ' GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO resolver_writer', here);
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I'
        ' GRANT USAGE ON SEQUENCES TO resolver_writer', here);
    -- Statistics after a load; before this version only the owner may make them.
    IF current_setting('server_version_num')::int >= 170000 THEN
        GRANT MAINTAIN ON organisation_version, release_organisation TO resolver_writer;
    END IF;
    RETURN NULL;
END
$function$;
REVOKE EXECUTE ON FUNCTION resolver_grants() FROM PUBLIC;
COMMENT ON FUNCTION resolver_grants() IS
    'Makes resolver_writer and resolver_reader and gives them their privileges here; returns what'
    ' an administrator must run first, or null';
SELECT resolver_grants();
"""

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
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute(REVOKES)
