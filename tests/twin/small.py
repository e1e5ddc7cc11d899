"""A world for sums by hand: pools of one-card nodes, flat round figures, one zone or two."""

from __future__ import annotations

from dataclasses import replace

from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Accelerator, Link, Network, Pool, Series, Site, Zone
from westward.model.plan import Claim, Policy, PoolState, QueuedJob, Snapshot

HOUR = 3_600_000
CARD = Accelerator(
    name="card", label="", vendor="", memory_gb=None, power_w_max=None, relative_speed=1.0,
    fp16_dense_tflops=None,
)  # fmt: skip
ONE_CARD = (ResourceOption(accelerator="card", devices_milli=1000),)


def zone(name: str, tariff: float = 1.0, carbon: float = 500.0, **changes: object) -> Zone:
    return replace(
        Zone(
            name=name, label="", carbon_contract_g_per_kwh=None,
            tariff_per_kwh=Series(step_ms=HOUR, values=(tariff,) * 24),
            carbon_location_g_per_kwh=Series(step_ms=HOUR, values=(carbon,) * 24),
        ),
        **changes,
    )  # fmt: skip


def site(name: str, in_zone: str) -> Site:
    return Site(
        name=name, label="", operator="", zone=in_zone, lat_deg=None, lon_deg=None, pue=1.0,
        tags=(),
    )  # fmt: skip


def cards(name: str, count: int, at: str = "s", **changes: object) -> Pool:
    """A card costs 1 an hour and draws 1 kW."""
    return replace(
        Pool(
            name=name, site=at, engine="local", managed=True, accelerator="card", nodes=count,
            devices_per_node=1, cpus_per_node=4, memory_mib_per_node=4096,
            price_micros_per_device_hour=1_000_000, power_w_per_device=1000.0,
        ),
        **changes,
    )  # fmt: skip


def world(
    *pools: Pool,
    zones: tuple[Zone, ...] = (),
    sites: tuple[Site, ...] = (),
    links: tuple[Link, ...] = (),
    running: dict[str, list[tuple[int, float]]] | None = None,
    queued: dict[str, list[QueuedJob]] | None = None,
) -> Snapshot:
    """At time 0. ``running``: (cards, hours until the end) by pool; ``queued``: by pool."""
    network = Network(
        name="n", label="", currency="CNY", series_origin="start",
        sites=sites or (site("s", "z"),), pools=pools, accelerators=(CARD,),
        zones=zones or (zone("z"),), places=(), links=links, facts=(), sources=(), digest="",
    )  # fmt: skip
    states = tuple(
        PoolState(
            pool=pool.name,
            status=pool.status,
            running=tuple(
                Claim(
                    job_id=f"r-{pool.name}-{number}",
                    need_milli=1000 * count,
                    expected_end_ms=int(hours * HOUR),
                )
                for number, (count, hours) in enumerate((running or {}).get(pool.name, []))
            ),
            queue=tuple((queued or {}).get(pool.name, [])),
        )
        for pool in pools
    )
    return Snapshot(version=1, network=network, series_origin_ms=0, pools=states)


def job(job_id: str, nodes: int = 1, hours: float = 1.0, **changes: object) -> JobSpec:
    """Wants ``nodes`` cards; submitted now."""
    return replace(
        JobSpec(
            job_id=job_id, name=job_id, submit_ms=0, nodes=nodes, options=ONE_CARD,
            duration_ms=int(hours * HOUR),
        ),
        **changes,
    )  # fmt: skip


def bound(job_id: str, nodes: int = 1, hours: float = 1.0, **changes: object) -> QueuedJob:
    """Bound an hour ago, held back by capacity only; its turn is by its id."""
    return QueuedJob(
        job=job(job_id, nodes, hours, submit_ms=-HOUR, **changes), option=0,
        need_milli=1000 * nodes, duration_ms=int(hours * HOUR), not_before_ms=-HOUR,
    )  # fmt: skip


AT_ONCE = Policy(defer_limit_ms=0)
"""Nobody is put off for a better hour."""
