"""Runs as Parquet, a file for each million: ``part-00000.parquet`` and so on in one folder.

A part is written beside its place and renamed, so it is whole or not there. One row a run (a job
that was stopped has several) or a refusal, in the order in which they ended.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from westward.placement.state import F64
from westward.simulate.live import Records
from westward.simulate.totals import MONEY

PART_ROWS = 1_000_000
_COLUMNS = (
    "row", "pool", "start_ms", "end_ms", "need_milli", "why", "first_ms", "waited_ms",
    "predicted_ms", "transfer",
)  # fmt: skip


class Parts:
    """A ``Sink`` that keeps every run. ``folder`` must exist; parts in it are its own."""

    def __init__(self, folder: Path, rows: int = PART_ROWS) -> None:
        self._folder = folder
        self._rows = rows
        self._held: list[dict[str, Any]] = []
        self._count = 0
        self.parts = 0

    def take(self, count: int, records: Records, money: F64) -> None:
        columns: dict[str, Any] = {name: getattr(records, name)[:count].copy() for name in _COLUMNS}
        columns |= {name: money[:count, k].copy() for k, name in enumerate(MONEY)}
        self._held.append(columns)
        self._count += count
        if self._count >= self._rows:
            self.close()

    def close(self) -> None:
        """Write what is held as the next part."""
        if not self._held:
            return
        import polars as pl

        joined = {name: np.concatenate([one[name] for one in self._held]) for name in self._held[0]}
        path = self._path(self.parts)
        unfinished = path.with_name(path.name + ".part")
        pl.DataFrame(joined).rename({"transfer": "transfer_micros"}).write_parquet(unfinished)
        os.replace(unfinished, path)
        self._held, self._count = [], 0
        self.parts += 1

    def save(self) -> dict[str, Any]:
        self.close()
        return {"parts": np.array([self.parts])}

    def load(self, saved: dict[str, Any]) -> None:
        """Parts written after the checkpoint go: their runs will come again."""
        self._held, self._count = [], 0
        self.parts = int(saved["parts"][0])
        later = self.parts
        while self._path(later).exists():
            self._path(later).unlink()
            later += 1

    def _path(self, part: int) -> Path:
        return self._folder / f"part-{part:05d}.parquet"
