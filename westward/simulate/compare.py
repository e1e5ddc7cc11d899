"""Policies side by side, and where a rival beats Westward's own rule, said in words.

Policies may refuse different jobs, so sums are taken over the jobs that all of them placed. A
rule that refuses many would shrink that set to what it happened to take, so it is set apart and
compared with one policy at a time. Refusals and missed deadlines are counted over all jobs.
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
APART_PERCENT = 99
"""Rules that place less than this per cent of what the rule placing most places are set apart."""
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


@dataclass(frozen=True, slots=True)
class CommonSet:
    """The jobs that sums are taken over: ``jobs`` (n,) were placed by all results in ``members``.

    ``members`` and ``apart`` are positions in the results given, each in their order.
    """

    members: tuple[int, ...]
    apart: tuple[int, ...]
    jobs: Bools


def common_set(results: Sequence[SimulationResult]) -> CommonSet:
    """Divides the rules by how many jobs they placed; the one placing most is always a member."""
    placed = [int(result.placed.sum()) for result in results]
    limit = max(placed) * APART_PERCENT
    members = tuple(at for at, count in enumerate(placed) if count * 100 >= limit)
    return CommonSet(
        members=members,
        apart=tuple(at for at in range(len(results)) if at not in members),
        jobs=np.asarray(np.logical_and.reduce([results[at].placed for at in members])),
    )


def comparison(results: Sequence[SimulationResult], labels: Sequence[str]) -> dict[str, Any]:
    """All metrics of all policies over the common set, and the list of rivals' wins.

    The figures of a rule set apart are over the jobs that it and the row's ``apart`` partner both
    placed (the baseline, if that is in the common set), and never the ``best``.
    """
    common = common_set(results)
    columns = {m.key: dict(zip(labels, _columns(m, results), strict=True)) for m in METRICS}
    placed = {label: r.placed for label, r in zip(labels, results, strict=True)}
    members = [labels[at] for at in common.members]
    ours = next((labels[at] for at, r in enumerate(results) if r.policy.rule == "westward"), None)
    partner = ours if ours in members else members[0]
    division = job_classes(results[0])

    def tables(names: Sequence[str], jobs: Bools) -> _Tables:
        taken = {
            m.key: {n: columns[m.key][n] for n in (labels if m.everywhere else names)}
            for m in METRICS
        }
        return _tables(taken, jobs, division)

    whole = tables(members, common.jobs)
    pairs = {
        name: tables((partner, name), placed[partner] & placed[name])
        for name in (labels[at] for at in common.apart)
    }
    for at, row in enumerate(whole.overall):
        row["apart"] = {}
        if METRICS[at].everywhere:
            continue
        for name, pair in pairs.items():
            other = pair.overall[at]
            row["apart"][name] = {
                "jobs": other["jobs"],
                "partner": partner,
                "partner_value": other["values"][partner],
            }
            row["values"][name] = other["values"][name]
        row["values"] = {label: row["values"][label] for label in labels}
    answer: dict[str, Any] = {
        "jobs_placed_by_all": int(np.logical_and.reduce(list(placed.values())).sum()),
        "common": _coverage(results, labels, common, columns["total_cost"]),
        "set_apart": [
            {
                "label": name,
                "placed": int(placed[name].sum()),
                "refused": int((~placed[name]).sum()),
                "partner": partner,
                "jobs_both_placed": int((placed[name] & placed[partner]).sum()),
            }
            for name in pairs
        ],
        "apart_below_share": APART_PERCENT / 100,
        "baseline": ours,
        "win_share": WIN_SHARE,
        "class_jobs_min": CLASS_JOBS_MIN,
        "metrics": whole.overall,
        "classes": whole.classes,
        "identical": _identical(results, labels),
        "rival_wins": [],
    }
    answer["coverage_words"] = coverage_words(answer)
    if ours is not None and len(results) > 1:
        currency = results[0].network.currency
        wins = _wins(whole, ours, currency)
        for rival in labels:
            if rival != ours and (rival in pairs or ours in pairs):
                pair = tables((ours, rival), placed[ours] & placed[rival])
                wins += _wins(pair, ours, currency, both=True)
        answer["rival_wins"] = wins
    return answer


def _coverage(
    results: Sequence[SimulationResult],
    labels: Sequence[str],
    common: CommonSet,
    cost: dict[str, F64],
) -> dict[str, Any]:
    """How much of the workload the common set is: in jobs, and in a policy's own cost."""
    first = common.members[0]
    column = cost[labels[first]]
    whole = float(column[results[first].placed].sum())
    jobs = int(common.jobs.sum())
    return {
        "policies": [labels[at] for at in common.members],
        "jobs": jobs,
        "jobs_submitted": len(common.jobs),
        "jobs_share": jobs / len(common.jobs) if len(common.jobs) else 1.0,
        "cost_of": labels[first],
        "cost_share": float(column[common.jobs].sum()) / whole if whole else 1.0,
    }


