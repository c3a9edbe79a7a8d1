"""The tables, and what each column means. Change one, and a migration goes with it.

Data goes one way: *registry_release → release_organisation → organisation_version* holds the
registry, and *release_change* what each brought; *source_record → affiliation → outcome → link*
the answers; *resolver_version*, made of a release, two models and the settings, says who gave an
answer, and *policy* what was asked for. *link_override* is what persons say of a text.

These are the present. What is replaced goes to *past_record*, *past_outcome* and *past_link*, with
from when until when it held: half-open intervals, the end of one is the start of the next. *stale*
marks present answers that a version is to give anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from resolver.intake.record import MAX_EXTERNAL_ID, MAX_SOURCE
from resolver.matching.override import Verdict
from resolver.registry.change import ChangeKind

MAX_PAYLOAD = 2_000
"""Most characters kept of an incoming record that was refused."""

Timestamp = TIMESTAMP(timezone=True)


class Cause(StrEnum):
    """Why an answer is to be given anew."""

    ORGANISATION_CHANGED = "organisation changed"
    """It links to, stands for or nearly linked to an organisation that the release changed."""

    ORGANISATION_ADDED = "organisation added"
    """An organisation that is new, or newly named so, could be meant."""

    NO_ANSWER_BEFORE = "no answer before"
    """It had no link, for a reason that a new release may mend."""

    OVERRIDE = "override"
    """A person said something of the text, or ended what was said."""


class EndReason(StrEnum):
    """Why an answer was replaced; the first that holds."""

    OVERRIDE = "override"
    """Persons say something else of the text."""

    REGISTRY_RELEASE = "registry release"
    """The next one is made from another release."""

    RESOLVER_CHANGE = "resolver change"
    """The next one is made by another model or with other settings."""

    RESOLVED_AGAIN = "resolved again"
    """By the same resolver version, with another result."""


def _listed(values: Iterable[str]) -> str:
    """As a list of SQL literals."""
    return ", ".join(f"'{value}'" for value in values)


SOURCE_SENT = "source sent"
"""Why there is a first answer: a source sent the text."""


class Beginning(StrEnum):
    """A link beside the answer that was replaced."""

    NEW = "new"
    """It did not link this organisation, or there was none."""

    CONFIRMED = "confirmed"
    """It linked it in the same way; numbers do not count."""

    CHANGED = "changed"
    """It linked it, too, but by another name, at another rank or for another organisation."""


_SCORE = "The reranker's logit; null where a person said so and it was not read"
_PROBABILITY = "The judge's, that the affiliation names it: 0 to 1; 1 where a person said so"

_BEGIN_REASONS = (SOURCE_SENT, *EndReason)

_BEGIN_REASON = (
    "Why this answer was given: source sent for the first, else as past_outcome.end_reason; null"
    " in old answers"
)
_BEGINNING = "new, confirmed or changed, beside the answer before; null in old answers"
_SINCE = "Since when the answers have this organisation without a break; null: not known"
_SINCE_VERSION = "Who gave the first of these; null: not known"
_SINCE_REASON = "Why that one was given, as outcome.begin_reason; null: not known"


def _begun() -> list[CheckConstraint]:
    return [
        CheckConstraint(f"beginning in ({_listed(Beginning)})", name="beginning"),
        CheckConstraint(f"since_reason in ({_listed(_BEGIN_REASONS)})", name="since_reason"),
    ]


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            # Without the referred table: Postgres cuts names at 63 characters.
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: Text, bytes: BYTEA, datetime: Timestamp}  # noqa: RUF012


class RegistryRelease(Base):
    __tablename__ = "registry_release"
    __table_args__ = (
        Index(
            "uq_registry_release_current",
            "is_current",
            unique=True,
            postgresql_where=text("is_current"),
        ),
        UniqueConstraint("version", "sha256"),
        {"comment": "A release of the ROR registry that was loaded"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True, comment="Key")
    version: Mapped[str] = mapped_column(
        comment="Version as ROR writes it: v2.9; a corrected file is a release of its own"
    )
    released_on: Mapped[date | None] = mapped_column(comment="Day of the release, where known")
    sha256: Mapped[str] = mapped_column(comment="SHA-256 of the file, in hexadecimal")
    schema_version: Mapped[str | None] = mapped_column(
        comment="Newest ROR schema among its records, where they say: 2.1"
    )
    source: Mapped[str] = mapped_column(comment="Name of the file it came from")
    loaded_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="When it was last loaded"
    )
    organisation_count: Mapped[int] = mapped_column(comment="Organisations in it")
    rejected_count: Mapped[int] = mapped_column(comment="Records of the file that were refused")
    is_current: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="True for the release in use: one at most"
    )
    previous_id: Mapped[int | None] = mapped_column(
        ForeignKey("registry_release.id", ondelete="SET NULL"),
        comment="The release in use when it was loaded: release_change compares with it",
    )


class OrganisationVersion(Base):
    __tablename__ = "organisation_version"
    __table_args__ = (
        UniqueConstraint("ror_id", "content_hash"),
        CheckConstraint("status in ('active', 'inactive', 'withdrawn')", name="status"),
        {"comment": "One state of one ROR record; never changed, shared by releases"},
    )

    id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Key"
    )
    ror_id: Mapped[str] = mapped_column(comment="Nine characters after https://ror.org/")
    content_hash: Mapped[bytes] = mapped_column(
        comment="16 bytes of BLAKE2b over the record as JSON with sorted keys"
    )
    name: Mapped[str] = mapped_column(comment="ROR's display name")
    status: Mapped[str] = mapped_column(comment="active, inactive or withdrawn")
    types: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="ROR's types, in their order")
    country_code: Mapped[str | None] = mapped_column(comment="ISO 3166-1 alpha-2, main place")
    country: Mapped[str | None] = mapped_column(comment="Country of the main place")
    city: Mapped[str | None] = mapped_column(comment="City of the main place")
    established: Mapped[int | None] = mapped_column(comment="Year it was founded")
    record: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="The whole record")


class ReleaseOrganisation(Base):
    __tablename__ = "release_organisation"
    __table_args__ = (
        Index("ix_release_organisation_organisation_version_id", "organisation_version_id"),
        {"comment": "Which state of which organisation a release holds"},
    )

    release_id: Mapped[int] = mapped_column(
        ForeignKey("registry_release.id", ondelete="CASCADE"),
        primary_key=True,
        comment="The release",
    )
    ror_id: Mapped[str] = mapped_column(
        primary_key=True, comment="Nine characters after https://ror.org/"
    )
    organisation_version_id: Mapped[int] = mapped_column(
        ForeignKey("organisation_version.id"), comment="The state of the record"
    )


class ReleaseChange(Base):
    __tablename__ = "release_change"
    __table_args__ = (
        CheckConstraint(f"kind in ({_listed(ChangeKind)})", name="kind"),
        {"comment": "What a release changed, against the one in use when it was loaded"},
    )

    release_id: Mapped[int] = mapped_column(
        ForeignKey("registry_release.id", ondelete="CASCADE"),
        primary_key=True,
        comment="The release that brought it",
    )
    ror_id: Mapped[str] = mapped_column(
        primary_key=True, index=True, comment="Nine characters after https://ror.org/"
    )
    kind: Mapped[str] = mapped_column(
        comment="added, changed, merged, withdrawn, inactive, reactivated or removed"
    )
    fields: Mapped[list[str]] = mapped_column(
        ARRAY(Text), comment="Top-level fields of the record that differ; none if added or removed"
    )
    successors: Mapped[list[str]] = mapped_column(
        ARRAY(Text), comment="ROR ids of the successors that an ended organisation names"
    )
    before_id: Mapped[int | None] = mapped_column(
        ForeignKey("organisation_version.id"), comment="Its state before; null for added"
    )
    after_id: Mapped[int | None] = mapped_column(
        ForeignKey("organisation_version.id"), comment="Its state since; null for removed"
    )


class Model(Base):
    __tablename__ = "model"
    __table_args__ = (
        UniqueConstraint("role", "fingerprint"),
        CheckConstraint("role in ('encoder', 'reranker')", name="role"),
        {"comment": "A model that took part in an answer"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True, comment="Key")
    role: Mapped[str] = mapped_column(comment="encoder (first stage) or reranker")
    name: Mapped[str] = mapped_column(comment="builtin, a Hugging Face id or a path")
    fingerprint: Mapped[str] = mapped_column(comment="Changes with the weights")
    first_used_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="When it was first used here"
    )


class ResolverVersion(Base):
    __tablename__ = "resolver_version"
    __table_args__ = (
        Index(
            "uq_resolver_version_current",
            "is_current",
            unique=True,
            postgresql_where=text("is_current"),
        ),
        {"comment": "What an answer depends on: release, index, models, settings"},
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True, comment="Key")
    release_id: Mapped[int] = mapped_column(
        ForeignKey("registry_release.id"), index=True, comment="Registry it linked to"
    )
    encoder_id: Mapped[int] = mapped_column(
        ForeignKey("model.id"), index=True, comment="Model of the first stage"
    )
    reranker_id: Mapped[int] = mapped_column(
        ForeignKey("model.id"), index=True, comment="Model that scored the candidates"
    )
    settings: Mapped[dict[str, Any]] = mapped_column(
        JSONB, comment="Settings that bear on every answer"
    )
    fingerprint: Mapped[bytes] = mapped_column(
        unique=True, comment="16 bytes of BLAKE2b over all of the above"
    )
    created_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="When it was first used"
    )
    is_current: Mapped[bool] = mapped_column(
        server_default=text("false"), comment="True for the one in use: one at most"
    )
    generation: Mapped[int | None] = mapped_column(
        BigInteger, unique=True, comment="Order in which they came in use, last; null: never"
    )
    index_version: Mapped[str | None] = mapped_column(
        comment="Index version that it searches; null: what the settings of that time said"
    )
    configuration: Mapped[dict[str, Any]] = mapped_column(
        JSONB,
        server_default=text("'{}'"),
        comment="How to open its models, by setting; empty: what the settings of that time said",
    )
    carries_id: Mapped[int | None] = mapped_column(
        ForeignKey("resolver_version.id"),
        comment="The version whose valid answers it carries over, but for the stale ones",
    )
    selected_at: Mapped[datetime | None] = mapped_column(
        comment="When what it carries and would answer otherwise was marked stale; null: not yet"
    )
    selected_to: Mapped[int | None] = mapped_column(
        BigInteger, comment="Affiliation up to which a selection under way has looked"
    )
    selected_until: Mapped[datetime | None] = mapped_column(
        comment="Answers from before it, of versions in selected_of, were looked at by a selection"
    )
    selected_of: Mapped[list[int] | None] = mapped_column(
        ARRAY(Integer), comment="Versions whose answers it looked at"
    )


class Policy(Base):
    __tablename__ = "policy"
    __table_args__ = ({"comment": "What a caller chose: threshold, level, restrictions"},)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True, comment="Key")
    fingerprint: Mapped[bytes] = mapped_column(
        unique=True, comment="16 bytes of BLAKE2b over the settings as JSON with sorted keys"
    )
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="All choices, none left out")
    created_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="When it was first used"
    )


class Affiliation(Base):
    __tablename__ = "affiliation"
    __table_args__ = (
        {"comment": "A distinct affiliation text; answered once a policy, however often sent"},
    )

    id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Key"
    )
    text_hash: Mapped[bytes] = mapped_column(
        unique=True, comment="16 bytes of BLAKE2b over the normalised text"
    )
    text: Mapped[str] = mapped_column(
        comment="The normalised text; of a text that is too long, as much as shows that it is"
    )
    first_seen_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="When it was first sent"
    )


class SourceRecord(Base):
    __tablename__ = "source_record"
    __table_args__ = (
        CheckConstraint(f"char_length(source) <= {MAX_SOURCE}", name="source_length"),
        CheckConstraint(
            f"char_length(external_id) <= {MAX_EXTERNAL_ID}", name="external_id_length"
        ),
        CheckConstraint("position >= 0", name="position"),
        # With the policy: whether anybody asks for an answer is read off the index.
        Index("ix_source_record_affiliation_id_policy_id", "affiliation_id", "policy_id"),
        # The column of the view drift: its last weeks are read, not all records.
        Index(
            "ix_source_record_week",
            text("((date_trunc('week'::text, (received_at AT TIME ZONE 'UTC'::text)))::date)"),
            postgresql_using="brin",
        ),
        {"comment": "An affiliation as a source sent it"},
    )

    source: Mapped[str] = mapped_column(primary_key=True, comment="Who sent it: crossref")
    external_id: Mapped[str] = mapped_column(
        primary_key=True, index=True, comment="Its record there: a DOI"
    )
    position: Mapped[int] = mapped_column(
        primary_key=True, comment="Which affiliation of that record, from 0"
    )
    affiliation_id: Mapped[int] = mapped_column(
        ForeignKey("affiliation.id"), comment="The text that is answered"
    )
    policy_id: Mapped[int] = mapped_column(
        ForeignKey("policy.id"), comment="What was asked for: which of its answers counts"
    )
    raw_text: Mapped[str] = mapped_column(
        comment="The text as it came, at most 10,000 characters; what cannot be stored is U+FFFD"
    )
    received_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="When this text was received, with this policy"
    )


class Outcome(Base):
    __tablename__ = "outcome"
    __table_args__ = (
        CheckConstraint("status in ('linked', 'no_match')", name="status"),
        CheckConstraint("(status = 'linked') = (reason is null)", name="reason"),
        CheckConstraint(f"begin_reason in ({_listed(_BEGIN_REASONS)})", name="begin_reason"),
        # With the key: what a version answered is read in pages.
        Index(
            "ix_outcome_resolver_version_id_affiliation_id_policy_id",
            "resolver_version_id",
            "affiliation_id",
            "policy_id",
        ),
        {"comment": "The present answer for an affiliation under a policy"},
    )

    affiliation_id: Mapped[int] = mapped_column(
        ForeignKey("affiliation.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The affiliation",
    )
    policy_id: Mapped[int] = mapped_column(
        ForeignKey("policy.id"),
        primary_key=True,
        autoincrement=False,
        comment="What was asked for",
    )
    resolver_version_id: Mapped[int] = mapped_column(
        ForeignKey("resolver_version.id"), comment="Who gave the answer"
    )
    status: Mapped[str] = mapped_column(comment="linked or no_match")
    reason: Mapped[str | None] = mapped_column(comment="Why there is no link; null for linked")
    resolved_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="When the answer was stored"
    )
    overrides: Mapped[list[int]] = mapped_column(
        ARRAY(BigInteger),
        server_default=text("'{}'"),
        comment="link_override.id of what persons had said of the text, in order",
    )
    begin_reason: Mapped[str | None] = mapped_column(comment=_BEGIN_REASON)


class Link(Base):
    __tablename__ = "link"
    __table_args__ = (
        CheckConstraint("probability between 0 and 1", name="probability"),
        CheckConstraint("rank >= 1", name="rank"),
        *_begun(),
        ForeignKeyConstraint(
            ["affiliation_id", "policy_id"],
            ["outcome.affiliation_id", "outcome.policy_id"],
            ondelete="CASCADE",
        ),
        Index(
            "ix_link_runner_up",
            text("(evidence ->> 'runner_up'::text)"),
            postgresql_where=text("(evidence ->> 'runner_up'::text) IS NOT NULL"),
        ),
        Index(
            "ix_link_stands_for",
            "stands_for",
            postgresql_using="gin",
            postgresql_where=text("stands_for <> '{}'::text[]"),
        ),
        {"comment": "An organisation that an affiliation names, by its present answer"},
    )

    affiliation_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="The affiliation"
    )
    policy_id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="What was asked for"
    )
    ror_id: Mapped[str] = mapped_column(
        primary_key=True, index=True, comment="Nine characters after https://ror.org/"
    )
    resolver_version_id: Mapped[int] = mapped_column(
        ForeignKey("resolver_version.id"), comment="Who gave the answer"
    )
    rank: Mapped[int] = mapped_column(SmallInteger, comment="1 is the best of the affiliation")
    score: Mapped[float | None] = mapped_column(REAL, comment=_SCORE)
    probability: Mapped[float] = mapped_column(REAL, comment=_PROBABILITY)
    name: Mapped[str] = mapped_column(comment="The organisation's name at that time")
    matched_name: Mapped[str] = mapped_column(comment="The name that was met")
    stands_for: Mapped[list[str]] = mapped_column(
        ARRAY(Text),
        server_default=text("'{}'"),
        comment="ROR ids of what the affiliation names, where successor or parent stand for it",
    )
    evidence: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB, comment="Why: part of the text, places, scores, runner-up; null in old answers"
    )
    beginning: Mapped[str | None] = mapped_column(comment=_BEGINNING)
    since: Mapped[datetime | None] = mapped_column(comment=_SINCE)
    since_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("resolver_version.id"), comment=_SINCE_VERSION
    )
    since_reason: Mapped[str | None] = mapped_column(comment=_SINCE_REASON)


class Stale(Base):
    __tablename__ = "stale"
    __table_args__ = (
        ForeignKeyConstraint(
            ["affiliation_id", "policy_id"],
            ["outcome.affiliation_id", "outcome.policy_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(f"cause in ({_listed(Cause)})", name="cause"),
        Index(
            "ix_stale_resolver_version_id_affiliation_id_policy_id",
            "resolver_version_id",
            "affiliation_id",
            "policy_id",
        ),
        {"comment": "An answer that a version is to give anew; gone when it has"},
    )

    affiliation_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="The affiliation"
    )
    policy_id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="What was asked for"
    )
    resolver_version_id: Mapped[int] = mapped_column(
        ForeignKey("resolver_version.id"),
        primary_key=True,
        autoincrement=False,
        comment="The version that is to give it anew; so are all that carry this one",
    )
    cause: Mapped[str] = mapped_column(
        comment="organisation changed, organisation added, no answer before, or override"
    )
    ror_id: Mapped[str | None] = mapped_column(comment="The organisation, where it is known")
    marked_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="Since when")


class PastOutcome(Base):
    __tablename__ = "past_outcome"
    __table_args__ = (
        CheckConstraint("status in ('linked', 'no_match')", name="status"),
        CheckConstraint("(status = 'linked') = (reason is null)", name="reason"),
        CheckConstraint(f"begin_reason in ({_listed(_BEGIN_REASONS)})", name="begin_reason"),
        CheckConstraint(f"end_reason in ({_listed(EndReason)})", name="end_reason"),
        CheckConstraint("resolved_at <= ended_at", name="spell"),
        Index("ix_past_outcome_affiliation_id_policy_id", "affiliation_id", "policy_id"),
        Index("ix_past_outcome_ended_at", "ended_at"),
        {"comment": "An answer that another one took the place of"},
    )

    id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Key"
    )
    affiliation_id: Mapped[int] = mapped_column(
        ForeignKey("affiliation.id", ondelete="CASCADE"), comment="The affiliation"
    )
    policy_id: Mapped[int] = mapped_column(ForeignKey("policy.id"), comment="What was asked for")
    resolver_version_id: Mapped[int] = mapped_column(
        ForeignKey("resolver_version.id"), comment="Who gave the answer"
    )
    status: Mapped[str] = mapped_column(comment="linked or no_match")
    reason: Mapped[str | None] = mapped_column(comment="Why there was no link; null for linked")
    overrides: Mapped[list[int]] = mapped_column(
        ARRAY(BigInteger), comment="link_override.id of what persons had said of the text"
    )
    resolved_at: Mapped[datetime] = mapped_column(comment="When the answer was stored")
    ended_at: Mapped[datetime] = mapped_column(comment="When the next one was stored")
    ended_by: Mapped[int] = mapped_column(
        ForeignKey("resolver_version.id"), index=True, comment="Who gave the next answer"
    )
    end_reason: Mapped[str] = mapped_column(
        comment="registry release, resolver change, override or resolved again"
    )
    begin_reason: Mapped[str | None] = mapped_column(comment=_BEGIN_REASON)


class PastLink(Base):
    __tablename__ = "past_link"
    __table_args__ = (
        *_begun(),
        {"comment": "An organisation that an affiliation named, by a past answer"},
    )

    past_outcome_id: Mapped[int] = mapped_column(
        ForeignKey("past_outcome.id", ondelete="CASCADE"), primary_key=True, comment="The answer"
    )
    ror_id: Mapped[str] = mapped_column(
        primary_key=True, index=True, comment="Nine characters after https://ror.org/"
    )
    rank: Mapped[int] = mapped_column(SmallInteger, comment="1 is the best of the affiliation")
    score: Mapped[float | None] = mapped_column(REAL, comment=_SCORE)
    probability: Mapped[float] = mapped_column(REAL, comment=_PROBABILITY)
    name: Mapped[str] = mapped_column(comment="The organisation's name at that time")
    matched_name: Mapped[str] = mapped_column(comment="The name that was met")
    stands_for: Mapped[list[str]] = mapped_column(
        ARRAY(Text), comment="ROR ids of what the affiliation names, where this one stood for it"
    )
    evidence: Mapped[dict[str, Any] | None] = mapped_column(
        JSONB, comment="Why: part of the text, places, scores, runner-up; null in old answers"
    )
    continued: Mapped[bool] = mapped_column(comment="The next answer has this organisation too")
    beginning: Mapped[str | None] = mapped_column(comment=_BEGINNING)
    since: Mapped[datetime | None] = mapped_column(comment=_SINCE)
    since_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("resolver_version.id"), comment=_SINCE_VERSION
    )
    since_reason: Mapped[str | None] = mapped_column(comment=_SINCE_REASON)


class PastRecord(Base):
    __tablename__ = "past_record"
    __table_args__ = (
        CheckConstraint("end_reason in ('changed', 'withdrawn')", name="end_reason"),
        CheckConstraint("received_at <= ended_at", name="spell"),
        Index("ix_past_record_source_external_id_position", "source", "external_id", "position"),
        Index("ix_past_record_ended_at", "ended_at"),
        {"comment": "An affiliation as a source had sent it, before it changed or withdrew it"},
    )

    id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Key"
    )
    source: Mapped[str] = mapped_column(comment="Who sent it: crossref")
    external_id: Mapped[str] = mapped_column(index=True, comment="Its record there: a DOI")
    position: Mapped[int] = mapped_column(comment="Which affiliation of that record, from 0")
    affiliation_id: Mapped[int] = mapped_column(
        ForeignKey("affiliation.id"), index=True, comment="The text that was answered"
    )
    policy_id: Mapped[int] = mapped_column(ForeignKey("policy.id"), comment="What was asked for")
    raw_text: Mapped[str] = mapped_column(comment="The text as it came")
    received_at: Mapped[datetime] = mapped_column(comment="When it was received")
    ended_at: Mapped[datetime] = mapped_column(comment="When it was changed or withdrawn")
    end_reason: Mapped[str] = mapped_column(comment="changed or withdrawn")


class LinkOverride(Base):
    __tablename__ = "link_override"
    __table_args__ = (
        Index(
            "uq_link_override_text_hash_ror_id",
            "text_hash",
            "ror_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        CheckConstraint(f"verdict in ({_listed(Verdict)})", name="verdict"),
        CheckConstraint(
            "num_nonnulls(ended_at, ended_by_author, ended_note) in (0, 3)", name="ending"
        ),
        {"comment": "What a person says of a text; never changed, but for its end"},
    )

    id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Key"
    )
    text_hash: Mapped[bytes] = mapped_column(
        index=True, comment="As affiliation.text_hash; the text need not have been sent"
    )
    affiliation: Mapped[str | None] = mapped_column(
        comment="The normalised text; null: forgotten, it holds for whatever has text_hash"
    )
    ror_id: Mapped[str] = mapped_column(comment="Nine characters after https://ror.org/")
    verdict: Mapped[str] = mapped_column(comment="is or is not")
    author: Mapped[str] = mapped_column(comment="Who says so")
    note: Mapped[str] = mapped_column(comment="Why; may be empty")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="Since when")
    ended_at: Mapped[datetime | None] = mapped_column(comment="Until when; null: it holds")
    ended_by_author: Mapped[str | None] = mapped_column(comment="Who ended it")
    ended_note: Mapped[str | None] = mapped_column(comment="Why it ended; may be empty")


class RefusedRecord(Base):
    __tablename__ = "refused_record"
    __table_args__ = (
        Index("ix_refused_record_received_at", "received_at"),
        {"comment": "An incoming record that could not be taken"},
    )

    id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Key"
    )
    content_hash: Mapped[bytes] = mapped_column(
        unique=True, comment="16 bytes of BLAKE2b over all that was sent and the reason"
    )
    source: Mapped[str | None] = mapped_column(comment="Who sent it, where that could be read")
    external_id: Mapped[str | None] = mapped_column(comment="Its record there, where readable")
    position: Mapped[int | None] = mapped_column(
        BigInteger, comment="Which affiliation of that record, where readable"
    )
    reason: Mapped[str] = mapped_column(comment="What is wrong with it")
    payload: Mapped[str] = mapped_column(comment="The first 2,000 characters of it")
    received_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="When it was first received"
    )
