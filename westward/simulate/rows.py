"""Workload rows as the planner's columns, and as JobSpecs: two views of the same request."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from westward.model.job import InputData, JobSpec, ResourceOption
from westward.model.network import Network
from westward.model.workload import I32, I64, Workload
from westward.placement.classes import classify, fill_classes
from westward.placement.columns import MAX_KINDS, NetworkColumns, new_classes
from westward.placement.state import Classes, Options
from westward.simulate.live import Arrivals

OWNERS_MAX = 1 << 20
"""Users or partitions of one workload that get a home of their own."""
FIRST_CLASSES = 256


@dataclass(slots=True)
class Homes:
    """The site each job counts as home: where its owner sits and its input lies.

    A workload that states partitions maps each to a site, one that states only users maps each
    user to a site, else each job; always drawn uniformly with ``seed``. A trace's places are not
    the network's places, so this is an assumption of the rehearsal and its report says so.
    """

    sites: int
    seed: int
    _rng: np.random.Generator = field(init=False)
    _by_owner: I32 = field(init=False, default_factory=lambda: np.zeros(0, dtype=np.int32))
    _owner: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._rng = np.random.Generator(np.random.PCG64(self.seed))

    def of(self, workload: Workload) -> I32:
        """Homes of the workload's next stretch; its first stretch says who owns."""
        if not self._owner:
            if (workload.home >= 0).any():
                self._owner = "home"
            else:
                self._owner = "user" if (workload.user >= 0).any() else "job"
        if self._owner == "job":
            return self._rng.integers(0, self.sites, len(workload)).astype(np.int32)
        owner = workload.home if self._owner == "home" else workload.user
        if int(owner.max()) + 2 > len(self._by_owner):
            self._draw(min(OWNERS_MAX, max(int(owner.max()) + 2, 2 * len(self._by_owner))))
        homes: I32 = self._by_owner[owner % OWNERS_MAX]
        return homes

    def save(self) -> dict[str, Any]:
        """What later stretches depend on, as plain values."""
        return {
            "owner": self._owner,
            "owners": len(self._by_owner),
            "rng": self._rng.bit_generator.state,
        }

    def load(self, saved: dict[str, Any]) -> None:
        self._owner = saved["owner"]
        self._rng.bit_generator.state = saved["rng"]
        self._draw(saved["owners"])

    def _draw(self, size: int) -> None:
        rng = np.random.Generator(np.random.PCG64(self.seed))
        self._by_owner = rng.integers(0, self.sites, size).astype(np.int32)


def home_sites(workload: Workload, network: Network, seed: int) -> I32:
    """Homes of a whole workload (see ``Homes``)."""
    return Homes(len(network.sites), seed).of(workload)


def kinds_of(workload: Workload, columns: NetworkColumns, *, strict: bool = False) -> I64:
    """Accelerator kinds as the network's bits; one entry where the workload states none.

    A job none of whose kinds the network has may run on any: kinds differ by their relative speed
    then, which is how a workload of other hardware is rehearsed at all. ``strict``: it fits nowhere.
    """
    every = (1 << len(columns.kind_names)) - 1
    if workload.kind_mask is None:
        return np.array([every], dtype=np.int64)
    bits = np.zeros(len(workload), dtype=np.int64)
    for k, name in enumerate(workload.kind_names):
        if name in columns.kind_names:
            asked = (workload.kind_mask >> k) & 1
            bits |= asked << columns.kind_names.index(name)
    if strict:
        return np.where(workload.kind_mask == 0, every, np.where(bits == 0, 1 << MAX_KINDS, bits))
    return np.where(bits == 0, every, bits)


