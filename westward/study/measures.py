"""What a study measures of one rehearsal: a value for all jobs, and one for each class of them.

Costs are told per device-hour of *work*: devices asked for × true run time on the reference
device, over the jobs that were placed. Work does not depend on where a job ran, so runs that
placed slightly different jobs on different hardware stay comparable; ``placed_share`` says how far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from westward.model.units import BYTES_PER_GB, MICROS, MILLI, MS_PER_HOUR
from westward.simulate.compare import job_classes
from westward.simulate.metrics import bounded_slowdown, deadline_missed, every_run, wait_ms
from westward.simulate.results import F64, SimulationResult
from westward.simulate.tables import asked_devices, job_sites, moved_bytes, total_micros
from westward.study.model import Breakdown

Bools = npt.NDArray[np.bool_]
ALL_JOBS = "all jobs"
CLASS_JOBS_MIN = 20
"""A class of fewer jobs has no value: a handful of jobs says nothing."""
JOINT = " · "
SHARE_AT = "share_at"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure. ``lower_better`` None: neither end is better."""

    key: str
    label: str
    unit: str
    """CNY stands for the network's currency."""
    value: Callable[[SimulationResult, Bools], float]
    lower_better: bool | None = True
    of_classes: bool = True
    """False: only makes sense for all jobs together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured value, in the order of the table's last columns."""

    metric: str
    breakdown: str
    job_class: str
    value: float | None
    unit: str


def work_hours(result: SimulationResult) -> F64:
    """Device-hours of work per job (n,): asked devices (a core counts as one where no device is
    asked for) × true run time on the reference device."""
    asked = asked_devices(result)
    cores = np.maximum(1.0, result.workload.nodes * (result.workload.cpus_milli / MILLI))
    return np.asarray(np.where(asked > 0, asked, cores) * result.workload.duration_ms / MS_PER_HOUR)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def _per_work(column: Callable[[SimulationResult], F64], scale: float) -> Callable[..., float]:
    def value(result: SimulationResult, jobs: Bools) -> float:
        chosen = jobs & result.placed
        work = float(work_hours(result)[chosen].sum())
        return _ratio(float(column(result)[chosen].sum()) / scale, work)

    return value


def _sum_of(column: Callable[[SimulationResult], F64], scale: float) -> Callable[..., float]:
    return lambda result, jobs: float(column(result)[jobs & result.placed].sum()) / scale


def _share_of_work(which: Callable[[SimulationResult], Bools]) -> Callable[..., float]:
    def value(result: SimulationResult, jobs: Bools) -> float:
        chosen = jobs & result.placed
        work = work_hours(result)
        return _ratio(float(work[chosen & which(result)].sum()), float(work[chosen].sum()))

    return value


def _wait(percent: float | None) -> Callable[..., float]:
    def value(result: SimulationResult, jobs: Bools) -> float:
        hours = wait_ms(result)[jobs & result.placed] / MS_PER_HOUR
        if not len(hours):
            return float("nan")
        return float(hours.mean() if percent is None else np.percentile(hours, percent))

    return value


def _paid(result: SimulationResult) -> F64:
    return result.device_micros + result.power_micros + result.transfer_micros


def _utilisation(result: SimulationResult, jobs: Bools) -> float:
    """Device time held over device time of open pools, from the first submission to the last."""
    first, last = int(result.submit_ms.min()), int(result.submit_ms.max())
    runs = every_run(result)
    chosen = jobs[runs.row]
    begin = np.clip(runs.start_ms[chosen], first, last)
    end = np.clip(runs.end_ms[chosen], first, last)
    held = float((runs.need_milli[chosen] * (end - begin).astype(np.float64)).sum())
    there = sum(p.capacity_milli for p in result.network.pools if p.status == "open")
    return _ratio(held, float(there) * (last - first))


def _missed(result: SimulationResult, jobs: Bools) -> float:
    with_deadline = jobs & (result.workload.deadline_ms >= 0)
    return _ratio(float((deadline_missed(result) & jobs).sum()), float(with_deadline.sum()))


def _slowdown(result: SimulationResult, jobs: Bools) -> float:
    values = bounded_slowdown(result)[jobs & result.placed]
    return float(values.mean()) if len(values) else float("nan")


def _power_price(result: SimulationResult, jobs: Bools) -> float:
    chosen = jobs & result.placed
    money = float(result.power_micros[chosen].sum()) / MICROS
    return _ratio(money, float(result.energy_kwh[chosen].sum()))


