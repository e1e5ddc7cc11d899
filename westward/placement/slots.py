"""Live jobs as records: a job's columns lie side by side in memory.

The kernels see columns (``Jobs``, ``Inputs``, the job columns of ``State``), but each is a view into
one array of records. At a hundred thousand live jobs an event then reads three or four cache lines
in place of one for each of thirty columns; kernels need no change, a view only has another stride.
What is read of a job in a queue fills one line, what it asks for the next, its run those after.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from westward.placement.lines import lined
from westward.placement.state import Inputs, Jobs

Slots = npt.NDArray[np.void]

JOB_FIELDS: tuple[tuple[str, type], ...] = (
    ("order", np.int64),
    ("submit_ms", np.int64),
    ("estimate_ms", np.int64),
    ("start_after_ms", np.int64),
    ("deadline_ms", np.int64),
    ("wait_value", np.float64),
    ("klass", np.int32),
    ("input_from", np.int32),
    ("input_to", np.int32),
    ("home", np.int32),
    ("pinned", np.int32),
    ("payer", np.int32),
)
QUEUE_FIELDS: tuple[tuple[str, type], ...] = (
    ("job_need", np.int64),
    ("job_duration_ms", np.int64),
    ("job_not_before_ms", np.int64),
    ("job_reserved_ms", np.int64),
    ("next", np.int32),
    ("prev", np.int32),
    ("job_pool", np.int32),
    ("job_chain", np.int32),
)
INPUT_FIELDS: tuple[tuple[str, type], ...] = (
    ("gb", np.float64),
    ("site", np.int32),
    ("dataset", np.int32),
)
_QUEUED = (
    "order", "job_need", "job_duration_ms", "job_not_before_ms", "job_reserved_ms",
    "next", "prev", "job_pool", "job_chain", "klass", "payer",
)  # fmt: skip
"""The first line of a record: what is read of those who wait."""
_FIELDS = dict(JOB_FIELDS + QUEUE_FIELDS)
_LAID = (
    *((name, _FIELDS[name]) for name in _QUEUED),
    *(field for field in JOB_FIELDS if field[0] not in _QUEUED),
)
_UNSET = ("deadline_ms", "next", "prev", "job_pool", "job_chain", "dataset", "home")


def blank_slots(count: int, more: tuple[tuple[str, type], ...] = ()) -> Slots:
    """Records of zeros, to be readied by ``fill_slots``. Memory that is not touched costs nothing.

    ``more``: fields of the caller's, from the last eight bytes of the second line on.
    """
    return lined(count, (*_LAID, *more, *INPUT_FIELDS))


def fill_slots(slots: Slots, first: int, last: int, unset: tuple[str, ...] = ()) -> None:
    """Ready records first..last-1: every field stays 0, but those named ``unset`` (and the usual
    ones) become -1."""
    fresh = slots[first:last]
    for name in (*_UNSET, *unset):
        fresh[name] = -1
    fresh["wait_value"] = np.nan
    fresh["input_from"] = fresh["input_to"] = np.arange(first, last)


def new_slots(
    count: int, more: tuple[tuple[str, type], ...] = (), unset: tuple[str, ...] = ()
) -> Slots:
    """``blank_slots``, all of them readied."""
    slots = blank_slots(count, more)
    fill_slots(slots, 0, count, unset)
    return slots


def views(slots: Slots, fields: tuple[tuple[str, type], ...]) -> dict[str, Any]:
    """The named fields as columns, sharing the records' memory."""
    return {name: slots[name] for name, _ in fields if name != "unused"}


def jobs_of(slots: Slots) -> Jobs:
    return Jobs(**views(slots, JOB_FIELDS))


def inputs_of(slots: Slots) -> Inputs:
    """One input a slot."""
    return Inputs(**views(slots, INPUT_FIELDS))


def new_inputs(count: int) -> Inputs:
    """Input rows that are not one a slot (``plan()``: jobs have any number)."""
    return inputs_of(np.zeros(count, dtype=np.dtype(list(INPUT_FIELDS), align=True)))


def queue_of(slots: Slots) -> dict[str, Any]:
    """The job columns of ``State``."""
    return views(slots, QUEUE_FIELDS)
