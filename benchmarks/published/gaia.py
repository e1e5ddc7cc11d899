"""GAIA (ASPLOS'24), Figures 8, 10, 11 and 12: carbon, cost and waiting of start-time rules.

**How it was done.** The published figures are those printed in the authors' evaluation notebook
(umassos/GAIA). Our start-time rules (`westward/placement/starts.py`) choose for each of the 1,000
jobs of pai_1k, on the hourly carbon intensity of AU-SA from hour 7000 of 2022; what runs on
reserved, on-demand and spot capacity is worked out by `westward/simulate/reserved.py`. Rules of the
authors' simulator that had to be met: time in ticks of 5 s, arrivals and lengths cut down to
them; waits of up to 6 h for jobs below two hours and 24 h for the others; Lowest-Window and
Carbon-Time look at starts every full hour after the arrival and take the mean length of the job's
queue for its own, Ecovisor and Wait-Awhile know it; Ecovisor's threshold is the 30 % quantile of
the coming 24 h; processors of a job that ends can be taken one tick later; reserved capacity costs
0.4 of the on-demand price until the last start; jobs of at most two hours before cutting go to
spot. Jobs that arrive in one tick (112 of 1,000) go in the order in which a heap, emptied and
filled at every tick, has them; in plain order of arrival the costs move by up to 0.0012 (rows "ties
by row"). Figure 8's waits are printed relative to Wait-Awhile's and told here relative to
Carbon-Time's, which is 4.729 h in Figure 11.

**What differs.** Wait-Awhile (Figures 8 and 10). The published code, read and followed, takes the
cheapest ticks of the whole time until the deadline, which gives 0.5462; the notebook says 0.6075.
The cheapest ticks are by construction the least carbon that a plan with these limits can reach, so
0.6075 is not the figure of that code, and an earlier version must have drawn it. Tried without
success (carbon / wait in Carbon-Time's; wanted 0.6075 / 1.656): planning with the mean length of
the queue and running on after it (0.612 / 1.768 to 0.628 / 1.592), whole hours counted from the
arrival (0.552 / 1.872), thresholds at the 20 to 50 % quantile of the window (0.614 / 1.491 at
best), shorter windows (0.653 / 1.211 and more). These rows have no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.published.table import SHARED, Row, as_text, summary
from westward.formats.traces import read_workload
from westward.placement import starts
from westward.placement.pricing import integral
from westward.simulate.reserved import run_on_reserved

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

PAPER = "GAIA (ASPLOS'24)"
HOUR_MS = 3_600_000
TICK_MS = 5_000
ZONE = "AU-SA"
FIRST_HOUR = 7_000
HOURS = 720
SHORT_MS = 2 * HOUR_MS
"""Shorter jobs are in the queue that may wait 6 h, the others in that of 24 h."""
WAIT_MS = (6 * HOUR_MS, 24 * HOUR_MS)
ON_DEMAND_PER_HOUR = 0.0624
SPOT_PER_HOUR = 0.01248
RESERVED_SHARE = 0.4
MAX_RUNS = 128

FIGURE_8 = {
    "Lowest-Slot": (0.780037, 0.720018),
    "Lowest-Window": (0.683704, 0.848631),
    "Carbon-Time": (0.724888, 0.603939),
    "Ecovisor": (0.639105, 0.998771),
    "Wait-Awhile": (0.607509, 1.000000),
}
"""Carbon relative to No-Wait; mean wait relative to the longest."""
FIGURE_10 = {
    "No-Wait": (1.000000, 0.851234, 0.000000),
    "AllWait-Threshold": (0.921652, 0.715772, 1.000000),
    "Wait-Awhile": (0.607509, 0.984101, 0.869055),
    "Ecovisor": (0.639105, 0.996330, 0.867987),
    "Carbon-Time": (0.724888, 1.000000, 0.524856),
    "RES-First-Carbon-Time": (0.854406, 0.783703, 0.293413),
}
"""Carbon, cost and mean wait, each relative to the largest of the figure; 9 reserved."""
FIGURE_11 = {
    0: (407.511325, 199.175860, 4.729000),
    3: (436.434616, 178.261269, 4.107833),
    6: (458.996838, 159.717792, 3.282667),
    9: (480.322255, 142.148535, 2.643676),
    12: (499.898230, 124.225123, 2.068963),
    15: (521.492397, 108.940347, 1.440201),
    18: (540.444626, 106.546111, 0.983043),
    21: (550.879753, 109.023581, 0.637687),
    24: (556.380473, 110.262065, 0.485908),
}
"""By reserved instances, RES-First-Carbon-Time: carbon (kg at 1 kW a cpu), cost (USD), wait (h)."""
FIGURE_12 = {
    "Carbon-Time (0)": (0.841222, 1.000000, 0.604682),
    "Spot-First-Carbon-Time (0)": (0.841222, 0.858983, 0.604682),
    "Spot-First-Ecovisor (0)": (0.741672, 0.858983, 1.000000),
    "SPOT-RES-Carbon-Time (9)": (1.000000, 0.589779, 0.365387),
    "SPOT-RES-Carbon-Time (6)": (0.942510, 0.666424, 0.442636),
}
"""Carbon, cost and mean wait, each relative to the largest of the figure."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Runs of jobs (several a job where a rule suspends), (m,), sorted by arrival."""

    arrival_ms: I64
    told_ms: I64
    run_ms: I64
    cpus: I64
    short: Bool
    """The whole job takes at most two hours: what may run on spot capacity."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Carbon in kg at 1 kW a cpu, cost in USD, mean wait of the parts in hours."""

    carbon_kg: float
    cost_usd: float
    wait_h: float


