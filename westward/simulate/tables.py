"""The tidy tables of a rehearsal: one row a job, one row a pool and hour, one a run of those
jobs that ran more than once.

Hours are filled by difference arrays, so the cost is runs + pools x hours, however long a job
runs, and nothing is sampled: device time in the hours adds up to device time of the jobs exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from westward.model.network import Series
from westward.model.units import MS_PER_HOUR
from westward.model.workload import I64
from westward.simulate.results import F64, REFUSAL_CODES, SEGMENT_ENDS, SimulationResult
from westward.simulate.runs import runs_of, shared_out, time_run_ms

HOUR_ROWS_MAX = 4_000_000
"""Rows of the table of hours; a longer rehearsal gets steps of several whole hours."""


def jobs_table(result: SimulationResult) -> pl.DataFrame:
    """One row a job, in the workload's order. Null = not applicable or not stated.

    Units stand in the column names; ``devices`` is what the job asked for (whole gang, in
    devices), ``need_milli`` what it held (milli-devices, by its dominant resource). Of a job that
    ran more than once ``start_ms`` is the first start, ``end_ms``, ``pool`` and ``need_milli`` are
    the last run's and ``run_ms`` is all its runs together (``segments_table`` tells each).
    """
    work, network = result.workload, result.network
    placed = result.placed
    deadline_ms = deadlines_ms(result)
    has_deadline = work.deadline_ms >= 0
    columns: dict[str, pl.Series] = {
        "job": pl.Series(work.source_row),
        "submit_ms": pl.Series(result.submit_ms),
        "start_ms": _maybe(result.start_ms, placed),
        "end_ms": _maybe(result.end_ms, placed),
        "wait_ms": _maybe(result.start_ms - result.submit_ms, placed),
        "run_ms": _maybe(time_run_ms(result), placed),
        "site": _named([pool.site for pool in network.pools], result.pool),
        "pool": _named([pool.name for pool in network.pools], result.pool),
        "nodes": pl.Series(work.nodes),
        "devices": pl.Series(asked_devices(result)),
        "need_milli": _maybe(result.need_milli, placed),
        "home": _named([site.name for site in network.sites], result.home_site),
        "home_partition": _maybe(work.home, work.home >= 0),
        "user": _maybe(work.user, work.user >= 0),
        "deadline_ms": _maybe(deadline_ms, has_deadline),
        "met_deadline": _maybe(placed & (result.end_ms <= deadline_ms), has_deadline),
        "put_off_ms": _maybe(result.not_before_ms - result.submit_ms, placed),
        "predicted_wait_ms": _maybe(result.predicted_start_ms - result.submit_ms, placed),
        "predicted_wait_low_ms": _maybe(
            result.start_low_ms - result.submit_ms, placed & (result.start_low_ms >= 0)
        ),
        "predicted_wait_high_ms": _maybe(
            result.start_high_ms - result.submit_ms, placed & (result.start_low_ms >= 0)
        ),
        "moved_bytes": pl.Series(moved_bytes(result)),
        "refusal": _named([code.value for code in REFUSAL_CODES], result.refusal - 1),
    }
    for term in ("device", "power", "carbon", "transfer", "wait"):
        columns[f"{term}_micros"] = _maybe(getattr(result, f"{term}_micros"), placed)
    columns["total_micros"] = _maybe(total_micros(result), placed)
    columns["energy_kwh"] = _maybe(result.energy_kwh, placed)
    for method in ("location", "contract"):
        grams = getattr(result, f"carbon_{method}_g")
        columns[f"carbon_{method}_g"] = _maybe(grams, placed & ~np.isnan(grams))
    return pl.DataFrame(columns)


def segments_table(result: SimulationResult) -> pl.DataFrame | None:
    """One row a run of the jobs that ran more than once, by job, then start; None = there are none.
    Where jobs were packed on nodes: of every job.

    ``job_row`` counts the rows of the table of jobs from 0; ``why`` says how the run ended;
    ``nodes`` (only where jobs were packed) lists the pool's nodes, from 0, one a gang member.
    """
    segments = result.segments if result.runs is None else result.runs
    network = result.network
    if segments is None:
        return None
    columns = {
        "job_row": pl.Series(segments.row),
        "job": pl.Series(result.workload.source_row[segments.row]),
        "site": _named([pool.site for pool in network.pools], segments.pool),
        "pool": _named([pool.name for pool in network.pools], segments.pool),
        "start_ms": pl.Series(segments.start_ms),
        "end_ms": pl.Series(segments.end_ms),
        "need_milli": pl.Series(segments.need_milli),
        "why": _named(list(SEGMENT_ENDS), segments.why),
        "lost_ms": pl.Series(segments.lost_ms),
        "device_micros": pl.Series(segments.device_micros),
        "power_micros": pl.Series(segments.power_micros),
        "energy_kwh": pl.Series(segments.energy_kwh),
    }
    if segments.node is not None and segments.node_from is not None:
        run = np.repeat(np.arange(len(segments.row)), np.diff(segments.node_from))
        told = pl.DataFrame({"run": run, "node": segments.node})
        columns["nodes"] = told.group_by("run", maintain_order=True).agg("node")["node"]
    return pl.DataFrame(columns)


def total_micros(result: SimulationResult) -> F64:
    """The sum of the five terms per job, added in the planner's order (n,)."""
    return (
        result.device_micros
        + result.power_micros
        + result.carbon_micros
        + result.transfer_micros
        + result.wait_micros
    )


