"""A study's folder: the tidy table, the figures, the report, and the finished cells.

Everything except ``performance.json`` and ``cells/`` is byte-equal for equal inputs, versions and
sources, however many processes ran the cells.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from westward.model.faults import Fault, InputFaults
from westward.simulate.results import Provenance
from westward.study.answer import answer
from westward.study.cells import Cell, CellResult
from westward.study.model import Study
from westward.study.plots import draw_plots
from westward.study.report import render_report
from westward.study.runner import CELLS
from westward.study.table import Figures, tidy_table

FORMAT = "westward-study-1"
MARK = "study.json"
"""Says what the folder is; there from the first cell on."""
TABLE = "table"
PLOTS = "plots"
REPORT = "report.html"
_OURS = re.compile(r"study\.json|performance\.json|table\.(parquet|csv)|report\.html|cells|plots")

Note = Callable[[str], None]


def open_folder(out: Path, study: Study) -> Path:
    """Makes or takes over the study's folder, and returns the folder of its cells.

    ``out`` may be missing, empty or the folder of an earlier or interrupted study. Raises
    InputFaults when it holds anything else; nothing is changed then.
    """
    if os.path.lexists(out):
        if not out.is_dir():
            raise InputFaults(
                [Fault(str(out), None, "", "is not a folder", "Name a new folder with --out.")]
            )
        names = sorted(path.name for path in out.iterdir())
        foreign = [name for name in names if not _OURS.fullmatch(name)]
        if names and (foreign or not _is_ours(out)):
            shown = ", ".join((foreign or names)[:3])
            raise InputFaults(
                [
                    Fault(
                        str(out),
                        None,
                        "",
                        f"holds files that no study wrote ({shown})",
                        "Name a new or empty folder with --out; nothing was changed.",
                    )
                ]
            )
    (out / CELLS).mkdir(parents=True, exist_ok=True)
    _write(out / MARK, json.dumps({"format": FORMAT, "study": study.name}) + "\n")
    return out / CELLS


def write_outputs(
    study: Study,
    results: dict[Cell, CellResult],
    out: Path,
    *,
    provenance: Provenance,
    note: Note | None = None,
) -> list[str]:
    """Writes table, figures and report into ``out`` (from ``open_folder``); returns the answer."""
    tell = note or (lambda _: None)
    table = tidy_table(study, results)
    tell("the table")
    _write_bytes(out / f"{TABLE}.parquet", lambda path: _parquet(table, path))
    _write_bytes(out / f"{TABLE}.csv", lambda path: table.write_csv(path))
    figures = Figures(study, table)
    sentences = answer(study, figures)
    plots = out / PLOTS
    plots.mkdir(exist_ok=True)
    for old in sorted(plots.iterdir()):
        old.unlink()
    drawn = draw_plots(study, figures, plots, note=tell)
    tell(REPORT)
    _write(out / REPORT, render_report(study, figures, sentences, drawn, provenance))
    summary = {
        "format": FORMAT,
        "simulated": True,
        "study": study.name,
        "quick": study.quick,
        "question": study.question,
        "answer": sentences,
        "inputs": {
            "file": study.file,
            "network": {"name": study.network.name, "digest_sha256": study.network.digest},
            "workloads": [w.name for w in study.workloads],
            "skipped": list(study.skipped),
            "policies": {p.name: asdict(p.policy) for p in study.policies},
            "overrides": {o.name: [repr(c) for c in o.changes] for o in study.overrides},
            "seeds": list(study.seeds),
            "commit": provenance.commit,
            "versions": dict(provenance.versions),
        },
        "cells": {"count": len(results), "digests": [results[c].digest for c in sorted(results)]},
        "jobs": sum(result.jobs for result in results.values()),
    }
    _write(out / MARK, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    _write(out / "performance.json", json.dumps(_performance(results), indent=1) + "\n")
    return sentences


def _performance(results: dict[Cell, CellResult]) -> dict[str, Any]:
    """What the cells cost the machines that ran them, whenever that was."""
    return {
        "cells": [
            {"digest": r.digest, "jobs": r.jobs, "cpu_s": r.cpu_s, "wall_s": r.wall_s}
            for _, r in sorted(results.items())
        ]
    }


def _is_ours(folder: Path) -> bool:
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(mark, dict) and mark.get("format") == FORMAT


def _parquet(table: pl.DataFrame, path: Path) -> None:
    table.rechunk().write_parquet(path, compression="zstd", compression_level=3)


def _write(path: Path, text: str) -> None:
    _write_bytes(path, lambda made: made.write_text(text, encoding="utf-8"))


def _write_bytes(path: Path, fill: Callable[[Path], object]) -> None:
    """Through a file beside it, so that a reader sees the old or the new one, whole."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    made = Path(name)
    try:
        fill(made)
        made.chmod(0o644)
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
