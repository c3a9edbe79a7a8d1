SELECT affiliation, reason
FROM unresolved
ORDER BY reason, source, external_id, position;
