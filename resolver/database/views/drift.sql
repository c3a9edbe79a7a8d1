-- The week is a column to group by, so a condition on it is met before anything is added up.
CREATE VIEW drift AS
SELECT
    s.source,
    date_trunc('week', s.received_at AT TIME ZONE 'UTC')::date AS week,
    count(*) AS records,
    count(*) FILTER (WHERE o.status = 'no_match') AS no_match,
    (count(*) FILTER (WHERE o.status = 'no_match'))::float8 / count(*) AS no_match_share,
    avg(l.probability) AS mean_probability
FROM source_record s
JOIN outcome o ON o.affiliation_id = s.affiliation_id AND o.policy_id = s.policy_id
LEFT JOIN link l
    ON l.affiliation_id = o.affiliation_id AND l.policy_id = o.policy_id AND l.rank = 1
GROUP BY s.source, week;

COMMENT ON VIEW drift IS
    'Share of answers without a link and mean probability, by source and week';
COMMENT ON COLUMN drift.source IS 'Who sent the records';
COMMENT ON COLUMN drift.week IS 'Monday of the week in which they were received, UTC';
COMMENT ON COLUMN drift.records IS 'Records that have an answer';
COMMENT ON COLUMN drift.no_match IS 'Records of these without a link';
COMMENT ON COLUMN drift.no_match_share IS 'no_match in relation to records, 0 to 1';
COMMENT ON COLUMN drift.mean_probability IS
    'Mean over the others of the probability of the best link; null if none';
