"""Queue orders: who of the waiting goes first. Lower score first; ties in the order of arrival.

Each order is a number, so that compiled loops can take it as an argument. ``score`` works in
seconds and processors, the units in which these rules were published.

- ``fcfs``    submit time.
- ``sjf``     requested time, shortest first.
- ``smallest`` requested processors, fewest first.
- ``wfp3``    −(wait/requested)³ · processors (Tang et al., CLUSTER 2009).
- ``unicep``  −wait / (log2(processors) · requested) (Tang et al., CLUSTER 2009).
- ``f1``-``f4`` fitted by simulation and regression (Carastan-Santos and de Camargo, SC'17).
- ``wfp3_schedgym``, ``unicep_schedgym``  the two as RLScheduler's simulator evaluated them
  (SC'20): its waiting time is "scheduled time − submit time" with scheduled time −1 for a job that
  still waits, so the "wait" is −(1 + submit time), does not grow, and is longer for *later* jobs.
"""

from __future__ import annotations

import math

from westward.jit import jit
from westward.model.faults import Fault, InputFaults

FCFS = 0
SJF = 1
SMALLEST = 2
WFP3 = 3
UNICEP = 4
F1 = 5
F2 = 6
F3 = 7
F4 = 8
WFP3_SCHEDGYM = 9
UNICEP_SCHEDGYM = 10

ORDERS: dict[str, int] = {
    "fcfs": FCFS,
    "sjf": SJF,
    "smallest": SMALLEST,
    "wfp3": WFP3,
    "unicep": UNICEP,
    "f1": F1,
    "f2": F2,
    "f3": F3,
    "f4": F4,
    "wfp3_schedgym": WFP3_SCHEDGYM,
    "unicep_schedgym": UNICEP_SCHEDGYM,
}
"""Names of the orders, as options and tables write them."""


def order_number(name: str) -> int:
    """The number of a named order. Raises InputFaults for a name that is none."""
    if name not in ORDERS:
        remedy = f"Use one of {', '.join(ORDERS)}."
        raise InputFaults([Fault("order", None, "order", f"unknown queue order {name!r}", remedy)])
    return ORDERS[name]


@jit
def is_dynamic(order: int) -> bool:
    """True when scores change while a job waits, so that a queue must be sorted anew."""
    return order in (WFP3, UNICEP)


@jit
def score(order: int, submit_s: float, requested_s: float, processors: int, now_s: float) -> float:
    """The job's rank at ``now_s``; lower goes first.

    ``submit_s`` counts from the workload's own zero: f1-f4 take its logarithm, so that moving a
    log's zero changes their order. A requested or submit time of zero counts as 0.1 s there.
    """
    if order == FCFS:
        return submit_s
    if order == SJF:
        return requested_s
    if order == SMALLEST:
        return float(processors)
    if order in (WFP3, WFP3_SCHEDGYM):
        wait_s = now_s - submit_s if order == WFP3 else -1.0 - submit_s
        return float(-((wait_s / requested_s) ** 3.0) * processors)
    if order in (UNICEP, UNICEP_SCHEDGYM):
        wait_s = now_s - submit_s if order == UNICEP else -1.0 - submit_s
        # log2(1) = 0: the tiny summand is the published way out, and puts one-processor jobs first.
        return -(wait_s + 1e-15) / (math.log2(processors + 1e-15) * requested_s)
    requested = requested_s if requested_s > 0.0 else 0.1
    submitted = math.log10(submit_s if submit_s > 0.0 else 0.1)
    if order == F1:
        return math.log10(requested) * processors + 870.0 * submitted
    if order == F2:
        return math.sqrt(requested) * processors + 25_600.0 * submitted
    if order == F3:
        return requested * processors + 6_860_000.0 * submitted
    return requested * math.sqrt(processors) + 530_000.0 * submitted
