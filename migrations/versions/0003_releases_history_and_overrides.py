"""what releases change, history, overrides and which answers are valid

Until now a later resolver version was better than an earlier one. From now on one version is in
use, whichever that is, and its answers are valid together with those that it carries over from the
version before. What is replaced is kept, with from when until when it held.

Of old rows: versions that gave an answer are taken to have come in use in the order of their ids,
the present one last; none carries another, so the answers of all but the present one are due.
Their `configuration` is empty and their `index_version` null: they were opened from the settings
of their time. Releases that are loaded already have no rows in release_change. Answers and records
of the past are not known.

No table is rewritten: new columns are null or have a constant default. Two indexes of `link` are
built while it is written to: 8 MB for a million links, of which three in ten have a rival.

Going back drops history and overrides. What a person linked stays until it is resolved again, with
the score 0; of several contents of one release version all but the newest are renamed.

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-22
"""

import importlib
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from resolver.migrations.concurrently import build_indexes, drop_indexes

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

first = importlib.import_module("resolver.migrations.versions.0001_registry_affiliations_and_links")
before = importlib.import_module("resolver.migrations.versions.0002_policies_and_evidence")

# Four times a record and an answer, each of the present or of the past. One query over a union of
# records and a union of answers would be shorter, but Postgres would read all answers for one DOI.
LINK_HISTORY = """
CREATE VIEW link_history AS
SELECT
    h.source,
    h.source_id,
    h.position,
    a.text AS affiliation,
    h.ror_id,
    'https://ror.org/' || h.ror_id AS ror_url,
    h.name AS organisation,
    h.matched_name,
    h.probability,
    h.score,
    h.rank,
    h.stands_for,
    h.evidence,
    p.settings AS policy,
    h.resolver_version_id AS resolver_version,
    r.version AS registry_release,
    k.name AS reranker,
    h.resolved_at,
    h.valid_from,
    h.valid_to,
    h.end_reason,
    h.continued
FROM (
    SELECT
        s.source, s.external_id AS source_id, s.position, s.affiliation_id, s.policy_id,
        u.resolver_version_id, u.resolved_at,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for, l.evidence,
        greatest(s.received_at, u.resolved_at) AS valid_from,
        NULL::timestamptz AS valid_to,
        NULL::text AS end_reason,
        false AS continued
    FROM source_record s
    JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN link l ON l.affiliation_id = u.affiliation_id AND l.policy_id = u.policy_id
    UNION ALL
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id,
        u.resolver_version_id, u.resolved_at,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for, l.evidence,
        greatest(s.received_at, u.resolved_at),
        u.ended_at,
        u.end_reason,
        l.continued
    FROM source_record s
    JOIN past_outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN past_link l ON l.past_outcome_id = u.id
    WHERE greatest(s.received_at, u.resolved_at) < u.ended_at
    UNION ALL
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id,
        u.resolver_version_id, u.resolved_at,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for, l.evidence,
        greatest(s.received_at, u.resolved_at),
        s.ended_at,
        'source ' || s.end_reason,
        false
    FROM past_record s
    JOIN outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN link l ON l.affiliation_id = u.affiliation_id AND l.policy_id = u.policy_id
    WHERE greatest(s.received_at, u.resolved_at) < s.ended_at
    UNION ALL
    SELECT
        s.source, s.external_id, s.position, s.affiliation_id, s.policy_id,
        u.resolver_version_id, u.resolved_at,
        l.ror_id, l.name, l.matched_name, l.probability, l.score, l.rank, l.stands_for, l.evidence,
        greatest(s.received_at, u.resolved_at),
        least(s.ended_at, u.ended_at),
        CASE WHEN u.ended_at < s.ended_at THEN u.end_reason ELSE 'source ' || s.end_reason END,
        l.continued AND u.ended_at < s.ended_at
    FROM past_record s
    JOIN past_outcome u ON u.affiliation_id = s.affiliation_id AND u.policy_id = s.policy_id
    JOIN past_link l ON l.past_outcome_id = u.id
    WHERE greatest(s.received_at, u.resolved_at) < least(s.ended_at, u.ended_at)
) h
JOIN affiliation a ON a.id = h.affiliation_id
JOIN policy p ON p.id = h.policy_id
JOIN resolver_version v ON v.id = h.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
JOIN model k ON k.id = v.reranker_id
"""

