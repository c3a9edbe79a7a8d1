SELECT affiliation, reason
FROM unresolved
ORDER BY reason, source, source_id, position;