class Gaia:
    """The jobs and the series of the figures, and each rule's parts."""

    def __init__(self) -> None:
        table = pl.read_parquet(
            SHARED / "energy" / "decarb2022" / "ci_hourly_2022_123zones.parquet"
        ).sort("utc")
        # Two decimals were published; the table holds them as single-precision floats.
        grams = np.round(table[ZONE].to_numpy().astype(np.float64), 2)
        self.prefix: F64 = np.zeros(HOURS + 1)
        np.cumsum(grams[FIRST_HOUR : FIRST_HOUR + HOURS] / 1_000.0, out=self.prefix[1:])

        jobs = read_workload(SHARED / "traces" / "gaia" / "pai_1k.csv", "gaia")
        self.arrival_ms: I64 = jobs.submit_ms // TICK_MS * TICK_MS
        self.run_ms: I64 = jobs.duration_ms // TICK_MS * TICK_MS
        self.cpus: I64 = jobs.nodes.astype(np.int64)
        # The simulator sorts jobs for spot capacity by the length before cutting it to ticks.
        self.short: Bool = jobs.duration_ms <= SHORT_MS
        is_short = self.run_ms < SHORT_MS
        self.wait_ms: I64 = np.where(is_short, *WAIT_MS)
        ticks = jobs.duration_ms / TICK_MS
        border = SHORT_MS / TICK_MS
        means = (ticks[ticks <= border].mean(), ticks[ticks >= border].mean())
        self.expected_ms: I64 = np.where(is_short, *(int(mean) * TICK_MS for mean in means))

    def _series(self) -> tuple[F64, int, int]:
        return self.prefix, HOURS, HOUR_MS

    def no_wait(self, row: int) -> int:
        return starts.no_wait(self.arrival_ms[row])

    def lowest_slot(self, row: int) -> int:
        return starts.lowest_slot(*self._series(), self.arrival_ms[row], self.wait_ms[row])

    def lowest_window(self, row: int) -> int:
        return starts.lowest_window(
            *self._series(),
            self.arrival_ms[row],
            self.expected_ms[row],
            self.wait_ms[row],
            HOUR_MS,
        )

    def carbon_time(self, row: int) -> int:
        return starts.carbon_time(
            *self._series(),
            self.arrival_ms[row],
            self.expected_ms[row],
            self.wait_ms[row],
            HOUR_MS,
        )

    def all_wait(self, row: int) -> int:
        return int(self.arrival_ms[row] + self.wait_ms[row])

    def ecovisor(self, row: int) -> Iterator[tuple[int, int]]:
        begin, end = np.zeros((2, MAX_RUNS), dtype=np.int64)
        now_ms, day_ms = self.arrival_ms[row], 24 * HOUR_MS
        values, weights = np.zeros(MAX_RUNS), np.zeros(MAX_RUNS, dtype=np.int64)
        threshold = starts.quantile_ahead(
            *self._series(), now_ms, day_ms, TICK_MS, 0.3, values, weights
        )
        runs = starts.threshold_runs(
            *self._series(), now_ms, self.run_ms[row], self.wait_ms[row], threshold, begin, end
        )
        return zip(begin[:runs], end[:runs], strict=True)

    def wait_awhile(self, row: int) -> Iterator[tuple[int, int]]:
        begin, end, taken = np.zeros((3, MAX_RUNS), dtype=np.int64)
        runs = starts.cheapest_runs(
            *self._series(),
            self.arrival_ms[row],
            self.run_ms[row],
            self.wait_ms[row],
            begin,
            end,
            taken,
        )
        return zip(begin[:runs], end[:runs], strict=True)

    def whole(self, rule: Callable[[int], int]) -> Parts:
        """One part a job, at the start that a rule gives."""
        told_ms = np.array([rule(row) for row in range(len(self.cpus))], dtype=np.int64)
        return Parts(self.arrival_ms, told_ms, self.run_ms, self.cpus, self.short)

    def suspended(self, rule: Callable[[int], Iterator[tuple[int, int]]]) -> Parts:
        """The parts of each job that a rule gives."""
        runs = [(row, *run) for row in range(len(self.cpus)) for run in rule(row)]
        row, begin_ms, end_ms = np.array(runs, dtype=np.int64).T
        lengths_ms = end_ms - begin_ms
        return Parts(self.arrival_ms[row], begin_ms, lengths_ms, self.cpus[row], self.short[row])

    def run(
        self,
        parts: Parts,
        reserved: int = 0,
        *,
        conserving: bool = False,
        spot: bool = False,
        heap_ties: bool = True,
    ) -> Outcome:
        """Run the parts on ``reserved`` instances and on demand (``spot``: short jobs on spot)."""
        on_spot = parts.short & spot
        done = run_on_reserved(
            reserved,
            arrival_ms=parts.arrival_ms,
            told_ms=parts.told_ms,
            run_ms=parts.run_ms,
            processors=parts.cpus,
            spot=on_spot,
            conserving=conserving,
            tick_ms=TICK_MS,
            heap_ties=heap_ties,
        )
        grams = [
            cpus * integral(*self._series(), start_ms, start_ms + run_ms)
            for start_ms, run_ms, cpus in zip(done.start_ms, parts.run_ms, parts.cpus, strict=True)
        ]
        cpu_h = parts.run_ms * parts.cpus / HOUR_MS
        on_demand = ~done.on_reserved & ~on_spot
        held_h = RESERVED_SHARE * reserved * int(done.start_ms.max()) / HOUR_MS
        cost = ON_DEMAND_PER_HOUR * (float(cpu_h[on_demand].sum()) + held_h)
        cost += SPOT_PER_HOUR * float(cpu_h[on_spot].sum())
        wait_h = float((done.start_ms - parts.arrival_ms).mean()) / HOUR_MS
        return Outcome(float(sum(grams)), cost, wait_h)