# In the language and of the form that the planner writes out in the query that calls it: a
# condition on the source then reads that source alone.
RESOLVED_LINKS_AT = """
CREATE FUNCTION resolved_links_at(moment timestamptz) RETURNS TABLE (
    source text, source_id text, "position" integer, affiliation text, ror_id text, ror_url text,
    organisation text, country_code text, country text, city text, matched_name text,
    matched_text text, probability real, score real, rank smallint, stands_for text[],
    evidence jsonb, organisation_status text, registry_release text, resolver_version integer,
    policy jsonb, resolved_at timestamptz
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT
        h.source, h.source_id, h.position, h.affiliation, h.ror_id, h.ror_url,
        h.organisation, o.country_code, o.country, o.city, h.matched_name,
        nullif(h.evidence ->> 'text', ''), h.probability, h.score, h.rank, h.stands_for,
        h.evidence, o.status, h.registry_release, h.resolver_version,
        h.policy, h.resolved_at
    FROM link_history h
    JOIN resolver_version v ON v.id = h.resolver_version
    LEFT JOIN release_organisation m ON m.release_id = v.release_id AND m.ror_id = h.ror_id
    LEFT JOIN organisation_version o ON o.id = m.organisation_version_id
    WHERE h.valid_from <= moment AND (h.valid_to IS NULL OR h.valid_to > moment)
$$
"""

OVERRIDE_PROBLEMS = """
CREATE VIEW override_problems AS
SELECT
    x.id AS override_id,
    x.affiliation,
    x.ror_id,
    'https://ror.org/' || x.ror_id AS ror_url,
    x.verdict,
    (
        SELECT n.name FROM organisation_version n
        WHERE n.ror_id = x.ror_id ORDER BY n.id DESC LIMIT 1
    ) AS organisation,
    o.status,
    ARRAY(
        SELECT relation ->> 'id' FROM jsonb_array_elements(o.record -> 'relations') AS relation
        WHERE relation ->> 'kind' = 'successor'
    ) AS successors,
    x.author,
    x.note,
    x.created_at
FROM link_override x
LEFT JOIN organisations o ON o.ror_id = x.ror_id
WHERE x.ended_at IS NULL AND o.status IS DISTINCT FROM 'active'
"""

OUTDATED = """
CREATE VIEW outdated AS
WITH RECURSIVE valid AS (
    SELECT id, carries_id FROM resolver_version WHERE is_current
    UNION
    SELECT v.id, v.carries_id FROM resolver_version v JOIN valid ON v.id = valid.carries_id
)
SELECT
    s.source,
    s.external_id AS source_id,
    s.position,
    a.text AS affiliation,
    d.cause,
    d.ror_id,
    r.version AS registry_release,
    d.resolver_version_id AS resolver_version,
    p.settings AS policy,
    d.resolved_at
FROM (
    SELECT
        u.affiliation_id, u.policy_id, u.resolver_version_id, u.resolved_at, m.cause, m.ror_id
    FROM stale m
    JOIN outcome u ON u.affiliation_id = m.affiliation_id AND u.policy_id = m.policy_id
    UNION ALL
    SELECT
        u.affiliation_id, u.policy_id, u.resolver_version_id, u.resolved_at,
        'resolver change', NULL
    FROM outcome u
    WHERE u.resolver_version_id IN (
        SELECT id FROM resolver_version EXCEPT SELECT id FROM valid
    )
    AND NOT EXISTS (
        SELECT FROM stale m
        WHERE m.affiliation_id = u.affiliation_id AND m.policy_id = u.policy_id
    )
) d
JOIN source_record s ON s.affiliation_id = d.affiliation_id AND s.policy_id = d.policy_id
JOIN affiliation a ON a.id = d.affiliation_id
JOIN policy p ON p.id = d.policy_id
JOIN resolver_version v ON v.id = d.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
"""

VIEWS = {
    "link_history": LINK_HISTORY,
    "override_problems": OVERRIDE_PROBLEMS,
    "outdated": OUTDATED,
}

VIEW_COMMENTS = {
    "link_history": "One row for each link of each affiliation, and from when until when it held",
    "override_problems": "Overrides that hold, of organisations without an active record",
    "outdated": "Affiliations whose answer is to be given anew",
}

