"""What waits in the queues of sites whose own scheduler decides, as far as it can be known here.

Of such a pool (``Pool.managed`` false: Slurm, unless its offer says otherwise) the server sees when
it handed a run over and when the run started. From those it tells what the next is to expect
(``placement.site_waits``), which is what the planner adds to a start there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from westward.control.records import JobRecord, RunRecord
from westward.model.network import Network
from westward.placement.site_waits import HEARD_MOST, HandedOver, expected_site_wait_ms
from westward.store.database import Store
from westward.store.site_queues import Begun, last_begun, whole_data

SiteWaits = dict[str, tuple[int, ...]]
"""By pool, as ``PoolState.site_wait_ms``; pools that are managed are left out."""


def site_waits(
    store: Store, network: Network, records: Sequence[JobRecord], now_ms: int
) -> SiteWaits:
    """``records``: every active job. Reads the store."""
    pools = [pool.name for pool in network.pools if not pool.managed]
    if not pools:
        return {}
    waiting = in_site_queues(records, pools)
    with_data = [run.run_id for record, run in waiting if record.job.datasets]
    whole = whole_data(store, with_data) if with_data else {}
    runs: dict[str, list[HandedOver]] = {
        pool: [_begun(one) for one in last_begun(store, pool, HEARD_MOST)] for pool in pools
    }
    for record, run in waiting:
        staged, last_ms = whole.get(run.run_id, (0, 0))
        if staged < len(record.job.datasets):
            continue  # its data are still on their way: it is not what the site waits for
        from_ms = max(run.granted_ms, last_ms)
        runs[run.pool].append(HandedOver(need_milli=run.need_milli, from_ms=from_ms))
    return {pool: expected_site_wait_ms(runs[pool], now_ms) for pool in pools}


def in_site_queues(
    records: Sequence[JobRecord], pools: Collection[str]
) -> list[tuple[JobRecord, RunRecord]]:
    """Runs that these pools' agents were told of and that have not started."""
    return [
        (record, run)
        for record in records
        if (run := record.live_run) is not None
        and run.pool in pools
        and run.started_ms is None
        and run.offered_session is not None
    ]


def _begun(one: Begun) -> HandedOver:
    return HandedOver(
        need_milli=one.need_milli,
        from_ms=max(one.granted_ms, one.staged_ms or 0),
        started_ms=one.started_ms,
    )
