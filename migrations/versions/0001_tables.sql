-- The tables as resolver/database/tables.py had them when this migration was written.

CREATE TABLE affiliation (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    text_hash BYTEA NOT NULL,
    text TEXT NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_affiliation PRIMARY KEY (id),
    CONSTRAINT uq_affiliation_text_hash UNIQUE (text_hash)
);
COMMENT ON TABLE affiliation IS
    'A distinct affiliation text; answered once a policy, however often sent';
COMMENT ON COLUMN affiliation.id IS 'Key';
COMMENT ON COLUMN affiliation.text_hash IS '16 bytes of BLAKE2b over the normalised text';
COMMENT ON COLUMN affiliation.text IS
    'The normalised text; of a text that is too long, as much as shows that it is';
COMMENT ON COLUMN affiliation.first_seen_at IS 'When it was first sent';

CREATE TABLE link_override (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    text_hash BYTEA NOT NULL,
    affiliation TEXT,
    ror_id TEXT NOT NULL,
    verdict TEXT NOT NULL,
    author TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_by_author TEXT,
    ended_note TEXT,
    CONSTRAINT pk_link_override PRIMARY KEY (id),
    CONSTRAINT ck_link_override_verdict CHECK (verdict in ('is', 'is not')),
    CONSTRAINT ck_link_override_ending CHECK (num_nonnulls(ended_at, ended_by_author, ended_note)
        in (0, 3))
);
CREATE INDEX ix_link_override_text_hash ON link_override (text_hash);
CREATE UNIQUE INDEX uq_link_override_text_hash_ror_id ON link_override (text_hash, ror_id)
    WHERE ended_at IS NULL;
COMMENT ON TABLE link_override IS 'A curator''s decision about a text; never changed, only ended';
COMMENT ON COLUMN link_override.id IS 'Key';
COMMENT ON COLUMN link_override.text_hash IS
    'As affiliation.text_hash; the text need not have been sent';
COMMENT ON COLUMN link_override.affiliation IS
    'The normalised text; null: forgotten, it holds for whatever has text_hash';
COMMENT ON COLUMN link_override.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN link_override.verdict IS 'is or is not';
COMMENT ON COLUMN link_override.author IS 'Who decided';
COMMENT ON COLUMN link_override.note IS 'Why; may be empty';
COMMENT ON COLUMN link_override.created_at IS 'Since when';
COMMENT ON COLUMN link_override.ended_at IS 'Until when; null: it holds';
COMMENT ON COLUMN link_override.ended_by_author IS 'Who ended it';
COMMENT ON COLUMN link_override.ended_note IS 'Why it ended; may be empty';

CREATE TABLE model (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    first_used_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_model PRIMARY KEY (id),
    CONSTRAINT uq_model_role_fingerprint UNIQUE (role, fingerprint),
    CONSTRAINT ck_model_role CHECK (role in ('encoder', 'reranker'))
);
COMMENT ON TABLE model IS 'A model that took part in an answer';
COMMENT ON COLUMN model.id IS 'Key';
COMMENT ON COLUMN model.role IS 'encoder (first stage) or reranker';
COMMENT ON COLUMN model.name IS 'builtin, a Hugging Face id or a path';
COMMENT ON COLUMN model.fingerprint IS 'Changes with the weights';
COMMENT ON COLUMN model.first_used_at IS 'When it was first used here';

CREATE TABLE organisation_version (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    ror_id TEXT NOT NULL,
    content_hash BYTEA NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    types TEXT[] NOT NULL,
    country_code TEXT,
    country TEXT,
    city TEXT,
    established INTEGER,
    record JSONB NOT NULL,
    CONSTRAINT pk_organisation_version PRIMARY KEY (id),
    CONSTRAINT uq_organisation_version_ror_id_content_hash UNIQUE (ror_id, content_hash),
    CONSTRAINT ck_organisation_version_status CHECK (status in ('active', 'inactive', 'withdrawn'))
);
COMMENT ON TABLE organisation_version IS
    'One state of one ROR record; never changed, shared by releases';
COMMENT ON COLUMN organisation_version.id IS 'Key';
COMMENT ON COLUMN organisation_version.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN organisation_version.content_hash IS
    '16 bytes of BLAKE2b over the record as JSON with sorted keys';
