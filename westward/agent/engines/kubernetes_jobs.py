"""Runs jobs on a Kubernetes cluster as batch/v1 Jobs. The cluster places pods; Westward holds leases.

One Job per rank, named after the run: the cluster itself refuses a second. Its activeDeadlineSeconds
is pushed ahead with the lease, so that the cluster ends the run when this agent is gone. Decision
record 0021 says what is held and what is not. The official client is needed (westward[kubernetes]).
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from westward.agent.engines import processes
from westward.agent.engines.base import DiscoveredPool, LeaseTimes
from westward.agent.engines.kubernetes_link import (
    Access,
    KubernetesLink,
    Missing,
    Refused,
    Unreachable,
)
from westward.agent.engines.kubernetes_pod import Offer, check, job, lease_grace_s, service
from westward.agent.engines.kubernetes_watch import KubernetesWatch, deadline_s, is_ready
from westward.agent.engines.options import known
from westward.agent.engines.watched import WatchedEngine, WatchedRuns, refuse_files
from westward.model.wire import Grant, Outcome

READING_EVERY_MS = 5_000
GRACE_MS = 5_000
CLOSE_S = 15
KIND_LABELS = ("nvidia.com/gpu.product", "westward.io/accelerator")
"""Labels of a node that name its accelerator: NVIDIA's own discovery, an operator's word."""
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
OPTIONS = (
    "kubeconfig", "context", "in_cluster", "namespace", "image", "gpu_resource", "selectors",
    "pull_secret", "grace_ms", "reading_ms",
)  # fmt: skip


@dataclass
class KubernetesEngine(WatchedEngine):
    """One site's cluster; ``state`` is the agent's own folder on a local disk."""

    state: Path
    site: str
    offer: Offer
    access: Access
    grace_ms: int = GRACE_MS
    reading_ms: int = READING_EVERY_MS

    def __post_init__(self) -> None:
        self.link = KubernetesLink(self.access, self.offer.namespace, self.site)
        self.runs = WatchedRuns(self.state)
        self.watch = KubernetesWatch(self.runs, self.link, self.reading_ms)
        self._thread = threading.Thread(target=self.watch.loop, name="kubernetes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.watch.close()
        self._thread.join(CLOSE_S)
        self.watch.stop_logs()
        self.link.close()
        self.runs.close()

    # -- a run's life

    def start(self, grant: Grant, lease: LeaseTimes) -> None:
        processes.signal_number(grant.stop_signal)
        refuse_files(grant, "kubernetes")
        check(grant, self.offer)
        grace_ms = self.grace_ms if grant.grace_ms is None else grant.grace_ms
        lease_grace = lease_grace_s(grant.ttl_ms, grace_ms)
        left_ms = lease.kill_at - processes.boot_ms()
        deadline = deadline_s(0, left_ms, grant.ttl_ms, lease_grace)
        order = {
            "ttl_ms": grant.ttl_ms,
            "grace_ms": grace_ms,
            "lease_grace_s": lease_grace,
            "time_limit_ms": grant.time_limit_ms,
            "devices_per_node_milli": grant.devices_per_node_milli,
            "jobs": [
                job(grant, self.offer, rank, grace_ms=grace_ms, deadline_s=deadline)
                for rank in range(grant.nodes)
            ],
            "service": service(grant, self.site) if grant.nodes > 1 else None,
        }
        self.runs.take(grant, lease, order)
        self.watch.news.set()

    def extend(self, run_id: str, lease: LeaseTimes) -> None:
        self.runs.extend(run_id, lease)

    def stop(self, run_id: str, outcome: Outcome) -> None:
        self.runs.stop(run_id, outcome)
        self.watch.news.set()

    def clean(self, run_id: str, detail: str) -> None:
        self.runs.clean(run_id, detail)

    def forget(self, run_id: str) -> None:
        self.runs.forget(run_id)
        self.watch.tidy = True
        self.watch.news.set()

    # -- what the site offers

    def discover(self) -> tuple[DiscoveredPool, ...]:
        try:
            nodes = self.link.nodes()
        except (Unreachable, Refused, Missing) as error:
            raise OSError(f"the cluster's nodes cannot be asked for: {error}") from error
        return pools_of(nodes, self.offer.gpu_resource)


def pools_of(nodes: Iterable[Mapping[str, Any]], gpu_resource: str) -> tuple[DiscoveredPool, ...]:
    """Nodes that are ready, take pods and are alike: one pool for each kind, largest first."""
    alike: Counter[tuple[Any, ...]] = Counter()
    for node in nodes:
        if is_ready(node) and not (node.get("spec") or {}).get("unschedulable"):
            alike[_kind(node, gpu_resource)] += 1
    found: list[DiscoveredPool] = []
    for (gpus, cpus_milli, memory_mib, accelerator, labels), count in alike.most_common():
        found.append(
            DiscoveredPool(
                name=f"kubernetes-{(accelerator or ('gpu' if gpus else 'cpu')).lower()}"
                f"-{len(found) + 1}",
                nodes=count,
                accelerator=accelerator,
                devices_per_node=gpus,
                cpus_milli_per_node=cpus_milli,
                memory_mib_per_node=memory_mib,
                labels=labels,
            )
        )
    return tuple(found)


def _kind(node: Mapping[str, Any], gpu_resource: str) -> tuple[Any, ...]:
    offered: Mapping[str, str] = node["status"].get("allocatable") or {}
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    accelerator = next((labels[name] for name in KIND_LABELS if name in labels), None)
    own = tuple(
        sorted(
            (name, value)
            for name, value in labels.items()
            if "kubernetes.io/hostname" not in name and not name.startswith("beta.kubernetes.io")
        )
    )
    return (
        int(offered.get(gpu_resource, "0")),
        quantity_milli(offered.get("cpu", "0")),
        (quantity_milli(offered.get("memory", "0")) // 1000) >> 20,
        accelerator,
        own,
    )


def quantity_milli(text: str) -> int:
    """A quantity of Kubernetes ("500m", "16", "64Gi") in thousandths; part thousandths are cut."""
    for suffix, factor in SUFFIXES.items():
        if text.endswith(suffix):
            number, milli = text.removesuffix(suffix), factor
            break
    else:
        number, milli = text, 1000
    whole, _, fraction = number.partition(".")
    scale: int = 10 ** len(fraction)
    return int(whole + fraction) * milli // scale


SUFFIXES: dict[str, int] = {
    "Ki": 1000 << 10, "Mi": 1000 << 20, "Gi": 1000 << 30, "Ti": 1000 << 40, "Pi": 1000 << 50,
    "m": 1, "k": 10**6, "M": 10**9, "G": 10**12, "T": 10**15, "P": 10**18,
}  # fmt: skip
"""A quantity's suffix → thousandths of its unit."""


