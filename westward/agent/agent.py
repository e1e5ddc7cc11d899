"""The site agent: dials out, leases work, drives its engine, ships what happens.

One loop polls; every poll that lists a run renews its lease, and the server holds a poll for at
most a fifth of a lease, so no second renewal loop is needed. One task per run ships its news.
Leases are counted on the site's own clock from before the poll was sent. Nothing but the files
of the engine is needed to go on after a crash. SIGTERM ends the agent and leaves the runs to
their supervisors, which stop by themselves unless a new agent renews in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Callable

from westward.agent.checkpoints import Checkpoints, FetchFailed
from westward.agent.data import Data, DataFailed
from westward.agent.engines.base import AlreadyStarted, Engine, LeaseTimes, RunStatus, lease_times
from westward.agent.link import (
    Backoff,
    NotAdmitted,
    Refused,
    ServerLink,
    SessionEnded,
    Unreachable,
)
from westward.agent.member import Member
from westward.agent.metrics import Counts
from westward.agent.outputs import Outputs
from westward.agent.shipper import Shipper
from westward.agent.words import told
from westward.model.wire import (
    Grant,
    HeldRun,
    Hello,
    Outcome,
    Poll,
    PollAnswer,
    RunEnded,
    Welcome,
)

POLL_ANSWER_SHARE = 5
"""A poll may take its wait and a fifth of the lease longer; then it is given up and sent anew."""

URGED_AGAIN_S = 0.5
"""Between two polls where the server only says again what is being done already: a run that is given
time to save is listed until it ends, one that is handed back until the server has heard of it, and a
poll that has something to say is answered at once."""
STOP_ALL_MOST_MS = 15_000
HANDED_BACK_MOST = 10_000
"""Runs remembered; only those of the last seconds matter."""
OVER = (RunStatus.ENDED, RunStatus.VANISHED)

log = logging.getLogger("westward.agent")


class Superseded(Exception):
    """A newer agent has taken over this site."""


class Preparing:
    """A granted run that is not started yet. ``lease`` is moved on as it is renewed."""

    def __init__(self, grant: Grant, lease: LeaseTimes):
        self.grant = grant
        self.lease = lease
        self.run_id = grant.run_id
        self.token = grant.token
        self.stale = False
        self.starting = False
        self.renewed = asyncio.Event()
        """Not set for one taken over from an earlier agent process: its lease may be over."""


class Agent:
    """One site's agent. ``clock`` gives ms that never go back (``processes.boot_ms``)."""

    def __init__(
        self,
        *,
        site: str,
        agent_id: str,
        pools: tuple[str, ...],
        engine: Engine,
        link: ServerLink,
        clock: Callable[[], int],
        rng: random.Random,
        member: Member | None = None,
        store: str | None = None,
        cache_bytes: int | None = None,
    ):
        """``store``: URL where outputs of jobs are kept. ``cache_bytes``: of data sets at most."""
        self.hello = Hello(site=site, agent_id=agent_id, pools=pools)
        self.engine = engine
        self.link = link
        self.clock = clock
        self.backoff = Backoff(rng, most_ms=1_000)
        self.member = member
        """Of a site that has joined: its offer and its credential."""
        self.shippers: dict[str, Shipper] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.counts = Counts()
        self.checkpoints = Checkpoints(engine, link)
        self.data = Data(engine, link, cache_bytes)
        self.outputs = Outputs(engine, self.data, store)
        self.preparing: dict[str, Preparing] = {}
        """Granted runs that wait for checkpoint or data: held, so that their lease is renewed."""
        self.handed_back: dict[str, None] = {}
        """Runs told as over before they began, the newest last: a poll that crosses that report is
        answered with their grant once more, and they must not be started then."""

    async def run(self) -> None:
        """Until cancelled. Raises Superseded, Refused (NotAdmitted: a revoked site's runs are
        stopped first)."""
        for held in await asyncio.to_thread(self.engine.recover):
            log.info("taking over run %s token %d", held.run_id, held.token)
            self._ship(held.run_id, held.token)
        for grant in await asyncio.to_thread(self.data.unstarted, set(self.shippers)):
            log.info("taking over run %s token %d: its data", grant.run_id, grant.token)
            self._begin_preparing(Preparing(grant, lease_times(self.clock(), 0)))
        try:
            while True:
                welcome = await self.link.hello(self.hello)
                log.info("site %s session %d", self.hello.site, welcome.agent_session)
                await self._poll_while_session(welcome)
        except NotAdmitted as error:
            if error.code == "site-revoked":
                await self._stop_all()
            raise
        finally:
            for task in self.tasks.values():
                task.cancel()
            self.data.close()

    async def _stop_all(self) -> None:
        """Nothing of this site's runs may go on. Waits until they are over, at most a lease: by
        then their supervisors have ended them."""
        held = [shipper.run_id for shipper in self.shippers.values()]
        for run_id in held:
            log.warning("stopping run %s: the site was revoked", run_id)
            try:
                await asyncio.to_thread(self.engine.stop, run_id, "lease-expired")
            except OSError as error:
                log.error("run %s cannot be told to stop: %s", run_id, error)
        end_ms = self.clock() + STOP_ALL_MOST_MS
        while self.clock() < end_ms:
            left = [r for r in held if self.engine.look(r).status not in OVER]
            if not left:
                return
            await asyncio.sleep(0.1)

    def wake(self) -> None:
        """The engine has news of some run."""
        for shipper in self.shippers.values():
            shipper.wake.set()

    async def _poll_while_session(self, welcome: Welcome) -> None:
        wait_ms = 0
        urged_before: tuple[tuple[str, ...], ...] = ()
        while True:
            try:
                if self.member is not None:
                    await self.member.before_poll(self.link, welcome)
            except SessionEnded as error:
                if error.code == "session-superseded":
                    raise Superseded(str(error)) from error
                return
            asked_ms = self.clock()
            holders: list[Shipper | Preparing] = [*self.shippers.values()]
            holders += [one for one in self.preparing.values() if one.run_id not in self.shippers]
            held = tuple(
                HeldRun(run_id=one.run_id, token=one.token) for one in holders if not one.stale
            )
            poll = Poll(
                agent_session=welcome.agent_session,
                site=self.hello.site,
                runs=held,
                wait_ms=wait_ms,
            )
            try:
                answer = await self.link.poll(
                    poll, wait_ms + max(500, welcome.lease_ttl_ms // POLL_ANSWER_SHARE)
                )
            except Unreachable as error:
                log.info("poll: %s", error)
                self.counts.polls_failed += 1
                await self.backoff.pause()
                wait_ms = 0
                continue
            except SessionEnded as error:
                if error.code == "session-superseded":
                    raise Superseded(str(error)) from error
                return  # the server does not know the session: introduce ourselves again
            self.backoff.failures = 0
            self.counts.polls += 1
            self.counts.polled_s = time.monotonic()
            await self._do(answer, asked_ms)
            wait_ms = welcome.poll_wait_ms
            granted = tuple(one.run_id for one in answer.grants)
            urged = (granted, answer.stops, answer.pauses, answer.unknown)
            if any(urged) and urged == urged_before:
                await asyncio.sleep(URGED_AGAIN_S)
            urged_before = urged

    async def _do(self, answer: PollAnswer, asked_ms: int) -> None:
        for lease in answer.leases:
            waiting = self.preparing.get(lease.run_id)
            if waiting is not None and waiting.token == lease.token:
                waiting.lease = lease_times(asked_ms, lease.ttl_ms)
                waiting.renewed.set()
            shipper = self.shippers.get(lease.run_id)
            if shipper is not None and shipper.token == lease.token and not shipper.stale:
                try:
                    self.engine.extend(lease.run_id, lease_times(asked_ms, lease.ttl_ms))
                    self.counts.leases_renewed += 1
                except OSError as error:  # disk full: this run's lease ends, not the agent
                    log.error("run %s: its lease cannot be noted: %s", lease.run_id, error)
        for run_id in answer.unknown:
            shipper = self.shippers.get(run_id)
            if shipper is not None and not shipper.telling_end:
                log.warning("run %s is not ours any more", run_id)
                shipper.drop()
        for run_id in answer.unknown:
            self._stop_preparing(run_id, None)
        await self._stop(answer.stops, "cancelled")
        await self._stop(answer.pauses, "preempted")
        begun = await asyncio.gather(
            *(self._begin(grant, asked_ms) for grant in answer.grants), return_exceptions=True
        )
        for grant, fault in zip(answer.grants, begun, strict=True):
            if isinstance(fault, Exception):  # as of a shipper: of this run alone
                log.critical("run %s cannot be begun", grant.run_id, exc_info=fault)
            elif fault is not None:
                raise fault

    async def _stop(self, run_ids: tuple[str, ...], outcome: Outcome) -> None:
        for run_id in run_ids:
            self._stop_preparing(run_id, outcome)
            if run_id in self.shippers:
                log.info("stopping run %s on request (%s)", run_id, outcome)
                try:
                    await asyncio.to_thread(self.engine.stop, run_id, outcome)
                    self.counts.runs_stopped += 1
                except OSError as error:  # asked again with the next poll
                    log.error("run %s cannot be told to stop: %s", run_id, error)

    def _stop_preparing(self, run_id: str, outcome: Outcome | None) -> None:
        """Nothing of it runs yet. ``outcome`` None: the server does not want to hear of it."""
        one = self.preparing.get(run_id)
        if one is None or one.starting:  # a run that is being started is stopped as any other
            return
        del self.preparing[run_id]
        one.stale = True
        task = self.tasks.get(f"prepare {run_id}")
        if task is not None:
            task.cancel()
        if outcome is not None:
            self._report_unable(one.grant, "stopped before it started", outcome)
        else:
            self.data.forget(run_id)

    async def _begin(self, grant: Grant, asked_ms: int) -> None:
        """Start a granted run. A grant seen before (its answer was lost) changes nothing; one
        that is over here, or was given up, is handed back, else it would be offered for ever."""
        known = self.shippers.get(grant.run_id)
        if known is not None:
            if known.stale and grant.run_id not in self.tasks:
                await self._hand_back(grant)
            return
        if grant.run_id in self.handed_back:
            self._report_unable(grant, "the run was handed back before")
            return
        lease = lease_times(asked_ms, grant.ttl_ms)
        if grant.run_id in self.preparing:
            return
        if self.checkpoints.must_fetch(grant) or self.data.must_stage(grant):
            one = Preparing(grant, lease)
            one.renewed.set()
            self._begin_preparing(one)
            return
        await self._start(grant, lease)

    def _begin_preparing(self, one: Preparing) -> None:
        """In a task of its own: polls go on meanwhile."""
        self.preparing[one.run_id] = one
        name = f"prepare {one.run_id}"
        task = asyncio.create_task(self._prepare(one), name=name)
        self.tasks[name] = task
        task.add_done_callback(lambda done: self._prepared(one, done))

    def _prepared(self, one: Preparing, task: asyncio.Task[None]) -> None:
        self.tasks.pop(task.get_name(), None)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        # A broken invariant: were the run still held, its lease would be renewed for ever.
        self.preparing.pop(one.run_id, None)
        log.critical("run %s cannot be prepared", one.run_id, exc_info=error)
        if not one.starting:  # else something of it may live: its lease ends
            self._report_unable(one.grant, f"the site could not prepare the run: {error!r}")

    async def _prepare(self, one: Preparing) -> None:
        """Bring checkpoint and data, then start."""
        grant = one.grant
        try:
            if self.checkpoints.must_fetch(grant):
                await self.checkpoints.fetch(grant)
            if self.data.must_stage(grant):
                await self.data.stage(grant)
        except (FetchFailed, DataFailed) as error:
            log.error("run %s: %s", grant.run_id, error)
            self.preparing.pop(grant.run_id, None)
            outcome = error.outcome if isinstance(error, DataFailed) else "lease-expired"
            self._report_unable(grant, str(error), outcome)
            return
        await one.renewed.wait()
        one.starting = True
        try:
            await self._start(grant, one.lease)
        finally:
            self.preparing.pop(grant.run_id, None)

    async def _start(self, grant: Grant, lease: LeaseTimes) -> None:
        try:
            told = self.data.ready(await asyncio.to_thread(self.checkpoints.ready, grant))
            there = told if self.member is None else self.member.at_engine(told)
            await asyncio.to_thread(self.engine.start, there, lease)
        except AlreadyStarted:
            log.warning("run %s was started here before", grant.run_id)
            self._report_unable(grant, "the run was started here before, and is over")
            return
        except (OSError, ValueError) as error:
            log.error("run %s cannot be started: %s", grant.run_id, error)
            self.counts.starts_failed += 1
            self._report_unable(grant, f"the site could not start the run: {error}")
            return
        self.counts.runs_started += 1
        log.info("run %s of %s started, token %d", grant.run_id, grant.job_id, grant.token)
        self._ship(grant.run_id, grant.token)

    async def _hand_back(self, grant: Grant) -> None:
        """A run that was given up: stopped, and reported once nothing of it lives."""
        try:
            await asyncio.to_thread(self.engine.stop, grant.run_id, "lease-expired")
            if self.engine.look(grant.run_id).result is None:
                return  # offered again with the next poll
        except OSError as error:
            log.error("run %s cannot be looked at: %s", grant.run_id, error)
            return
        self._report_unable(grant, "the site could not follow the run")

    def _report_unable(self, grant: Grant, detail: str, outcome: Outcome = "lease-expired") -> None:
        """In a task of its own: polls renew other runs' leases and must not wait for it."""
        self.handed_back[grant.run_id] = None
        if len(self.handed_back) > HANDED_BACK_MOST:
            del self.handed_back[next(iter(self.handed_back))]
        ended = RunEnded(
            token=grant.token, outcome=outcome, exit_code=None, detail=told(detail), readings=()
        )

        async def tell() -> None:
            with contextlib.suppress(Refused, SessionEnded):
                await self.link.report(grant.run_id, ended)
            if grant.run_id not in self.shippers:
                self.data.forget(grant.run_id)

        name = f"hand back {grant.run_id}"
        if name not in self.tasks:
            task = asyncio.create_task(tell(), name=name)
            self.tasks[name] = task
            task.add_done_callback(lambda _done: self.tasks.pop(name, None))

    def _ship(self, run_id: str, token: int) -> None:
        shipper = Shipper(
            self.engine, self.link, run_id, token, self.checkpoints, self.data, self.outputs
        )
        self.shippers[run_id] = shipper
        task = asyncio.create_task(shipper.ship(), name=f"ship {run_id}")
        self.tasks[run_id] = task
        task.add_done_callback(lambda done: self._shipped(run_id, done))

    def _shipped(self, run_id: str, task: asyncio.Task[None]) -> None:
        self.tasks.pop(run_id, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            del self.shippers[run_id]
            return
        # A broken invariant in one run must not take the others' leases with it. This run stays
        # known here but is not listed any more: its lease ends, its supervisor stops it.
        self.counts.runs_given_up += 1
        self.shippers[run_id].stale = True
        log.critical("run %s is given up, its lease will end", run_id, exc_info=error)


def listen(fifo: int, agent: Agent) -> None:
    """Wake the agent's shippers whenever a supervisor writes to ``fifo`` (opened non-blocking)."""

    def drain() -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(fifo, 4096)
        agent.wake()

    asyncio.get_running_loop().add_reader(fifo, drain)
