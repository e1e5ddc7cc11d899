"""Replicas: which server of several plans, and how often that has changed."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    made = op.create_table(
        "leadership",
        sa.Column("office", sa.String(50), primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(200), nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(made, [{"office": "planner", "epoch": 0, "holder": "", "since_ms": 0}])
