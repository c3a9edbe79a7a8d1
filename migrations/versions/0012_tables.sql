-- The tables as resolver/database/tables.py had them when this migration was written.

CREATE TABLE review_item (
    affiliation_id BIGINT NOT NULL,
    answered_at TIMESTAMP WITH TIME ZONE NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    policy_id INTEGER NOT NULL,
    records INTEGER NOT NULL,
    doubt REAL NOT NULL,
    priority REAL NOT NULL,
    probability REAL,
    band SMALLINT,
    reason TEXT,
    country TEXT,
    why TEXT NOT NULL,
    state TEXT NOT NULL,
    lease_by TEXT,
    cluster BYTEA,
    sources TEXT[] NOT NULL,
    organisations TEXT[] NOT NULL,
    words TEXT[] NOT NULL,
    barred TEXT[] DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_review_item PRIMARY KEY (affiliation_id),
    CONSTRAINT ck_review_item_doubt CHECK (doubt between 0 and 1),
    CONSTRAINT ck_review_item_records CHECK (records >= 0),
    CONSTRAINT ck_review_item_why CHECK (why in ('doubt', 'release', 'second', 'disagreement')),
    CONSTRAINT ck_review_item_state CHECK (state in ('open', 'done', 'later')),
    CONSTRAINT fk_review_item_affiliation_id FOREIGN KEY(affiliation_id) REFERENCES affiliation (id) ON DELETE CASCADE,
    CONSTRAINT fk_review_item_policy_id FOREIGN KEY(policy_id) REFERENCES policy (id)
);
CREATE INDEX ix_review_item_band ON review_item (band, priority DESC, affiliation_id) WHERE state = 'open';
CREATE INDEX ix_review_item_cluster ON review_item (cluster) WHERE state = 'open';
CREATE INDEX ix_review_item_country ON review_item (country, priority DESC, affiliation_id) WHERE state = 'open';
CREATE INDEX ix_review_item_later ON review_item (priority DESC, affiliation_id) WHERE state = 'later';
CREATE INDEX ix_review_item_lease_by ON review_item (lease_by) WHERE lease_by IS NOT NULL;
CREATE INDEX ix_review_item_organisations ON review_item USING gin (organisations) WHERE state = 'open';
CREATE INDEX ix_review_item_priority ON review_item (priority DESC, affiliation_id) WHERE state = 'open';
CREATE INDEX ix_review_item_reason ON review_item (reason, priority DESC, affiliation_id) WHERE state = 'open';
CREATE INDEX ix_review_item_sources ON review_item USING gin (sources) WHERE state = 'open';
CREATE INDEX ix_review_item_why ON review_item (why, priority DESC, affiliation_id) WHERE state = 'open' AND why <> 'doubt';
CREATE INDEX ix_review_item_words ON review_item USING gin (words) WHERE state = 'open';
COMMENT ON TABLE review_item IS 'A text whose answer people may review; made of its records, answer and decisions';
COMMENT ON COLUMN review_item.affiliation_id IS 'The text';
COMMENT ON COLUMN review_item.answered_at IS 'When the answer shown was given: outcome.resolved_at';
COMMENT ON COLUMN review_item.lease_until IS 'Until when lease_by has it; null: nobody has';
COMMENT ON COLUMN review_item.policy_id IS 'Which answer is shown: that for most of the records';
COMMENT ON COLUMN review_item.records IS 'Records that have the text; 0: none any more';
COMMENT ON COLUMN review_item.doubt IS 'How probable it is that the answer is wrong, 0 to 1';
COMMENT ON COLUMN review_item.priority IS 'Records times doubt: records that are expected to be wrong';
COMMENT ON COLUMN review_item.probability IS 'Of the least probable link, else of the nearest organisation; null: none was near';
COMMENT ON COLUMN review_item.band IS 'The hundredth that the probability is in, 0 to 100';
COMMENT ON COLUMN review_item.reason IS 'Why the answer has no link; null for linked';
COMMENT ON COLUMN review_item.country IS 'ISO 3166-1 alpha-2: named by the text, else of the first link';
COMMENT ON COLUMN review_item.why IS 'Why it is shown: doubt, release, second or disagreement';
COMMENT ON COLUMN review_item.state IS 'open, done or later: somebody was unsure';
COMMENT ON COLUMN review_item.lease_by IS 'Who was given it last to decide about it';
COMMENT ON COLUMN review_item.cluster IS '16 bytes of BLAKE2b over name and country of what is not linked, the same for other writings; null for linked';
COMMENT ON COLUMN review_item.sources IS 'Sources of the records; job for all jobs';
COMMENT ON COLUMN review_item.organisations IS 'ROR ids of its links, of their runners-up and of what came nearest';
COMMENT ON COLUMN review_item.words IS 'Its folded words, each CJK character by itself';
COMMENT ON COLUMN review_item.barred IS 'Who may not decide about it, having done so';
CREATE TABLE review_decision (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    request UUID NOT NULL,
    text_hash BYTEA NOT NULL,
    affiliation TEXT,
    policy_id INTEGER NOT NULL,
    action TEXT NOT NULL,
    ror_ids TEXT[] NOT NULL,
    denied TEXT[] NOT NULL,
    author TEXT NOT NULL,
    note TEXT NOT NULL,
    shown JSONB NOT NULL,
    batch UUID,
    seconds REAL,
    blind BOOLEAN NOT NULL,
    cluster BYTEA,
    override_ids BIGINT[] NOT NULL,
    ended_override_ids BIGINT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_by_author TEXT,
    ended_note TEXT,
    CONSTRAINT pk_review_decision PRIMARY KEY (id),
    CONSTRAINT uq_review_decision_request_text_hash UNIQUE (request, text_hash),
    CONSTRAINT ck_review_decision_action CHECK (action in ('confirm', 'change', 'none', 'lacking', 'unsure', 'skip')),
    CONSTRAINT ck_review_decision_ending CHECK (num_nonnulls(ended_at, ended_by_author, ended_note) in (0, 3)),
    CONSTRAINT fk_review_decision_policy_id FOREIGN KEY(policy_id) REFERENCES policy (id)
);
CREATE INDEX ix_review_decision_author_id ON review_decision (author, id);
CREATE INDEX ix_review_decision_batch ON review_decision (batch) WHERE batch IS NOT NULL;
CREATE INDEX ix_review_decision_cluster ON review_decision (cluster) WHERE cluster IS NOT NULL;
CREATE INDEX ix_review_decision_created_at ON review_decision (created_at);
CREATE INDEX ix_review_decision_skipped ON review_decision (author, created_at) WHERE action = 'skip' AND ended_at IS NULL;
CREATE INDEX ix_review_decision_text_hash ON review_decision (text_hash);
COMMENT ON TABLE review_decision IS 'What a person decided about a text on the review page; never changed, only ended';
COMMENT ON COLUMN review_decision.id IS 'Key';
COMMENT ON COLUMN review_decision.request IS 'The form it was sent by, which says it once however often it is sent';
COMMENT ON COLUMN review_decision.text_hash IS 'As affiliation.text_hash';
COMMENT ON COLUMN review_decision.affiliation IS 'The normalised text; null: forgotten';
COMMENT ON COLUMN review_decision.policy_id IS 'Which answer was shown';
COMMENT ON COLUMN review_decision.action IS 'confirm, change, none, lacking, unsure or skip';
COMMENT ON COLUMN review_decision.ror_ids IS 'All organisations that the text names; those that it may name, where unsure';
COMMENT ON COLUMN review_decision.denied IS 'Those that the answer linked and the text does not name';
COMMENT ON COLUMN review_decision.author IS 'Who decided';
COMMENT ON COLUMN review_decision.note IS 'Why; may be empty';
COMMENT ON COLUMN review_decision.shown IS 'What was seen: candidates, their probabilities and ticks, the resolver version';
COMMENT ON COLUMN review_decision.batch IS 'Decisions that were saved together have the same';
COMMENT ON COLUMN review_decision.seconds IS 'How long it took, where that is known';
COMMENT ON COLUMN review_decision.blind IS 'Made without seeing the answer, as a second look';
COMMENT ON COLUMN review_decision.cluster IS 'As review_lacking.cluster, where the registry lacks it';
COMMENT ON COLUMN review_decision.override_ids IS 'link_override.id of those it made';
COMMENT ON COLUMN review_decision.ended_override_ids IS 'link_override.id of those it ended';
COMMENT ON COLUMN review_decision.created_at IS 'Since when';
COMMENT ON COLUMN review_decision.ended_at IS 'Until when; null: it holds';
COMMENT ON COLUMN review_decision.ended_by_author IS 'Who ended it';
COMMENT ON COLUMN review_decision.ended_note IS 'Why it ended; may be empty';
CREATE TABLE review_lacking (
    cluster BYTEA NOT NULL,
    fields JSONB NOT NULL,
    records INTEGER NOT NULL,
    author TEXT NOT NULL,
    state TEXT NOT NULL,
    ror_issue TEXT,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_review_lacking PRIMARY KEY (cluster),
    CONSTRAINT ck_review_lacking_state CHECK (state in ('draft', 'sent', 'added', 'refused'))
);
COMMENT ON TABLE review_lacking IS 'An organisation that the registry lacks, as people say';
COMMENT ON COLUMN review_lacking.cluster IS 'As review_item.cluster of its writings';
COMMENT ON COLUMN review_lacking.fields IS 'The fields of ROR''s form for a new organisation';
COMMENT ON COLUMN review_lacking.records IS 'Records that name it, when it was last saved';
COMMENT ON COLUMN review_lacking.author IS 'Who saved it last';
COMMENT ON COLUMN review_lacking.state IS 'draft, sent, added or refused';
COMMENT ON COLUMN review_lacking.ror_issue IS 'Address of the request at ROR';
COMMENT ON COLUMN review_lacking.updated_at IS 'When it was saved';
