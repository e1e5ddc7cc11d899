"""Writes a rehearsal's folder: tables, summary, figures, report. Whole, or not at all.

Everything except ``performance.json`` is byte-equal for equal inputs, seed and versions.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from westward.model.faults import Fault, InputFaults
from westward.simulate.compare import comparison
from westward.simulate.metrics import policy_summary
from westward.simulate.plots import draw_all
from westward.simulate.report import render_report
from westward.simulate.results import Provenance, SimulationResult
from westward.simulate.tables import hours_table, jobs_table, segments_table
from westward.simulate.who_paid import ledger_table

FORMAT = "westward-rehearsal-1"
"""Stands in ``summary.json``; a folder whose summary says so was made by us."""
SUMMARY = "summary.json"
PERFORMANCE = "performance.json"
REPORT = "report.html"
OUR_FILES = re.compile(
    r"(jobs|hours|segments|ledger)(-[a-z0-9-]+)?\.parquet|(summary|performance)\.json|report\.html"
    r"|(cost|wait|tariff|carbon|utilisation|flows)(-[a-z0-9-]+)?\.png"
)
ROW_GROUP_ROWS = 1 << 18

Progress = Callable[[str], None]


def write_outputs(
    results: Sequence[SimulationResult],
    out: Path,
    *,
    provenance: Provenance,
    progress: Progress | None = None,
) -> list[Path]:
    """Writes every file of the rehearsal into ``out`` and returns their paths, sorted.

    ``out`` may be missing, empty, or an earlier rehearsal's folder, which is then replaced whole.
    All results share one network and workload. ``progress`` is told each file's name in advance.

    Raises InputFaults when ``out`` holds anything else; nothing is changed then.
    """
    check_destination(out)
    labels = policy_labels(results)
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _write_all(results, labels, made, provenance, progress or (lambda _: None))
        made.chmod(0o777 & ~_umask())
        _move_into_place(made, out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return sorted(out.iterdir())


def check_destination(out: Path) -> None:
    """Raises InputFaults unless ``out`` is missing, empty or an earlier rehearsal's folder.

    To be called before the rehearsal too, so that an hour's run is not refused at its end.
    """
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise InputFaults(
            [Fault(str(out), None, "", "is not a folder", "Name a new folder with --out.")]
        )
    entries = sorted(path.name for path in out.iterdir())
    if not entries or _is_ours(out):
        return
    entries = [name for name in entries if not OUR_FILES.fullmatch(name)] or entries
    shown = ", ".join(entries[:3]) + (" and more" if len(entries) > 3 else "")
    raise InputFaults(
        [
            Fault(
                str(out),
                None,
                "",
                f"holds files that no rehearsal wrote ({shown})",
                "Name a new or empty folder with --out; nothing was overwritten.",
            )
        ]
    )


def policy_labels(results: Sequence[SimulationResult]) -> list[str]:
    """Each result's label; repeats get ``-2``, ``-3`` … in the order given."""
    if not results:
        raise ValueError("no results to write")
    first = results[0]
    if any(
        (r.network.digest, r.workload.digest) != (first.network.digest, first.workload.digest)
        or len(r) != len(first)
        for r in results
    ):
        raise ValueError("all results of one folder need the same network and workload")
    labels: list[str] = []
    for result in results:
        label, number = result.label, 2
        while label in labels:
            label, number = f"{result.label}-{number}", number + 1
        labels.append(label)
    return labels


