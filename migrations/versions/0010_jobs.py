"""jobs: affiliations that `resolver serve` takes in bulk

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE job (
    id TEXT NOT NULL,
    request_key BYTEA,
    request_hash BYTEA NOT NULL,
    body BYTEA NOT NULL,
    policy JSONB NOT NULL,
    organizations TEXT NOT NULL,
    received INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    sent INTEGER DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    cancelled_at TIMESTAMP WITH TIME ZONE,
    failure TEXT,
    CONSTRAINT pk_job PRIMARY KEY (id),
    CONSTRAINT uq_job_request_key UNIQUE (request_key),
    CONSTRAINT ck_job_organizations CHECK (organizations in ('none', 'brief', 'full'))
);
CREATE INDEX ix_job_expires_at ON job (expires_at);
COMMENT ON TABLE job IS 'Affiliations that were sent by HTTP to be resolved in bulk';
COMMENT ON COLUMN job.id IS 'Key; source_record.source of its affiliations is this after job:';
COMMENT ON COLUMN job.request_key IS 'SHA-256 of the Idempotency-Key and who sent it; null: none';
COMMENT ON COLUMN job.request_hash IS 'SHA-256 of the request, to know it again';
COMMENT ON COLUMN job.body IS 'The affiliations, gzip of a JSON list a line: id, text, refusal';
COMMENT ON COLUMN job.policy IS 'The choices that differ from the workers'' settings';
COMMENT ON COLUMN job.organizations IS 'What the results say of organisations: none, brief or full';
COMMENT ON COLUMN job.received IS 'Affiliations in it';
COMMENT ON COLUMN job.refused IS 'Of these, those that cannot be read';
COMMENT ON COLUMN job.sent IS 'Affiliations that the queue has for certain';
COMMENT ON COLUMN job.created_at IS 'When it was received';
COMMENT ON COLUMN job.expires_at IS 'When it is deleted, and its affiliations withdrawn';
COMMENT ON COLUMN job.sent_at IS 'When the queue had all; null: not yet';
COMMENT ON COLUMN job.finished_at IS 'When all were seen to be answered; null: not yet';
COMMENT ON COLUMN job.cancelled_at IS 'When it was cancelled; null: it was not';
COMMENT ON COLUMN job.failure IS 'Why it cannot be sent to the queue; null: it can';
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE job")
