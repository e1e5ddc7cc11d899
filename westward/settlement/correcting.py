"""The correction of a closed dispute as transfers of the ledger: one linked group, the other way round.

It is spread as its charges are (``disputes.corrections``), by payer and by part; as with the bill
itself everybody meets in the site's clearing account, which is empty again afterwards. Each transfer
names a row of the run between the same two accounts, and gives the dispute as its reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from westward.ledger.accounts import AccountKind, standard_id
from westward.ledger.road import UNFUNDED, clearing_id
from westward.ledger.transfers import REASON_MOST_CHARS, Transfer, TransferKind
from westward.settlement.charges import Charge, Part, apportion
from westward.settlement.disputes import Dispute
from westward.settlement.paid import CORRECTION, payer_name

_EARNS: Mapping[Part, AccountKind] = {
    "device": AccountKind.SITE,
    "power": AccountKind.NETWORK_POWER,
    "transfer": AccountKind.NETWORK_LINKS,
    "data": AccountKind.DATA_OWNER,
    "rounding": AccountKind.ROUNDING,
}


def correction_group(dispute_id: str) -> str:
    return f"dispute:{dispute_id}"


def correction_transfers(
    dispute: Dispute,
    made: Sequence[Charge],
    paid: Mapping[str, int],
    rows: Sequence[Transfer],
    unit: str,
    lacking: Collection[str] = (),
) -> tuple[Transfer, ...]:
    """``made``: the dispute's corrections; ``paid``: account → millionths that it paid for the run;
    ``rows``: what was posted for the run. ``lacking``: payers that have not the money for more; the
    network bears their part. Empty where the ledger has no payments of those who are to be
    corrected: then a reconciliation names it."""
    if not made:
        return ()
    site, project = made[0].site, made[0].project
    owed: dict[str, int] = defaultdict(int)
    for name, micros in _sums(made, "payer").items():
        accounts = {a: m for a, m in paid.items() if payer_name(a, project) == name}
        if not accounts:
            return ()
        weights = [max(0, one) for one in accounts.values()]
        for account, part in zip(accounts, apportion(micros, weights), strict=True):
            bearer = account
            if part > 0 and account in lacking:
                bearer = standard_id(AccountKind.EXTERNAL, UNFUNDED, unit)
            owed[bearer] += part
    by_part = _sums(made, "part")
    earned = {
        standard_id(kind, site if kind is AccountKind.SITE else "", unit): by_part[part]
        for part, kind in _EARNS.items()
        if part in by_part
    }
    clearing = clearing_id(site, unit)
    moves = [
        *((account, clearing, micros) for account, micros in owed.items()),
        *((account, clearing, -micros) for account, micros in earned.items()),
        *((clearing, account, micros) for account, micros in earned.items()),
        *((clearing, account, -micros) for account, micros in owed.items()),
    ]
    known = {
        frozenset((one.debit, one.credit)): one.transfer_id
        for one in rows
        if one.kind in (TransferKind.POSTED, TransferKind.POST)
    }
    group = correction_group(dispute.dispute_id)
    reason = f"dispute {dispute.dispute_id}: {dispute.note}"[:REASON_MOST_CHARS]
    return tuple(
        Transfer(
            transfer_id=f"{group}:{at}", kind=TransferKind.POSTED, debit=debit, credit=credit,
            amount=micros, group_id=group, category=CORRECTION, job_id=dispute.job_id,
            run_id=dispute.run_id, corrects=known.get(frozenset((debit, credit)), ""), reason=reason,
        )
        for at, (debit, credit, micros) in enumerate(one for one in moves if one[2] > 0)
    )  # fmt: skip


def _sums(made: Sequence[Charge], by: str) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for one in made:
        sums[getattr(one, by)] += one.micros
    return dict(sorted(sums.items()))
