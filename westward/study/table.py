"""The tidy table of a study, and what is read out of it: means over seeds, paired differences."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from westward.study.cells import Cell, CellResult, parts
from westward.study.measures import ALL_JOBS
from westward.study.model import Axis, Study

COLUMNS = (
    "study", "workload", "policy", "override", "seed",
    "metric", "breakdown", "class", "value", "unit",
)  # fmt: skip


def tidy_table(study: Study, results: dict[Cell, CellResult]) -> pl.DataFrame:
    """One row a cell, metric and class, in the order of the file. Null = nothing to measure."""
    rows: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for cell in sorted(results):
        workload, policy, override, seed = parts(study, cell)
        for row in results[cell].rows:
            values = (
                study.name, workload.name, policy.name, override.name, seed,
                row.metric, row.breakdown, row.job_class, row.value, row.unit,
            )  # fmt: skip
            for name, value in zip(COLUMNS, values, strict=True):
                rows[name].append(value)
    schema = {name: pl.String() for name in COLUMNS} | {"seed": pl.Int64(), "value": pl.Float64()}
    return pl.DataFrame(rows, schema=schema)


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and extremes over seeds."""

    mean: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True, slots=True)
class Where:
    """One point of the study: a name on each axis, and a class of jobs."""

    workload: str
    policy: str
    override: str
    breakdown: str = ""
    job_class: str = ALL_JOBS

    def on(self, axis: Axis) -> str:
        return str(getattr(self, axis))

    def moved(self, axis: Axis, name: str) -> Where:
        named = {"workload": self.workload, "policy": self.policy, "override": self.override}
        named[axis] = name
        return Where(**named, breakdown=self.breakdown, job_class=self.job_class)


class Figures:
    """The table by point and metric, for everything that is told of it."""

    def __init__(self, study: Study, table: pl.DataFrame):
        self.study = study
        self.units: dict[str, str] = {}
        self._values: dict[tuple[Where, str], dict[int, float]] = {}
        self._classes: dict[str, list[str]] = {}
        for (
            _,
            workload,
            policy,
            override,
            seed,
            metric,
            breakdown,
            label,
            value,
            unit,
        ) in table.iter_rows():
            self.units[metric] = unit
            known = self._classes.setdefault(breakdown, [])
            if label not in known:
                known.append(label)
            if value is not None:
                where = Where(workload, policy, override, breakdown, label)
                self._values.setdefault((where, metric), {})[seed] = value

    def classes(self, breakdown: str) -> list[str]:
        return list(self._classes.get(breakdown, []))

    def seeds(self, where: Where, metric: str) -> dict[int, float]:
        """Value by seed; empty where nothing was measured."""
        return dict(self._values.get((where, metric), {}))

    def spread(self, where: Where, metric: str) -> Spread | None:
        return _spread(list(self.seeds(where, metric).values()))

    def base_of(self, where: Where) -> Where:
        """The same point at the first entry of the axis that the study compares along."""
        axis = self.study.compare
        return where.moved(axis, self.study.entries(axis)[0].name)

    def differences(self, where: Where, metric: str) -> dict[int, float]:
        """Value minus the base's, seed by seed: the same jobs drawn, so the draw's luck cancels."""
        base = self.seeds(self.base_of(where), metric)
        here = self.seeds(where, metric)
        return {seed: value - base[seed] for seed, value in here.items() if seed in base}

    def difference(self, where: Where, metric: str) -> Spread | None:
        return _spread(list(self.differences(where, metric).values()))

    def change(self, where: Where, metric: str) -> Spread | None:
        """The difference as a share of the base's value, seed by seed; None for a base of 0."""
        base = self.seeds(self.base_of(where), metric)
        shares = [
            change / abs(base[seed])
            for seed, change in self.differences(where, metric).items()
            if base[seed] != 0
        ]
        return _spread(shares)

    def points(self) -> list[Where]:
        """Every point for all jobs, in the order of the file."""
        study = self.study
        return [
            Where(w.name, p.name, o.name)
            for w in study.workloads
            for p in study.policies
            for o in study.overrides
        ]


def _spread(values: list[float]) -> Spread | None:
    if not values:
        return None
    return Spread(sum(values) / len(values), min(values), max(values), len(values))
