"""One simulated world: a server, its sites' agents and users, played through a scenario.

Phase one: faults come as drawn, safety is looked at after every commit. Phase two (from
``heal_ms``): nothing fails any more, everybody is up, purses are filled, and everything must come to
rest within ``SETTLE_MOST_MS``.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from dataclasses import replace
from pathlib import Path
from typing import Any

from westward.control.machine import InvalidTransition
from westward.control.validate import BrokenInvariant
from westward.faultsim.ablations import without
from westward.faultsim.acts import Acting, acts
from westward.faultsim.audits import audited
from westward.faultsim.build import (
    epoch_ms,
    funders_of,
    funding,
    job_spec,
    network_of,
    paces_of,
    vouchers_of,
)
from westward.faultsim.callers import Callers, callers
from westward.faultsim.checkers import Broken, Checker, Truth
from westward.faultsim.disk import Disk
from westward.faultsim.files import Files
from westward.faultsim.folders import edited, unpriced
from westward.faultsim.loop import OWNER, Crash, VirtualLoop
from westward.faultsim.money import MoneyChecker
from westward.faultsim.moving import Moves
from westward.faultsim.net import Net
from westward.faultsim.nodes import AgentNode, Server
from westward.faultsim.office import Office
from westward.faultsim.scenario import Act, JobPlan, Scenario, Whim
from westward.faultsim.site import Piece, SiteMachine
from westward.faultsim.spoil import Spoiler
from westward.faultsim.strikes import call_off, strike
from westward.faultsim.users import fills, follows, submits
from westward.faultsim.verdicts import Verdict
from westward.faultsim.waiting import Waits
from westward.server.aside import STORE_TROUBLE
from westward.server.core import Core
from westward.server.settings import LIVE_POLICY, Settings

STORY_MOST = 400
"""Lines that a job's story has at most, once a world has come to rest."""
SETTLE_MOST_MS = 30 * 60_000
"""Of virtual time, after everything has healed."""
GRANTED_LATE_US = 15_000_000
"""A plan made before a site was closed is written by then, where nothing holds the server up."""
WHOLE_LOOK_EVERY = 16
"""Commits between two looks at every row."""
REFUSED_MONEY = "unit-differs"
"""What the ledger says where an account was spoiled."""
NOWHERE = Path("/nonexistent/westward-faultsim")