class Requests:
    """Numbers equal requests alike, and works out what fits where for each new one."""

    def __init__(
        self, columns: NetworkColumns, *, by_nodes: bool = False, strict_kinds: bool = False
    ) -> None:
        """``by_nodes``: gang members stand on distinct nodes, so no gang fits a narrower pool."""
        self._columns = columns
        self._by_nodes = by_nodes
        self._strict_kinds = strict_kinds
        self.keys = np.zeros((FIRST_CLASSES, 5), dtype=np.int64)
        self.key_slots = np.zeros(4 * FIRST_CLASSES, dtype=np.int32)
        self.count = 0
        self.classes: Classes = new_classes(FIRST_CLASSES, len(columns.pool_names))

    def number(self, workload: Workload) -> I32:
        """The class of each row."""
        kinds = kinds_of(workload, self._columns, strict=self._strict_kinds)
        klass = np.empty(len(workload), dtype=np.int32)
        before = self.count
        while True:
            found = classify(
                workload.nodes, workload.devices_milli, workload.cpus_milli, workload.memory_mib,
                kinds, self.keys, self.key_slots, self.count, klass,
            )  # fmt: skip
            if found >= 0:
                break
            self._grow()
        self.count = int(found)
        self._fill(before)
        return klass

    def restore(self, keys: I64, key_slots: I32, count: int, classes: dict[str, Any]) -> None:
        """As a checkpoint has it."""
        self.keys, self.key_slots, self.count = keys, key_slots, count
        self.classes = Classes(**classes)

    def _grow(self) -> None:
        """Twice the room. Classes met in the failed pass are met again."""
        size = 2 * len(self.keys)
        keys = self.keys[: self.count].copy()
        self.keys = np.zeros((size, 5), dtype=np.int64)
        self.key_slots = np.zeros(4 * size, dtype=np.int32)
        narrow = np.ascontiguousarray(keys[:, :4].astype(np.int32).T)
        kinds = np.ascontiguousarray(keys[:, 4])
        classify(
            narrow[0], narrow[1], narrow[2], narrow[3], kinds, self.keys, self.key_slots, 0,
            np.empty(len(keys), dtype=np.int32),
        )  # fmt: skip
        old = self.classes
        self.classes = new_classes(size, len(self._columns.pool_names))
        for name in Classes._fields:
            source = getattr(old, name)
            getattr(self.classes, name)[: len(source)] = source

    def _fill(self, before: int) -> None:
        fresh = self.keys[before : self.count]
        if len(fresh) == 0:
            return
        devices, cpus, memory = fresh[:, 1].copy(), fresh[:, 2].copy(), fresh[:, 3].copy()
        nothing = (devices == 0) & (cpus == 0) & (memory == 0)
        unset = np.full(len(fresh), -1, dtype=np.int64)
        fill_classes(
            before,
            np.arange(len(fresh) + 1, dtype=np.int64),
            fresh[:, 0].astype(np.int32),
            Options(
                kinds=np.where(devices > 0, fresh[:, 4], 0),
                devices_milli=devices,
                cpus_milli=np.where(nothing, 1000, cpus),
                memory_mib=memory,
                site=unset,
                engine=unset,
                max_hourly=np.full(len(fresh), math.nan),
            ),
            self._columns.pools,
            self.classes,
        )
        if self._by_nodes:
            new = slice(before, self.count)
            wider = self.classes.nodes[new, None] > self._columns.pools.nodes
            self.classes.need[new][wider] = 0


def _or_one(column: Any, value: int, kind: type) -> Any:
    """A column, or one entry that stands for every row."""
    if column is None:
        return np.array([value], dtype=kind)
    return np.ascontiguousarray(column, dtype=kind)


def arrivals(
    workload: Workload,
    klass: I32,
    home: I32,
    zero_ms: int,
    tenant: I32 | None = None,
    payer: I32 | None = None,
) -> Arrivals:
    """A stretch of a workload for the loop. ``zero_ms``: absolute time of the workload's zero.
    ``tenant``: rows' tenants, where shares count. ``payer``: rows of ``Pools.cover``, where
    vouchers are rehearsed."""
    deadline = workload.deadline_ms
    has_deadline = len(deadline) > 0 and bool((deadline >= 0).any())
    has_input = len(workload) > 0 and bool((workload.input_bytes > 0).any())
    return Arrivals(
        submit_ms=workload.submit_ms + zero_ms,
        duration_ms=workload.duration_ms,
        estimate_ms=workload.estimate_ms,
        klass=klass,
        home=home,
        deadline_ms=np.where(deadline >= 0, deadline + zero_ms, -1)
        if has_deadline
        else np.array([-1], dtype=np.int64),
        input_bytes=workload.input_bytes if has_input else np.zeros(1, dtype=np.int64),
        dataset=_or_one(workload.dataset, -1, np.int32),
        priority=_or_one(workload.priority, 0, np.int8),
        checkpoint_ms=_or_one(workload.checkpoint_ms, 0, np.int64),
        pinned=_or_one(workload.pinned, 0, np.uint8),
        tenant=np.zeros(1, dtype=np.int32) if tenant is None else tenant,
        payer=np.zeros(1, dtype=np.int32) if payer is None else payer,
    )


def job_id(row: int) -> str:
    """Ids that sort as rows do."""
    return f"job_{row:09d}"


def job_spec(row: int, workload: Workload, home: I32, network: Network, zero_ms: int) -> JobSpec:
    """The same request as an object, for ``plan()``."""
    devices = int(workload.devices_milli[row])
    cpus, memory = int(workload.cpus_milli[row]), int(workload.memory_mib[row])
    site = network.sites[int(home[row])].name
    size = int(workload.input_bytes[row])
    estimate = int(workload.estimate_ms[row])
    deadline = int(workload.deadline_ms[row])
    names: tuple[str | None, ...] = (None,)
    if devices > 0 and workload.kind_mask is not None:
        asked = int(workload.kind_mask[row])
        known = {kind.name for kind in network.accelerators}
        listed = [
            name for k, name in enumerate(workload.kind_names) if asked >> k & 1 and name in known
        ]
        names = tuple(listed) or (None,)
    return JobSpec(
        job_id=job_id(row),
        name=f"row {int(workload.source_row[row])}",
        submit_ms=int(workload.submit_ms[row]) + zero_ms,
        nodes=int(workload.nodes[row]),
        options=tuple(
            ResourceOption(
                accelerator=name,
                any_accelerator=devices > 0 and name is None,
                devices_milli=devices,
                cpus_milli=1000 if devices == cpus == memory == 0 else cpus,
                memory_mib=memory,
            )
            for name in names
        ),
        priority=0 if workload.priority is None else int(workload.priority[row]),
        duration_ms=None if estimate < 0 else estimate,
        deadline_ms=None if deadline < 0 else deadline + zero_ms,
        inputs=(InputData(site=site, size_bytes=size),) if size > 0 else (),
        home_site=site,
    )
