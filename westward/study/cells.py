"""One cell of a study: workload × policy × override × seed. Pure of where and when it is run."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from westward.simulate.engine import simulate
from westward.study.changes import apply_override
from westward.study.measures import Row, measured
from westward.study.model import Generated, Override, PolicySpec, Recorded, Study, WorkloadSpec
from westward.study.workloads import build_workload

CELL_FORMAT = "westward-study-cell-1"
_CODE = ("model", "formats", "network", "placement", "simulate", "study")
"""Packages whose source a cell's figures depend on."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """Positions in the study's tuples; sorts in the order of the table."""

    workload: int
    policy: int
    override: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What is kept of a finished cell. Times differ from run to run and stay out of the table."""

    digest: str
    rows: tuple[Row, ...]
    jobs: int
    cpu_s: float
    wall_s: float

    def to_json(self) -> str:
        return json.dumps({"format": CELL_FORMAT, **asdict(self)}, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CellResult:
        """Raises ValueError, KeyError or TypeError for anything but a cell of this format."""
        values: dict[str, Any] = json.loads(text)
        if values.pop("format") != CELL_FORMAT:
            raise ValueError("not a cell of this format")
        rows = tuple(Row(**row) for row in values.pop("rows"))
        return cls(rows=rows, **values)


def cells_of(study: Study) -> list[Cell]:
    """All cells, in the order of the table."""
    return [
        Cell(w, p, o, s)
        for w in range(len(study.workloads))
        for p in range(len(study.policies))
        for o in range(len(study.overrides))
        for s in range(len(study.seeds))
    ]


def parts(study: Study, cell: Cell) -> tuple[WorkloadSpec, PolicySpec, Override, int]:
    return (
        study.workloads[cell.workload],
        study.policies[cell.policy],
        study.overrides[cell.override],
        study.seeds[cell.seed],
    )


def cell_title(study: Study, cell: Cell) -> str:
    workload, policy, override, seed = parts(study, cell)
    return f"{workload.name} / {policy.name} / {override.name} / seed {seed}"


def cell_digest(study: Study, cell: Cell) -> str:
    """sha256 over everything the cell's figures follow from: code, network values (not their
    sources), workload, policy, changes, seed, what is measured. Names and labels do not count."""
    workload, policy, override, seed = parts(study, cell)
    network = replace(study.network, facts=(), sources=(), label="", digest="")
    source = workload.source
    said = repr(source)
    if isinstance(source, Recorded):
        said = f"{file_digest(source.path)} {source.format} {source.options!r} {source.jobs_max}"
    inputs = (
        CELL_FORMAT,
        code_digest(),
        _repr_digest(network),
        said,
        str(study.capacity_devices if isinstance(source, Generated) else 0),
        repr(policy.policy),
        repr(override.changes),
        str(seed),
        repr(study.metrics),
        repr([(b.name, b.by, b.homes) for b in study.breakdowns]),
    )
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()


@lru_cache(maxsize=8)
def _repr_digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()


@lru_cache(maxsize=64)
def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, read once a process."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def code_digest() -> str:
    """sha256 over the sources that decide, simulate and measure: other code, other cells."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256((root / "jit.py").read_bytes())
    for package in _CODE:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def run_cell(study: Study, cell: Cell, progress: Progress | None = None) -> CellResult:
    """Rehearse one cell and measure it; the same study and cell give the same rows anywhere."""
    workload, policy, override, seed = parts(study, cell)
    wall, cpu = time.perf_counter(), time.process_time()
    changed = apply_override(study.network, override, seed)
    jobs = build_workload(
        workload.source,
        seed=seed,
        capacity_devices=study.capacity_devices,
        homes=len(study.network.sites),
        demand=changed.demand,
    )
    if changed.scenario is None:
        result = simulate(changed.network, jobs, policy.policy, seed=seed, progress=progress)
    else:
        result = simulate(
            changed.network,
            jobs,
            policy.policy,
            seed=seed,
            progress=progress,
            scenario=changed.scenario,
        )
    rows = tuple(measured(result, study.metrics, study.breakdowns))
    return CellResult(
        digest=cell_digest(study, cell),
        rows=rows,
        jobs=len(jobs),
        cpu_s=time.process_time() - cpu,
        wall_s=time.perf_counter() - wall,
    )
