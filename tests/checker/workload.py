"""The source of a rehearsal's jobs, parsed anew: SWF, openb, gaia, or a table of columns."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

DAY_MS = 86_400_000
QUALITY = {"BE": 0, "Burstable": 1, "LS": 2, "Guaranteed": 2}
"""Priority by quality of service, in the order of the openb cluster's own scheduler."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request as its source states it; -1 = not stated. Submit on the source's own clock."""

    row: int
    submit_ms: int
    duration_ms: int
    estimate_ms: int
    nodes: int
    devices_milli: int
    cpus_milli: int
    memory_mib: int
    deadline_ms: int = -1
    input_bytes: int = 0
    priority: int = 0
    checkpoint_ms: int = 0
    dataset: int = -1
    kinds: tuple[str, ...] = ()
    """Accelerators it can run on; empty = any."""
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a source is to be read, as told to ``simulate``."""

    format: str
    processors: str = "allocated"
    processors_as: str = "devices"


def read_workload(path: Path, reading: Reading) -> list[Job]:
    """Jobs in the order of submission, then of source row; rows that are no jobs left out."""
    jobs = {"swf": _swf, "openb": _openb, "gaia": _gaia, "table": _table}[reading.format](
        path, reading
    )
    return sorted(jobs, key=lambda job: (job.submit_ms, job.row))


def _lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    return [line.strip() for line in raw.decode("utf-8-sig").split("\n")]


def _ms(seconds: str | Fraction) -> int:
    return round(Fraction(seconds) * 1000)


def _each(reading: Reading) -> tuple[int, int]:
    """Milli-devices and milli-cpus of one recorded processor."""
    return (1000, 0) if reading.processors_as == "devices" else (0, 1000)


def _swf(path: Path, reading: Reading) -> Iterator[Job]:
    lines = _lines(path)
    header: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(";"):
            break
        name, colon, text = line.lstrip(";").partition(":")
        if colon and name.strip().isidentifier():
            header.setdefault(name.strip(), text.strip())
    shift_ms = _hour_of_day_ms(header)
    devices, cpus = _each(reading)
    for line in lines:
        if not line or line.startswith(";"):
            continue
        cell = line.split()
        first, second = (4, 7) if reading.processors == "allocated" else (7, 4)
        processors = int(Fraction(cell[first]))
        if processors <= 0:
            processors = int(Fraction(cell[second]))
        run, asked = Fraction(cell[3]), Fraction(cell[8])
        if run <= 0 or processors <= 0:
            continue
        yield Job(
            row=int(Fraction(cell[0])),
            submit_ms=_ms(cell[1]) + shift_ms,
            duration_ms=max(1, _ms(run)),
            estimate_ms=_ms(asked) if asked > 0 else -1,
            nodes=processors,
            devices_milli=devices,
            cpus_milli=cpus,
            memory_mib=0,
        )


def _hour_of_day_ms(header: dict[str, str]) -> int:
    """Local time of day of the log's time 0, where its header tells both clock and zone."""
    start = header.get("UnixStartTime", "")
    if not start.lstrip("+-").isdigit() or int(start) <= 0:
        return 0
    zone: tzinfo | None = None
    try:
        zone = ZoneInfo(header["TimeZoneString"])
    except (KeyError, ValueError, OSError):
        east = header.get("TimeZone", "")
        if east.lstrip("+-").isdigit() and abs(int(east)) <= 18 * 3600:
            zone = timezone(timedelta(seconds=int(east)))
    if zone is None:
        return 0
    local = datetime.fromtimestamp(int(start), tz=UTC).astimezone(zone)
    offset = local.utcoffset() or timedelta()
    return (int(start) * 1000 + round(offset.total_seconds() * 1000)) % DAY_MS


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number in the file (from 1) and cells."""
    told = [(at, line) for at, line in enumerate(_lines(path), start=1) if line]
    header = [name.strip() for name in told[0][1].split(",")]
    for (at, _), cells in zip(told[1:], csv.reader(line for _, line in told[1:]), strict=True):
        yield at, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _openb(path: Path, reading: Reading) -> Iterator[Job]:
    for line, cell in _csv_rows(path):
        began = cell["scheduled_time"] or cell["creation_time"]
        run = Fraction(cell["deletion_time"]) - Fraction(began)
        if run <= 0:
            continue
        yield Job(
            row=line,
            submit_ms=_ms(cell["creation_time"]),
            duration_ms=max(1, _ms(run)),
            estimate_ms=-1,
            nodes=1,
            devices_milli=int(cell["num_gpu"]) * int(cell["gpu_milli"]),
            cpus_milli=int(cell["cpu_milli"]),
            memory_mib=int(cell["memory_mib"]),
            priority=QUALITY[cell["qos"]],
            kinds=tuple(kind.strip() for kind in cell["gpu_spec"].split("|") if kind.strip()),
        )


def _gaia(path: Path, reading: Reading) -> Iterator[Job]:
    rows = list(_csv_rows(path))
    times = [Fraction(cell[name]) for _, cell in rows for name in ("arrival_time", "length")]
    # The year-long samples are in hours with fractions, the week in whole seconds.
    scale = 1 if all(time.denominator == 1 for time in times) else 3600
    devices, cpus = _each(reading)
    for line, cell in rows:
        run = Fraction(cell["length"]) * scale
        if run <= 0 or int(Fraction(cell["cpus"])) <= 0:
            continue
        yield Job(
            row=line,
            submit_ms=_ms(Fraction(cell["arrival_time"]) * scale),
            duration_ms=max(1, _ms(run)),
            estimate_ms=-1,
            nodes=int(Fraction(cell["cpus"])),
            devices_milli=devices,
            cpus_milli=cpus,
            memory_mib=0,
        )


def _table(path: Path, reading: Reading) -> Iterator[Job]:
    """Columns as a workload has them; the optional ones may be missing.

    ``kinds`` is a list of names; all else are numbers.
    """
    for cell in pl.read_parquet(path).iter_rows(named=True):
        yield Job(
            row=cell["source_row"],
            submit_ms=cell["submit_ms"],
            duration_ms=cell["duration_ms"],
            estimate_ms=cell["estimate_ms"],
            nodes=cell["nodes"],
            devices_milli=cell["devices_milli"],
            cpus_milli=cell["cpus_milli"],
            memory_mib=cell["memory_mib"],
            deadline_ms=cell["deadline_ms"],
            input_bytes=cell["input_bytes"],
            priority=cell.get("priority") or 0,
            checkpoint_ms=cell.get("checkpoint_ms") or 0,
            dataset=-1 if cell.get("dataset") is None else cell["dataset"],
            kinds=tuple(cell.get("kinds") or ()),
            pinned=bool(cell.get("pinned")),
        )
