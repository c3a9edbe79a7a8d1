SELECT source_id, affiliation, organisation, country_code, ror_id, round(probability::numeric, 3) AS probability
FROM resolved_links
WHERE source = 'demo'
ORDER BY source_id, position, rank;
