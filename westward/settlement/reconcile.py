"""Meter ↔ engine ↔ bill ↔ ledger, run by run: each difference named, with its size.

A finding is *tolerated* (within what two honest clocks differ by), *explained* (evidence accounts
for it and nobody is charged wrongly) or *open* (named or not, somebody has to act).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from westward.ledger.rounding import round_half_even
from westward.settlement.engine_rows import EngineRow

Verdict = Literal["tolerated", "explained", "open"]

COUNTING_MS = 1_000
"""Engines count whole seconds: a span is off by less than one."""
START_UP_MS = 2_000
"""An engine counts from before the supervisor starts until after it ends."""
LOST_OUTCOMES = ("lost", "lease-expired", "never-offered")
RUN_PREFIX = "run_"
"""Of the names under which runs are submitted to engines."""

CODES: Mapping[str, str] = {
    "counting": "the engine counts whole seconds",
    "start-up": "the engine counts from before the supervisor starts until after it ends",
    "engine-counts-queue": "the engine's time holds time that the job waited",
    "clock": "the engine's clock is off, by the same at start and end",
    "missing-reading": "readings between the first and the last never came",
    "unheard-tail": "the run was lost: what it used after its last reading is not charged",
    "late-report": "all readings are there; the site told of the end late",
    "doubled-reading": "readings that repeat the one before them make up what is too much",
    "devices": "meter and engine do not count the same devices",
    "whole-cards": "the engine hands out whole cards where the run needs a part of one",
    "unexplained": "nothing that is known accounts for it",
    "run-without-bill": "the run is over and has no bill",
    "bill-differs-from-meter": "the bill is for other device time than the meter's",
    "bill-differs-from-price": "the bill is not what its readings cost at the network's prices",
    "bill-not-checked": "the network no longer says what the run's pool costs",
    "move-unpriced": "bytes were moved over lines whose price the network does not state",
    "corrected": "a closed dispute has corrected the bill",
    "engine-row-missing": "the run started, and the engine's account has no such job",
    "engine-row-unknown": "the engine has a job named like a run that the server does not know",
    "engine-row-twice": "the engine has several jobs of this name",
    "bill-without-transfer": "the ledger has nothing of a run that has a bill",
    "transfer-without-bill": "the ledger has transfers of a run that has no bill",
    "correction-not-posted": "the ledger has the bill as it was before a closed dispute",
    "transfer-differs": "the ledger's transfers are not the bill and its corrections",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the server has of one run. Times in ms UTC, ``None`` = not (yet) known."""

    job_id: str
    job_name: str
    run_id: str
    attempt: int
    pool: str
    need_milli: int
    started_ms: int | None
    ended_ms: int | None
    outcome: str
    in_period: bool
    """Others are given so that the engine's rows at the period's ends find their runs."""
    readings: int = 0
    missing_readings: int = 0
    """Numbers that are missing between 0 and the last one."""
    wall_ms: int = 0
    device_milli_ms: int = 0
    repeated_ms: int = 0
    """Wall time of readings that are in every figure as the one before them."""
    billed: bool = False
    bill_device_milli_ms: int = 0
    bill_device_micros: int = 0
    bill_micros: int = 0
    price_micros: int | None = None
    """The bill worked out anew; None: the prices are not known any more."""
    unpriced_bytes: int = 0
    corrected_micros: int = 0
    """By closed disputes."""
    disputes_closed: tuple[str, ...] = ()
    posted_micros: int | None = None
    """What the ledger's rows took from payers for it, net, by the rows alone; None: there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference. ``size_ms``: of wall time, meter − engine (or − the server's span);
    ``size_micros``: what it comes to in money, where that can be said."""

    run_id: str
    job_id: str
    job_name: str
    between: str
    code: str
    verdict: Verdict
    size_ms: int | None = None
    size_micros: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    findings: tuple[Finding, ...]
    runs: int
    metered: int
    billed: int
    engine_compared: int | None
    """Runs with a row of the engine; None: no rows were given."""
    engine_others: int
    """The engine's rows that are none of ours."""
    ledger_compared: bool
    metered_ms: int
    engine_ms: int
    """Of the runs compared."""
    bill_micros: int

    @property
    def open(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.verdict == "open")


