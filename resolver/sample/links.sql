SELECT affiliation, organisation, ror_id,
       round(probability::numeric, 2) AS probability
FROM resolved_links
ORDER BY source, external_id, position, rank;
