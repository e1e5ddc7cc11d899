"""What stops the clock of a rehearsal: sites lost, drained and back, and another look at runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from westward.model.scenario import Outage
from westward.placement.state import I64
from westward.simulate.interrupt import close_pools
from westward.simulate.live import CURSOR_NOW
from westward.simulate.machine import Machine

SUMMING = ("westward", "lowest-carbon")
"""Rules whose choice is the sum by which runs are compared; the others never put off either."""


class Happenings:
    """Sets a machine's stops: the outages', and the policy's ``reconsider_ms``.

    At a stop sites come back, then sites go; ends and arrivals of that instant come after. Raises
    ValueError for a site that the network does not have, or an outage that ends before it begins.
    """

    def __init__(self, machine: Machine, outages: tuple[Outage, ...]) -> None:
        self._machine = machine
        names = machine.columns.site_names
        self._open = machine.columns.pools.open.copy()
        """As the folder says."""
        self._down = np.zeros(len(names), dtype=np.int64)
        """Outages in force, per site: they may overlap."""
        self._turns: dict[int, list[tuple[int, int, bool]]] = {}
        """At an absolute ms: (site, +1 begins or -1 is over, what runs is lost)."""
        for outage in outages:
            if outage.site not in names:
                raise ValueError(f"the network has no site {outage.site}")
            if outage.until_ms <= outage.from_ms:
                raise ValueError(f"the outage of {outage.site} ends before it begins")
            site = names.index(outage.site)
            begin, end = machine.zero_ms + outage.from_ms, machine.zero_ms + outage.until_ms
            self._turns.setdefault(begin, []).append((site, 1, outage.kind == "outage"))
            self._turns.setdefault(end, []).append((site, -1, False))
        for at in sorted(self._turns):
            machine.stop_at(at, self._turn_sites)
        self._tick = machine.policy.reconsider_ms if machine.policy.rule in SUMMING else 0
        if self._tick > 0:
            machine.stop_at(machine.zero_ms + self._tick, self._reconsider)

    def _turn_sites(self, now_ms: int) -> None:
        m = self._machine
        m.clock.cursor[CURSOR_NOW] = now_ms
        pools = m.columns.pools
        losing = np.zeros(len(pools.site), dtype=np.uint8)
        for site, change, lost in self._turns[now_ms]:
            self._down[site] += change
            if lost:
                losing[pools.site == site] = 1
        was_open = pools.open.copy()
        pools.open[:] = np.where(self._down[pools.site] > 0, 0, self._open)
        m.clock.closed[:] = (pools.open == 0) & (self._open == 1)
        if (pools.open > was_open).any():
            # Jobs that had nowhere to go need not wait for their hour.
            opened = slice(m.slots)
            away = (m.live.away[opened] == 1) & (m.state.job_pool[opened] < 0)
            self._list(np.flatnonzero(away))
        live = m.live._replace(away=m.live.away[: m.slots])  # beyond, no slot was ever opened
        more = True
        while more:
            m.flush()
            more = bool(
                close_pools(
                    losing, now_ms, pools, m.jobs, m.inputs, m.rules, m.state, live, m.clock,
                    m.records, m.packing,
                )
            )  # fmt: skip
        self._put_in_order()

    def _reconsider(self, now_ms: int) -> None:
        """List the runs that write checkpoints and are thought to last over two more ticks."""
        m = self._machine
        m.clock.cursor[CURSOR_NOW] = now_ms
        live = m.live
        opened = slice(m.slots)
        runs = np.flatnonzero((live.start_ms[opened] >= 0) & (live.checkpoint_ms[opened] > 0))
        expected = live.start_ms[runs] + m.state.job_duration_ms[runs]
        runs = runs[(expected > now_ms + 2 * self._tick) & (live.start_ms[runs] < now_ms)]
        live.asked[runs] = 1
        self._list(runs)
        self._put_in_order()
        m.stop_at(now_ms + self._tick, self._reconsider)

    def _list(self, slots: npt.NDArray[np.intp]) -> None:
        m = self._machine
        m.live.away[slots] = 0
        again = m.clock.again
        height = int(again[0])
        again[height + 1 : height + 1 + len(slots)] = slots
        again[0] = height + len(slots)

    def _put_in_order(self) -> None:
        """The loop takes the last of the list: the first in order has its turn first."""
        listed = self._machine.clock.again[1 : int(self._machine.clock.again[0]) + 1]
        order: I64 = self._machine.jobs.order[listed]
        listed[:] = listed[np.argsort(-order, kind="stable")]
