"""The columns that kernels read and write. One NamedTuple per table, so that a kernel's arguments
say what they are. Only ``columns.py`` maps objects to them.

P pools (by name), Z zones, S sites, J jobs (lower row goes first: priority, submit time, id),
O resource options, N input rows, C constraint classes.
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


class Jobs(NamedTuple):
    submit_ms: I64
    estimate_ms: I64
    """-1 = unknown."""
    nodes: I64
    option_from: I64
    """(J+1,) rows of Options."""
    constraint: I64
    """Row of ``allowed``."""
    start_after_ms: I64
    deadline_ms: I64
    """-1 = none."""
    wait_value: F64
    """Millionths per hour of this job waiting; NaN = the policy's figure."""
    input_from: I64
    """(J+1,) rows of Inputs."""
    home: I64
    """Site row, -1 = none."""


class Options(NamedTuple):
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
    site: I64
    gb: F64


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


BLOCK = 64
"""Claims per block."""


class State(NamedTuple):
    """What changes as time passes."""

    free_milli: I64
    dir_from: I64
    """(P+1,) where pool p's directory begins in ``dir_block`` (see ``claims``)."""
    dir_block: I64
    dir_count: I64
    block_len: I64
    block_need: I64
    free_blocks: I64
    """A stack: entry 0 is its height."""
    run_end_ms: I64
    run_need: I64
    run_job: I64
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
    job_option: I32
    job_need: I64
    job_duration_ms: I64
    job_not_before_ms: I64
    job_reserved_ms: I64
    """Conservative only: the reservation made when the profile was last built."""
    profile_from: I64
    profile_times: I64
    profile_free: I64
    profile_count: I64
    """(P,) 0 = must be rebuilt."""
    started: I64
    """(J,) rows that were started; the count ``dispatch`` returned says how many of them count."""


class Best(NamedTuple):
    """One candidate as the kernels see it. ``refusal`` is OK or the code of the first test failed;
    fields after the failed test are zero."""

    refusal: int
    pool: int
    option: int
    need_milli: int
    duration_ms: int
    ready_ms: int
    """Data at hand and start_after passed."""
    earliest_ms: int
    """Ready, and capacity expected."""
    start_ms: int
    """The best start found, at or after ``earliest_ms``."""
    device: float
    power: float
    carbon: float
    transfer: float
    wait: float
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
