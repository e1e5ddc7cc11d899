"""Where a rehearsal stands, as arrays in one file: what an interrupted one goes on from.

Unless ``outside_arrays`` says otherwise, everything that changes lives in arrays (columns only), so a
checkpoint is those arrays and a few numbers; it holds no code and no objects. The jobs themselves are not in it but those alive: who
resumes gives the same workload again. A file is written beside its place and renamed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from westward.model.plan import Policy
from westward.model.scenario import Scenario
from westward.simulate.happenings import SUMMING
from westward.simulate.machine import Machine

Arrays = dict[str, npt.NDArray[Any]]

VERSION = 1
CHANGING = ("state", "live", "clock", "traffic")
"""Attributes of Machine, tuples of arrays, that ``advance`` writes to."""


def outside_arrays(policy: Policy, scenario: Scenario | None = None) -> list[str]:
    """What keeps a memory of its own, in words; empty: a rehearsal of these can be saved."""
    scenario = scenario or Scenario()
    posts = policy.price_period_ms > 0 and policy.rule == "westward"
    looks = policy.reconsider_ms > 0 and policy.rule in SUMMING
    kept = (
        (posts, "posted prices of capacity"),
        (looks, "another look at running jobs"),
        (policy.packing != "pool", "packing onto nodes"),
        (policy.fair_share, "fair shares"),
        (bool(scenario.outages), "outages"),
        (scenario.forecast is not None, "forecasts with errors"),
    )
    return [words for holds, words in kept if holds]


def can_save(machine: Machine) -> bool:
    """False with anything that ``outside_arrays`` names."""
    return machine.all_in_arrays


def freeze(machine: Machine) -> Arrays:
    """The machine as arrays (views where possible), between two stretches."""
    if not can_save(machine):
        raise ValueError("this rehearsal keeps a memory outside the arrays")
    machine.flush()
    opened = machine.slots
    slots = machine.slot_records
    kept: Arrays = {"slots": slots[:opened].view(np.uint8).reshape(opened, -1)}
    for name, column in _columns(machine):
        if not np.may_share_memory(column, slots):
            kept[name] = column[: _used(column)]
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


def _columns(machine: Machine) -> list[tuple[str, npt.NDArray[Any]]]:
    """What ``CHANGING`` names, column by column; of a tuple within a tuple its columns."""
    found: list[tuple[str, npt.NDArray[Any]]] = []
    for name in CHANGING:
        for field, column in getattr(machine, name)._asdict().items():
            if isinstance(column, tuple):
                inner: dict[str, npt.NDArray[Any]] = column._asdict()  # type: ignore[attr-defined]
                found += [(f"{name}.{field}.{part}", one) for part, one in inner.items()]
            else:
                found.append((f"{name}.{field}", column))
    return found


def _used(column: npt.NDArray[Any]) -> int:
    """Up to the last row that is not 0: what lies beyond was never touched."""
    at = np.flatnonzero(column.any(axis=1) if column.ndim == 2 else column)
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
    known = len(kept["traffic.replica_ms"])
    if known > len(machine.traffic.replica_ms):  # room for the data sets met so far
        machine.traffic = machine.traffic._replace(replica_ms=kept["traffic.replica_ms"].copy())
    for name, column in _columns(machine):
        if np.may_share_memory(column, slots):
            continue
        saved = kept[name]
        column[: len(saved)] = saved
        rest = column[len(saved) :]
        if rest.any():  # else leave it untouched
            rest[:] = 0
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
