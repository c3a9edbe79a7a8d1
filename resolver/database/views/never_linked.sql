-- A scalar subquery is an index lookup for each organisation, whatever the planner expects of the
-- number of links.
CREATE VIEW never_linked AS
SELECT
    o.ror_id,
    o.ror_url,
    o.name,
    o.status,
    o.types,
    o.country_code,
    o.country,
    o.city,
    o.established,
    o.registry_release
FROM organisations o
WHERE (SELECT l.ror_id FROM link l WHERE l.ror_id = o.ror_id LIMIT 1) IS NULL
AND (SELECT l.ror_id FROM past_link l WHERE l.ror_id = o.ror_id LIMIT 1) IS NULL;

COMMENT ON VIEW never_linked IS
    'Organisations in use that no answer has, neither present nor past';
COMMENT ON COLUMN never_linked.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN never_linked.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN never_linked.name IS 'Display name';
COMMENT ON COLUMN never_linked.status IS 'active, inactive or withdrawn';
COMMENT ON COLUMN never_linked.types IS 'ROR''s types, in their order';
COMMENT ON COLUMN never_linked.country_code IS 'ISO 3166-1 alpha-2, main place';
COMMENT ON COLUMN never_linked.country IS 'Country of the main place';
COMMENT ON COLUMN never_linked.city IS 'City of the main place';
COMMENT ON COLUMN never_linked.established IS 'Year it was founded';
COMMENT ON COLUMN never_linked.registry_release IS 'The release in use';
