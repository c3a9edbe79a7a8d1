"""registry, affiliations and links

Revision ID: 0001
Revises: nothing
Create Date: 2026-11-22
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ORGANISATIONS = """
CREATE VIEW organisations AS
SELECT
    v.ror_id,
    'https://ror.org/' || v.ror_id AS ror_url,
    v.name,
    v.status,
    v.types,
    v.country_code,
    v.country,
    v.city,
    v.established,
    r.version AS registry_release,
    v.record
FROM registry_release r
JOIN release_organisation m ON m.release_id = r.id
JOIN organisation_version v ON v.id = m.organisation_version_id
WHERE r.is_current
"""

RESOLVED_LINKS = """
CREATE VIEW resolved_links AS
SELECT
    s.source,
    s.external_id AS source_id,
    s.position,
    a.text AS affiliation,
    l.ror_id,
    'https://ror.org/' || l.ror_id AS ror_url,
    coalesce(o.name, l.name) AS organisation,
    o.country_code,
    o.country,
    o.city,
    l.matched_name,
    l.probability,
    l.score,
    l.rank,
    o.status AS organisation_status,
    r.version AS registry_release,
    l.resolver_version_id AS resolver_version,
    u.resolved_at
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN outcome u ON u.affiliation_id = a.id
JOIN link l ON l.affiliation_id = a.id
JOIN resolver_version v ON v.id = l.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
LEFT JOIN organisations o ON o.ror_id = l.ror_id
"""

UNRESOLVED = """
CREATE VIEW unresolved AS
SELECT
    s.source,
    s.external_id AS source_id,
    s.position,
    a.text AS affiliation,
    u.reason,
    r.version AS registry_release,
    u.resolver_version_id AS resolver_version,
    u.resolved_at
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
JOIN outcome u ON u.affiliation_id = a.id
JOIN resolver_version v ON v.id = u.resolver_version_id
JOIN registry_release r ON r.id = v.release_id
WHERE u.status = 'no_match'
"""

PENDING = """
CREATE VIEW pending AS
SELECT
    s.source,
    s.external_id AS source_id,
    s.position,
    a.text AS affiliation,
    s.received_at
