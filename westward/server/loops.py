"""The server's own work: plan, end leases, settle. Each loop: load → decide → apply → announce.

A loop that meets an unexpected error logs it and goes on after a pause; an error that repeats is
visible in /healthz. An error that comes with one job only sets that job aside (``server.aside``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from westward.control.records import TERMINAL_JOB_STATES
from westward.ledger.charged import Charged
from westward.ledger.price import PriceUnknown
from westward.memory import give_back
from westward.model.job import JobSpec
from westward.model.network import PoolStatus
from westward.model.plan import Plan
from westward.server.applier import (
    END_LEASE,
    Outcome,
    apply_changes,
    apply_plan,
    expire_leases,
    parts,
    run_charge,
)
from westward.server.aside import STORE_TROUBLE, Broken
from westward.server.billing import SETTLED_AT_ONCE, Owed, settle_runs
from westward.server.budgets import end_of_money, funded, outlasting, return_strays
from westward.server.core import Core
from westward.server.holds import awaited, due
from westward.server.joined import network_at
from westward.server.posting import post_readings, postings
from westward.server.preempting import preemptions
from westward.server.purse import LedgerBroken
from westward.server.reconsidering import moves_that_pay
from westward.server.snapshot import Situation
from westward.server.sound import plan_sound
from westward.server.writer import Bulk
from westward.store.checkpoints import latest_checkpoints
from westward.store.jobs import snapshot_version
from westward.store.lifecycle import next_lease_end
from westward.store.metering import unsettled_runs
from westward.store.money import going_on, never_granted
from westward.store.results import Change, RunToSettle
from westward.store.sets import load_held, states_of

ERROR_PAUSE_S = 1.0
SOON_MS = 5
"""Slack added to timed wake-ups, so that the time is over when we look."""
AT_ONCE_MOST = 3
"""Plans made without a pause because the last one was out of date when it was applied."""
AGAIN_PAUSE_S = 0.2
PASS_SHORT_S = 0.05
PASS_PAUSE_MOST_S = 2.0
"""A longer pass is followed by as long a pause: planning takes at most half of the server, and what
happens meanwhile is planned at once."""
APPLIED_AT_ONCE = 50
"""Jobs of a plan written in one go: some tens of milliseconds in which no lease is renewed."""
SETTLE_EVERY_S = 60.0
TRACE_EVERY_S = 1.0
TRACE_CURSOR_MS = 10_000
"""After a restart, jobs that ended since are told again: their traces have the same ids."""
HOLD_EVERY_MS = 30_000
HOLD_PAUSE_S = 0.02
GIVE_BACK_EVERY_S = 5.0
"""Passes of a burst follow one another in tenths of a second: none of them ends with all memory free."""
MONEY_EARLY_MS = 60_000
"""So long before the end of what is held more is asked for: a run that must stop has time to save."""

POST_EVERY_S = 60.0
"""At most so often what a run has used is posted before its end; see ``server.posting``."""
POSTED_AT_ONCE = 10
"""Runs in one work of the writer: some 20 ms."""
POST_PAUSE_S = 0.1

log = logging.getLogger("westward.server")


class Loops:
    """Runs from ``start`` to ``stop``, as often as is asked. ``errors`` counts failures in a row, by
    loop."""

    def __init__(self, core: Core):
        self.core = core
        self.errors: dict[str, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._alive: dict[str, PoolStatus] = {}
        self._stale_plans = 0
        self._idle_at: int | None = None
        """The snapshot version at which no job waited."""
        self._caught_up = False
        self._ungranted: frozenset[str] = frozenset()
        """Runs held for that were not there at the last look."""
        self._gave_back = core.clock.elapsed_s()
        self._review_at_s = 0.0
        """Waiting jobs do not look at other pools again before then."""

    def start(self) -> None:
        self._idle_at, self._caught_up = None, False
        for name, step in (
            ("plan", self._plan_step),
            ("expire", self._expire_step),
            ("settle", self._settle_step),
            ("trace", self._trace_step),
            ("hold", self._hold_step),
            ("money", self._money_step),
            ("post", self._post_step),
            ("move", self._move_step),
        ):
            if name == "move" and self.core.settings.reconsider_ms == 0:
                continue
            self.errors[name] = 0
            self._tasks.append(asyncio.create_task(self._for_ever(name, step), name=name))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.errors.clear()

    async def _for_ever(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
                self.errors[name] = 0
            except Exception:
                self.errors[name] = self.errors.get(name, 0) + 1
                log.exception("the %s loop failed (%d in a row)", name, self.errors[name])
                await asyncio.sleep(ERROR_PAUSE_S)

    async def _plan_step(self) -> None:
        core = self.core
        seen = core.plan_bell.rings
        if await core.read(core.expects_sites):
            await core.plan_bell.wait(seen, core.settings.poll_wait_ms / 1000)
            return
        began = core.clock.elapsed_s()
        if not core.jobs_aside.all() and self._idle_at == await core.read(
            snapshot_version, core.store
        ):  # nothing waited then, and nothing has changed since
            await core.plan_bell.wait(seen, core.settings.plan_every_ms / 1000)
            return
        before = await core.read(core.situation)
        idle = not before.waiting and not before.aimed and not before.elsewhere
        self._idle_at = before.snapshot.version if idle else None
        decided = None
        if before.waiting:
            decided = await self._plan(before)
        plans = [] if decided is None else [decided]
        plans += await self._plan_aimed(before)
        plans += await self._plan_elsewhere(before)
        took_s = core.clock.elapsed_s() - began
        pause_s = min(took_s, PASS_PAUSE_MOST_S) if took_s > PASS_SHORT_S else 0.0
        latest_ms = core.clock.now_ms() + int(pause_s * 1000) + core.settings.plan_every_ms
        due_ms = next_plan_ms(before, plans, latest_ms)
        del before, decided, plans  # of ten thousand jobs some 50 MB, not to be kept while waiting
        if pause_s:
            if core.clock.elapsed_s() - self._gave_back >= GIVE_BACK_EVERY_S:
                await core.read(give_back)
                self._gave_back = core.clock.elapsed_s()
            await asyncio.sleep(pause_s)
        await core.plan_bell.wait(seen, max(0.0, (due_ms - core.clock.now_ms()) / 1000))

    async def _plan(self, before: Situation) -> Plan:
        core = self.core
        policy, began = core.settings.policy, core.clock.elapsed_s()
        review = policy.reviews and began >= self._review_at_s
        decided, broken = await core.read(plan_sound, before, policy, review=review)
        took_s = core.clock.elapsed_s() - began
        core.expected.learn(decided, began)
        if review:
            self._review_at_s = began + policy.review_ms / 1000
            before = before.with_chosen(decided)
        await core.set_aside(broken)
        failed = {one.key for one in broken}
        plan_again = False
        for part, asked in parts(decided, before, APPLIED_AT_ONCE):
            outcome = await core.write(
                apply_plan, core.store, part, asked, core.settings.lease_ttl_ms,
                core.clock.now_ms(), core.purse, new_run_id=core.new_run_id,
            )  # fmt: skip
            await core.set_aside(outcome.broken)
            failed.update(one.key for one in outcome.broken)
            plan_again = plan_again or outcome.plan_again
            core.announce(outcome)
        for job_id in before.waiting:
            if job_id not in failed:
                core.jobs_aside.settle(job_id)
        core.metrics.planned(took_s, len(decided.placements), len(decided.refusals), plan_again)
        core.metrics.moved.inc(len(before.looked_again))
        self._stale_plans = self._stale_plans + 1 if plan_again else 0
        if self._stale_plans > AT_ONCE_MOST:  # never spin, whatever plan and store disagree about
            await asyncio.sleep(AGAIN_PAUSE_S)
        if core.settings.preempt:
            victims = preemptions(before, decided)
            if victims:
                await self._apply(victims, "stop it for another job")
        return decided

    async def _plan_aimed(self, before: Situation) -> list[Plan]:
        """Jobs that must go to one place, each by itself on the network narrowed to that."""
        plans: list[Plan] = []
        for job, aim in before.aimed:
            told = await self._plan_part(before.towards(job, aim), {job.job_id})
            if told is not None:
                plans.append(told)
        return plans

    async def _plan_elsewhere(self, before: Situation) -> list[Plan]:
        """Jobs that some sites gave back before they began: together on the network without those;
        where that has no place for one, on all of it. (A site whose disk is full is free, and so
        often the cheapest: it would get them back until they have no attempt left.)"""
        groups: dict[frozenset[str], list[JobSpec]] = {}
        for job, sites in before.elsewhere:
            groups.setdefault(sites, []).append(job)
        plans: list[Plan] = []
        for sites, jobs in groups.items():
            told = await self._plan_part(
                before.away_from(jobs, sites), {job.job_id for job in jobs}, placed_only=True
            )
            if told is not None:
                plans.append(told)
                placed = {one.job_id for one in told.placements}
                jobs = [job for job in jobs if job.job_id not in placed]
            if jobs:
                told = await self._plan_part(
                    before.away_from(jobs, frozenset()), {job.job_id for job in jobs}
                )
                plans += [] if told is None else [told]
        return plans

    async def _plan_part(
        self, part: Situation, job_ids: Collection[str], *, placed_only: bool = False
    ) -> Plan | None:
        """Plan and apply for these jobs alone. ``placed_only``: refusals are nobody's answer yet.
        None: none of them can be planned."""
        core = self.core
        decided, broken = await core.read(plan_sound, part, core.settings.policy)
        await core.set_aside(broken)
        sound = set(job_ids) - {one.key for one in broken}
        if not sound:
            return None
        told = answer_for(decided, sound)
        if placed_only:
            told = replace(told, refusals=())
        outcome = await core.write(
            apply_plan, core.store, told, part, core.settings.lease_ttl_ms, core.clock.now_ms(),
            core.purse, new_run_id=core.new_run_id,
        )  # fmt: skip
        await core.set_aside(outcome.broken)
        for job_id in sound - {one.key for one in outcome.broken}:
            core.jobs_aside.settle(job_id)
        core.announce(outcome)
        return told

    async def _apply(self, changes: Sequence[Change], step: str) -> None:
        core = self.core
        outcome = await core.write(apply_changes, core.store, changes, step, core.clock.now_ms())
        await core.set_aside(outcome.broken)
        core.announce(outcome)

    async def _hold_step(self) -> None:
        """Let held jobs go whose wait is over; drop the checkpoints of jobs that are over."""
        core = self.core
        seen = core.hold_bell.rings
        held = await core.read(load_held, core.store)
        now_ms = core.clock.now_ms()
        held = tuple(one for one in held if not core.jobs_aside.holds(one.job_id, now_ms))
        states = await core.read(states_of, core.store, awaited(held))
        changes, next_ms = due(held, states, now_ms)
        changes += await core.read(funded, core.store, core.purse, held, now_ms)
        if changes:
            await self._apply(changes, "let it go on")
        await core.read(self._drop_checkpoints)
        wait_ms = (
            HOLD_EVERY_MS if next_ms is None else min(HOLD_EVERY_MS, next_ms - now_ms + SOON_MS)
        )
        await asyncio.sleep(HOLD_PAUSE_S)  # a burst of ends is looked at once
        await core.hold_bell.wait(seen, max(0.0, wait_ms / 1000 - HOLD_PAUSE_S))

    async def _money_step(self) -> None:
        """Hold further for runs that outlast what is held, well before it is used up; stop those
        that nobody can pay for, as their project chose."""
        core, ttl_ms = self.core, self.core.settings.lease_ttl_ms
        early_ms = max(MONEY_EARLY_MS, 2 * ttl_ms)
        await asyncio.sleep(ttl_ms / 1000)
        ungranted = await core.read(never_granted, core.store)
        if strays := ungranted & self._ungranted:
            await core.write(return_strays, core.store, core.purse, strays, core.clock.now_ms())
        self._ungranted = ungranted - strays
        runs = await core.read(outlasting, core.store, core.clock.now_ms() + early_ms, core.network)
        if not runs:
            return
        short = await core.write(
            core.purse.extend, core.store, core.network, runs, core.clock.now_ms()
        )
        changes = [change for one in short if (change := end_of_money(one, runs)) is not None]
        if changes:
            await self._apply(changes, "stop it for want of money")

    async def _post_step(self) -> None:
        """Post what readings show, a few runs at a time: grants and renewals go in between."""
        core = self.core
        await asyncio.sleep(POST_EVERY_S)
        after = ""
        while runs := await core.read(going_on, core.store, after, POSTED_AT_ONCE):
            after = runs[-1][0].run_id
            found = await core.read(
                postings, core.store, core.purse, runs, partial(network_at, core.joined),
                core.clock.now_ms(),
            )  # fmt: skip
            if found:
                await core.write(post_readings, core.store, core.purse, found, core.clock.now_ms())
            await asyncio.sleep(POST_PAUSE_S)

    async def _move_step(self) -> None:
        """Move running jobs to where going on costs less, with over two looks' time to go."""
        core, every_ms = self.core, self.core.settings.reconsider_ms
        await asyncio.sleep(every_ms / 1000)
        before = await core.read(core.situation)
        checkpoints = await core.read(latest_checkpoints, core.store, list(before.records))
        changes = await core.read(
            moves_that_pay, before, core.settings.policy, checkpoints, 2 * every_ms
        )
        if changes:
            await self._apply(changes, "move it")

    def _drop_checkpoints(self) -> None:
        files, store = self.core.checkpoint_files, self.core.store
        kept = files.jobs()
        if kept:
            states = states_of(store, kept)
            over = [one for one in kept if set(states.get(one, ())) <= set(TERMINAL_JOB_STATES)]
            files.drop(over)

    async def _expire_step(self) -> None:
        """No lease is ended before a whole lease has passed since the server's own start: agents
        must have had the time to renew, and clocks may have been set while nobody counted."""
        core, settings = self.core, self.core.settings
        opens_ms = core.since_ms + settings.lease_ttl_ms + settings.margin_ms
        now_ms = core.clock.now_ms()
        ends_ms = await core.read(next_lease_end, core.store)
        # Nothing is written where nothing is over: what is renewed meanwhile the writer sees.
        over = ends_ms is not None and ends_ms + settings.margin_ms <= now_ms
        if now_ms >= opens_ms and over:
            outcome: Outcome = await core.write(
                expire_leases,
                core.store,
                settings.margin_ms,
                now_ms,
                lambda job_id: core.jobs_aside.holds(job_id, now_ms, step=END_LEASE),
            )
            await core.set_aside(outcome.broken)
            core.metrics.expired.inc(len(outcome.changed_jobs))
            core.announce(outcome)
            ends_ms = await core.read(next_lease_end, core.store)
        if now_ms >= opens_ms:
            await self._notice_sites()
        due = now_ms + settings.lease_ttl_ms // 4
        if ends_ms is not None:
            next_ms = max(ends_ms + settings.margin_ms, opens_ms) + SOON_MS
            if next_ms > now_ms:  # else it is a lease that could not be ended: set aside
                due = min(due, next_ms)
        await asyncio.sleep(max(SOON_MS, due - core.clock.now_ms()) / 1000)

    async def _notice_sites(self) -> None:
        """Plan again when a pool opened or went down."""
        alive = await self.core.read(self.core.pool_statuses)
        if alive != self._alive:
            log.info("pools: %s", alive)
            self._alive = alive
            self.core.plan_bell.ring()

    async def _settle_step(self) -> None:
        """Bills are made by a reader; only saving one takes the writer's time."""
        core = self.core
        seen = core.settle_bell.rings
        after_token = 0
        while ended := await core.read(unsettled_runs, core.store, after_token=after_token):
            now_ms = core.clock.now_ms()
            due = [one for one in ended if not core.runs_aside.holds(one.run.run_id, now_ms)]
            for at in range(0, len(due), SETTLED_AT_ONCE):
                some = due[at : at + SETTLED_AT_ONCE]
                priced = await core.read(self._price, some)
                await asyncio.gather(*map(self._settle, some, priced))
            after_token = ended[-1].run.token
        await core.settle_bell.wait(seen, SETTLE_EVERY_S)

    def _price(self, ended: Sequence[RunToSettle]) -> list[Charged | Exception]:
        """What each run has cost, or why it has no price."""
        core = self.core
        found: list[Charged | Exception] = []
        for one in ended:
            try:
                network = network_at(core.joined, one.run.granted_ms)
                found.append(run_charge(core.store, network, core.purse, one))
            except STORE_TROUBLE:
                raise
            except Exception as error:
                found.append(error)
        return found

    def _settle_all(self, asked: Sequence[Owed]) -> list[bool]:
        return settle_runs(self.core.store, self.core.purse, asked)

    async def _settle(self, ended: RunToSettle, charged: Charged | Exception) -> None:
        core, run, now_ms = self.core, ended.run, self.core.clock.now_ms()
        if isinstance(charged, Exception):
            broken = Broken(key=run.run_id, step="settle it", error=charged)
            if core.runs_aside.add(broken, now_ms):
                expected = isinstance(charged, PriceUnknown | KeyError)
                log.error(
                    "run %s of job %s has no price: %s", run.run_id, ended.job_id, charged,
                    exc_info=None if expected else charged,
                )  # fmt: skip
            return
        owed = Owed(ended=ended, charged=charged, now_ms=now_ms)
        try:
            await core.write_in_bulk(Bulk(self._settle_all, SETTLED_AT_ONCE), owed)
        except LedgerBroken as error:  # nothing of it was written: no bill without its money
            core.runs_aside.add(Broken(key=run.run_id, step="settle it", error=error), now_ms)
            log.critical(
                "run %s of job %s cannot be settled", run.run_id, ended.job_id, exc_info=error
            )
            return
        core.runs_aside.settle(run.run_id)
        core.metrics.billed_run(run, charged.bill)
        if core.traces is not None:
            core.traces.note([ended.job_id])

    async def _trace_step(self) -> None:
        """Tell of jobs that are over; what was told is remembered at most so often."""
        core, traces = self.core, self.core.traces
        if traces is None:
            await asyncio.Event().wait()
            return
        if not self._caught_up:
            if not await core.read(traces.catch_up, core.store):
                await core.write(traces.save, core.store, core.clock.now_ms())
            self._caught_up = True
        now_ms = core.clock.now_ms()
        if traces.waiting:
            through_ms = await core.read(traces.tell, core.store, now_ms)
            if through_ms is not None and through_ms - traces.saved_ms >= TRACE_CURSOR_MS:
                await core.write(traces.save, core.store, through_ms)
        await asyncio.sleep(TRACE_EVERY_S)


def next_plan_ms(before: Situation, decided: Sequence[Plan], latest_ms: int) -> int:
    """When a put-off job may start next, of those put off before and by these plans; at latest
    ``latest_ms``. Whatever else frees a job to start rings the bell."""
    put_off = [job.not_before_ms for pool in before.snapshot.pools for job in pool.queue]
    for one in decided:
        put_off += one.not_before_ms()
    due = [at_ms + SOON_MS for at_ms in put_off if at_ms > before.now_ms]
    return min([latest_ms, *due])


def answer_for(decided: Plan, job_ids: Collection[str]) -> Plan:
    """The plan with nothing but what it says of these jobs."""
    return Plan(
        snapshot_version=decided.snapshot_version,
        now_ms=decided.now_ms,
        policy=decided.policy,
        placements=tuple(decided.placed(job_ids)),
        refusals=tuple(one for one in decided.refusals if one.job_id in job_ids),
    )
