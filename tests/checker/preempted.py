"""Rules of preemption: who was put out made way for somebody, and was needed for it.

``preempted``: a run was stopped for a job of higher priority that starts at that pool there and then.

``needless``: had one victim stayed, that job could not have started. Judged where one job alone came
by preemption at that instant and nothing else was stopped there, by what is free after the instant:
whatever started after it is taken for held before it, so the rule errs on the victim's side never.
"""

from __future__ import annotations

from collections import defaultdict

from tests.checker.case import Case
from tests.checker.network import Pool
from tests.checker.rehearsal import FINISHED, Segment

PREEMPTED = "preempted"


def check_preempted(case: Case) -> None:
    """``preempted`` and ``needless``, pool by pool."""
    for name, segments in case.by_pool().items():
        ends: defaultdict[int, list[Segment]] = defaultdict(list)
        starts: defaultdict[int, list[Segment]] = defaultdict(list)
        for segment in segments:
            ends[segment.end_ms].append(segment)
            starts[segment.start_ms].append(segment)
        for now, over in sorted(ends.items()):
            fell = [segment for segment in over if segment.why == PREEMPTED]
            if not fell:
                continue
            least = min(_priority(case, victim) for victim in fell)
            heirs = [one for one in starts[now] if _priority(case, one) > least]
            for victim in fell:
                case.reach["preempted"] += 1
                if not case.rehearsal.policy.get("preemption"):
                    case.say("preempted", "the policy stops nobody", victim.row)
                if not any(_priority(case, heir) > _priority(case, victim) for heir in heirs):
                    case.say("preempted", f"at {now} nobody came to {name} for it", victim.row)
            others = [segment for segment in over if segment.why not in (PREEMPTED, FINISHED)]
            if len(heirs) == 1 and not others and heirs[0].start_ms < heirs[0].end_ms:
                pool = case.network.pools[name]
                held = [s for s in segments if s.start_ms <= now < s.end_ms and s is not heirs[0]]
                for victim in fell:
                    _check_needed(case, pool, heirs[0], [*held, victim], victim)


def _priority(case: Case, segment: Segment) -> int:
    job = case.jobs[segment.row]
    return 0 if job is None else job.priority


def _check_needed(
    case: Case, pool: Pool, heir: Segment, held: list[Segment], victim: Segment
) -> None:
    """Does the heir fit beside ``held``, the victim among them?"""
    needs = [case.need(segment.row, pool) or 0 for segment in [heir, *held]]
    case.reach["needless"] += 1
    if sum(needs) > pool.capacity_milli:
        return
    if case.by_nodes and not _nodes_fit(case, pool, heir, held):
        case.reach["needless-nodes"] += 1
        return
    case.say(
        "needless", f"put out at {heir.start_ms} for row {heir.row}, which fits beside it",
        victim.row,
    )  # fmt: skip


def _nodes_fit(case: Case, pool: Pool, heir: Segment, held: list[Segment]) -> bool:
    """Are there surely nodes for the heir? Where parts of devices stand, nobody tells on which."""
    job = case.jobs[heir.row]
    assert job is not None
    size = pool.devices_per_node * 1000
    free = {node: [size, pool.cpus_milli, pool.memory_mib] for node in range(pool.nodes)}
    for segment in held:
        them = case.jobs[segment.row]
        for node in segment.nodes or ():
            if them is None or 0 < them.devices_milli < 1000:
                free.pop(node, None)
            elif node in free:
                whole = -(-them.devices_milli // 1000) * 1000
                each = (whole, them.cpus_milli, them.memory_mib)
                free[node] = [left - part for left, part in zip(free[node], each, strict=True)]
    wanted = (-(-job.devices_milli // 1000) * 1000, job.cpus_milli, job.memory_mib)
    fitting = sum(
        all(left >= part for left, part in zip(on, wanted, strict=True)) for on in free.values()
    )
    return fitting >= job.nodes
