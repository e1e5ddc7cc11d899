"""The GAIA samples (Azure, Mustang, Alibaba PAI): ``arrival_time,length,cpus``.

The files differ in unit and do not say so: the year-long 100k samples are in hours, the week of
pai_1k in seconds. ``time_unit="auto"`` tells them apart by the values and refuses when both
readings are plausible.
"""

from __future__ import annotations

import numpy as np

from westward.formats.traces.build import NO_CLOCK, build, devices_note, to_ms
from westward.formats.traces.options import TraceOptions
from westward.formats.traces.source import F64, MAX_COUNT, Cells, Drops, Source, read_csv
from westward.model.units import MILLI
from westward.model.workload import Workload

FIELDS = ("arrival_time", "length", "cpus")
HOURS_IN_A_YEAR = 8_784.0
"""The longest sample spans a leap year; arrivals beyond it cannot be in hours."""
_SECONDS_OF = {"hours": 3_600.0, "seconds": 1.0}


def read_gaia(source: Source, options: TraceOptions) -> Workload:
    """Raises InputFaults with every wrong cell (up to the named limit)."""
    table = read_csv(source, FIELDS)
    cells = Cells(table)
    arrival = cells.numbers("arrival_time", minimum=0)
    length = cells.numbers("length", minimum=0)
    cpus = cells.numbers("cpus", minimum=0, maximum=MAX_COUNT, whole=True)
    cells.log.raise_if_any()
    unit, how = _time_unit(source, options, arrival, length)
    scale = _SECONDS_OF[unit]

    drops = Drops(table.lines)
    drops.drop(length <= 0, "no run time")
    drops.drop(cpus <= 0, "no cpus")
    if not drops.keep.any():
        raise source.refuse(None, "", "no row has a run time and cpus", "Give jobs that ran.")
    zero = np.zeros(len(table))
    each = zero + MILLI
    return build(
        source,
        "gaia",
        rows_read=len(table),
        drops=drops,
        notes=(f"times read as {unit} ({how})", devices_note("cpu", options), NO_CLOCK),
        submit_ms=to_ms(arrival * scale),
        duration_ms=to_ms(length * scale),
        nodes=cpus,
        devices_milli=each if options.processors_are_devices else zero,
        cpus_milli=zero if options.processors_are_devices else each,
        source_row=table.lines,
    )


def _time_unit(source: Source, options: TraceOptions, arrival: F64, length: F64) -> tuple[str, str]:
    """Fractions within one year are hours; whole numbers beyond a year of hours are seconds."""
    if options.time_unit != "auto":
        return options.time_unit, "as told"
    whole = bool((arrival == np.floor(arrival)).all() and (length == np.floor(length)).all())
    last = float(arrival.max())
    if not whole and last <= HOURS_IN_A_YEAR:
        return "hours", "found: fractions, all arrivals within one year of hours"
    if whole and last > HOURS_IN_A_YEAR:
        return "seconds", "found: whole numbers, arrivals beyond one year of hours"
    form = "whole numbers" if whole else "fractions"
    raise source.refuse(
        None,
        "arrival_time",
        f"{form} up to {last:g} may be hours or seconds",
        "Say which with the option time_unit (hours or seconds).",
    )
