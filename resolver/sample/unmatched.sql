SELECT affiliation, reason
FROM unmatched
ORDER BY reason, source, external_id, position;
