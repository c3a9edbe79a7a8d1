CREATE VIEW override_problems AS
SELECT
    x.id AS override_id,
    x.affiliation,
    x.ror_id,
    'https://ror.org/' || x.ror_id AS ror_url,
    x.verdict,
    (
        SELECT n.name FROM organisation_version n
        WHERE n.ror_id = x.ror_id ORDER BY n.id DESC LIMIT 1
    ) AS organisation,
    o.status,
    ARRAY(
        SELECT relation ->> 'id' FROM jsonb_array_elements(o.record -> 'relations') AS relation
        WHERE relation ->> 'kind' = 'successor'
    ) AS successors,
    x.author,
    x.note,
    x.created_at
FROM link_override x
LEFT JOIN organisations o ON o.ror_id = x.ror_id
WHERE x.ended_at IS NULL AND x.verdict <> 'none' AND o.status IS DISTINCT FROM 'active';

COMMENT ON VIEW override_problems IS
    'Overrides that hold, of organisations without an active record';
COMMENT ON COLUMN override_problems.override_id IS 'link_override.id';
COMMENT ON COLUMN override_problems.affiliation IS 'The normalised text';
COMMENT ON COLUMN override_problems.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN override_problems.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN override_problems.verdict IS 'is or is not';
COMMENT ON COLUMN override_problems.organisation IS
    'Display name in the release that had it last; null: none had it';
COMMENT ON COLUMN override_problems.status IS
    'In the release in use: inactive, withdrawn; null: not in it';
COMMENT ON COLUMN override_problems.successors IS 'ROR ids that the registry names in its place';
COMMENT ON COLUMN override_problems.author IS 'Who decided';
COMMENT ON COLUMN override_problems.note IS 'Why; may be empty';
COMMENT ON COLUMN override_problems.created_at IS 'Since when';