COMMENT ON COLUMN organisation_version.name IS 'ROR''s display name';
COMMENT ON COLUMN organisation_version.status IS 'active, inactive or withdrawn';
COMMENT ON COLUMN organisation_version.types IS 'ROR''s types, in their order';
COMMENT ON COLUMN organisation_version.country_code IS 'ISO 3166-1 alpha-2, main place';
COMMENT ON COLUMN organisation_version.country IS 'Country of the main place';
COMMENT ON COLUMN organisation_version.city IS 'City of the main place';
COMMENT ON COLUMN organisation_version.established IS 'Year it was founded';
COMMENT ON COLUMN organisation_version.record IS 'The whole record';

CREATE TABLE policy (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    fingerprint BYTEA NOT NULL,
    settings JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_policy PRIMARY KEY (id),
    CONSTRAINT uq_policy_fingerprint UNIQUE (fingerprint)
);
COMMENT ON TABLE policy IS 'What a caller chose: threshold, level, restrictions';
COMMENT ON COLUMN policy.id IS 'Key';
COMMENT ON COLUMN policy.fingerprint IS
    '16 bytes of BLAKE2b over the settings as JSON with sorted keys';
COMMENT ON COLUMN policy.settings IS 'All choices, none left out';
COMMENT ON COLUMN policy.created_at IS 'When it was first used';

CREATE TABLE refused_record (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    content_hash BYTEA NOT NULL,
    source TEXT,
    external_id TEXT,
    position BIGINT,
    reason TEXT NOT NULL,
    payload TEXT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_refused_record PRIMARY KEY (id),
    CONSTRAINT uq_refused_record_content_hash UNIQUE (content_hash)
);
CREATE INDEX ix_refused_record_received_at ON refused_record (received_at);
COMMENT ON TABLE refused_record IS 'An incoming record that could not be taken';
COMMENT ON COLUMN refused_record.id IS 'Key';
COMMENT ON COLUMN refused_record.content_hash IS
    '16 bytes of BLAKE2b over all that was sent and the reason';
COMMENT ON COLUMN refused_record.source IS 'Who sent it, where that could be read';
COMMENT ON COLUMN refused_record.external_id IS 'Its record there, where readable';
COMMENT ON COLUMN refused_record.position IS 'Which affiliation of that record, where readable';
COMMENT ON COLUMN refused_record.reason IS 'What is wrong with it';
COMMENT ON COLUMN refused_record.payload IS 'The first 2,000 characters of it';
COMMENT ON COLUMN refused_record.received_at IS 'When it was first received';

CREATE TABLE registry_release (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    version TEXT NOT NULL,
    released_on DATE,
    sha256 TEXT NOT NULL,
    schema_version TEXT,
    source TEXT NOT NULL,
    loaded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    organisation_count INTEGER NOT NULL,
    rejected_count INTEGER NOT NULL,
    is_current BOOLEAN DEFAULT false NOT NULL,
    previous_id INTEGER,
    CONSTRAINT pk_registry_release PRIMARY KEY (id),
    CONSTRAINT uq_registry_release_version_sha256 UNIQUE (version, sha256),
    CONSTRAINT fk_registry_release_previous_id FOREIGN KEY(previous_id) REFERENCES registry_release
        (id) ON DELETE SET NULL
);
CREATE UNIQUE INDEX uq_registry_release_current ON registry_release (is_current) WHERE is_current;
COMMENT ON TABLE registry_release IS 'A release of the ROR registry that was loaded';
COMMENT ON COLUMN registry_release.id IS 'Key';
COMMENT ON COLUMN registry_release.version IS
    'Version as ROR writes it: v2.9; a corrected file is a release of its own';
COMMENT ON COLUMN registry_release.released_on IS 'Day of the release, where known';
COMMENT ON COLUMN registry_release.sha256 IS 'SHA-256 of the file, in hexadecimal';
COMMENT ON COLUMN registry_release.schema_version IS
    'Newest ROR schema among its records, where they say: 2.1';
COMMENT ON COLUMN registry_release.source IS 'Name of the file it came from';
COMMENT ON COLUMN registry_release.loaded_at IS 'When it was last loaded';
COMMENT ON COLUMN registry_release.organisation_count IS 'Organisations in it';
COMMENT ON COLUMN registry_release.rejected_count IS 'Records of the file that were refused';
COMMENT ON COLUMN registry_release.is_current IS 'True for the release in use: one at most';
COMMENT ON COLUMN registry_release.previous_id IS
    'The release in use when it was loaded: release_change compares with it';

