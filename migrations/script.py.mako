"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}

Before you merge, think of a table of 100 million rows with workers writing to it:
- lock_timeout is 5 s and statement_timeout 15 min (env.py). A migration that waits for a lock
  also blocks everyone who comes after it.
- A new index on a filled table: CREATE INDEX CONCURRENTLY, first of all, inside
  op.get_context().autocommit_block(), with both timeouts set to 0 and back. What was done before is
  committed then, so it must bear to be done twice. An index whose building broke off is there and
  invalid (pg_index.indisvalid): drop it and build it again. In a trial, which is taken back
  (context.config.attributes.get("trial"), see schema.losses), build it in the transaction.
- A new constraint: NOT VALID first, VALIDATE CONSTRAINT in a later migration.
- A new column: nullable or with a constant default. Fill it in batches, outside of the migration.
- A change of type rewrites the table under an exclusive lock: add a column instead.
- A view or function that changes: the file in resolver/database has the new definition, and the
  migration that last read the file gets the old text as a constant of its own.
- Workers of the version before still run: drop a column one release after its last use.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