def _power_timing(result: SimulationResult, jobs: Bools) -> float:
    """What power cost over what it would have cost at each zone's mean tariff: the hours alone,
    whatever the place. Jobs in zones of unknown tariff are left out."""
    network = result.network
    means = []
    for site in network.sites:
        series = network.zone(site.zone).tariff_per_kwh
        means.append(float("nan") if series is None else sum(series.values) / len(series.values))
    chosen = jobs & result.placed
    even = np.array(means)[job_sites(result)[chosen]] * result.energy_kwh[chosen]
    known = ~np.isnan(even)
    money = float(result.power_micros[chosen][known].sum()) / MICROS
    return _ratio(money, float(even[known].sum()))


def _interrupted(result: SimulationResult, jobs: Bools) -> float:
    """Of the jobs placed, those that ran more than once (site lost, preempted, moved)."""
    chosen = jobs & result.placed
    if result.segments is None:
        return _ratio(0.0, float(chosen.sum()))
    again = np.zeros(len(result), dtype=np.bool_)
    again[result.segments.row] = True
    return _ratio(float((again & chosen).sum()), float(chosen.sum()))


def _put_off(result: SimulationResult) -> Bools:
    return np.asarray(result.not_before_ms > result.submit_ms)


_MONEY = "CNY/device-hour"
_LIST = (
    Measure("cost", "Cost, all five terms", _MONEY, _per_work(total_micros, MICROS)),
    Measure("paid", "Cost paid", _MONEY, _per_work(_paid, MICROS)),
    Measure("device_cost", "Devices", _MONEY, _per_work(lambda r: r.device_micros, MICROS)),
    Measure("power_cost", "Power", _MONEY, _per_work(lambda r: r.power_micros, MICROS)),
    Measure("carbon_cost", "Carbon, priced", _MONEY, _per_work(lambda r: r.carbon_micros, MICROS)),
    Measure("transfer_cost", "Transfer", _MONEY, _per_work(lambda r: r.transfer_micros, MICROS)),
    Measure("wait_cost", "Wait, priced", _MONEY, _per_work(lambda r: r.wait_micros, MICROS)),
    Measure("cost_sum", "Cost of all jobs placed, all five terms", "CNY",
            _sum_of(total_micros, MICROS)),
    Measure("paid_sum", "Cost paid for all jobs placed", "CNY", _sum_of(_paid, MICROS)),
    Measure("power_price", "Price of a kWh drawn", "CNY/kWh", _power_price),
    Measure("power_timing", "Price of the hours used, over the mean hour", "ratio",
            _power_timing),
    Measure("energy", "Energy at the meter", "kWh/device-hour",
            _per_work(lambda r: r.energy_kwh, 1.0)),
    Measure("carbon_location", "Carbon, location-based", "kg/device-hour",
            _per_work(lambda r: r.carbon_location_g, 1000.0)),
    Measure("carbon_contract", "Carbon, contract-based", "kg/device-hour",
            _per_work(lambda r: r.carbon_contract_g, 1000.0)),
    Measure("wait_mean", "Wait, mean", "h", _wait(None)),
    Measure("wait_p50", "Wait, median", "h", _wait(50)),
    Measure("wait_p95", "Wait, 95th percentile", "h", _wait(95)),
    Measure("wait_p99", "Wait, 99th percentile", "h", _wait(99)),
    Measure("slowdown", "Bounded slowdown, mean", "ratio", _slowdown),
    Measure("deadlines_missed", "Deadlines missed", "share", _missed),
    Measure("placed_share", "Jobs placed", "share",
            lambda r, jobs: _ratio(float((r.placed & jobs).sum()), float(jobs.sum())), False),
    Measure("utilisation", "Use of the devices", "share", _utilisation, None, False),
    Measure("interrupted_share", "Jobs interrupted", "share", _interrupted),
    Measure("put_off_share", "Work put off", "share",
            _share_of_work(_put_off), None),
    Measure("moved_gb", "Input data moved", "GB/device-hour",
            _per_work(lambda r: moved_bytes(r).astype(np.float64), BYTES_PER_GB), None),
    Measure("away_share", "Work done away from home", "share",
            _share_of_work(lambda r: job_sites(r) != r.home_site), None),
    Measure("work", "Work submitted", "device-hours",
            lambda r, jobs: float(work_hours(r)[jobs].sum()), None),
    Measure("jobs", "Jobs submitted", "jobs", lambda r, jobs: float(jobs.sum()), None),
)  # fmt: skip
MEASURES = {measure.key: measure for measure in _LIST}


