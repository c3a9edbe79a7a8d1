CREATE VIEW organisation_topmost_parents AS
WITH active AS MATERIALIZED (
    SELECT ror_id, parent_ror_id, parent, depth
    FROM organisation_parents
    WHERE parent_status = 'active'
), topmost AS (
    SELECT *
    FROM active a
    WHERE NOT EXISTS (SELECT FROM active b WHERE b.ror_id = a.parent_ror_id)
)
SELECT
    o.ror_id,
    o.ror_url,
    o.name AS organisation,
    coalesce(t.parent_ror_id, o.ror_id) AS parent_ror_id,
    'https://ror.org/' || coalesce(t.parent_ror_id, o.ror_id) AS parent_ror_url,
    coalesce(t.parent, o.name) AS parent,
    coalesce(t.depth, 0) AS depth
FROM organisations o
LEFT JOIN topmost t ON t.ror_id = o.ror_id;

COMMENT ON VIEW organisation_topmost_parents IS
    'Active parents without an active parent of their own; an organisation that has none stands'
    ' for itself';
COMMENT ON COLUMN organisation_topmost_parents.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN organisation_topmost_parents.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN organisation_topmost_parents.organisation IS 'Display name';
COMMENT ON COLUMN organisation_topmost_parents.parent_ror_id IS
    'The topmost parent''s ROR id, nine characters';
COMMENT ON COLUMN organisation_topmost_parents.parent_ror_url IS
    'The topmost parent''s ROR id in full';
COMMENT ON COLUMN organisation_topmost_parents.parent IS 'The topmost parent''s display name';
COMMENT ON COLUMN organisation_topmost_parents.depth IS
    'Steps from the organisation to it, by the shortest way; 0: it is the organisation itself';
