"""Policies side by side, and where a rival beats Westward's own rule, said in words.

Policies may refuse different jobs, so sums are taken over the jobs that every policy placed;
refusals and missed deadlines are metrics of their own, over all jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from westward.model.units import MICROS, MS_PER_HOUR, MS_PER_MINUTE, format_duration
from westward.simulate.metrics import (
    NO_HOME,
    bounded_slowdown,
    deadline_missed,
    wait_ms,
)
from westward.simulate.results import F64, SimulationResult
from westward.simulate.tables import asked_devices, moved_bytes, total_micros

WIN_SHARE = 0.001
"""A rival wins when it is lower by more than this share: less is noise of the last digits."""
CLASS_JOBS_MIN = 20
"""Smaller classes of jobs are left out: a handful of jobs says nothing."""

Unit = Literal["money", "duration", "kwh", "grams", "ratio", "jobs", "bytes"]
Bools = npt.NDArray[np.bool_]
_Reduce = Literal["sum", "mean", "p95", "p99"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure to compare; lower is better for all of them.

    ``column`` gives one value a job. ``everywhere``: over all jobs, not only those that every
    policy placed.
    """

    key: str
    label: str
    unit: Unit
    column: Callable[[SimulationResult], F64]
    reduce: _Reduce
    everywhere: bool = False


def _paid(result: SimulationResult) -> F64:
    return result.device_micros + result.power_micros + result.transfer_micros


def _floats(values: npt.NDArray[Any]) -> F64:
    return np.asarray(values, dtype=np.float64)


METRICS: tuple[Metric, ...] = (
    Metric("total_cost", "Cost, all five terms", "money", total_micros, "sum"),
    Metric("paid_cost", "Cost paid (devices, power, transfer)", "money", _paid, "sum"),
    Metric("energy", "Energy", "kwh", lambda r: r.energy_kwh, "sum"),
    Metric(
        "carbon_location", "Carbon, location-based", "grams", lambda r: r.carbon_location_g, "sum"
    ),
    Metric(
        "carbon_contract", "Carbon, contract-based", "grams", lambda r: r.carbon_contract_g, "sum"
    ),
    Metric("wait_mean", "Wait, mean", "duration", lambda r: _floats(wait_ms(r)), "mean"),
    Metric("wait_p95", "Wait, 95th percentile", "duration", lambda r: _floats(wait_ms(r)), "p95"),
    Metric("wait_p99", "Wait, 99th percentile", "duration", lambda r: _floats(wait_ms(r)), "p99"),
    Metric("slowdown_mean", "Bounded slowdown, mean", "ratio", bounded_slowdown, "mean"),
    Metric("moved_bytes", "Input data moved", "bytes", lambda r: _floats(moved_bytes(r)), "sum"),
    Metric(
        "deadline_misses",
        "Deadlines missed",
        "jobs",
        lambda r: _floats(deadline_missed(r)),
        "sum",
        True,
    ),
    Metric("unplaced", "Jobs never placed", "jobs", lambda r: _floats(~r.placed), "sum", True),
)
CLASS_METRICS = ("total_cost", "paid_cost", "carbon_location", "wait_mean", "deadline_misses")


@dataclass(frozen=True, slots=True)
class JobClasses:
    """One way to divide the jobs: ``member`` (n,) holds each job's index into ``labels``."""

    kind: str
    labels: tuple[str, ...]
    member: npt.NDArray[np.int64]


def job_classes(result: SimulationResult) -> tuple[JobClasses, ...]:
    """By devices asked for, by true duration, by deadline, by home. The same for every policy."""
    work = result.workload
    devices = asked_devices(result)
    size = np.digitize(devices, (1e-9, 1.0, 1.0 + 1e-9, 8.0 + 1e-9, 64.0 + 1e-9))
    length = np.digitize(work.duration_ms, (10 * MS_PER_MINUTE, 2 * MS_PER_HOUR, 24 * MS_PER_HOUR))
    deadline = (work.deadline_ms >= 0).astype(np.int64)
    homes = (NO_HOME, *(site.label or site.name for site in result.network.sites))
    return (
        JobClasses(
            "devices asked for",
            (
                "no device",
                "part of a device",
                "1 device",
                "over 1 to 8 devices",
                "over 8 to 64 devices",
                "over 64 devices",
            ),
            size.astype(np.int64),
        ),
        JobClasses(
            "run time",
            ("under 10 minutes", "10 minutes to 2 hours", "2 to 24 hours", "over a day"),
            length.astype(np.int64),
        ),
        JobClasses("deadline", ("without a deadline", "with a deadline"), deadline),
        JobClasses("home", homes, result.home_site.astype(np.int64) + 1),
    )