def figure_8(gaia: Gaia, parts: dict[str, Parts]) -> list[Row]:
    """Carbon of each rule, and mean waits (published relative: told here in Carbon-Time's)."""
    setting = "pai_1k, AU-SA from hour 7000 of 2022, waits 6x24 h"
    base = gaia.run(parts["No-Wait"])
    unit_h = gaia.run(parts["Carbon-Time"]).wait_h
    row = Row(PAPER, "Figure 8", setting, "", None, 0.0, 1e-6, digits=6)
    made = []
    for name, (carbon, wait) in FIGURE_8.items():
        ours = gaia.run(parts[name])
        shown = replace(row, tolerance=None, note="explained above") if "Awhile" in name else row
        wait /= FIGURE_8["Carbon-Time"][1]
        made += [
            replace(
                shown,
                metric=f"{name}: carbon / No-Wait",
                published=carbon,
                ours=ours.carbon_kg / base.carbon_kg,
            ),
            replace(
                shown,
                metric=f"{name}: mean wait / Carbon-Time's",
                published=wait,
                ours=ours.wait_h / unit_h,
                digits=5,
                tolerance=None if shown.tolerance is None else 1e-5,
            ),
        ]
    return made


def figure_10(gaia: Gaia, parts: dict[str, Parts]) -> list[Row]:
    """Carbon and cost with nine reserved instances; the largest cost and wait are the units."""
    setting = "as Figure 8, 9 reserved instances"
    base = gaia.run(parts["No-Wait"], 9)
    unit = gaia.run(parts["Carbon-Time"], 9)
    longest = gaia.run(parts["AllWait-Threshold"], 9, conserving=True)
    row = Row(PAPER, "Figure 10", setting, "", None, 0.0, 1e-6, digits=6)
    made = []
    for name, (carbon, cost, wait) in FIGURE_10.items():
        conserving = name in ("AllWait-Threshold", "RES-First-Carbon-Time")
        ours = gaia.run(parts[name], 9, conserving=conserving)
        shown = replace(row, tolerance=None, note="explained above") if "Awhile" in name else row
        made += [
            replace(
                shown,
                metric=f"{name}: carbon / No-Wait",
                published=carbon,
                ours=ours.carbon_kg / base.carbon_kg,
            ),
            replace(
                shown,
                metric=f"{name}: cost / Carbon-Time's",
                published=cost,
                ours=ours.cost_usd / unit.cost_usd,
            ),
            replace(
                shown,
                metric=f"{name}: mean wait / AllWait's",
                published=wait,
                ours=ours.wait_h / longest.wait_h,
            ),
        ]
    plain_unit = gaia.run(parts["Carbon-Time"], 9, heap_ties=False)
    for name in ("No-Wait", "Ecovisor", "RES-First-Carbon-Time"):
        ours = gaia.run(parts[name], 9, conserving="RES" in name, heap_ties=False)
        made.append(
            replace(
                row,
                metric=f"{name}: cost / Carbon-Time's, ties by row",
                published=FIGURE_10[name][1],
                ours=ours.cost_usd / plain_unit.cost_usd,
                tolerance=None,
            )
        )
    return made