COLUMN_COMMENTS = {
    "link_history": {
        **first.SOURCE,
        "ror_id": "Nine characters after https://ror.org/",
        "ror_url": "The ROR id in full",
        "organisation": "Display name when it was linked",
        "matched_name": "The name that was met",
        "probability": "Calibrated probability of the link, 0 to 1",
        "score": "The reranker's logit; null where a person said so and it was not read",
        "rank": "1 is the best link of the affiliation",
        "stands_for": "ROR ids of what is named, where successor or parent stand for it",
        "evidence": "Why: part of the text, places, scores, runner-up, override",
        **before.POLICY,
        **first.ANSWER,
        "reranker": "Name of the model that gave the score",
        "valid_from": "When the record showed this link: it was sent and answered",
        "valid_to": "When it ceased to; null: it does now",
        "end_reason": "registry release, resolver change, override, resolved again, "
        "source changed or source withdrawn",
        "continued": "The next answer for the text has this organisation too",
    },
    "override_problems": {
        "override_id": "link_override.id",
        "affiliation": "The normalised text",
        "ror_id": "Nine characters after https://ror.org/",
        "ror_url": "The ROR id in full",
        "verdict": "is or is not",
        "organisation": "Display name in the release that had it last; null: none had it",
        "status": "In the release in use: inactive, withdrawn; null: not in it",
        "successors": "ROR ids that the registry names in its place",
        "author": "Who says so",
        "note": "Why; may be empty",
        "created_at": "Since when",
    },
    "outdated": {
        **first.SOURCE,
        "cause": "organisation changed, organisation added, no answer before, override, "
        "or resolver change: of a version that the one in use does not carry",
        "ror_id": "The organisation that is the cause, where it is known",
        **before.POLICY,
        **first.ANSWER,
    },
}

# What each comment was, and what it is.
COMMENTS = {
    ("registry_release", "version"): (
        "Version as ROR writes it: v2.9",
        "Version as ROR writes it: v2.9; a corrected file is a release of its own",
    ),
    ("resolver_version", None): (
        "What an answer depends on: release, models, settings. A higher id is newer",
        "What an answer depends on: release, index, models, settings",
    ),
    ("link", "score"): (
        "The reranker's logit",
        "The reranker's logit; null where a person said so and it was not read",
    ),
}

TIMESTAMP = postgresql.TIMESTAMP(timezone=True)

INDEXES = {
    "ix_link_runner_up": "link ((evidence ->> 'runner_up'::text))"
    " WHERE (evidence ->> 'runner_up'::text) IS NOT NULL",
    "ix_link_stands_for": "link USING gin (stands_for) WHERE stands_for <> '{}'::text[]",
}


