"""a table of the updates, and how each of them ended

Revision ID: 0009
Revises: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE update_run (
    id INTEGER GENERATED ALWAYS AS IDENTITY,
    scheduled BOOLEAN NOT NULL,
    began_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    step TEXT,
    problem TEXT,
    remedy TEXT,
    CONSTRAINT pk_update_run PRIMARY KEY (id),
    CONSTRAINT ck_update_run_problem CHECK (problem is null or ended_at is not null)
);
COMMENT ON TABLE update_run IS 'An update: a release that was taken in, or was not';
COMMENT ON COLUMN update_run.id IS 'Key';
COMMENT ON COLUMN update_run.scheduled IS
    'Done by a worker, as the schedule asked; else by a command';
COMMENT ON COLUMN update_run.began_at IS 'When it began';
COMMENT ON COLUMN update_run.ended_at IS 'When it ended; null: it runs, or it was killed';
COMMENT ON COLUMN update_run.step IS 'The step that it is in, or ended in: fetch, load, index, …';
COMMENT ON COLUMN update_run.problem IS 'Why it failed; null: it did not';
COMMENT ON COLUMN update_run.remedy IS 'What helps against that, where it is known';
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE update_run")
