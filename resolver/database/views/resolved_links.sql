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
    substring(a.text FROM l.text_start + 1 FOR l.text_end - l.text_start) AS matched_text,
    l.text_start,
    l.text_end,
    l.probability,
    l.score,
    l.rank,
    l.stands_for,
    l.country_agreement,
    l.city_named,
    l.first_stage_rank,
    l.sparse,
    l.dense,
    l.runner_up,
    -- Looked up only where it is asked for.
    (
        SELECT n.name
        FROM release_organisation m JOIN organisation_version n ON n.id = m.organisation_version_id
        WHERE m.release_id = v.release_id AND m.ror_id = l.runner_up
    ) AS runner_up_name,
    l.margin,
    l.override_id,
    o.status AS organisation_status,
    r.version AS registry_release,
    u.resolver_version_id AS resolver_version,
    p.settings AS policy,
    u.resolved_at
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
JOIN link l ON l.affiliation_id = u.affiliation_id AND l.policy_id = u.policy_id
JOIN policy p ON p.id = s.policy_id
JOIN resolver_version v ON v.id = u.resolver_version_id
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
COMMENT ON COLUMN resolved_links.matched_name IS 'The name of the organisation that the text has';
COMMENT ON COLUMN resolved_links.matched_text IS
    'The part of the affiliation that has this name; null: written otherwise, as in another script';
COMMENT ON COLUMN resolved_links.text_start IS 'First character of matched_text, from 0';
COMMENT ON COLUMN resolved_links.text_end IS 'The character behind its last';
COMMENT ON COLUMN resolved_links.probability IS 'Calibrated probability of the link, 0 to 1; 1 where a curator decided';
COMMENT ON COLUMN resolved_links.score IS
    'The reranker''s logit; null where a curator decided and it was not read';
COMMENT ON COLUMN resolved_links.rank IS '1 is the best link of the affiliation';
COMMENT ON COLUMN resolved_links.stands_for IS
    'ROR ids of what is named, where successor or parent stand for it';
COMMENT ON COLUMN resolved_links.country_agreement IS
    'named: the text names its country; other_named: that of another candidate; none_named: neither';
COMMENT ON COLUMN resolved_links.city_named IS 'The text names the organisation''s city';
COMMENT ON COLUMN resolved_links.first_stage_rank IS
    'Its rank in the first stage, from 1; null: a curator decided and it was not found';
COMMENT ON COLUMN resolved_links.sparse IS 'The first stage''s score by words; null: not found so';
COMMENT ON COLUMN resolved_links.dense IS 'The first stage''s score by meaning; null: not found so';
COMMENT ON COLUMN resolved_links.runner_up IS
    'ROR id of the most probable rival for the same words; null: no rival';
COMMENT ON COLUMN resolved_links.runner_up_name IS 'Its name in the release of the answer';
COMMENT ON COLUMN resolved_links.margin IS 'How much less probable the runner-up is; null: no rival';
COMMENT ON COLUMN resolved_links.override_id IS
    'The curator''s decision that made the link: link_override.id; null: none';
COMMENT ON COLUMN resolved_links.organisation_status IS
    'In the release in use: active, inactive, withdrawn; null: not in it';
COMMENT ON COLUMN resolved_links.registry_release IS
    'Registry release that the answer was made from';
COMMENT ON COLUMN resolved_links.resolver_version IS 'Who gave the answer: resolver_version.id';
COMMENT ON COLUMN resolved_links.policy IS 'What was asked for: all choices';
COMMENT ON COLUMN resolved_links.resolved_at IS 'When the answer was stored';