def upgrade() -> None:
    build_indexes(INDEXES)
    op.drop_constraint(op.f("uq_registry_release_version"), "registry_release", type_="unique")
    op.create_unique_constraint(
        op.f("uq_registry_release_version_sha256"), "registry_release", ["version", "sha256"]
    )
    op.add_column(
        "registry_release",
        sa.Column(
            "previous_id",
            sa.Integer(),
            nullable=True,
            comment="The release in use when it was loaded: release_change compares with it",
        ),
    )
    op.create_foreign_key(
        op.f("fk_registry_release_previous_id"),
        "registry_release",
        "registry_release",
        ["previous_id"],
        ["id"],
        ondelete="SET NULL",
    )
    create_release_change()
    change_resolver_version()
    op.add_column(
        "outcome",
        sa.Column(
            "overrides",
            postgresql.ARRAY(sa.BigInteger()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="link_override.id of what persons had said of the text, in order",
        ),
    )
    op.alter_column("link", "score", nullable=True)
    create_stale()
    create_past()
    create_link_override()
    for (table, column), (_, comment) in COMMENTS.items():
        before.say(table, column, comment)
    for view, definition in VIEWS.items():
        op.execute(definition)
        op.execute(f"COMMENT ON VIEW {view} IS {first.quoted(VIEW_COMMENTS[view])}")
        for column, comment in COLUMN_COMMENTS[view].items():
            op.execute(f"COMMENT ON COLUMN {view}.{column} IS {first.quoted(comment)}")
    op.execute(RESOLVED_LINKS_AT)
    op.execute(
        "COMMENT ON FUNCTION resolved_links_at IS"
        " 'What resolved_links showed at a moment; organisations as the release of the answer"
        " has them'"
    )


def create_release_change() -> None:
    op.create_table(
        "release_change",
        sa.Column(
            "release_id", sa.Integer(), nullable=False, comment="The release that brought it"
        ),
        sa.Column(
            "ror_id", sa.Text(), nullable=False, comment="Nine characters after https://ror.org/"
        ),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="added, changed, merged, withdrawn, inactive, reactivated or removed",
        ),
        sa.Column(
            "fields",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="Top-level fields of the record that differ; none if added or removed",
        ),
        sa.Column(
            "successors",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="ROR ids of the successors that an ended organisation names",
        ),
        sa.Column(
            "before_id",
            sa.BigInteger(),
            nullable=True,
            comment="Its state before; null for added",
        ),
        sa.Column(
            "after_id",
            sa.BigInteger(),
            nullable=True,
            comment="Its state since; null for removed",
        ),
        sa.CheckConstraint(
            "kind in ('added', 'changed', 'merged', 'withdrawn', 'inactive', 'reactivated',"
            " 'removed')",
            name=op.f("ck_release_change_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["registry_release.id"],
            name=op.f("fk_release_change_release_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["before_id"], ["organisation_version.id"], name=op.f("fk_release_change_before_id")
        ),
        sa.ForeignKeyConstraint(
            ["after_id"], ["organisation_version.id"], name=op.f("fk_release_change_after_id")
        ),
        sa.PrimaryKeyConstraint("release_id", "ror_id", name=op.f("pk_release_change")),
        comment="What a release changed, against the one in use when it was loaded",
    )
    op.create_index(op.f("ix_release_change_ror_id"), "release_change", ["ror_id"])


def change_resolver_version() -> None:
    for column in (
        sa.Column(
            "generation",
            sa.BigInteger(),
            nullable=True,
            comment="Order in which they came in use, last; null: never",
        ),
        sa.Column(
            "index_version",
            sa.Text(),
            nullable=True,
            comment="Index version that it searches; null: what the settings of that time said",
        ),
        sa.Column(
            "configuration",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="How to open its models, by setting; empty: what the settings of that time"
            " said",
        ),
        sa.Column(
            "carries_id",
            sa.Integer(),
            nullable=True,
            comment="The version whose valid answers it carries over, but for the stale ones",
        ),
        sa.Column(
            "selected_at",
            TIMESTAMP,
            nullable=True,
            comment="When what it carries and would answer otherwise was marked stale; null: not"
            " yet",
        ),
    ):
        op.add_column("resolver_version", column)
    op.create_unique_constraint(
        op.f("uq_resolver_version_generation"), "resolver_version", ["generation"]
    )
    op.create_foreign_key(
        op.f("fk_resolver_version_carries_id"),
        "resolver_version",
        "resolver_version",
        ["carries_id"],
        ["id"],
    )
    op.execute(
        """
        UPDATE resolver_version v SET generation = u.place, selected_at = now()
        FROM (
            SELECT w.id, row_number() OVER (ORDER BY w.is_current, w.id) AS place
            FROM resolver_version w
            WHERE w.is_current
            OR EXISTS (SELECT FROM outcome o WHERE o.resolver_version_id = w.id)
        ) u
        WHERE u.id = v.id
        """
    )


def create_stale() -> None:
    op.create_table(
        "stale",
        sa.Column("affiliation_id", sa.BigInteger(), nullable=False, comment="The affiliation"),
        sa.Column("policy_id", sa.Integer(), nullable=False, comment="What was asked for"),
        sa.Column(
            "cause",
            sa.Text(),
            nullable=False,
            comment="organisation changed, organisation added, no answer before, or override",
        ),
        sa.Column(
            "ror_id", sa.Text(), nullable=True, comment="The organisation, where it is known"
        ),
        sa.Column(
            "marked_at",
            TIMESTAMP,
            server_default=sa.text("now()"),
            nullable=False,
            comment="Since when",
        ),
        sa.CheckConstraint(
            "cause in ('organisation changed', 'organisation added', 'no answer before',"
            " 'override')",
            name=op.f("ck_stale_cause"),
        ),
        sa.ForeignKeyConstraint(
            ["affiliation_id", "policy_id"],
            ["outcome.affiliation_id", "outcome.policy_id"],
            name=op.f("fk_stale_affiliation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("affiliation_id", "policy_id", name=op.f("pk_stale")),
        comment="A present answer that is to be given anew; gone when it is",
    )


def create_past() -> None:
    op.create_table(
        "past_outcome",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column("affiliation_id", sa.BigInteger(), nullable=False, comment="The affiliation"),
        sa.Column("policy_id", sa.Integer(), nullable=False, comment="What was asked for"),
        sa.Column(
            "resolver_version_id", sa.Integer(), nullable=False, comment="Who gave the answer"
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="linked or no_match"),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="Why there was no link; null for linked"
        ),
        sa.Column(
            "overrides",
            postgresql.ARRAY(sa.BigInteger()),
            nullable=False,
            comment="link_override.id of what persons had said of the text",
        ),
        sa.Column("resolved_at", TIMESTAMP, nullable=False, comment="When the answer was stored"),
        sa.Column("ended_at", TIMESTAMP, nullable=False, comment="When the next one was stored"),
        sa.Column("ended_by", sa.Integer(), nullable=False, comment="Who gave the next answer"),
        sa.Column(
            "end_reason",
            sa.Text(),
            nullable=False,
            comment="registry release, resolver change, override or resolved again",
        ),
        sa.CheckConstraint("status in ('linked', 'no_match')", name=op.f("ck_past_outcome_status")),
        sa.CheckConstraint(
            "(status = 'linked') = (reason is null)", name=op.f("ck_past_outcome_reason")
        ),
        sa.CheckConstraint(
            "end_reason in ('override', 'registry release', 'resolver change', 'resolved again')",
            name=op.f("ck_past_outcome_end_reason"),
        ),
        sa.CheckConstraint("resolved_at <= ended_at", name=op.f("ck_past_outcome_spell")),
        sa.ForeignKeyConstraint(
            ["affiliation_id"],
            ["affiliation.id"],
            name=op.f("fk_past_outcome_affiliation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policy.id"], name=op.f("fk_past_outcome_policy_id")
        ),
        sa.ForeignKeyConstraint(
            ["resolver_version_id"],
            ["resolver_version.id"],
            name=op.f("fk_past_outcome_resolver_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["ended_by"], ["resolver_version.id"], name=op.f("fk_past_outcome_ended_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_outcome")),
        comment="An answer that another one took the place of",
    )
    op.create_index(
        "ix_past_outcome_affiliation_id_policy_id", "past_outcome", ["affiliation_id", "policy_id"]
    )
    op.create_index(op.f("ix_past_outcome_ended_by"), "past_outcome", ["ended_by"])
    op.create_table(
        "past_link",
        sa.Column("past_outcome_id", sa.BigInteger(), nullable=False, comment="The answer"),
        sa.Column(
            "ror_id", sa.Text(), nullable=False, comment="Nine characters after https://ror.org/"
        ),
        sa.Column(
            "rank", sa.SmallInteger(), nullable=False, comment="1 is the best of the affiliation"
        ),
        sa.Column("score", sa.REAL(), nullable=True, comment="The reranker's logit"),
        sa.Column(
            "probability", sa.REAL(), nullable=False, comment="The score, calibrated: 0 to 1"
        ),
        sa.Column(
            "name", sa.Text(), nullable=False, comment="The organisation's name at that time"
        ),
        sa.Column("matched_name", sa.Text(), nullable=False, comment="The name that was met"),
        sa.Column(
            "stands_for",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="ROR ids of what the affiliation names, where this one stood for it",
        ),
        sa.Column(
            "evidence",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Why: part of the text, places, scores, runner-up; null in old answers",
        ),
        sa.Column(
            "continued",
            sa.Boolean(),
            nullable=False,
            comment="The next answer has this organisation too",
        ),
        sa.ForeignKeyConstraint(
            ["past_outcome_id"],
            ["past_outcome.id"],
            name=op.f("fk_past_link_past_outcome_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("past_outcome_id", "ror_id", name=op.f("pk_past_link")),
        comment="An organisation that an affiliation named, by a past answer",
    )
    op.create_index(op.f("ix_past_link_ror_id"), "past_link", ["ror_id"])
    op.create_table(
        "past_record",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column("source", sa.Text(), nullable=False, comment="Who sent it: crossref"),
        sa.Column("external_id", sa.Text(), nullable=False, comment="Its record there: a DOI"),
        sa.Column(
            "position",
            sa.Integer(),
            nullable=False,
            comment="Which affiliation of that record, from 0",
        ),
        sa.Column(
            "affiliation_id",
            sa.BigInteger(),
            nullable=False,
            comment="The text that was answered",
        ),
        sa.Column("policy_id", sa.Integer(), nullable=False, comment="What was asked for"),
        sa.Column("raw_text", sa.Text(), nullable=False, comment="The text as it came"),
        sa.Column("received_at", TIMESTAMP, nullable=False, comment="When it was received"),
        sa.Column(
            "ended_at", TIMESTAMP, nullable=False, comment="When it was changed or withdrawn"
        ),
        sa.Column("end_reason", sa.Text(), nullable=False, comment="changed or withdrawn"),
        sa.CheckConstraint(
            "end_reason in ('changed', 'withdrawn')", name=op.f("ck_past_record_end_reason")
        ),
        sa.CheckConstraint("received_at <= ended_at", name=op.f("ck_past_record_spell")),
        sa.ForeignKeyConstraint(
            ["affiliation_id"], ["affiliation.id"], name=op.f("fk_past_record_affiliation_id")
        ),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["policy.id"], name=op.f("fk_past_record_policy_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_record")),
        comment="An affiliation as a source had sent it, before it changed or withdrew it",
    )
    op.create_index(op.f("ix_past_record_affiliation_id"), "past_record", ["affiliation_id"])
    op.create_index(op.f("ix_past_record_external_id"), "past_record", ["external_id"])
    op.create_index(
        "ix_past_record_source_external_id_position",
        "past_record",
        ["source", "external_id", "position"],
    )


def create_link_override() -> None:
    op.create_table(
        "link_override",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column(
            "text_hash",
            postgresql.BYTEA(),
            nullable=False,
            comment="As affiliation.text_hash; the text need not have been sent",
        ),
        sa.Column("affiliation", sa.Text(), nullable=False, comment="The normalised text"),
        sa.Column(
            "ror_id", sa.Text(), nullable=False, comment="Nine characters after https://ror.org/"
        ),
        sa.Column("verdict", sa.Text(), nullable=False, comment="is or is not"),
        sa.Column("author", sa.Text(), nullable=False, comment="Who says so"),
        sa.Column("note", sa.Text(), nullable=False, comment="Why; may be empty"),
        sa.Column(
            "created_at",
            TIMESTAMP,
            server_default=sa.text("now()"),
            nullable=False,
            comment="Since when",
        ),
        sa.Column("ended_at", TIMESTAMP, nullable=True, comment="Until when; null: it holds"),
        sa.Column("ended_by_author", sa.Text(), nullable=True, comment="Who ended it"),
        sa.Column("ended_note", sa.Text(), nullable=True, comment="Why it ended; may be empty"),
        sa.CheckConstraint("verdict in ('is', 'is not')", name=op.f("ck_link_override_verdict")),
        sa.CheckConstraint(
            "num_nonnulls(ended_at, ended_by_author, ended_note) in (0, 3)",
            name=op.f("ck_link_override_ending"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_override")),
        comment="What a person says of a text; never changed, but for its end",
    )
    op.create_index(op.f("ix_link_override_text_hash"), "link_override", ["text_hash"])
    op.create_index(
        "uq_link_override_text_hash_ror_id",
        "link_override",
        ["text_hash", "ror_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION resolved_links_at")
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    for table in ("link_override", "past_record", "past_link", "past_outcome", "stale"):
        op.drop_table(table)
    drop_indexes(INDEXES)
    op.execute("UPDATE link SET score = 0 WHERE score IS NULL")
    op.alter_column("link", "score", nullable=False)
    op.drop_column("outcome", "overrides")
    for column in ("carries_id", "generation", "index_version", "configuration", "selected_at"):
        op.drop_column("resolver_version", column)
    op.drop_table("release_change")
    op.drop_column("registry_release", "previous_id")
    op.drop_constraint(
        op.f("uq_registry_release_version_sha256"), "registry_release", type_="unique"
    )
    op.execute(
        """
        UPDATE registry_release r SET version = r.version || ' ' || left(r.sha256, 8)
        WHERE EXISTS (
            SELECT FROM registry_release n
            WHERE n.version = r.version AND (n.is_current, n.id) > (r.is_current, r.id)
        )
        """
    )
    op.create_unique_constraint(
        op.f("uq_registry_release_version"), "registry_release", ["version"]
    )
    for (place, field), (former, _) in COMMENTS.items():
        before.say(place, field, former)