def summarise(
    results: Sequence[SimulationResult], labels: Sequence[str], provenance: Provenance
) -> dict[str, Any]:
    """The contents of ``summary.json``: inputs, each policy's figures, the comparison."""
    first = results[0]
    network, work = first.network, first.workload
    ends = [int(r.end_ms.max()) for r in results if r.placed.any()]
    until_ms = max(ends, default=int(first.submit_ms.max()) if len(first) else 0)
    policies = []
    for result, label in zip(results, labels, strict=True):
        policies.append({**policy_summary(result, until_ms=until_ms), "label": label})
    return {
        "format": FORMAT,
        "simulated": True,
        "inputs": {
            "network": {
                "name": network.name,
                "label": network.label,
                "digest_sha256": network.digest,
                "currency": network.currency,
                "series_origin_ms": first.series_origin_ms,
                "facts": len(network.facts),
                "assumptions": sum(fact.assumption for fact in network.facts),
            },
            "workload": {
                "name": work.name,
                "format": work.format,
                "digest_sha256": work.digest,
                "zero_ms": first.workload_zero_ms,
                "rows_read": work.rows_read,
                "jobs": len(work),
                "dropped": [
                    {"reason": d.reason, "rows": d.rows, "first_row": d.first_row}
                    for d in work.dropped
                ],
                "notes": list(work.notes),
            },
            "seed": first.seed,
            "commit": provenance.commit,
            "command": provenance.command,
            "versions": dict(provenance.versions),
        },
        "window_ms": {
            "first_submit": int(first.submit_ms.min()) if len(first) else None,
            "last_end_of_all": until_ms,
        },
        "policies": policies,
        "comparison": comparison(results, labels),
    }


def _write_all(
    results: Sequence[SimulationResult],
    labels: Sequence[str],
    folder: Path,
    provenance: Provenance,
    progress: Progress,
) -> None:
    hours: list[pl.DataFrame] = []
    for result, label in zip(results, labels, strict=True):
        suffix = f"-{label}" if len(results) > 1 else ""
        progress(f"jobs{suffix}.parquet")
        _write_parquet(jobs_table(result), folder / f"jobs{suffix}.parquet")
        if (runs := segments_table(result)) is not None:
            progress(f"segments{suffix}.parquet")
            _write_parquet(runs, folder / f"segments{suffix}.parquet")
        if result.vouchers is not None:
            progress(f"ledger{suffix}.parquet")
            _write_parquet(ledger_table(result.vouchers), folder / f"ledger{suffix}.parquet")
        progress(f"hours{suffix}.parquet")
        hours.append(hours_table(result))
        _write_parquet(hours[-1], folder / f"hours{suffix}.parquet")
    progress(SUMMARY)
    summary = summarise(results, labels, provenance)
    _write_json(summary, folder / SUMMARY)
    _write_json(_performance(results, labels), folder / PERFORMANCE)
    plots = draw_all(results, labels, hours, folder, progress=progress)
    progress(REPORT)
    html = render_report(summary, plots, network=results[0].network)
    (folder / REPORT).write_text(html, encoding="utf-8")


def _write_parquet(table: pl.DataFrame, path: Path) -> None:
    # Fixed row groups: the default depends on how many threads there are.
    table.rechunk().write_parquet(
        path, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS
    )


def _write_json(values: dict[str, Any], path: Path) -> None:
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False, default=_plain)
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    """numpy's scalars as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _performance(results: Sequence[SimulationResult], labels: Sequence[str]) -> dict[str, Any]:
    """What the runs cost this machine; apart, because it differs from run to run."""
    return {
        "policies": [
            {
                "label": label,
                "jobs": len(result),
                "events": result.events,
                "wall_s": result.wall_s,
                "cpu_s": result.cpu_s,
                "jobs_per_cpu_s": len(result) / result.cpu_s if result.cpu_s > 0 else None,
            }
            for result, label in zip(results, labels, strict=True)
        ]
    }


def _is_ours(folder: Path) -> bool:
    """True for a rehearsal's folder to which nobody has added anything that would be lost."""
    if any(OUR_FILES.fullmatch(path.name) is None or path.is_dir() for path in folder.iterdir()):
        return False
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and summary.get("format") == FORMAT


def _move_into_place(made: Path, out: Path) -> None:
    """Swaps the new folder in by renames; the old one is put back if the second rename fails."""
    if not out.exists():
        made.rename(out)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
    aside = old / out.name
    out.rename(aside)
    try:
        made.rename(out)
    except OSError:
        aside.rename(out)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
