"""Draws a generated workload block by block, so that no more than one block need be held.

Every block of BLOCK_JOBS jobs has random streams of its own, derived from the seed and the block's
number; how the caller slices the jobs changes nothing about them.

The span of time follows from the load that was asked for, hence from the sum of all work: a first
pass draws sizes and durations only, a second draws them again (it costs a fifth of a job) with all
the rest. Arrivals are the order statistics of uniform draws, which are cumulated exponential
spacings over their total (Devroye, Non-Uniform Random Variate Generation, 1986, section V.3):
the sum of a block's spacings is gamma distributed, so block boundaries come first and each block
fills its own stretch; the whole is sent through the inverse of the day's profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from westward.formats.generate_options import (
    GeneratorOptions,
    check_arguments,
    digest_of,
)
from westward.model.units import MILLI, MS_PER_HOUR
from westward.model.workload import I32, I64, Workload

BLOCK_JOBS = 65_536
"""Jobs drawn at a time: their columns stay in the processor's cache. Part of the version."""
ROUND_ESTIMATES_MS = tuple(round(h * MS_PER_HOUR) for h in (0.25, 0.5, 1, 2, 4, 8, 12, 24, 48, 96))
"""Owners ask for round times; an estimate is raised to the next of these."""
QUARTER_MS = MS_PER_HOUR // 4
"""All round estimates are multiples of it, which makes the next one a look-up."""
TABLE_SIZE = 1 << 16
"""Discrete laws are drawn through tables of so many equally likely entries."""

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U16 = npt.NDArray[np.uint16]

# Random streams: what they are for is part of their key.
SPAN, SIZES, SHAPE, TERMS = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What all blocks share: inverse distributions (TABLE_SIZE,) and the arrivals' skeleton."""

    gang: I32
    user: I32
    home: I32
    round_ms: I32
    """(385,) the next round estimate, by quarter hours rounded up; 0 = beyond the last."""
    dataset: I32 | None
    """Which of its home's data sets a job reads."""
    dataset_bytes: I64 | None
    priority: npt.NDArray[np.int8] | None
    boundary: F64
    """(blocks + 1,) cumulated exponential spacings; each block lies between two."""
    spacings: float
    """The sum of all spacings, the one after the last job included."""


def generate_blocks(
    jobs: int,
    seed: int,
    *,
    capacity_devices: int,
    load: float,
    options: GeneratorOptions | None = None,
    block_jobs: int = 4 * BLOCK_JOBS,
) -> Iterator[Workload]:
    """The jobs of ``generate`` as successive Workloads of ``block_jobs`` rows (the last: the rest).

    Submit times never go back and ``source_row`` goes on from block to block; joined in order the
    blocks are the same for every ``block_jobs``, with at most two of them in memory. Raises
    InputFaults for impossible parameters (before the first block is asked for).
    """
    chosen = options or GeneratorOptions()
    check_arguments(jobs, seed, capacity_devices, load, chosen)
    if block_jobs <= 0:
        raise ValueError(f"a block of {block_jobs} jobs")
    return _sliced(drawn(jobs, seed, capacity_devices, load, chosen), block_jobs)


def _sliced(blocks: Iterator[Workload], block_jobs: int) -> Iterator[Workload]:
    """The same rows in blocks of another size."""
    held: list[Workload] = []
    rows = 0
    for block in blocks:
        at = 0
        while at < len(block):
            take = min(block_jobs - rows, len(block) - at)
            held.append(_rows(block, at, at + take))
            at += take
            rows += take
            if rows == block_jobs:
                yield join(held)
                held, rows = [], 0
    if held:
        yield join(held)


def _rows(block: Workload, start: int, stop: int) -> Workload:
    if start == 0 and stop == len(block):
        return block
    values: dict[str, Any] = {f.name: getattr(block, f.name) for f in fields(block)}
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            values[name] = value[start:stop]
    return Workload(**{**values, "rows_read": stop - start})


def join(blocks: list[Workload]) -> Workload:
    """Successive blocks as one Workload."""
    return blocks[0] if len(blocks) == 1 else gather(iter(blocks), sum(map(len, blocks)))


