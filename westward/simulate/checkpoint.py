"""Where a rehearsal stands, as arrays in one file: what an interrupted one goes on from.

Everything that changes lives in arrays (columns only), so a checkpoint is those arrays and a few
numbers; it holds no code and no objects. The jobs themselves are not in it but those alive: who
resumes gives the same workload again. A file is written beside its place and renamed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from westward.simulate.machine import Machine

Arrays = dict[str, npt.NDArray[Any]]

VERSION = 1
CHANGING = ("state", "live", "clock", "traffic")
"""Attributes of Machine, tuples of arrays, that ``advance`` writes to."""


def can_save(machine: Machine) -> bool:
    """False with posted prices: their linear programme keeps a memory outside the arrays."""
    return machine.posting is None


def freeze(machine: Machine) -> Arrays:
    """The machine as arrays (views where possible), between two stretches."""
    machine.flush()
    opened = machine.slots
    slots = machine.slot_records
    kept: Arrays = {"slots": slots[:opened].view(np.uint8).reshape(opened, -1)}
    for name in CHANGING:
        for field, column in getattr(machine, name)._asdict().items():
            if not np.may_share_memory(column, slots):
                kept[f"{name}.{field}"] = column[: _used(column)] if column.ndim == 1 else column
    requests = machine.requests
    kept |= {f"classes.{name}": c for name, c in requests.classes._asdict().items()}
    kept |= {"keys": requests.keys, "key_slots": requests.key_slots}
    numbers = {
        "version": VERSION,
        "layout": repr(slots.dtype),
        "reserve": len(slots),
        "requests": requests.count,
        "homes": machine.homes.save(),
    }
    kept["numbers"] = np.frombuffer(json.dumps(numbers).encode(), dtype=np.uint8)
    return kept


def _used(column: npt.NDArray[Any]) -> int:
    """Up to the last entry that is not 0: what lies beyond was never touched."""
    at = np.flatnonzero(column)
    return int(at[-1]) + 1 if len(at) else 0


def thaw(machine: Machine, kept: Arrays) -> None:
    """Bring a new machine of the same network and policy to where the other stood."""
    numbers = json.loads(kept["numbers"].tobytes())
    if (numbers["version"], numbers["layout"]) != (VERSION, repr(machine.slot_records.dtype)):
        raise ValueError("the checkpoint was written by another version")
    machine.resize(numbers["reserve"], len(kept["slots"]))
    slots = machine.slot_records
    opened = len(kept["slots"])
    slots[:opened].view(np.uint8).reshape(opened, -1)[:] = kept["slots"]
    for name in CHANGING:
        for field, column in getattr(machine, name)._asdict().items():
            if np.may_share_memory(column, slots):
                continue
            saved = kept[f"{name}.{field}"]
            if column.ndim == 1:
                column[: len(saved)] = saved
                rest = column[len(saved) :]
                if rest.any():  # else leave it untouched
                    rest[:] = 0
            else:
                column[...] = saved
    requests = machine.requests
    requests.restore(
        kept["keys"], kept["key_slots"], numbers["requests"],
        {name: kept[f"classes.{name}"] for name in requests.classes._fields},
    )  # fmt: skip
    machine.homes.load(numbers["homes"])


def write(path: Path, arrays: Arrays) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def read(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
