"""The figures of one rehearsal, as plain JSON-ready values: cost, carbon, wait, use, flows.

Percentiles interpolate linearly between ranks. Waits are of placed jobs only; the jobs that no
pool took are counted beside them, by reason, so that refusing work cannot look like speed.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from westward.model.reasons import CODE_TEXT
from westward.model.units import MS_PER_HOUR, MS_PER_S
from westward.model.workload import I64
from westward.placement.intervals import SHARE_ABOVE, SHARE_BELOW
from westward.simulate.results import F64, REFUSAL_CODES, SimulationResult
from westward.simulate.runs import runs_of
from westward.simulate.share_report import share_report
from westward.simulate.tables import (
    deadlines_ms,
    job_sites,
    moved_bytes,
    pool_sites,
    total_micros,
)
from westward.simulate.waits import wait_scores
from westward.simulate.who_paid import who_paid

SLOWDOWN_FLOOR_MS = 10 * MS_PER_S
"""Run time below which slowdown is not blamed on the scheduler (Feitelson's bound)."""
INTERVAL_SHARE = SHARE_ABOVE - SHARE_BELOW
TERMS = ("device", "power", "carbon", "transfer", "wait")
NO_HOME = "(no home)"

Values = dict[str, Any]


def policy_summary(result: SimulationResult, *, until_ms: int) -> Values:
    """Everything reported of one policy. Utilisation counts from the first submission to
    ``until_ms`` (absolute), so that policies with different ends can be compared."""
    placed = result.placed
    missed = deadline_missed(result)
    return {
        "label": result.label,
        "policy": asdict(result.policy),
        "jobs": {
            "submitted": len(result),
            "placed": int(placed.sum()),
            "unplaced": int((~placed).sum()),
            "unplaced_by_reason": unplaced_by_reason(result),
        },
        "cost_micros": cost_terms(result),
        "energy_kwh": float(result.energy_kwh[placed].sum()),
        "carbon_location_g": known_sum(result.carbon_location_g, result),
        "carbon_contract_g": known_sum(result.carbon_contract_g, result),
        "wait_ms": distribution(wait_ms(result)[placed].astype(np.float64)),
        "put_off": _put_off(result),
        "bounded_slowdown": distribution(bounded_slowdown(result)[placed]),
        "deadlines": {
            "jobs": int((result.workload.deadline_ms >= 0).sum()),
            "missed": int(missed.sum()),
            "missed_because_unplaced": int((missed & ~placed).sum()),
        },
        "moved_bytes": int(moved_bytes(result).sum()),
        "first_submit_ms": int(result.submit_ms.min()) if len(result) else None,
        "last_end_ms": int(result.end_ms.max()) if placed.any() else None,
        "utilisation": site_utilisation(result, until_ms=until_ms),
        "flows": flows(result),
        "start_prediction": start_prediction(result),
        **_shares(result),
        **_scenario(result),
    }


def _shares(result: SimulationResult) -> Values:
    told = share_report(result)
    return {} if told is None else {"shares": told}


def _scenario(result: SimulationResult) -> Values:
    """What was rehearsed beside network, workload and policy; nothing where nothing was."""
    if result.scenario is None:
        return {}
    delegated = result.scenario.delegated_pools
    scores = [asdict(one) for one in wait_scores(result, delegated=True)] if delegated else []
    told: Values = {}
    if result.vouchers is not None:
        told["vouchers"] = who_paid(result.vouchers, result.network)
    scenario = asdict(replace(result.scenario, vouchers=None))
    return {"scenario": scenario, "waits_by_pool": scores, **told}


def wait_ms(result: SimulationResult) -> I64:
    """Until the first start, and after it while stopped or doing lost work again (n,);
    meaningless where not placed."""
    wait = result.start_ms - result.submit_ms
    if result.segments is None:
        return wait
    several = np.unique(result.segments.row)
    wait[several] = (result.end_ms - result.submit_ms - run_ms(result))[several]
    return wait


def run_ms(result: SimulationResult) -> I64:
    """True run time where it ran, less work that was lost (n,); 0 where not placed."""
    run: I64 = np.where(result.placed, result.end_ms - result.start_ms, 0)
    if result.segments is not None:
        runs = result.segments
        run[runs.row] = 0
        np.add.at(run, runs.row, runs.end_ms - runs.start_ms - runs.lost_ms)
    return run


def bounded_slowdown(result: SimulationResult) -> F64:
    """max(1, (end - submission) / max(run, 10 s)) (n,); meaningless where not placed."""
    stayed = result.end_ms - result.submit_ms
    return np.maximum(1.0, stayed / np.maximum(run_ms(result), SLOWDOWN_FLOOR_MS))


def device_hours(result: SimulationResult) -> F64:
    """Held device-hours per job, all its runs together (n,); 0 where not placed."""
    runs = runs_of(result)
    held = runs.need_milli * (runs.length_ms / (1000.0 * MS_PER_HOUR))
    whole = np.bincount(runs.row, held, minlength=len(result))
    return np.asarray(whole, dtype=np.float64)


def deadline_missed(result: SimulationResult) -> npt.NDArray[np.bool_]:
    """Jobs with a deadline that ended after it or never ran (n,)."""
    late = ~result.placed | (result.end_ms > deadlines_ms(result))
    return np.asarray((result.workload.deadline_ms >= 0) & late)


def cost_terms(result: SimulationResult) -> dict[str, int]:
    """Sums over placed jobs in whole millionths; ``paid`` leaves out the carbon and wait terms."""
    placed = result.placed
    sums = {term: float(getattr(result, f"{term}_micros")[placed].sum()) for term in TERMS}
    sums["total"] = float(total_micros(result)[placed].sum())
    sums["paid"] = sums["device"] + sums["power"] + sums["transfer"]
    return {term: round(value) for term, value in sums.items()}


def known_sum(grams: F64, result: SimulationResult) -> Values:
    """The sum where a factor is known, and the share of the energy that it covers."""
    energy = np.where(result.placed, result.energy_kwh, 0.0)
    known = result.placed & ~np.isnan(grams)
    whole = float(energy.sum())
    return {
        "grams": float(grams[known].sum()),
        "energy_covered": float(energy[known].sum()) / whole if whole > 0 else 1.0,
    }


def distribution(values: F64) -> Values:
    """mean, p50, p95, p99 and maximum; all null when there is nothing to describe."""
    if not len(values):
        return dict.fromkeys(("mean", "p50", "p95", "p99", "max"))
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {
        "mean": float(values.mean()),
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
        "max": float(values.max()),
    }


def unplaced_by_reason(result: SimulationResult) -> list[Values]:
    """Most frequent first; ties in the order of the codes."""
    counts = np.bincount(result.refusal[~result.placed], minlength=len(REFUSAL_CODES) + 1)
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda at: (-counts[at], at))
    rows: list[Values] = []
    for at in order:
        code = REFUSAL_CODES[at - 1] if at else None
        rows.append(
            {
                "code": code.value if code else "not-stated",
                "text": CODE_TEXT[code] if code else "the engine gave no reason",
                "jobs": int(counts[at]),
            }
        )
    return rows


