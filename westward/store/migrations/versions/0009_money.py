"""Budgets, what organisations have shown, their contracts and claims, and each run's money."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _name(column: str) -> sa.Column[str]:
    return sa.Column(column, sa.String(200), nullable=False)


def _text(column: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.Text, nullable=nullable)


def _whole(column: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("project", sa.String(200), primary_key=True),
        sa.Column("on_empty", sa.String(20), nullable=False),
        _whole("set_ms"),
        _name("set_by"),
    )
    op.create_table(
        "organisation_facts",
        sa.Column("organisation", sa.String(200), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        _text("value"),
        _text("evidence"),
        _whole("until_ms", nullable=True),
        _whole("shown_ms"),
        _name("shown_by"),
    )
    op.create_table(
        "contracts",
        sa.Column("organisation", sa.String(200), primary_key=True),
        sa.Column("contract", sa.String(200), primary_key=True),
        _text("terms"),
        _whole("set_ms"),
        _name("set_by"),
    )
    op.create_table(
        "admissions",
        sa.Column("organisation", sa.String(200), primary_key=True),
        sa.Column("rule", sa.String(200), primary_key=True),
        _text("claim"),
        _whole("changed_ms"),
        _name("changed_by"),
    )
    op.create_table(
        "voucher_usage",
        sa.Column("counter", sa.String(40), primary_key=True),
        sa.Column("rule", sa.String(200), primary_key=True),
        sa.Column("who", sa.String(200), primary_key=True),
        sa.Column("year", sa.Integer, primary_key=True),
        _whole("value"),
    )
    op.create_table(
        "run_money",
        sa.Column("run_id", sa.String(200), primary_key=True),
        _name("job_id"),
        _name("project"),
        _name("site"),
        sa.Column("settled", sa.Integer, nullable=False),
        sa.Column("holds", sa.Integer, nullable=False),
        sa.Column("postings", sa.Integer, nullable=False),
        _whole("reach_ms"),
        _text("counted"),
        _text("posted", nullable=True),
    )
    op.create_index("run_money_open", "run_money", ["settled", "reach_ms"])


def downgrade() -> None:
    for table in (
        "run_money", "voucher_usage", "admissions", "contracts", "organisation_facts", "budgets",
    ):  # fmt: skip
        op.drop_table(table)
