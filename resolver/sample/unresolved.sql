SELECT source_id, affiliation, reason
FROM unresolved
WHERE source = 'demo'
ORDER BY reason, source_id, position;
