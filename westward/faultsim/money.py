"""Money, added up anew from its rows and held to what the sites truly metered.

Shares no code with ``ledger`` or ``server.purse``: prices are computed here from the simulated
world's own figures, balances from the transfers alone.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from westward.faultsim.checkers import Broken, Truth

TARIFF_PER_KWH = 1
POWER_W = 300
MILLI_MS_PER_HOUR = 3_600_000_000


@dataclass(slots=True)
class _Account:
    overdraft: bool
    posted: int = 0
    """Credits less debits."""
    pending: int = 0
    """Debits that are held."""


@dataclass(slots=True)
class _Hold:
    debit: str
    left: int
    run_id: str | None


class MoneyChecker:
    """Reads only rows that are new; rows never change (which the full look tests)."""

    def __init__(self, raw: sqlite3.Connection, truth: Truth, prices: dict[str, int]) -> None:
        """``prices``: millionths per device-hour by site."""
        self.raw = raw
        self.truth = truth
        self.prices = prices
        self._seq = 0
        self._accounts: dict[str, _Account] = {}
        self._holds: dict[str, _Hold] = {}
        self._by_run: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        """Run → account → what it got."""
        self._held_for: set[str] = set()
        self._bills: dict[str, tuple[object, ...]] = {}
        self._granted: set[str] = set()

    def look(self, whole: bool = False) -> None:
        self._transfers()
        self._grants()
        self._new_bills()
        if whole:
            self._balances()
            self._all_bills()

    def _transfers(self) -> None:
        rows = self.raw.execute(
            "SELECT seq, transfer_id, kind, debit, credit, amount, pending_id, run_id "
            "FROM ledger_transfers WHERE seq > ? ORDER BY seq",
            (self._seq,),
        ).fetchall()
        for seq, name, kind, debit, credit, amount, pending_id, run_id in rows:
            self._seq = seq
            if kind in ("posted", "post"):
                self._account(debit).posted -= amount
                self._account(credit).posted += amount
                if run_id is not None:
                    self._by_run[run_id][debit] -= amount
                    self._by_run[run_id][credit] += amount
            if kind == "pending":
                self._account(debit).pending += amount
                self._holds[name] = _Hold(debit, amount, run_id)
                if run_id is not None:
                    self._held_for.add(run_id)
            elif kind in ("post", "void", "expire"):
                hold = self._holds[pending_id]
                taken = amount if kind == "post" else hold.left
                if taken > hold.left:
                    raise Broken("hold-overdrawn", f"{name} takes {taken} of {hold.left}")
                hold.left -= taken
                self._account(hold.debit).pending -= taken
            for one in (debit, credit):
                account = self._account(one)
                if not account.overdraft and account.posted < account.pending:
                    raise Broken("overspent", f"{one} has {account.posted}, {account.pending} held")

    def _account(self, name: str) -> _Account:
        found = self._accounts.get(name)
        if found is None:
            row = self.raw.execute(
                "SELECT overdraft FROM ledger_accounts WHERE account_id = ?", (name,)
            ).fetchone()
            if row is None:
                raise Broken("money-nowhere", f"there is no account {name}")
            found = self._accounts[name] = _Account(overdraft=row[0] == 1)
        return found

    def _grants(self) -> None:
        """No lease without its money: the worst case is held in the commit that grants it."""
        for run_id, site in self.raw.execute("SELECT run_id, site FROM runs").fetchall():
            if run_id in self._granted:
                continue
            self._granted.add(run_id)
            if run_id not in self._held_for:
                raise Broken("lease-without-money", f"{run_id} at {site} has nothing held")

    def _new_bills(self) -> None:
        rows = self.raw.execute(
            "SELECT b.run_id, b.site, b.device_milli_ms, b.device_micros, b.power_micros, "
            "b.transfer_micros, b.rounding_micros, b.total_micros, b.data_micros FROM bills b"
        ).fetchall()
        for run_id, site, *figures in rows:
            had = self._bills.get(run_id)
            if had is None:
                self._bills[run_id] = (site, *figures)
                self._bill(run_id, site, tuple(figures))
            elif had != (site, *figures):
                raise Broken("bill-changed", f"{run_id}: {had} → {figures}")

    def _bill(self, run_id: str, site: str, figures: tuple[int, ...]) -> None:
        metered, device, power, transfer, rounding, total, data = figures
        piece = self.truth.pieces.get(run_id)
        kept = self.raw.execute(
            "SELECT sequence, device_milli_ms, wall_ms FROM readings WHERE run_id = ?", (run_id,)
        ).fetchall()
        true = {} if piece is None else {
            one.sequence: (one.device_milli_ms, one.wall_ms) for one in piece.readings
        }  # fmt: skip
        for sequence, milli_ms, wall_ms in kept:
            if true.get(sequence) != (milli_ms, wall_ms):
                raise Broken("reading-nobody-made", f"{run_id} number {sequence}: {milli_ms}")
        if sum(row[1] for row in kept) != metered:
            raise Broken("charge-without-reading", f"{run_id}: {metered} billed")
        # milli-devices × ms × W = microjoules; 3.6 × 10¹² of them are a kWh.
        exact_device = Fraction(metered * self.prices[site], MILLI_MS_PER_HOUR)
        exact_power = Fraction(metered * POWER_W * TARIFF_PER_KWH * 10**6, 3_600 * 10**9)
        wanted = (round(exact_device), round(exact_power), round(exact_device + exact_power))
        if (device, power, total) != wanted or transfer or data:
            raise Broken("bill-wrong", f"{run_id}: {(device, power, total)} for {wanted}")
        got: dict[str, int] = defaultdict(int)
        for account, micros in self._by_run.get(run_id, {}).items():
            got[account.split(":")[0]] += micros
        earned = {"site": device, "network-power": power, "rounding": rounding, "clearing": 0}
        for kind, micros in earned.items():
            if got.get(kind, 0) != micros:
                raise Broken(
                    "posted-otherwise", f"{run_id}: {kind} got {got.get(kind)} of {micros}"
                )
        if sum(got.values()):
            raise Broken("money-out-of-nothing", f"{run_id}: {dict(got)}")

    def _balances(self) -> None:
        for name, posted, held in self.raw.execute(
            "SELECT account_id, credits_posted - debits_posted, debits_pending FROM ledger_accounts"
        ).fetchall():
            own = self._accounts.get(name)
            have = (0, 0) if own is None else (own.posted, own.pending)
            if have != (posted, held):
                raise Broken("balance-wrong", f"{name} says {(posted, held)}, its rows {have}")

    def _all_bills(self) -> None:
        """After a run is settled nothing is added to what it was charged for."""
        rows = self.raw.execute(
            "SELECT b.run_id, b.device_milli_ms, "
            "(SELECT COALESCE(SUM(r.device_milli_ms), 0) FROM readings r WHERE r.run_id = b.run_id)"
            " FROM bills b"
        ).fetchall()
        for run_id, billed, metered in rows:
            if billed != metered:
                raise Broken("metered-after-the-bill", f"{run_id}: {billed} billed, {metered} kept")
