"""A clairvoyant lower bound: what no schedule of a workload can cost less than.

``lower_bound`` knows every job beforehand and its true run time. It is below the cost (device,
power, carbon, transfer and wait, priced as ``simulate`` charges) of every schedule that

- runs each job once and uninterrupted on one pool that can hold it,
- starts none before it was submitted and its input has been moved,
- keeps, of the deadlines, those that can be kept at all, and
- never uses more of a pool than its capacity, counted in devices.

Nodes, queues, orders and links may limit real schedules further: all that is left out, which can
only lower the bound. See docs/decisions/0012-lower-bound.md.

``gap`` compares a finished run with the bound of just the jobs which that run placed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.units import MS_PER_HOUR
from westward.model.workload import Workload
from westward.simulate.bound_costs import Problem, problem
from westward.simulate.bound_kernels import F64, NEVER_MS, U8
from westward.simulate.bound_prices import Answers, answers, raise_bound
from westward.simulate.engine import DEFAULT_ORIGIN_MS
from westward.simulate.results import SimulationResult

BUCKET_MS = MS_PER_HOUR
STEPS = 300
BEYOND_MS = 168 * MS_PER_HOUR
"""The grid's room after the last job could have run: what is put off longer finds capacity free."""
ROUNDING = 1e-9
"""Part taken off the bound for the rounding of sums of float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A certified lower bound and the prices that prove it."""

    total_micros: float
    """Of all counted jobs together."""
    alone_micros: float
    """The same with capacity free: each job as if it were alone in the network."""
    jobs: int
    """Counted: they can run somewhere."""
    nowhere: int
    """No pool can ever hold them: they cost nothing here and are not counted."""
    beyond: int
    """Jobs whose cheapest start lies beyond the grid (many: raise ``BEYOND_MS``)."""
    price: F64
    """(P, K) micros per device-hour of capacity, ≥ 0: what other jobs would have paid."""
    zero_ms: int
    """Absolute time of the first bucket."""
    bucket_ms: int
    steps: int
    seconds: float
    """Of this machine; the one field that differs between equal calls."""
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A run against the bound of the jobs it placed."""

    cost_micros: float
    bound_micros: float
    jobs: int
    """Placed by the run; the others count on neither side."""
    late: int
    """Of those, past their deadline; the bound lets each be as late as it was."""

    @property
    def share(self) -> float:
        """Cost over bound, less 1."""
        return self.cost_micros / self.bound_micros - 1.0 if self.bound_micros > 0 else np.inf


def lower_bound(
    network: Network,
    workload: Workload,
    policy: Policy,
    *,
    seed: int,
    zero_ms: int | None = None,
    origin_ms: int | None = None,
    counted: npt.NDArray[np.bool_] | None = None,
    bucket_ms: int = BUCKET_MS,
    steps: int = STEPS,
) -> Bound:
    """The bound for the jobs ``counted`` (all, if not given), after ``steps`` rounds of prices.

    ``seed``, ``zero_ms``: as ``simulate``; the homes drawn must be the same. A shorter bucket and
    more steps bring it closer; one round looks at every job once. ``bucket_ms`` must divide the
    step of every series (ValueError).
    """
    began = time.perf_counter()
    origin = network.origin_ms(DEFAULT_ORIGIN_MS) if origin_ms is None else origin_ms
    priced = problem(
        network,
        workload,
        policy,
        seed=seed,
        zero_ms=origin if zero_ms is None else zero_ms,
        origin_ms=origin,
        bucket_ms=bucket_ms,
        beyond_ms=BEYOND_MS,
    )
    mask = np.ones(len(workload), dtype=np.uint8)
    if counted is not None:
        mask = counted.astype(np.uint8)
    alone = answers(priced, np.zeros_like(priced.rate), mask)
    price, best = raise_bound(priced, mask, steps)
    nowhere = int(((alone.pool < 0) & (mask == 1)).sum())
    return Bound(
        total_micros=_certified(best),
        alone_micros=_certified(alone),
        jobs=int(mask.sum()) - nowhere,
        nowhere=nowhere,
        beyond=best.beyond,
        price=price,
        zero_ms=priced.zero_ms,
        bucket_ms=bucket_ms,
        steps=steps,
        seconds=time.perf_counter() - began,
        problem=priced,
    )


def bound_of(result: SimulationResult, *, bucket_ms: int = BUCKET_MS, steps: int = STEPS) -> Bound:
    """The bound for the jobs that this run placed, with its prices raised for just these."""
    return lower_bound(
        result.network,
        result.workload,
        result.policy,
        seed=result.seed,
        zero_ms=result.workload_zero_ms,
        origin_ms=result.series_origin_ms,
        counted=result.placed,
        bucket_ms=bucket_ms,
        steps=steps,
    )


def gap(result: SimulationResult, bound: Bound) -> Gap:
    """How far a run is from the bound, over the jobs which it placed.

    A run that refuses jobs would look cheap against a bound for all of them: so the bound is taken
    anew, at the same prices (they prove a bound for any set of jobs), for those that were placed.
    A job that ended past its deadline has its limit moved to that end, and one that ran in pieces
    may be cut into any pieces: else the bound might lie above what this very run paid.

    Raises ValueError when the result is not of the workload and homes the bound is for.
    """
    priced = bound.problem
    requests = priced.requests
    same = len(result) == len(requests.submit_ms) and np.array_equal(
        result.submit_ms - priced.zero_ms, requests.submit_ms
    )
    if not same or not np.array_equal(result.home_site, requests.home):
        raise ValueError("the bound is for another workload, zero or seed than this run's")
    placed = result.placed
    end_ms = result.end_ms - priced.zero_ms
    late = placed & (requests.end_by_ms < end_ms)
    pieces = _in_pieces(result)
    end_by_ms = np.where(late, end_ms, requests.end_by_ms)
    # A piece may lie anywhere until the run's own end of the job.
    end_by_ms = np.where(pieces == 1, end_ms, end_by_ms)
    allowed = priced.with_limits(end_by_ms, pieces)
    found = answers(allowed, bound.price, placed.astype(np.uint8))
    return Gap(
        cost_micros=float(total_micros(result)[placed].sum()),
        bound_micros=_certified(found),
        jobs=int(placed.sum()),
        late=int((late & (requests.end_by_ms < NEVER_MS)).sum()),
    )


def total_micros(result: SimulationResult) -> F64:
    """(J,) what each job cost: the five terms of the sum."""
    return (
        result.device_micros
        + result.power_micros
        + result.carbon_micros
        + result.transfer_micros
        + result.wait_micros
    )


def _in_pieces(result: SimulationResult) -> U8:
    """1 where the job ran more than once (preempted, suspended, moved, its site lost)."""
    pieces = np.zeros(len(result), dtype=np.uint8)
    segments = getattr(result, "segments", None)
    if segments is not None:
        pieces[segments.row] = 1
    return pieces


def _certified(found: Answers) -> float:
    """The bound less what rounding may have added."""
    return found.total_micros - ROUNDING * (float(np.abs(found.cost).sum()) + found.worth_micros)