def asked_devices(result: SimulationResult) -> F64:
    """Accelerators the whole gang asked for, in devices (n,); 0 = none."""
    per_node = result.workload.devices_milli.astype(np.int64)
    return np.asarray(result.workload.nodes * per_node / 1000.0, dtype=np.float64)


def deadlines_ms(result: SimulationResult) -> I64:
    """Absolute deadlines (n,); meaningless where the workload states none."""
    return result.workload_zero_ms + result.workload.deadline_ms


def pool_sites(result: SimulationResult) -> npt.NDArray[np.int64]:
    """For each pool, the index of its site in ``network.sites`` (pools,)."""
    index = {site.name: at for at, site in enumerate(result.network.sites)}
    return np.array([index[pool.site] for pool in result.network.pools], dtype=np.int64)


def job_sites(result: SimulationResult) -> npt.NDArray[np.int64]:
    """Index of the site each job ran at (n,); -1 = never placed."""
    if not result.network.pools:
        return np.full(len(result), -1, dtype=np.int64)
    return np.where(result.placed, pool_sites(result)[result.pool], -1)


def moved_bytes(result: SimulationResult) -> I64:
    """Input bytes that left the home site because the job ran elsewhere (n,)."""
    sites = job_sites(result)
    away = (sites >= 0) & (result.home_site >= 0) & (sites != result.home_site)
    return np.where(away, result.workload.input_bytes, 0)


def _maybe(values: npt.NDArray[np.generic], there: npt.NDArray[np.bool_]) -> pl.Series:
    """The values, null where ``there`` is false."""
    mask = pl.Series(there)
    series = pl.Series(values)
    return pl.select(pl.when(mask).then(series)).to_series()


def _named(names: list[str], index: npt.NDArray[np.integer]) -> pl.Series:
    """Names by index; a negative index gives null."""
    table = pl.Series(names, dtype=pl.String)
    wanted = pl.Series(np.asarray(index, dtype=np.int64))
    return table.gather(wanted.set(wanted < 0, None))


@dataclass(frozen=True, slots=True)
class Steps:
    """The time axis of the hours: ``count`` steps of ``width_ms`` from ``first_ms`` (absolute)."""

    first_ms: int
    width_ms: int
    count: int

    def index(self, at_ms: I64) -> I64:
        return (at_ms - self.first_ms) // self.width_ms

    @property
    def edges_ms(self) -> I64:
        return self.first_ms + self.width_ms * np.arange(self.count + 1, dtype=np.int64)


