"""What is over is charged on true times, from the zones' series as they came to be."""

from __future__ import annotations

from westward.jit import jit
from westward.placement.pricing import run_cost
from westward.placement.state import F64, Pools, Rules, Zones
from westward.simulate.live import REFUSED, Records


@jit
def charge_records(
    count: int,
    records: Records,
    pools: Pools,
    zones: Zones,
    other_zones: Zones,
    rules: Rules,
    money: F64,
) -> None:
    """``money`` (R, 5): device and power in millionths, grams by the policy's method and by the
    other (whose series are ``other_zones``), energy in kWh. One row a record; refusals cost 0."""
    for r in range(count):
        if records.why[r] >= REFUSED:
            for k in range(5):
                money[r, k] = 0.0
            continue
        p = records.pool[r]
        need = records.need_milli[r]
        start = records.start_ms[r]
        end = records.end_ms[r]
        device, power, grams = run_cost(p, need, start, end, pools, zones, rules)
        _, _, other = run_cost(p, need, start, end, pools, other_zones, rules)
        money[r, 0] = device
        money[r, 1] = power
        money[r, 2] = grams
        money[r, 3] = other
        money[r, 4] = need / 1000.0 * pools.kw[p] * ((end - start) / 3_600_000.0)
