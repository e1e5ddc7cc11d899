"""Closing a dispute: its correction goes to the ledger in the same transaction (decision 0037)."""

from __future__ import annotations

from westward.ledger.transfers import RefusalCode
from westward.server.errors import ApiError
from westward.server.purse import first_refusal
from westward.settlement.correcting import correction_group, correction_transfers
from westward.settlement.disputes import Dispute, Outcome, Refused, corrections
from westward.settlement.paid import is_payer
from westward.store import ledger
from westward.store.database import Store
from westward.store.ledger_reading import transfers_about
from westward.store.paid import load_paid
from westward.store.settlement import close_dispute, run_charges
from westward.store.year_end import of_group


def close_and_post(
    store: Store,
    unit: str,
    dispute_id: str,
    outcome: Outcome,
    correction_micros: int,
    note: str,
    by: str,
    now_ms: int,
) -> Dispute | Refused:
    """As ``close_dispute``. The same words again post what was not posted then. Raises ApiError with
    the ledger's code; nothing is kept of it then."""
    with store.whole():
        made = close_dispute(store, dispute_id, outcome, correction_micros, note, by, now_ms)
        if isinstance(made, Dispute) and made.correction_micros:
            _post(store, unit, made, now_ms)
        return made


def _post(store: Store, unit: str, dispute: Dispute, now_ms: int) -> None:
    if of_group(store, correction_group(dispute.dispute_id)):
        return
    charges = [one for one in run_charges(store, dispute.run_id) if one.kind == "charge"]
    made = corrections(dispute, charges)
    rows = [one.recorded.transfer for one in transfers_about(store, dispute.job_id, dispute.run_id)]
    with store.read() as connection:
        paid = load_paid(connection, {dispute.run_id: dispute.job_id}).get(dispute.run_id, {})
    lacking: set[str] = set()
    while True:
        group = correction_transfers(dispute, made, paid, rows, unit, lacking)
        refused = first_refusal(ledger.post(store, group, now_ms))
        if refused is None:
            return
        payer = next(one.debit for one in group if one.transfer_id == refused.transfer_id)
        lacks = refused.code is RefusalCode.NOT_ENOUGH and is_payer(payer) and payer not in lacking
        if not lacks:
            raise ApiError(409, str(refused.code), f"the correction is not posted: {refused.text}")
        lacking.add(payer)
