"""Run times from figures that the caller states, for workloads that record work but no time.

Gavel's files count training steps, Sia's name an application. How long that takes depends on the
device; the papers measured it on theirs. No default stands in for a figure nobody gave.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from westward.formats.traces.source import F64, MAX_TIME_S, Source
from westward.model.faults import Fault, InputFaults

MAX_NAMED = 6
"""Names listed in a fault; the rest is counted."""


def look_up(figures: Mapping[str, float], names: pl.Series, gpus: F64) -> tuple[F64, list[str]]:
    """The figure of each row (``name@gpus``, else ``name``; NaN if neither is stated), and the
    names without one, in alphabetical order."""
    # Rows with a fault of their own have no number of GPUs; they are told, not read.
    pairs = pl.DataFrame({"name": names, "gpus": np.nan_to_num(gpus).astype(np.int64)})
    value: dict[tuple[str, int], float] = {}
    missing = []
    for name, count in pairs.unique().sort("name", "gpus").iter_rows():
        found = figures.get(f"{name}@{count}", figures.get(name))
        value[name, count] = float("nan") if found is None else float(found)
        if found is None and name:
            missing.append(name)
    figure = np.array([value[pair] for pair in pairs.iter_rows()], dtype=np.float64)
    return figure, list(dict.fromkeys(missing))


def bounded(source: Source, run_s: F64, options: str) -> F64:
    """``run_s`` as it is, refused when a stated figure makes a run longer than times can be."""
    longest = float(run_s.max())
    if longest <= MAX_TIME_S:
        return run_s
    problem = f"the figures stated make a run of {longest:g} s; at most {MAX_TIME_S:g} can be"
    raise source.refuse(None, "", problem, f"Check the unit of {options}.")


def listed(names: list[str]) -> str:
    """Some names in quotes, the rest as a count."""
    some = ", ".join(repr(name) for name in names[:MAX_NAMED])
    return some if len(names) <= MAX_NAMED else f"{some} and {len(names) - MAX_NAMED} more"


def read_figures(path: Path) -> dict[str, float]:
    """``name,value`` rows of a CSV file (with that header). Raises InputFaults with all faults."""
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        problem = f"the figures cannot be read: {reason}"
        raise InputFaults([Fault(file, None, "", problem, "Give the path of a file.")]) from error
    rows = list(csv.reader(text.splitlines()))
    remedy = "The file is a CSV with the header name,value."
    if not rows or [cell.strip() for cell in rows[0]] != ["name", "value"]:
        raise InputFaults([Fault(file, 1, "", "the header is not name,value", remedy)])
    found: dict[str, float] = {}
    faults = []
    for line, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != 2:
            faults.append(Fault(file, line, "", f"the row has {len(row)} columns", remedy))
            continue
        name, cell = row[0].strip(), row[1].strip()
        try:
            value = float(cell)
        except ValueError:
            value = float("nan")
        if not 0 < value < float("inf"):
            problem = f"{cell[:40]!r} is not a number above 0"
            faults.append(Fault(file, line, "value", problem, "State a positive figure."))
        if not name or name in found:
            problem = f"{name!r} stands twice" if name else "the cell is empty"
            faults.append(Fault(file, line, "name", problem, "State each name once."))
        found[name] = value
    if faults:
        raise InputFaults(faults)
    return found
