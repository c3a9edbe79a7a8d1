CREATE VIEW organisations AS
SELECT
    v.ror_id,
    'https://ror.org/' || v.ror_id AS ror_url,
    v.name,
    v.status,
    v.types,
    v.country_code,
    v.country,
    v.city,
    v.established,
    r.version AS registry_release,
    v.record
FROM registry_release r
JOIN release_organisation m ON m.release_id = r.id
JOIN organisation_version v ON v.id = m.organisation_version_id
WHERE r.is_current;

COMMENT ON VIEW organisations IS
    'Organisations of the registry release in use';
COMMENT ON COLUMN organisations.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN organisations.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN organisations.name IS 'Display name';
COMMENT ON COLUMN organisations.status IS 'active, inactive or withdrawn';
COMMENT ON COLUMN organisations.types IS 'ROR''s types, in their order';
COMMENT ON COLUMN organisations.country_code IS 'ISO 3166-1 alpha-2, main place';
COMMENT ON COLUMN organisations.country IS 'Country of the main place';
COMMENT ON COLUMN organisations.city IS 'City of the main place';
COMMENT ON COLUMN organisations.established IS 'Year it was founded';
COMMENT ON COLUMN organisations.registry_release IS 'The release in use';
COMMENT ON COLUMN organisations.record IS 'The whole record: names, places, relations, identifiers';