def comparison(results: Sequence[SimulationResult], labels: Sequence[str]) -> dict[str, Any]:
    """All metrics of all policies over the jobs they share, and the list of rivals' wins."""
    shared = np.logical_and.reduce([result.placed for result in results])
    columns = {m.key: _columns(m, results) for m in METRICS}
    masks = {m.key: _mask(m, columns[m.key], shared) for m in METRICS}
    overall = []
    for metric in METRICS:
        values = [_reduce(metric.reduce, c[masks[metric.key]]) for c in columns[metric.key]]
        overall.append(
            {
                "key": metric.key,
                "label": metric.label,
                "unit": metric.unit,
                "jobs": int(masks[metric.key].sum()),
                "values": dict(zip(labels, values, strict=True)),
                "best": _best(values, labels),
            }
        )
    ours = next((at for at, r in enumerate(results) if r.policy.rule == "westward"), None)
    classes = _by_class(results, labels, columns, masks)
    answer: dict[str, Any] = {
        "jobs_placed_by_all": int(shared.sum()),
        "baseline": labels[ours] if ours is not None else None,
        "win_share": WIN_SHARE,
        "class_jobs_min": CLASS_JOBS_MIN,
        "metrics": overall,
        "classes": classes,
        "identical": _identical(results, labels),
        "rival_wins": [],
    }
    if ours is not None and len(results) > 1:
        currency = results[0].network.currency
        answer["rival_wins"] = _wins(overall, classes, labels[ours], currency)
    return answer


