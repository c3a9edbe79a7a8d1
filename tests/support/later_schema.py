"""Migrations of a later version of the code: those of today, and one more."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.paths import ROOT

BEFORE = max(
    path.name.partition("_")[0] for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py")
)
"""The newest of those of today."""

REVISION = "9000"

INDEX = "ix_link_rank"
"""What it builds first, while others write."""

COLUMN = "later"
"""What it adds to `link` then."""

_MIGRATION = f'''"""one more

Revision ID: {REVISION}
Revises: {BEFORE}
"""

import sqlalchemy as sa
from alembic import op

revision = "{REVISION}"
down_revision = "{BEFORE}"


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX} ON link (rank)")
        op.execute("SET lock_timeout = '5s'")
    op.add_column("link", sa.Column("{COLUMN}", sa.Text()))


def downgrade():
    op.execute("DELETE FROM link WHERE rank > 1")
    op.drop_column("link", "{COLUMN}")
    op.execute("DROP INDEX {INDEX}")
'''


def later_schema(folder: Path) -> Path:
    """Write the migrations of the later version below `folder`; returns where they are."""
    copy = folder / "migrations"
    shutil.copytree(ROOT / "migrations", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "versions" / f"{REVISION}_later.py").write_text(_MIGRATION)
    return copy