CREATE TABLE past_record (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    source TEXT NOT NULL,
    external_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    affiliation_id BIGINT NOT NULL,
    policy_id INTEGER NOT NULL,
    raw_text TEXT,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
    end_reason TEXT NOT NULL,
    CONSTRAINT pk_past_record PRIMARY KEY (id),
    CONSTRAINT ck_past_record_end_reason CHECK (end_reason in ('changed', 'withdrawn')),
    CONSTRAINT ck_past_record_spell CHECK (received_at <= ended_at),
    CONSTRAINT fk_past_record_affiliation_id FOREIGN KEY(affiliation_id) REFERENCES affiliation
        (id),
    CONSTRAINT fk_past_record_policy_id FOREIGN KEY(policy_id) REFERENCES policy (id)
);
CREATE INDEX ix_past_record_affiliation_id ON past_record (affiliation_id);
CREATE INDEX ix_past_record_ended_at ON past_record (ended_at);
CREATE INDEX ix_past_record_external_id_source_position
    ON past_record (external_id, source, position);
COMMENT ON TABLE past_record IS
    'An affiliation as a source had sent it, before it changed or withdrew it';
COMMENT ON COLUMN past_record.id IS 'Key';
COMMENT ON COLUMN past_record.source IS 'Who sent it: crossref';
COMMENT ON COLUMN past_record.external_id IS 'Its record there: a DOI';
COMMENT ON COLUMN past_record.position IS 'Which affiliation of that record, from 0';
COMMENT ON COLUMN past_record.affiliation_id IS 'The text that was answered';
COMMENT ON COLUMN past_record.policy_id IS 'What was asked for';
COMMENT ON COLUMN past_record.raw_text IS 'The text as it came; null: as normalised';
COMMENT ON COLUMN past_record.received_at IS 'When it was received';
COMMENT ON COLUMN past_record.ended_at IS 'When it was changed or withdrawn';
COMMENT ON COLUMN past_record.end_reason IS 'changed or withdrawn';

CREATE TABLE release_change (
    release_id INTEGER NOT NULL,
    ror_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    fields TEXT[] NOT NULL,
    successors TEXT[] NOT NULL,
    before_id BIGINT,
    after_id BIGINT,
    CONSTRAINT pk_release_change PRIMARY KEY (release_id, ror_id),
    CONSTRAINT ck_release_change_kind CHECK (kind in ('added', 'changed', 'merged', 'withdrawn',
        'inactive', 'reactivated', 'removed')),
    CONSTRAINT fk_release_change_release_id FOREIGN KEY(release_id) REFERENCES registry_release
        (id) ON DELETE CASCADE,
    CONSTRAINT fk_release_change_before_id FOREIGN KEY(before_id) REFERENCES organisation_version
        (id),
    CONSTRAINT fk_release_change_after_id FOREIGN KEY(after_id) REFERENCES organisation_version (id)
);
CREATE INDEX ix_release_change_ror_id ON release_change (ror_id);
COMMENT ON TABLE release_change IS
    'What a release changed, compared with the one in use when it was loaded';
COMMENT ON COLUMN release_change.release_id IS 'The release that brought it';
COMMENT ON COLUMN release_change.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN release_change.kind IS
    'added, changed, merged, withdrawn, inactive, reactivated or removed';
COMMENT ON COLUMN release_change.fields IS
    'Top-level fields of the record that differ; none if added or removed';
COMMENT ON COLUMN release_change.successors IS
    'ROR ids of the successors that an ended organisation names';
COMMENT ON COLUMN release_change.before_id IS 'Its state before; null for added';
COMMENT ON COLUMN release_change.after_id IS 'Its state since; null for removed';

CREATE TABLE release_organisation (
    release_id INTEGER NOT NULL,
    ror_id TEXT NOT NULL,
    organisation_version_id BIGINT NOT NULL,
    CONSTRAINT pk_release_organisation PRIMARY KEY (release_id, ror_id),
    CONSTRAINT fk_release_organisation_release_id FOREIGN KEY(release_id) REFERENCES
        registry_release (id) ON DELETE CASCADE,
    CONSTRAINT fk_release_organisation_organisation_version_id FOREIGN KEY(organisation_version_id)
        REFERENCES organisation_version (id)
);
CREATE INDEX ix_release_organisation_organisation_version_id
    ON release_organisation (organisation_version_id);
