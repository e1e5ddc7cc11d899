"""The columns that kernels read and write. One NamedTuple per table, so that a kernel's arguments
say what they are. Only ``columns.py`` maps objects to them.

P pools (by name), Z zones, S sites, J live jobs, C classes of requests, O resource options, N input
rows, D data sets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]


class Pools(NamedTuple):
    capacity_milli: I64
    nodes: I64
    devices: I64
    """Per node; a pool without accelerators counts cpu cores."""
    cpus_milli: I64
    """Per node."""
    memory_mib: I64
    """Per node."""
    kind: I64
    """Row of the accelerator, -1 for a pool of cpus."""
    site: I64
    zone: I64
    engine: I64
    open: U8
    price: F64
    """Millionths per device-hour; NaN = unknown."""
    kw: F64
    """Kilowatts drawn from the grid per busy device: device power × PUE; NaN = unknown."""
    speed: F64
    """Relative to the reference device."""
    grade: I64
    """Which of the speeds there are."""
    grade_speed: F64
    """(G,) those, each once."""
    cover: F64
    """(K, P) millionths per device-hour that others than the job's owner pay there, by payer; row 0
    is nobody's and all 0."""


class Zones(NamedTuple):
    """Prefix sums over each zone's periodic series, padded to one width: row z, entry i is the
    sum over steps 0..i-1 of value × step length in hours."""

    tariff: F64
    """(Z, L+1), millionths · h / kWh."""
    tariff_steps: I64
    tariff_step_ms: I64
    carbon: F64
    """(Z, L+1), grams · h / kWh, by the policy's method."""
    carbon_steps: I64
    carbon_step_ms: I64


class Links(NamedTuple):
    price_per_gb: F64
    """(S, S) millionths per GB; 0 on the diagonal, NaN = unknown."""
    ms_per_gb: F64
    """(S, S) at full bandwidth; 0 on the diagonal, NaN = unknown."""


class Costs(NamedTuple):
    """What the policy's rule adds up over a run, per device, as one prefix sum a pool.

    Entry (p, i) is the integral, from ``from_ms`` to ``from_ms + i × step_ms``, of everything that
    a device-hour costs at pool p at that time: device, power, carbon and shadow price (millionths),
    or grams under lowest-carbon. Two reads then price a run, whatever enters the sum.
    """

    prefix: F64
    """(P, steps + 1)."""
    least: F64
    """(P,) least cost of a device-hour within the table: no run there is cheaper."""
    most: F64
    """(P,) greatest absolute entry: what a difference of two entries may err by."""
    blank: I64
    """(P,) OK, PRICE_UNKNOWN or CARBON_UNKNOWN."""
    window: I64
    """(3,): from_ms, step_ms, steps. Runs beyond the table are priced from the series."""


class Classes(NamedTuple):
    """Jobs that ask for the same thing are one class: what fits where is worked out once."""

    need: I64
    """(C, P) milli-devices of the whole gang; 0 = no option of the class fits the pool."""
    option: I32
    """(C, P) which of the class's options that is."""
    hourly: F64
    """(C, P) that option's limit, millionths per hour for the gang; NaN = none."""
    capped: U8
    """(C,) 1 when any option has such a limit."""
    allowed: U8
    """(C, P) 0 where residency, latency or another fixed term forbids the pool."""
    nodes: I32
    """(C,) gang size."""
    devices_milli: I32
    """(C, P) per gang node, of the option that fits there."""
    cpus_milli: I32
    memory_mib: I32


class Jobs(NamedTuple):
    """One row a live job. A row number says nothing about rank: ``order`` does."""

    order: I64
    """Lower goes first; no two alike."""
    submit_ms: I64
    estimate_ms: I64
    """-1 = unknown. What is left of it, for a job that has run before."""
    klass: I32
    start_after_ms: I64
    deadline_ms: I64
    """-1 = none."""
    wait_value: F64
    """Millionths per hour of this job waiting; NaN = the policy's figure."""
    input_from: I32
    input_to: I32
    """Rows of Inputs."""
    home: I32
    """Site row, -1 = none."""
    pinned: I32
    """1 = only at its home site."""
    payer: I32
    """Row of ``Pools.cover``."""