def figure_11(gaia: Gaia, parts: dict[str, Parts]) -> list[Row]:
    """Absolute carbon, cost and wait by the number of reserved instances."""
    made = []
    for reserved, (carbon, cost, wait) in FIGURE_11.items():
        ours = gaia.run(parts["Carbon-Time"], reserved, conserving=reserved > 0)
        setting = f"RES-First-Carbon-Time, {reserved} reserved"
        row = Row(PAPER, "Figure 11", setting, "", None, 0.0, 1e-6, digits=6)
        made += [
            replace(row, metric="carbon, kg at 1 kW a cpu", published=carbon, ours=ours.carbon_kg),
            replace(row, metric="cost, USD", published=cost, ours=ours.cost_usd),
            replace(row, metric="mean wait, h", published=wait, ours=ours.wait_h),
        ]
    return made


def figure_12(gaia: Gaia, parts: dict[str, Parts]) -> list[Row]:
    """Short jobs on spot capacity, the others on reserved and on demand."""
    outcomes = {
        "Carbon-Time (0)": gaia.run(parts["Carbon-Time"]),
        "Spot-First-Carbon-Time (0)": gaia.run(parts["Carbon-Time"], spot=True),
        "Spot-First-Ecovisor (0)": gaia.run(parts["Ecovisor"], spot=True),
        "SPOT-RES-Carbon-Time (9)": gaia.run(parts["Carbon-Time"], 9, conserving=True, spot=True),
        "SPOT-RES-Carbon-Time (6)": gaia.run(parts["Carbon-Time"], 6, conserving=True, spot=True),
    }
    most_carbon = max(outcome.carbon_kg for outcome in outcomes.values())
    most_cost = max(outcome.cost_usd for outcome in outcomes.values())
    longest = max(outcome.wait_h for outcome in outcomes.values())
    made = []
    for name, (carbon, cost, wait) in FIGURE_12.items():
        ours = outcomes[name]
        row = Row(PAPER, "Figure 12", f"{name}, relative to the largest", "", None, 0.0, 1e-6)
        row = replace(row, digits=6)
        made += [
            replace(row, metric="carbon", published=carbon, ours=ours.carbon_kg / most_carbon),
            replace(row, metric="cost", published=cost, ours=ours.cost_usd / most_cost),
            replace(row, metric="mean wait", published=wait, ours=ours.wait_h / longest),
        ]
    return made


def all_parts(gaia: Gaia) -> dict[str, Parts]:
    """The parts that each rule gives, by the name of the figures."""
    carbon_time = gaia.whole(gaia.carbon_time)
    return {
        "No-Wait": gaia.whole(gaia.no_wait),
        "Lowest-Slot": gaia.whole(gaia.lowest_slot),
        "Lowest-Window": gaia.whole(gaia.lowest_window),
        "Carbon-Time": carbon_time,
        "RES-First-Carbon-Time": carbon_time,
        "AllWait-Threshold": gaia.whole(gaia.all_wait),
        "Ecovisor": gaia.suspended(gaia.ecovisor),
        "Wait-Awhile": gaia.suspended(gaia.wait_awhile),
    }


def rows() -> list[Row]:
    """Every figure of the four tables beside ours."""
    gaia = Gaia()
    parts = all_parts(gaia)
    made: list[Row] = []
    for figure in (figure_8, figure_10, figure_11, figure_12):
        made += figure(gaia, parts)
    return made


if __name__ == "__main__":
    table = rows()
    print(as_text(table))
    print(summary(table))
