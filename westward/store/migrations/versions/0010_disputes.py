"""Settlement: disputes about charges, payouts, bills by the time they were posted."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _text(column: str) -> sa.Column[str]:
    return sa.Column(column, sa.Text, nullable=False)


def _name(column: str, size: int = 200) -> sa.Column[str]:
    return sa.Column(column, sa.String(size), nullable=False)


def _count(column: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "disputes",
        sa.Column("dispute_id", sa.String(200), primary_key=True),
        sa.Column("run_id", sa.String(200), sa.ForeignKey("runs.run_id"), nullable=False),
        sa.Column("job_id", sa.String(200), sa.ForeignKey("jobs.job_id"), nullable=False),
        _name("site"),
        sa.Column("part", sa.String(20)),
        _text("reason"),
        _name("opened_by"),
        _count("opened_ms"),
        _text("answer"),
        _name("answered_by"),
        _count("answered_ms", nullable=True),
        sa.Column("outcome", sa.String(20)),
        _count("correction_micros"),
        _text("note"),
        _name("closed_by"),
        _count("closed_ms", nullable=True),
    )
    op.create_table(
        "payouts",
        sa.Column("payout_id", sa.String(200), primary_key=True),
        _name("earner", 250),
        _count("micros"),
        _count("paid_ms"),
        _text("reference"),
        _name("paid_by"),
    )
    op.create_index("disputes_by_run", "disputes", ["run_id"])
    op.create_index("payouts_by_earner", "payouts", ["earner", "paid_ms"])
    op.create_index("bills_by_time", "bills", ["billed_ms", "run_id"])
