"""What a run costs: exactly, from the zones' series, and fast, from one fused table.

``run_cost`` gives the terms apart and is what charges and explanations use. ``run_sum`` gives their
sum over a run from ``Costs``, with shadow prices in it, and is what choices use.
Times are absolute ms, money millionths as float64 (it ranks, it is never posted).
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.state import F64, RULE_CARBON, Costs, Pools, Rules, Zones

MS_PER_HOUR = 3_600_000.0
TIE = 1e-9
"""Sums closer than this, relatively, are equal: a later start or another pool must really gain,
not by the last digit of a prefix sum."""


@jit
def integral(prefix: F64, steps: int, step_ms: int, from_ms: int, to_ms: int) -> float:
    """∫ value dt in hours over [from, to) after the origin, from one row of prefix sums."""
    period = steps * step_ms
    from_turn = from_ms // period
    to_turn = to_ms // period
    from_rest = from_ms - from_turn * period
    to_rest = to_ms - to_turn * period
    i = from_rest // step_ms
    k = to_rest // step_ms
    low = prefix[i] + (prefix[i + 1] - prefix[i]) * ((from_rest - i * step_ms) / step_ms)
    high = prefix[k] + (prefix[k + 1] - prefix[k]) * ((to_rest - k * step_ms) / step_ms)
    return (to_turn - from_turn) * prefix[steps] + high - low


@jit
def run_cost(
    p: int,
    need: int,
    start_ms: int,
    end_ms: int,
    pools: Pools,
    zones: Zones,
    rules: Rules,
) -> tuple[float, float, float]:
    """Device price and power price in millionths, and grams of CO2, of a run on pool p."""
    devices = need / 1000.0
    kw = devices * pools.kw[p]
    zone = pools.zone[p]
    since = start_ms - rules.origin_ms
    until = end_ms - rules.origin_ms
    device = devices * pools.price[p] * ((end_ms - start_ms) / MS_PER_HOUR)
    power = kw * integral(
        zones.tariff[zone], zones.tariff_steps[zone], zones.tariff_step_ms[zone], since, until
    )
    grams = kw * integral(
        zones.carbon[zone], zones.carbon_steps[zone], zones.carbon_step_ms[zone], since, until
    )
    return device, power, grams


@jit
def beyond(p: int, start_ms: int, end_ms: int, pools: Pools, zones: Zones, rules: Rules) -> float:
    """``Costs``' sum per device where its table does not reach; no shadow price there."""
    device, power, grams = run_cost(p, 1000, start_ms, end_ms, pools, zones, rules)
    if rules.rule == RULE_CARBON:
        return grams
    return device + power + grams * rules.carbon_price


@jit
def run_sum(
    p: int,
    start_ms: int,
    end_ms: int,
    pools: Pools,
    zones: Zones,
    costs: Costs,
    rules: Rules,
) -> float:
    """The sum per device of a run [start, end) at pool p."""
    base = costs.window[0]
    per_ms = 1.0 / costs.window[1]
    steps = costs.window[2]
    since = (start_ms - base) * per_ms
    until = (end_ms - base) * per_ms
    total = 0.0
    rest_ms = end_ms
    if since >= 0.0 and since < steps:
        if until >= steps:
            rest_ms = base + steps * costs.window[1]
            total = costs.prefix[p, steps]
        else:
            k = int(until)
            total = costs.prefix[p, k] + (costs.prefix[p, k + 1] - costs.prefix[p, k]) * (until - k)
        i = int(since)
        total -= costs.prefix[p, i] + (costs.prefix[p, i + 1] - costs.prefix[p, i]) * (since - i)
    else:
        rest_ms = start_ms
    if rest_ms < end_ms:
        total += beyond(p, rest_ms, end_ms, pools, zones, rules)
    return total


@jit
def cheapest_start(
    p: int,
    first_ms: int,
    until_ms: int,
    duration_ms: int,
    devices: float,
    base: float,
    submit_ms: int,
    wait_value: float,
    floor: float,
    value: float,
    start_ms: int,
    slack: float,
    costs: Costs,
    rules: Rules,
) -> tuple[float, int, int, bool]:
    """Starts at ``first_ms``, a step of the tariff later and so on, up to ``until_ms``, while the
    table reaches: ``run_sum`` where each start lies on the table's grid, a few instructions each.

    ``value``, ``start_ms``: the best so far. A start replaces it that is lower by more than
    ``TIE`` of it and ``slack``. Answers (value, start, the first start not looked at, whether the
    wait alone ended the search).
    """
    step = costs.window[1]
    k = (first_ms - costs.window[0]) // step
    length = duration_ms // step
    part = (duration_ms - length * step) / step
    stride = rules.defer_step_ms // step
    # The end of the run lies between entries k + length and k + length + 1.
    count = min(
        (until_ms - first_ms) // rules.defer_step_ms,
        (costs.window[2] - 1 - length - k) // stride,
    )
    if k < 0:
        count = -1
    lowest = value - TIE * abs(value) - slack
    at_ms = first_ms
    for _ in range(count + 1):
        waited = (at_ms - submit_ms) * wait_value
        if floor + waited > value:
            return value, start_ms, at_ms, True
        low = costs.prefix[p, k + length]
        total = low + (costs.prefix[p, k + length + 1] - low) * part - costs.prefix[p, k]
        candidate = base + waited + devices * total
        if candidate < lowest:
            value = candidate
            start_ms = at_ms
            lowest = value - TIE * abs(value) - slack
        at_ms += rules.defer_step_ms
        k += stride
    return value, start_ms, at_ms, False
