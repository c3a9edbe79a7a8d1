"""The tables, and what each column means. Change one, and a migration goes with it.

The registry goes *registry_release → release_organisation → organisation_version*, and
*release_change* has what each release changed; *update_run* says how each update ended. The answers
go *source_record → affiliation → outcome → link*. A *resolver_version* is made of a release, two
models and the settings: it says who gave an answer, and *policy* says what was asked for.
*link_override* has the curators' decisions.

*review_item* is the queue of the review page, *review_decision* what people decided there, and
*review_lacking* the organisations that the registry lacks by it.

These tables have the present. What is replaced moves to *past_record*, *past_outcome* and
*past_link*, with the time for which it held: half-open intervals, so that the end of one is the
start of the next. *stale* marks the present answers that a version is to give again.

The SQL is written by hand; nothing maps these tables to classes. The views for analysts are the
files in ``views/``.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import partial
from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP, UUID

from resolver.intake.record import MAX_EXTERNAL_ID, MAX_SOURCE
from resolver.matching.outcome import CountryAgreement
from resolver.matching.override import Verdict
from resolver.registry.change import ChangeKind

MAX_PAYLOAD = 2_000
"""Most characters kept of an incoming record that was refused."""


class Cause(StrEnum):
    """Why an answer is to be given again."""

    ORGANISATION_CHANGED = "organisation changed"
    """The release changed an organisation that it links to, that another one stands for, or that
    was the runner-up."""

    ORGANISATION_ADDED = "organisation added"
    """It has a link, and the release has an organisation, or a name of one, that the affiliation
    may mean, or that is similar to what it is linked to."""

    NO_ANSWER_BEFORE = "no answer before"
    """It has no link, and the release has an organisation, or a name of one, that the affiliation
    may mean, or that is similar to what came nearest."""

    OVERRIDE = "override"
    """A curator decided about the text, or ended a decision."""


class Action(StrEnum):
    """What a person decided about an affiliation on the review page."""

    CONFIRM = "confirm"
    """It names exactly the organisations that the answer links."""

    CHANGE = "change"
    """It names other organisations than the answer links."""

    NONE = "none"
    """It names no organisation at all."""

    LACKING = "lacking"
    """It names an organisation that the registry lacks."""

    UNSURE = "unsure"
    """The person cannot tell."""

    SKIP = "skip"
    """Somebody else is to decide."""


class ReviewState(StrEnum):
    """Whether a review item waits for a decision."""

    OPEN = "open"
    DONE = "done"

    LATER = "later"
    """Somebody was unsure about it."""


class Why(StrEnum):
    """Why a review item is shown."""

    DOUBT = "doubt"
    """The answer may be wrong."""

    RELEASE = "release"
    """A release changed the answer, or the answer differs now from what a person decided."""

    SECOND = "second"
    """A second person is to decide without seeing the answer or the first decision."""

    DISAGREEMENT = "disagreement"
    """Two persons decided differently: a third one is to decide."""


class LackingState(StrEnum):
    """How far the request for an organisation that the registry lacks is."""

    DRAFT = "draft"
    SENT = "sent"
    ADDED = "added"
    REFUSED = "refused"


_END_REASONS = ("override", "registry release", "resolver change", "resolved again")
"""Why an answer was replaced; the first that holds: curators decided otherwise; the new one is made
from another release; by another model or with other settings; by the same resolver version, with
another result."""

_BEGIN_REASONS = ("source sent", *_END_REASONS)
"""Why an answer was given: a source sent the text, or as above."""

_BEGINNINGS = ("new", "confirmed", "changed")
"""A link compared with the answer before: that one had not this organisation, had it in the same
way (numbers do not count), or had it by another name, at another rank or in place of another."""


def _listed(values: Iterable[str]) -> str:
    """As a list of SQL literals."""
    return ", ".join(f"'{value}'" for value in values)


_Timestamp = TIMESTAMP(timezone=True)
_required = partial(Column, nullable=False)

_ROR_ID = "Nine characters after https://ror.org/"
_BEGIN_REASON = (
    "Why this answer was given: source sent for the first, else as past_outcome.end_reason"
)

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

# The registry

Table(
    "registry_release",
    metadata,
    _required("id", Integer, Identity(always=True), primary_key=True, comment="Key"),
    _required(
        "version",
        Text,
        comment="Version as ROR writes it: v2.9; a corrected file is a release of its own",
    ),
    Column("released_on", Date, comment="Day of the release, where known"),
    _required("sha256", Text, comment="SHA-256 of the file, in hexadecimal"),
    Column(
        "schema_version", Text, comment="Newest ROR schema among its records, where they say: 2.1"
    ),
    _required("source", Text, comment="Name of the file it came from"),
    _required(
        "loaded_at", _Timestamp, server_default=func.now(), comment="When it was last loaded"
    ),
    _required("organisation_count", Integer, comment="Organisations in it"),
    _required("rejected_count", Integer, comment="Records of the file that were refused"),
    _required(
        "is_current",
        Boolean,
        server_default=text("false"),
        comment="True for the release in use: one at most",
    ),
    Column(
        "previous_id",
        Integer,
        ForeignKey("registry_release.id", ondelete="SET NULL"),
        comment="The release in use when it was loaded: release_change compares with it",
    ),
    UniqueConstraint("version", "sha256"),
    Index(
        "uq_registry_release_current",
        "is_current",
        unique=True,
        postgresql_where=text("is_current"),
    ),
    comment="A release of the ROR registry that was loaded",
)

Table(
    "organisation_version",
    metadata,
    _required("id", BigInteger, Identity(always=True), primary_key=True, comment="Key"),
    _required("ror_id", Text, comment=_ROR_ID),
    _required(
        "content_hash",
        BYTEA,
        comment="16 bytes of BLAKE2b over the record as JSON with sorted keys",
    ),
    _required("name", Text, comment="ROR's display name"),
    _required("status", Text, comment="active, inactive or withdrawn"),
    _required("types", ARRAY(Text), comment="ROR's types, in their order"),
    Column("country_code", Text, comment="ISO 3166-1 alpha-2, main place"),
    Column("country", Text, comment="Country of the main place"),
    Column("city", Text, comment="City of the main place"),
    Column("established", Integer, comment="Year it was founded"),
    _required("record", JSONB, comment="The whole record"),
    UniqueConstraint("ror_id", "content_hash"),
    CheckConstraint("status in ('active', 'inactive', 'withdrawn')", name="status"),
    comment="One state of one ROR record; never changed, shared by releases",
)

Table(
    "update_run",
    metadata,
    _required("id", Integer, Identity(always=True), primary_key=True, comment="Key"),
    _required(
        "scheduled", Boolean, comment="Done by a worker, as the schedule asked; else by a command"
    ),
    _required("began_at", _Timestamp, server_default=func.now(), comment="When it began"),
    Column("ended_at", _Timestamp, comment="When it ended; null: it runs, or it was killed"),
    Column("step", Text, comment="The step that it is in, or ended in: fetch, load, index, …"),
    Column("problem", Text, comment="Why it failed; null: it did not"),
    Column("remedy", Text, comment="What helps against that, where it is known"),
    CheckConstraint("problem is null or ended_at is not null", name="problem"),
    comment="An update: a release that was taken in, or was not",
)

Table(
    "release_organisation",
    metadata,
    _required(
        "release_id",
        Integer,
        ForeignKey("registry_release.id", ondelete="CASCADE"),
        primary_key=True,
        comment="The release",
    ),
    _required("ror_id", Text, primary_key=True, comment=_ROR_ID),
    _required(
        "organisation_version_id",
        BigInteger,
        ForeignKey("organisation_version.id"),
        index=True,
        comment="The state of the record",
    ),
    comment="Which state of which organisation a release holds",
)

Table(
    "release_change",
    metadata,
    _required(
        "release_id",
        Integer,
        ForeignKey("registry_release.id", ondelete="CASCADE"),
        primary_key=True,
        comment="The release that brought it",
    ),
    _required("ror_id", Text, primary_key=True, index=True, comment=_ROR_ID),
    _required(
        "kind",
        Text,
        comment="added, changed, merged, withdrawn, inactive, reactivated or removed",
    ),
    _required(
        "fields",
        ARRAY(Text),
        comment="Top-level fields of the record that differ; none if added or removed",
    ),
    _required(
        "successors",
        ARRAY(Text),
        comment="ROR ids of the successors that an ended organisation names",
    ),
    Column(
        "before_id",
        BigInteger,
        ForeignKey("organisation_version.id"),
        comment="Its state before; null for added",
    ),
    Column(
        "after_id",
        BigInteger,
        ForeignKey("organisation_version.id"),
        comment="Its state since; null for removed",
    ),
    CheckConstraint(f"kind in ({_listed(ChangeKind)})", name="kind"),
    comment="What a release changed, compared with the one in use when it was loaded",
)

# Who answers, and what is asked for

Table(
    "model",
    metadata,
    _required("id", Integer, Identity(always=True), primary_key=True, comment="Key"),
    _required("role", Text, comment="encoder (first stage) or reranker"),
    _required("name", Text, comment="builtin, a Hugging Face id or a path"),
    _required("fingerprint", Text, comment="Changes with the weights"),
    _required(
        "first_used_at",
        _Timestamp,
        server_default=func.now(),
        comment="When it was first used here",
    ),
    UniqueConstraint("role", "fingerprint"),
    CheckConstraint("role in ('encoder', 'reranker')", name="role"),
    comment="A model that took part in an answer",
)

Table(
    "resolver_version",
    metadata,
    _required("id", Integer, Identity(always=True), primary_key=True, comment="Key"),
    _required(
        "release_id",
        Integer,
        ForeignKey("registry_release.id"),
        comment="Registry it linked to",
    ),
    _required(
        "encoder_id",
        Integer,
        ForeignKey("model.id"),
        comment="Model of the first stage",
    ),
    _required(
        "reranker_id",
        Integer,
        ForeignKey("model.id"),
        comment="Model that scored the candidates",
    ),
    _required("settings", JSONB, comment="Settings that bear on every answer"),
    _required(
        "fingerprint", BYTEA, unique=True, comment="16 bytes of BLAKE2b over all of the above"
    ),
    _required(
        "created_at", _Timestamp, server_default=func.now(), comment="When it was first used"
    ),
    _required(
        "is_current",
        Boolean,
        server_default=text("false"),
        comment="True for the one in use: one at most",
    ),
    Column(
        "generation",
        BigInteger,
        unique=True,
        comment="Order in which they came in use, last; null: never",
    ),
    Column(
        "index_version",
        Text,
        comment="Index version that it searches; null: the one that the settings name",
    ),
    _required(
        "configuration",
        JSONB,
        server_default=text("'{}'"),
        comment="How to open its models, by setting; empty: as the settings say",
    ),
    Column(
        "carries_id",
        Integer,
        ForeignKey("resolver_version.id"),
        comment="The version whose valid answers it carries over, but for stale ones",
    ),
    Column(
        "selected_at",
        _Timestamp,
        comment="When all that it carries and may answer otherwise was marked stale; null: not yet",
    ),
    Column(
        "selected_to",
        BigInteger,
        comment="Last affiliation that a selection under way is done with",
    ),
    Column(
        "selected_until",
        _Timestamp,
        comment="A selection is done with the answers of versions in selected_of from before then",
    ),
    Column(
        "selected_of", ARRAY(Integer), comment="Versions whose answers a selection is done with"
    ),
    Index(
        "uq_resolver_version_current",
        "is_current",
        unique=True,
        postgresql_where=text("is_current"),
    ),
    comment="What an answer depends on: release, index, models, settings",
)

Table(
    "policy",
    metadata,
    _required("id", Integer, Identity(always=True), primary_key=True, comment="Key"),
    _required(
        "fingerprint",
        BYTEA,
        unique=True,
        comment="16 bytes of BLAKE2b over the settings as JSON with sorted keys",
    ),
    _required("settings", JSONB, comment="All choices, none left out"),
    _required(
        "created_at", _Timestamp, server_default=func.now(), comment="When it was first used"
    ),
    comment="What a caller chose: threshold, level, restrictions",
)

# What sources sent

Table(
    "affiliation",
    metadata,
    _required("id", BigInteger, Identity(always=True), primary_key=True, comment="Key"),
    _required(
        "text_hash", BYTEA, unique=True, comment="16 bytes of BLAKE2b over the normalised text"
    ),
    _required(
        "text",
        Text,
        comment="The normalised text; of a text that is too long, as much as shows that it is",
    ),
    _required(
        "first_seen_at", _Timestamp, server_default=func.now(), comment="When it was first sent"
    ),
    comment="A distinct affiliation text; answered once a policy, however often sent",
)

Table(
    "source_record",
    metadata,
    _required("source", Text, comment="Who sent it: crossref"),
    _required("external_id", Text, comment="Its record there: a DOI"),
    _required("position", Integer, comment="Which affiliation of that record, from 0"),
    _required(
        "affiliation_id",
        BigInteger,
        ForeignKey("affiliation.id"),
        comment="The text that is answered",
    ),
    _required(
        "policy_id",
        Integer,
        ForeignKey("policy.id"),
        comment="What was asked for: which of its answers counts",
    ),
    Column(
        "raw_text",
        Text,
        comment="As it came, 10,000 characters at most, U+FFFD for what cannot be stored; "
        "null: as normalised",
    ),
    _required(
        "received_at",
        _Timestamp,
        server_default=func.now(),
        comment="When this text was received, with this policy",
    ),
    # The DOI first, since it may be asked for alone.
    PrimaryKeyConstraint("external_id", "source", "position"),
    CheckConstraint(f"char_length(source) <= {MAX_SOURCE}", name="source_length"),
    CheckConstraint(f"char_length(external_id) <= {MAX_EXTERNAL_ID}", name="external_id_length"),
    CheckConstraint("position >= 0", name="position"),
    # With the policy: whether anybody asks for an answer is read off the index.
    Index(None, "affiliation_id", "policy_id"),
    # The column of the view drift: its last weeks are read, not all records.
    Index(
        "ix_source_record_week",
        text("((date_trunc('week'::text, (received_at AT TIME ZONE 'UTC'::text)))::date)"),
        postgresql_using="brin",
    ),
    comment="An affiliation as a source sent it",
)

Table(
    "refused_record",
    metadata,
    _required("id", BigInteger, Identity(always=True), primary_key=True, comment="Key"),
    _required(
        "content_hash",
        BYTEA,
        unique=True,
        comment="16 bytes of BLAKE2b over all that was sent and the reason",
    ),
    Column("source", Text, comment="Who sent it, where that could be read"),
    Column("external_id", Text, comment="Its record there, where readable"),
    Column("position", BigInteger, comment="Which affiliation of that record, where readable"),
    _required("reason", Text, comment="What is wrong with it"),
    _required("payload", Text, comment="The first 2,000 characters of it"),
    _required(
        "received_at",
        _Timestamp,
        server_default=func.now(),
        index=True,
        comment="When it was first received",
    ),
    comment="An incoming record that could not be taken",
)

Table(
    "link_override",
    metadata,
    _required("id", BigInteger, Identity(always=True), primary_key=True, comment="Key"),
    _required(
        "text_hash",
        BYTEA,
        index=True,
        comment="As affiliation.text_hash; the text need not have been sent",
    ),
    Column(
        "affiliation",
        Text,
        comment="The normalised text; null: forgotten, it holds for whatever has text_hash",
    ),
    Column("ror_id", Text, comment="Nine characters after https://ror.org/; null: none"),
    _required(
        "verdict",
        Text,
        comment="is, is not, or none: the text names none of the registry's organisations",
    ),
    _required("author", Text, comment="Who decided"),
    _required("note", Text, comment="Why; may be empty"),
    _required("created_at", _Timestamp, server_default=func.now(), comment="Since when"),
    Column("ended_at", _Timestamp, comment="Until when; null: it holds"),
    Column("ended_by_author", Text, comment="Who ended it"),
    Column("ended_note", Text, comment="Why it ended; may be empty"),
    Index(
        "uq_link_override_text_hash_ror_id",
        "text_hash",
        "ror_id",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
    Index(
        "uq_link_override_text_hash_none",
        "text_hash",
        unique=True,
        postgresql_where=text("verdict = 'none' AND ended_at IS NULL"),
    ),
    CheckConstraint(f"verdict in ({_listed(Verdict)})", name="verdict"),
    CheckConstraint("(verdict = 'none') = (ror_id is null)", name="ror_id"),
    CheckConstraint("num_nonnulls(ended_at, ended_by_author, ended_note) in (0, 3)", name="ending"),
    comment="A curator's decision about a text; never changed, only ended",
)

# The present answers

Table(
    "outcome",
    metadata,
    _required(
        "affiliation_id",
        BigInteger,
        ForeignKey("affiliation.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The affiliation",
    ),
    _required(
        "policy_id",
        Integer,
        ForeignKey("policy.id"),
        primary_key=True,
        autoincrement=False,
        comment="What was asked for",
    ),
    _required(
        "resolver_version_id",
        Integer,
        ForeignKey("resolver_version.id"),
        comment="Who gave the answer",
    ),
    _required("status", Text, comment="linked or no_match"),
    Column("reason", Text, comment="Why there is no link; null for linked"),
    _required(
        "resolved_at",
        _Timestamp,
        server_default=func.now(),
        comment="When the answer was stored",
    ),
    _required(
        "overrides",
        ARRAY(BigInteger),
        server_default=text("'{}'"),
        comment="link_override.id of the curators' decisions about the text, in order",
    ),
    _required("begin_reason", Text, comment=_BEGIN_REASON),
    Column(
        "nearest",
        Text,
        comment="ROR id of the most probable candidate of an answer without a link; null: none, or"
        " not known",
    ),
    Column("nearest_probability", REAL, comment="Its probability, 0 to 1; null as nearest"),
    CheckConstraint("status in ('linked', 'no_match')", name="status"),
    CheckConstraint("(status = 'linked') = (reason is null)", name="reason"),
    CheckConstraint(f"begin_reason in ({_listed(_BEGIN_REASONS)})", name="begin_reason"),
    CheckConstraint(
        "nearest is null and nearest_probability is null or status = 'no_match'"
        " and nearest is not null and nearest_probability between 0 and 1",
        name="nearest",
    ),
    # With the key: what a version answered is read in pages.
    Index(None, "resolver_version_id", "affiliation_id", "policy_id"),
    comment="The present answer for an affiliation under a policy",
)


def _link_columns() -> list[Column[Any]]:
    """What a link has beside its key, whether it is present or past.

    Short columns stand before texts: so none is padded.
    """
    return [
        _required(
            "since", _Timestamp, comment="Since when the answers have this organisation unbroken"
        ),
        _required(
            "since_version_id",
            Integer,
            ForeignKey("resolver_version.id"),
            comment="Who gave the first of these answers",
        ),
        _required("probability", REAL, comment="The judge's, 0 to 1; 1 where a curator decided"),
        Column(
            "score",
            REAL,
            comment="The reranker's logit; null where a curator decided and it was not read",
        ),
        Column("sparse", REAL, comment="The first stage's score by words; null: not found so"),
        Column("dense", REAL, comment="The first stage's score by meaning; null: not found so"),
        Column("margin", REAL, comment="How much less probable the runner-up is; null: no rival"),
        _required("rank", SmallInteger, comment="1 is the best of the affiliation"),
        Column(
            "first_stage_rank",
            SmallInteger,
            comment="Rank in the first stage, from 1; null: a curator decided and it was not found",
        ),
        Column(
            "text_start",
            SmallInteger,
            comment="First character of the part that has the name, from 0; null: as text_end",
        ),
        Column(
            "text_end",
            SmallInteger,
            comment="Behind its last; null: the name is written otherwise, as in another script",
        ),
        Column("city_named", Boolean, comment="The text names the organisation's city"),
        _required("name", Text, comment="The organisation's name at that time"),
        _required("matched_name", Text, comment="The name that the text has"),
        Column("country_agreement", Text, comment="named, other_named or none_named"),
        Column(
            "runner_up", Text, comment="ROR id of the best rival for the same words; null: no rival"
        ),
        _required(
            "stands_for",
            ARRAY(Text),
            server_default=text("'{}'"),
            comment="ROR ids of what the affiliation names, where this one stands for them",
        ),
        _required(
            "beginning", Text, comment="new, confirmed or changed, compared with the answer before"
        ),
        _required(
            "since_reason", Text, comment="Why the first of these was given: outcome.begin_reason"
        ),
        Column(
            "override_id",
            BigInteger,
            ForeignKey("link_override.id"),
            comment="The curator's decision that made the link; null: none",
        ),
    ]


def _link_conditions() -> list[CheckConstraint]:
    return [
        CheckConstraint("probability between 0 and 1", name="probability"),
        CheckConstraint("rank >= 1", name="rank"),
        CheckConstraint("num_nulls(text_start, text_end) in (0, 2)", name="text"),
        CheckConstraint("0 <= text_start and text_start < text_end", name="text_order"),
        CheckConstraint(
            f"country_agreement in ({_listed(CountryAgreement)})", name="country_agreement"
        ),
        CheckConstraint(f"beginning in ({_listed(_BEGINNINGS)})", name="beginning"),
        CheckConstraint(f"since_reason in ({_listed(_BEGIN_REASONS)})", name="since_reason"),
    ]


Table(
    "link",
    metadata,
    _required(
        "affiliation_id",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="The affiliation",
    ),
    _required(
        "policy_id", Integer, primary_key=True, autoincrement=False, comment="What was asked for"
    ),
    _required("ror_id", Text, primary_key=True, index=True, comment=_ROR_ID),
    *_link_columns(),
    *_link_conditions(),
    ForeignKeyConstraint(
        ["affiliation_id", "policy_id"],
        ["outcome.affiliation_id", "outcome.policy_id"],
        ondelete="CASCADE",
    ),
    Index(None, "runner_up", postgresql_where=text("runner_up IS NOT NULL")),
    Index(
        "ix_link_stands_for",
        "stands_for",
        postgresql_using="gin",
        postgresql_where=text("stands_for <> '{}'::text[]"),
    ),
    comment="An organisation that an affiliation names, by its present answer",
)

Table(
    "stale",
    metadata,
    _required(
        "affiliation_id",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="The affiliation",
    ),
    _required(
        "policy_id", Integer, primary_key=True, autoincrement=False, comment="What was asked for"
    ),
    _required(
        "resolver_version_id",
        Integer,
        ForeignKey("resolver_version.id"),
        primary_key=True,
        autoincrement=False,
        comment="The version that is to give it again; so are all that carry this one",
    ),
    _required(
        "cause",
        Text,
        comment="organisation changed, organisation added, no answer before, or override",
    ),
    Column("ror_id", Text, comment="The organisation, where it is known"),
    _required("marked_at", _Timestamp, server_default=func.now(), comment="Since when"),
    ForeignKeyConstraint(
        ["affiliation_id", "policy_id"],
        ["outcome.affiliation_id", "outcome.policy_id"],
        ondelete="CASCADE",
    ),
    CheckConstraint(f"cause in ({_listed(Cause)})", name="cause"),
    Index(None, "resolver_version_id", "affiliation_id", "policy_id"),
    comment="An answer that a version is to give again; gone when it has",
)

# The past

Table(
    "past_outcome",
    metadata,
    _required("id", BigInteger, Identity(always=True), primary_key=True, comment="Key"),
    _required(
        "affiliation_id",
        BigInteger,
        ForeignKey("affiliation.id", ondelete="CASCADE"),
        comment="The affiliation",
    ),
    _required("policy_id", Integer, ForeignKey("policy.id"), comment="What was asked for"),
    _required(
        "resolver_version_id",
        Integer,
        ForeignKey("resolver_version.id"),
        comment="Who gave the answer",
    ),
    _required("status", Text, comment="linked or no_match"),
    Column("reason", Text, comment="Why there was no link; null for linked"),
    _required(
        "overrides",
        ARRAY(BigInteger),
        comment="link_override.id of the curators' decisions about the text, in order",
    ),
    _required("resolved_at", _Timestamp, comment="When the answer was stored"),
    _required("ended_at", _Timestamp, index=True, comment="When the next one was stored"),
    _required(
        "ended_by",
        Integer,
        ForeignKey("resolver_version.id"),
        comment="Who gave the next answer",
    ),
    _required(
        "end_reason", Text, comment="registry release, resolver change, override or resolved again"
    ),
    _required("begin_reason", Text, comment=_BEGIN_REASON),
    CheckConstraint("status in ('linked', 'no_match')", name="status"),
    CheckConstraint("(status = 'linked') = (reason is null)", name="reason"),
    CheckConstraint(f"begin_reason in ({_listed(_BEGIN_REASONS)})", name="begin_reason"),
    CheckConstraint(f"end_reason in ({_listed(_END_REASONS)})", name="end_reason"),
    CheckConstraint("resolved_at <= ended_at", name="spell"),
    Index(None, "affiliation_id", "policy_id"),
    Index(None, "ended_by", "ended_at"),
    comment="An answer that was replaced by another one",
)

Table(
    "past_link",
    metadata,
    _required(
        "past_outcome_id",
        BigInteger,
        ForeignKey("past_outcome.id", ondelete="CASCADE"),
        primary_key=True,
        comment="The answer",
    ),
    _required("ror_id", Text, primary_key=True, index=True, comment=_ROR_ID),
    _required("continued", Boolean, comment="The next answer has this organisation too"),
    *_link_columns(),
    *_link_conditions(),
    comment="An organisation that an affiliation named, by a past answer",
)

Table(
    "past_record",
    metadata,
    _required("id", BigInteger, Identity(always=True), primary_key=True, comment="Key"),
    _required("source", Text, comment="Who sent it: crossref"),
    _required("external_id", Text, comment="Its record there: a DOI"),
    _required("position", Integer, comment="Which affiliation of that record, from 0"),
    _required(
        "affiliation_id",
        BigInteger,
        ForeignKey("affiliation.id"),
        index=True,
        comment="The text that was answered",
    ),
    _required("policy_id", Integer, ForeignKey("policy.id"), comment="What was asked for"),
    Column("raw_text", Text, comment="The text as it came; null: as normalised"),
    _required("received_at", _Timestamp, comment="When it was received"),
    _required("ended_at", _Timestamp, index=True, comment="When it was changed or withdrawn"),
    _required("end_reason", Text, comment="changed or withdrawn"),
    CheckConstraint("end_reason in ('changed', 'withdrawn')", name="end_reason"),
    CheckConstraint("received_at <= ended_at", name="spell"),
    Index(None, "external_id", "source", "position"),
    comment="An affiliation as a source had sent it, before it changed or withdrew it",
)

# What comes by HTTP

Table(
    "job",
    metadata,
    _required(
        "id",
        Text,
        primary_key=True,
        comment="Key; source_record.source of its affiliations is this after job:",
    ),
    Column(
        "request_key",
        BYTEA,
        unique=True,
        comment="SHA-256 of the Idempotency-Key and who sent it; null: none",
    ),
    _required("request_hash", BYTEA, comment="SHA-256 of the request, to know it again"),
    _required(
        "body", BYTEA, comment="The affiliations, gzip of a JSON list a line: id, text, refusal"
    ),
    _required("policy", JSONB, comment="The choices that differ from the workers' settings"),
    _required(
        "organizations",
        Text,
        comment="What the results say of organisations: none, brief or full",
    ),
    _required("received", Integer, comment="Affiliations in it"),
    _required("refused", Integer, comment="Of these, those that cannot be read"),
    _required(
        "sent",
        Integer,
        server_default=text("0"),
        comment="Affiliations that the queue has for certain",
    ),
    _required("created_at", _Timestamp, server_default=func.now(), comment="When it was received"),
    _required(
        "expires_at",
        _Timestamp,
        index=True,
        comment="When it is deleted, and its affiliations withdrawn",
    ),
    Column("sent_at", _Timestamp, comment="When the queue had all; null: not yet"),
    Column("finished_at", _Timestamp, comment="When all were seen to be answered; null: not yet"),
    Column("cancelled_at", _Timestamp, comment="When it was cancelled; null: it was not"),
    Column("failure", Text, comment="Why it was set aside and is not sent; null: it was not"),
    _required(
        "attempts",
        Integer,
        server_default=text("0"),
        comment="Tries to send it that met an error of the program",
    ),
    Column(
        "try_at",
        _Timestamp,
        comment="When it may be tried again after such an error; null: at once",
    ),
    CheckConstraint("organizations in ('none', 'brief', 'full')", name="organizations"),
    comment="Affiliations that were sent by HTTP to be resolved in bulk",
)

Table(
    "job_dead_letter",
    metadata,
    Column(
        "job_id",
        Text,
        ForeignKey("job.id", ondelete="CASCADE"),
        primary_key=True,
        comment="Its job",
    ),
    Column(
        "number",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="Its number in the job, from 0",
    ),
    _required("letter_id", Text, comment="The id that resolver deadletters shows"),
    _required(
        "noted_at",
        _Timestamp,
        server_default=func.now(),
        comment="When its last try began or failed",
    ),
    comment="An affiliation of a job whose message became a dead letter",
)

# What people review

Table(
    "review_item",
    metadata,
    _required(
        "affiliation_id",
        BigInteger,
        ForeignKey("affiliation.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        comment="The text",
    ),
    _required(
        "answered_at", _Timestamp, comment="When the answer shown was given: outcome.resolved_at"
    ),
    Column("lease_until", _Timestamp, comment="Until when lease_by has it; null: nobody has"),
    _required(
        "policy_id",
        Integer,
        ForeignKey("policy.id"),
        comment="Which answer is shown: that for most of the records",
    ),
    _required("records", Integer, comment="Records that have the text; 0: none any more"),
    _required("doubt", REAL, comment="How probable it is that the answer is wrong, 0 to 1"),
    _required(
        "priority", REAL, comment="Records times doubt: records that are expected to be wrong"
    ),
    Column(
        "probability",
        REAL,
        comment="Of the least probable link, else of the nearest organisation; null: none was near",
    ),
    Column("band", SmallInteger, comment="The hundredth that the probability is in, 0 to 100"),
    Column("reason", Text, comment="Why the answer has no link; null for linked"),
    Column(
        "country", Text, comment="ISO 3166-1 alpha-2: named by the text, else of the first link"
    ),
    _required("why", Text, comment="Why it is shown: doubt, release, second or disagreement"),
    _required("state", Text, comment="open, done or later: somebody was unsure"),
    Column("lease_by", Text, comment="Who was given it last to decide about it"),
    Column(
        "cluster",
        BYTEA,
        comment="16 bytes of BLAKE2b over name and country of what is not linked, the same for "
        "other writings; null for linked",
    ),
    _required("sources", ARRAY(Text), comment="Sources of the records; job for all jobs"),
    _required(
        "organisations",
        ARRAY(Text),
        comment="ROR ids of its links, of their runners-up and of what came nearest",
    ),
    _required("words", ARRAY(Text), comment="Its folded words, each CJK character by itself"),
    _required(
        "barred",
        ARRAY(Text),
        server_default=text("'{}'"),
        comment="Who may not decide about it, having done so",
    ),
    CheckConstraint("doubt between 0 and 1", name="doubt"),
    CheckConstraint("records >= 0", name="records"),
    CheckConstraint(f"why in ({_listed(Why)})", name="why"),
    CheckConstraint(f"state in ({_listed(ReviewState)})", name="state"),
    Index(
        "ix_review_item_priority",
        text("priority DESC"),
        "affiliation_id",
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "ix_review_item_reason",
        "reason",
        text("priority DESC"),
        "affiliation_id",
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "ix_review_item_country",
        "country",
        text("priority DESC"),
        "affiliation_id",
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "ix_review_item_why",
        "why",
        text("priority DESC"),
        "affiliation_id",
        postgresql_where=text("state = 'open' AND why <> 'doubt'"),
    ),
    Index(
        "ix_review_item_later",
        text("priority DESC"),
        "affiliation_id",
        postgresql_where=text("state = 'later'"),
    ),
    Index(
        "ix_review_item_band",
        "band",
        text("priority DESC"),
        "affiliation_id",
        postgresql_where=text("state = 'open'"),
    ),
    Index("ix_review_item_cluster", "cluster", postgresql_where=text("state = 'open'")),
    Index("ix_review_item_lease_by", "lease_by", postgresql_where=text("lease_by IS NOT NULL")),
    Index(
        "ix_review_item_words",
        "words",
        postgresql_using="gin",
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "ix_review_item_organisations",
        "organisations",
        postgresql_using="gin",
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "ix_review_item_sources",
        "sources",
        postgresql_using="gin",
        postgresql_where=text("state = 'open'"),
    ),
    comment="A text whose answer people may review; made of its records, answer and decisions",
)

Table(
    "review_decision",
    metadata,
    _required("id", BigInteger, Identity(always=True), primary_key=True, comment="Key"),
    _required(
        "request",
        UUID(as_uuid=True),
        comment="The form it was sent by, which says it once however often it is sent",
    ),
    _required("text_hash", BYTEA, comment="As affiliation.text_hash"),
    Column("affiliation", Text, comment="The normalised text; null: forgotten"),
    _required("policy_id", Integer, ForeignKey("policy.id"), comment="Which answer was shown"),
    _required("action", Text, comment="confirm, change, none, lacking, unsure or skip"),
    _required(
        "ror_ids",
        ARRAY(Text),
        comment="All organisations that the text names; those that it may name, where unsure",
    ),
    _required(
        "denied", ARRAY(Text), comment="Those that the answer linked and the text does not name"
    ),
    _required("author", Text, comment="Who decided"),
    _required("note", Text, comment="Why; may be empty"),
    _required(
        "shown",
        JSONB,
        comment="What was seen: candidates, their probabilities and ticks, the resolver version",
    ),
    Column("batch", UUID(as_uuid=True), comment="Decisions that were saved together have the same"),
    Column("seconds", REAL, comment="How long it took, where that is known"),
    _required("blind", Boolean, comment="Made without seeing the answer, as a second look"),
    Column("cluster", BYTEA, comment="As review_lacking.cluster, where the registry lacks it"),
    _required("override_ids", ARRAY(BigInteger), comment="link_override.id of those it made"),
    _required(
        "ended_override_ids", ARRAY(BigInteger), comment="link_override.id of those it ended"
    ),
    _required("created_at", _Timestamp, server_default=func.now(), comment="Since when"),
    Column("ended_at", _Timestamp, comment="Until when; null: it holds"),
    Column("ended_by_author", Text, comment="Who ended it"),
    Column("ended_note", Text, comment="Why it ended; may be empty"),
    UniqueConstraint("request", "text_hash"),
    CheckConstraint(f"action in ({_listed(Action)})", name="action"),
    CheckConstraint("num_nonnulls(ended_at, ended_by_author, ended_note) in (0, 3)", name="ending"),
    Index(None, "text_hash"),
    Index(None, "author", "id"),
    Index(None, "created_at"),
    Index("ix_review_decision_batch", "batch", postgresql_where=text("batch IS NOT NULL")),
    Index("ix_review_decision_cluster", "cluster", postgresql_where=text("cluster IS NOT NULL")),
    Index(
        "ix_review_decision_skipped",
        "author",
        "created_at",
        postgresql_where=text("action = 'skip' AND ended_at IS NULL"),
    ),
    comment="What a person decided about a text on the review page; never changed, only ended",
)

Table(
    "review_lacking",
    metadata,
    _required("cluster", BYTEA, primary_key=True, comment="As review_item.cluster of its writings"),
    _required("fields", JSONB, comment="The fields of ROR's form for a new organisation"),
    _required("records", Integer, comment="Records that name it, when it was last saved"),
    _required("author", Text, comment="Who saved it last"),
    _required("state", Text, comment="draft, sent, added or refused"),
    Column("ror_issue", Text, comment="Address of the request at ROR"),
    _required("updated_at", _Timestamp, server_default=func.now(), comment="When it was saved"),
    CheckConstraint(f"state in ({_listed(LackingState)})", name="state"),
    comment="An organisation that the registry lacks, as people say",
)
