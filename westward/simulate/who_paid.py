"""Who paid for what in a rehearsal with vouchers: sums over its ledger, and the ledger as a table.

Every sum is taken from the ledger's rows, not from the splits that led to them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import polars as pl

from westward.ledger.accounts import AccountKind
from westward.ledger.road import pot_id
from westward.ledger.transfers import Transfer, TransferKind
from westward.model.network import Network
from westward.simulate.vouchers import Outcome, ledger_rows

Values = dict[str, Any]
POSTINGS = (TransferKind.POSTED, TransferKind.POST)


def who_paid(outcome: Outcome, network: Network) -> Values:
    """By funder, organisation, site and zone: what their runs cost and who paid it, in millionths.

    ``own``: paid by the organisation itself; ``funded``: by vouchers. Rewards to sites stand apart:
    they are paid beside the price.
    """
    zones = {site.name: site.zone for site in network.sites}
    own: dict[tuple[str, str], int] = defaultdict(int)
    funded: dict[tuple[str, str, str], int] = defaultdict(int)
    rewards: dict[str, int] = defaultdict(int)
    accounts = outcome.book.accounts
    for entry in outcome.book.new:
        one = entry.transfer
        if one.kind not in POSTINGS or not one.job_id:
            continue
        debit, credit = accounts[one.debit], accounts[one.credit]
        entity = outcome.entity_of(one.job_id)
        for payer, amount, other in (
            (debit, one.amount, credit), (credit, -one.amount, debit),
        ):  # fmt: skip
            if payer.kind is AccountKind.PROJECT:
                own[entity, _site(one, outcome)] += amount
            elif payer.kind is AccountKind.POT and other.kind is AccountKind.CLEARING:
                funded[entity, _site(one, outcome), payer.account_id] += amount
            elif payer.kind is AccountKind.POT:
                rewards[payer.account_id] += amount
    funders = [_funder(outcome, account, funded, rewards) for account in sorted(accounts)
               if accounts[account].kind is AccountKind.POT]  # fmt: skip
    price = sum(own.values()) + sum(funded.values())
    return {
        "price_micros": price,
        "own_micros": sum(own.values()),
        "funded_micros": sum(funded.values()),
        "rewards_micros": sum(rewards.values()),
        "funders": funders,
        "organisations": _by(own, funded, lambda entity, _site: entity),
        "sites": _by(own, funded, lambda _entity, site: site),
        "zones": _by(own, funded, lambda _entity, site: zones[site]),
        "transfers": outcome.audit.transfers,
        "audit_faults": len(outcome.audit.faults),
    }


def ledger_table(outcome: Outcome) -> pl.DataFrame:
    """Every transfer, in order of effect; amounts in millionths."""
    _, transfers, _ = ledger_rows(outcome.book, outcome.at_ms)
    names = (
        "seq", "transfer_id", "kind", "debit", "credit", "amount", "pending_id", "group_id",
        "category", "job_id", "run_id", "at_ms",
    )  # fmt: skip
    whole = {"seq", "amount", "at_ms"}
    return pl.DataFrame(
        {name: [row[name] for row in transfers] for name in names},
        schema={name: pl.Int64 if name in whole else pl.String for name in names},
    )


def _site(transfer: Transfer, outcome: Outcome) -> str:
    return outcome.sites[transfer.run_id]


def _funder(
    outcome: Outcome,
    account: str,
    funded: dict[tuple[str, str, str], int],
    rewards: dict[str, int],
) -> Values:
    rule, year = outcome.pots[account]
    pot = rule.pot_year_micros.value
    paid = sum(micros for key, micros in funded.items() if key[2] == account)
    dry = {pot_id(name, when, outcome.unit): at for name, when, at in outcome.dry}
    return {
        "funder": rule.funder,
        "rule": rule.name,
        "label": rule.label,
        "year": year,
        "paid_micros": paid,
        "rewards_micros": rewards.get(account, 0),
        "pot_micros": pot,
        "left_micros": None if pot is None else outcome.book.balances[account].available,
        "dry_ms": dry.get(account),
        "organisations": len({key[0] for key, micros in funded.items() if key[2] == account}),
    }


def _by(
    own: dict[tuple[str, str], int],
    funded: dict[tuple[str, str, str], int],
    key: Any,
) -> list[Values]:
    """One row a key, by name."""
    rows: dict[str, Values] = {}
    for (entity, site), micros in own.items():
        row = rows.setdefault(key(entity, site), {"own_micros": 0, "funded": {}})
        row["own_micros"] += micros
    for (entity, site, account), micros in funded.items():
        row = rows.setdefault(key(entity, site), {"own_micros": 0, "funded": {}})
        row["funded"][account] = row["funded"].get(account, 0) + micros
    return [
        {
            "name": name,
            "price_micros": row["own_micros"] + sum(row["funded"].values()),
            "own_micros": row["own_micros"],
            "funded_micros": sum(row["funded"].values()),
            "by_pot": dict(sorted(row["funded"].items())),
        }
        for name, row in sorted(rows.items())
    ]
