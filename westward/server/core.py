"""What every part of the server shares: store, network, clock, threads, bells."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from westward.control.instructions import ForgetRun, PlanAgain, SettleRun, StartRun, StopRun
from westward.control.records import JobRecord, JobState
from westward.control.story import tell
from westward.model.network import Network, PoolStatus
from westward.model.plan import Policy
from westward.model.units import format_duration
from westward.network.entity_files import load_pool_facts
from westward.network.loader import load_network
from westward.network.voucher_files import VoucherFolder, load_vouchers
from westward.placement.warm import warm_plan
from westward.server.applier import Outcome, fresh_run_id
from westward.server.aside import Aside, Broken, SetAside
from westward.server.bells import Bell, Bells
from westward.server.checkpoint_files import CheckpointFiles
from westward.server.clock import Clock, SharedClock
from westward.server.covers import CoverCache, covers_of
from westward.server.data_names import references
from westward.server.expected import Expected
from westward.server.intake import Intake
from westward.server.joined import View, load_view, statuses
from westward.server.login import Logins
from westward.server.metrics import Metrics
from westward.server.people import People, load_people
from westward.server.possible import Possible
from westward.server.purse import Purse
from westward.server.settings import Settings
from westward.server.sharing import UseCache, live_standings
from westward.server.site_queues import site_waits
from westward.server.snapshot import Situation, live_pools, situation
from westward.server.traces import open_traces
from westward.server.writer import Bulk, Writer
from westward.store.catalogue import copies_of
from westward.store.checkpoints import latest_checkpoints
from westward.store.database import Store, open_store
from westward.store.jobs import load_active, load_story, tell_story
from westward.store.leadership import check_office, database_now_ms
from westward.store.lifecycle import heed_clock
from westward.store.meta import set_meta_once
from westward.store.sites import list_sites

READERS = 4
STRANGERS_EVERY_S = 0.2
OUTAGE_MOST_MS = 600_000
"""Sites that have been silent for longer are not waited for when a server takes over."""
LEADING: ContextVar[int | None] = ContextVar("leading", default=None)
"""The epoch in which a loop was started, where servers take turns at leading: set for its tasks."""
log = logging.getLogger("westward.server")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a server takes from the machine it is on: clock, randomness, threads. The fault
    simulation gives others (decision 0040); nobody else does."""

    open_clock: Callable[[], Clock] = Clock
    new_run_id: Callable[[], str] = fresh_run_id
    open_writer: Callable[[Store], Writer] = Writer
    open_metrics: Callable[[], Metrics] = Metrics


MACHINE = Surroundings()


