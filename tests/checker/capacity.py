"""Rules of each pool: never more held than there is, in the whole pool and on every node."""

from __future__ import annotations

from tests.checker.case import Case
from tests.checker.network import Pool
from tests.checker.rehearsal import Segment


def check_capacity(case: Case) -> None:
    """``capacity``: a sweep over starts and ends; at one instant ends come before starts."""
    for name, segments in case.by_pool().items():
        pool = case.network.pools[name]
        events = []
        for at, segment in enumerate(segments):
            need = case.need(segment.row, pool) or 0
            events.append((segment.start_ms, 1, at, need))
            events.append((segment.end_ms, 0, at, -need))
        held = 0
        for time, _, at, change in sorted(events):
            held += change
            if held > pool.capacity_milli and change > 0:
                case.say(
                    "capacity",
                    f"{name} holds {held} of {pool.capacity_milli} milli-devices at {time}",
                    segments[at].row,
                )
        told = [segment.nodes is not None for segment in segments]
        if case.by_nodes and not all(told):
            case.say("node-capacity", f"{told.count(False)} runs at {name} tell no nodes")
        if any(told):
            _check_nodes(case, pool, segments)


def _check_nodes(case: Case, pool: Pool, segments: list[Segment]) -> None:
    """``node-capacity``: what stands on one node fits it, resource by resource."""
    limits = (pool.devices_per_node * 1000, pool.cpus_milli, pool.memory_mib)
    names = ("milli-devices", "milli-cpus", "MiB")
    events = []
    for at, segment in enumerate(segments):
        job = case.jobs[segment.row]
        if job is None or segment.nodes is None:
            continue
        if len(segment.nodes) != job.nodes:
            case.say("node-capacity", f"{len(segment.nodes)} nodes for {job.nodes}", segment.row)
        if case.by_nodes and len(set(segment.nodes)) < len(segment.nodes):
            case.say("node-capacity", "two members on one node", segment.row)
        if any(not 0 <= node < pool.nodes for node in segment.nodes):
            case.say("node-capacity", f"a node that {pool.name} does not have", segment.row)
            continue
        case.reach["node-capacity"] += 1
        events.append((segment.start_ms, 1, at))
        events.append((segment.end_ms, 0, at))
    held: dict[int, list[int]] = {}
    for time, starts, at in sorted(events):
        segment = segments[at]
        job = case.jobs[segment.row]
        assert job is not None
        assert segment.nodes is not None
        each = (job.devices_milli, job.cpus_milli, job.memory_mib)
        sign = 1 if starts else -1
        for node in segment.nodes:
            on = held.setdefault(node, [0, 0, 0])
            for k in range(3):
                on[k] += sign * each[k]
                if starts and on[k] > limits[k]:
                    case.say(
                        "node-capacity",
                        f"node {node} of {pool.name} holds {on[k]} of {limits[k]} {names[k]} "
                        f"at {time}",
                        segment.row,
                    )
