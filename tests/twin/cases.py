"""Random small worlds for the planner: networks, running claims, queues, new jobs, policies.

``case(seed)`` is the same on every machine. Plain seeded dice and not Hypothesis strategies: those
took forty times as long to draw as the planner took to plan, so that there were too few cases to
meet the rarer branches (test_placement_reach.py counts the branches met). ``smaller`` is what is
left of shrinking.

Three worlds in four are calm: few blanks and few rules, busy pools, jobs that fit. The others are
harsh: unknown prices, missing links, constraints that refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from tests.twin.planner_twin import dominant_need
from tests.twin.twin_filters import option_codes, site_codes
from westward.model.job import DataOutput, InputData, JobSpec, LatencyRule, ResourceOption, TagRule
from westward.model.network import (
    Accelerator,
    Lack,
    Link,
    Network,
    Place,
    Pool,
    Series,
    Site,
    Zone,
)
from westward.model.plan import (
    RULES,
    Claim,
    Cover,
    Policy,
    PoolState,
    QueuedJob,
    ShadowPrices,
    Snapshot,
)

T = TypeVar("T")
HOUR = 3_600_000
MINUTE = 60_000
T0 = 1_700_000_000_000


@dataclass(frozen=True)
class Case:
    """Arguments of one call of plan()."""

    snapshot: Snapshot
    jobs: tuple[JobSpec, ...]
    policy: Policy
    now: int


class Dice:
    """What one case is drawn with."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.harsh = self.once_in(4)
        self.priorities = [-5, 0, 0, 0, 5] if self.once_in(2) else [0]

    def any_of(self, values: Sequence[T]) -> T:
        return values[self.random.randrange(len(values))]

    def up_to(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def once_in(self, count: int) -> bool:
        return self.random.randrange(count) == 0

    def rarely(self, count: int) -> bool:
        """Once in ``count`` in a harsh world, six times as seldom in a calm one."""
        return self.once_in(count if self.harsh else 6 * count)


def series(dice: Dice, high: int) -> Series:
    """1 to 12 steps of 30, 45, 60 or 120 minutes, from round and from awkward values."""
    scale = dice.any_of([1.0, 0.7331, 0.0123457])
    count = dice.up_to(1, 12)
    return Series(
        step_ms=dice.any_of([30, 45, 60, 120]) * MINUTE,
        values=tuple(dice.up_to(0, high) * scale for _ in range(count)),
    )


def network(dice: Dice) -> Network:
    kinds = tuple(
        Accelerator(
            name=f"k{i}", label="", vendor="", memory_gb=None, power_w_max=None,
            relative_speed=dice.any_of([1.0, 2.0, 0.3, 1.7]), fp16_dense_tflops=None,
        )
        for i in range(dice.any_of([0, 1, 1, 1, 2]))
    )  # fmt: skip
    zones = tuple(
        Zone(
            name=f"z{i}", label="",
            tariff_per_kwh=None if dice.rarely(12) else series(dice, 5),
            carbon_location_g_per_kwh=None if dice.rarely(12) else series(dice, 900),
            carbon_contract_g_per_kwh=None if dice.once_in(2) else series(dice, 900),
        )
        for i in range(dice.up_to(1, 3))
    )  # fmt: skip
    sites = tuple(
        Site(
            name=f"s{i}", label="", operator="", zone=dice.any_of(zones).name,
            lat_deg=None, lon_deg=None,
            pue=None if dice.rarely(15) else dice.any_of([1.0, 1.25, 1.4]),
            tags=(("province", dice.any_of(["A", "B"])),),
        )
        for i in range(dice.up_to(1, 4))
    )  # fmt: skip
    pools = tuple(_pool(dice, f"p{i}", sites, kinds) for i in range(dice.up_to(1, 4)))
    ends = [*(site.name for site in sites), "town"]
    links = tuple(
        Link(
            a=a, b=b,
            one_way_ms=None if dice.rarely(8) else dice.any_of([1.0, 5.5, 12.0, 30.0]),
            bandwidth_gbps=None if dice.rarely(10) else dice.any_of([0.05, 1.0, 10.0]),
            price_micros_per_gb=None if dice.rarely(10) else dice.any_of([0, 20_000, 333_333]),
        )
        for at, a in enumerate(ends)
        for b in ends[at + 1 :]
        if not dice.rarely(8)
    )  # fmt: skip
    return Network(
        name="random", label="", currency="CNY", series_origin="start", sites=sites, pools=pools,
        accelerators=kinds, zones=zones,
        places=(Place(name="town", label="", lat_deg=0.0, lon_deg=0.0),),
        links=links, facts=(), sources=(), digest="",
    )  # fmt: skip


def _pool(dice: Dice, name: str, sites: Sequence[Site], kinds: Sequence[Accelerator]) -> Pool:
    names = [kind.name for kind in kinds]
    return Pool(
        name=name,
        site=dice.any_of(sites).name,
        engine=dice.any_of(["local", "local", "slurm"]),
        managed=True,
        accelerator=dice.any_of([*names, *names, *names, None]),
        nodes=dice.up_to(1, 4),
        devices_per_node=dice.any_of([1, 2, 3, 4, 8]),
        cpus_per_node=dice.any_of([4, 7, 16]),
        memory_mib_per_node=dice.any_of([3000, 8192]),
        price_micros_per_device_hour=None
        if dice.rarely(15)
        else dice.any_of([0, 500_000, 500_000, 1_234_567, 3_000_000]),
        power_w_per_device=None if dice.rarely(15) else dice.any_of([0.0, 350.0, 400.0, 777.0]),
        status=dice.any_of(["cordoned", "down"]) if dice.rarely(4) else "open",
    )


def _option(dice: Dice, net: Network) -> ResourceOption:
    names = [kind.name for kind in net.accelerators]
    wanted: str | None = dice.any_of([*names, *names, *names, *names, "any", None])
    if dice.rarely(8):
        wanted = "unknown-kind"
    devices = dice.any_of([1000, 1000, 2000, 500, 4000, 333])
    if dice.rarely(6):
        devices = 9000
    return ResourceOption(
        accelerator=None if wanted in ("any", None) else wanted,
        any_accelerator=wanted == "any",
        devices_milli=0 if wanted is None else devices,
        cpus_milli=9000 if dice.rarely(6) else dice.any_of([0, 0, 1000, 2500]),
        memory_mib=9000 if dice.rarely(6) else dice.any_of([0, 0, 1000, 2600]),
        site=dice.any_of(["s0", "s1", "nowhere"]) if dice.rarely(8) else None,
        engine=dice.any_of(["local", "slurm"]) if dice.rarely(5) else None,
        max_hourly_cost_micros=dice.any_of([700_000, 2_000_000, 9_000_000])
        if dice.once_in(6)
        else None,
    )


def _job(dice: Dice, net: Network, now: int, job_id: str, submitted_before: int) -> JobSpec:
    sites = [site.name for site in net.sites]
    tags = [("province", ("A",)), ("province", ("A", "B")), ("site", ("s0",))]
    residency, latency, inputs = [], [], []
    if dice.rarely(4):
        tag = dice.any_of(tags)
        residency.append(TagRule(key=tag[0], values=tag[1]))
    if dice.rarely(4):
        latency.append(
            LatencyRule(
                place=dice.any_of(["town", "s0", "elsewhere"]),
                limit_ms=dice.any_of([5.5, 12.0, 24.0]),
                mode=dice.any_of(["one-way", "round-trip"]),
            )
        )
    if dice.once_in(3):
        inputs = [
            InputData(
                site="nowhere" if dice.rarely(10) else dice.any_of(sites),
                size_bytes=dice.any_of([0, 10**9, 7 * 10**9 + 1, 40 * 10**9, 10**12]),
            )
            for _ in range(dice.up_to(1, 2))
        ]
    return JobSpec(
        job_id=job_id,
        name=job_id,
        submit_ms=now - dice.up_to(0, 40) * MINUTE - submitted_before,
        nodes=dice.any_of([3, 6]) if dice.rarely(4) else dice.any_of([1, 1, 1, 2]),
        options=tuple(_option(dice, net) for _ in range(dice.any_of([1, 1, 2]))),
        duration_ms=dice.any_of(
            [None, 1000, 10 * MINUTE, HOUR, HOUR, 2 * HOUR, 5 * HOUR, 5 * HOUR, 7_654_321]
        ),
        start_after_ms=now + dice.up_to(-60, 600) * MINUTE if dice.once_in(8) else None,
        deadline_ms=now + dice.up_to(0, 30) * HOUR // 2 if dice.once_in(3) else None,
        residency=tuple(residency),
        latency=tuple(latency),
        inputs=tuple(inputs),
        home_site=dice.any_of([*sites, *sites, None]),
        priority=dice.any_of(dice.priorities),
        wait_value_micros_per_hour=dice.any_of(
            [None, None, None, None, 0, 10_000, 700_000, 5_000_000]
        ),
    )


def _pool_state(dice: Dice, net: Network, pool: Pool, now: int) -> PoolState:
    roomy = pool.accelerator is not None and pool.nodes * pool.devices_per_node > 3
    if roomy and _priced(net, pool) and dice.once_in(3):
        return _crowd(dice, pool, now)
    free = pool.capacity_milli
    running = []
    ends = [-3 * HOUR, -1, 0, 1, MINUTE, HOUR, HOUR, HOUR, 2 * HOUR, 2 * HOUR, 5 * HOUR + 7]
    for number in range(dice.up_to(0, 6)):
        if free == 0:
            break
        need = min(free, dice.any_of([333, 1000, 1000, 2000, 4000, pool.capacity_milli // 2 + 1]))
        free -= need
        running.append(
            Claim(
                job_id=f"run-{pool.name}-{number}",
                need_milli=need,
                expected_end_ms=(end := now + dice.any_of(ends)),
                started_ms=dice.any_of([None, end - HOUR, end - 7, end - 9 * HOUR]),
            )
        )
    drawn = (
        _queued(dice, net, pool, now, f"old-{pool.name}-{number}")
        for number in range(dice.any_of([0, 0, 1, 2, 3, 5, 7]))
    )
    status = "cordoned" if dice.rarely(10) else pool.status
    queue = tuple(entry for entry in drawn if entry is not None)
    return PoolState(pool=pool.name, status=status, running=tuple(running), queue=queue)


def _priced(net: Network, pool: Pool) -> bool:
    """All figures known: else nothing can have been bound to it."""
    site = net.site(pool.site)
    zone = net.zone(site.zone)
    figures = (pool.price_micros_per_device_hour, pool.power_w_per_device, site.pue)
    return None not in (*figures, zone.tariff_per_kwh, zone.carbon_location_g_per_kwh)


def _crowd(dice: Dice, pool: Pool, now: int) -> PoolState:
    """A blocked head, room beside it, and small jobs behind: what backfilling is about."""
    devices = pool.nodes * pool.devices_per_node
    free = dice.up_to(1, devices - 2)
    ends = [now + dice.any_of([HOUR, 2 * HOUR]) for _ in range(devices - free)]
    head = dice.up_to(free + 1, devices - 1)
    queue = []
    for number in range(dice.up_to(2, 7)):
        job = JobSpec(
            job_id=f"old-{pool.name}-{number}",
            name="",
            submit_ms=now - HOUR + number,
            nodes=head if number == 0 else dice.any_of([1, 1, 1, 2]),
            options=(ResourceOption(accelerator=pool.accelerator, devices_milli=1000),),
            duration_ms=dice.any_of([MINUTE, HOUR, 2 * HOUR, 2 * HOUR + 1, 5 * HOUR, 5 * HOUR]),
            priority=0 if number == 0 else min(0, dice.any_of(dice.priorities)),
        )
        queue.append(
            QueuedJob(
                job=job, option=0, need_milli=1000 * job.nodes, duration_ms=job.duration_ms or 1,
                not_before_ms=now,
            )
        )  # fmt: skip
    claims = (
        Claim(job_id=f"run-{pool.name}-{number}", need_milli=1000, expected_end_ms=end)
        for number, end in enumerate(ends)
    )
    return PoolState(pool=pool.name, status=pool.status, running=tuple(claims), queue=tuple(queue))


def _queued(dice: Dice, net: Network, pool: Pool, now: int, job_id: str) -> QueuedJob | None:
    """A job as an earlier plan might have bound it; None when the pool cannot hold it."""
    job = _job(dice, net, now, job_id, dice.any_of([0, HOUR]))
    if dice.once_in(3):
        # A wide one, so that a blocked head is common.
        node = pool.devices_per_node * 1000
        wide = ResourceOption(
            accelerator=pool.accelerator,
            devices_milli=0 if pool.accelerator is None else node,
            cpus_milli=pool.cpus_per_node * 1000 if pool.accelerator is None else 0,
        )
        job = replace(job, options=(wide,), nodes=dice.up_to(1, pool.nodes))
    if not _priced(net, pool):
        return None
    fits = [at for at, o in enumerate(job.options) if not option_codes(o, job.nodes, pool)]
    if not fits or site_codes(job, pool.site, net):
        return None
    return QueuedJob(
        job=job,
        option=fits[0],
        need_milli=dominant_need(job.options[fits[0]], pool) * job.nodes,
        duration_ms=dice.any_of([10 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR + 1]),
        not_before_ms=now + dice.any_of([-HOUR, 0, 0, 0, 0, 30 * MINUTE, 3 * HOUR]),
    )


def _policy(dice: Dice) -> Policy:
    return Policy(
        rule=dice.any_of([*RULES, "westward", "westward", "westward", "westward"]),
        discipline=dice.any_of(["easy", "conservative"]),
        wait_value_micros_per_device_hour=dice.any_of([0, 1_000, 50_000, 500_000]),
        carbon_price_micros_per_tonne=dice.any_of([0, 80_000_000, 3_000_000_000, 3_000_000_000]),
        carbon_method=dice.any_of(["location", "contract"]),
        defer_limit_ms=dice.any_of([0, HOUR, 5 * HOUR, 12 * HOUR]),
        deadline_reserve_percent=dice.any_of([0, 30, 50, 100]),
        assumed_duration_ms=dice.any_of([HOUR, 90 * MINUTE]),
        backfill_depth=dice.any_of([1, 2, 64, 64, 64]),
    )


def case(seed: int) -> Case:
    """A whole situation. Now may lie before the series' origin and off every boundary."""
    dice = Dice(seed)
    net = network(dice)
    now = T0 + dice.any_of([0, 1, 17 * MINUTE + 13, 3 * HOUR])
    states = tuple(_pool_state(dice, net, pool, now) for pool in net.pools)
    jobs = tuple(_job(dice, net, now, f"job-{i}", 0) for i in range(dice.up_to(1, 6)))
    snapshot = Snapshot(
        version=dice.up_to(1, 9),
        network=net,
        series_origin_ms=T0 + dice.any_of([0, -25 * HOUR - 1, 2 * HOUR]),
        pools=states,
    )
    policy = _policy(dice)
    snapshot = replace(snapshot, shadow=_shadow(dice, snapshot, now))
    one = _limited(Case(snapshot=snapshot, jobs=jobs, policy=policy, now=now), seed)
    return _waiting_there(_covered(_lacking(one, seed), seed), seed)


def _waiting_there(one: Case, seed: int) -> Case:
    """Once in four some sites have a queue of their own. Drawn apart."""
    dice = Random(f"site queues {seed}")
    if dice.randrange(4):
        return one
    waits: list[tuple[int, ...]] = [(), (MINUTE,), (0, 0, 7 * HOUR), (HOUR, 90 * MINUTE)]
    states = tuple(replace(state, site_wait_ms=dice.choice(waits)) for state in one.snapshot.pools)
    return replace(one, snapshot=replace(one.snapshot, pools=states))


def _limited(one: Case, seed: int) -> Case:
    """Once in four some pools take only some accounts and purposes. Drawn apart, so that the rest
    of a case is what its seed always gave. What is bound was bound within the limits."""
    dice = Random(f"limits {seed}")
    if dice.randrange(4):
        return one
    words: list[tuple[str, ...]] = [(), (), ("a",), ("a", "b")]
    pools = tuple(
        replace(pool, accounts=dice.choice(words), purposes=dice.choice([(), (), (), ("p", "q")]))
        for pool in one.snapshot.network.pools
    )
    by_name = {pool.name: pool for pool in pools}

    def within(entry: QueuedJob, pool: Pool) -> QueuedJob:
        account, purpose = (*pool.accounts, None)[0], (*pool.purposes, None)[0]
        return replace(entry, job=replace(entry.job, account=account, purpose=purpose))

    states = tuple(
        replace(state, queue=tuple(within(entry, by_name[state.pool]) for entry in state.queue))
        for state in one.snapshot.pools
    )
    jobs = tuple(
        replace(job, account=dice.choice([None, "a", "b"]), purpose=dice.choice([None, "p", "r"]))
        for job in one.jobs
    )
    network = replace(one.snapshot.network, pools=pools)
    return replace(one, jobs=jobs, snapshot=replace(one.snapshot, network=network, pools=states))


def _covered(one: Case, seed: int) -> Case:
    """Every other time vouchers pay some or all of what some jobs cost at some pools. Drawn apart."""
    dice = Random(f"covers {seed}")
    if dice.randrange(2):
        return one
    accounts: list[str | None] = [None, "a", "b"]
    limited = any(pool.accounts for pool in one.snapshot.network.pools)

    def held_by(job: JobSpec) -> JobSpec:
        account = dice.choice(accounts)
        # Where data moves, that is to decide now and then: it has enough rivals.
        return job if limited or job.inputs else replace(job, account=account)

    states = tuple(
        replace(state, queue=tuple(replace(e, job=held_by(e.job)) for e in state.queue))
        for state in one.snapshot.pools
    )
    covers = tuple(
        Cover(
            account=account,
            pool=pool.name,
            micros_per_device_hour=int(price * dice.choice([0, 0.5, 0.9, 1])),
        )
        for account in ("a", "b", "c")
        for pool in one.snapshot.network.pools
        if dice.randrange(3) and (price := pool.price_micros_per_device_hour) is not None
    )
    snapshot = replace(one.snapshot, pools=states, covers=covers)
    return replace(one, jobs=tuple(held_by(job) for job in one.jobs), snapshot=snapshot)


def _lacking(one: Case, seed: int) -> Case:
    """Once in four the engines of some pools bring no files or run no gangs, and some jobs have
    outputs. What is bound to a pool is what its engine can do."""
    dice = Random(f"lacks {seed}")
    if dice.randrange(4):
        return one
    gangs = {
        state.pool
        for state in one.snapshot.pools
        if any(entry.job.nodes > 1 for entry in state.queue)
    }
    words: list[tuple[Lack, ...]] = [(), ("files",), ("gangs",), ("files", "gangs")]
    pools = tuple(
        replace(pool, lacks=dice.choice(words[: 2 if pool.name in gangs else 4]))
        for pool in one.snapshot.network.pools
    )
    output = DataOutput(path="out", dataset="made")
    # Where inputs move, their price is to decide now and then: no pool is shut out.
    jobs = tuple(
        job if job.inputs else replace(job, outputs=dice.choice([(), (output,)]))
        for job in one.jobs
    )
    network = replace(one.snapshot.network, pools=pools)
    return replace(one, jobs=jobs, snapshot=replace(one.snapshot, network=network))


def _shadow(dice: Dice, snapshot: Snapshot, now: int) -> ShadowPrices | None:
    """Prices of capacity once in four, in steps of six hours: a multiple of every series' step."""
    if not dice.once_in(4):
        return None
    step = 6 * HOUR
    origin = snapshot.series_origin_ms
    count = dice.up_to(1, 4)
    return ShadowPrices(
        from_ms=origin + ((now - origin) // step + dice.any_of([-1, 0, 0, 1])) * step,
        step_ms=step,
        per_pool=tuple(
            tuple(dice.any_of([0, 0, 300_000, 2_000_000]) for _ in range(count))
            for _ in snapshot.network.pools
        ),
    )


def _less(one: Case) -> Iterator[Case]:
    """The case with one thing left out."""
    for at in range(len(one.jobs)):
        yield replace(one, jobs=one.jobs[:at] + one.jobs[at + 1 :])
    states = one.snapshot.pools
    for at, state in enumerate(states):
        for name in ("queue", "running"):
            entries = getattr(state, name)
            for drop in range(len(entries)):
                left = replace(state, **{name: entries[:drop] + entries[drop + 1 :]})
                pools = (*states[:at], left, *states[at + 1 :])
                yield replace(one, snapshot=replace(one.snapshot, pools=pools))
        pools = tuple(p for p in one.snapshot.network.pools if p.name != state.pool)
        if pools:
            net = replace(one.snapshot.network, pools=pools)
            rest = replace(
                one.snapshot,
                network=net,
                pools=states[:at] + states[at + 1 :],
                shadow=None,
                covers=tuple(c for c in one.snapshot.covers if c.pool != state.pool),
            )
            yield replace(one, snapshot=rest)


def smaller(one: Case, fails: Callable[[Case], bool]) -> Case:
    """Leave out jobs, claims and pools as long as it still fails."""
    for less in _less(one):
        if fails(less):
            return smaller(less, fails)
    return one
