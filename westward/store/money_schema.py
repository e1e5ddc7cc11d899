"""The tables of money: ledger, vouchers, budgets, settlement. As ``schema``, whose ``METADATA`` is
whole once this module is loaded too.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from westward.store.schema import METADATA as METADATA
from westward.store.schema import ROW_NUMBER

LEDGER_ACCOUNTS = Table(
    "ledger_accounts",
    METADATA,
    Column("account_id", String(200), primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("unit", String(20), nullable=False),
    Column("overdraft", Integer, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("label", String(200), nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("debits_pending", BigInteger, nullable=False),
    Column("debits_posted", BigInteger, nullable=False),
    Column("credits_pending", BigInteger, nullable=False),
    Column("credits_posted", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    # The database itself refuses what the judge must never let through.
    CheckConstraint(
        "overdraft = 1 OR debits_pending + debits_posted <= credits_posted",
        name="ledger_never_overspent",
    ),
    CheckConstraint(
        "debits_pending >= 0 AND debits_posted >= 0 AND "
        "credits_pending >= 0 AND credits_posted >= 0",
        name="ledger_no_balance_below_zero",
    ),
    Index("ledger_accounts_by_kind", "kind", "account_id"),
)
"""What never changes of an account, and its running balances in its unit."""

LEDGER_TRANSFERS = Table(
    "ledger_transfers",
    METADATA,
    Column("seq", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("transfer_id", String(200), nullable=False, unique=True),
    Column("kind", String(10), nullable=False),
    Column("debit", String(200), ForeignKey("ledger_accounts.account_id"), nullable=False),
    Column("credit", String(200), ForeignKey("ledger_accounts.account_id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("pending_id", String(200), ForeignKey("ledger_transfers.transfer_id")),
    Column("expires_ms", BigInteger),
    Column("group_id", String(200)),
    Column("group_position", Integer, nullable=False),
    Column("group_size", Integer, nullable=False),
    Column("category", String(40), nullable=False),
    Column("job_id", String(200)),
    Column("run_id", String(200)),
    Column("corrects", String(200), ForeignKey("ledger_transfers.transfer_id")),
    Column("reason", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    CheckConstraint("amount > 0", name="ledger_amount_above_zero"),
    UniqueConstraint("group_id", "group_position", name="one_transfer_per_place_in_group"),
    Index("ledger_transfers_by_debit", "debit", "seq"),
    Index("ledger_transfers_by_credit", "credit", "seq"),
    Index(
        "ledger_transfers_by_pending",
        "pending_id",
        sqlite_where=text("pending_id IS NOT NULL"),
        postgresql_where=text("pending_id IS NOT NULL"),
    ),
    Index(
        "ledger_transfers_by_job",
        "job_id",
        sqlite_where=text("job_id IS NOT NULL"),
        postgresql_where=text("job_id IS NOT NULL"),
    ),
)
"""Every transfer that was accepted. Triggers refuse to change or delete a row. Of rows that touch
one account the numbers rise in the order in which they took effect."""

LEDGER_HOLDS = Table(
    "ledger_holds",
    METADATA,
    Column(
        "transfer_id",
        String(200),
        ForeignKey("ledger_transfers.transfer_id"),
        primary_key=True,
    ),
    Column("remaining", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("state", String(10), nullable=False),
    CheckConstraint("remaining >= 0", name="ledger_no_hold_below_zero"),
    Index(
        "ledger_holds_open",
        "expires_ms",
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)
"""What is left of each pending transfer: a running balance, like those of accounts."""

BUDGETS = Table(
    "budgets",
    METADATA,
    Column("project", String(200), primary_key=True),
    Column("on_empty", String(20), nullable=False),
    Column("set_ms", BigInteger, nullable=False),
    Column("set_by", String(200), nullable=False),
)
"""Projects that may spend what their account holds and no more, and what happens then."""

ORGANISATION_FACTS = Table(
    "organisation_facts",
    METADATA,
    Column("organisation", String(200), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("value", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("until_ms", BigInteger),
    Column("shown_ms", BigInteger, nullable=False),
    Column("shown_by", String(200), nullable=False),
)

CONTRACTS = Table(
    "contracts",
    METADATA,
    Column("organisation", String(200), primary_key=True),
    Column("contract", String(200), primary_key=True),
    Column("terms", Text, nullable=False),
    Column("set_ms", BigInteger, nullable=False),
    Column("set_by", String(200), nullable=False),
)

ADMISSIONS = Table(
    "admissions",
    METADATA,
    Column("organisation", String(200), primary_key=True),
    Column("rule", String(200), primary_key=True),
    Column("claim", Text, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("changed_by", String(200), nullable=False),
)
"""Claims under voucher rules: a rule pays for those organisations only that it was claimed for."""

VOUCHER_USAGE = Table(
    "voucher_usage",
    METADATA,
    Column("counter", String(40), primary_key=True),
    Column("rule", String(200), primary_key=True),
    Column("who", String(200), primary_key=True),
    Column("year", Integer, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Running sums that caps and pots are held against: ``ledger.vouchers.Usage`` by its fields."""

RUN_MONEY = Table(
    "run_money",
    METADATA,
    Column("run_id", String(200), primary_key=True),
    Column("job_id", String(200), nullable=False),
    Column("project", String(200), nullable=False),
    Column("site", String(200), nullable=False),
    Column("settled", Integer, nullable=False),
    Column("holds", Integer, nullable=False),
    Column("postings", Integer, nullable=False),
    Column("reach_ms", BigInteger, nullable=False),
    Column("counted", Text, nullable=False),
    Column("posted", Text),
    Index("run_money_open", "settled", "reach_ms"),
)
"""``counted``: the split that usage counts now; ``posted``: bill and split posted last;
``reach_ms``: until when what is held is enough."""

DISPUTES = Table(
    "disputes",
    METADATA,
    Column("dispute_id", String(200), primary_key=True),
    Column("run_id", String(200), ForeignKey("runs.run_id"), nullable=False),
    Column("job_id", String(200), ForeignKey("jobs.job_id"), nullable=False),
    Column("site", String(200), nullable=False),
    Column("part", String(20)),
    Column("reason", Text, nullable=False),
    Column("opened_by", String(200), nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("answer", Text, nullable=False),
    Column("answered_by", String(200), nullable=False),
    Column("answered_ms", BigInteger),
    Column("outcome", String(20)),
    Column("correction_micros", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("closed_by", String(200), nullable=False),
    Column("closed_ms", BigInteger),
    Index("disputes_by_run", "run_id"),
)
"""Doubts about what a run was charged; a closed one is never edited."""

PAYOUTS = Table(
    "payouts",
    METADATA,
    Column("payout_id", String(200), primary_key=True),
    Column("earner", String(250), nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("paid_ms", BigInteger, nullable=False),
    Column("reference", Text, nullable=False),
    Column("paid_by", String(200), nullable=False),
    Index("payouts_by_earner", "earner", "paid_ms"),
)
"""Money that went to those who earned it, rows never edited."""
