CREATE VIEW resolved_links AS
SELECT
    s.source,
    s.external_id,
    s.position,
    a.text AS affiliation,
    l.ror_id,
    'https://ror.org/' || l.ror_id AS ror_url,
    coalesce(o.name, l.name) AS organisation,
    o.country_code,
    o.country,
    o.city,
    l.matched_name,
    nullif(l.evidence ->> 'text', '') AS matched_text,
    l.probability,
    l.score,
    l.rank,
    l.stands_for,
    l.evidence,
    o.status AS organisation_status,
    r.version AS registry_release,
    l.resolver_version_id AS resolver_version,
    p.settings AS policy,
    u.resolved_at
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
JOIN link l ON l.affiliation_id = u.affiliation_id AND l.policy_id = u.policy_id
JOIN policy p ON p.id = s.policy_id
JOIN resolver_version v ON v.id = l.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
LEFT JOIN organisations o ON o.ror_id = l.ror_id;

COMMENT ON VIEW resolved_links IS
    'One row for each link of each affiliation that was sent';
COMMENT ON COLUMN resolved_links.source IS 'Who sent it: crossref';
COMMENT ON COLUMN resolved_links.external_id IS 'Its record there: a DOI';
COMMENT ON COLUMN resolved_links.position IS 'Which affiliation of that record, from 0';
COMMENT ON COLUMN resolved_links.affiliation IS 'The normalised text';
COMMENT ON COLUMN resolved_links.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN resolved_links.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN resolved_links.organisation IS
    'Display name in the release in use, else as it was when linked';
COMMENT ON COLUMN resolved_links.country_code IS
    'ISO 3166-1 alpha-2, main place, in the release in use';
COMMENT ON COLUMN resolved_links.country IS 'Country of the main place, in the release in use';
COMMENT ON COLUMN resolved_links.city IS 'City of the main place, in the release in use';
COMMENT ON COLUMN resolved_links.matched_name IS 'The name that was met';
COMMENT ON COLUMN resolved_links.matched_text IS
    'The part of the affiliation that this name stands on';
COMMENT ON COLUMN resolved_links.probability IS 'Calibrated probability of the link, 0 to 1';
COMMENT ON COLUMN resolved_links.score IS 'The reranker''s logit';
COMMENT ON COLUMN resolved_links.rank IS '1 is the best link of the affiliation';
COMMENT ON COLUMN resolved_links.stands_for IS
    'ROR ids of what is named, where successor or parent stand for it';
COMMENT ON COLUMN resolved_links.evidence IS 'Why: part of the text, places, scores, runner-up';
COMMENT ON COLUMN resolved_links.organisation_status IS
    'In the release in use: active, inactive, withdrawn; null: not in it';
COMMENT ON COLUMN resolved_links.registry_release IS
    'Registry release that the answer was made from';
COMMENT ON COLUMN resolved_links.resolver_version IS 'Who gave the answer: resolver_version.id';
COMMENT ON COLUMN resolved_links.policy IS 'What was asked for: all choices';
COMMENT ON COLUMN resolved_links.resolved_at IS 'When the answer was stored';
