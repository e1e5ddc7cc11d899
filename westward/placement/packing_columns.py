"""A network's nodes as columns for a rehearsal by nodes, and their growth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from westward.placement.packing_state import (
    DEVICE_MILLI,
    I32,
    I64,
    MAX_DEVICES,
    NEVER_ASKED,
    NONE,
    RULE_NAMES,
    Nodes,
    Packing,
    Typical,
    make_nodes,
    make_scores,
    make_shadow,
)
from westward.placement.packing_values import typical_of
from westward.placement.state import Pools

FIRST_ROWS = 16_384
CACHED_SCORES = 1 << 24
"""(request, node) pairs whose score is kept, 14 bytes each. Requests beyond are scored anew."""
SCORED = ("fgd", "westward")
"""Rules that go by what the workload usually asks for, and keep scores."""


def make_packing(pools: Pools, rule: str, pool_names: tuple[str, ...]) -> Packing:
    """Idle nodes of a network's pools. Raises ValueError for nodes of too many devices."""
    devices = np.where(pools.kind < 0, 0, pools.devices)
    large = [
        name for name, count, nodes in zip(pool_names, devices, pools.nodes, strict=True)
        if nodes and count > MAX_DEVICES
    ]  # fmt: skip
    if large:
        raise ValueError(
            f"nodes of more than {MAX_DEVICES} devices cannot be packed: {', '.join(large)}. "
            f"Rehearse with packing 'pool'"
        )
    node_from = np.concatenate([[0], np.cumsum(pools.nodes)]).astype(np.int64)
    nodes = make_nodes(
        node_from,
        np.repeat(devices, pools.nodes),
        np.repeat(pools.cpus_milli, pools.nodes),
        np.repeat(pools.memory_mib, pools.nodes),
        np.repeat(np.int64(1) << np.where(pools.kind < 0, 62, pools.kind), pools.nodes),
        held_rows=FIRST_ROWS,
    )
    return Packing(
        nodes=nodes,
        shadow=make_shadow(nodes),
        scores=make_scores(nodes),
        rule=RULE_NAMES.index(rule),
        barred=np.full(len(pools.nodes), NONE, dtype=np.int64),
        hopeless=np.full((len(pools.nodes), 2), NONE, dtype=np.int64),
        vain=np.full((len(pools.nodes), 4, 4), NEVER_ASKED, dtype=np.int64),
        members=np.zeros(1, dtype=np.int64),
    )


@dataclass(frozen=True, slots=True)
class Usual:
    """What a rule that scores goes by: the usual requests of a workload, their times unknown."""

    typical: Typical

    @classmethod
    def of(cls, nodes: I32, devices_milli: I32, cpus_milli: I32, kinds: I64) -> Usual:
        """Columns are one row a job: members, then per member; ``kinds`` 0 = any."""
        whole = -(-devices_milli // DEVICE_MILLI) * DEVICE_MILLI
        asked = np.where(devices_milli > DEVICE_MILLI, whole, devices_milli)
        return cls(
            typical_of(
                np.repeat(asked.astype(np.int64), nodes),
                np.repeat(cpus_milli.astype(np.int64), nodes),
                np.repeat(kinds.astype(np.int64), nodes),
            )[0]
        )


def with_scores(packing: Packing, classes: int, usual: Usual) -> Packing:
    """The same packing with room for the scores of so many classes of requests."""
    specs = min(classes, CACHED_SCORES // max(1, len(packing.nodes.level)))
    if len(packing.scores.score) == specs:
        return packing
    return packing._replace(scores=make_scores(packing.nodes, specs=specs, typical=usual.typical))


def with_rows(packing: Packing, least: int) -> Packing:
    """The same packing with room for twice as many held members, ``least`` in all at any rate."""
    old = packing.nodes
    before = len(old.held_node)
    size = max(2 * before, least)
    grown: Nodes = old._replace(
        **{
            name: np.concatenate([column, np.zeros(size - before, dtype=column.dtype)])
            for name, column in old._asdict().items()
            if name.startswith("held_") and name != "held_free"
        }
    )
    grown.held_next[before:] = np.arange(before + 1, size + 1)
    grown.held_next[size - 1] = old.held_free[0] if old.held_free[1] else NONE
    grown.held_free[0] = before
    grown.held_free[1] += size - before
    return packing._replace(nodes=grown)
