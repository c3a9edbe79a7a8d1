-- Of an answer that several versions have marked one row is shown. Written so that an index is read:
-- an array, and a range of one version, of which Postgres does not expect all answers.
CREATE VIEW outdated AS
WITH RECURSIVE valid AS (
    SELECT id, carries_id FROM resolver_version WHERE is_current
    UNION
    SELECT v.id, v.carries_id FROM resolver_version v JOIN valid ON v.id = valid.carries_id
)
SELECT
    s.source,
    s.external_id,
    s.position,
    a.text AS affiliation,
    d.cause,
    d.ror_id,
    r.version AS registry_release,
    d.resolver_version_id AS resolver_version,
    p.settings AS policy,
    d.resolved_at
FROM (
    SELECT
        u.affiliation_id, u.policy_id, u.resolver_version_id, u.resolved_at, m.cause, m.ror_id
    FROM stale m
    JOIN outcome u ON u.affiliation_id = m.affiliation_id AND u.policy_id = m.policy_id
    WHERE m.resolver_version_id = ANY(ARRAY(SELECT id FROM valid))
    AND NOT EXISTS (
        SELECT FROM stale n
        WHERE n.affiliation_id = m.affiliation_id AND n.policy_id = m.policy_id
        AND n.resolver_version_id > m.resolver_version_id
        AND n.resolver_version_id = ANY(ARRAY(SELECT id FROM valid))
    )
    UNION ALL
    SELECT
        u.affiliation_id, u.policy_id, u.resolver_version_id, u.resolved_at,
        'resolver change', NULL
    FROM (SELECT id FROM resolver_version EXCEPT SELECT id FROM valid) w
    CROSS JOIN LATERAL (
        SELECT affiliation_id, policy_id, resolver_version_id, resolved_at FROM outcome
        WHERE resolver_version_id >= w.id AND resolver_version_id <= w.id
        OFFSET 0
    ) u
    WHERE NOT EXISTS (
        SELECT FROM stale m
        WHERE m.affiliation_id = u.affiliation_id AND m.policy_id = u.policy_id
        AND m.resolver_version_id = ANY(ARRAY(SELECT id FROM valid))
    )
) d
JOIN source_record s ON s.affiliation_id = d.affiliation_id AND s.policy_id = d.policy_id
JOIN affiliation a ON a.id = d.affiliation_id
JOIN policy p ON p.id = d.policy_id
JOIN resolver_version v ON v.id = d.resolver_version_id
JOIN registry_release r ON r.id = v.release_id;

COMMENT ON VIEW outdated IS
    'Affiliations whose answer is to be given again';
COMMENT ON COLUMN outdated.source IS 'Who sent it: crossref';
COMMENT ON COLUMN outdated.external_id IS 'Its record there: a DOI';
COMMENT ON COLUMN outdated.position IS 'Which affiliation of that record, from 0';
COMMENT ON COLUMN outdated.affiliation IS 'The normalised text';
COMMENT ON COLUMN outdated.cause IS
    'organisation changed, organisation added, no answer before, override, or resolver change: of a'
    ' version that the one in use does not carry';
COMMENT ON COLUMN outdated.ror_id IS 'The organisation that is the cause, where it is known';
COMMENT ON COLUMN outdated.registry_release IS 'Registry release that the answer was made from';
COMMENT ON COLUMN outdated.resolver_version IS 'Who gave the answer: resolver_version.id';
COMMENT ON COLUMN outdated.policy IS 'What was asked for: all choices';
COMMENT ON COLUMN outdated.resolved_at IS 'When the answer was stored';
