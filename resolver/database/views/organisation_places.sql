CREATE VIEW organisation_places AS
SELECT
    o.ror_id,
    o.ror_url,
    o.name AS organisation,
    number::integer AS number,
    place ->> 'city' AS city,
    place ->> 'region' AS region,
    place ->> 'country' AS country,
    place ->> 'country_code' AS country_code,
    (place -> 'latitude')::float8 AS latitude,
    (place -> 'longitude')::float8 AS longitude,
    (place -> 'geonames_id')::integer AS geonames_id
FROM organisations o
CROSS JOIN LATERAL jsonb_array_elements(o.record -> 'places')
    WITH ORDINALITY AS entry (place, number);

COMMENT ON VIEW organisation_places IS
    'Places of the organisations in use, with coordinates';
COMMENT ON COLUMN organisation_places.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN organisation_places.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN organisation_places.organisation IS 'Display name';
COMMENT ON COLUMN organisation_places.number IS '1 is the main place; few have more';
COMMENT ON COLUMN organisation_places.city IS 'City';
COMMENT ON COLUMN organisation_places.region IS 'State, province or the like';
COMMENT ON COLUMN organisation_places.country IS 'Country';
COMMENT ON COLUMN organisation_places.country_code IS 'ISO 3166-1 alpha-2';
COMMENT ON COLUMN organisation_places.latitude IS 'Of the city, in degrees, WGS 84';
COMMENT ON COLUMN organisation_places.longitude IS 'Of the city, in degrees, WGS 84';
COMMENT ON COLUMN organisation_places.geonames_id IS 'The city in GeoNames';
