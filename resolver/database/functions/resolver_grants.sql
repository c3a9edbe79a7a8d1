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