def from_options(state: Path, site: str, options: Mapping[str, str]) -> KubernetesEngine:
    """``kubeconfig`` and ``context``, or ``in_cluster`` yes; ``namespace``; ``image`` in which jobs
    run (bash is all it must have; needed); ``gpu_resource``; ``selectors``
    POOL:LABEL=VALUE,...;POOL:... which nodes a pool has; ``pull_secret``; ``grace_ms``,
    ``reading_ms``. ValueError names every fault.
    """
    known(options, OPTIONS)
    faults: list[str] = []
    if not options.get("image"):
        faults.append("image: none is given; jobs run in it, and it must have bash")
    if options.get("in_cluster", "no") not in ("yes", "no"):
        faults.append(f"in_cluster: {options['in_cluster']!r} is not yes or no")
    namespace = options.get("namespace", "default")
    if not NAME.fullmatch(namespace):
        faults.append(f"namespace: {namespace!r} is not a name in Kubernetes")
    if not NAME.fullmatch(site.lower()):
        faults.append(f"site: {site!r} cannot be a label in Kubernetes")
    numbers = {"grace_ms": GRACE_MS, "reading_ms": READING_EVERY_MS}
    for name in numbers:
        if name in options and not options[name].isdecimal():
            faults.append(f"{name}: {options[name]!r} is not a whole number")
        elif name in options:
            numbers[name] = int(options[name])
    selectors = _selectors(options.get("selectors", ""), faults)
    if faults:
        raise ValueError("; ".join(f"engine option {fault}" for fault in faults))
    offer = Offer(
        namespace=namespace,
        image=options["image"],
        site=site,
        gpu_resource=options.get("gpu_resource", "nvidia.com/gpu"),
        selectors=selectors,
        pull_secret=options.get("pull_secret"),
    )
    access = Access(
        kubeconfig=options.get("kubeconfig"),
        context=options.get("context"),
        inside=options.get("in_cluster") == "yes",
    )
    return KubernetesEngine(state, site, offer, access, numbers["grace_ms"], numbers["reading_ms"])


def _selectors(text: str, faults: list[str]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    found = []
    for part in filter(None, text.split(";")):
        pool, _, wanted = part.partition(":")
        labels = [label.partition("=") for label in wanted.split(",")]
        if not pool or not all(name and equals and value for name, equals, value in labels):
            faults.append(f"selectors: {part!r} is not POOL:LABEL=VALUE,...")
        else:
            found.append((pool, tuple((name, value) for name, _, value in labels)))
    return tuple(found)
