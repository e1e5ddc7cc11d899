"""What an engine's own accounting says of runs, read from text: today sacct's.

    SLURM_TIME_FORMAT=%s sacct --allusers --parsable2 --starttime 2026-11-01 --endtime 2026-12-01 \\
        --format=JobID,JobName,State,Submit,Start,End,ElapsedRaw,AllocTRES

A comma in place of the bars will do, as a spreadsheet writes it.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from westward.model.faults import Fault, InputFaults

NEEDED = ("JobID", "JobName", "State", "ElapsedRaw")
WANTED = ("Submit", "Start", "End", "AllocTRES")
FAULTS_MOST = 50
_GPUS = re.compile(r"(?:^|,)gres/gpu=(\d+)(?:,|$)")
_UNKNOWN = ("", "Unknown", "None", "N/A")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """One job of the engine. None: the engine does not say."""

    engine_id: str
    name: str
    """What the job was submitted under: for ours, the run's id."""
    state: str
    elapsed_ms: int
    submit_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    gpus: int | None = None


def read_sacct(text: str, file: str, offset_minutes: int = 0) -> tuple[EngineRow, ...]:
    """Rows of whole jobs; those of their steps (``12.batch``) are left out. Times without a zone
    are of the site's offset. Raises InputFaults with every fault found."""
    head, _, _ = text.partition("\n")
    reader = csv.reader(io.StringIO(text), delimiter="|" if "|" in head else ",")
    try:
        table = list(reader)
    except csv.Error as error:
        raise InputFaults(
            [Fault(file, reader.line_num, "", f"no CSV ({error})", "Export it with sacct -P.")]
        ) from None
    columns = [name.strip().removeprefix("﻿") for name in table[0]] if table else []
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        problem = f"the first line names no column {', '.join(missing)}"
        remedy = f"Export it with sacct --parsable2 --format={','.join((*NEEDED, *WANTED))}."
        raise InputFaults([Fault(file, 1, "", problem, remedy)])
    faults: list[Fault] = []
    rows: list[EngineRow] = []
    zone = timezone(timedelta(minutes=offset_minutes))
    for number, cells in enumerate(table[1:], start=2):
        if not any(cells):
            continue
        if len(cells) != len(columns):
            problem = f"{len(cells)} cells under {len(columns)} headings"
            faults.append(Fault(file, number, "", problem, "Export it anew with sacct -P."))
            continue
        given = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
        if "." not in given["JobID"]:
            row = _row(given, file, number, zone, faults)
            if row is not None:
                rows.append(row)
    if faults:
        raise InputFaults(faults[:FAULTS_MOST])
    return tuple(rows)


def _row(
    given: dict[str, str], file: str, number: int, zone: timezone, faults: list[Fault]
) -> EngineRow | None:
    wrong = len(faults)
    if not given["ElapsedRaw"].isdecimal():
        problem = f"{given['ElapsedRaw']!r} is no whole number of seconds"
        faults.append(Fault(file, number, "ElapsedRaw", problem, "Ask sacct for ElapsedRaw."))
    times: dict[str, int | None] = {}
    for name in ("Submit", "Start", "End"):
        try:
            times[name] = _instant_ms(given.get(name, ""), zone)
        except ValueError:
            problem = f"{given[name]!r} is no time"
            remedy = "Set SLURM_TIME_FORMAT=%s, or leave sacct's own format."
            faults.append(Fault(file, number, name, problem, remedy))
    if len(faults) > wrong:
        return None
    gpus = _GPUS.search(given.get("AllocTRES", ""))
    return EngineRow(
        engine_id=given["JobID"],
        name=given["JobName"],
        state=given["State"].split()[0] if given["State"] else "",
        elapsed_ms=1000 * int(given["ElapsedRaw"]),
        submit_ms=times["Submit"],
        start_ms=times["Start"],
        end_ms=times["End"],
        gpus=int(gpus[1]) if gpus else None,
    )


def _instant_ms(text: str, zone: timezone) -> int | None:
    if text in _UNKNOWN:
        return None
    if text.isdecimal():
        return 1000 * int(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1000)
