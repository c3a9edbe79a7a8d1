CREATE FUNCTION resolver_grants() RETURNS text
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    -- First among the schemas of the migration: where the tables are.
    here name := (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'link'::regclass);
    -- Earlier schemas have no review.
    reviewed boolean := to_regclass(format('%I.review_item', here)) IS NOT NULL;
    wanted name;
    missing name[] := '{}';
BEGIN
    FOREACH wanted IN ARRAY ARRAY['resolver_writer', 'resolver_reader']::name[]
        || CASE WHEN reviewed THEN '{resolver_curator}'::name[] ELSE '{}' END
    LOOP
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

    -- Who reviews reads all, adds decisions, overrides and marks, and changes no more than how far
    -- these are: neither answers nor what was decided.
    IF reviewed THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO resolver_curator', here);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO resolver_curator', here);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I'
            ' GRANT SELECT ON TABLES TO resolver_curator', here);
        GRANT EXECUTE ON FUNCTION resolved_links_at(timestamptz) TO resolver_curator;
        GRANT INSERT ON review_decision, review_lacking, link_override, stale TO resolver_curator;
        GRANT UPDATE (lease_by, lease_until, state, why, barred) ON review_item TO resolver_curator;
        GRANT UPDATE (ended_at, ended_by_author, ended_note) ON review_decision
            TO resolver_curator;
        GRANT UPDATE (fields, records, author, state, ror_issue, updated_at) ON review_lacking
            TO resolver_curator;
        -- The text too: an override of a forgotten text gets it back.
        GRANT UPDATE (ended_at, ended_by_author, ended_note, affiliation) ON link_override
            TO resolver_curator;
    END IF;
    -- Statistics after a load; before this version only the owner may make them.
    IF current_setting('server_version_num')::int >= 170000 THEN
        GRANT MAINTAIN ON organisation_version, release_organisation TO resolver_writer;
    END IF;
    RETURN NULL;
END
$function$;
REVOKE EXECUTE ON FUNCTION resolver_grants() FROM PUBLIC;
COMMENT ON FUNCTION resolver_grants() IS
    'Makes resolver_writer, resolver_reader and resolver_curator and gives them their privileges'
    ' here; returns what an administrator must run first, or null';
