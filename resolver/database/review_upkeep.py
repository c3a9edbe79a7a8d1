"""Items of the review are made, and kept up to date with answers and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, text

from resolver.database.connection import transaction
from resolver.database.copying import Cursor, copy
from resolver.database.overrides import OTHER_OVERRIDES
from resolver.matching.outcome import Reason

WRONG = {
    Reason.BELOW_THRESHOLD: 0.46,
    Reason.DEPARTMENT_ONLY: 0.15,
    Reason.NOT_IN_REGISTRY: 0.10,
    Reason.AMBIGUOUS: 0.24,
    Reason.PLACE_ONLY: 0.24,
    Reason.PERSON_OR_NOISE: 0.24,
}
"""The share of answers without a link, by reason, to texts that do name an organisation: at least
so probable is it that such an answer is wrong. By `python -m benchmarks.reasons --near
../shared/data/gold/dev-read/*.jsonl` on release 2.9: 43 of 93, 5 of 34, 24 of 229, and of the last
three reasons together 4 of 17, too few to tell them apart. Other reasons are a matter of the policy
or of curators."""


@dataclass(frozen=True, slots=True)
class TextKeys:
    """What an item is found by, worked out of its text: its `words`
    (`resolver.text.text.Text.units`), the `country` it names, and the `cluster` of the organisation
    it names (16 bytes, the same for other writings of the name)."""

    words: tuple[str, ...]
    country: str | None
    cluster: bytes


def put(cursor: Cursor, keys: Mapping[int, TextKeys]) -> int:
    """Make the items of these texts from their records, answers and decisions, in the transaction
    of `cursor`; returns how many are new or changed. A text without an answer, or that was refused
    unread, has none. Leases stay, and second looks that wait."""
    if not keys:
        return 0
    cursor.execute(_CREATE_INCOMING)
    copy(
        cursor,
        "incoming_item",
        ("int8", "text[]", "text", "bytea"),
        [(id, list(key.words), key.country, key.cluster) for id, key in keys.items()],
    )
    return cursor.execute(_PUT).rowcount


def count_records(cursor: Cursor) -> None:
    """Count again the records of items whose texts have more or less of them, by the temporary
    table `moved_record` (affiliation_id, source, change). Call it at the end of a transaction."""
    # In the order in which all lock items.
    if cursor.execute(_LOCK_MOVED).rowcount:
        cursor.execute(_COUNT_MOVED)


def answered(
    engine: Engine, *, after: int, limit: int, anew: bool
) -> list[tuple[int, str, TextKeys | None]]:
    """The next texts that have an answer, by id, as (id, text, keys). The keys are those that their
    item has; None where it has none, or they are to be worked out `anew`."""
    with transaction(engine) as connection:
        rows = connection.execute(
            text(_ANSWERED), {"after": after, "limit": limit, "anew": anew}
        ).all()
    return [
        (
            row.id,
            row.text,
            None
            if row.words is None
            else TextKeys(tuple(row.words), row.country, bytes(row.cluster or b"")),
        )
        for row in rows
    ]


def answered_count(engine: Engine) -> int:
    """About how many texts have an answer."""
    with transaction(engine) as connection:
        return int(
            connection.execute(text("SELECT count(DISTINCT affiliation_id) FROM outcome")).scalar()
            or 0
        )


_CREATE_INCOMING = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_item (
        affiliation_id bigint, words text[], country text, cluster bytea
    ) ON COMMIT DELETE ROWS;
    DELETE FROM incoming_item
"""

_WRONG = " ".join(f"WHEN '{reason.value}' THEN {share}" for reason, share in WRONG.items())

_SOURCE = "CASE WHEN starts_with(c.source, 'job:') THEN 'job' ELSE c.source END"
"""Jobs are many, and each is a source of its own."""

_RECORDS = f"""
    SELECT count(*)::integer AS records,
           coalesce(array_agg(DISTINCT {_SOURCE} ORDER BY {_SOURCE}), '{{}}') AS sources
    FROM source_record c WHERE c.affiliation_id = i.affiliation_id
"""  # noqa: S608
"""Records of a text `i`, and their sources."""

_WAITS = "(r.why IN ('second', 'disagreement') AND r.state = 'open')"

_UPDATED = {
    name: f"excluded.{name}"
    for name in (
        "answered_at", "policy_id", "records", "doubt", "priority", "probability", "band", "reason",
        "country", "cluster", "sources", "words", "organisations",
    )
} | {
    "why": f"CASE WHEN {_WAITS} THEN r.why ELSE excluded.why END",
    "state": f"CASE WHEN {_WAITS} THEN r.state ELSE excluded.state END",
    "barred": f"CASE WHEN {_WAITS} THEN r.barred ELSE '{{}}' END",
}  # fmt: skip
"""What an item that is there gets, by column. Leases stay, and second looks that wait."""

_VALUES = ", ".join(_UPDATED.values())

_CHANGED = """
    o.begin_reason = 'registry release'
    AND (
        EXISTS (
            SELECT FROM link l
            WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
            AND l.beginning = 'new'
        )
        OR EXISTS (
            SELECT FROM past_outcome b JOIN past_link l ON l.past_outcome_id = b.id
            WHERE (b.affiliation_id, b.policy_id) = (o.affiliation_id, o.policy_id)
            AND b.ended_at = o.resolved_at AND NOT l.continued
        )
    )
    AND EXISTS (
        SELECT FROM resolver_version w JOIN registry_release g ON g.id = w.release_id
        WHERE w.id = o.resolver_version_id AND g.is_current
    )
"""
"""Whether the release in use changed the organisations of an answer `o`. The answer before ended
when this one began."""

