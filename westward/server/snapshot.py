"""What the store and the agents' silence say, as the planner's frozen view. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from westward.control.records import Aim, Binding, JobRecord, JobState, RunRecord
from westward.model.job import JobSpec
from westward.model.network import Network, Pool, PoolStatus
from westward.model.plan import Claim, Cover, FairStanding, Plan, PoolState, QueuedJob, Snapshot
from westward.placement.filters import offer_reasons
from westward.placement.site_waits import still_waits_ms
from westward.server.data_names import Copies, with_data
from westward.server.resumed import bound_to, resumed_spec
from westward.store.results import Active, Checkpoint, SiteRecord

GRACE_GUESS_MS = 5_000
"""How long a run that is being stopped is thought to take, where its job does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A snapshot and what is to be planned on it."""

    snapshot: Snapshot
    to_place: tuple[JobSpec, ...]
    """Pending jobs, and bound ones whose pool has closed, to all or to them."""
    records: dict[str, JobRecord]
    """Every active job by id, as of the snapshot."""
    now_ms: int
    aimed: tuple[tuple[JobSpec, Aim], ...] = ()
    """Of those, the ones that must go to one site or pool: each is planned by itself."""
    elsewhere: tuple[tuple[JobSpec, frozenset[str]], ...] = ()
    """Of those, the ones that some sites gave back before they began: planned on the others first."""
    copies: Copies = field(default_factory=dict)
    """Where the data sets of active jobs lie."""
    looked_again: frozenset[str] = frozenset()
    """Of ``to_place``, those that waited somewhere and found a better place (decision 0051)."""

    def with_chosen(self, decided: Plan) -> Situation:
        """The same, where those whom ``decided`` moved from their pool are to be placed too."""
        asked = {job.job_id for job in self.to_place}
        moved = frozenset(decided.chosen()) - asked
        if not moved:
            return self
        queued = (one.job for pool in self.snapshot.pools for one in pool.queue)
        found = tuple(job for job in queued if job.job_id in moved)
        return replace(self, to_place=(*self.to_place, *found), looked_again=moved)

    def with_only(self, job_ids: frozenset[str]) -> Situation:
        """The same, as if of the waiting jobs there were none but these. Running ones stay."""
        pools = tuple(
            replace(pool, queue=tuple(one for one in pool.queue if one.job.job_id in job_ids))
            for pool in self.snapshot.pools
        )
        return replace(
            self,
            snapshot=replace(self.snapshot, pools=pools),
            to_place=tuple(job for job in self.to_place if job.job_id in job_ids),
        )

    def towards(self, job: JobSpec, aim: Aim) -> Situation:
        """The same as that one job may see it: every pool but those aimed at is closed, and where
        it waits itself it is not in its own way."""
        pools = tuple(
            replace(pool, queue=tuple(one for one in pool.queue if one.job.job_id != job.job_id))
            if self._is_at(pool.pool, aim)
            else replace(pool, status="cordoned", running=(), queue=())
            for pool in self.snapshot.pools
        )
        return replace(
            self,
            snapshot=replace(self.snapshot, pools=pools),
            to_place=(job,),
            aimed=(),
            elsewhere=(),
        )

    def away_from(self, jobs: Sequence[JobSpec], sites: frozenset[str]) -> Situation:
        """The same as these jobs may see it: every pool of these sites is closed."""
        network = self.snapshot.network
        pools = tuple(
            replace(pool, status="cordoned", running=(), queue=())
            if network.pool(pool.pool).site in sites
            else pool
            for pool in self.snapshot.pools
        )
        return replace(
            self,
            snapshot=replace(self.snapshot, pools=pools),
            to_place=tuple(jobs),
            aimed=(),
            elsewhere=(),
        )

    def _is_at(self, pool: str, aim: Aim) -> bool:
        known = self.snapshot.network.pool(pool)
        return known.site == aim.site and aim.pool in (None, pool)

    @property
    def waiting(self) -> list[str]:
        """Ids of all jobs to be placed or queued."""
        queued = (one.job.job_id for pool in self.snapshot.pools for one in pool.queue)
        return [*(job.job_id for job in self.to_place), *queued]


def live_pools(
    network: Network, sites: Sequence[SiteRecord], heard_since_ms: int
) -> dict[str, PoolStatus]:
    """Each pool's status: as the network says, but down without an agent heard of since then."""
    heard = {site.site: site for site in sites if site.last_seen_ms >= heard_since_ms}

    def status(pool: Pool) -> PoolStatus:
        agent = heard.get(pool.site)
        if agent is None or (agent.pools and pool.name not in agent.pools):
            return "down"
        return pool.status

    return {pool.name: status(pool) for pool in network.pools}


