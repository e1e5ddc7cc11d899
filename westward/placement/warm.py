"""A plan that runs every kernel of ``plan()`` once."""

from __future__ import annotations

from dataclasses import replace

from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Network
from westward.model.plan import Claim, Plan, Policy, QueuedJob, idle_snapshot
from westward.placement.planner import plan
from westward.placement.site_waits import HandedOver, expected_site_wait_ms

HOUR_MS = 3_600_000


def warm_plan(network: Network, policy: Policy, now_ms: int) -> Plan:
    """Plans with what a live network has: a wait in a site's own queue, a run, a job in a queue, a
    new job that fits, one that fits nowhere and one that may cost next to nothing. Kernels are compiled (or loaded) at their first call: without one of these, the
    first real job of that kind waits for it. The answer tells nothing.

    Raises ValueError for a network without pools.
    """
    if not network.pools:
        raise ValueError("a network without pools cannot be planned on")
    expected_site_wait_ms((HandedOver(need_milli=1, from_ms=now_ms),), now_ms)
    idle = idle_snapshot(network, now_ms)
    pool = idle.pools[0]
    small = ResourceOption(cpus_milli=1)
    impossible = ResourceOption(cpus_milli=1, site="no such site")
    stingy = ResourceOption(cpus_milli=1, max_hourly_cost_micros=1)

    def job(name: str, option: ResourceOption) -> JobSpec:
        return JobSpec(job_id=f"job_warm_{name}", name=name, submit_ms=now_ms, options=(option,))

    running = Claim(job_id="job_warm_run", need_milli=1, expected_end_ms=now_ms + HOUR_MS)
    queued = QueuedJob(
        job=job("queued", small), option=0, need_milli=1, duration_ms=HOUR_MS, not_before_ms=now_ms
    )
    busy = replace(pool, running=(running,), queue=(queued,))
    snapshot = replace(idle, pools=(busy, *idle.pools[1:]))
    new = (job("new", small), job("nowhere", impossible), job("stingy", stingy))
    return plan(snapshot, new, policy, now_ms)
