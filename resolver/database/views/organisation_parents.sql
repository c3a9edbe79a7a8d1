-- The organisations are read once and all ancestors found together, which takes as long for one
-- organisation as for all: a recursion for each of them would take ten times as long. `path` ends
-- circles.
CREATE VIEW organisation_parents AS
WITH RECURSIVE organisation AS MATERIALIZED (
    SELECT ror_id, ror_url, name, status, record -> 'relations' AS relations FROM organisations
), parent AS MATERIALIZED (
    SELECT o.ror_id, relation ->> 'id' AS parent_ror_id
    FROM organisation o
    CROSS JOIN LATERAL jsonb_array_elements(o.relations) AS relation
    WHERE relation ->> 'kind' = 'parent'
), ancestor (ror_id, parent_ror_id, depth, path) AS (
    SELECT ror_id, parent_ror_id, 1, ARRAY[ror_id, parent_ror_id]
    FROM parent
    WHERE parent_ror_id <> ror_id
    UNION ALL
    SELECT a.ror_id, p.parent_ror_id, a.depth + 1, a.path || p.parent_ror_id
    FROM ancestor a
    JOIN parent p ON p.ror_id = a.parent_ror_id
    WHERE p.parent_ror_id <> ALL (a.path)
), nearest AS (
    SELECT ror_id, parent_ror_id, min(depth) AS depth FROM ancestor GROUP BY ror_id, parent_ror_id
)
SELECT
    o.ror_id,
    o.ror_url,
    o.name AS organisation,
    p.ror_id AS parent_ror_id,
    p.ror_url AS parent_ror_url,
    p.name AS parent,
    p.status AS parent_status,
    n.depth
FROM nearest n
JOIN organisation o ON o.ror_id = n.ror_id
JOIN organisation p ON p.ror_id = n.parent_ror_id;

COMMENT ON VIEW organisation_parents IS
    'Parents of the organisations in use, their parents, and so on to the top';
COMMENT ON COLUMN organisation_parents.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN organisation_parents.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN organisation_parents.organisation IS 'Display name';
COMMENT ON COLUMN organisation_parents.parent_ror_id IS 'The parent''s ROR id, nine characters';
COMMENT ON COLUMN organisation_parents.parent_ror_url IS 'The parent''s ROR id in full';
COMMENT ON COLUMN organisation_parents.parent IS 'The parent''s display name';
COMMENT ON COLUMN organisation_parents.parent_status IS 'active, inactive or withdrawn';
COMMENT ON COLUMN organisation_parents.depth IS
    '1: a parent, 2: a parent of a parent, and so on, by the shortest way';