FROM source_record s
JOIN affiliation a ON a.id = s.affiliation_id
WHERE NOT EXISTS (SELECT FROM outcome u WHERE u.affiliation_id = a.id)
"""

VIEWS = {
    "organisations": ORGANISATIONS,
    "resolved_links": RESOLVED_LINKS,
    "unresolved": UNRESOLVED,
    "pending": PENDING,
}

VIEW_COMMENTS = {
    "organisations": "Organisations of the registry release in use",
    "resolved_links": "One row for each link of each affiliation that was sent",
    "unresolved": "Affiliations that were sent and answered with no organisation",
    "pending": "Affiliations that were sent and have no answer yet",
}

SOURCE = {
    "source": "Who sent it: crossref",
    "source_id": "Its record there: a DOI",
    "position": "Which affiliation of that record, from 0",
    "affiliation": "The normalised text",
}

ANSWER = {
    "registry_release": "Registry release that the answer was made from",
    "resolver_version": "Who gave the answer: resolver_version.id",
    "resolved_at": "When the answer was stored",
}

COLUMN_COMMENTS = {
    "organisations": {
        "ror_id": "Nine characters after https://ror.org/",
        "ror_url": "The ROR id in full",
        "name": "Display name",
        "status": "active, inactive or withdrawn",
        "types": "ROR's types, in their order",
        "country_code": "ISO 3166-1 alpha-2, main place",
        "country": "Country of the main place",
        "city": "City of the main place",
        "established": "Year it was founded",
        "registry_release": "The release in use",
        "record": "The whole record: names, places, relations, identifiers",
    },
    "resolved_links": {
        **SOURCE,
        "ror_id": "Nine characters after https://ror.org/",
        "ror_url": "The ROR id in full",
        "organisation": "Display name in the release in use, else as it was when linked",
        "country_code": "ISO 3166-1 alpha-2, main place, in the release in use",
        "country": "Country of the main place, in the release in use",
        "city": "City of the main place, in the release in use",
        "matched_name": "The name of the organisation that was met",
        "probability": "Calibrated probability of the link, 0 to 1",
        "score": "The reranker's logit",
        "rank": "1 is the best link of the affiliation",
        "organisation_status": "In the release in use: active, inactive, withdrawn; null: not in it",
        **ANSWER,
    },
    "unresolved": {**SOURCE, "reason": "Why there is no link", **ANSWER},
    "pending": {**SOURCE, "received_at": "When this text was received"},
}


def upgrade() -> None:
    op.create_table(
        "affiliation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column(
            "text_hash",
            postgresql.BYTEA(),
            nullable=False,
            comment="16 bytes of BLAKE2b over the normalised text",
        ),
        sa.Column(
            "text",
            sa.Text(),
            nullable=False,
            comment="The normalised text; of a text that is too long, as much as shows that it is",
        ),
        sa.Column(
            "first_seen_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was first sent",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_affiliation")),
        sa.UniqueConstraint("text_hash", name=op.f("uq_affiliation_text_hash")),
        comment="A distinct affiliation text; answered once, however often sent",
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column("role", sa.Text(), nullable=False, comment="encoder (first stage) or reranker"),
        sa.Column(
            "name", sa.Text(), nullable=False, comment="builtin, a Hugging Face id or a path"
        ),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="Changes with the weights"),
        sa.Column(
            "first_used_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was first used here",
        ),
        sa.CheckConstraint("role in ('encoder', 'reranker')", name=op.f("ck_model_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("role", "fingerprint", name=op.f("uq_model_role_fingerprint")),
        comment="A model that took part in an answer",
    )
    op.create_table(
        "organisation_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column(
            "ror_id", sa.Text(), nullable=False, comment="Nine characters after https://ror.org/"
        ),
        sa.Column(
            "content_hash",
            postgresql.BYTEA(),
            nullable=False,
            comment="16 bytes of BLAKE2b over the record as JSON with sorted keys",
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="ROR's display name"),
        sa.Column("status", sa.Text(), nullable=False, comment="active, inactive or withdrawn"),
        sa.Column(
            "types",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="ROR's types, in their order",
        ),
        sa.Column(
            "country_code", sa.Text(), nullable=True, comment="ISO 3166-1 alpha-2, main place"
        ),
        sa.Column("country", sa.Text(), nullable=True, comment="Country of the main place"),
        sa.Column("city", sa.Text(), nullable=True, comment="City of the main place"),
        sa.Column("established", sa.Integer(), nullable=True, comment="Year it was founded"),
        sa.Column(
            "record",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The whole record",
        ),
        sa.CheckConstraint(
            "status in ('active', 'inactive', 'withdrawn')",
            name=op.f("ck_organisation_version_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisation_version")),
        sa.UniqueConstraint(
            "ror_id", "content_hash", name=op.f("uq_organisation_version_ror_id_content_hash")
        ),
        comment="One state of one ROR record; never changed, shared by releases",
    )
    op.create_table(
        "refused_record",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column(
            "content_hash",
            postgresql.BYTEA(),
            nullable=False,
            comment="16 bytes of BLAKE2b over all that was sent and the reason",
        ),
        sa.Column(
            "source", sa.Text(), nullable=True, comment="Who sent it, where that could be read"
        ),
        sa.Column(
            "external_id", sa.Text(), nullable=True, comment="Its record there, where readable"
        ),
        sa.Column(
            "position",
            sa.BigInteger(),
            nullable=True,
            comment="Which affiliation of that record, where readable",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="What is wrong with it"),
        sa.Column("payload", sa.Text(), nullable=False, comment="The first 2,000 characters of it"),
        sa.Column(
            "received_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was first received",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_record")),
        sa.UniqueConstraint("content_hash", name=op.f("uq_refused_record_content_hash")),
        comment="An incoming record that could not be taken",
    )
    op.create_table(
        "registry_release",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column("version", sa.Text(), nullable=False, comment="Version as ROR writes it: v2.9"),
        sa.Column(
            "released_on", sa.Date(), nullable=True, comment="Day of the release, where known"
        ),
        sa.Column(
            "sha256", sa.Text(), nullable=False, comment="SHA-256 of the file, in hexadecimal"
        ),
        sa.Column(
            "schema_version",
            sa.Text(),
            nullable=True,
            comment="Newest ROR schema among its records, where they say: 2.1",
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="Name of the file it came from"),
        sa.Column(
            "loaded_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was last loaded",
        ),
        sa.Column(
            "organisation_count", sa.Integer(), nullable=False, comment="Organisations in it"
        ),
        sa.Column(
            "rejected_count",
            sa.Integer(),
            nullable=False,
            comment="Records of the file that were refused",
        ),
        sa.Column(
            "is_current",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="True for the release in use: one at most",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_release")),
        sa.UniqueConstraint("version", name=op.f("uq_registry_release_version")),
        comment="A release of the ROR registry that was loaded",
    )
    op.create_index(
        "uq_registry_release_current",
        "registry_release",
        ["is_current"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )
    op.create_table(
        "release_organisation",
        sa.Column("release_id", sa.Integer(), nullable=False, comment="The release"),
        sa.Column(
            "ror_id", sa.Text(), nullable=False, comment="Nine characters after https://ror.org/"
        ),
        sa.Column(
            "organisation_version_id",
            sa.BigInteger(),
            nullable=False,
            comment="The state of the record",
        ),
        sa.ForeignKeyConstraint(
            ["organisation_version_id"],
            ["organisation_version.id"],
            name=op.f("fk_release_organisation_organisation_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["registry_release.id"],
            name=op.f("fk_release_organisation_release_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("release_id", "ror_id", name=op.f("pk_release_organisation")),
        comment="Which state of which organisation a release holds",
    )
    op.create_index(
        "ix_release_organisation_organisation_version_id",
        "release_organisation",
        ["organisation_version_id"],
        unique=False,
    )
    op.create_table(
        "resolver_version",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="Key"),
        sa.Column("release_id", sa.Integer(), nullable=False, comment="Registry it linked to"),
        sa.Column("encoder_id", sa.Integer(), nullable=False, comment="Model of the first stage"),
        sa.Column(
            "reranker_id", sa.Integer(), nullable=False, comment="Model that scored the candidates"
        ),
        sa.Column(
            "settings",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Settings that bear on an answer",
        ),
        sa.Column(
            "fingerprint",
            postgresql.BYTEA(),
            nullable=False,
            comment="16 bytes of BLAKE2b over all of the above",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When it was first used",
        ),
        sa.Column(
            "is_current",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="True for the one in use: one at most",
        ),
        sa.ForeignKeyConstraint(
            ["encoder_id"], ["model.id"], name=op.f("fk_resolver_version_encoder_id")
        ),
        sa.ForeignKeyConstraint(
            ["release_id"], ["registry_release.id"], name=op.f("fk_resolver_version_release_id")
        ),
        sa.ForeignKeyConstraint(
            ["reranker_id"], ["model.id"], name=op.f("fk_resolver_version_reranker_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resolver_version")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_resolver_version_fingerprint")),
        comment="What an answer depends on: release, models, settings. A higher id is newer",
    )
    op.create_index(
        op.f("ix_resolver_version_encoder_id"), "resolver_version", ["encoder_id"], unique=False
    )
    op.create_index(
        op.f("ix_resolver_version_release_id"), "resolver_version", ["release_id"], unique=False
    )
    op.create_index(
        op.f("ix_resolver_version_reranker_id"), "resolver_version", ["reranker_id"], unique=False
    )
    op.create_index(
        "uq_resolver_version_current",
        "resolver_version",
        ["is_current"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )
    op.create_table(
        "source_record",
        sa.Column("source", sa.Text(), nullable=False, comment="Who sent it: crossref"),
        sa.Column("external_id", sa.Text(), nullable=False, comment="Its record there: a DOI"),
        sa.Column(
            "position",
            sa.Integer(),
            nullable=False,
            comment="Which affiliation of that record, from 0",
        ),
        sa.Column(
            "affiliation_id", sa.BigInteger(), nullable=False, comment="The text that is answered"
        ),
        sa.Column(
            "raw_text",
            sa.Text(),
            nullable=False,
            comment="The text as it came, at most 10,000 characters; what cannot be stored is U+FFFD",
        ),
        sa.Column(
            "received_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When this text was received",
        ),
        sa.CheckConstraint(
            "char_length(external_id) <= 500", name=op.f("ck_source_record_external_id_length")
        ),
        sa.CheckConstraint(
            "char_length(source) <= 100", name=op.f("ck_source_record_source_length")
        ),
        sa.CheckConstraint("position >= 0", name=op.f("ck_source_record_position")),
        sa.ForeignKeyConstraint(
            ["affiliation_id"], ["affiliation.id"], name=op.f("fk_source_record_affiliation_id")
        ),
        sa.PrimaryKeyConstraint("source", "external_id", "position", name=op.f("pk_source_record")),
        comment="An affiliation as a source sent it",
    )
    op.create_index(
        op.f("ix_source_record_affiliation_id"), "source_record", ["affiliation_id"], unique=False
    )
    op.create_index(
        op.f("ix_source_record_external_id"), "source_record", ["external_id"], unique=False
    )
    op.create_table(
        "outcome",
        sa.Column(
            "affiliation_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="The affiliation",
        ),
        sa.Column(
            "resolver_version_id", sa.Integer(), nullable=False, comment="Who gave the answer"
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="linked or no_match"),
        sa.Column(
            "reason", sa.Text(), nullable=True, comment="Why there is no link; null for linked"
        ),
        sa.Column(
            "resolved_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the answer was stored",
        ),
        sa.CheckConstraint(
            "(status = 'linked') = (reason is null)", name=op.f("ck_outcome_reason")
        ),
        sa.CheckConstraint("status in ('linked', 'no_match')", name=op.f("ck_outcome_status")),
        sa.ForeignKeyConstraint(
            ["affiliation_id"],
            ["affiliation.id"],
            name=op.f("fk_outcome_affiliation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["resolver_version_id"],
            ["resolver_version.id"],
            name=op.f("fk_outcome_resolver_version_id"),
        ),
        sa.PrimaryKeyConstraint("affiliation_id", name=op.f("pk_outcome")),
        comment="The present answer for an affiliation",
    )
    op.create_index(
        op.f("ix_outcome_resolver_version_id"), "outcome", ["resolver_version_id"], unique=False
    )
    op.create_table(
        "link",
        sa.Column(
            "affiliation_id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="The affiliation",
        ),
        sa.Column(
            "ror_id", sa.Text(), nullable=False, comment="Nine characters after https://ror.org/"
        ),
        sa.Column(
            "resolver_version_id", sa.Integer(), nullable=False, comment="Who gave the answer"
        ),
        sa.Column(
            "rank", sa.SmallInteger(), nullable=False, comment="1 is the best of the affiliation"
        ),
        sa.Column("score", sa.REAL(), nullable=False, comment="The reranker's logit"),
        sa.Column(
            "probability", sa.REAL(), nullable=False, comment="The score, calibrated: 0 to 1"
        ),
        sa.Column(
            "name", sa.Text(), nullable=False, comment="The organisation's name at that time"
        ),
        sa.Column("matched_name", sa.Text(), nullable=False, comment="The name of it that was met"),
        sa.CheckConstraint("probability between 0 and 1", name=op.f("ck_link_probability")),
        sa.CheckConstraint("rank >= 1", name=op.f("ck_link_rank")),
        sa.ForeignKeyConstraint(
            ["affiliation_id"],
            ["outcome.affiliation_id"],
            name=op.f("fk_link_affiliation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["resolver_version_id"],
            ["resolver_version.id"],
            name=op.f("fk_link_resolver_version_id"),
        ),
        sa.PrimaryKeyConstraint("affiliation_id", "ror_id", name=op.f("pk_link")),
        comment="An organisation that an affiliation names, by its present answer",
    )
    op.create_index(op.f("ix_link_ror_id"), "link", ["ror_id"], unique=False)
    for view, definition in VIEWS.items():
        op.execute(definition)
        op.execute(f"COMMENT ON VIEW {view} IS {quoted(VIEW_COMMENTS[view])}")
        for column, comment in COLUMN_COMMENTS[view].items():
            op.execute(f"COMMENT ON COLUMN {view}.{column} IS {quoted(comment)}")


def quoted(comment: str) -> str:
    return "'" + comment.replace("'", "''") + "'"


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    op.drop_index(op.f("ix_link_ror_id"), table_name="link")
    op.drop_table("link")
    op.drop_index(op.f("ix_outcome_resolver_version_id"), table_name="outcome")
    op.drop_table("outcome")
    op.drop_index(op.f("ix_source_record_external_id"), table_name="source_record")
    op.drop_index(op.f("ix_source_record_affiliation_id"), table_name="source_record")
    op.drop_table("source_record")
    op.drop_index(
        "uq_resolver_version_current",
        table_name="resolver_version",
        postgresql_where=sa.text("is_current"),
    )
    op.drop_index(op.f("ix_resolver_version_reranker_id"), table_name="resolver_version")
    op.drop_index(op.f("ix_resolver_version_release_id"), table_name="resolver_version")
    op.drop_index(op.f("ix_resolver_version_encoder_id"), table_name="resolver_version")
    op.drop_table("resolver_version")
    op.drop_index(
        "ix_release_organisation_organisation_version_id", table_name="release_organisation"
    )
    op.drop_table("release_organisation")
    op.drop_index(
        "uq_registry_release_current",
        table_name="registry_release",
        postgresql_where=sa.text("is_current"),
    )
    op.drop_table("registry_release")
    op.drop_table("refused_record")
    op.drop_table("organisation_version")
    op.drop_table("model")
    op.drop_table("affiliation")
