"""What must never happen, looked at after every commit.

Nothing here imports what it checks: rows are read with plain SQL, and held to what truly happened at
the sites (``site.Piece``) and to what users were told. A rule says what is so, not how it is kept.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

from westward.faultsim.site import Piece

OVER = ("succeeded", "failed", "cancelled", "refused")


class Broken(Exception):
    """A safety rule was broken. ``rule`` is stable."""

    def __init__(self, rule: str, text: str) -> None:
        self.rule = rule
        super().__init__(f"{rule}: {text}")


@dataclass(slots=True)
class Truth:
    """What happened, whatever the server believes."""

    told: set[str] = field(default_factory=set)
    """Jobs whose submission was answered."""
    wanted: set[str] = field(default_factory=set)
    """Jobs that somebody asked for at all."""
    cancels: set[str] = field(default_factory=set)
    """Jobs whose cancellation was accepted and told."""
    ends: set[str] = field(default_factory=set)
    """Runs whose end the server acknowledged."""
    regions: dict[str, str | None] = field(default_factory=dict)
    """Job → where it must stay."""
    site_region: dict[str, str] = field(default_factory=dict)
    capacity_milli: dict[str, int] = field(default_factory=dict)
    """By pool."""
    pieces: dict[str, Piece] = field(default_factory=dict)
    """Work that ever began, by run."""


class Checker:
    """Keeps what it saw: what is over stays as it was."""

    def __init__(self, raw: sqlite3.Connection, truth: Truth) -> None:
        self.raw = raw
        self.truth = truth
        self.looked = 0
        self._over: dict[str, tuple[str, int]] = {}
        self._ended: dict[str, tuple[str, str, int]] = {}
        self._token: dict[str, int] = {}
        self._highest = 0
        self._aim: dict[str, str] = {}
        """Where jobs were to go as of the last look, and as of the one before."""
        self._aim_before: dict[str, str] = {}
        self._closed_us: dict[str, int] = {}
        """Sites that take nothing new, and since when that was answered."""
        self.now_us: Callable[[], int] = lambda: 0
        self.patience_us: int | None = None
        """What was planned before a site was closed is granted so much later at most; None: nobody
        can say."""

    def mark(self, site: str, closed: bool, now_us: int) -> None:
        """The operator's word was taken."""
        if closed:
            self._closed_us.setdefault(site, now_us)
        else:
            self._closed_us.pop(site, None)

    # -- when work begins, at any site --------------------------------------------------------

    def work_began(self, piece: Piece) -> None:
        run_id, job_id = piece.grant.run_id, piece.grant.job_id
        for other in self.truth.pieces.values():
            if other is not piece and other.grant.job_id == job_id and other.alive:
                raise Broken(
                    "two-live-runs",
                    f"{run_id} of {job_id} began at {piece.site} while {other.grant.run_id} "
                    f"works at {other.site}",
                )
        row = self.raw.execute("SELECT job_id, token FROM runs WHERE run_id = ?", (run_id,))
        found = row.fetchone()
        if found is None or found != (job_id, piece.grant.token):
            raise Broken("work-without-a-run", f"{run_id} works, the server has {found}")
        region = self.truth.regions.get(job_id)
        if region is not None and self.truth.site_region[piece.site] != region:
            raise Broken("residency", f"{job_id} must stay in {region}, it works at {piece.site}")

    # -- after every commit -------------------------------------------------------------------

    def look(self) -> None:
        self.looked += 1
        self._jobs()
        self._runs()

    def _jobs(self) -> None:
        rows = self.raw.execute(
            "SELECT job_id, state, version, cancel_requested_ms, aim FROM jobs"
        ).fetchall()
        there = {}
        self._aim_before, self._aim = self._aim, {}
        for job_id, state, version, cancel_ms, aim in rows:
            there[job_id] = state
            if aim is not None:
                self._aim[job_id] = str(json.loads(aim)["site"])
            if job_id not in self.truth.wanted:
                raise Broken("job-nobody-asked-for", job_id)
            had = self._over.get(job_id)
            if had is not None and had != (state, version):
                raise Broken("terminal-state-changed", f"{job_id} was {had}, is {state} {version}")
            if state in OVER:
                self._over[job_id] = (state, version)
            if job_id in self.truth.cancels and cancel_ms is None and state not in OVER:
                raise Broken("cancel-forgotten", f"{job_id} is {state}")
        for job_id in sorted(self.truth.told):
            if job_id not in there:
                raise Broken("job-lost", f"{job_id} was taken and is not there")

    def _runs(self) -> None:
        rows = self.raw.execute(
            "SELECT run_id, job_id, token, live, state, site, pool, need_milli, outcome, "
            "settled_ms FROM runs ORDER BY token"
        ).fetchall()
        live_jobs: set[str] = set()
        held: dict[str, int] = {}
        highest = self._highest
        for run_id, job_id, token, live, state, site, pool, need, outcome, _settled in rows:
            known = self._token.get(run_id)
            if known is None:
                if token <= highest:
                    raise Broken("token-did-not-rise", f"{run_id} has {token} after {highest}")
                self._token[run_id] = highest = token
                self._new_run(run_id, job_id, token, site)
            elif known != token:
                raise Broken("token-changed", f"{run_id} had {known}, has {token}")
            if live:
                if job_id in live_jobs:
                    raise Broken("two-leases", f"{job_id} has two live runs")
                live_jobs.add(job_id)
                held[pool] = held.get(pool, 0) + need
                if run_id in self._ended:
                    raise Broken("run-came-back", run_id)
                continue
            ending = (state, outcome, token)
            had = self._ended.get(run_id)
            if had is None:
                self._ended[run_id] = ending
                piece = self.truth.pieces.get(run_id)
                if piece is not None and piece.alive:
                    raise Broken(
                        "work-without-lease",
                        f"{run_id} of {job_id} is {state} ({outcome}), and works on at {site}",
                    )
                if state == "succeeded":
                    self._worked(run_id)
            elif had != ending:
                raise Broken("run-changed", f"{run_id} was {had}, is {ending}")
        self._highest = highest
        for pool, milli in held.items():
            if milli > self.truth.capacity_milli[pool]:
                raise Broken("pool-overfull", f"{pool} holds {milli}")
        for run_id in sorted(self.truth.ends):
            if run_id not in self._ended:
                raise Broken("end-forgotten", f"{run_id} was told over and acknowledged")

    def _new_run(self, run_id: str, job_id: str, token: int, site: str) -> None:
        region = self.truth.regions.get(job_id)
        if region is not None and self.truth.site_region[site] != region:
            raise Broken("residency", f"{job_id} must stay in {region}, {run_id} is at {site}")
        aim = self._aim_before.get(job_id)
        if aim is not None and aim != site and self._aim.get(job_id, aim) == aim:
            raise Broken("aim-missed", f"{job_id} was to go to {aim}, {run_id} is at {site}")

        since_us = self._closed_us.get(site)
        if since_us is not None and self.patience_us is not None:
            late_us = self.now_us() - since_us
            if late_us > self.patience_us:
                raise Broken("closed-site", f"{run_id} at {site}, {late_us} us after it was closed")

    def _worked(self, run_id: str) -> None:
        piece = self.truth.pieces.get(run_id)
        if piece is None or piece.over_us is None:
            raise Broken("success-without-work", run_id)

    # -- at the end ---------------------------------------------------------------------------

    def unsettled(self) -> str | None:
        """What has not come to rest; None: everything has."""
        ask = self.raw.execute
        row = ask(
            "SELECT job_id, state FROM jobs WHERE state NOT IN "
            "('succeeded', 'failed', 'cancelled', 'refused') LIMIT 1"
        ).fetchone()
        if row is not None:
            return f"{row[0]} is {row[1]}"
        for job_id in sorted(self.truth.told):
            if ask("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,)).fetchone() is None:
                return f"{job_id} is not there"
        row = ask("SELECT run_id FROM runs WHERE settled_ms IS NULL LIMIT 1").fetchone()
        if row is not None:
            return f"run {row[0]} has no bill"
        row = ask(
            "SELECT transfer_id FROM ledger_holds "
            "WHERE state = 'open' AND transfer_id NOT LIKE 'book:%' LIMIT 1"
        ).fetchone()
        if row is not None:
            return f"{row[0]} is still held"
        for piece in self.truth.pieces.values():
            if piece.alive:
                return f"{piece.grant.run_id} still works at {piece.site}"
        return None
