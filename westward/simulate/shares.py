"""Shares as the loop's tables (see ``fair``), and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from westward.model.faults import Fault, InputFaults
from westward.model.scenario import Share
from westward.model.workload import I32, Workload
from westward.simulate.fair import QUANTA_PER_MS
from westward.simulate.live import Clockwork

TENANTS_MAX = 1 << 22


def check_shares(shares: Sequence[Share]) -> None:
    """Raises InputFaults with every row that says nothing, says it twice, or weighs nothing."""
    faults = []
    seen: set[tuple[str, object]] = set()

    def fault(row: int, problem: str, remedy: str) -> None:
        faults.append(Fault(file="shares", row=row, field="", problem=problem, remedy=remedy))

    for row, share in enumerate(shares, start=1):
        if not (share.weight > 0 and math.isfinite(share.weight)):
            fault(row, f"weight {share.weight}", "Give a number above 0.")
        if share.tenant is not None and not 0 <= share.tenant < TENANTS_MAX:
            fault(row, f"tenant {share.tenant}", f"Tenants count from 0 to {TENANTS_MAX - 1}.")
        name: tuple[str, object]
        if share.tenant is not None:
            name = ("tenant", share.tenant)
        elif share.programme is not None:
            name = ("programme", share.programme)
        else:
            fault(row, "names neither a tenant nor a programme", "Name one.")
            continue
        if name in seen:
            fault(row, f"{name[0]} {name[1]} is given twice", "Keep one row.")
        seen.add(name)
    if faults:
        raise InputFaults(faults)


def tenants_of(workload: Workload) -> I32:
    """A number from 0 for each row's tenant: jobs of no stated user are one tenant's."""
    if int(workload.user.max(initial=-1)) + 1 >= TENANTS_MAX:
        raise ValueError(f"a workload may have at most {TENANTS_MAX - 1} tenants")
    tenants: I32 = (workload.user + 1).astype(np.int32)
    return tenants


class ShareTables:
    """Room for tenants as they turn up."""

    def __init__(self, shares: Sequence[Share], capacity_devices: float) -> None:
        check_shares(shares)
        names = sorted({one.programme for one in shares if one.programme is not None})
        self._programmes = {name: row for row, name in enumerate(names)}
        self._heads = np.ones(len(names))
        self._tenants: dict[int, tuple[int | None, float]] = {}
        for one in shares:
            if one.tenant is not None:
                group = None if one.programme is None else self._programmes[one.programme]
                self._tenants[one.tenant + 1] = (group, one.weight)
            elif one.programme is not None:
                self._heads[self._programmes[one.programme]] = one.weight
        lone = [weight for group, weight in self._tenants.values() if group is None]
        least = min([1.0, *self._heads.tolist(), *lone])
        self._rate = QUANTA_PER_MS / capacity_devices * least
        """Tags per device-ms at a weight of 1; the least share gets ``QUANTA_PER_MS``."""

    def grown(self, clock: Clockwork, tenants: int) -> Clockwork:
        """The clockwork with room for tenants 0..tenants-1; what it holds is kept."""
        old = len(clock.weight)
        if tenants + 1 <= old:
            return clock
        size = max(tenants + 1, 2 * old)
        groups = len(self._heads)
        # A tenant of no programme is its own: row groups + its number.
        programme = (groups + np.arange(size) - 1).astype(np.int32)
        weight = np.ones(size)
        rate = np.concatenate([self._rate / self._heads, np.full(size, self._rate)])
        for tenant, (group, one) in self._tenants.items():
            if tenant + 1 < size:
                if group is None:
                    rate[groups + tenant] = self._rate / one
                else:
                    programme[tenant + 1] = group
                    weight[tenant + 1] = one
        programme[0] = 0
        fair, alive, active = np.zeros(size), np.zeros(size, dtype=np.int32), np.zeros(len(rate))
        fair[: len(clock.fair)] = clock.fair
        alive[: len(clock.alive)] = clock.alive
        active[: len(clock.active)] = clock.active
        return clock._replace(
            fair=fair, weight=weight, programme=programme, alive=alive, active=active,
            programme_rate=rate,
        )  # fmt: skip