def _identical(results: Sequence[SimulationResult], labels: Sequence[str]) -> list[list[str]]:
    """Groups of policies that gave every job the same pool and start: a tie of the whole run."""
    groups: dict[bytes, list[str]] = {}
    for result, label in zip(results, labels, strict=True):
        key = sha256(np.ascontiguousarray(result.pool, dtype=np.int64).tobytes())
        key.update(np.ascontiguousarray(result.start_ms).tobytes())
        groups.setdefault(key.digest(), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _columns(metric: Metric, results: Sequence[SimulationResult]) -> list[F64]:
    return [metric.column(result) for result in results]


def _mask(metric: Metric, columns: list[F64], shared: Bools) -> Bools:
    """Jobs that count: placed by all (or all), and with a known value under every policy."""
    known = np.logical_and.reduce([~np.isnan(column) for column in columns])
    return np.asarray(known if metric.everywhere else known & shared)


def _reduce(how: _Reduce, values: F64) -> float | None:
    if how == "sum":
        return float(values.sum())
    if not len(values):
        return None
    if how == "mean":
        return float(values.mean())
    return float(np.percentile(values, 95 if how == "p95" else 99))


def _best(values: Sequence[float | None], labels: Sequence[str]) -> list[str]:
    """The lowest, with all that tie within the win share; none where all are equal."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return []
    limit = min(known) * (1 + WIN_SHARE)
    best = [
        label
        for label, value in zip(labels, values, strict=True)
        if value is not None and value <= limit
    ]
    return best if len(best) < len(known) else []


def _by_class(
    results: Sequence[SimulationResult],
    labels: Sequence[str],
    columns: dict[str, list[F64]],
    masks: dict[str, Bools],
) -> list[dict[str, Any]]:
    """Per class of jobs and metric: the mean per job (misses: the count) of each policy."""
    by_key = {metric.key: metric for metric in METRICS}
    rows: list[dict[str, Any]] = []
    for division in job_classes(results[0]):
        size = len(division.labels)
        submitted = np.bincount(division.member, minlength=size)
        cells: list[dict[str, Any]] = [{} for _ in division.labels]
        for key in CLASS_METRICS:
            metric, mask = by_key[key], masks[key]
            member = division.member[mask]
            jobs = np.bincount(member, minlength=size)
            sums = [np.bincount(member, c[mask], minlength=size) for c in columns[key]]
            for at in range(size):
                scale = 1 if metric.unit == "jobs" else max(1, int(jobs[at]))
                values = [float(column[at]) / scale for column in sums]
                cells[at][key] = {
                    "jobs": int(jobs[at]),
                    "values": dict(zip(labels, values, strict=True)),
                    "best": _best(values, labels),
                }
        for at, label in enumerate(division.labels):
            if submitted[at] >= CLASS_JOBS_MIN:
                rows.append(
                    {
                        "kind": division.kind,
                        "label": label,
                        "jobs": int(submitted[at]),
                        "metrics": cells[at],
                    }
                )
    return rows


def _wins(
    overall: list[dict[str, Any]], classes: list[dict[str, Any]], ours: str, currency: str
) -> list[dict[str, Any]]:
    """Every place where a rival is lower than ``ours`` by more than the win share."""
    wins = [
        win
        for row in overall
        for win in _beaten(row, row["label"], row["unit"], "all jobs", row["jobs"], ours, currency)
    ]
    by_key = {metric.key: metric for metric in METRICS}
    kinds = list(dict.fromkeys(row["kind"] for row in classes))
    # A division in which all jobs fall into one class says nothing that "all jobs" did not.
    telling = {kind for kind in kinds if sum(row["kind"] == kind for row in classes) > 1}
    for row in classes:
        if row["kind"] not in telling:
            continue
        where = f"{row['kind']}: {row['label']}"
        for key in CLASS_METRICS:
            metric, cell = by_key[key], row["metrics"][key]
            if cell["jobs"] < CLASS_JOBS_MIN:
                continue
            label = (
                metric.label if metric.unit in ("jobs", "duration") else f"{metric.label}, per job"
            )
            wins += _beaten(cell, label, metric.unit, where, cell["jobs"], ours, currency)
    return wins


def _beaten(
    cell: dict[str, Any], label: str, unit: Unit, where: str, jobs: int, ours: str, currency: str
) -> list[dict[str, Any]]:
    mine = cell["values"][ours]
    if mine is None:
        return []
    better = [
        (value, rival)
        for rival, value in cell["values"].items()
        if rival != ours and value is not None and value < mine * (1 - WIN_SHARE)
    ]
    better.sort()
    return [
        {
            "where": where,
            "metric": label,
            "jobs": jobs,
            "rival": rival,
            "rival_value": value,
            "our_value": mine,
            "saving_share": (mine - value) / mine,
            "words": (
                f"{where}: {rival} has the lower {_lower(label)}, "
                f"{format_value(value, unit, currency)} against "
                f"{format_value(mine, unit, currency)} ({(mine - value) / mine:.1%} less)"
            ),
        }
        for value, rival in better
    ]


def _lower(label: str) -> str:
    return label[0].lower() + label[1:]


def format_value(value: float | None, unit: Unit, currency: str) -> str:
    """A value in the words of the report, with its unit."""
    if value is None:
        return "n/a"
    if unit == "money":
        return f"{_grouped(value / MICROS)} {currency}"
    if unit == "duration":
        return format_duration(round(value)) if value >= 1000 else f"{value / 1000:.2g}s"
    if unit == "kwh":
        return f"{_grouped(value)} kWh"
    if unit == "grams":
        return f"{_grouped(value / 1e6)} t" if value >= 1e6 else f"{_grouped(value / 1e3)} kg"
    if unit == "bytes":
        return f"{_grouped(value / 1e12)} TB" if value >= 1e12 else f"{_grouped(value / 1e9)} GB"
    return f"{value:,.0f}" if unit == "jobs" else f"{value:,.2f}"


def _grouped(value: float) -> str:
    """Thousands grouped, with enough digits to tell small values apart."""
    size = abs(value)
    digits = 0 if size >= 1000 or size == 0 else (2 if size >= 1 else 4)
    return f"{value:,.{digits}f}"
