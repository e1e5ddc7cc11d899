"""Where and when: the sum over pools and starts, and the least of it.

``choose`` finds a pool and a start for one job, ``bind`` fixes them; ``dispatch.dispatch`` says which
bound jobs of one pool start now. ``planner.plan`` and the simulator call these and nothing else
decides anything.
Times are absolute ms, money millionths as float64 (it ranks, it is never posted).
"""

from __future__ import annotations

import math

from westward.jit import jit
from westward.placement.delegated import site_wait
from westward.placement.pricing import MS_PER_HOUR, TIE, cheapest_start, run_sum
from westward.placement.profile import NEVER_MS
from westward.placement.state import (
    BEATEN,
    CONSTRAINT,
    DEADLINE,
    NO_LINK,
    NO_OPTION,
    NOT_HOME,
    NOT_OPEN,
    OK,
    OVER_HOURLY,
    RULE_CARBON,
    RULE_CHEAPEST,
    RULE_EARLIEST,
    RULE_FIRST,
    RULE_HOME,
    RULE_WESTWARD,
    Ask,
    Best,
    Classes,
    Costs,
    Inputs,
    Jobs,
    Links,
    Pools,
    Rules,
    State,
    Traffic,
    Zones,
)
from westward.placement.waiting import capacity_start, enqueue, next_run, reserve_last

NOISE = 4e-16
"""What the difference of two prefix sums may err by, relative to the largest of them."""


@jit
def refuse(code: int, p: int, need: int, duration: int, earliest: int) -> Best:
    """A candidate that failed the test ``code``."""
    return Best(code, p, need, duration, 0, earliest, earliest, 0.0, 0.0)


@jit
def move(
    i: int, site: int, now: int, links: Links, inputs: Inputs, traffic: Traffic, rules: Rules
) -> tuple[int, float, int]:
    """Input i to a site: (source site, price, arrival). Source -1: no way there.

    Of several copies the cheapest to bring, then the first to arrive.
    """
    gb = inputs.gb[i]
    best = -1
    best_price = math.inf
    best_ms = 0
    dataset = inputs.dataset[i]
    sites = 1 if dataset < 0 else len(links.price_per_gb)
    for k in range(sites):
        source = inputs.site[i] if dataset < 0 else k
        begin = now
        if dataset >= 0:
            if traffic.replica_ms[dataset, k] < 0:
                continue
            begin = max(begin, traffic.replica_ms[dataset, k])
        price = links.price_per_gb[source, site]
        pace = links.ms_per_gb[source, site]
        if math.isnan(price) or math.isnan(pace):
            continue
        if rules.shared_links == 1 and source != site:
            begin = max(begin, traffic.link_free_ms[source, site])
        arrival = begin + math.ceil(pace * gb)
        if price * gb < best_price or (price * gb == best_price and arrival < best_ms):
            best = source
            best_price = price * gb
            best_ms = arrival
    return best, best_price, best_ms


@jit
def moves(
    j: int,
    site: int,
    now: int,
    links: Links,
    jobs: Jobs,
    inputs: Inputs,
    traffic: Traffic,
    rules: Rules,
) -> tuple[int, float]:
    """All inputs of job j, one after the other: (when the last arrives or -1 for never, price)."""
    at = now
    price = 0.0
    for i in range(jobs.input_from[j], jobs.input_to[j]):
        source, paid, arrival = move(i, site, at, links, inputs, traffic, rules)
        if source < 0:
            return -1, 0.0
        at = arrival
        price += paid
    return at, price


@jit
def begin_moves(
    j: int,
    site: int,
    now: int,
    links: Links,
    jobs: Jobs,
    inputs: Inputs,
    traffic: Traffic,
    rules: Rules,
) -> None:
    """Job j is bound to a pool of ``site``: its moves take their links and leave copies."""
    at = now
    for i in range(jobs.input_from[j], jobs.input_to[j]):
        source, _, arrival = move(i, site, at, links, inputs, traffic, rules)
        at = arrival
        if source == site:
            continue
        if rules.shared_links == 1:
            traffic.link_free_ms[source, site] = arrival
        dataset = inputs.dataset[i]
        if dataset >= 0:
            known = traffic.replica_ms[dataset, site]
            if known < 0 or known > arrival:
                traffic.replica_ms[dataset, site] = arrival


@jit
def latest_start(j: int, duration: int, earliest: int, jobs: Jobs, rules: Rules) -> int:
    """Until when job j may be put off; below ``earliest`` when its deadline cannot be kept."""
    last = earliest + rules.defer_limit_ms
    if jobs.deadline_ms[j] >= 0:
        slack = jobs.deadline_ms[j] - duration - earliest
        if rules.conservative == 0 and slack > 0:
            # EASY reserves nothing for a job that is put off: part of its slack stays unspent.
            slack -= slack * rules.reserve_percent // 100
        last = min(last, earliest + slack)
    return last


