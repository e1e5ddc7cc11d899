"""Everything one rehearsal is checked against, joined job by job, and how a fault is told."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from tests.checker.network import Network, Pool
from tests.checker.rehearsal import Rehearsal, Row, Segment
from tests.checker.workload import Job

RELATIVE = Fraction(1, 10**9)
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule. ``row`` is the job's row in the table (None: of the whole)."""

    rule: str
    text: str
    row: int | None = None


@dataclass
class Case:
    """``jobs[at]`` is the source of table row ``at`` (None: the source is not known)."""

    rehearsal: Rehearsal
    network: Network
    source: list[Job] | None
    jobs: list[Job | None] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reach: Counter[str] = field(default_factory=Counter)
    """How often a rule had something to judge: a rule that never did proves nothing."""
    _needs: dict[tuple[int, str], int | None] = field(default_factory=dict, repr=False)

    @property
    def zero_ms(self) -> int:
        zero: int = self.rehearsal.inputs["workload"]["zero_ms"]
        return zero

    @property
    def origin_ms(self) -> int:
        return self.network.origin_ms

    def say(self, rule: str, text: str, row: int | None = None) -> None:
        self.violations.append(Violation(rule, text, row))

    def pool(self, name: str | None) -> Pool | None:
        return None if name is None else self.network.pools.get(name)

    def need(self, at: int, pool: Pool) -> int | None:
        """Milli-devices of the whole gang on that pool; None = it does not fit there."""
        key = (at, pool.name)
        if key not in self._needs:
            self._needs[key] = self._need(at, pool)
        return self._needs[key]

    @property
    def reviewed(self) -> bool:
        """Waiting jobs looked at other pools again: when one joined its queue is not told."""
        policy = self.rehearsal.policy
        return bool(policy.get("rule") == "westward" and policy.get("review_ms", 0) > 0)

    @property
    def by_nodes(self) -> bool:
        """Jobs were started on nodes, not on a pool as one number."""
        return bool(self.rehearsal.policy.get("packing", "pool") != "pool")

    def _need(self, at: int, pool: Pool) -> int | None:
        job = self.jobs[at]
        if job is None:
            stated: int | None = self.rehearsal.rows[at]["need_milli"]
            return stated
        cpus = job.cpus_milli
        if not (job.devices_milli or cpus or job.memory_mib):
            cpus = 1000  # a job that states nothing takes one cpu
        each = pool.node_need(job.devices_milli, cpus, job.memory_mib)
        if each is None or pool.nodes * (pool.devices_per_node * 1000 // each) < job.nodes:
            return None
        if self.by_nodes and job.nodes > pool.nodes:
            return None  # members stand on distinct nodes
        # Kinds that the network does not know at all say nothing of where it may run.
        known = self.network.kinds.intersection(job.kinds)
        if job.devices_milli and known and pool.accelerator not in known:
            return None
        return each * job.nodes

    def transfer(self, at: int, site: str) -> tuple[Fraction, Fraction] | None:
        """Millionths and ms to bring the job's input to the site; None = no way is known."""
        job, home = self.jobs[at], self.rehearsal.rows[at]["home"]
        size = 0 if job is None else job.input_bytes
        if size == 0 or home == site:
            return Fraction(0), Fraction(0)
        link = self.network.link(home, site)
        if link is None:
            return None
        return Fraction(size * link.micros_per_gb, 10**9), size * link.ms_per_byte

    def expected_ms(self, at: int, pool: Pool) -> int:
        """How long the planner was told it would run there."""
        job = self.jobs[at]
        assert job is not None
        asked = job.estimate_ms
        if asked < 0:
            asked = self.rehearsal.policy["assumed_duration_ms"]
        return max(1, int(asked / pool.speed_float))

    def entered_ms(self, row: Row) -> int:
        """When the job was held back no longer by a choice of hour or by its data."""
        entered: int = row["submit_ms"] + (row["put_off_ms"] or 0)
        return entered

    def by_pool(self) -> dict[str, list[Segment]]:
        found: dict[str, list[Segment]] = {name: [] for name in self.network.pools}
        for segment in self.rehearsal.segments:
            if segment.pool in found:
                found[segment.pool].append(segment)
        return found

    def story(self, at: int) -> str:
        """What the tables say of one job, in a few lines."""
        row, job = self.rehearsal.rows[at], self.jobs[at]
        lines = [
            f"row {at} (job {row['job']}): submitted {row['submit_ms']}, held back to "
            f"{self.entered_ms(row) if row['put_off_ms'] is not None else '-'}, home {row['home']}"
        ]
        if job is not None:
            lines.append(
                f"  asks for {job.nodes} x ({job.devices_milli} milli-devices, {job.cpus_milli} "
                f"milli-cpus, {job.memory_mib} MiB), runs {job.duration_ms} ms, said "
                f"{job.estimate_ms} ms, input {job.input_bytes} bytes, deadline {job.deadline_ms}, "
                f"priority {job.priority}"
            )
        pieces = [segment for segment in self.rehearsal.segments if segment.row == at]
        for piece in pieces:
            where = "" if piece.nodes is None else f" nodes {list(piece.nodes)}"
            lines.append(f"  {piece.pool}{where}: {piece.start_ms} to {piece.end_ms} ({piece.why})")
        if not pieces:
            lines.append(f"  never ran: {row['refusal']}")
        return "\n".join(lines)


def close(stated: float | None, exact: Fraction, slack: Fraction = Fraction(0)) -> bool:
    """Equal within 1e-9 of the exact value, plus ``slack``."""
    if stated is None or not math.isfinite(stated):
        return False
    have, of = stated.as_integer_ratio()
    apart = abs(have * exact.denominator - exact.numerator * of)
    if apart * RELATIVE.denominator <= abs(exact.numerator) * of:
        return True
    return abs(Fraction(stated) - exact) <= RELATIVE * abs(exact) + slack
