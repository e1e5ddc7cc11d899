"""Each kind of fault that the shipped auditor names, put into a copy of a world's ledger rows.

The rows hold one of everything (``bookkeeper``). A fault must be found by its own code, whatever
else it breaks with it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from westward.faultsim.checkers import Broken
from westward.ledger.accounts import amount_text
from westward.ledger.audit import audit

Row = dict[str, Any]
Rows = list[Row]
Put = Callable[[Rows, Rows, Rows, random.Random], bool]
"""Changes accounts, transfers (by rising number) or holds; False: they have nothing to put it into."""
KINDS_A_WORLD = 8
MUCH = 10**17


def all_found(accounts: Rows, transfers: Rows, holds: Rows, dice: random.Random) -> None:
    """Of some kinds, drawn. Raises Broken."""
    for code in dice.sample(sorted(PUTS), KINDS_A_WORLD):
        found(code, accounts, transfers, holds, dice)


def found(code: str, accounts: Rows, transfers: Rows, holds: Rows, dice: random.Random) -> bool:
    """Whether there was anything to put the fault into. Raises Broken if it is not found."""
    wrong = [[dict(row) for row in rows] for rows in (accounts, transfers, holds)]
    if not PUTS[code](wrong[0], wrong[1], wrong[2], dice):
        return False
    faults = audit(*wrong).faults
    if not any(one.code == code and one.where in str(one) for one in faults):
        raise Broken("audit-blind", f"nobody minds {code}; found: {[one.code for one in faults]}")
    return True


def told_exactly(accounts: Rows) -> None:
    """What people are shown of an amount is the amount. Raises Broken."""
    for row in accounts:
        for amount in (row["credits_posted"] - row["debits_posted"], row["debits_pending"]):
            shown = amount_text(amount, row["unit"])
            factor = 10**6 if row["unit"] == "CNY" else 1
            if Decimal(shown.replace(",", "")) * factor != amount:
                raise Broken(
                    "told-otherwise", f"{amount} {row['unit']} of {row['account_id']}: {shown}"
                )


# -- the faults -------------------------------------------------------------------------------


def _among(rows: Rows, dice: random.Random, fits: Callable[[Row], bool]) -> Row | None:
    fitting = [row for row in rows if fits(row)]
    return dice.choice(fitting) if fitting else None


def _set(of: int, fits: Callable[[Row], bool], column: str, value: Any) -> Put:
    """``value``: new, or worked out of the row."""

    def put(accounts: Rows, transfers: Rows, holds: Rows, dice: random.Random) -> bool:
        row = _among((accounts, transfers, holds)[of], dice, fits)
        if row is None:
            return False
        row[column] = value(row) if callable(value) else value
        return True

    return put


def _more(of: int, fits: Callable[[Row], bool], change: Callable[[Row], Row]) -> Put:
    """One row more, at the end."""

    def put(accounts: Rows, transfers: Rows, holds: Rows, dice: random.Random) -> bool:
        rows = (accounts, transfers, holds)[of]
        row = _among(rows, dice, fits)
        if row is None:
            return False
        fresh = {**row, **change(row)}
        if "seq" in fresh:
            fresh["seq"] = rows[-1]["seq"] + 1
        rows.append(fresh)
        return True

    return put


def _is(*kinds: str) -> Callable[[Row], bool]:
    return lambda row: row["kind"] in kinds


def _always(_row: Row) -> bool:
    return True


def _order(_accounts: Rows, transfers: Rows, _holds: Rows, dice: random.Random) -> bool:
    if len(transfers) < 2:
        return False
    at = dice.randrange(1, len(transfers))
    transfers[at]["seq"] = transfers[at - 1]["seq"]
    return True


def _other_unit(accounts: Rows, transfers: Rows, _holds: Rows, dice: random.Random) -> bool:
    units = {row["account_id"]: row["unit"] for row in accounts}
    row = _among(transfers, dice, _always)
    if row is None:
        return False
    others = sorted(name for name, unit in units.items() if unit != units[row["debit"]])
    if not others:
        return False
    row["credit"] = dice.choice(others)
    return True


def _pair(row: Row) -> set[str]:
    return {row["debit"], row["credit"]}


def _corrects_others(_accounts: Rows, transfers: Rows, _holds: Rows, dice: random.Random) -> bool:
    last = _among(transfers[-1:], dice, _always)
    right = _among(transfers, dice, lambda row: row["kind"] == "posted" and row["seq"] > 1)
    if last is None or right is None:
        return False
    wrong = _among(
        transfers, dice,
        lambda row: row["kind"] == "posted" and row["seq"] < right["seq"]
        and _pair(row) != _pair(right),
    )  # fmt: skip
    if wrong is None:
        return False
    right.update(corrects=wrong["transfer_id"], reason="why")
    return True


def _ends_of(transfers: Rows, *kinds: str) -> list[tuple[Row, Row]]:
    """(pending, what ends it or takes of it), where it may expire."""
    pending = {row["transfer_id"]: row for row in transfers if row["kind"] == "pending"}
    return [
        (pending[row["pending_id"]], row)
        for row in transfers
        if row["kind"] in kinds and pending[row["pending_id"]]["expires_ms"] is not None
    ]


def _out_of_time(kind: str, by_ms: int) -> Put:
    def put(_accounts: Rows, transfers: Rows, _holds: Rows, dice: random.Random) -> bool:
        ends = _ends_of(transfers, kind)
        if not ends:
            return False
        pending, end = dice.choice(ends)
        end["at_ms"] = pending["expires_ms"] + by_ms
        return True

    return put


def _other_accounts(accounts: Rows, transfers: Rows, _holds: Rows, dice: random.Random) -> bool:
    row = _among(transfers, dice, _is("post", "void", "expire"))
    if row is None:
        return False
    units = {one["account_id"]: one["unit"] for one in accounts}
    own = units[row["debit"]]
    others = sorted(name for name, unit in units.items() if unit == own and name not in _pair(row))
    if not others:
        return False
    row["debit"] = dice.choice(others)
    return True


def _pays_much(accounts: Rows, transfers: Rows, _holds: Rows, dice: random.Random) -> bool:
    bound = {row["account_id"] for row in accounts if row["overdraft"] == 0}
    return _set(1, lambda row: row["kind"] == "posted" and row["debit"] in bound, "amount", MUCH)(
        accounts, transfers, [], dice
    )


def _larger_group(_accounts: Rows, transfers: Rows, _holds: Rows, dice: random.Random) -> bool:
    one = _among(transfers, dice, lambda row: row["group_id"] is not None)
    if one is None:
        return False
    for row in transfers:
        if row["group_id"] == one["group_id"]:
            row["group_size"] += 1
    return True


def _no_hold(_accounts: Rows, _transfers: Rows, holds: Rows, dice: random.Random) -> bool:
    if not holds:
        return False
    del holds[dice.randrange(len(holds))]
    return True


def _otherwise(row: Row) -> str:
    return "open" if row["state"] != "open" else "voided"


PUTS: dict[str, Put] = {
    "account-twice": _more(0, _always, lambda _row: {}),
    "order-of-rows": _order,
    "transfer-twice": _more(1, _always, lambda _row: {}),
    "kind-unknown": _set(1, _always, "kind", "gift"),
    "amount": _set(1, _always, "amount", 0),
    "one-account": _set(1, _always, "credit", lambda row: row["debit"]),
    "account-missing": _set(1, _always, "debit", "nobody"),
    "unit-differs": _other_unit,
    "correction-of-nothing": _set(1, _is("posted"), "corrects", "nobody"),
    "correction-between-others": _corrects_others,
    "correction-without-reason": _set(
        1, lambda row: row["corrects"] is not None, "reason", "  "
    ),
    "expired-at-birth": _set(1, _is("pending"), "expires_ms", lambda row: row["at_ms"]),
    "pending-missing": _set(1, _is("post", "void", "expire"), "pending_id", "nobody"),
    "pending-between-others": _other_accounts,
    "pending-closed-before": _more(
        1, _is("void", "expire"), lambda row: {"transfer_id": "once more"}
    ),
    "posted-after-expiry": _out_of_time("post", 0),
    "expired-early": _out_of_time("expire", -1),
    "more-than-held": _set(1, _is("post", "void", "expire"), "amount", MUCH),
    "not-all-given-back": _set(
        1, lambda row: row["kind"] in ("void", "expire") and row["amount"] > 1, "amount", 1
    ),
    "pending-named": _set(1, _is("posted", "pending"), "pending_id", "another"),
    "overspent": _pays_much,
    "balance-below-zero": _set(1, _is("post", "void", "expire"), "amount", MUCH),
    "group-not-whole": _larger_group,
    "group-differs": _set(1, lambda row: row["group_size"] > 1, "at_ms", lambda row: row["at_ms"] + 1),
    "hold-of-nothing": _set(2, _always, "transfer_id", "nobody"),
    "hold-differs": _set(2, _always, "remaining", lambda row: row["remaining"] + 1),
    "hold-state-differs": _set(2, _always, "state", _otherwise),
    "hold-expiry-differs": _set(2, _always, "expires_ms", 3),
    "hold-missing": _no_hold,
    "balance-differs": _set(0, _always, "debits_posted", lambda row: row["debits_posted"] + 1),
    "not-balanced": _set(0, _always, "credits_posted", lambda row: row["credits_posted"] + 1),
}  # fmt: skip
"""By the auditor's code."""
