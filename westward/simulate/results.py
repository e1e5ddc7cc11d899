"""What one rehearsal returns: one row a job, as columns. The tables, figures and report read this.

The engine computes every charge on the true run time; nothing in this layer prices anything.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, fields
from importlib import metadata

import numpy as np
import numpy.typing as npt

from westward import __version__
from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.reasons import Code
from westward.model.scenario import Scenario
from westward.model.workload import I32, I64, Workload
from westward.simulate.vouchers import Outcome

I16 = npt.NDArray[np.int16]
F64 = npt.NDArray[np.float64]

REFUSAL_CODES: tuple[Code, ...] = tuple(Code)
"""``refusal`` holds 1 + the index of the code here; 0 = placed."""

_VERSIONED = ("matplotlib", "numba", "numpy", "polars")


def refusal_number(code: Code) -> int:
    """The number that stands for ``code`` in ``SimulationResult.refusal`` (never 0)."""
    return REFUSAL_CODES.index(code) + 1


SEGMENT_ENDS = ("finished", "preempted", "suspended", "site-lost", "moved")
"""Why a run ended; ``Segments.why`` counts from 0 here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Runs, sorted by (row, start). Shapes (s,)."""

    row: I64
    pool: I64
    start_ms: I64
    end_ms: I64
    need_milli: I64
    why: I64
    lost_ms: I64
    """Of the run: since its last checkpoint, when it was stopped; done again later."""
    device_micros: F64
    power_micros: F64
    carbon_g: F64
    """By the policy's method."""
    energy_kwh: F64
    node_from: I64 | None = None
    """(s + 1,) run i stood on ``node[node_from[i]:node_from[i + 1]]``; None = not told."""
    node: I32 | None = None
    """Nodes of the pool, from 0, one for each gang member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationResult:
    """One policy's rehearsal of one workload on one network.

    Every array is (n,), in the workload's row order. Times are absolute ms (UTC), money is in
    millionths of the network's currency (floats: nothing here reaches the ledger).
    """

    policy: Policy
    network: Network
    workload: Workload
    seed: int
    series_origin_ms: int
    """Absolute time of step 0 of every series."""
    workload_zero_ms: int
    """Absolute time of the workload's own zero."""

    pool: I32
    """Index into ``network.pools``; -1 = never placed."""
    home_site: I32
    """Index into ``network.sites`` of the site the job counts as home; -1 = none."""
    submit_ms: I64
    start_ms: I64
    """-1 = never placed."""
    end_ms: I64
    """-1 = never placed."""
    need_milli: I64
    """Milli-devices held by the whole gang while it ran; 0 = never placed."""
    not_before_ms: I64
    """The planner put it off to this time; equals ``submit_ms`` when it did not."""
    predicted_start_ms: I64
    """The planner's estimate when it bound the job; -1 = never placed."""
    start_low_ms: I64
    """The planner's 80 % interval of the start, told when it bound a job that had to wait for
    capacity; -1 = none was told."""
    start_high_ms: I64
    refusal: I16
    """0 = placed, else 1 + index into ``REFUSAL_CODES``."""

    device_micros: F64
    power_micros: F64
    carbon_micros: F64
    transfer_micros: F64
    wait_micros: F64
    energy_kwh: F64
    """At the facility's meter (PUE included)."""
    carbon_location_g: F64
    """NaN = the zone states no location-based factor."""
    carbon_contract_g: F64
    """NaN = the zone states no contract-based factor."""

    wall_s: float
    cpu_s: float
    events: int
    segments: Segments | None = None
    """None: every placed job ran once, from ``start_ms`` to ``end_ms`` at ``pool``. Else the runs
    of those that did not: ``pool`` and ``end_ms`` are their last run's, ``start_ms`` their first's."""
    runs: Segments | None = None
    """Where jobs were packed on nodes: every run of every job, with its nodes. None otherwise."""
    scenario: Scenario | None = None
    """What else was rehearsed; None: the network as it is."""
    vouchers: Outcome | None = None
    """Where vouchers were rehearsed: the ledger at the end."""

    def __post_init__(self) -> None:
        rows = len(self.workload)
        for column in self.columns():
            shape = getattr(self, column).shape
            if shape != (rows,):
                raise ValueError(f"{column} has shape {shape}, the workload has {rows} jobs")

    def __len__(self) -> int:
        return len(self.workload)

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Names of the per-job arrays, in the order of the declaration."""
        return tuple(f.name for f in fields(cls) if str(f.type) in {"I16", "I32", "I64", "F64"})

    @property
    def label(self) -> str:
        """The name used in file names and figures: the rule, how nodes are packed if they are, and
        the discipline unless EASY."""
        rule: str = self.policy.rule
        if self.policy.packing != "pool":
            rule = f"{rule}-on-nodes-{self.policy.packing}"
        return rule if self.policy.discipline == "easy" else f"{rule}-{self.policy.discipline}"

    @property
    def placed(self) -> npt.NDArray[np.bool_]:
        return self.pool >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a result folder comes from. Holds no clock time: equal inputs give equal files."""

    commit: str | None
    """Of the checkout that ran; None = not known (an installed wheel)."""
    command: str
    """As the user typed it; "" = called from Python."""
    versions: tuple[tuple[str, str], ...]
    """Sorted (program, version)."""

    @classmethod
    def here(cls, *, commit: str | None, command: str = "") -> Provenance:
        """With the versions of the interpreter and libraries that are running now."""
        found = [("westward", __version__), ("python", platform.python_version())]
        found += [(name, metadata.version(name)) for name in _VERSIONED]
        return cls(commit=commit, command=command, versions=tuple(sorted(found)))