class World:
    """``play`` once."""

    def __init__(self, scenario: Scenario, disk: Disk, told: Callable[[str], None] | None = None):
        self.scenario = scenario
        self.disk = disk
        self.told = told
        """Gets every line of the trace."""
        self.loop = VirtualLoop()
        self.injected_kinds: Counter[str] = Counter()
        self.digest = hashlib.blake2b(digest_size=16)
        self.broken: Broken | None = None
        self.healed = False
        self.wall_offset_ms = 0
        self.commits = 0
        self._run_ids = 0
        self._agents = 0
        self.folder = network_of(scenario)
        self.network = self.folder
        """As the folder says now: a server reads it when it starts."""
        self.vouchers = vouchers_of(scenario)
        self.plans: dict[str, JobPlan] = {one.job_id: one for one in scenario.jobs}
        self.truth = self._truth()
        disk.reset()
        self.checker = Checker(disk.raw, self.truth)
        self.checker.now_us = lambda: self.loop.now_us
        slow = ("server-pause", "slow-disk", "full-disk")
        if not any(one.kind in slow for one in scenario.faults):
            self.checker.patience_us = GRANTED_LATE_US
        self.money = MoneyChecker(
            disk.raw, self.truth, scenario, funders_of(scenario), epoch_ms(scenario)
        )
        self.moves = Moves(disk.raw, scenario, self.injected)
        self.waits = Waits(disk.raw, scenario, self.injected)
        self.spoiler = Spoiler(disk.raw)
        self.money.rewritten = self.spoiler.rewritten
        self._opened: dict[str, int] = {}
        """How often somebody asked for each closed site to be opened."""
        self.began_wall_ms = epoch_ms(scenario)
        self.net = Net(
            self.loop,
            self._dice("net"),
            scenario.delay_ms,
            self.injected,
            self.trouble,
            self.note,
            self.fail,
        )
        self.thread_dice = self._dice("threads")
        self.slow_until_us = 0
        self.loop.executor_us = self._thread_us
        self.loop.uncaught = self._uncaught
        disk.commit_us = self._commit_us
        number = scenario.files
        self.files = None if number is None else Files(scenario, number)
        self.settings = Settings(
            network=NOWHERE,
            data=NOWHERE,
            checkpoint_folder=None if self.files is None else self.files.at_server,
            policy=replace(
                LIVE_POLICY,
                defer_limit_ms=0,
                review_ms=scenario.review_ms,
                discipline=scenario.discipline,
            ),
            lease_ttl_ms=scenario.ttl_ms,
            margin_ms=scenario.margin_ms,
            preempt=scenario.preempt,
            reconsider_ms=scenario.reconsider_ms,
        )
        self.server: Server | None = None
        self.sites = {
            one.name: SiteMachine(
                one, self.plans, self.loop, self._dice(f"site {one.name}"), self,
                scenario.reading_ms,
            )
            for one in scenario.sites
        }  # fmt: skip
        self.agents: dict[str, AgentNode] = {}
        self.outside = Context()

    def _dice(self, purpose: str) -> random.Random:
        """A stream for each purpose: what is taken out of one moves no other."""
        return random.Random(f"westward-faultsim-{self.scenario.seed}-{purpose}")

    def _truth(self) -> Truth:
        truth = Truth()
        for one in self.scenario.sites:
            truth.site_region[one.name] = one.region
        for pool in self.network.pools:
            truth.capacity_milli[pool.name] = pool.capacity_milli
        for job in self.scenario.jobs:
            truth.regions[job.job_id] = job.region
        return truth

    # -- what happens, for the trace and the checkers -----------------------------------------

    def note(self, *what: object) -> None:
        line = f"{self.loop.now_us} {' '.join(map(str, what))}"
        self.digest.update(line.encode())
        self.digest.update(b"\n")
        if self.told is not None:
            self.told(line)

    def injected(self, kind: str) -> None:
        self.injected_kinds[kind] += 1

    def began(self, piece: Piece) -> None:
        self.note("work", piece.grant.run_id, "begins at", piece.site)
        self.truth.pieces[piece.grant.run_id] = piece
        self._guarded(lambda: self.checker.work_began(piece))
        files = self.files
        if files is not None:
            self._guarded(lambda: files.began(piece))

    def ended(self, piece: Piece) -> None:
        self.note("work", piece.grant.run_id, "is over at", piece.site)
        files = self.files
        if files is not None:
            self._guarded(lambda: files.ended(piece))

    def committed(self) -> None:
        """After every transaction of the writer."""
        self.commits += 1
        whole = self.commits % WHOLE_LOOK_EVERY == 0
        self._guarded(lambda: self._look(whole))

    def _look(self, whole: bool) -> None:
        self.checker.look()
        self.money.look(whole)
        self.moves.look()
        self.waits.look(self.loop.now_us, self.healed)

    def _guarded(self, look: Callable[[], None]) -> None:
        if self.broken is None:
            try:
                look()
            except Broken as broken:
                self.fail(broken)

    def fail(self, broken: Broken) -> None:
        if self.broken is None:
            self.note("broken", broken)
            self.broken = broken

    def trouble(self, core: Core, error: Exception) -> None:
        """A request ended in an internal error. A full disk may do that; nothing else may."""
        if isinstance(error, Broken):
            self.fail(error)
        elif not isinstance(error, STORE_TROUBLE) and not self._of_spoiled(str(error)):
            self.fail(Broken("internal-error", f"{type(error).__name__}: {error}"))

    def logged(self, record: logging.LogRecord) -> None:
        """What shipped code calls an error: the disk may be one; a broken invariant never is."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (*STORE_TROUBLE, OSError, Crash)):
            return
        owner = OWNER.get()
        if owner is not None and not owner.alive:
            return
        if error is not None or record.levelno >= logging.CRITICAL:
            text = f"{record.getMessage()} {type(error).__name__ if error else ''} {error or ''}"
            if self._of_spoiled(text):
                return
            broken = isinstance(error, InvalidTransition | BrokenInvariant)
            self.fail(Broken("invariant" if broken else "unexpected-error", text.strip()))

    def _of_spoiled(self, text: str) -> bool:
        """Whether it is said of a job, or of an account, whose row was spoiled."""
        if self.spoiler.of_money and REFUSED_MONEY in text:
            return True
        return any(job_id in text for job_id in self.spoiler.ever)

    def _uncaught(self, text: str, error: BaseException | None) -> None:
        self.fail(Broken("uncaught", f"{text}: {type(error).__name__}: {error}"))

    # -- how long things take -----------------------------------------------------------------

    def _thread_us(self) -> int:
        most = self.scenario.thread_us
        return self.thread_dice.randrange(most) if most else 0

    def _commit_us(self) -> int:
        if self.loop.now_us < self.slow_until_us:
            self.injected("slow-disk")
            return self.thread_dice.randrange(6_000_000)
        return self._thread_us()

    def new_run_id(self) -> str:
        self._run_ids += 1
        return f"run_{self._run_ids:04d}"

    def new_agent_id(self) -> str:
        self._agents += 1
        return f"agt_{self._agents:04d}"

    def wall_ms(self) -> int:
        return self.began_wall_ms + self.loop.now_us // 1000 + self.wall_offset_ms

    # -- playing ------------------------------------------------------------------------------

    def play(self) -> Verdict:
        log = logging.getLogger("westward")
        had = (log.level, log.propagate, list(log.handlers))
        log.setLevel(logging.ERROR)
        log.propagate = False
        log.handlers = [_Listener(self.logged)]
        try:
            with without(self.scenario.ablate), paces_of(self.scenario), self._folders():
                self._play()
        finally:
            self.loop.close()
            log.setLevel(had[0])
            log.propagate, log.handlers = had[1], had[2]
        return self._verdict()

    def _folders(self) -> AbstractContextManager[None]:
        if self.files is None:
            return nullcontext()
        return self.files.kept(lambda: self.loop.now_us // 1000)

    def _play(self) -> None:
        self.start_server()
        assert self.server is not None
        assert self.server.core is not None
        funding(self.scenario, self.server.core)
        if self.scenario.office is not None:
            self._office().before()
        if self.files is not None:
            self.files.catalogue(self.server.core.store, self.wall_ms())
        for name in self.sites:
            self.agents[name] = AgentNode(self, name)
            self.agents[name].start()
        for job in self.scenario.jobs:
            self.truth.wanted.add(job.job_id)
            self._later(
                job.at_ms,
                self._user,
                submits(self.net, self.truth, job_spec(self.scenario, job), job.refused),
            )
        for whim in self.scenario.whims:
            self._later(whim.at_ms, self._user, follows(self.net, self.truth, whim))
        for act in self.scenario.acts:
            self._later(act.at_ms, self._act, act)
        for fault in self.scenario.faults:
            self._later(fault.at_ms, strike, self, fault)
        stop = lambda: self.broken is not None  # noqa: E731
        self.loop.run_until(self.scenario.heal_ms * 1000, stop)
        if self.broken is None:
            self._heal()
            self._settle()

    def _settle(self) -> None:
        end_us = self.loop.now_us + SETTLE_MOST_MS * 1000
        left: str | None = "nothing was looked at"
        looks = 0
        while self.loop.now_us < end_us and self.broken is None:
            self.loop.run_until(self.loop.now_us + 2_000_000, lambda: self.broken is not None)
            left = self.checker.unsettled() or self._agents_busy()
            looks += 1
            if looks % 10 == 0:  # a repeated "suspend" may have come after the last "resume"
                self._resume_all()
                self._open_all()
                self._give_up()
            if left is None:
                self._guarded(lambda: self._look(True))
                self._guarded(self._at_rest)
                if self.scenario.office is not None:
                    self._guarded(self._office_closes)
                    self._guarded(lambda: self._look(True))
                if self.scenario.acts or self.scenario.office is not None:
                    self._guarded(self._audit)
                return
        if self.broken is None:
            self.fail(Broken("did-not-settle", left or ""))

    def _office(self) -> Office:
        assert self.server is not None
        assert self.server.core is not None
        return Office(self.scenario, self.server.core, self.disk.raw, self._dice("office"))

    def _audit(self) -> None:
        every_kind = any(one.kind == "unsound" for one in self.scenario.acts)
        audited(self.disk.raw, self._dice("audit"), every_kind=every_kind)

    def _office_closes(self) -> None:
        with self.loop.running():
            self._office().closing()

    def _at_rest(self) -> None:
        """A job whose story has so many lines went in circles."""
        told = self.disk.raw.execute(
            "SELECT job_id, COUNT(*) FROM story GROUP BY job_id HAVING COUNT(*) >= ?", (STORY_MOST,)
        ).fetchone()
        if told is not None:
            raise Broken("goes-in-circles", f"{told[0]}: {told[1]} lines of story")

    def _agents_busy(self) -> str | None:
        for name, node in self.agents.items():
            if node.agent is None or not node.process.alive:
                return f"the agent of {name} is down"
            if node.agent.shippers:
                return f"the agent of {name} holds {sorted(node.agent.shippers)}"
        return None

    def _verdict(self) -> Verdict:
        for row in self.disk.raw.execute("SELECT job_id, state, ending FROM jobs ORDER BY job_id"):
            self.note("end", *row)
        (runs,) = self.disk.raw.execute("SELECT COUNT(*) FROM runs").fetchone()
        return Verdict(
            seed=self.scenario.seed,
            rule="" if self.broken is None else self.broken.rule,
            text="" if self.broken is None else str(self.broken),
            trace=self.digest.hexdigest(),
            injected=self.injected_kinds,
            jobs=len(self.scenario.jobs),
            runs=runs,
            commits=self.commits,
            looks=self.checker.looked,
            virtual_ms=self.loop.now_us // 1000,
        )

    def _later(self, at_ms: int, callback: Callable[..., None], *args: Any) -> None:
        self.loop.at_us(at_ms * 1000, callback, *args, context=self.outside)

    # -- the server ---------------------------------------------------------------------------

    def start_server(self) -> None:
        if self.server is not None and self.server.process.alive:
            return
        self.note("server starts")
        self.server = Server(self)
        self.server.start()

    def server_died(self) -> None:
        self.note("server dies")
        self.net.core = None
        self.net.drop_all()

    # -- users --------------------------------------------------------------------------------

    def _user(self, ask: Callable[[], Awaitable[None]]) -> None:
        self.loop.create_task(self._until_answered(ask), context=Context())

    async def _until_answered(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Asks again until there is an answer, as a careful client does: every request is safe to
        repeat."""
        pause_s = 0.5
        while True:
            try:
                await ask()
                return
            except (TimeoutError, OSError):
                await asyncio.sleep(pause_s)
                pause_s = min(8.0, pause_s * 2)

    def _act(self, act: Act) -> None:
        if self.healed:
            return
        self.note("act", act.kind, act.target, act.size)
        if act.kind in ("spoil", "poison", "account"):
            self._spoil(act)
            return
        if act.kind == "wrong-caller":
            wrong = Callers(self.disk.raw, self.spoiler.ever, self.fail, act.size)
            self._user(callers(self.net, wrong))
            return
        if act.kind == "folder":
            self.network = edited(self.folder, act.target, act.size)
            self.money.unpriced |= unpriced(self.network)
            self.injected("folder-edited")
            self._stop_server()
            return
        if act.kind == "restart":
            self._stop_server()
            return
        self._ask_for(act)

    def _spoil(self, act: Act) -> None:
        if act.kind == "account":
            done = self.spoiler.account(act.size)
        else:
            harm = self.spoiler.spoil if act.kind == "spoil" else self.spoiler.poison
            ids = [act.target, *(one.job_id for one in self.scenario.jobs)]
            done = next(filter(None, (harm(one, act.size) for one in ids)), "")
        if done:
            self._forget_specs()
            kinds = {"spoil": "spoiled", "poison": "poisoned", "account": "account-spoiled"}
            self.injected(kinds[act.kind])
            self.note("spoiled", done)

    def _stop_server(self) -> None:
        """It is started again as after any end."""
        if self.server is not None:
            self.server.stop()

    def _forget_specs(self) -> None:
        """Jobs' texts never change: a server reads each once. It is to read them now."""
        if self.server is not None and self.server.core is not None:
            self.server.core.store.specs.clear()

    def _ask_for(self, act: Act) -> None:
        raw = self.disk.raw

        def billed() -> list[str]:
            return [row[0] for row in raw.execute("SELECT run_id FROM bills ORDER BY run_id")]

        def stale() -> tuple[str, int] | None:
            query = "SELECT run_id, token FROM runs WHERE live = 0 ORDER BY run_id LIMIT 1"
            found = raw.execute(query).fetchone()
            return None if found is None else (found[0], found[1])

        if act.kind == "open":  # from now on it may be open, whether an answer comes or not
            self._opened[act.target] = self._opened.get(act.target, 0) + 1
            self.checker.mark(act.target, False, self.loop.now_us)
        opened = self._opened.get(act.target, 0)

        def done() -> None:
            if act.kind in ("cordon", "drain") and self._opened.get(act.target, 0) == opened:
                self.checker.mark(act.target, True, self.loop.now_us)

        self._user(acts(self.net, Acting(self.scenario, act, billed, stale), done))

    # -- the heal -----------------------------------------------------------------------------

    def _heal(self) -> None:
        """Everybody is up, has money, and may go on."""
        self.note("heal")
        self.healed = True
        call_off(self)
        self.start_server()
        for node in self.agents.values():
            node.start()
        self.spoiler.repair()
        self._forget_specs()
        if self.network is not self.folder:
            self.network = self.folder
            self._stop_server()
        projects = [one.project for one in self.scenario.budgets]
        projects += [one.target for one in self.scenario.acts if one.kind == "budget"]
        for project in dict.fromkeys(projects):
            self._user(fills(self.net, project))
        self._open_all()
        self._resume_all()

    def _open_all(self) -> None:
        closed = [one.target for one in self.scenario.acts if one.kind in ("cordon", "drain")]
        for site in dict.fromkeys(closed):
            self._ask_for(Act(at_ms=0, kind="open", target=site, size=0))

    def _give_up(self) -> None:
        """A job that cannot end by its deadline waits until its owner takes it back."""
        for job in self.scenario.jobs:
            if job.deadline_ms is not None:
                whim = Whim(at_ms=0, kind="cancel", job_id=job.job_id)
                self._user(follows(self.net, self.truth, whim))

    def _resume_all(self) -> None:
        for job in self.scenario.jobs:
            whim = Whim(at_ms=0, kind="resume", job_id=job.job_id)
            self._user(follows(self.net, self.truth, whim))


class _Listener(logging.Handler):
    def __init__(self, told: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.ERROR)
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told(record)
