"""A recorded or generated workload, as columns: what the simulator drives the planner with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedRows:
    """Rows of the source that did not become jobs, and why. ``first_row`` counts from 1."""

    reason: str
    rows: int
    first_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Jobs by row, sorted by (submit_ms, priority falling, source order). All arrays have the same length n.

    Shapes: every column is (n,). -1 stands for "not stated" where the text says so.
    """

    name: str
    format: str
    digest: str
    """sha256 of the source bytes, or of the generator's parameters."""
    rows_read: int
    dropped: tuple[DroppedRows, ...]
    notes: tuple[str, ...]
    """What a reader of results must know: units guessed from the format, fields not used."""

    submit_ms: I64
    """From the workload's own zero (the first job need not be at 0)."""
    duration_ms: I64
    """True run time on the reference device; what the simulator charges."""
    estimate_ms: I64
    """What the owner said beforehand; -1 = nothing (the policy assumes a figure)."""
    nodes: I32
    devices_milli: I32
    """Per node; 0 = asks for no accelerator."""
    cpus_milli: I32
    """Per node; 0 = not stated."""
    memory_mib: I32
    """Per node; 0 = not stated."""
    user: I32
    """-1 = not stated."""
    home: I32
    """Index of the partition or region the job came from; -1 = not stated."""
    deadline_ms: I64
    """On the workload's own clock; -1 = none."""
    input_bytes: I64
    """Lying at the home site; 0 = none."""
    source_row: I64
    """Line or job number in the source, for tracing a result back."""

    # What only some sources state. None: nobody in this workload does.
    priority: I8 | None = None
    """Higher goes first, and may preempt lower where the policy says so; 0 is usual."""
    checkpoint_ms: I64 | None = None
    """A checkpoint is written so often while it runs; 0 = never, an interruption loses all."""
    dataset: I32 | None = None
    """Jobs of one number read the same input bytes (once moved, a replica serves the next);
    -1 = an input of its own."""
    kind_names: tuple[str, ...] = ()
    """Accelerator kinds as the source names them; bit k of ``kind_mask`` is kind_names[k]."""
    kind_mask: I64 | None = None
    """Kinds the job can run on; 0 = any."""
    pinned: npt.NDArray[np.bool_] | None = None
    """True: must run at its home site (the site's own users, or data that may not leave)."""

    def __len__(self) -> int:
        return len(self.submit_ms)