class Core:
    """Open until ``close``. ``write`` and ``read`` take store functions off the event loop."""

    def __init__(
        self,
        settings: Settings,
        network: Network,
        store: Store,
        vouchers: VoucherFolder | None = None,
        surroundings: Surroundings = MACHINE,
    ):
        self.settings = settings
        self.folder = network
        """The network folder; ``network`` is the same with the joined sites' offers over it."""
        self.store = store
        self.joined: View = load_view(store, network)
        self._joining = asyncio.Lock()
        self._strangers = asyncio.Lock()
        self._looked: dict[str, float] = {}
        self.people: People = load_people(store)
        self.operator_token = ""
        """Set by the app; see ``guard`` and ``rights``."""
        self.logins = None if settings.oidc is None else Logins(settings.oidc)
        self.clock = surroundings.open_clock()
        self.since_ms = self.clock.started_ms
        """Since when this server's loops run: since then agents' renewals are looked for."""
        self.view_changed: Callable[[str], None] | None = None
        """Told of changes to ``joined`` ("sites") and ``people`` ("people")."""
        self.new_run_id = surroundings.new_run_id
        self.series_origin_ms = _series_origin_ms(store, network, self.clock.now_ms())
        self.vouchers = vouchers
        self.purse = Purse(
            policy=settings.policy,
            series_origin_ms=self.series_origin_ms,
            unit=network.currency,
            rules=() if vouchers is None else vouchers.rules,
            pool_facts=dict(load_pool_facts(settings.network, network)),
        )
        self.covers = CoverCache()
        self.possible = Possible()
        self.expected = Expected()
        self.uses = UseCache(Lock())
        self.writer = surroundings.open_writer(store)
        self.intake = Intake(self)
        self.readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self.plan_bell = Bell()
        self.settle_bell = Bell()
        self.hold_bell = Bell()
        self.sites = Bells()
        self.jobs = Bells()
        self.jobs_aside = SetAside()
        self.checkpoint_files = CheckpointFiles(settings.checkpoints)
        self.runs_aside = SetAside()
        """Runs that could not be settled."""
        self._all_heard = False
        self.closing = False
        self.metrics = surroundings.open_metrics()
        self.traces = open_traces(network.name, self.clock.now_ms())

    @property
    def network(self) -> Network:
        """The live network."""
        return self.joined.network

    async def sites_changed(self) -> None:
        """After a change to who has joined, what is offered, or what operators say of it."""
        await self.look_again("sites")
        if self.view_changed is not None:
            self.view_changed("sites")
        self.plan_bell.ring()

    async def people_changed(self) -> None:
        """After a change to grants or tokens, before it is answered."""
        await self.look_again("people")
        if self.view_changed is not None:
            self.view_changed("people")

    async def look_again(self, view: str) -> None:
        """Reads ``joined`` ("sites") or ``people`` ("people") anew."""
        async with self._joining:  # an older reading must not replace a newer one
            if view == "sites":
                self.joined = await self.read(load_view, self.store, self.folder, self.joined)
            else:
                self.people = await self.read(load_people, self.store, self.people)

    async def knows_more(self, view: str) -> bool:
        """For somebody who is not known here: whether it was worth looking, since another server may
        have taken them in a moment ago. Strangers make this look a few times a second at most."""
        if self.view_changed is None:
            return False
        asked = time.monotonic()
        async with self._strangers:
            looked = self._looked.get(view, 0.0)
            if looked < asked:  # else somebody looked for us while we waited
                await asyncio.sleep(max(0.0, looked + STRANGERS_EVERY_S - asked))
                self._looked[view] = time.monotonic()
                await self.look_again(view)
        return True

    async def write(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in the one writer thread; durable when it returns. Raises NotLeader for what a loop
        of a leader asks whose time is over; nothing is written then."""
        wanted: Callable[[], T] = partial(work, *args, **kwargs)
        epoch = LEADING.get()
        if epoch is not None:
            wanted = partial(_in_office, self.store, epoch, wanted)
        done: T = await self.writer.write(wanted)
        return done

    async def write_in_bulk(self, bulk: Bulk, item: Any) -> Any:
        """As ``write``, together with others who wait for the same ``bulk``."""
        epoch = LEADING.get()
        if epoch is not None:
            bulk = replace(bulk, work=_BulkInOffice(self.store, epoch, bulk.work))
        return await self.writer.write_in_bulk(bulk, item)

    async def read(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run in a reader thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.readers, partial(work, *args, **kwargs))

    def announce(self, outcome: Outcome) -> None:
        """Wake whoever has to do with what was just written."""
        for instruction in outcome.instructions:
            match instruction:
                case StartRun() | StopRun() | ForgetRun():
                    self.sites.ring(instruction.site)
                case SettleRun():
                    self.settle_bell.ring()
                    self.jobs.ring(instruction.run_id)
                case PlanAgain():
                    self.queue_changed()
        for job_id in outcome.changed_jobs:
            self.jobs.ring(job_id)
        if self.traces is not None:
            self.traces.note(outcome.changed_jobs)
        if outcome.plan_again:
            self.plan_bell.ring()

    def queue_changed(self) -> None:
        """A job came, ended or waits for something else: look at plan and holds again."""
        self.plan_bell.ring()
        self.hold_bell.ring()

    def submitted(self, surface: str, record: JobRecord, created: bool) -> None:
        """A job was handed in: for those who count and those who trace."""
        refused = record.state is JobState.REFUSED
        told = "repeated" if not created else "refused" if refused else "created"
        self.metrics.submissions.labels(surface, told).inc()
        if self.traces is not None:
            self.traces.note([record.job_id])

    async def set_aside(self, broken: Sequence[Broken]) -> None:
        """Leave these jobs out for a while, and tell it: in their story, in the log, in /healthz."""
        for one in broken:
            aside = self.jobs_aside.add(one, self.clock.now_ms())
            if aside is not None:
                await self.write(self._tell_aside, one, aside)
                self.jobs.ring(one.key)

    def _tell_aside(self, broken: Broken, aside: Aside) -> None:
        pause = format_duration(aside.again_ms - aside.at_ms)
        text = (
            f"Set aside: the server could not {broken.step} ({broken.problem}). The others go on; "
            f"this job is tried again in {pause}, or when it changes"
        )
        if aside.times == 1:  # a story is not filled with the same sentence
            tell_story(self.store, broken.key, tell(aside.at_ms, "set-aside", text))
        story = "\n".join(f"  {line}" for line in load_story(self.store, broken.key))
        error = broken.error if isinstance(broken.error, BaseException) else None
        log.critical("job %s: %s\n%s", broken.key, text, story, exc_info=error)

    def _left_out(self, record: JobRecord) -> bool:
        return self.jobs_aside.holds(record.job_id, self.clock.now_ms(), record.version)

    def pool_statuses(self, joined: View | None = None) -> dict[str, PoolStatus]:
        """Of the live network's pools, or of those of an earlier view. Reads the store: call it
        through ``read``."""
        now_ms, joined = self.clock.now_ms(), joined or self.joined
        heard_since_ms = now_ms - self.settings.site_lost_ms
        alive = live_pools(joined.network, list_sites(self.store), heard_since_ms)
        return statuses(joined, alive, now_ms)

    def expects_sites(self) -> bool:
        """True while sites known from before this start may still be dialling in again."""
        now_ms, lost_ms = self.clock.now_ms(), self.settings.site_lost_ms
        took_over = self.since_ms > self.clock.started_ms
        if (self._all_heard and not took_over) or now_ms >= self.since_ms + lost_ms:
            return False
        # A server that takes over from another hears of the sites through the store; those that
        # fell silent shortly before (all of them, if it was the database) are given time.
        earliest_ms, until_ms = 0, self.clock.started_ms
        if took_over:
            earliest_ms, until_ms = now_ms - lost_ms - OUTAGE_MOST_MS, now_ms - lost_ms
        names = {site.name for site in self.network.sites}
        expected = any(
            site.site in names and earliest_ms <= site.last_seen_ms < until_ms
            for site in list_sites(self.store)
        )
        # So it stays for a server that leads from its start; every job's start waits for it.
        self._all_heard = not (expected or took_over)
        return expected

    def situation(self) -> Situation:
        """The live network as of now. Reads the store: call it through ``read``."""
        joined = self.joined  # one view for all: it may be replaced meanwhile
        active = load_active(self.store)
        for unreadable in active.unreadable:
            broken = Broken(key=unreadable.job_id, step="read it", error=unreadable.problem)
            aside = self.jobs_aside.add(broken, self.clock.now_ms())
            if aside is not None:
                log.critical("job %s cannot be read: %s", aside.key, aside.problem)
        versions: dict[str, int | None] = {one.job_id: one.version for one in active.records}
        self.jobs_aside.keep({**versions, **{one.job_id: None for one in active.unreadable}})
        waiting = {
            one.job.account
            for one in active.records
            if one.live_run is None and one.state is not JobState.HELD
        }
        now_ms, purse = self.clock.now_ms(), self.purse
        covers = covers_of(
            self.store, purse.rules, joined.network, waiting, now_ms,
            facts=purse.pool_facts, adopted=purse.adopted, kept=self.covers,
        )  # fmt: skip
        return situation(
            joined.network,
            self.series_origin_ms,
            active,
            self.pool_statuses(joined),
            now_ms,
            self._left_out,
            latest_checkpoints(
                self.store, [one.job_id for one in active.records if one.runs and not one.live_run]
            ),
            copies_of(self.store, references([one.job for one in active.records])),
            covers,
            live_standings(self.store, self.uses, self.people.projects, active.records, now_ms),
            site_waits(self.store, joined.network, active.records, now_ms),
        )

    def close(self) -> None:
        self.closing = True
        self.writer.close()
        self.readers.shutdown(wait=True, cancel_futures=True)
        self.store.close()


def open_core(settings: Settings) -> Core:
    """Load the network, open the store, and warm the planner up. Raises InputFaults."""
    network = load_network(settings.network)
    vouchers = load_vouchers(settings.network)
    settings.data.mkdir(parents=True, exist_ok=True)
    store = open_store(settings.database_url, turns=True)
    # Before the series begin: compiling must not use up the cheap hours of a network that starts.
    _warm_up(network, settings.policy)
    shared = store.engine.dialect.name == "postgresql"
    surroundings = MACHINE
    if shared:
        now_ms = database_now_ms(store)
        surroundings = replace(MACHINE, open_clock=lambda: SharedClock(now_ms))
    core = Core(settings, network, store, vouchers, surroundings)
    longest_ms = settings.lease_ttl_ms + settings.margin_ms
    # A shared store's clock is the database's, by which other servers may be working right now.
    if not shared and heed_clock(store, core.clock.started_ms, longest_ms):
        log.warning("the clock was set back: times in the store that lay after now count as now")
    return core


def _in_office(store: Store, epoch: int, work: Callable[[], T]) -> T:
    check_office(store, epoch)
    return work()


@dataclass(frozen=True, slots=True)
class _BulkInOffice:
    """The work of a bulk for the leader of ``epoch``. Equal to another of the same."""

    store: Store
    epoch: int
    work: Callable[[Sequence[Any]], Sequence[Any]]

    def __call__(self, items: Sequence[Any]) -> Sequence[Any]:
        check_office(self.store, self.epoch)
        return self.work(items)


def _warm_up(network: Network, policy: Policy) -> None:
    """Plan something once, so that the first job does not wait for the kernels to be compiled."""
    if network.pools:
        warm_plan(network, policy, 0)


def _series_origin_ms(store: Store, network: Network, now_ms: int) -> int:
    """Step 0 of every series; "start" is the first start ever on this data folder."""
    origin_ms = network.origin_ms(now_ms)
    if network.series_origin != "start":
        return origin_ms
    return int(set_meta_once(store, "series_origin_ms", str(origin_ms)))