def gather(blocks: Iterator[Workload], jobs: int) -> Workload:
    """Successive blocks, ``jobs`` rows in all, as one Workload; each may go once it is copied."""
    values: dict[str, Any] = {}
    at = 0
    for block in blocks:
        for field in fields(block):
            value = getattr(block, field.name)
            if isinstance(value, np.ndarray):
                column = values.setdefault(field.name, np.empty(jobs, dtype=value.dtype))
                column[at : at + len(value)] = value
            else:
                values[field.name] = value
        at += len(block)
    return Workload(**{**values, "rows_read": jobs})


def drawn(
    jobs: int, seed: int, capacity_devices: int, load: float, options: GeneratorOptions
) -> Iterator[Workload]:
    """Blocks of BLOCK_JOBS, in order."""
    largest = min(options.max_gang_devices, capacity_devices)
    tables = _tables(jobs, seed, largest, options)
    work = 0.0
    for at, count in _blocks(jobs):
        duration_ms, gang = _shapes(seed, at, count, tables, options)
        work += float(np.dot(gang, duration_ms))
    span_ms = work / (capacity_devices * load)
    name = f"generated-{jobs}-{seed}"
    digest = digest_of(jobs, seed, capacity_devices, load, options)
    notes = (
        f"generated with seed {seed}, offered load {load:g} of {capacity_devices} devices",
        f"span {span_ms / MS_PER_HOUR:.1f} h; durations {options.duration_law}; gangs of "
        f"1 to {largest} devices, any kind",
    )
    for at, count in _blocks(jobs):
        columns = _columns(seed, at, count, span_ms, tables, options)
        yield Workload(
            name=name,
            format="generated",
            digest=digest,
            rows_read=count,
            dropped=(),
            notes=notes,
            cpus_milli=np.zeros(count, dtype=np.int32),
            memory_mib=np.zeros(count, dtype=np.int32),
            source_row=np.arange(at * BLOCK_JOBS + 1, at * BLOCK_JOBS + count + 1, dtype=np.int64),
            **columns,
        )


def _blocks(jobs: int) -> Iterator[tuple[int, int]]:
    for at in range(-(-jobs // BLOCK_JOBS)):
        yield at, min(BLOCK_JOBS, jobs - at * BLOCK_JOBS)


def _stream(seed: int, purpose: int, block: int = 0) -> np.random.Generator:
    return np.random.Generator(
        np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(purpose, block)))
    )


