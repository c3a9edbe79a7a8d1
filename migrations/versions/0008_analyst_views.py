"""views of parents, identifiers, places, first links and organisations without a link

Six views and no table, so nothing is locked for long and nothing is lost on the way back. The
numbers 0002 to 0007 were those of earlier checkouts, whose databases must not be taken for ones of
this schema.

Revision ID: 0008
Revises: 0001
"""

from alembic import op

from resolver.database.definitions import view

revision = "0008"
down_revision = "0001"
branch_labels = None
depends_on = None

VIEWS = (
    "organisation_parents",
    "organisation_topmost_parents",
    "organisation_identifiers",
    "organisation_places",
    "linked_since",
    "never_linked",
)


def upgrade() -> None:
    for name in VIEWS:
        op.execute(view(name))


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
