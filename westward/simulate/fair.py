"""Fair shares: in which order jobs of several tenants wait.

Start-time fair queueing (Goyal, Vin & Cheng 1996): a job's tag is S = max(V, F), F the tenant's
virtual finish, which each job it places moves on by its work over the tenant's share; V, the virtual
time, follows the tags that service has reached. Queues are in order of priority, then tag. Nothing
is held back: capacity that a tenant leaves idle is lent to whoever waits, and since the tenant's tags
then begin at V, it is served by its share from its return on, with no credit for having been away
and no debt for those who borrowed.

Two levels: a tenant's share is its programme's weight times its part among those tenants of the
programme that have jobs in the network now, so what one tenant leaves goes to its programme first.

Two things differ from a single server. Backfill starts jobs out of order, so V moves no further than
the tag of the head that still waits at that pool: else one late job that fits a gap would put every
newcomer behind all of its tenant's earlier ones. And work counts as estimated, on the reference
device: who overstates is charged for what was stated, as the backfill believed it, too.
"""

from __future__ import annotations

from westward.jit import jit
from westward.placement.state import Jobs, Rules, State
from westward.simulate.live import Clockwork, Live

PRIORITY_BITS = 55
"""Order = (127 - priority) << 55 | tag << 14 | tenant, in the order of arrival among equals."""
TENANT_BITS = 14
TENANT_MASK = (1 << TENANT_BITS) - 1
TAG_MAX = (1 << (PRIORITY_BITS - TENANT_BITS)) - 1
CLASS_MASK = (1 << PRIORITY_BITS) - 1
QUANTA_PER_MS = 8.0
"""Of virtual time: how many tags make a millisecond of the whole network at a share of 1. At eight
a tenant with a share of 1 may use the whole network for 8.7 years before tags run out."""


@jit
def tag_order(j: int, tenant: int, priority: int, live: Live, clock: Clockwork) -> int:
    """The order key of job j, which arrives now."""
    t = tenant + 1
    live.tenant[j] = t
    live.charged[j] = 0
    group = clock.programme[t]
    if clock.alive[t] == 0:
        clock.active[group] += clock.weight[t]
    clock.alive[t] += 1
    tag = max(clock.fair[0], clock.fair[t])
    # One tag is nothing, and keeps those that arrive at one virtual time in order of arrival.
    clock.fair[0] += 1.0
    clock.fair[t] = tag + 1.0
    return (
        ((127 - priority) << PRIORITY_BITS)
        | (min(int(tag), TAG_MAX) << TENANT_BITS)
        | (tenant & TENANT_MASK)
    )


@jit
def charge_share(
    j: int, asked_ms: int, rules: Rules, state: State, live: Live, clock: Clockwork
) -> None:
    """Job j is bound: the work it asks for moves its tenant's virtual finish on, once."""
    if asked_ms < 0:
        asked_ms = rules.assumed_ms
    if live.charged[j] == 1:
        return
    live.charged[j] = 1
    t = live.tenant[j]
    group = clock.programme[t]
    work = state.job_need[j] / 1000.0 * asked_ms
    share = clock.weight[t] / clock.active[group]
    clock.fair[t] += work * clock.programme_rate[group] / share


@jit
def served(j: int, p: int, jobs: Jobs, state: State, clock: Clockwork) -> None:
    """Job j starts at pool p."""
    tag = (jobs.order[j] & CLASS_MASK) >> TENANT_BITS
    head = state.head[p]
    if head >= 0:
        tag = min(tag, (jobs.order[head] & CLASS_MASK) >> TENANT_BITS)
    clock.fair[0] = max(clock.fair[0], float(tag))


@jit
def gone(j: int, live: Live, clock: Clockwork) -> None:
    """Job j has left the network."""
    t = live.tenant[j]
    clock.alive[t] -= 1
    if clock.alive[t] == 0:
        group = clock.programme[t]
        clock.active[group] -= clock.weight[t]