def _tables(jobs: int, seed: int, largest: int, options: GeneratorOptions) -> Tables:
    powers = np.left_shift(1, np.arange(int(largest).bit_length(), dtype=np.int32))
    spacing = _stream(seed, SPAN)
    sums = [float(spacing.standard_gamma(count)) for _, count in _blocks(jobs)]
    boundary = np.concatenate(([0.0], np.cumsum(sums)))
    quarters = np.arange(ROUND_ESTIMATES_MS[-1] // QUARTER_MS + 2) * QUARTER_MS
    rounds = np.append(np.asarray(ROUND_ESTIMATES_MS, dtype=np.int32), 0).astype(np.int32)
    dataset = dataset_bytes = priority = None
    if options.dataset_count:
        per_home = options.dataset_count // options.homes
        dataset = _inverse(_zipf(per_home)).astype(np.int32)
        dataset_bytes = _sizes(_stream(seed, SIZES), per_home * options.homes, options)
    if options.priority_shares:
        priority = _inverse(np.asarray(options.priority_shares)).astype(np.int8)
    return Tables(
        gang=powers[_inverse(options.gang_decay ** np.arange(len(powers)))],
        user=_inverse(_zipf(options.users)),
        home=_inverse(_zipf(options.homes)),
        round_ms=rounds[np.searchsorted(rounds[:-1], quarters)],
        dataset=dataset,
        dataset_bytes=dataset_bytes,
        priority=priority,
        boundary=boundary,
        spacings=float(boundary[-1] + spacing.standard_exponential()),
    )


def _zipf(count: int) -> F64:
    """Weights 1 / (k + 1): a few large, many small."""
    weights: F64 = 1.0 / np.arange(1, count + 1)
    return weights


def _inverse(weights: npt.NDArray[np.floating[Any]]) -> I32:
    """(TABLE_SIZE,) index k in as many entries as its weight commands: drawing is a look-up."""
    bounds = np.cumsum(weights)
    middle = (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE * bounds[-1]
    index = np.searchsorted(bounds, middle, side="right")
    inverse: I32 = np.minimum(index, len(weights) - 1).astype(np.int32)
    return inverse


def _u16(rng: np.random.Generator, count: int) -> U16:
    return rng.integers(0, TABLE_SIZE, count, dtype=np.uint16)


def _share(rng: np.random.Generator, count: int, share: float) -> npt.NDArray[np.intp]:
    """Rows of an independent draw with probability ``share``; draws nothing for 0."""
    if share <= 0:
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero(rng.random(count, dtype=np.float32) < share)


def _shapes(
    seed: int, block: int, count: int, tables: Tables, options: GeneratorOptions
) -> tuple[F64, I32]:
    """Whole-millisecond durations and gangs (devices) of a block: all that its work depends on."""
    rng = _stream(seed, SHAPE, block)
    low, high = float(options.duration_min_ms), float(options.duration_max_ms)
    if options.duration_law == "lognormal":
        drawn = rng.standard_normal(count, dtype=np.float32)
        drawn *= np.float32(options.duration_sigma)
        np.exp(drawn, out=drawn)
        duration = drawn.astype(np.float64)
        duration *= options.duration_median_ms
    else:
        alpha = options.pareto_alpha
        duration = rng.random(count)
        duration *= -(1.0 - (low / high) ** alpha)
        duration += 1.0
        duration **= -1.0 / alpha
        duration *= low
    np.clip(duration, low, high, out=duration)
    np.rint(duration, out=duration)
    return duration, tables.gang.take(_u16(rng, count))


def _columns(
    seed: int, block: int, count: int, span_ms: float, tables: Tables, options: GeneratorOptions
) -> dict[str, Any]:
    duration, gang = _shapes(seed, block, count, tables, options)
    rng = _stream(seed, TERMS, block)
    submit_ms = _arrivals(rng, block, count, span_ms, tables, options)
    duration_ms = duration.astype(np.int64)
    estimate_ms = _estimates(rng, duration, duration_ms, tables, options)
    per_node = options.devices_per_node
    home = tables.home.take(_u16(rng, count))
    columns: dict[str, Any] = {
        "submit_ms": submit_ms,
        "duration_ms": duration_ms,
        "estimate_ms": estimate_ms,
        "nodes": (gang + (per_node - 1)) >> (per_node.bit_length() - 1),
        "devices_milli": np.minimum(gang, per_node) * np.int32(MILLI),
        "user": tables.user.take(_u16(rng, count)),
        "home": home,
        "deadline_ms": _deadlines(rng, submit_ms, duration_ms, estimate_ms, options),
    }
    columns["input_bytes"], columns["dataset"] = _inputs(rng, home, tables, options)
    if tables.priority is not None:
        columns["priority"] = tables.priority.take(_u16(rng, count))
    if options.checkpoint_share > 0:
        every = np.zeros(count, dtype=np.int64)
        every[_share(rng, count, options.checkpoint_share)] = options.checkpoint_every_ms
        columns["checkpoint_ms"] = every
    return columns


def _arrivals(
    rng: np.random.Generator,
    block: int,
    count: int,
    span_ms: float,
    tables: Tables,
    options: GeneratorOptions,
) -> I64:
    """Sorted whole milliseconds in [0, span) within the block's stretch of the arrivals."""
    low, high = tables.boundary[block], tables.boundary[block + 1]
    at: F64 = np.cumsum(rng.standard_exponential(count, dtype=np.float32), dtype=np.float64)
    # The last of a block stands at its boundary; scaling must not carry it past that.
    at *= (high - low) / at[-1]
    at += low
    np.minimum(at, high, out=at)
    edges, mass = _day_mass(options.day_profile)
    whole = _mass_until(span_ms, edges, mass)
    if whole <= 0.0:  # a span that lies wholly in hours without arrivals
        at *= span_ms / tables.spacings
        flat_ms: I64 = np.floor(at, out=at).astype(np.int64)
        return flat_ms
    at *= whole / tables.spacings
    days = np.floor(at / mass[-1])
    at -= days * mass[-1]
    hours = np.interp(at, mass, edges)
    days *= edges[-1]
    days += hours
    np.minimum(days, span_ms, out=days)
    whole_ms: I64 = np.floor(days, out=days).astype(np.int64)
    return whole_ms


def _day_mass(profile: tuple[float, ...]) -> tuple[F64, F64]:
    """Edges of the day's parts, ms, and arrivals up to each, relative."""
    step_ms = 24 * MS_PER_HOUR / len(profile)
    edges: F64 = np.arange(len(profile) + 1, dtype=np.float64) * step_ms
    mass: F64 = np.concatenate(([0.0], np.cumsum(np.asarray(profile, dtype=np.float64) * step_ms)))
    return edges, mass


def _mass_until(span_ms: float, edges: F64, mass: F64) -> float:
    days, rest = divmod(span_ms, float(edges[-1]))
    return float(days * mass[-1] + np.interp(rest, edges, mass))


def _estimates(
    rng: np.random.Generator,
    duration: F64,
    duration_ms: I64,
    tables: Tables,
    options: GeneratorOptions,
) -> I64:
    """Some unknown, some exact, most over-estimated and raised to a round time; rarely too low."""
    count = len(duration)
    drawn = rng.standard_normal(count, dtype=np.float32)
    drawn *= np.float32(options.overestimate_sigma)
    np.exp(drawn, out=drawn)
    wished = duration * drawn
    wished *= options.overestimate_median
    quarter = np.ceil(wished * (1.0 / QUARTER_MS))
    np.minimum(quarter, len(tables.round_ms) - 1, out=quarter)
    estimate = tables.round_ms.take(quarter.astype(np.int32)).astype(np.int64)
    beyond = np.flatnonzero(estimate == 0)
    estimate[beyond] = np.minimum(wished[beyond], 1e18).astype(np.int64)
    kind = rng.random(count, dtype=np.float32)
    known = 1.0 - options.estimate_unknown_share
    exact = np.flatnonzero(kind < options.estimate_exact_share * known)
    estimate[exact] = duration_ms[exact]
    estimate[np.flatnonzero(kind >= known)] = -1
    return estimate


def _deadlines(
    rng: np.random.Generator,
    submit_ms: I64,
    duration_ms: I64,
    estimate_ms: I64,
    options: GeneratorOptions,
) -> I64:
    deadline = np.full(len(submit_ms), -1, dtype=np.int64)
    dated = _share(rng, len(submit_ms), options.deadline_share)
    needed = np.maximum(duration_ms[dated], estimate_ms[dated])
    extra = options.slack_mean - options.slack_min
    slack = options.slack_min + extra * rng.standard_exponential(len(dated))
    deadline[dated] = submit_ms[dated] + np.ceil(needed * (1.0 + slack)).astype(np.int64)
    return deadline


def _inputs(
    rng: np.random.Generator, home: I32, tables: Tables, options: GeneratorOptions
) -> tuple[I64, I32 | None]:
    """Bytes, and the number of the shared data set (-1: an input of its own, or none)."""
    size = np.zeros(len(home), dtype=np.int64)
    reads = _share(rng, len(home), options.input_share)
    size[reads] = _sizes(rng, len(reads), options)
    if tables.dataset is None or tables.dataset_bytes is None:
        return size, None
    dataset = np.full(len(home), -1, dtype=np.int32)
    shared = reads[_share(rng, len(reads), options.dataset_share)]
    per_home = len(tables.dataset_bytes) // options.homes
    dataset[shared] = home[shared] * per_home + tables.dataset.take(_u16(rng, len(shared)))
    size[shared] = tables.dataset_bytes[dataset[shared]]
    return size, dataset


def _sizes(rng: np.random.Generator, count: int, options: GeneratorOptions) -> I64:
    drawn = rng.standard_normal(count, dtype=np.float32)
    drawn *= np.float32(options.input_sigma)
    np.exp(drawn, out=drawn)
    size = drawn.astype(np.float64)
    size *= options.input_median_bytes
    np.minimum(size, options.input_max_bytes, out=size)
    return size.astype(np.int64)