COMMENT ON TABLE release_organisation IS 'Which state of which organisation a release holds';
COMMENT ON COLUMN release_organisation.release_id IS 'The release';
COMMENT ON COLUMN release_organisation.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN release_organisation.organisation_version_id IS 'The state of the record';

CREATE TABLE resolver_version (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    release_id INTEGER NOT NULL,
    encoder_id INTEGER NOT NULL,
    reranker_id INTEGER NOT NULL,
    settings JSONB NOT NULL,
    fingerprint BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    is_current BOOLEAN DEFAULT false NOT NULL,
    generation BIGINT,
    index_version TEXT,
    configuration JSONB DEFAULT '{}' NOT NULL,
    carries_id INTEGER,
    selected_at TIMESTAMP WITH TIME ZONE,
    selected_to BIGINT,
    selected_until TIMESTAMP WITH TIME ZONE,
    selected_of INTEGER[],
    CONSTRAINT pk_resolver_version PRIMARY KEY (id),
    CONSTRAINT fk_resolver_version_release_id FOREIGN KEY(release_id) REFERENCES registry_release
        (id),
    CONSTRAINT fk_resolver_version_encoder_id FOREIGN KEY(encoder_id) REFERENCES model (id),
    CONSTRAINT fk_resolver_version_reranker_id FOREIGN KEY(reranker_id) REFERENCES model (id),
    CONSTRAINT uq_resolver_version_fingerprint UNIQUE (fingerprint),
    CONSTRAINT uq_resolver_version_generation UNIQUE (generation),
    CONSTRAINT fk_resolver_version_carries_id FOREIGN KEY(carries_id) REFERENCES resolver_version
        (id)
);
CREATE UNIQUE INDEX uq_resolver_version_current ON resolver_version (is_current) WHERE is_current;
COMMENT ON TABLE resolver_version IS 'What an answer depends on: release, index, models, settings';
COMMENT ON COLUMN resolver_version.id IS 'Key';
COMMENT ON COLUMN resolver_version.release_id IS 'Registry it linked to';
COMMENT ON COLUMN resolver_version.encoder_id IS 'Model of the first stage';
COMMENT ON COLUMN resolver_version.reranker_id IS 'Model that scored the candidates';
COMMENT ON COLUMN resolver_version.settings IS 'Settings that bear on every answer';
COMMENT ON COLUMN resolver_version.fingerprint IS '16 bytes of BLAKE2b over all of the above';
COMMENT ON COLUMN resolver_version.created_at IS 'When it was first used';
COMMENT ON COLUMN resolver_version.is_current IS 'True for the one in use: one at most';
COMMENT ON COLUMN resolver_version.generation IS
    'Order in which they came in use, last; null: never';
COMMENT ON COLUMN resolver_version.index_version IS
    'Index version that it searches; null: the one that the settings name';
COMMENT ON COLUMN resolver_version.configuration IS
    'How to open its models, by setting; empty: as the settings say';
COMMENT ON COLUMN resolver_version.carries_id IS
    'The version whose valid answers it carries over, but for stale ones';
COMMENT ON COLUMN resolver_version.selected_at IS
    'When all that it carries and may answer otherwise was marked stale; null: not yet';
COMMENT ON COLUMN resolver_version.selected_to IS
    'Last affiliation that a selection under way is done with';
COMMENT ON COLUMN resolver_version.selected_until IS
    'A selection is done with the answers of versions in selected_of from before then';
COMMENT ON COLUMN resolver_version.selected_of IS 'Versions whose answers a selection is done with';

CREATE TABLE source_record (
    source TEXT NOT NULL,
    external_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    affiliation_id BIGINT NOT NULL,
    policy_id INTEGER NOT NULL,
    raw_text TEXT,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_source_record PRIMARY KEY (external_id, source, position),
    CONSTRAINT ck_source_record_source_length CHECK (char_length(source) <= 100),
    CONSTRAINT ck_source_record_external_id_length CHECK (char_length(external_id) <= 500),
    CONSTRAINT ck_source_record_position CHECK (position >= 0),
    CONSTRAINT fk_source_record_affiliation_id FOREIGN KEY(affiliation_id) REFERENCES affiliation
        (id),
    CONSTRAINT fk_source_record_policy_id FOREIGN KEY(policy_id) REFERENCES policy (id)
);
CREATE INDEX ix_source_record_affiliation_id_policy_id ON source_record (affiliation_id, policy_id);
CREATE INDEX ix_source_record_week
    ON source_record USING brin (((date_trunc('week'::text, (received_at AT TIME ZONE 'UTC'::text)))::date));