def measure_of(key: str, currency: str) -> Measure:
    """The measure named so; ``share_at TAG=VALUE`` is the work done at sites with that tag.

    Raises KeyError for an unknown name.
    """
    if key.startswith(SHARE_AT + " "):
        tag, _, value = key.removeprefix(SHARE_AT + " ").partition("=")

        def at_tag(result: SimulationResult) -> Bools:
            tagged = np.array([site.tag(tag) == value for site in result.network.sites] + [False])
            return np.asarray(tagged[np.where(result.placed, job_sites(result), -1)])

        label = f"Work done where {tag} is {value}"
        return Measure(key, label, "share", _share_of_work(at_tag), None)
    found = MEASURES[key]
    unit = found.unit.replace("CNY", currency)
    return Measure(key, found.label, unit, found.value, found.lower_better, found.of_classes)


# Classes of jobs

_GB = BYTES_PER_GB
_SIZE_EDGES = (1, 1 * _GB, 10 * _GB, 100 * _GB, 1000 * _GB)
_SIZE_LABELS = ("no input", "under 1 GB", "1-10 GB", "10-100 GB", "100 GB-1 TB", "over 1 TB")
_DENSE_EDGES = (1e-12, 0.1, 1.0, 10.0, 100.0)
_DENSE_LABELS = (
    "no input",
    "under 0.1 GB/device-hour",
    "0.1-1 GB/device-hour",
    "1-10 GB/device-hour",
    "10-100 GB/device-hour",
    "over 100 GB/device-hour",
)
PROPERTIES = ("input_size", "input_per_work", "run_time", "devices", "deadline", "home")
_FROM_COMPARE = {
    "run_time": "run time",
    "devices": "devices asked for",
    "deadline": "deadline",
    "home": "home",
}


def _property(result: SimulationResult, name: str) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Labels of the classes and each job's index into them."""
    if name == "input_size":
        member = np.digitize(result.workload.input_bytes, _SIZE_EDGES)
        return _SIZE_LABELS, member.astype(np.int64)
    if name == "input_per_work":
        gb = result.workload.input_bytes / BYTES_PER_GB
        member = np.digitize(gb / np.maximum(work_hours(result), 1e-9), _DENSE_EDGES)
        return _DENSE_LABELS, member.astype(np.int64)
    kinds = {kind.kind: kind for kind in job_classes(result)}
    found = kinds[_FROM_COMPARE[name]]
    return found.labels, found.member


def classes_of(result: SimulationResult, breakdown: Breakdown) -> list[tuple[str, Bools]]:
    """Every class of the breakdown with its jobs (n,), in order; two properties joined."""
    everyone = np.ones(len(result), dtype=np.bool_)
    if breakdown.homes is not None:
        tag, value = breakdown.homes
        tagged = np.array([site.tag(tag) == value for site in result.network.sites] + [False])
        everyone = np.asarray(tagged[result.home_site])
    found = [("", everyone)]
    for name in breakdown.by:
        labels, member = _property(result, name)
        found = [
            (f"{before}{JOINT}{label}" if before else label, jobs & (member == at))
            for before, jobs in found
            for at, label in enumerate(labels)
        ]
    return found


def measured(
    result: SimulationResult, metrics: tuple[str, ...], breakdowns: tuple[Breakdown, ...]
) -> list[Row]:
    """All values of one rehearsal. None where there is nothing to measure (no such jobs)."""
    currency = result.network.currency
    measures = [measure_of(key, currency) for key in metrics]
    everyone = np.ones(len(result), dtype=np.bool_)
    groups = [("", ALL_JOBS, everyone)]
    for breakdown in breakdowns:
        groups += [(breakdown.name, label, jobs) for label, jobs in classes_of(result, breakdown)]
    rows = []
    for measure in measures:
        for name, label, jobs in groups:
            if name and not measure.of_classes:
                continue
            few = bool(name) and int(jobs.sum()) < CLASS_JOBS_MIN
            value = float("nan") if few else measure.value(result, jobs)
            rows.append(
                Row(
                    metric=measure.key,
                    breakdown=name,
                    job_class=label,
                    value=None if np.isnan(value) else value,
                    unit=measure.unit,
                )
            )
    return rows
