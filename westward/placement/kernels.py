"""Where and when: the sum over pools and starts, and the least of it.

``choose`` finds a pool and a start for one job, ``bind`` fixes them; ``dispatch.dispatch`` says which
bound jobs of one pool start now. ``planner.plan`` and the simulator call these and nothing else
decides anything.
Times are absolute ms, money millionths as float64 (it ranks, it is never posted).
"""

from __future__ import annotations

import math

from westward.jit import jit
from westward.placement.profile import NEVER_MS
from westward.placement.state import (
    CARBON_UNKNOWN,
    CONSTRAINT,
    DEADLINE,
    F64,
    NO_LINK,
    NO_OPTION,
    NOT_HOME,
    NOT_OPEN,
    OK,
    OVER_HOURLY,
    PRICE_UNKNOWN,
    RULE_CARBON,
    RULE_CHEAPEST,
    RULE_EARLIEST,
    RULE_FIRST,
    RULE_HOME,
    RULE_WESTWARD,
    U8,
    Best,
    Inputs,
    Jobs,
    Links,
    Options,
    Pools,
    Rules,
    State,
    Zones,
)
from westward.placement.waiting import capacity_start, enqueue

MS_PER_HOUR = 3_600_000.0
TIE = 1e-9
"""Sums closer than this, relatively, are equal: a later start or another pool must really gain,
not by the last digit of a prefix sum."""
NOISE = 4e-16
"""What the difference of two prefix sums may err by, relative to the largest of them."""