COMMENT ON TABLE source_record IS 'An affiliation as a source sent it';
COMMENT ON COLUMN source_record.source IS 'Who sent it: crossref';
COMMENT ON COLUMN source_record.external_id IS 'Its record there: a DOI';
COMMENT ON COLUMN source_record.position IS 'Which affiliation of that record, from 0';
COMMENT ON COLUMN source_record.affiliation_id IS 'The text that is answered';
COMMENT ON COLUMN source_record.policy_id IS 'What was asked for: which of its answers counts';
COMMENT ON COLUMN source_record.raw_text IS
    'As it came, 10,000 characters at most, U+FFFD for what cannot be stored; null: as normalised';
COMMENT ON COLUMN source_record.received_at IS 'When this text was received, with this policy';

CREATE TABLE outcome (
    affiliation_id BIGINT NOT NULL,
    policy_id INTEGER NOT NULL,
    resolver_version_id INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    resolved_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    overrides BIGINT[] DEFAULT '{}' NOT NULL,
    begin_reason TEXT NOT NULL,
    CONSTRAINT pk_outcome PRIMARY KEY (affiliation_id, policy_id),
    CONSTRAINT ck_outcome_status CHECK (status in ('linked', 'no_match')),
    CONSTRAINT ck_outcome_reason CHECK ((status = 'linked') = (reason is null)),
    CONSTRAINT ck_outcome_begin_reason CHECK (begin_reason in ('source sent', 'override',
        'registry release', 'resolver change', 'resolved again')),
    CONSTRAINT fk_outcome_affiliation_id FOREIGN KEY(affiliation_id) REFERENCES affiliation (id) ON
        DELETE CASCADE,
    CONSTRAINT fk_outcome_policy_id FOREIGN KEY(policy_id) REFERENCES policy (id),
    CONSTRAINT fk_outcome_resolver_version_id FOREIGN KEY(resolver_version_id) REFERENCES
        resolver_version (id)
);
CREATE INDEX ix_outcome_resolver_version_id_affiliation_id_policy_id
    ON outcome (resolver_version_id, affiliation_id, policy_id);
COMMENT ON TABLE outcome IS 'The present answer for an affiliation under a policy';
COMMENT ON COLUMN outcome.affiliation_id IS 'The affiliation';
COMMENT ON COLUMN outcome.policy_id IS 'What was asked for';
COMMENT ON COLUMN outcome.resolver_version_id IS 'Who gave the answer';
COMMENT ON COLUMN outcome.status IS 'linked or no_match';
COMMENT ON COLUMN outcome.reason IS 'Why there is no link; null for linked';
COMMENT ON COLUMN outcome.resolved_at IS 'When the answer was stored';
COMMENT ON COLUMN outcome.overrides IS
    'link_override.id of the curators'' decisions about the text, in order';
COMMENT ON COLUMN outcome.begin_reason IS
    'Why this answer was given: source sent for the first, else as past_outcome.end_reason';