def reconcile(
    runs: Sequence[RunFacts],
    rows: Sequence[EngineRow] | None = None,
    postings: Mapping[str, int] | None = None,
    *,
    tolerance_ms: int = START_UP_MS,
) -> Reconciliation:
    """``rows``: the engine's account of the site (None: not compared); ``postings``: millionths
    that the ledger took from payers by run, net (None: not compared)."""
    own = [one for one in runs if one.in_period]
    findings: list[Finding] = []
    by_name = _by_name(rows or ())
    compared = metered_ms = engine_ms = 0
    for run in own:
        findings += _meter_and_bill(run)
        engine = by_name.get(run.run_id, [])
        if rows is None:
            findings += _meter_and_span(run, tolerance_ms)
        elif not engine:
            findings += _no_row(run)
            findings += _meter_and_span(run, tolerance_ms)
        else:
            compared += 1
            metered_ms += run.wall_ms
            engine_ms += engine[0].elapsed_ms
            findings += _meter_and_engine(run, engine, tolerance_ms)
        if postings is not None:
            findings += _bill_and_ledger(run, postings.get(run.run_id))
    known = {run.run_id for run in runs}
    others = 0
    for name, several in by_name.items():
        if name in known:
            continue
        if name.startswith(RUN_PREFIX):
            size = sum(one.elapsed_ms for one in several)
            findings.append(_strange(name, several[0], size))
        else:
            others += len(several)
    return Reconciliation(
        findings=tuple(findings),
        runs=len(own),
        metered=sum(one.readings > 0 for one in own),
        billed=sum(one.billed for one in own),
        engine_compared=None if rows is None else compared,
        engine_others=others,
        ledger_compared=postings is not None,
        metered_ms=metered_ms,
        engine_ms=engine_ms,
        bill_micros=sum(one.bill_micros for one in own),
    )


def _by_name(rows: Iterable[EngineRow]) -> dict[str, list[EngineRow]]:
    found: dict[str, list[EngineRow]] = {}
    for row in rows:
        found.setdefault(row.name, []).append(row)
    return found


def _finding(
    run: RunFacts,
    between: str,
    code: str,
    verdict: Verdict,
    size_ms: int | None = None,
    size_micros: int | None = None,
    more: str = "",
) -> Finding:
    if size_micros is None and size_ms is not None:
        size_micros = _worth(run, size_ms)
    if verdict == "open" and run.disputes_closed and between != "bill/ledger":
        more = f"{CODES[code]}; {more}" if more else CODES[code]
        more += f" ({', '.join(run.disputes_closed)})"
        code, verdict = "corrected", "explained"
    return Finding(
        run_id=run.run_id,
        job_id=run.job_id,
        job_name=run.job_name,
        between=between,
        code=code,
        verdict=verdict,
        size_ms=size_ms,
        size_micros=size_micros,
        text=f"{CODES[code]}: {more}" if more else CODES[code],
    )


def _worth(run: RunFacts, span_ms: int) -> int | None:
    """A span of the run's devices at what its bill says of device time."""
    if not run.bill_device_milli_ms:
        return None
    rate = Fraction(run.bill_device_micros * run.need_milli, run.bill_device_milli_ms)
    return round_half_even(rate * span_ms)


def _meter_and_bill(run: RunFacts) -> Iterable[Finding]:
    if run.ended_ms is not None and not run.billed:
        size = -run.wall_ms
        yield _finding(run, "meter/bill", "run-without-bill", "open", size, more=run.outcome)
    if run.unpriced_bytes:
        more = f"{run.unpriced_bytes} bytes"
        yield _finding(run, "moves/bill", "move-unpriced", "explained", more=more)
    expected = run.wall_ms * run.need_milli
    if run.device_milli_ms != expected:
        more = f"{run.device_milli_ms} milli-device ms metered, {run.need_milli} milli-devices held"
        span = (run.device_milli_ms - expected) // run.need_milli if run.need_milli else None
        yield _finding(run, "meter/lease", "devices", "open", span, more=more)
    if not run.billed:
        return
    if run.bill_device_milli_ms != run.device_milli_ms:
        less = run.bill_device_milli_ms - run.device_milli_ms
        span = less // run.need_milli if run.need_milli else None
        more = f"{less:+d} milli-device ms"
        yield _finding(run, "meter/bill", "bill-differs-from-meter", "open", span, more=more)
    elif run.price_micros is None:
        yield _finding(run, "bill/price", "bill-not-checked", "explained")
    elif run.price_micros != run.bill_micros:
        size = run.bill_micros - run.price_micros
        yield _finding(run, "bill/price", "bill-differs-from-price", "open", size_micros=size)


def _meter_and_span(run: RunFacts, tolerance_ms: int) -> Iterable[Finding]:
    """Without the engine's word: the time between what the server heard of start and end."""
    if run.started_ms is None or run.ended_ms is None:
        return
    size = run.wall_ms - (run.ended_ms - run.started_ms)
    between = "meter/server"
    if abs(size) <= tolerance_ms:
        return
    if size > 0:
        yield _too_much(run, between, size, tolerance_ms)
    else:
        found = _too_little(run, between, size)
        # With every number there and the end told by the site itself, the last reading is too.
        yield found or _finding(run, between, "late-report", "explained", size)


