-- Four times a record and an answer, each of the present or of the past. A record that came when its
-- text was answered already begins with the record; `same_after` says that only its
-- raw text changed, which changes no link.
CREATE VIEW link_history AS
SELECT
    h.source,
    h.external_id,
    h.position,
    a.text AS affiliation,
    h.ror_id,
    'https://ror.org/' || h.ror_id AS ror_url,
    h.name AS organisation,
    h.matched_name,
    substring(a.text FROM h.text_start + 1 FOR h.text_end - h.text_start) AS matched_text,
    h.text_start,
    h.text_end,
    h.probability,
    h.score,
    h.rank,
    h.stands_for,
    h.country_agreement,
    h.city_named,
    h.first_stage_rank,
    h.sparse,
    h.dense,
    h.runner_up,
    -- Looked up only where it is asked for.
    (
        SELECT n.name
        FROM release_organisation m JOIN organisation_version n ON n.id = m.organisation_version_id
        WHERE m.release_id = v.release_id AND m.ror_id = h.runner_up
    ) AS runner_up_name,
    h.margin,
    h.override_id,
    p.settings AS policy,
    h.resolver_version_id AS resolver_version,
    r.version AS registry_release,
    k.name AS reranker,
    h.resolved_at,
    greatest(h.received_at, h.resolved_at) AS valid_from,
    h.valid_to,
    h.end_reason,
    h.continued,
    CASE
        WHEN h.received_at <= h.resolved_at THEN h.beginning
        WHEN EXISTS (
            SELECT FROM past_record q
            WHERE q.source = h.source AND q.external_id = h.external_id AND q.position = h.position
            AND q.ended_at = h.received_at AND q.end_reason = 'changed'
            AND q.affiliation_id = h.affiliation_id AND q.policy_id = h.policy_id
        ) THEN 'confirmed'
        ELSE 'new'
    END AS beginning,
    CASE
        WHEN h.received_at <= h.resolved_at THEN h.begin_reason ELSE 'source sent'
    END AS begin_reason,
    e.version AS end_release,
    h.since AS linked_since,
    f.version AS linked_since_release,
    h.since_reason AS linked_since_reason
FROM (
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id, s.received_at,
        u.resolver_version_id, u.resolved_at, u.begin_reason,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for,
        l.text_start, l.text_end, l.country_agreement, l.city_named, l.first_stage_rank, l.sparse,
        l.dense, l.runner_up, l.margin, l.override_id,
        l.beginning, l.since, l.since_version_id, l.since_reason,
        NULL::timestamptz AS valid_to,
        NULL::text AS end_reason,
        false AS continued,
        NULL::integer AS ended_by
    FROM source_record s
    JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN link l ON l.affiliation_id = u.affiliation_id AND l.policy_id = u.policy_id
    UNION ALL
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id, s.received_at,
        u.resolver_version_id, u.resolved_at, u.begin_reason,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for,
        l.text_start, l.text_end, l.country_agreement, l.city_named, l.first_stage_rank, l.sparse,
        l.dense, l.runner_up, l.margin, l.override_id,
        l.beginning, l.since, l.since_version_id, l.since_reason,
        u.ended_at,
        u.end_reason,
        l.continued,
        u.ended_by
    FROM source_record s
    JOIN past_outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN past_link l ON l.past_outcome_id = u.id
    WHERE greatest(s.received_at, u.resolved_at) < u.ended_at
    UNION ALL
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id, s.received_at,
        u.resolver_version_id, u.resolved_at, u.begin_reason,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for,
        l.text_start, l.text_end, l.country_agreement, l.city_named, l.first_stage_rank, l.sparse,
        l.dense, l.runner_up, l.margin, l.override_id,
        l.beginning, l.since, l.since_version_id, l.since_reason,
        s.ended_at,
        'source ' || s.end_reason,
        s.same_after,
        NULL
    FROM (
        SELECT
            d.*,
            d.end_reason = 'changed' AND (
                EXISTS (
                    SELECT FROM source_record n
                    WHERE n.source = d.source AND n.external_id = d.external_id
                    AND n.position = d.position AND n.received_at = d.ended_at
                    AND n.affiliation_id = d.affiliation_id AND n.policy_id = d.policy_id
                )
                OR EXISTS (
                    SELECT FROM past_record n
                    WHERE n.source = d.source AND n.external_id = d.external_id
                    AND n.position = d.position AND n.received_at = d.ended_at
                    AND n.affiliation_id = d.affiliation_id AND n.policy_id = d.policy_id
                )
            ) AS same_after
        FROM past_record d
    ) s
    JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN link l ON l.affiliation_id = u.affiliation_id AND l.policy_id = u.policy_id
    WHERE greatest(s.received_at, u.resolved_at) < s.ended_at
    UNION ALL
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id, s.received_at,
        u.resolver_version_id, u.resolved_at, u.begin_reason,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for,
        l.text_start, l.text_end, l.country_agreement, l.city_named, l.first_stage_rank, l.sparse,
        l.dense, l.runner_up, l.margin, l.override_id,
        l.beginning, l.since, l.since_version_id, l.since_reason,
        least(s.ended_at, u.ended_at),
        CASE WHEN u.ended_at < s.ended_at THEN u.end_reason ELSE 'source ' || s.end_reason END,
        CASE
            WHEN u.ended_at < s.ended_at THEN l.continued
            WHEN u.ended_at = s.ended_at THEN l.continued AND s.same_after
            ELSE s.same_after
        END,
        CASE WHEN u.ended_at < s.ended_at THEN u.ended_by END
    FROM (
        SELECT
            d.*,
            d.end_reason = 'changed' AND (
                EXISTS (
                    SELECT FROM source_record n
                    WHERE n.source = d.source AND n.external_id = d.external_id
                    AND n.position = d.position AND n.received_at = d.ended_at
                    AND n.affiliation_id = d.affiliation_id AND n.policy_id = d.policy_id
                )
                OR EXISTS (
                    SELECT FROM past_record n
                    WHERE n.source = d.source AND n.external_id = d.external_id
                    AND n.position = d.position AND n.received_at = d.ended_at
                    AND n.affiliation_id = d.affiliation_id AND n.policy_id = d.policy_id
                )
            ) AS same_after
        FROM past_record d
    ) s
    JOIN past_outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN past_link l ON l.past_outcome_id = u.id
    WHERE greatest(s.received_at, u.resolved_at) < least(s.ended_at, u.ended_at)
) h
JOIN affiliation a ON a.id = h.affiliation_id
JOIN policy p ON p.id = h.policy_id
JOIN resolver_version v ON v.id = h.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
JOIN model k ON k.id = v.reranker_id
LEFT JOIN resolver_version w ON w.id = h.ended_by
LEFT JOIN registry_release e ON e.id = w.release_id
JOIN resolver_version b ON b.id = h.since_version_id
JOIN registry_release f ON f.id = b.release_id;

