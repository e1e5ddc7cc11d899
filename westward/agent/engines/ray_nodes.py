"""Groups the nodes of a Ray cluster that are alike: what each offers to a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from westward.agent.engines.base import DiscoveredPool

OWN = ("node:", "accelerator_type:", "bundle_")
"""Resources by which Ray names a node or its devices; the others are the operator's."""
COUNTED = ("CPU", "GPU", "memory", "object_store_memory")


def pools_of(nodes: Iterable[Mapping[str, Any]]) -> tuple[DiscoveredPool, ...]:
    """One pool for each kind of living node, largest first. Custom resources and labels that are
    not Ray's own are told as labels (``resource:NAME`` = the amount a node has)."""
    alike: Counter[tuple[Any, ...]] = Counter()
    for node in nodes:
        if node.get("state") == "ALIVE":
            alike[_kind(node)] += 1
    found: list[DiscoveredPool] = []
    for (gpus, cpus_milli, memory_mib, accelerator, labels), count in alike.most_common():
        found.append(
            DiscoveredPool(
                name=f"ray-{accelerator or ('gpu' if gpus else 'cpu')}-{len(found) + 1}",
                nodes=count,
                accelerator=accelerator,
                devices_per_node=gpus,
                cpus_milli_per_node=cpus_milli,
                memory_mib_per_node=memory_mib,
                labels=labels,
            )
        )
    return tuple(found)


def _kind(node: Mapping[str, Any]) -> tuple[Any, ...]:
    resources: Mapping[str, float] = node.get("resources_total") or {}
    kinds = sorted(
        name.partition(":")[2] for name in resources if name.startswith("accelerator_type:")
    )
    labels = [
        (name, str(value))
        for name, value in (node.get("labels") or {}).items()
        if not name.startswith("ray.io/")
    ]
    labels += [
        (f"resource:{name}", f"{amount:g}")
        for name, amount in resources.items()
        if name not in COUNTED and not name.startswith(OWN)
    ]
    return (
        int(resources.get("GPU", 0)),
        round(1000 * resources.get("CPU", 0)),
        int(resources.get("memory", 0)) >> 20,
        kinds[0] if len(kinds) == 1 else None,
        tuple(sorted(labels)),
    )