_PUT = f"""
    INSERT INTO review_item AS r
        (affiliation_id, answered_at, policy_id, records, doubt, priority, probability, reason,
         country, why, state, cluster, sources, words, organisations, band)
    SELECT
        i.affiliation_id, o.resolved_at, o.policy_id, s.records, p.doubt,
        s.records * p.doubt, p.probability, o.reason,
        coalesce(i.country, (
            SELECT v.country_code
            FROM link l
            JOIN resolver_version w ON w.id = o.resolver_version_id
            JOIN release_organisation n ON (n.release_id, n.ror_id) = (w.release_id, l.ror_id)
            JOIN organisation_version v ON v.id = n.organisation_version_id
            WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
            ORDER BY l.rank LIMIT 1
        )),
        CASE
            WHEN d.id IS NOT NULL AND d.state = 'open' THEN 'release'
            WHEN d.id IS NULL AND {_CHANGED} THEN 'release'
            ELSE 'doubt'
        END,
        coalesce(d.state, 'open'),
        CASE WHEN o.reason IS NOT NULL THEN nullif(i.cluster, '') END,
        s.sources, i.words,
        ARRAY(
            SELECT l.ror_id FROM link l
            WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
            UNION
            SELECT l.runner_up FROM link l
            WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
            AND l.runner_up IS NOT NULL
            UNION SELECT o.nearest WHERE o.nearest IS NOT NULL
            ORDER BY 1
        ),
        floor(p.probability * 100)::smallint
    FROM incoming_item i
    JOIN affiliation a ON a.id = i.affiliation_id
    -- LIMIT makes Postgres look up one key after the other.
    CROSS JOIN LATERAL (
        SELECT o.*
        FROM outcome o
        WHERE o.affiliation_id = i.affiliation_id
        ORDER BY (
            SELECT count(*) FROM source_record c
            WHERE (c.affiliation_id, c.policy_id) = (o.affiliation_id, o.policy_id)
        ) DESC, o.policy_id
        LIMIT 1
    ) o
    CROSS JOIN LATERAL ({_RECORDS}) s
    CROSS JOIN LATERAL (
        SELECT
            array_agg(l.ror_id) AS ror_ids,
            CASE
                WHEN o.reason IS NULL THEN min(l.probability) ELSE o.nearest_probability
            END AS probability,
            least(greatest(
                CASE
                    WHEN o.reason IS NULL THEN 1 - exp(sum(ln(greatest(l.probability, 1e-6))))
                    -- A curator decided so.
                    WHEN o.reason = 'overridden' THEN 0
                    ELSE greatest(o.nearest_probability, CASE o.reason {_WRONG} ELSE 0 END)
                END, 0), 1)::real AS doubt
        FROM link l
        WHERE (l.affiliation_id, l.policy_id) = (o.affiliation_id, o.policy_id)
    ) p
    LEFT JOIN LATERAL (
        SELECT d.id,
            CASE
                WHEN d.action = 'unsure' THEN 'later'
                WHEN d.ror_ids @> coalesce(p.ror_ids, '{{}}')
                    AND d.ror_ids <@ coalesce(p.ror_ids, '{{}}') THEN 'done'
                -- It is being given again.
                WHEN {OTHER_OVERRIDES} THEN 'done'
                ELSE 'open'
            END AS state
        FROM review_decision d
        WHERE d.text_hash = a.text_hash AND d.ended_at IS NULL AND NOT d.blind
        AND d.action <> 'skip'
        ORDER BY d.id DESC LIMIT 1
    ) d ON true
    -- Of texts that were refused unread there is nothing to say.
    WHERE coalesce(o.reason, '') NOT IN ('empty', 'too_long')
    ORDER BY i.affiliation_id
    ON CONFLICT (affiliation_id) DO UPDATE SET ({", ".join(_UPDATED)}) = ({_VALUES})
    -- What does not change is not written: a repair would write the whole queue.
    WHERE (r.{", r.".join(_UPDATED)}) IS DISTINCT FROM ({_VALUES})
"""  # noqa: S608

_LOCK_MOVED = """
    SELECT FROM review_item
    WHERE affiliation_id = ANY(ARRAY(SELECT affiliation_id FROM moved_record))
    ORDER BY affiliation_id FOR UPDATE
"""

_COUNT_MOVED = f"""
    UPDATE review_item r SET
        records = n.records, priority = n.records * r.doubt, sources = n.sources
    FROM (
        SELECT affiliation_id, sum(change) AS change, min(change) AS least,
               array_agg({_SOURCE}) AS sources
        FROM moved_record c GROUP BY affiliation_id
    ) m
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN m.least > 0 THEN i.records + m.change ELSE s.records END::integer AS records,
            CASE WHEN m.least > 0 THEN ARRAY(
                SELECT DISTINCT f FROM unnest(i.sources || m.sources) f ORDER BY f
            ) ELSE s.sources END AS sources
        FROM review_item i
        -- Of a text with a hundred thousand records, not for each that comes.
        LEFT JOIN LATERAL ({_RECORDS}) s ON m.least < 0
        WHERE i.affiliation_id = m.affiliation_id
    ) n
    WHERE r.affiliation_id = m.affiliation_id
"""  # noqa: S608

_ANSWERED = """
    SELECT a.id, a.text, r.words, r.country, r.cluster
    FROM (
        SELECT DISTINCT affiliation_id FROM outcome WHERE affiliation_id > :after
        ORDER BY affiliation_id LIMIT :limit
    ) o
    JOIN affiliation a ON a.id = o.affiliation_id
    LEFT JOIN review_item r ON r.affiliation_id = a.id AND NOT :anew
        AND (r.reason IS NULL OR r.cluster IS NOT NULL)
    ORDER BY a.id
"""
