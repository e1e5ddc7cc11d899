"""The ledger: accounts, transfers that are never edited, what is left of pending ones."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
NEVER_EDITED = "rows of the ledger are never edited; write a correction"


def _name(column: str) -> sa.Column[str]:
    return sa.Column(column, sa.String(200), nullable=False)


def _count(column: str) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger, nullable=False)


def _partial(index: str, table: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(index, table, [column], sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    op.create_table(
        "ledger_accounts",
        sa.Column("account_id", sa.String(200), primary_key=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("unit", sa.String(20), nullable=False),
        sa.Column("overdraft", sa.Integer, nullable=False),
        _name("owner"),
        _name("label"),
        _count("opened_ms"),
        _count("debits_pending"),
        _count("debits_posted"),
        _count("credits_pending"),
        _count("credits_posted"),
        _count("version"),
        sa.CheckConstraint(
            "overdraft = 1 OR debits_pending + debits_posted <= credits_posted",
            name="ledger_never_overspent",
        ),
        sa.CheckConstraint(
            "debits_pending >= 0 AND debits_posted >= 0 AND "
            "credits_pending >= 0 AND credits_posted >= 0",
            name="ledger_no_balance_below_zero",
        ),
    )
    op.create_table(
        "ledger_transfers",
        sa.Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("transfer_id", sa.String(200), nullable=False, unique=True),
        sa.Column("kind", sa.String(10), nullable=False),
        _account("debit"),
        _account("credit"),
        _count("amount"),
        _transfer("pending_id"),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("group_id", sa.String(200)),
        sa.Column("group_position", sa.Integer, nullable=False),
        sa.Column("group_size", sa.Integer, nullable=False),
        sa.Column("category", sa.String(40), nullable=False),
        sa.Column("job_id", sa.String(200)),
        sa.Column("run_id", sa.String(200)),
        _transfer("corrects"),
        sa.Column("reason", sa.Text, nullable=False),
        _count("at_ms"),
        sa.CheckConstraint("amount > 0", name="ledger_amount_above_zero"),
        sa.UniqueConstraint("group_id", "group_position", name="one_transfer_per_place_in_group"),
    )
    op.create_table(
        "ledger_holds",
        sa.Column(
            "transfer_id",
            sa.String(200),
            sa.ForeignKey("ledger_transfers.transfer_id"),
            primary_key=True,
        ),
        _count("remaining"),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("state", sa.String(10), nullable=False),
        sa.CheckConstraint("remaining >= 0", name="ledger_no_hold_below_zero"),
    )
    op.create_index("ledger_accounts_by_kind", "ledger_accounts", ["kind", "account_id"])
    op.create_index("ledger_transfers_by_debit", "ledger_transfers", ["debit", "seq"])
    op.create_index("ledger_transfers_by_credit", "ledger_transfers", ["credit", "seq"])
    _partial(
        "ledger_transfers_by_pending", "ledger_transfers", "pending_id", "pending_id IS NOT NULL"
    )
    _partial("ledger_transfers_by_job", "ledger_transfers", "job_id", "job_id IS NOT NULL")
    _partial("ledger_holds_open", "ledger_holds", "expires_ms", "state = 'open'")
    if op.get_bind().dialect.name == "sqlite":
        _seal_in_sqlite()
    else:
        _seal_in_postgresql()


def _account(column: str) -> sa.Column[str]:
    target = sa.ForeignKey("ledger_accounts.account_id")
    return sa.Column(column, sa.String(200), target, nullable=False)


def _transfer(column: str) -> sa.Column[str]:
    return sa.Column(column, sa.String(200), sa.ForeignKey("ledger_transfers.transfer_id"))


def _seal_in_sqlite() -> None:
    for what in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER ledger_transfers_no_{what.lower()} "
            f"BEFORE {what} ON ledger_transfers "
            f"BEGIN SELECT RAISE(ABORT, '{NEVER_EDITED}'); END"
        )


def _seal_in_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{NEVER_EDITED}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_transfers_no_change "
        "BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfers "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()"
    )
