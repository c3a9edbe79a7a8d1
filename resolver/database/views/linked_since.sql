-- `link.since` is carried from answer to answer as long as each has the organisation.
CREATE VIEW linked_since AS
SELECT
    s.source,
    s.external_id,
    s.position,
    a.text AS affiliation,
    l.ror_id,
    'https://ror.org/' || l.ror_id AS ror_url,
    coalesce(o.name, l.name) AS organisation,
    l.since AS linked_since,
    r.version AS linked_since_release,
    l.since_reason AS linked_since_reason,
    s.received_at,
    p.settings AS policy
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN link l ON l.affiliation_id = s.affiliation_id AND l.policy_id = s.policy_id
JOIN policy p ON p.id = s.policy_id
JOIN resolver_version v ON v.id = l.since_version_id
JOIN registry_release r ON r.id = v.release_id
LEFT JOIN organisations o ON o.ror_id = l.ror_id;

COMMENT ON VIEW linked_since IS
    'Since when an affiliation has had each of its present links without a break';
COMMENT ON COLUMN linked_since.source IS 'Who sent it: crossref';
COMMENT ON COLUMN linked_since.external_id IS 'Its record there: a DOI';
COMMENT ON COLUMN linked_since.position IS 'Which affiliation of that record, from 0';
COMMENT ON COLUMN linked_since.affiliation IS 'The normalised text';
COMMENT ON COLUMN linked_since.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN linked_since.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN linked_since.organisation IS
    'Display name in the release in use, else as it was when linked';
COMMENT ON COLUMN linked_since.linked_since IS
    'Since when answers for the text have this organisation without a break';
COMMENT ON COLUMN linked_since.linked_since_release IS
    'The release that the first of these was made from';
COMMENT ON COLUMN linked_since.linked_since_reason IS
    'Why that one was given: source sent, registry release, resolver change, override or resolved'
    ' again';
COMMENT ON COLUMN linked_since.received_at IS
    'When this text was received, with this policy; may be later than linked_since';
COMMENT ON COLUMN linked_since.policy IS 'What was asked for: all choices';
