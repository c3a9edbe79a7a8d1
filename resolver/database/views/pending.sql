CREATE VIEW pending AS
SELECT
    s.source,
    s.external_id,
    s.position,
    a.text AS affiliation,
    p.settings AS policy,
    s.received_at
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN policy p ON p.id = s.policy_id
WHERE NOT EXISTS (
    SELECT FROM outcome u
    WHERE u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
);

COMMENT ON VIEW pending IS
    'Affiliations that were sent and have no answer yet';
COMMENT ON COLUMN pending.source IS 'Who sent it: crossref';
COMMENT ON COLUMN pending.external_id IS 'Its record there: a DOI';
COMMENT ON COLUMN pending.position IS 'Which affiliation of that record, from 0';
COMMENT ON COLUMN pending.affiliation IS 'The normalised text';
COMMENT ON COLUMN pending.policy IS 'What was asked for: all choices';
COMMENT ON COLUMN pending.received_at IS 'When this text was received, with this policy';