class Options(NamedTuple):
    """One row a resource option; read when classes are made."""

    kinds: I64
    """Bit k set: accelerator row k will do. 0: no accelerator asked for, any pool will do."""
    devices_milli: I64
    cpus_milli: I64
    memory_mib: I64
    site: I64
    engine: I64
    max_hourly: F64
    """Millionths per hour for the gang; NaN = no limit."""


class Inputs(NamedTuple):
    site: I32
    gb: F64
    dataset: I32
    """Row of ``Replicas``; -1 = lies at ``site`` only."""


class Traffic(NamedTuple):
    """What moves change: link use and copies."""

    link_free_ms: I64
    """(S, S) a shared link is taken until then. All 0 where links are not shared."""
    replica_ms: I64
    """(D, S) a data set's copy is there from then on; -1 = none."""


class Rules(NamedTuple):
    """The policy as scalars."""

    rule: int
    conservative: int
    wait_value: float
    """Millionths per device-hour."""
    carbon_price: float
    """Millionths per gram."""
    defer_limit_ms: int
    defer_step_ms: int
    reserve_percent: int
    """EASY: the part of its slack that a job with a deadline keeps when it is put off."""
    origin_ms: int
    assumed_ms: int
    depth: int
    prunable: int
    """1 when no tariff or carbon value is negative, so that a worse wait ends the search."""
    shared_links: int
    """1: moves over one link queue behind each other."""
    review_ms: int
    review_depth: int
    preempt: int
    """1: a blocked head may stop running jobs of lower priority."""
    checkpoint_gb: float
    """Of a checkpoint, per device: what a job that moves takes along."""
    hurdle: float
    """What suspending or moving must save, as a part of what going on would cost."""


BLOCK = 64
"""Claims per block."""


class State(NamedTuple):
    """What changes as time passes."""

    free_milli: I64
    dir_from: I64
    """(P+1,) where pool p's directory begins in ``dir_block`` (see ``claims``)."""
    dir_block: I64
    dir_end_ms: I64
    """First expected end in that block."""
    dir_need: I64
    """Σ need in that block."""
    dir_count: I64
    block_len: I64
    free_blocks: I64
    """A stack: entry 0 is its height."""
    run_end_ms: I64
    run_need: I64
    run_job: I32
    """Block b's claims begin at b × BLOCK."""
    run_count: I64
    run_work: I64
    """Σ need × expected end in whole seconds, of pool p's claims."""
    head: I64
    tail: I64
    queued_count: I64
    queued_milli: I64
    queued_work: I64
    """Σ need × expected duration of the queue, milli-device-ms."""
    next: I32
    prev: I32
    """(J,) the queue of each pool as a linked list in row order; -1 ends it."""
    job_pool: I32
    """(J,) -1 = unbound."""
    job_need: I64
    job_duration_ms: I64
    """Expected there: its run and, before it, its wait in the site's own queue (``site_wait_ms``).
    So long it holds its place."""
    job_not_before_ms: I64
    job_reserved_ms: I64
    """Conservative only: the reservation made when the profile was last built."""
    job_chain: I32
    """First of the held rows of what it took of the nodes (``packing_state``); -1 = nothing."""
    profile_from: I64
    profile_times: I64
    profile_free: I64
    profile_count: I64
    """(P,) 0 = must be rebuilt."""
    profile_sums: I64
    """(P, 6) of the queue that the profile was built for: see ``NEXT_DUE_MS`` and so on."""
    shadow_job: I64
    """(P,) EASY: the blocked head that the next two are of; -1 = work them out anew."""
    shadow_ms: I64
    shadow_extra: I64
    """What is free beside the head when it starts."""
    grade_ms: I64
    """(G,) of the job that chooses: its expected run at each speed."""
    grade_hours: F64
    """The same in hours of a thousandth of a device."""
    window_job: I32
    """(P, W) the first jobs of each queue, side by side (see ``window``); W = 0 where not kept."""
    window_need: I64
    window_ms: I64
    """Their expected duration."""
    window_count: I64
    started: I32
    """(J,) rows that were started; the count ``dispatch`` returned says how many of them count."""
    hint: I64
    """(1,) the pool chosen last: tried first, since a good bound early ends most searches."""
    tree_root: I64
    """(P,) each queue as a tree by rank (see ``ranked``); -1 = empty."""
    tree: I64
    """(J, 8) a waiting job's rank, place and sums there; (0, 8) where queues are in order of arrival
    and need no tree."""
    delegated: U8
    """(P,) 1 = the site's own scheduler orders this pool's queue, which we do not see."""
    wait_log: F64
    """(P, WAIT_SIZES) delegated pools: what waits there are expected to be, by size of job, as
    log(wait in ms + ``WAIT_FLOOR_MS``)."""
    ours_count: I64
    """(P, WAIT_SIZES) delegated pools: how many of our own jobs wait there, by size."""
    ours_joined_ms: I64
    """Σ of when they joined that queue."""
    ours_milli: I64
    """Σ of what they need."""
    served_at_ms: I64
    """(P,) delegated pools: when one of ours started there last; -1 = no other of ours waited on."""
    served_gap_ms: F64
    """(P,) mean time between two starts of ours there while others of ours waited."""
    served_milli: F64
    """(P,) what started then, on the mean."""
    site_wait_ms: I64
    """(P, WAIT_SIZES) how long a job that is handed over to a site is expected to wait in the site's
    own queue before it starts, by size; (0, WAIT_SIZES): what is handed over starts at once."""