def situation(
    network: Network,
    series_origin_ms: int,
    active: Active,
    statuses: dict[str, PoolStatus],
    now_ms: int,
    left_out: Callable[[JobRecord], bool] = lambda _record: False,
    checkpoints: Mapping[str, Checkpoint] | None = None,
    copies: Copies | None = None,
    covers: tuple[Cover, ...] = (),
    fair: tuple[FairStanding, ...] = (),
    site_waits: Mapping[str, tuple[int, ...]] | None = None,
) -> Situation:
    """Held jobs are left out. Waiting jobs that are ``left_out`` are neither placed nor queued; what runs counts always.

    A pool that the network folder no longer has counts as closed: its waiting jobs are placed
    anew, its runs hold nothing that can be planned with. ``site_waits``: see ``server.site_queues``.
    """
    waits = site_waits or {}
    pools = {pool.name: pool for pool in network.pools}
    running: dict[str, list[Claim]] = {name: [] for name in statuses}
    queues: dict[str, list[QueuedJob]] = {name: [] for name in statuses}
    to_place: list[JobSpec] = []
    aimed: list[tuple[JobSpec, Aim]] = []
    elsewhere: list[tuple[JobSpec, frozenset[str]]] = []
    known = copies or {}
    sites = {site.name for site in network.sites}
    for record in active.records:
        run, place = record.live_run, record.bound
        if run is not None and place is not None:
            if run.pool not in running:
                continue
            claim = _claim(record, run, place.duration_ms, waits.get(run.pool, ()), now_ms)
            running[run.pool].append(claim)
        elif record.state is JobState.HELD or left_out(record):
            continue
        elif (
            record.state is JobState.PENDING
            or place is None
            or statuses.get(place.pool) != "open"
            or _shut_out(record.job, place, pools[place.pool])
        ):
            checkpoint = (checkpoints or {}).get(record.job_id)
            spec = with_data(resumed_spec(record, checkpoint, network), known, sites)
            aim = bound_to(record, checkpoint)
            if aim is not None:
                aimed.append((spec, aim))
            elif record.unable_sites:
                elsewhere.append((spec, record.unable_sites))
            else:
                to_place.append(spec)
        else:
            saved = (checkpoints or {}).get(record.job_id)
            queues[place.pool].append(
                QueuedJob(
                    job=with_data(record.job, known, sites),
                    option=place.option,
                    need_milli=place.need_milli,
                    duration_ms=place.duration_ms,
                    not_before_ms=place.not_before_ms,
                    keeps_pool=bool(record.aim or record.unable_sites or saved),
                )
            )
    return Situation(
        snapshot=Snapshot(
            version=active.version,
            network=network,
            series_origin_ms=series_origin_ms,
            pools=tuple(
                PoolState(
                    pool=name,
                    status=status,
                    running=tuple(running[name]),
                    queue=tuple(queues[name]),
                    site_wait_ms=waits.get(name, ()),
                )
                for name, status in statuses.items()
            ),
            covers=covers,
            fair=fair,
        ),
        to_place=tuple(to_place),
        records={record.job_id: record for record in active.records},
        now_ms=now_ms,
        aimed=tuple(aimed),
        elsewhere=tuple(elsewhere),
        copies=known,
    )


def _claim(
    record: JobRecord,
    run: RunRecord,
    duration_ms: int,
    site_wait_ms: tuple[int, ...],
    now_ms: int,
) -> Claim:
    if record.state is JobState.SUSPENDING:
        checkpoint = record.job.checkpoint
        grace_ms = checkpoint.grace_ms if checkpoint is not None else None
        return Claim(
            job_id=record.job_id,
            need_milli=run.need_milli,
            expected_end_ms=now_ms + (GRACE_GUESS_MS if grace_ms is None else grace_ms),
        )
    if run.started_ms is None and site_wait_ms:
        waited_ms = still_waits_ms(site_wait_ms, run.need_milli, now_ms - run.granted_ms)
        return Claim(
            job_id=record.job_id,
            need_milli=run.need_milli,
            expected_end_ms=run.granted_ms + waited_ms + duration_ms,
        )
    since = run.started_ms if run.started_ms is not None else run.granted_ms
    return Claim(
        job_id=record.job_id,
        need_milli=run.need_milli,
        expected_end_ms=since + duration_ms,
        started_ms=since,
    )


def _shut_out(job: JobSpec, place: Binding, pool: Pool) -> bool:
    """Whether a job that was bound to ``pool`` may or can not run there any more: what its site
    offers has changed since, or another site has a pool of that name now."""
    option = job.options[place.option]
    return (
        place.site != pool.site
        or place.need_milli > pool.capacity_milli
        or (option.accelerator is not None and option.accelerator != pool.accelerator)
        or bool(offer_reasons(job, pool))
    )


def idle(network: Network, series_origin_ms: int) -> Snapshot:
    """The network with nothing running and every site reachable: what could ever be possible."""
    return Snapshot(
        version=0,
        network=network,
        series_origin_ms=series_origin_ms,
        pools=tuple(PoolState(pool=pool.name, status="open") for pool in network.pools),
    )
