"""What a rehearsal's folder says: its tables of jobs, run segments, and its summary."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

Row = dict[str, Any]

FINISHED = "finished"
SEGMENT_COLUMNS = {
    "row": "job_row",
    "pool": "pool",
    "start": "start_ms",
    "end": "end_ms",
    "why": "why",
    "nodes": "nodes",
}
"""Our names → the columns of segments.parquet; ``job_row`` counts rows of jobs.parquet from 0."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One unbroken run of a job. A job without segments of its own ran in one."""

    row: int
    pool: str
    start_ms: int
    end_ms: int
    why: str = FINISHED
    nodes: tuple[int, ...] | None = None
    """Which nodes of the pool its gang nodes were put on; None = not told."""
    index: int = 0
    """Which of the job's segments, from 0."""


@dataclass(frozen=True)
class Rehearsal:
    """One policy's tables. ``rows`` in the table's order; ``segments`` sorted by job, then time."""

    label: str
    rows: list[Row]
    segments: list[Segment]
    own_segments: bool
    """segments.parquet exists."""
    hours: list[Row] | None
    summary: Row
    """The policy's part of summary.json."""
    inputs: Row
    policy: Row = field(default_factory=dict)

    def placed(self) -> list[tuple[int, Row]]:
        return [(at, row) for at, row in enumerate(self.rows) if row["start_ms"] is not None]


def read_rehearsals(folder: Path) -> list[Rehearsal]:
    """One for each policy of the folder."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    found = []
    for part in summary["policies"]:
        several = len(summary["policies"]) > 1
        suffix = f"-{part['label']}" if several else ""
        rows = list(pl.read_parquet(folder / f"jobs{suffix}.parquet").iter_rows(named=True))
        hours = folder / f"hours{suffix}.parquet"
        pieces = folder / f"segments{suffix}.parquet"
        found.append(
            Rehearsal(
                label=part["label"],
                rows=rows,
                segments=segments_of(rows, read_segments(pieces)),
                own_segments=pieces.exists(),
                hours=list(pl.read_parquet(hours).iter_rows(named=True))
                if hours.exists()
                else None,
                summary=part,
                inputs=summary["inputs"],
                policy=part["policy"],
            )
        )
    return found


def read_segments(path: Path) -> dict[int, list[Row]]:
    """Job row → its runs as segments.parquet tells them; empty where there is no such file."""
    told: dict[int, list[Row]] = {}
    if path.exists():
        for piece in pl.read_parquet(path).iter_rows(named=True):
            ours = {our: piece.get(column) for our, column in SEGMENT_COLUMNS.items()}
            told.setdefault(piece[SEGMENT_COLUMNS["row"]], []).append(ours)
    return told


def segments_of(rows: list[Row], told: dict[int, list[Row]]) -> list[Segment]:
    """A job's runs as told, else its one run from start to end."""
    segments = []
    for at, row in enumerate(rows):
        if at in told:
            pieces = sorted(told[at], key=lambda piece: (piece["start"], piece["end"]))
            for index, piece in enumerate(pieces):
                nodes = None if piece["nodes"] is None else tuple(piece["nodes"])
                segments.append(
                    Segment(
                        at, piece["pool"], piece["start"], piece["end"], piece["why"], nodes, index
                    )
                )
        elif row["start_ms"] is not None and row["end_ms"] is not None:
            segments.append(Segment(at, row["pool"], row["start_ms"], row["end_ms"]))
    return segments


def scaled_devices(inputs: Row) -> int | None:
    """The N of ``--devices N``, as the network's digest in the summary tells it."""
    match = re.search(r"\+devices=(\d+)$", inputs["network"]["digest_sha256"])
    return None if match is None else int(match[1])
