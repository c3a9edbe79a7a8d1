CREATE VIEW unmatched AS
SELECT
    s.source,
    s.external_id,
    s.position,
    a.text AS affiliation,
    u.reason,
    r.version AS registry_release,
    u.resolver_version_id AS resolver_version,
    p.settings AS policy,
    u.resolved_at,
    u.nearest,
    (
        SELECT n.name FROM organisation_version n
        WHERE n.ror_id = u.nearest ORDER BY n.id DESC LIMIT 1
    ) AS nearest_name,
    u.nearest_probability
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
JOIN policy p ON p.id = s.policy_id
JOIN resolver_version v ON v.id = u.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
WHERE u.status = 'no_match';

COMMENT ON VIEW unmatched IS
    'Affiliations that were sent and answered with no organisation';
COMMENT ON COLUMN unmatched.source IS 'Who sent it: crossref';
COMMENT ON COLUMN unmatched.external_id IS 'Its record there: a DOI';
COMMENT ON COLUMN unmatched.position IS 'Which affiliation of that record, from 0';
COMMENT ON COLUMN unmatched.affiliation IS 'The normalised text';
COMMENT ON COLUMN unmatched.reason IS 'Why there is no link';
COMMENT ON COLUMN unmatched.registry_release IS 'Registry release that the answer was made from';
COMMENT ON COLUMN unmatched.resolver_version IS 'Who gave the answer: resolver_version.id';
COMMENT ON COLUMN unmatched.policy IS 'What was asked for: all choices';
COMMENT ON COLUMN unmatched.resolved_at IS 'When the answer was stored';
COMMENT ON COLUMN unmatched.nearest IS
    'ROR id of the most probable candidate; null: none, or not known';
COMMENT ON COLUMN unmatched.nearest_name IS
    'Its display name in the release that had it last';
COMMENT ON COLUMN unmatched.nearest_probability IS 'Its probability, 0 to 1; null as nearest';
