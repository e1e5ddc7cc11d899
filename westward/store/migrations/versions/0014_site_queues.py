"""Waits at sites with a queue of their own: the last starts at a pool are found by an index."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("runs_by_start", "runs", ["pool", "started_ms"])