CREATE TABLE past_outcome (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    affiliation_id BIGINT NOT NULL,
    policy_id INTEGER NOT NULL,
    resolver_version_id INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    overrides BIGINT[] NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_by INTEGER NOT NULL,
    end_reason TEXT NOT NULL,
    begin_reason TEXT NOT NULL,
    CONSTRAINT pk_past_outcome PRIMARY KEY (id),
    CONSTRAINT ck_past_outcome_status CHECK (status in ('linked', 'no_match')),
    CONSTRAINT ck_past_outcome_reason CHECK ((status = 'linked') = (reason is null)),
    CONSTRAINT ck_past_outcome_begin_reason CHECK (begin_reason in ('source sent', 'override',
        'registry release', 'resolver change', 'resolved again')),
    CONSTRAINT ck_past_outcome_end_reason CHECK (end_reason in ('override', 'registry release',
        'resolver change', 'resolved again')),
    CONSTRAINT ck_past_outcome_spell CHECK (resolved_at <= ended_at),
    CONSTRAINT fk_past_outcome_affiliation_id FOREIGN KEY(affiliation_id) REFERENCES affiliation
        (id) ON DELETE CASCADE,
    CONSTRAINT fk_past_outcome_policy_id FOREIGN KEY(policy_id) REFERENCES policy (id),
    CONSTRAINT fk_past_outcome_resolver_version_id FOREIGN KEY(resolver_version_id) REFERENCES
        resolver_version (id),
    CONSTRAINT fk_past_outcome_ended_by FOREIGN KEY(ended_by) REFERENCES resolver_version (id)
);
CREATE INDEX ix_past_outcome_affiliation_id_policy_id ON past_outcome (affiliation_id, policy_id);
CREATE INDEX ix_past_outcome_ended_at ON past_outcome (ended_at);
CREATE INDEX ix_past_outcome_ended_by_ended_at ON past_outcome (ended_by, ended_at);
COMMENT ON TABLE past_outcome IS 'An answer that was replaced by another one';
COMMENT ON COLUMN past_outcome.id IS 'Key';
COMMENT ON COLUMN past_outcome.affiliation_id IS 'The affiliation';
COMMENT ON COLUMN past_outcome.policy_id IS 'What was asked for';
COMMENT ON COLUMN past_outcome.resolver_version_id IS 'Who gave the answer';
COMMENT ON COLUMN past_outcome.status IS 'linked or no_match';
COMMENT ON COLUMN past_outcome.reason IS 'Why there was no link; null for linked';
COMMENT ON COLUMN past_outcome.overrides IS
    'link_override.id of the curators'' decisions about the text, in order';
COMMENT ON COLUMN past_outcome.resolved_at IS 'When the answer was stored';
COMMENT ON COLUMN past_outcome.ended_at IS 'When the next one was stored';
COMMENT ON COLUMN past_outcome.ended_by IS 'Who gave the next answer';
COMMENT ON COLUMN past_outcome.end_reason IS
    'registry release, resolver change, override or resolved again';
COMMENT ON COLUMN past_outcome.begin_reason IS
    'Why this answer was given: source sent for the first, else as past_outcome.end_reason';

CREATE TABLE link (
    affiliation_id BIGINT NOT NULL,
    policy_id INTEGER NOT NULL,
    ror_id TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    since_version_id INTEGER NOT NULL,
    probability REAL NOT NULL,
    score REAL,
    sparse REAL,
    dense REAL,
    margin REAL,
    rank SMALLINT NOT NULL,
    first_stage_rank SMALLINT,
    text_start SMALLINT,
    text_end SMALLINT,
    city_named BOOLEAN,
    name TEXT NOT NULL,
    matched_name TEXT NOT NULL,
    country_agreement TEXT,
    runner_up TEXT,
    stands_for TEXT[] DEFAULT '{}' NOT NULL,
    beginning TEXT NOT NULL,
    since_reason TEXT NOT NULL,
    override_id BIGINT,
    CONSTRAINT pk_link PRIMARY KEY (affiliation_id, policy_id, ror_id),
    CONSTRAINT ck_link_probability CHECK (probability between 0 and 1),
    CONSTRAINT ck_link_rank CHECK (rank >= 1),
    CONSTRAINT ck_link_text CHECK (num_nulls(text_start, text_end) in (0, 2)),
    CONSTRAINT ck_link_text_order CHECK (0 <= text_start and text_start < text_end),
    CONSTRAINT ck_link_country_agreement CHECK (country_agreement in ('named', 'other_named',
        'none_named')),
    CONSTRAINT ck_link_beginning CHECK (beginning in ('new', 'confirmed', 'changed')),
    CONSTRAINT ck_link_since_reason CHECK (since_reason in ('source sent', 'override',
        'registry release', 'resolver change', 'resolved again')),
    CONSTRAINT fk_link_affiliation_id FOREIGN KEY(affiliation_id, policy_id) REFERENCES outcome
        (affiliation_id, policy_id) ON DELETE CASCADE,
    CONSTRAINT fk_link_since_version_id FOREIGN KEY(since_version_id) REFERENCES resolver_version
        (id),
    CONSTRAINT fk_link_override_id FOREIGN KEY(override_id) REFERENCES link_override (id)
);
CREATE INDEX ix_link_ror_id ON link (ror_id);
CREATE INDEX ix_link_runner_up ON link (runner_up) WHERE runner_up IS NOT NULL;
CREATE INDEX ix_link_stands_for ON link USING gin (stands_for) WHERE stands_for <> '{}'::text[];
COMMENT ON TABLE link IS 'An organisation that an affiliation names, by its present answer';
COMMENT ON COLUMN link.affiliation_id IS 'The affiliation';
COMMENT ON COLUMN link.policy_id IS 'What was asked for';
COMMENT ON COLUMN link.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN link.since IS 'Since when the answers have this organisation unbroken';
COMMENT ON COLUMN link.since_version_id IS 'Who gave the first of these answers';
COMMENT ON COLUMN link.probability IS 'The judge''s, 0 to 1; 1 where a curator decided';
COMMENT ON COLUMN link.score IS
    'The reranker''s logit; null where a curator decided and it was not read';
