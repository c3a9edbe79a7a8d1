-- In the language and of the form that the planner writes out in the query that calls it: a condition
-- on the source then reads that source alone.
CREATE FUNCTION resolved_links_at(moment timestamptz) RETURNS TABLE (
    source text, external_id text, "position" integer, affiliation text, ror_id text, ror_url text,
    organisation text, country_code text, country text, city text, matched_name text,
    matched_text text, text_start smallint, text_end smallint, probability real, score real,
    rank smallint, stands_for text[], country_agreement text, city_named boolean,
    first_stage_rank smallint, sparse real, dense real, runner_up text, runner_up_name text,
    margin real, override_id bigint, organisation_status text, registry_release text,
    resolver_version integer, policy jsonb, resolved_at timestamptz
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        h.source, h.external_id, h.position, h.affiliation, h.ror_id, h.ror_url,
        h.organisation, o.country_code, o.country, o.city, h.matched_name,
        h.matched_text, h.text_start, h.text_end, h.probability, h.score, h.rank, h.stands_for,
        h.country_agreement, h.city_named, h.first_stage_rank, h.sparse, h.dense, h.runner_up,
        h.runner_up_name, h.margin, h.override_id, o.status, h.registry_release,
        h.resolver_version, h.policy, h.resolved_at
    FROM link_history h
    JOIN resolver_version v ON v.id = h.resolver_version
    LEFT JOIN release_organisation m ON m.release_id = v.release_id AND m.ror_id = h.ror_id
    LEFT JOIN organisation_version o ON o.id = m.organisation_version_id
    WHERE h.valid_from <= moment AND (h.valid_to IS NULL OR h.valid_to > moment)
$$;

COMMENT ON FUNCTION resolved_links_at IS
    'What resolved_links showed at a moment; organisations as the release of the answer has them';
