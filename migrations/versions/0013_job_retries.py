"""job_retries: tries to send a job, and what of it ended among the dead letters

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE job
    ADD COLUMN attempts INTEGER DEFAULT 0 NOT NULL,
    ADD COLUMN try_at TIMESTAMP WITH TIME ZONE;
COMMENT ON COLUMN job.attempts IS 'Tries to send it that met an error of the program';
COMMENT ON COLUMN job.try_at IS 'When it may be tried again after such an error; null: at once';
COMMENT ON COLUMN job.failure IS 'Why it was set aside and is not sent; null: it was not';
CREATE TABLE job_dead_letter (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    letter_id TEXT NOT NULL,
    noted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_job_dead_letter PRIMARY KEY (job_id, number),
    CONSTRAINT fk_job_dead_letter_job_id FOREIGN KEY (job_id) REFERENCES job (id)
        ON DELETE CASCADE
);
COMMENT ON TABLE job_dead_letter IS 'An affiliation of a job whose message became a dead letter';
COMMENT ON COLUMN job_dead_letter.job_id IS 'Its job';
COMMENT ON COLUMN job_dead_letter.number IS 'Its number in the job, from 0';
COMMENT ON COLUMN job_dead_letter.letter_id IS 'The id that resolver deadletters shows';
COMMENT ON COLUMN job_dead_letter.noted_at IS 'When its last try began or failed';
"""


def upgrade() -> None:
    op.execute(CHANGES)


def downgrade() -> None:
    op.execute("DROP TABLE job_dead_letter")
    op.execute("ALTER TABLE job DROP COLUMN attempts, DROP COLUMN try_at")
    op.execute(
        "COMMENT ON COLUMN job.failure IS 'Why it cannot be sent to the queue; null: it can'"
    )