def site_utilisation(result: SimulationResult, *, until_ms: int) -> list[Values]:
    """Device time held over device time there was, per site, in the network's order."""
    first_ms = int(result.submit_ms.min()) if len(result) else until_ms
    window_ms = max(1, until_ms - first_ms)
    sites = result.network.sites
    capacity = np.zeros(len(sites), dtype=np.int64)
    for pool, site in zip(result.network.pools, pool_sites(result), strict=True):
        capacity[site] += pool.capacity_milli
    placed = result.placed
    runs = runs_of(result)
    hours = runs.need_milli * (runs.length_ms / (1000.0 * MS_PER_HOUR))
    held = np.bincount(pool_sites(result)[runs.pool], hours, minlength=len(sites))
    jobs = np.bincount(job_sites(result)[placed], minlength=len(sites))
    return [
        {
            "site": site.name,
            "capacity_devices": capacity[at] / 1000.0,
            "jobs": int(jobs[at]),
            "device_hours": float(held[at]),
            "utilisation": float(held[at] / (capacity[at] / 1000.0 * window_ms / MS_PER_HOUR))
            if capacity[at]
            else None,
        }
        for at, site in enumerate(sites)
    ]


def flows(result: SimulationResult) -> list[Values]:
    """Jobs, device-hours and input bytes from each home to each site (only pairs that occur).

    A job counts, with all its runs, where it ran last."""
    sites = result.network.sites
    placed = result.placed
    pair = ((result.home_site + 1) * len(sites) + job_sites(result))[placed]
    size = (len(sites) + 1) * max(1, len(sites))
    jobs = np.bincount(pair, minlength=size)
    hours = np.bincount(pair, device_hours(result)[placed], minlength=size)
    data = np.bincount(pair, moved_bytes(result)[placed].astype(np.float64), minlength=size)
    rows = []
    for at in np.flatnonzero(jobs).tolist():
        home, site = divmod(at, len(sites))
        rows.append(
            {
                "home": sites[home - 1].name if home else NO_HOME,
                "site": sites[site].name,
                "jobs": int(jobs[at]),
                "device_hours": float(hours[at]),
                "moved_bytes": int(data[at]),
            }
        )
    return rows


def start_prediction(result: SimulationResult) -> Values:
    """How far the true start lay from the start estimated at binding (positive = later), and how
    often it lay in the interval told to those that had to wait for capacity."""
    known = result.placed & (result.predicted_start_ms >= 0)
    error = (result.start_ms - result.predicted_start_ms)[known].astype(np.float64)
    if not len(error):
        return {"jobs": 0}
    told = result.placed & (result.start_low_ms >= 0)
    inside = (result.start_low_ms <= result.start_ms) & (result.start_ms <= result.start_high_ms)
    return {
        "interval_jobs": int(told.sum()),
        "interval_share_stated": INTERVAL_SHARE,
        "interval_share_inside": float(inside[told].mean()) if told.any() else None,
        "jobs": len(error),
        "mean_error_ms": float(error.mean()),
        "mean_absolute_error_ms": float(np.abs(error).mean()),
        "p95_absolute_error_ms": float(np.percentile(np.abs(error), 95)),
        "exact_share": float((error == 0).mean()),
        "later_share": float((error > 0).mean()),
        "earlier_share": float((error < 0).mean()),
    }


def _put_off(result: SimulationResult) -> Values:
    """Jobs the planner itself put off to a better hour."""
    delay = np.where(result.placed, result.not_before_ms - result.submit_ms, 0)
    moved = delay > 0
    return {
        "jobs": int(moved.sum()),
        "mean_ms": float(delay[moved].mean()) if moved.any() else None,
    }
