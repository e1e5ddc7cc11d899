"""Joining a site: invitations, credentials, offers, the network operator's marks."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("site", sa.String(200), nullable=False),
        sa.Column("invitation", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("used_ms", sa.BigInteger),
        sa.Column("used_by", sa.String(64)),
        sa.Column("void_ms", sa.BigInteger),
    )
    op.create_table(
        "credentials",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("site", sa.String(200), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("first_used_ms", sa.BigInteger),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("ended_why", sa.String(40)),
    )
    op.create_table(
        "offers",
        sa.Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("site", sa.String(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("invitation", sa.Text),
        sa.Column("offer", sa.Text),
    )
    op.create_table(
        "site_marks",
        sa.Column("site", sa.String(200), primary_key=True),
        sa.Column("pool", sa.String(200), primary_key=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("invitations_by_site", "invitations", ["site"])
    op.create_index("credentials_by_site", "credentials", ["site"])
    op.create_index("offers_by_site", "offers", ["site", "seq"])