NEXT_DUE_MS = 0
"""The first not-before still to come: the profile holds until then."""
DUE = 1
"""How many of those whose not-before has come wait; what they need, and need × expected duration."""
DUE_MILLI = 2
DUE_WORK = 3
PUT_OFF = 4
"""How many wait for their not-before."""
FIRST_START_MS = 5
"""The earliest reservation; NEVER_MS = none."""
PROFILE_SUMS = 6

WAIT_SIZES = 12
"""Classes of job size for expected waits: up to 1, 2, 4, ... devices."""
WAIT_FLOOR_MS = 60_000.0


class Ask(NamedTuple):
    """One job at pools of one speed and one need."""

    need: int
    duration_ms: int
    """Expected there."""
    devices: float
    hours: float
    wait_value: float
    """Of one ms of waiting; 0 where the rule does not count it."""
    patience: float
    """1 / ``wait_value``, or 0."""


class Best(NamedTuple):
    """One candidate as the kernels see it. ``refusal`` is OK or the code of the first test failed;
    fields after the failed test are zero."""

    refusal: int
    pool: int
    need_milli: int
    duration_ms: int
    ready_ms: int
    """Data at hand and start_after passed."""
    earliest_ms: int
    """Ready, and capacity expected."""
    start_ms: int
    """The best start found, at or after ``earliest_ms``."""
    transfer: float
    value: float
    """What the rule minimises over starts (grams for lowest-carbon, else the sum)."""


RULE_WESTWARD = 0
RULE_CHEAPEST = 1
RULE_EARLIEST = 2
RULE_FIRST = 3
RULE_HOME = 4
RULE_CARBON = 5

# Why a pool refused, in the order they are tested. Mapped to reasons.Code in columns.py.
OK = 0
NOT_OPEN = 1
CONSTRAINT = 2
NO_OPTION = 3
NO_LINK = 4
PRICE_UNKNOWN = 5
CARBON_UNKNOWN = 6
DEADLINE = 7
OVER_HOURLY = 8
NOT_HOME = 9
BEATEN = -1
"""Not looked at to the end: it cannot come below what is at hand."""