def coverage_words(compared: dict[str, Any]) -> list[str]:
    """What the sums cover and which rules are set apart, in sentences; one policy needs none."""
    common, apart = compared["common"], compared["set_apart"]
    if len(common["policies"]) + len(apart) < 2:
        return []
    who = (
        f"that {', '.join(common['policies'])} all placed" if apart else "that every policy placed"
    )
    if len(common["policies"]) == 1:
        who = f"that {common['policies'][0]} placed"
    words = [
        f"The sums are over the {common['jobs']:,} of {common['jobs_submitted']:,} jobs {who}; they "
        f"are {_part(common['cost_share'])} of the cost of all that {common['cost_of']} placed."
    ]
    for row in apart:
        refused = row["refused"] / (row["refused"] + row["placed"])
        words.append(
            f"{row['label']} is set apart: it refused {row['refused']:,} jobs ({_part(refused)}) and "
            f"is compared over the {row['jobs_both_placed']:,} jobs that it and {row['partner']} "
            "both placed."
        )
    return words


def _part(share: float) -> str:
    """A share in per cent; only the whole is called 100 %."""
    return f"{share:.1%}" if share == 1 or share < 0.9995 else "over 99.9%"


@dataclass(frozen=True, slots=True)
class _Tables:
    overall: list[dict[str, Any]]
    classes: list[dict[str, Any]]


def _tables(
    columns: dict[str, dict[str, F64]], jobs: Bools, divisions: Sequence[JobClasses]
) -> _Tables:
    """Every metric of the policies whose columns are given, over ``jobs`` and over its classes."""
    masks = {m.key: _mask(m, list(columns[m.key].values()), jobs) for m in METRICS}
    overall = []
    for metric in METRICS:
        mask = masks[metric.key]
        values = {n: _reduce(metric.reduce, c[mask]) for n, c in columns[metric.key].items()}
        overall.append(
            {
                "key": metric.key,
                "label": metric.label,
                "unit": metric.unit,
                "jobs": int(mask.sum()),
                "values": values,
                "best": _best(values),
            }
        )
    return _Tables(overall, _by_class(columns, masks, divisions))


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


def _best(values: dict[str, float | None]) -> list[str]:
    """The lowest, with all that tie within the win share; none where all are equal."""
    known = {label: value for label, value in values.items() if value is not None}
    if len(known) < 2:
        return []
    limit = min(known.values()) * (1 + WIN_SHARE)
    best = [label for label, value in known.items() if value <= limit]
    return best if len(best) < len(known) else []


def _by_class(
    columns: dict[str, dict[str, F64]],
    masks: dict[str, Bools],
    divisions: Sequence[JobClasses],
) -> list[dict[str, Any]]:
    """Per class of jobs and metric: the mean per job (misses: the count) of each policy."""
    by_key = {metric.key: metric for metric in METRICS}
    rows: list[dict[str, Any]] = []
    for division in divisions:
        size = len(division.labels)
        submitted = np.bincount(division.member, minlength=size)
        cells: list[dict[str, Any]] = [{} for _ in division.labels]
        for key in CLASS_METRICS:
            metric, mask = by_key[key], masks[key]
            member = division.member[mask]
            jobs = np.bincount(member, minlength=size)
            sums = {
                n: np.bincount(member, c[mask], minlength=size) for n, c in columns[key].items()
            }
            for at in range(size):
                scale = 1 if metric.unit == "jobs" else max(1, int(jobs[at]))
                values: dict[str, float | None] = {
                    name: float(column[at]) / scale for name, column in sums.items()
                }
                cells[at][key] = {"jobs": int(jobs[at]), "values": values, "best": _best(values)}
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


def _wins(tables: _Tables, ours: str, currency: str, *, both: bool = False) -> list[dict[str, Any]]:
    """Every place where a rival is lower than ``ours`` by more than the win share.

    ``both``: the table is of two policies over the jobs both placed; each line says so, and
    metrics over all jobs are left to the table of all policies.
    """
    by_key = {metric.key: metric for metric in METRICS}
    wins: list[dict[str, Any]] = []
    for row in tables.overall:
        if not (both and by_key[row["key"]].everywhere):
            wins += _beaten(row, row["label"], row["unit"], "all jobs", ours, currency, both)
    kinds = list(dict.fromkeys(row["kind"] for row in tables.classes))
    # A division in which all jobs fall into one class says nothing that "all jobs" did not.
    telling = {k for k in kinds if sum(row["kind"] == k for row in tables.classes) > 1}
    for row in tables.classes:
        if row["kind"] not in telling:
            continue
        where = f"{row['kind']}: {row['label']}"
        for key in CLASS_METRICS:
            metric, cell = by_key[key], row["metrics"][key]
            if cell["jobs"] < CLASS_JOBS_MIN or (both and metric.everywhere):
                continue
            label = (
                metric.label if metric.unit in ("jobs", "duration") else f"{metric.label}, per job"
            )
            wins += _beaten(cell, label, metric.unit, where, ours, currency, both)
    return wins


def _beaten(
    cell: dict[str, Any],
    label: str,
    unit: Unit,
    where: str,
    ours: str,
    currency: str,
    both: bool,
) -> list[dict[str, Any]]:
    mine, apart = cell["values"].get(ours), cell.get("apart", {})
    if mine is None or ours in apart:
        return []
    better = [
        (value, rival)
        for rival, value in cell["values"].items()
        if rival != ours
        and rival not in apart
        and value is not None
        and value < mine * (1 - WIN_SHARE)
    ]
    better.sort()
    over = f", over the {cell['jobs']:,} jobs both placed" if both else ""
    return [
        {
            "where": where,
            "metric": label,
            "jobs": cell["jobs"],
            "both_placed": both,
            "rival": rival,
            "rival_value": value,
            "our_value": mine,
            "saving_share": (mine - value) / mine,
            "words": (
                f"{where}{over}: {rival} has the lower {_lower(label)}, "
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
