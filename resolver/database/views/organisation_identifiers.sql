CREATE VIEW organisation_identifiers AS
SELECT
    o.ror_id,
    o.ror_url,
    o.name AS organisation,
    identifier ->> 'scheme' AS scheme,
    e.value,
    coalesce(e.value = identifier ->> 'preferred', false) AS preferred
FROM organisations o
CROSS JOIN LATERAL jsonb_array_elements(o.record -> 'identifiers') AS identifier
CROSS JOIN LATERAL jsonb_array_elements_text(
    coalesce(identifier -> 'values', '[]')
    -- ROR lists the preferred one among the others; if it does not, it is an identifier all the same.
    || CASE
        WHEN identifier -> 'values' @> (identifier -> 'preferred') THEN '[]'
        ELSE coalesce(identifier -> 'preferred', '[]')
    END
) AS e (value);

COMMENT ON VIEW organisation_identifiers IS
    'Identifiers in other registries of the organisations in use, one a row';
COMMENT ON COLUMN organisation_identifiers.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN organisation_identifiers.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN organisation_identifiers.organisation IS 'Display name';
COMMENT ON COLUMN organisation_identifiers.scheme IS 'fundref, grid, isni or wikidata';
COMMENT ON COLUMN organisation_identifiers.value IS 'As ROR writes it: grid.4991.5, Q34433';
COMMENT ON COLUMN organisation_identifiers.preferred IS
    'ROR prefers it to the others of this scheme';
