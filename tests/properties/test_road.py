"""The road of a run's money: whatever is held, posted in parts and given back, the books balance."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from westward.ledger.accounts import Account, AccountKind, standard_id
from westward.ledger.audit import audit
from westward.ledger.batch import Book, judge_batch
from westward.ledger.price import Bill
from westward.ledger.road import (
    UNFUNDED,
    Billed,
    Held,
    RunOnRoad,
    bill_lines,
    hold,
    network_accounts,
    post,
    pot_id,
    site_accounts,
    spent,
)
from westward.ledger.transfers import Accepted, Refused, Transfer, TransferKind
from westward.ledger.vouchers import NO_USAGE, split
from westward.model.voucher import Entity, Figure, Rule
from westward.simulate.vouchers import ledger_rows

UNIT = "CNY"
LAB = Entity(name="lab")
PROJECT = standard_id(AccountKind.PROJECT, "lab", UNIT)
RUN = RunOnRoad(run_id="run_1", job_id="job_1", site="east", project=PROJECT, unit=UNIT)


def rule(name: str, share_ppm: int, pot: int, spend: str, order: int) -> Rule:
    return Rule(
        name=name, label="", place="", level="city", instrument="", funder=name, currency=UNIT,
        source="drawn", grade="-", spend=(spend,), share_ppm=Figure(value=share_ppm),  # type: ignore[arg-type]
        pot_year_micros=Figure(value=pot), order=order,
    )  # fmt: skip


amounts = st.integers(0, 10**9)


@st.composite
def growing_bills(draw: st.DrawFn) -> list[Bill]:
    """A run's bill as its readings come in: parts grow; power may turn below nought."""
    bills = []
    device = power = moved = data = 0
    for _ in range(draw(st.integers(1, 5))):
        device += draw(amounts)
        power += draw(st.integers(-(10**8), 10**8))
        moved += draw(st.sampled_from([0, 0, 123]))
        data += draw(st.sampled_from([0, 7]))
        rounding = draw(st.integers(-2, 2))
        bills.append(
            Bill(
                device_milli_ms=device, energy_j=0, carbon_location_ug=None,
                carbon_contract_ug=None, device_micros=device, power_micros=power,
                transfer_micros=moved, rounding_micros=rounding,
                total_micros=device + power + moved + data + rounding, carbon_shown_micros=None,
                data_micros=data,
            )
        )  # fmt: skip
    return bills


@settings(max_examples=200, deadline=None)
@given(
    bills=growing_bills(),
    worst=amounts,
    shares=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    pots=st.tuples(amounts, amounts),
    purse=st.integers(0, 3 * 10**9),
)
def test_payers_payees_and_what_was_held_agree_to_the_millionth(
    bills: list[Bill], worst: int, shares: tuple[int, int], pots: tuple[int, int], purse: int
) -> None:
    rules = (rule("city", shares[0], pots[0], "compute", 10),
             rule("power", shares[1], pots[1], "electricity", 20))  # fmt: skip
    book = Book()
    at_ms: list[int] = []
    outside = standard_id(AccountKind.EXTERNAL, "", UNIT)

    def judged(transfers: tuple[Transfer, ...]) -> list[Refused]:
        answers = judge_batch(book, transfers, len(at_ms))
        at_ms.extend([len(at_ms)] * (len(book.new) - len(at_ms)))
        return [one for one in answers if not isinstance(one, Accepted)]

    for account in (*network_accounts(UNIT), *site_accounts("east", UNIT)):
        book.open(account)
    funds = {PROJECT: purse} | {
        pot_id(name, 1970, UNIT): pot for name, pot in zip(("city", "power"), pots, strict=True)
    }
    for name, amount in funds.items():
        book.open(Account(account_id=name, kind=AccountKind.POT, unit=UNIT))
        if amount:
            give = Transfer(transfer_id=f"fund:{name}", kind=TransferKind.POSTED, debit=outside,
                            credit=name, amount=amount)  # fmt: skip
            assert not judged((give,))

    def who(bill: Bill) -> Billed:
        lines = bill_lines(bill, "east", 0)
        return Billed(bill=bill, split=split(lines, (), rules, NO_USAGE, LAB, 0))

    most = who(replace(bills[0], device_micros=worst, power_micros=0))
    asked = hold(RUN, 0, most.split)
    held_all = not judged(asked)
    assert held_all or book.balances[PROJECT].available < most.split.own_micros
    before: Billed | None = None
    for number, bill in enumerate(bills):
        now = who(bill)
        held = [Held(transfer=one, hold=book.holds[one.transfer_id]) for one in asked if held_all]
        last = number == len(bills) - 1
        group = post(RUN, number, now, held, before=before, last=last)
        refused = judged(group)
        if refused:
            # Somebody has nothing left: the network bears it, and says so.
            group = post(
                RUN, number, now, held, before=before, last=last,
                lacking=dict.fromkeys((PROJECT, *funds), 10**12),
            )  # fmt: skip
            assert not judged(group)
        before = now
        clearing = book.balances[RUN.clearing]
        assert clearing.posted == 0
        for account, micros in spent(bill, "east", UNIT).items():
            if account == standard_id(AccountKind.SITE, "east", UNIT):
                assert book.balances[account].posted == micros
    assert all(one.left == 0 for one in book.holds.values())
    assert not audit(*ledger_rows(book, at_ms)).faults
    unfunded = standard_id(AccountKind.EXTERNAL, UNFUNDED, UNIT)
    paid = {name: funds[name] - book.balances[name].posted for name in funds}
    borne = -book.balances[unfunded].posted
    assert sum(paid.values()) + borne == bills[-1].total_micros
    assert all(book.balances[name].available >= 0 for name in funds)


def test_a_repeated_posting_changes_nothing() -> None:
    book = Book()
    for account in (*network_accounts(UNIT), *site_accounts("east", UNIT)):
        book.open(account)
    book.open(Account(account_id=PROJECT, kind=AccountKind.PROJECT, unit=UNIT, overdraft=True))
    bill = Bill(
        device_milli_ms=1, energy_j=0, carbon_location_ug=None, carbon_contract_ug=None,
        device_micros=5, power_micros=3, transfer_micros=0, rounding_micros=-1, total_micros=7,
        carbon_shown_micros=None,
    )  # fmt: skip
    who = split(bill_lines(bill, "east", 0), (), (), NO_USAGE, LAB, 0)
    group = post(RUN, 0, Billed(bill=bill, split=who), (), last=True)
    assert all(isinstance(one, Accepted) for one in judge_batch(book, group, 0))
    balances = dict(book.balances)
    again = judge_batch(book, group, 1)
    assert all(isinstance(one, Accepted) and one.repeated for one in again)
    assert book.balances == balances
    assert balances[PROJECT].posted == -7