COMMENT ON VIEW link_history IS
    'One row for each link of each affiliation, and from when until when it held';
COMMENT ON COLUMN link_history.source IS 'Who sent it: crossref';
COMMENT ON COLUMN link_history.external_id IS 'Its record there: a DOI';
COMMENT ON COLUMN link_history.position IS 'Which affiliation of that record, from 0';
COMMENT ON COLUMN link_history.affiliation IS 'The normalised text';
COMMENT ON COLUMN link_history.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN link_history.ror_url IS 'The ROR id in full';
COMMENT ON COLUMN link_history.organisation IS 'Display name when it was linked';
COMMENT ON COLUMN link_history.matched_name IS 'The name of the organisation that the text has';
COMMENT ON COLUMN link_history.matched_text IS
    'The part of the affiliation that has this name; null: written otherwise, as in another script';
COMMENT ON COLUMN link_history.text_start IS 'First character of matched_text, from 0';
COMMENT ON COLUMN link_history.text_end IS 'The character behind its last';
COMMENT ON COLUMN link_history.probability IS
    'Calibrated probability of the link, 0 to 1; 1 where a curator decided';
COMMENT ON COLUMN link_history.score IS
    'The reranker''s logit; null where a curator decided and it was not read';
COMMENT ON COLUMN link_history.rank IS '1 is the best link of the affiliation';
COMMENT ON COLUMN link_history.stands_for IS
    'ROR ids of what is named, where successor or parent stand for it';
COMMENT ON COLUMN link_history.country_agreement IS
    'named: the text names its country; other_named: that of another candidate; none_named: neither';
COMMENT ON COLUMN link_history.city_named IS 'The text names the organisation''s city';
COMMENT ON COLUMN link_history.first_stage_rank IS
    'Its rank in the first stage, from 1; null: a curator decided and it was not found';
COMMENT ON COLUMN link_history.sparse IS 'The first stage''s score by words; null: not found so';
COMMENT ON COLUMN link_history.dense IS 'The first stage''s score by meaning; null: not found so';
COMMENT ON COLUMN link_history.runner_up IS
    'ROR id of the most probable rival for the same words; null: no rival';
COMMENT ON COLUMN link_history.runner_up_name IS 'Its name in the release of the answer';
COMMENT ON COLUMN link_history.margin IS 'How much less probable the runner-up is; null: no rival';
COMMENT ON COLUMN link_history.override_id IS
    'The curator''s decision that made the link: link_override.id; null: none';
COMMENT ON COLUMN link_history.policy IS 'What was asked for: all choices';
COMMENT ON COLUMN link_history.resolver_version IS 'Who gave the answer: resolver_version.id';
COMMENT ON COLUMN link_history.registry_release IS 'Registry release that the answer was made from';
COMMENT ON COLUMN link_history.reranker IS 'Name of the model that gave the score';
COMMENT ON COLUMN link_history.resolved_at IS 'When the answer was stored';
COMMENT ON COLUMN link_history.valid_from IS
    'When the record showed this link: it was sent and answered';
COMMENT ON COLUMN link_history.valid_to IS 'When it ceased to; null: it does now';
COMMENT ON COLUMN link_history.end_reason IS
    'registry release, resolver change, override, resolved again, source changed or source'
    ' withdrawn';
COMMENT ON COLUMN link_history.continued IS
    'The next answer for the text has this organisation too, or only the raw text changed';
COMMENT ON COLUMN link_history.beginning IS
    'new; confirmed: the answer before had it, too; changed: by another name, at another rank, or'
    ' in the place of another organisation';
COMMENT ON COLUMN link_history.begin_reason IS
    'registry release, resolver change, override, resolved again or source sent';
COMMENT ON COLUMN link_history.end_release IS
    'The release that the next answer was made from; null: the source ended it, or it holds';
COMMENT ON COLUMN link_history.linked_since IS
    'Since when answers for the text have this organisation without a break';
COMMENT ON COLUMN link_history.linked_since_release IS
    'The release that the first of these was made from';
COMMENT ON COLUMN link_history.linked_since_reason IS
    'Why that one was given, as begin_reason';
