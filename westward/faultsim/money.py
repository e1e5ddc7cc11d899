"""Money, added up anew from its rows and held to what the sites truly metered.

Shares no code with ``ledger`` or ``server.purse``: prices are computed here from the simulated
world's own figures, balances from the transfers alone.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction

from westward.faultsim.checkers import Broken, Truth
from westward.faultsim.funders import Funders, most_ppm, never_pays
from westward.faultsim.more import TARIFF_STEP_MS
from westward.faultsim.scenario import Scenario

TARIFF_PER_KWH = 1
POWER_W = 300
MILLI_MS_PER_HOUR = 3_600_000_000
BYTES_PER_GB = 10**9
CUT_MICROS = 3
"""A bill that is made in two, where a year turns, may differ by so much from one made whole."""


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

    def __init__(
        self, raw: sqlite3.Connection, truth: Truth, scenario: Scenario, funders: Funders | None,
        epoch_ms: int,
    ) -> None:  # fmt: skip
        self.raw = raw
        self.truth = truth
        self.scenario = scenario
        self.epoch_ms = epoch_ms
        self.prices = {one.name: one.price_micros for one in scenario.sites}
        self.plans = {one.job_id: one for one in scenario.jobs}
        self.rules = {} if funders is None else {one.name: one for one in funders.rules}
        self._spent: dict[str, int] = defaultdict(int)
        """Of each pot, rewards too: by what runs, corrections and claw-backs took and gave back."""
        self._seq = 0
        self._accounts: dict[str, _Account] = {}
        self._holds: dict[str, _Hold] = {}
        self._by_run: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        """Run → account → what it got."""
        self._held_for: set[str] = set()
        self._bills: dict[str, tuple[object, ...]] = {}
        self._granted: set[str] = set()
        self.unpriced: set[str] = set()
        """Sites whose prices were once not all stated (``folders``)."""
        self.sites_gone: set[str] = set()
        """Sites that the folder the server runs by does not have: a line to them is not charged."""
        self.rewritten: Collection[str] = ()
        """Jobs whose text was edited by hand: what they move is what they now say."""

    def look(self, whole: bool = False) -> None:
        self._transfers()
        self._grants()
        self._new_bills()
        if whole:
            self._balances()
            self._all_bills()

    def _transfers(self) -> None:
        rows = self.raw.execute(
            "SELECT seq, transfer_id, kind, debit, credit, amount, pending_id, run_id, category "
            "FROM ledger_transfers WHERE seq > ? ORDER BY seq",
            (self._seq,),
        ).fetchall()
        for seq, name, kind, debit, credit, amount, pending_id, run_id, category in rows:
            self._seq = seq
            if kind in ("posted", "post"):
                self._account(debit).posted -= amount
                self._account(credit).posted += amount
                if category not in ("funding", "share-out", "history"):
                    self._spend(debit, amount)
                    self._spend(credit, -amount)
                if run_id is not None and category != "reward":
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

    def _spend(self, account: str, micros: int) -> None:
        """No funder pays more than its rule's cap for the one claimant and a year."""
        if not account.startswith("pot:"):
            return
        self._spent[account] += micros
        rule = self.rules.get(account.split(":")[1].rpartition("-")[0])
        cap = None if rule is None else rule.cap_entity_year_micros.value
        if rule is None or cap is None or rule.pays == "supplier":
            return
        if self._spent[account] > cap:
            raise Broken("cap-passed", f"{account} has paid {self._spent[account]} of {cap}")

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
            if run_id not in self._held_for and not self._may_cost_nothing(site):
                raise Broken("lease-without-money", f"{run_id} at {site} has nothing held")

    def _may_cost_nothing(self, site: str) -> bool:
        """Free devices, and power whose price falls below nought; or nobody knows the price."""
        return site in self.unpriced or (
            self.prices[site] == 0 and min(self.scenario.tariff, default=1.0) < 0
        )

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
        job_id, started_ms, granted_ms = self.raw.execute(
            "SELECT job_id, started_ms, granted_ms FROM runs WHERE run_id = ?", (run_id,)
        ).fetchone()
        exact_power = self._power(granted_ms if started_ms is None else started_ms, kept)
        exact_moved = Fraction(0)
        plan = self.plans.get(job_id)
        elsewhere = {"", site, *self.sites_gone}
        if plan is not None and started_ms is not None and plan.data_at not in elsewhere:
            line = self.scenario.line_micros or 0
            exact_moved = Fraction(plan.data_bytes * line, BYTES_PER_GB)
        unsure_micros = Fraction(0)
        if job_id in self.rewritten:  # of what it moved only the rounded price is told
            exact_moved, unsure_micros = Fraction(transfer), Fraction(1, 2)
        whole = exact_device + exact_power + exact_moved
        in_all = min(max(total, round(whole - unsure_micros)), round(whole + unsure_micros))
        wanted = (round(exact_device), round(exact_power), round(exact_moved), in_all)
        slack = CUT_MICROS if self.scenario.year_turns else 0
        pairs = zip((device, power, transfer, total), wanted, strict=True)
        if data or any(abs(one - other) > slack for one, other in pairs):
            raise Broken("bill-wrong", f"{run_id}: {(device, power, transfer, total)} for {wanted}")
        if device + power + transfer + rounding != total:
            raise Broken("bill-wrong", f"{run_id}: its parts are not its total")
        self._funded(run_id, max(0, device) + max(0, power) + max(0, transfer))
        got: dict[str, int] = defaultdict(int)
        for account, micros in self._by_run.get(run_id, {}).items():
            got[account.split(":")[0]] += micros
        earned = {
            "site": device, "network-power": power, "network-links": transfer,
            "rounding": rounding, "clearing": 0,
        }  # fmt: skip
        for kind, micros in earned.items():
            if got.get(kind, 0) != micros:
                raise Broken(
                    "posted-otherwise", f"{run_id}: {kind} got {got.get(kind)} of {micros}"
                )
        if sum(got.values()):
            raise Broken("money-out-of-nothing", f"{run_id}: {dict(got)}")

    def _power(self, began_ms: int, kept: list[tuple[int, int, int]]) -> Fraction:
        """Readings laid end to end from ``began_ms``, each evenly used, at the price of each step."""
        exact = Fraction(0)
        tariff = self.scenario.tariff or (float(TARIFF_PER_KWH),)
        at_ms = began_ms - self.epoch_ms
        for _, milli_ms, wall_ms in sorted(kept):
            paid = Fraction(0)
            end_ms = at_ms + wall_ms
            while at_ms < end_ms:
                step = at_ms // TARIFF_STEP_MS
                until_ms = min(end_ms, (step + 1) * TARIFF_STEP_MS)
                paid += (until_ms - at_ms) * Fraction(tariff[step % len(tariff)])
                at_ms = until_ms
            exact += Fraction(milli_ms * POWER_W * 10**6, 3_600 * 10**9) * paid / max(1, wall_ms)
        return exact

    def _funded(self, run_id: str, due_micros: int) -> None:
        """No funder pays more than its rule's largest share, and together no more than all."""
        funded = 0
        for account, micros in self._by_run.get(run_id, {}).items():
            if not account.startswith("pot:"):
                continue
            funded -= micros
            rule = self.rules.get(account.split(":")[1].rpartition("-")[0])
            if rule is None:
                continue
            most = 0 if never_pays(rule, self.epoch_ms) else due_micros * most_ppm(rule) // 10**6
            if -micros > most:
                raise Broken("funder-overpaid", f"{run_id}: {account} paid {-micros} of {most}")
        if funded > due_micros:
            raise Broken("funder-overpaid", f"{run_id}: funders paid {funded} of {due_micros}")

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