@jit
def hourly_cost(
    j: int, p: int, devices: float, at_ms: int, pools: Pools, zones: Zones, jobs: Jobs, rules: Rules
) -> float:
    """Devices and power of job j's gang, millionths per hour, at the tariff of that moment and less
    what vouchers pay."""
    zone = pools.zone[p]
    step = zones.tariff_step_ms[zone]
    k = ((at_ms - rules.origin_ms) // step) % zones.tariff_steps[zone]
    tariff = (zones.tariff[zone, k + 1] - zones.tariff[zone, k]) / (step / MS_PER_HOUR)
    paid = covered(j, p, devices, 1.0, pools, jobs)
    return devices * pools.price[p] + devices * pools.kw[p] * tariff - paid


@jit
def cheapest_hour(
    j: int, p: int, need: int, duration: int, earliest: int, now: int, pools: Pools, zones: Zones,
    jobs: Jobs, rules: Rules, state: State,
) -> float:  # fmt: skip
    """The least ``hourly_cost`` among the starts that ``estimate`` tries, from ``earliest`` on:
    millionths per hour; infinity if there is none."""
    devices = need / 1000.0
    step = rules.defer_step_ms
    lowest = math.inf
    start = earliest
    last = latest_start(j, duration, earliest, jobs, rules)
    while start <= last:
        lowest = min(lowest, hourly_cost(j, p, devices, start, pools, zones, jobs, rules))
        start = ((start - rules.origin_ms) // step + 1) * step + rules.origin_ms
        if rules.conservative == 1:
            start = capacity_start(
                j, p, need, duration, start, now, NEVER_MS, pools, jobs, rules, state
            )
    return lowest


@jit
def covered(j: int, p: int, devices: float, hours: float, pools: Pools, jobs: Jobs) -> float:
    """What vouchers are expected to pay of a run of job j, millionths."""
    if len(pools.cover) == 1:
        return 0.0
    per_hour: float = pools.cover[jobs.payer[j], p]
    return devices * hours * per_hour


@jit
def expected_ms(j: int, speed: float, jobs: Jobs, rules: Rules) -> int:
    """What job j is expected to run on a pool of this relative speed."""
    asked_ms = jobs.estimate_ms[j]
    if asked_ms < 0:
        asked_ms = rules.assumed_ms
    return max(1, int(asked_ms / speed))


@jit
def ask(j: int, need: int, duration: int, jobs: Jobs, rules: Rules) -> Ask:
    """Job j where it needs so much for so long. ``choose`` keeps it from pool to pool: its
    divisions were a tenth of a long rehearsal."""
    devices = need / 1000.0
    per_hour = jobs.wait_value[j]
    if math.isnan(per_hour):
        per_hour = 0.0 if jobs.deadline_ms[j] >= 0 else rules.wait_value * devices
    wait_value = per_hour / MS_PER_HOUR
    if rules.rule == RULE_CARBON:
        wait_value = 0.0
    patience = 1.0 / wait_value if wait_value > 0.0 else 0.0
    return Ask(need, duration, devices, duration / MS_PER_HOUR, wait_value, patience)


@jit
def estimate(
    j: int,
    p: int,
    now: int,
    bound: float,
    asks: Ask,
    pools: Pools,
    zones: Zones,
    costs: Costs,
    links: Links,
    classes: Classes,
    jobs: Jobs,
    inputs: Inputs,
    traffic: Traffic,
    rules: Rules,
    state: State,
) -> Best:
    """The best start of job j at pool p under the policy's rule, and its sum.

    ``bound``: a candidate that cannot come below it may be answered as ``BEATEN`` unexamined
    (infinity: examine all). ``asks``: of the job, at a pool of this speed and class need.
    """
    if pools.open[p] == 0:
        return refuse(NOT_OPEN, p, 0, 0, 0)
    klass = jobs.klass[j]
    if classes.allowed[klass, p] == 0:
        return refuse(CONSTRAINT, p, 0, 0, 0)
    if jobs.home[j] != pools.site[p]:
        if rules.rule == RULE_HOME:
            return refuse(NOT_HOME, p, 0, 0, 0)
        if jobs.pinned[j] == 1:
            return refuse(CONSTRAINT, p, 0, 0, 0)
    need = classes.need[klass, p]
    if need == 0:
        return refuse(NO_OPTION, p, 0, 0, 0)
    duration = asks.duration_ms
    devices = asks.devices

    arrival = now
    transfer = 0.0
    if jobs.input_to[j] > jobs.input_from[j]:
        arrival, transfer = moves(j, pools.site[p], now, links, jobs, inputs, traffic, rules)
        if arrival < 0:
            return refuse(NO_LINK, p, need, 0, 0)
    if costs.blank[p] != OK:
        return refuse(costs.blank[p], p, need, 0, 0)

    ready = max(arrival, jobs.start_after_ms[j])
    wait_value = asks.wait_value
    capped = classes.capped[klass] == 1 and not math.isnan(classes.hourly[klass, p])
    base = 0.0
    if rules.rule != RULE_CARBON:
        base = transfer - covered(j, p, devices, asks.hours, pools, jobs)
    # The least that any start from here on can come to, but for waiting.
    floor = -math.inf
    if rules.prunable == 1:
        floor = base + devices * costs.least[p] * asks.hours
    noise = NOISE * devices * costs.most[p]
    limit = NEVER_MS
    if wait_value > 0.0 and bound < math.inf and rules.prunable == 1:
        # Later than this, the wait alone makes it worse than what is at hand.
        limit = jobs.submit_ms[j] + int((bound - floor) * asks.patience) + 2
    found = False
    beaten = False
    best_value = math.inf
    best_start = 0
    earliest = -1
    last = NEVER_MS
    boundary = ready + site_wait(p, need, state)
    # Conservative: starts from ``boundary`` to ``until`` fit as they are.
    until = NEVER_MS if rules.conservative == 0 else -1
    known = False
    defers = rules.rule == RULE_WESTWARD or rules.rule == RULE_CARBON
    while True:
        start = boundary
        if earliest < 0 or (rules.conservative == 1 and not known):
            start = capacity_start(
                j, p, need, duration, boundary, now, limit, pools, jobs, rules, state
            )
            # A queue beyond the depth holds back the first start only: all others are later.
            known = state.delegated[p] == 0 and state.profile_count[p] > 0
        elif boundary > until:
            start, until = next_run(p, need, duration, boundary, state)
        if earliest < 0:
            if start > limit:
                return refuse(BEATEN, p, need, duration, 0)
            earliest = start
            last = latest_start(j, duration, earliest, jobs, rules)
            if earliest > last or earliest >= NEVER_MS:
                return refuse(DEADLINE, p, need, duration, earliest)
        if start > last:
            break
        waited = (start - jobs.submit_ms[j]) * wait_value
        if floor + waited > (best_value if found else bound):
            beaten = True
            break
        if not capped or (
            hourly_cost(j, p, devices, start, pools, zones, jobs, rules) <= classes.hourly[klass, p]
        ):
            candidate = (
                base
                + waited
                + devices * run_sum(p, start, start + duration, pools, zones, costs, rules)
            )
            if not found or candidate < best_value - TIE * abs(best_value) - noise:
                found = True
                best_value = candidate
                best_start = start
            if not defers:
                break
        if start == last:
            break
        step = rules.defer_step_ms
        boundary = ((start - rules.origin_ms) // step + 1) * step + rules.origin_ms
        if found and floor + (boundary - jobs.submit_ms[j]) * wait_value > best_value:
            break
        if found and not capped and boundary <= min(until, last):
            best_value, best_start, boundary, beaten = cheapest_start(
                p, boundary, min(until, last), duration, devices, base, jobs.submit_ms[j],
                wait_value, floor, best_value, best_start, noise, costs, rules,
            )  # fmt: skip
            if beaten:
                break
    if not found:
        if beaten:
            return refuse(BEATEN, p, need, duration, earliest)
        return refuse(OVER_HOURLY, p, need, duration, earliest)
    return Best(OK, p, need, duration, ready, earliest, best_start, transfer, best_value)


@jit
def objective(best: Best, now: int, pools: Pools, rules: Rules, state: State) -> float:
    """What the policy's rule minimises over pools. Ties go to the earlier start, then pool order."""
    pool = best.pool
    if rules.rule == RULE_EARLIEST or rules.rule == RULE_HOME:
        return float(best.start_ms - now)
    if rules.rule == RULE_CHEAPEST:
        return best.need_milli / 1000.0 * pools.price[pool] * (best.duration_ms / MS_PER_HOUR)
    if rules.rule == RULE_FIRST:
        # Offered everywhere, kept by whoever admits first: a pool that can start it now (in
        # listed order), else the shortest queue relative to the pool's size.
        if best.start_ms <= now:
            return -1.0
        return state.queued_milli[pool] / pools.capacity_milli[pool]
    return best.value


@jit
def choose(
    j: int,
    now: int,
    pools: Pools,
    zones: Zones,
    costs: Costs,
    links: Links,
    classes: Classes,
    jobs: Jobs,
    inputs: Inputs,
    traffic: Traffic,
    rules: Rules,
    state: State,
) -> Best:
    """The best pool and start for job j; refusal of the nearest miss when no pool will do.

    A job that is bound already (``hint`` is its pool) compares only pools where nobody waits.
    """
    prunes = rules.rule == RULE_WESTWARD or rules.rule == RULE_CARBON
    bound = math.inf
    hint = state.hint[0]
    found = False
    first = refuse(NOT_OPEN, hint, 0, 0, 0)
    best = first
    if len(pools.site) == 0:
        return best  # a network whose sites have not joined yet
    lowest = 0.0
    again = state.job_pool[j] >= 0
    klass = jobs.klass[j]
    for g in range(len(pools.grade_speed)):
        state.grade_ms[g] = expected_ms(j, pools.grade_speed[g], jobs, rules)
        state.grade_hours[g] = state.grade_ms[g] / MS_PER_HOUR / 1000.0
    asks = ask(j, 0, 1, jobs, rules)
    covers = len(pools.cover) > 1
    for turn in range(-1, len(pools.site)):
        p = hint if turn < 0 else turn
        if again and p != hint and state.head[p] >= 0:
            # A job that waits already looks at pools where nobody waits: nowhere else would it
            # gain much, and its place in every queue would have to be found.
            continue
        need = classes.need[klass, p]
        grade = pools.grade[p]
        # The least it could cost there, by a rounding or two, for which ``bound`` has room. It
        # settles most pools; the hint did better, so what is lost is no answer.
        prices = p != hint and rules.prunable == 1 and bound < math.inf
        if prices:
            least = costs.least[p]
            if covers:
                least -= pools.cover[jobs.payer[j], p]
            if need * state.grade_hours[grade] * least > bound:
                continue
        this = first
        if turn < 0 or p != hint:
            if need > 0 and (need != asks.need or state.grade_ms[grade] != asks.duration_ms):
                asks = ask(j, need, state.grade_ms[grade], jobs, rules)
            this = estimate(
                j,
                p,
                now,
                bound,
                asks,
                pools,
                zones,
                costs,
                links,
                classes,
                jobs,
                inputs,
                traffic,
                rules,
                state,
            )
        if turn < 0:
            # Seen again in its turn: ties between pools go by their order.
            first = this
            best = this
            if prunes and this.refusal == OK:
                bound = this.value + 2 * TIE * abs(this.value) + NOISE * costs.most[p]
            continue
        if this.refusal != OK:
            nearer = p == 0 or this.refusal > best.refusal
            if not found and nearer and this.refusal != NOT_HOME:
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
            if prunes:
                bound = min(bound, lowest + 2 * TIE * abs(lowest) + NOISE * costs.most[p])
    if found:
        state.hint[0] = best.pool
    return best


@jit
def may_review(j: int, p: int, jobs: Jobs, inputs: Inputs, pools: Pools) -> bool:
    """Job j, waiting at pool p, may look elsewhere: none of its inputs was moved for p."""
    for i in range(jobs.input_from[j], jobs.input_to[j]):
        if inputs.dataset[i] >= 0 or inputs.site[i] != pools.site[p]:
            return False
    return True


@jit
def bind(j: int, best: Best, now: int, jobs: Jobs, rules: Rules, state: State) -> bool:
    """Bind job j to the chosen pool. True when it joins the queue at once.

    EASY leaves a job that is put off (or whose data is on the way) out of the queue until then;
    conservative queues it at once, with its reservation.
    """
    p = best.pool
    wait_ms = site_wait(p, best.need_milli, state)
    state.job_pool[j] = p
    state.job_need[j] = best.need_milli
    state.job_duration_ms[j] = wait_ms + best.duration_ms
    # Held back only by a choice of hour or by its data: a wait for capacity is the queue's matter.
    not_before = best.ready_ms if best.start_ms == best.earliest_ms else best.start_ms - wait_ms
    state.job_not_before_ms[j] = not_before
    if (rules.conservative == 1 and state.delegated[p] == 0) or not_before <= now:
        # An older profile is not added to: a reservation that has passed may have lost its place.
        known = state.profile_count[p]
        enqueue(j, p, jobs, state)
        if (
            rules.conservative == 1
            and known > 0
            and state.tail[p] == j
            and state.profile_times[state.profile_from[p]] == now
        ):
            reserve_last(j, p, now, known, rules, state)
        return True
    return False
