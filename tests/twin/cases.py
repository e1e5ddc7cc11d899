"""Random small worlds for the planner: networks, running claims, queues, new jobs, policies."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.twin.planner_twin import dominant_need
from tests.twin.twin_filters import option_codes, site_codes
from westward.model.job import InputData, JobSpec, LatencyRule, ResourceOption, TagRule
from westward.model.network import Accelerator, Link, Network, Place, Pool, Series, Site, Zone
from westward.model.plan import RULES, Claim, Policy, PoolState, QueuedJob, Snapshot

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


def maybe(draw: st.DrawFn, strategy: st.SearchStrategy, one_in: int = 6):
    """None once in ``one_in``."""
    return None if draw(st.integers(1, one_in)) == one_in else draw(strategy)


@st.composite
def series(draw: st.DrawFn, high: int) -> Series:
    """1 to 12 steps of 30, 45, 60 or 120 minutes, from round and from awkward values."""
    step = draw(st.sampled_from([30, 45, 60, 120])) * MINUTE
    scale = draw(st.sampled_from([1.0, 0.7331, 0.0123457]))
    values = draw(st.lists(st.integers(0, high), min_size=1, max_size=12))
    return Series(step_ms=step, values=tuple(value * scale for value in values))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    kinds = tuple(
        Accelerator(
            name=f"k{i}", label="", vendor="", memory_gb=None, power_w_max=None,
            relative_speed=draw(st.sampled_from([1.0, 2.0, 0.3, 1.7])), fp16_dense_tflops=None,
        )
        for i in range(draw(st.integers(0, 2)))
    )  # fmt: skip
    zones = tuple(
        Zone(
            name=f"z{i}", label="", tariff_per_kwh=maybe(draw, series(5), 12),
            carbon_location_g_per_kwh=maybe(draw, series(900), 12),
            carbon_contract_g_per_kwh=maybe(draw, series(900), 2),
        )
        for i in range(draw(st.integers(1, 3)))
    )  # fmt: skip
    sites = tuple(
        Site(
            name=f"s{i}", label="", operator="", zone=draw(st.sampled_from(zones)).name,
            lat_deg=None, lon_deg=None, pue=maybe(draw, st.sampled_from([1.0, 1.25, 1.4]), 15),
            tags=(("province", draw(st.sampled_from(["A", "B"]))),),
        )
        for i in range(draw(st.integers(1, 4)))
    )  # fmt: skip
    pools = tuple(draw(pool(f"p{i}", sites, kinds)) for i in range(draw(st.integers(1, 5))))
    ends = [*(site.name for site in sites), "town"]
    links = []
    for at, a in enumerate(ends):
        for b in ends[at + 1 :]:
            if draw(st.integers(1, 8)) == 8:
                continue
            links.append(
                Link(
                    a=a, b=b, one_way_ms=maybe(draw, st.sampled_from([1.0, 5.5, 12.0, 30.0]), 8),
                    bandwidth_gbps=maybe(draw, st.sampled_from([0.05, 1.0, 10.0]), 10),
                    price_micros_per_gb=maybe(draw, st.sampled_from([0, 20_000, 333_333]), 10),
                )
            )  # fmt: skip
    return Network(
        name="random", label="", currency="CNY", series_origin="start", sites=sites, pools=pools,
        accelerators=kinds, zones=zones,
        places=(Place(name="town", label="", lat_deg=0.0, lon_deg=0.0),),
        links=tuple(links), facts=(), sources=(), digest="",
    )  # fmt: skip


@st.composite
def pool(
    draw: st.DrawFn, name: str, sites: tuple[Site, ...], kinds: tuple[Accelerator, ...]
) -> Pool:
    names = [kind.name for kind in kinds]
    return Pool(
        name=name,
        site=draw(st.sampled_from(sites)).name,
        engine=draw(st.sampled_from(["local", "local", "slurm"])),
        managed=True,
        accelerator=draw(st.sampled_from([*names, *names, *names, None])),
        nodes=draw(st.integers(1, 4)),
        devices_per_node=draw(st.sampled_from([1, 2, 3, 4, 8])),
        cpus_per_node=draw(st.sampled_from([4, 7, 16])),
        memory_mib_per_node=draw(st.sampled_from([3000, 8192])),
        price_micros_per_device_hour=maybe(
            draw, st.sampled_from([0, 500_000, 500_000, 1_234_567, 3_000_000]), 15
        ),
        power_w_per_device=maybe(draw, st.sampled_from([0.0, 350.0, 400.0, 777.0]), 15),
        status=draw(st.sampled_from(["open"] * 8 + ["cordoned", "down"])),
    )


@st.composite
def options(draw: st.DrawFn, network: Network) -> ResourceOption:
    names = [kind.name for kind in network.accelerators]
    wanted = draw(st.sampled_from([*names, *names, "any", None, "unknown-kind"]))
    devices = draw(st.sampled_from([1000, 1000, 2000, 500, 4000, 9000, 333]))
    return ResourceOption(
        accelerator=None if wanted in ("any", None) else wanted,
        any_accelerator=wanted == "any",
        devices_milli=0 if wanted is None else devices,
        cpus_milli=draw(st.sampled_from([0, 0, 1000, 2500, 9000])),
        memory_mib=draw(st.sampled_from([0, 0, 1000, 4000, 9000])),
        site=maybe(draw, st.sampled_from(["s0", "s1", "nowhere"]), 2)
        if draw(st.integers(1, 6)) == 1
        else None,
        engine=draw(st.sampled_from([None] * 8 + ["local", "slurm"])),
        max_hourly_cost_micros=draw(st.sampled_from([None] * 4 + [2_000_000, 9_000_000])),
    )


def _rarely(draw: st.DrawFn, strategy: st.SearchStrategy, one_in: int):
    return draw(strategy) if draw(st.integers(1, one_in)) == one_in else None


@st.composite
def job_specs(
    draw: st.DrawFn, network: Network, now: int, job_id: str, earliest_submit: int, priority: int
) -> JobSpec:
    sites = [site.name for site in network.sites]
    latency = LatencyRule(
        place=draw(st.sampled_from(["town", "s0", "elsewhere"])),
        limit_ms=draw(st.sampled_from([5.5, 12.0, 24.0])),
        mode=draw(st.sampled_from(["one-way", "round-trip"])),
    )
    tag = draw(st.sampled_from([("province", ("A",)), ("province", ("A", "B")), ("site", ("s0",))]))
    inputs = st.lists(
        st.builds(
            InputData,
            site=st.sampled_from([*sites, "nowhere"] if len(sites) > 1 else sites),
            size_bytes=st.sampled_from([0, 10**9, 7 * 10**9 + 1, 10**12]),
        ),
        min_size=1,
        max_size=2,
    )
    deadline = _rarely(draw, st.integers(0, 30), 3)
    start_after = _rarely(draw, st.integers(-60, 600), 6)
    return JobSpec(
        job_id=job_id,
        name=job_id,
        submit_ms=now - draw(st.integers(0, 40)) * MINUTE - earliest_submit,
        nodes=draw(st.sampled_from([1, 1, 1, 2, 3, 6])),
        options=tuple(draw(st.lists(options(network), min_size=1, max_size=2))),
        duration_ms=draw(
            st.sampled_from([None, 1, 10 * MINUTE, HOUR, 2 * HOUR, 5 * HOUR, 7_654_321])
        ),
        start_after_ms=None if start_after is None else now + start_after * MINUTE,
        deadline_ms=None if deadline is None else now + deadline * HOUR // 2,
        residency=(TagRule(key=tag[0], values=tag[1]),) if draw(st.integers(1, 6)) == 1 else (),
        latency=(latency,) if draw(st.integers(1, 6)) == 1 else (),
        inputs=tuple(_rarely(draw, inputs, 4) or ()),
        home_site=draw(st.sampled_from([*sites, *sites, None])),
        priority=priority,
        wait_value_micros_per_hour=draw(
            st.sampled_from([None, None, None, 0, 10_000, 700_000, 5_000_000])
        ),
    )


@st.composite
def pool_states(draw: st.DrawFn, network: Network, pool: Pool, now: int) -> PoolState:
    free = pool.capacity_milli
    running = []
    for number in range(draw(st.integers(0, 5))):
        if free == 0:
            break
        need = min(free, draw(st.sampled_from([333, 1000, 1000, 2000, 4000, 10**6])))
        free -= need
        end = now + draw(st.sampled_from([-3 * HOUR, -1, 0, 1, MINUTE, HOUR, HOUR, 5 * HOUR + 7]))
        running.append(Claim(job_id=f"run-{pool.name}-{number}", need_milli=need, expected_end_ms=end))
    queue = []
    for number in range(draw(st.integers(0, 3))):
        entry = draw(queued_jobs(network, pool, now, f"old-{pool.name}-{number}"))
        if entry is not None:
            queue.append(entry)
    status = draw(st.sampled_from([pool.status] * 9 + ["cordoned"]))
    return PoolState(pool=pool.name, status=status, running=tuple(running), queue=tuple(queue))


@st.composite
def queued_jobs(
    draw: st.DrawFn, network: Network, pool: Pool, now: int, job_id: str
) -> QueuedJob | None:
    """A job as an earlier plan might have bound it; None when the pool cannot hold it."""
    priority = draw(st.sampled_from([-5, 0, 0, 5]))
    job = draw(job_specs(network, now, job_id, draw(st.sampled_from([0, HOUR])), priority))
    site = network.site(pool.site)
    zone = network.zone(site.zone)
    carbon = (zone.carbon_location_g_per_kwh, zone.carbon_contract_g_per_kwh)
    blanks = (site.pue, zone.tariff_per_kwh, *carbon, pool.power_w_per_device)
    if None in blanks or pool.price_micros_per_device_hour is None:
        return None
    fits = [at for at, o in enumerate(job.options) if not option_codes(o, job.nodes, pool)]
    if not fits or site_codes(job, pool.site, network):
        return None
    wait = draw(st.sampled_from([-HOUR, 0, 0, 30 * MINUTE, 3 * HOUR]))
    return QueuedJob(
        job=job,
        option=fits[0],
        need_milli=dominant_need(job.options[fits[0]], pool) * job.nodes,
        duration_ms=draw(st.sampled_from([10 * MINUTE, HOUR, 3 * HOUR + 1])),
        not_before_ms=now + wait,
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    return Policy(
        rule=draw(st.sampled_from([*RULES, "westward", "westward"])),
        discipline=draw(st.sampled_from(["easy", "conservative"])),
        wait_value_micros_per_device_hour=draw(st.sampled_from([0, 1_000, 50_000, 500_000])),
        carbon_price_micros_per_tonne=draw(st.sampled_from([0, 80_000_000, 3_000_000_000])),
        carbon_method=draw(st.sampled_from(["location", "contract"])),
        defer_limit_ms=draw(st.sampled_from([0, HOUR, 5 * HOUR, 12 * HOUR])),
        assumed_duration_ms=draw(st.sampled_from([HOUR, 90 * MINUTE])),
        backfill_depth=draw(st.sampled_from([1, 2, 64, 64, 64])),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A whole situation. Now may lie before the series' origin and off every boundary."""
    network = draw(networks())
    now = T0 + draw(st.sampled_from([0, 1, 17 * MINUTE + 13, 3 * HOUR]))
    states = tuple(draw(pool_states(network, pool, now)) for pool in network.pools)
    jobs = tuple(
        draw(job_specs(network, now, f"job-{i}", 0, draw(st.sampled_from([-5, 0, 0, 5]))))
        for i in range(draw(st.integers(1, 5)))
    )
    snapshot = Snapshot(
        version=draw(st.integers(1, 9)),
        network=network,
        series_origin_ms=T0 + draw(st.sampled_from([0, -25 * HOUR - 1, 2 * HOUR])),
        pools=states,
    )
    return Case(snapshot=snapshot, jobs=jobs, policy=draw(policies()), now=now)