def steps_of(result: SimulationResult) -> Steps:
    """Whole hours (UTC) from the first submission to past the last end."""
    if not len(result):
        return Steps(0, MS_PER_HOUR, 0)
    first = int(result.submit_ms.min()) // MS_PER_HOUR
    last = max(int(result.submit_ms.max()), int(result.end_ms.max())) // MS_PER_HOUR
    hours = last - first + 1
    hours_per_step = -(-hours * max(1, len(result.network.pools)) // HOUR_ROWS_MAX)
    width_ms = hours_per_step * MS_PER_HOUR
    return Steps(first * MS_PER_HOUR, width_ms, -(-hours // hours_per_step))


def hours_table(result: SimulationResult) -> pl.DataFrame:
    """One row a pool and hour (sorted by hour, then pool); null = the zone's series is unknown.

    ``power_micros`` and the carbon columns follow the zone's tariff and factor within the hour;
    ``device_micros`` is spread evenly over each run; transfer and wait are not spread.
    """
    steps = steps_of(result)
    pools = result.network.pools
    shape = (len(pools), steps.count)
    spread = _Spread(result, steps)
    used = spread.device_milli_ms()
    idle = used == 0
    capacity = np.array([pool.capacity_milli for pool in pools], dtype=np.int64)
    capacity_ms = np.repeat(capacity[:, None] * steps.width_ms, steps.count, axis=1)
    columns: dict[str, npt.NDArray[np.generic]] = {
        "device_hours": used / (1000.0 * MS_PER_HOUR),
        "capacity_devices": np.repeat(capacity[:, None] / 1000.0, steps.count, axis=1),
        "utilisation": used / np.maximum(capacity_ms, 1),
        "device_milli_ms": used,
        "power_kwh": _tidy(spread.by_time(spread.energy_kwh), idle),
        "device_micros": _tidy(spread.by_time(spread.device_micros), idle),
    }
    for name, series in (
        ("power_micros", "tariff_per_kwh"),
        ("carbon_location_g", "carbon_location_g_per_kwh"),
        ("carbon_contract_g", "carbon_contract_g_per_kwh"),
    ):
        scale = 1e6 if name == "power_micros" else 1.0
        columns[name] = _tidy(spread.by_series(spread.energy_kwh, series) * scale, idle)
    runs = spread.runs
    submit, first = result.submit_ms[runs.row], runs.first
    waited_from = runs.waited_from_ms(result.submit_ms)
    columns["waiting_jobs_mean"] = spread.mean_jobs(waited_from, runs.start_ms)
    held_back = np.where(first, np.minimum(result.not_before_ms[runs.row], runs.start_ms), 0)
    columns["put_off_jobs_mean"] = spread.mean_jobs(submit, np.maximum(held_back, submit))
    columns["arrivals"] = spread.count(submit, first)
    columns["starts"] = spread.count(runs.start_ms)
    columns["ends"] = spread.count(runs.end_ms)
    hour = np.repeat(steps.edges_ms[None, :-1], len(pools), axis=0)
    order = np.repeat(np.arange(len(pools))[:, None], steps.count, axis=1)
    frame: dict[str, pl.Series] = {
        "hour_ms": pl.Series(hour.T.ravel()),
        "step_ms": pl.repeat(steps.width_ms, shape[0] * shape[1], dtype=pl.Int64, eager=True),
        "site": _named([pool.site for pool in pools], order.T.ravel()),
        "pool": _named([pool.name for pool in pools], order.T.ravel()),
    }
    for name, values in columns.items():
        column = pl.Series(np.ascontiguousarray(values.T).ravel())
        frame[name] = column.fill_nan(None) if column.dtype == pl.Float64 else column
    return pl.DataFrame(frame)


def _tidy(values: F64, idle: npt.NDArray[np.bool_]) -> F64:
    """Drops the rounding dust that cumulated differences leave where nothing ran."""
    dusted = np.maximum(values, 0.0)  # keeps NaN: an unknown factor stays unknown
    dusted[idle & ~np.isnan(dusted)] = 0.0
    return dusted


class _Spread:
    """Spreads what each run does over its interval into (pools, steps) arrays."""

    def __init__(self, result: SimulationResult, steps: Steps):
        self._result = result
        self._steps = steps
        pools = result.network.pools
        self._pools = len(pools)
        self.runs = runs_of(result)
        self._pool = self.runs.pool
        self._start = self.runs.start_ms
        self._end = self.runs.end_ms
        price = [p.price_micros_per_device_hour for p in pools]
        kw = []
        for pool in pools:
            pue = result.network.site(pool.site).pue
            watts = pool.power_w_per_device
            kw.append(np.nan if watts is None or pue is None else watts / 1000.0 * pue)
        dear = np.array(
            [np.nan if micros is None else micros for micros in price], dtype=np.float64
        )
        self.energy_kwh = shared_out(result, self.runs, result.energy_kwh, np.array(kw))
        """Of each run (r,)."""
        self.device_micros = shared_out(result, self.runs, result.device_micros, dear)

    def device_milli_ms(self) -> I64:
        """Milli-devices x ms held, in integers: exact."""
        steps = self._steps
        need = self.runs.need_milli
        first, last = steps.index(self._start), steps.index(self._end)
        width = steps.width_ms
        part = np.zeros((self._pools, steps.count + 1), dtype=np.int64)
        rate = np.zeros_like(part)
        edges = steps.first_ms + width * (np.stack([first, last]) + 1)
        np.add.at(part, (self._pool, first), need * (edges[0] - self._start))
        np.add.at(part, (self._pool, last), -need * (edges[1] - self._end))
        np.add.at(rate, (self._pool, first + 1), need)
        np.add.at(rate, (self._pool, last + 1), -need)
        return (part + np.cumsum(rate, axis=1) * width)[:, :-1]

    def by_time(self, amount: F64) -> F64:
        """``amount`` per run (r,) spread evenly over it."""
        return self._integrate_time(self._per_ms(amount), self._start, self._end)

    def by_series(self, energy_kwh: F64, series_name: str) -> F64:
        """Integral of each run's even power times its zone's series; NaN rows where unknown."""
        network, steps = self._result.network, self._steps
        levels = np.zeros((self._pools, steps.count + 1))
        at_start = np.zeros(len(self._pool))
        at_end = np.zeros(len(self._pool))
        unknown = np.zeros(self._pools, dtype=bool)
        for at, pool in enumerate(network.pools):
            series = getattr(network.zone(network.site(pool.site).zone), series_name)
            if series is None:
                unknown[at] = True
                continue
            mine = self._pool == at
            origin = self._result.series_origin_ms
            levels[at] = integral(series, steps.edges_ms - origin)
            at_start[mine] = integral(series, self._start[mine] - origin)
            at_end[mine] = integral(series, self._end[mine] - origin)
        rate = self._per_ms(energy_kwh)
        total = self._integrate(rate, levels, at_start, at_end, (self._start, self._end))
        total[unknown] = np.nan
        return total

    def mean_jobs(self, begin_ms: I64, until_ms: I64) -> F64:
        """Jobs of each pool between the two times (r,), averaged over the step (exact, in ms)."""
        until = np.maximum(until_ms, begin_ms)
        sums = self._integrate_time(np.ones(len(self._pool)), begin_ms, until)
        return np.maximum(sums, 0.0) / self._steps.width_ms

    def count(self, times_ms: I64, which: npt.NDArray[np.bool_] | None = None) -> I64:
        flat = self._pool * self._steps.count + self._steps.index(times_ms)
        if which is not None:
            flat = flat[which]
        counts = np.bincount(flat, minlength=self._pools * self._steps.count)
        return counts.reshape(self._pools, self._steps.count).astype(np.int64)

    def _per_ms(self, amount: F64) -> F64:
        return np.asarray(amount / np.maximum(self._end - self._start, 1))

    def _integrate_time(self, rate: F64, begin: I64, end: I64) -> F64:
        """``_integrate`` where the running integral is the time itself."""
        first_ms = self._steps.first_ms
        axis = (self._steps.edges_ms - first_ms).astype(np.float64)
        levels = np.repeat(axis[None, :], self._pools, axis=0)
        at_begin = (begin - first_ms).astype(np.float64)
        at_end = (end - first_ms).astype(np.float64)
        return self._integrate(rate, levels, at_begin, at_end, (begin, end))

    def _integrate(
        self, rate: F64, levels: F64, at_begin: F64, at_end: F64, times: tuple[I64, I64]
    ) -> F64:
        """Sum over runs of rate x (L(end) - L(begin)), cut at the steps' edges.

        ``levels`` (pools, steps + 1) is the running integral L at the edges, ``at_begin`` and
        ``at_end`` (runs,) its value at the run's own times.
        """
        width = self._steps.count + 1
        step = np.concatenate([self._steps.index(times[0]), self._steps.index(times[1])])
        pools = np.concatenate([self._pool, self._pool])
        signed = np.concatenate([rate, -rate])
        to_edge = levels[pools, step + 1] - np.concatenate([at_begin, at_end])
        # In its own step a job counts up to the edge, in every later one the whole step.
        part = np.bincount(pools * width + step, signed * to_edge, minlength=self._pools * width)
        change = np.bincount(pools * width + step + 1, signed, minlength=self._pools * width)
        steady = np.cumsum(change.reshape(self._pools, width), axis=1)[:, :-1]
        return np.asarray(
            part.reshape(self._pools, width)[:, :-1] + steady * np.diff(levels, axis=1)
        )


def integral(series: Series, offset_ms: I64) -> F64:
    """Integral of a periodic series from its origin to each offset, in value x ms."""
    values = np.asarray(series.values, dtype=np.float64)
    sums = np.concatenate([[0.0], np.cumsum(values)]) * series.step_ms
    periods, rest = np.divmod(offset_ms, series.period_ms)
    step = rest // series.step_ms
    return np.asarray(
        periods * sums[-1] + sums[step] + values[step] * (rest - step * series.step_ms)
    )