COMMENT ON COLUMN link.sparse IS 'The first stage''s score by words; null: not found so';
COMMENT ON COLUMN link.dense IS 'The first stage''s score by meaning; null: not found so';
COMMENT ON COLUMN link.margin IS 'How much less probable the runner-up is; null: no rival';
COMMENT ON COLUMN link.rank IS '1 is the best of the affiliation';
COMMENT ON COLUMN link.first_stage_rank IS
    'Rank in the first stage, from 1; null: a curator decided and it was not found';
COMMENT ON COLUMN link.text_start IS
    'First character of the part that has the name, from 0; null: as text_end';
COMMENT ON COLUMN link.text_end IS
    'Behind its last; null: the name is written otherwise, as in another script';
COMMENT ON COLUMN link.city_named IS 'The text names the organisation''s city';
COMMENT ON COLUMN link.name IS 'The organisation''s name at that time';
COMMENT ON COLUMN link.matched_name IS 'The name that the text has';
COMMENT ON COLUMN link.country_agreement IS 'named, other_named or none_named';
COMMENT ON COLUMN link.runner_up IS 'ROR id of the best rival for the same words; null: no rival';
COMMENT ON COLUMN link.stands_for IS
    'ROR ids of what the affiliation names, where this one stands for them';
COMMENT ON COLUMN link.beginning IS 'new, confirmed or changed, compared with the answer before';
COMMENT ON COLUMN link.since_reason IS 'Why the first of these was given: outcome.begin_reason';
COMMENT ON COLUMN link.override_id IS 'The curator''s decision that made the link; null: none';

CREATE TABLE past_link (
    past_outcome_id BIGINT NOT NULL,
    ror_id TEXT NOT NULL,
    continued BOOLEAN NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    since_version_id INTEGER NOT NULL,
    probability REAL NOT NULL,
    score REAL,
    sparse REAL,
    dense REAL,
    margin REAL,
    rank SMALLINT NOT NULL,
    first_stage_rank SMALLINT,
    text_start SMALLINT,
    text_end SMALLINT,
    city_named BOOLEAN,
    name TEXT NOT NULL,
    matched_name TEXT NOT NULL,
    country_agreement TEXT,
    runner_up TEXT,
    stands_for TEXT[] DEFAULT '{}' NOT NULL,
    beginning TEXT NOT NULL,
    since_reason TEXT NOT NULL,
    override_id BIGINT,
    CONSTRAINT pk_past_link PRIMARY KEY (past_outcome_id, ror_id),
    CONSTRAINT ck_past_link_probability CHECK (probability between 0 and 1),
    CONSTRAINT ck_past_link_rank CHECK (rank >= 1),
    CONSTRAINT ck_past_link_text CHECK (num_nulls(text_start, text_end) in (0, 2)),
    CONSTRAINT ck_past_link_text_order CHECK (0 <= text_start and text_start < text_end),
    CONSTRAINT ck_past_link_country_agreement CHECK (country_agreement in ('named', 'other_named',
        'none_named')),
    CONSTRAINT ck_past_link_beginning CHECK (beginning in ('new', 'confirmed', 'changed')),
    CONSTRAINT ck_past_link_since_reason CHECK (since_reason in ('source sent', 'override',
        'registry release', 'resolver change', 'resolved again')),
    CONSTRAINT fk_past_link_past_outcome_id FOREIGN KEY(past_outcome_id) REFERENCES past_outcome
        (id) ON DELETE CASCADE,
    CONSTRAINT fk_past_link_since_version_id FOREIGN KEY(since_version_id) REFERENCES
        resolver_version (id),
    CONSTRAINT fk_past_link_override_id FOREIGN KEY(override_id) REFERENCES link_override (id)
);
CREATE INDEX ix_past_link_ror_id ON past_link (ror_id);
COMMENT ON TABLE past_link IS 'An organisation that an affiliation named, by a past answer';
COMMENT ON COLUMN past_link.past_outcome_id IS 'The answer';
COMMENT ON COLUMN past_link.ror_id IS 'Nine characters after https://ror.org/';
COMMENT ON COLUMN past_link.continued IS 'The next answer has this organisation too';
COMMENT ON COLUMN past_link.since IS 'Since when the answers have this organisation unbroken';
COMMENT ON COLUMN past_link.since_version_id IS 'Who gave the first of these answers';
COMMENT ON COLUMN past_link.probability IS 'The judge''s, 0 to 1; 1 where a curator decided';
COMMENT ON COLUMN past_link.score IS
    'The reranker''s logit; null where a curator decided and it was not read';
