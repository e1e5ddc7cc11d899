"""``summary``: every total that summary.json states, summed anew; ``hours``: the hourly table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from tests.checker.case import HOUR_MS, Case, close
from tests.checker.rehearsal import Row, Segment
from tests.checker.rows import waited_ms

TERMS = ("device", "power", "carbon", "transfer", "wait")
FLOOR_MS = 10_000
NO_HOME = "(no home)"


class Claims:
    """Compares what is stated with what it should be, under a dotted name."""

    def __init__(self, case: Case, rule: str):
        self._case, self._rule = case, rule

    def same(self, name: str, stated: Any, true: Any) -> None:
        if stated != true:
            self._case.say(self._rule, f"{name} is {stated}, the table gives {true}")

    def near(
        self, name: str, stated: float | None, true: float | Fraction | None, slack: float = 0.0
    ) -> None:
        if stated is None or true is None:
            self.same(name, stated, true)
        elif not close(stated, Fraction(true), Fraction(slack)):
            self._case.say(self._rule, f"{name} is {stated}, the table gives {float(true):.12g}")


def check_summary(case: Case, until_ms: int) -> None:
    """``until_ms``: the last end of all policies of the folder; use is counted up to it."""
    said, rows = case.rehearsal.summary, case.rehearsal.rows
    placed = [row for row in rows if row["start_ms"] is not None]
    claims = Claims(case, "summary")
    claims.same("jobs.submitted", said["jobs"]["submitted"], len(rows))
    claims.same("jobs.placed", said["jobs"]["placed"], len(placed))
    claims.same("jobs.unplaced", said["jobs"]["unplaced"], len(rows) - len(placed))
    refused = Counter(row["refusal"] for row in rows if row["start_ms"] is None)
    told = {part["code"]: part["jobs"] for part in said["jobs"]["unplaced_by_reason"]}
    claims.same("jobs.unplaced_by_reason", told, dict(refused))
    _money(claims, said, placed)
    _carbon(claims, said, placed)
    missed = [
        row
        for row in rows
        if row["deadline_ms"] is not None
        and (row["end_ms"] is None or row["end_ms"] > row["deadline_ms"])
    ]
    dated = sum(row["deadline_ms"] is not None for row in rows)
    claims.same("deadlines.jobs", said["deadlines"]["jobs"], dated)
    claims.same("deadlines.missed", said["deadlines"]["missed"], len(missed))
    unplaced = sum(row["end_ms"] is None for row in missed)
    claims.same(
        "deadlines.missed_because_unplaced", said["deadlines"]["missed_because_unplaced"], unplaced
    )
    _waits(case, claims)
    put_off = [row["put_off_ms"] for row in placed if row["put_off_ms"] > 0]
    claims.same("put_off.jobs", said["put_off"]["jobs"], len(put_off))
    claims.near("put_off.mean_ms", said["put_off"]["mean_ms"], _mean(put_off))
    claims.same(
        "first_submit_ms",
        said["first_submit_ms"],
        min((r["submit_ms"] for r in rows), default=None),
    )
    claims.same(
        "last_end_ms", said["last_end_ms"], max((r["end_ms"] for r in placed), default=None)
    )
    _sites(case, claims, until_ms)
    _flows(case, claims, placed)


def _waits(case: Case, claims: Claims) -> None:
    """Standing still after a stop, and doing lost work again, is waiting too."""
    pieces: dict[int, list[Segment]] = {}
    for segment in case.rehearsal.segments:
        pieces.setdefault(segment.row, []).append(segment)
    if case.source is None and any(len(runs) > 1 for runs in pieces.values()):
        case.notes.append("waits were not summed: how often stopped jobs save is not known")
        return
    waits, slowdowns = [], []
    for at, row in case.rehearsal.placed():
        stayed = row["end_ms"] - row["submit_ms"]
        waited = row["start_ms"] - row["submit_ms"]
        run = row["run_ms"]
        if len(pieces.get(at, ())) > 1:
            waited = waited_ms(case, at, row, pieces[at])
            run = stayed - waited
        waits.append(waited)
        slowdowns.append(max(Fraction(1), Fraction(stayed, max(run, FLOOR_MS))))
    said = case.rehearsal.summary
    _distribution(claims, "wait_ms", said["wait_ms"], waits)
    _distribution(claims, "bounded_slowdown", said["bounded_slowdown"], slowdowns)


def _money(claims: Claims, said: Row, placed: list[Row]) -> None:
    sums = {term: math.fsum(row[f"{term}_micros"] for row in placed) for term in TERMS}
    sums["total"] = math.fsum(sums[term] for term in TERMS)
    sums["paid"] = sums["device"] + sums["power"] + sums["transfer"]
    for term, value in sums.items():
        claims.near(f"cost_micros.{term}", said["cost_micros"][term], value, 1.0)
    energy = math.fsum(row["energy_kwh"] for row in placed)
    claims.near("energy_kwh", said["energy_kwh"], energy)
    claims.same("moved_bytes", said["moved_bytes"], sum(row["moved_bytes"] for row in placed))


def _carbon(claims: Claims, said: Row, placed: list[Row]) -> None:
    whole = math.fsum(row["energy_kwh"] for row in placed)
    for method in ("location", "contract"):
        name = f"carbon_{method}_g"
        known = [row for row in placed if row[name] is not None]
        claims.near(f"{name}.grams", said[name]["grams"], math.fsum(row[name] for row in known))
        share = math.fsum(row["energy_kwh"] for row in known) / whole if whole > 0 else 1.0
        claims.near(f"{name}.energy_covered", said[name]["energy_covered"], share)


def _mean(values: list[int] | list[Fraction]) -> Fraction | None:
    return Fraction(sum(values, Fraction(0))) / len(values) if values else None


def _distribution(claims: Claims, name: str, said: Row, values: list[int] | list[Fraction]) -> None:
    claims.near(f"{name}.mean", said["mean"], _mean(values))
    ranked = sorted(Fraction(value) for value in values)
    for part, percent in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
        true = None
        if ranked:
            rank = Fraction((len(ranked) - 1) * percent, 100)
            low = rank.numerator // rank.denominator
            high = min(low + 1, len(ranked) - 1)
            true = ranked[low] + (ranked[high] - ranked[low]) * (rank - low)
        claims.near(f"{name}.{part}", said[part], true, 1e-6)


def _sites(case: Case, claims: Claims, until_ms: int) -> None:
    network = case.network
    first = min((row["submit_ms"] for row in case.rehearsal.rows), default=until_ms)
    window = max(1, until_ms - first)
    held: dict[str, int] = dict.fromkeys(network.sites, 0)
    for segment in case.rehearsal.segments:
        pool = case.pool(segment.pool)
        if pool is not None:
            need = case.need(segment.row, pool) or 0
            held[pool.site] += need * (segment.end_ms - segment.start_ms)
    jobs = Counter(row["site"] for row in case.rehearsal.rows if row["start_ms"] is not None)
    told = {part["site"]: part for part in case.rehearsal.summary["utilisation"]}
    claims.same("utilisation sites", sorted(told), sorted(network.sites))
    for site, part in told.items():
        if site not in held:
            continue
        capacity = sum(p.capacity_milli for p in network.pools.values() if p.site == site)
        claims.same(f"utilisation.{site}.jobs", part["jobs"], jobs[site])
        claims.near(
            f"utilisation.{site}.capacity_devices",
            part["capacity_devices"],
            Fraction(capacity, 1000),
        )
        claims.near(
            f"utilisation.{site}.device_hours",
            part["device_hours"],
            Fraction(held[site], 1000 * HOUR_MS),
        )
        if capacity:
            claims.near(
                f"utilisation.{site}", part["utilisation"], Fraction(held[site], capacity * window)
            )


def _flows(case: Case, claims: Claims, placed: Iterable[Row]) -> None:
    jobs: Counter[tuple[str, str]] = Counter()
    moved: Counter[tuple[str, str]] = Counter()
    for row in placed:
        pair = (row["home"] or NO_HOME, row["site"])
        jobs[pair] += 1
        moved[pair] += row["moved_bytes"]
    told = {(part["home"], part["site"]): part for part in case.rehearsal.summary["flows"]}
    claims.same("flows", {pair: part["jobs"] for pair, part in told.items()}, dict(jobs))
    for pair, part in told.items():
        claims.same(f"flows.{pair}.moved_bytes", part["moved_bytes"], moved[pair])


def check_moved(case: Case) -> None:
    """``moved``: exactly the inputs of jobs that ran away from home were moved."""
    for at, row in case.rehearsal.placed():
        job = case.jobs[at]
        if job is None:
            continue
        true = job.input_bytes if row["site"] != row["home"] else 0
        if row["moved_bytes"] != true and not (job.dataset >= 0 and row["moved_bytes"] == 0):
            case.say("moved", f"moved_bytes is {row['moved_bytes']}; {true} had to move", at)


def check_hours(case: Case) -> None:
    """Device time in whole milli-devices × ms, exactly; starts, ends and arrivals counted."""
    hours = case.rehearsal.hours
    if hours is None:
        return
    claims = Claims(case, "hours")
    for name, pool in case.network.pools.items():
        mine = [hour for hour in hours if hour["pool"] == name]
        pieces = [segment for segment in case.rehearsal.segments if segment.pool == name]
        true = sum((case.need(s.row, pool) or 0) * (s.end_ms - s.start_ms) for s in pieces)
        claims.same(f"{name}: device time", sum(hour["device_milli_ms"] for hour in mine), true)
        claims.same(f"{name}: starts", sum(hour["starts"] for hour in mine), len(pieces))
        claims.same(f"{name}: ends", sum(hour["ends"] for hour in mine), len(pieces))
        full = [h for h in mine if h["device_milli_ms"] > pool.capacity_milli * h["step_ms"]]
        claims.same(f"{name}: hours that hold more than there is", len(full), 0)