@jit
def refuse(code: int, p: int, option: int, need: int, duration: int, earliest: int) -> Best:
    """A candidate that failed the test ``code``."""
    return Best(
        code, p, option, need, duration, 0, earliest, earliest, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    )


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
def node_need_milli(options: Options, o: int, pools: Pools, p: int) -> int:
    """Milli-devices one gang node takes on this pool: its dominant share of a node, rounded up.

    0 = a node of this pool cannot hold it.
    """
    devices = options.devices_milli[o]
    cpus = options.cpus_milli[o]
    memory = options.memory_mib[o]
    node = pools.devices[p] * 1000
    if pools.kind[p] < 0:
        devices = 0
    if devices > node or cpus > pools.cpus_milli[p] or memory > pools.memory_mib[p]:
        return 0
    need = devices
    if cpus > 0:
        need = max(need, (cpus * node + pools.cpus_milli[p] - 1) // pools.cpus_milli[p])
    if memory > 0:
        need = max(need, (memory * node + pools.memory_mib[p] - 1) // pools.memory_mib[p])
    return max(need, 1)


@jit
def fit_option(options: Options, jobs: Jobs, j: int, pools: Pools, p: int) -> tuple[int, int]:
    """The first option of job j that pool p can hold, and its whole need; (-1, 0) if none."""
    for o in range(jobs.option_from[j], jobs.option_from[j + 1]):
        if options.site[o] >= 0 and options.site[o] != pools.site[p]:
            continue
        if options.engine[o] >= 0 and options.engine[o] != pools.engine[p]:
            continue
        kinds = options.kinds[o]
        if kinds != 0 and (pools.kind[p] < 0 or (kinds >> pools.kind[p]) & 1 == 0):
            continue
        node_need = node_need_milli(options, o, pools, p)
        if node_need == 0:
            continue
        if pools.nodes[p] * ((pools.devices[p] * 1000) // node_need) < jobs.nodes[j]:
            continue
        return o, node_need * jobs.nodes[j]
    return -1, 0


@jit
def estimate(
    j: int,
    p: int,
    now: int,
    pools: Pools,
    zones: Zones,
    links: Links,
    jobs: Jobs,
    options: Options,
    inputs: Inputs,
    allowed: U8,
    rules: Rules,
    state: State,
) -> Best:
    """The best start of job j at pool p under the policy's rule, and its sum term by term."""
    if pools.open[p] == 0:
        return refuse(NOT_OPEN, p, -1, 0, 0, 0)
    if allowed[jobs.constraint[j], p] == 0:
        return refuse(CONSTRAINT, p, -1, 0, 0, 0)
    if rules.rule == RULE_HOME and jobs.home[j] != pools.site[p]:
        return refuse(NOT_HOME, p, -1, 0, 0, 0)
    option, need = fit_option(options, jobs, j, pools, p)
    if option < 0:
        return refuse(NO_OPTION, p, -1, 0, 0, 0)

    transfer = 0.0
    move_ms = 0
    for i in range(jobs.input_from[j], jobs.input_from[j + 1]):
        price = links.price_per_gb[inputs.site[i], pools.site[p]]
        pace = links.ms_per_gb[inputs.site[i], pools.site[p]]
        if math.isnan(price) or math.isnan(pace):
            return refuse(NO_LINK, p, option, need, 0, 0)
        transfer += price * inputs.gb[i]
        move_ms += math.ceil(pace * inputs.gb[i])

    zone = pools.zone[p]
    tariff = zones.tariff[zone]
    intensity = zones.carbon[zone]
    if math.isnan(pools.price[p]) or math.isnan(pools.kw[p]) or math.isnan(tariff[1]):
        return refuse(PRICE_UNKNOWN, p, option, need, 0, 0)
    if math.isnan(intensity[1]):
        return refuse(CARBON_UNKNOWN, p, option, need, 0, 0)

    asked_ms = jobs.estimate_ms[j]
    if asked_ms < 0:
        asked_ms = rules.assumed_ms
    duration = max(1, int(asked_ms / pools.speed[p]))
    ready = max(now + move_ms, jobs.start_after_ms[j])
    earliest = capacity_start(j, p, need, duration, ready, now, pools, rules, state)
    last = earliest + rules.defer_limit_ms
    if jobs.deadline_ms[j] >= 0:
        slack = jobs.deadline_ms[j] - duration - earliest
        if rules.conservative == 0 and slack > 0:
            # EASY reserves nothing for a job that is put off: part of its slack stays unspent.
            slack -= slack * rules.reserve_percent // 100
        last = min(last, earliest + slack)
    if earliest > last or earliest >= NEVER_MS:
        return refuse(DEADLINE, p, option, need, duration, earliest)

    devices = need / 1000.0
    kw = devices * pools.kw[p]
    device = devices * pools.price[p] * (duration / MS_PER_HOUR)
    wait_value = jobs.wait_value[j]
    if math.isnan(wait_value):
        wait_value = 0.0 if jobs.deadline_ms[j] >= 0 else rules.wait_value * devices

    steps = zones.carbon_steps[zone]
    noise = NOISE * kw * abs(intensity[steps])
    if rules.rule != RULE_CARBON:
        noise = NOISE * kw * abs(tariff[zones.tariff_steps[zone]]) + noise * rules.carbon_price
    found = False
    best_value = math.inf
    best_start = 0
    best_power = 0.0
    best_carbon = 0.0
    best_wait = 0.0
    start = earliest
    boundary = earliest
    defers = rules.rule == RULE_WESTWARD or rules.rule == RULE_CARBON
    while start <= last:
        since = start - rules.origin_ms
        wait = (start - jobs.submit_ms[j]) / MS_PER_HOUR * wait_value
        if (
            found
            and rules.prunable == 1
            and rules.rule == RULE_WESTWARD
            and (device + transfer + wait >= best_value)
        ):
            break
        hourly_ok = True
        if not math.isnan(options.max_hourly[option]):
            step = zones.tariff_step_ms[zone]
            k = (since // step) % zones.tariff_steps[zone]
            tariff_now = (tariff[k + 1] - tariff[k]) / (step / MS_PER_HOUR)
            hourly = devices * pools.price[p] + kw * tariff_now
            hourly_ok = hourly <= options.max_hourly[option]
        if hourly_ok:
            _, power, grams = run_cost(p, need, start, start + duration, pools, zones, rules)
            carbon = grams * rules.carbon_price
            if rules.rule == RULE_CARBON:
                candidate = grams
            else:
                candidate = device + power + carbon + transfer + wait
            if not found or candidate < best_value - TIE * abs(best_value) - noise:
                found = True
                best_value = candidate
                best_start = start
                best_power = power
                best_carbon = carbon
                best_wait = wait
            if not defers:
                break
        boundary = (
            (boundary - rules.origin_ms) // rules.defer_step_ms + 1
        ) * rules.defer_step_ms + rules.origin_ms
        start = boundary
        if rules.conservative == 1:
            start = capacity_start(j, p, need, duration, boundary, now, pools, rules, state)
            boundary = max(boundary, start)
    if not found:
        return refuse(OVER_HOURLY, p, option, need, duration, earliest)
    return Best(
        OK,
        p,
        option,
        need,
        duration,
        ready,
        earliest,
        best_start,
        device,
        best_power,
        best_carbon,
        transfer,
        best_wait,
        best_value,
    )


@jit
def objective(best: Best, now: int, pools: Pools, rules: Rules, state: State) -> float:
    """What the policy's rule minimises over pools. Ties go to the earlier start, then pool order."""
    pool = best.pool
    if rules.rule == RULE_EARLIEST or rules.rule == RULE_HOME:
        return float(best.start_ms - now)
    if rules.rule == RULE_CHEAPEST:
        return best.device
    if rules.rule == RULE_FIRST:
        # Offered everywhere, kept by whoever admits first: a pool that can start it now (in
        # listed order), else the shortest queue relative to the pool's size.
        if best.start_ms <= now:
            return -1.0
        return state.queued_milli[pool] / pools.capacity_milli[pool]
    if rules.rule == RULE_CARBON:
        return best.value
    return best.value


@jit
def choose(
    j: int,
    now: int,
    pools: Pools,
    zones: Zones,
    links: Links,
    jobs: Jobs,
    options: Options,
    inputs: Inputs,
    allowed: U8,
    rules: Rules,
    state: State,
) -> Best:
    """The best pool and start for job j; refusal of the nearest miss when no pool will do."""
    found = False
    best = estimate(j, 0, now, pools, zones, links, jobs, options, inputs, allowed, rules, state)
    lowest = 0.0
    if best.refusal == OK:
        found = True
        lowest = objective(best, now, pools, rules, state)
    for p in range(1, len(pools.site)):
        this = estimate(
            j, p, now, pools, zones, links, jobs, options, inputs, allowed, rules, state
        )
        if this.refusal != OK:
            if not found and this.refusal > best.refusal and this.refusal != NOT_HOME:
                best = this
            continue
        value = objective(this, now, pools, rules, state)
        slack = TIE * abs(lowest)
        if (
            not found
            or value < lowest - slack
            or (value <= lowest + slack and this.start_ms < best.start_ms)
        ):
            found = True
            best = this
            lowest = value
    return best


@jit
def bind(j: int, best: Best, now: int, rules: Rules, state: State) -> bool:
    """Bind row j to the chosen pool and option. True when it joins the queue at once.

    EASY leaves a job that is put off (or whose data is on the way) out of the queue until then;
    conservative queues it at once, with its reservation.
    """
    p = best.pool
    state.job_pool[j] = p
    state.job_option[j] = best.option
    state.job_need[j] = best.need_milli
    state.job_duration_ms[j] = best.duration_ms
    # Held back only by a choice of hour or by its data: a wait for capacity is the queue's matter.
    not_before = best.ready_ms if best.start_ms == best.earliest_ms else best.start_ms
    state.job_not_before_ms[j] = not_before
    if rules.conservative == 1 or not_before <= now:
        enqueue(j, p, state)
        return True
    return False