def _too_much(run: RunFacts, between: str, size: int, tolerance_ms: int) -> Finding:
    if run.repeated_ms and abs(size - run.repeated_ms) <= tolerance_ms + COUNTING_MS:
        return _finding(run, between, "doubled-reading", "open", size)
    return _finding(run, between, "unexplained", "open", size)


def _too_little(run: RunFacts, between: str, size: int) -> Finding | None:
    if run.missing_readings:
        more = f"{run.missing_readings} of {run.readings + run.missing_readings}"
        return _finding(run, between, "missing-reading", "open", size, more=more)
    if run.outcome in LOST_OUTCOMES:
        return _finding(run, between, "unheard-tail", "explained", size)
    return None


def _no_row(run: RunFacts) -> Iterable[Finding]:
    if run.started_ms is not None:
        size = run.wall_ms
        yield _finding(run, "meter/engine", "engine-row-missing", "open", size)


def _meter_and_engine(
    run: RunFacts, engine: Sequence[EngineRow], tolerance_ms: int
) -> Iterable[Finding]:
    between = "meter/engine"
    row = engine[0]
    if len(engine) > 1:
        more = ", ".join(one.engine_id for one in engine)
        yield _finding(run, between, "engine-row-twice", "open", more=more)
    if row.gpus is not None and row.gpus * 1000 != run.need_milli:
        whole = -(-run.need_milli // 1000)
        more = f"{row.gpus} cards of the engine, {run.need_milli} milli-devices"
        code, verdict = ("whole-cards", "explained") if row.gpus == whole else ("devices", "open")
        yield _finding(run, between, code, verdict, more=more)  # type: ignore[arg-type]
    yield from _shift(run, row, tolerance_ms)
    size = run.wall_ms - row.elapsed_ms
    if size == 0:
        return
    if abs(size) < COUNTING_MS:
        yield _finding(run, between, "counting", "tolerated", size)
    elif -tolerance_ms - COUNTING_MS < size < 0:
        yield _finding(run, between, "start-up", "tolerated", size)
    elif size > 0:
        yield _too_much(run, between, size, tolerance_ms)
    else:
        yield (
            _queue(run, between, row, size, tolerance_ms)
            or _too_little(run, between, size)
            or _finding(run, between, "unexplained", "open", size)
        )


def _queue(
    run: RunFacts, between: str, row: EngineRow, size: int, tolerance_ms: int
) -> Finding | None:
    """The engine's elapsed time runs from the submission: the wait accounts for the difference."""
    if row.submit_ms is None or row.start_ms is None or row.end_ms is None:
        return None
    waited = row.start_ms - row.submit_ms
    counted = row.elapsed_ms - (row.end_ms - row.start_ms)
    rest = size + waited
    near = (
        abs(counted - waited) <= COUNTING_MS and -tolerance_ms - COUNTING_MS < rest <= COUNTING_MS
    )
    if waited > 0 and near:
        more = f"{waited} ms of waiting"
        return _finding(run, between, "engine-counts-queue", "explained", size, more=more)
    return None


def _shift(run: RunFacts, row: EngineRow, tolerance_ms: int) -> Iterable[Finding]:
    """Start and end are off by the same, which durations do not show; a month's end may."""
    if None in (row.start_ms, row.end_ms, run.started_ms, run.ended_ms):
        return
    assert row.start_ms is not None
    assert row.end_ms is not None
    assert run.started_ms is not None
    assert run.ended_ms is not None
    at_start, at_end = run.started_ms - row.start_ms, run.ended_ms - row.end_ms
    near = tolerance_ms + COUNTING_MS
    if abs(at_start) > near and abs(at_end) > near and abs(at_start - at_end) <= near:
        more = f"the server's times are {at_start:+d} ms from the engine's"
        yield _finding(
            run, "server/engine", "clock", "explained", at_start, size_micros=0, more=more
        )


def _bill_and_ledger(run: RunFacts, posted: int | None) -> Iterable[Finding]:
    due = run.bill_micros + run.corrected_micros
    between = "bill/ledger"
    if run.billed and posted is None:
        if due:
            yield _finding(run, between, "bill-without-transfer", "open", size_micros=due)
    elif not run.billed and posted:
        yield _finding(run, between, "transfer-without-bill", "open", size_micros=-posted)
    elif posted is not None and run.corrected_micros and posted == run.bill_micros:
        size = run.corrected_micros
        yield _finding(run, between, "correction-not-posted", "explained", size_micros=size)
    elif posted is not None and run.billed and posted != due:
        yield _finding(run, between, "transfer-differs", "open", size_micros=due - posted)


def _strange(name: str, row: EngineRow, size: int) -> Finding:
    return Finding(
        run_id=name,
        job_id="",
        job_name="",
        between="meter/engine",
        code="engine-row-unknown",
        verdict="open",
        size_ms=-size,
        text=f"{CODES['engine-row-unknown']}: {row.engine_id}, {row.state}",
    )