COMMENT ON COLUMN past_link.sparse IS 'The first stage''s score by words; null: not found so';
COMMENT ON COLUMN past_link.dense IS 'The first stage''s score by meaning; null: not found so';
COMMENT ON COLUMN past_link.margin IS 'How much less probable the runner-up is; null: no rival';
COMMENT ON COLUMN past_link.rank IS '1 is the best of the affiliation';
COMMENT ON COLUMN past_link.first_stage_rank IS
    'Rank in the first stage, from 1; null: a curator decided and it was not found';
COMMENT ON COLUMN past_link.text_start IS
    'First character of the part that has the name, from 0; null: as text_end';
COMMENT ON COLUMN past_link.text_end IS
    'Behind its last; null: the name is written otherwise, as in another script';
COMMENT ON COLUMN past_link.city_named IS 'The text names the organisation''s city';
COMMENT ON COLUMN past_link.name IS 'The organisation''s name at that time';
COMMENT ON COLUMN past_link.matched_name IS 'The name that the text has';
COMMENT ON COLUMN past_link.country_agreement IS 'named, other_named or none_named';
COMMENT ON COLUMN past_link.runner_up IS
    'ROR id of the best rival for the same words; null: no rival';
COMMENT ON COLUMN past_link.stands_for IS
    'ROR ids of what the affiliation names, where this one stands for them';
COMMENT ON COLUMN past_link.beginning IS
    'new, confirmed or changed, compared with the answer before';
COMMENT ON COLUMN past_link.since_reason IS
    'Why the first of these was given: outcome.begin_reason';
COMMENT ON COLUMN past_link.override_id IS 'The curator''s decision that made the link; null: none';

CREATE TABLE stale (
    affiliation_id BIGINT NOT NULL,
    policy_id INTEGER NOT NULL,
    resolver_version_id INTEGER NOT NULL,
    cause TEXT NOT NULL,
    ror_id TEXT,
    marked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_stale PRIMARY KEY (affiliation_id, policy_id, resolver_version_id),
    CONSTRAINT fk_stale_affiliation_id FOREIGN KEY(affiliation_id, policy_id) REFERENCES outcome
        (affiliation_id, policy_id) ON DELETE CASCADE,
    CONSTRAINT ck_stale_cause CHECK (cause in ('organisation changed', 'organisation added',
        'no answer before', 'override')),
    CONSTRAINT fk_stale_resolver_version_id FOREIGN KEY(resolver_version_id) REFERENCES
        resolver_version (id)
);
CREATE INDEX ix_stale_resolver_version_id_affiliation_id_policy_id
    ON stale (resolver_version_id, affiliation_id, policy_id);
COMMENT ON TABLE stale IS 'An answer that a version is to give again; gone when it has';
COMMENT ON COLUMN stale.affiliation_id IS 'The affiliation';
COMMENT ON COLUMN stale.policy_id IS 'What was asked for';
COMMENT ON COLUMN stale.resolver_version_id IS
    'The version that is to give it again; so are all that carry this one';
COMMENT ON COLUMN stale.cause IS
    'organisation changed, organisation added, no answer before, or override';
COMMENT ON COLUMN stale.ror_id IS 'The organisation, where it is known';
COMMENT ON COLUMN stale.marked_at IS 'Since when';
