"""Accounts of a log-in provider; shares of projects, organisations and groups."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(500), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("user", sa.String(200), nullable=False, unique=True),
        sa.Column("first_ms", sa.BigInteger, nullable=False),
        sa.Column("last_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "shares",
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("group", sa.String(200), nullable=False),
        sa.Column("weight_milli", sa.BigInteger, nullable=False),
        sa.Column("set_ms", sa.BigInteger, nullable=False),
        sa.Column("set_by", sa.String(200), nullable=False),
    )
    op.create_table(
        "share_terms",
        sa.Column("terms", sa.String(20), primary_key=True),
        sa.Column("half_life_ms", sa.BigInteger, nullable=False),
        sa.Column("window_ms", sa.BigInteger, nullable=False),
        sa.Column("set_ms", sa.BigInteger, nullable=False),
        sa.Column("set_by", sa.String(200), nullable=False),
    )
