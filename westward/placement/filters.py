"""Hard constraints in words: why a pool cannot take a job, each with the numbers.

The kernels test the same constraints over columns and stop at the first failure; these functions
report all of them. A property test holds the two to the same verdict.
"""

from __future__ import annotations

from westward.model.job import JobSpec, LatencyRule, ResourceOption
from westward.model.network import Lack, Network, Pool, Site
from westward.model.reasons import Code, Reason
from westward.model.units import MILLI


def latency_one_way_ms(network: Network, site: str, place: str) -> float | None:
    """One way between a site and a place (or another site); None = unknown."""
    if site == place:
        return 0.0
    link = network.link(site, place)
    return None if link is None else link.one_way_ms


def _latency_reason(rule: LatencyRule, network: Network, site: Site) -> Reason | None:
    one_way = latency_one_way_ms(network, site.name, rule.place)
    if one_way is None:
        return Reason(
            code=Code.LATENCY_UNKNOWN,
            resource=f"{rule.mode} latency to {rule.place}",
            asked=f"{rule.limit_ms:g}",
            available="unknown",
            unit="ms",
        )
    there = one_way if rule.mode == "one-way" else 2 * one_way
    if there <= rule.limit_ms:
        return None
    return Reason(
        code=Code.LATENCY,
        resource=f"{rule.mode} latency to {rule.place}",
        asked=f"{rule.limit_ms:g}",
        available=f"{there:.4g}",
        unit="ms",
    )


def static_reasons(spec: JobSpec, site: Site, network: Network) -> tuple[Reason, ...]:
    """Constraints that no passing of time changes: residency, latency, a way for the data."""
    found: list[Reason] = []
    for tag_rule in spec.residency:
        has = site.tag(tag_rule.key)
        if tag_rule.key == "site":
            has = site.name
        if has not in tag_rule.values:
            found.append(
                Reason(
                    code=Code.RESIDENCY,
                    resource=(
                        f"{tag_rule.key} of {tag_rule.because}"
                        if tag_rule.because
                        else tag_rule.key
                    ),
                    asked=" or ".join(tag_rule.values),
                    available=has or "no such tag",
                )
            )
    for latency_rule in spec.latency:
        reason = _latency_reason(latency_rule, network, site)
        if reason is not None:
            found.append(reason)
    for data in spec.inputs:
        if data.size_bytes == 0 and not data.dataset:
            continue
        sources = data.replicas if data.dataset else (data.site,)
        if not any(_has_way(network, source, site.name) for source in sources):
            found.append(
                Reason(
                    code=Code.NO_LINK,
                    resource=f"link from {' or '.join(sources) or 'any copy'}",
                    asked=f"{data.size_bytes / 1e9:g}",
                    available="no link with a bandwidth and a price",
                    unit="GB",
                )
            )
    return tuple(found)


def wants(spec: JobSpec) -> dict[Lack, str]:
    """What the job asks of an engine that not every engine can do, and for what."""
    found: dict[Lack, str] = {}
    files = [f"data set {one.dataset}" for one in spec.datasets]
    files += [f"output {one.dataset}" for one in spec.outputs]
    files += [f"file mount {one.target}" for one in spec.work.file_mounts]
    if spec.work.workdir is not None:
        files.append(f"workdir {spec.work.workdir}")
    if files:
        found["files"] = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
    if spec.nodes > 1:
        found["gangs"] = f"{spec.nodes} nodes"
    return found


_LACKING: dict[Lack, tuple[Code, str]] = {
    "files": (Code.NO_FILES, "files"),
    "gangs": (Code.NO_GANGS, "nodes of one job"),
}


def offer_reasons(spec: JobSpec, pool: Pool) -> tuple[Reason, ...]:
    """What the site's operator has limited the pool to (accounts and purposes), and what its
    engine lacks."""
    limits = (
        (Code.ACCOUNT, "account", spec.account, pool.accounts),
        (Code.PURPOSE, "purpose", spec.purpose, pool.purposes),
    )
    found = [
        Reason(
            code=code, resource=name, asked=stated or "none stated", available=" or ".join(taken)
        )
        for code, name, stated, taken in limits
        if taken and stated not in taken
    ]
    if pool.lacks:
        asked = wants(spec)
        for lack in pool.lacks:
            if lack in asked:
                code, resource = _LACKING[lack]
                there = f"none with the {pool.engine} engine" if lack == "files" else "1"
                found.append(
                    Reason(code=code, resource=resource, asked=asked[lack], available=there)
                )
    return tuple(found)


def _has_way(network: Network, source: str, site: str) -> bool:
    """Whether data can come from ``source``: a known site, by a line of known speed and price."""
    if source == site:
        return True
    if all(one.name != source for one in network.sites):
        return False
    link = network.link(source, site)
    return link is not None and bool(link.bandwidth_gbps) and link.price_micros_per_gb is not None


def _option_reasons(
    option: ResourceOption, nodes: int, pool: Pool, need_per_node_milli: int
) -> list[Reason]:
    found: list[Reason] = []
    if option.site is not None and option.site != pool.site:
        found.append(
            Reason(code=Code.WRONG_SITE, resource="site", asked=option.site, available=pool.site)
        )
    if option.engine is not None and option.engine != pool.engine:
        found.append(
            Reason(
                code=Code.WRONG_ENGINE,
                resource="engine",
                asked=option.engine,
                available=pool.engine,
            )
        )
    asks_device = option.any_accelerator or option.accelerator is not None
    if asks_device:
        wrong = pool.accelerator is None or (
            option.accelerator is not None and option.accelerator != pool.accelerator
        )
        if wrong:
            found.append(
                Reason(
                    code=Code.WRONG_ACCELERATOR,
                    resource="accelerator",
                    asked=option.accelerator or "any",
                    available=pool.accelerator or "none",
                )
            )
            return found
    has_devices = pool.devices_per_node * MILLI if pool.accelerator is not None else 0
    if pool.accelerator is not None and option.devices_milli > has_devices:
        found.append(
            Reason(
                code=Code.DEVICES_PER_NODE,
                resource=pool.accelerator or "devices",
                asked=f"{option.devices_milli / MILLI:g}",
                available=str(pool.devices_per_node),
                unit="per node",
            )
        )
    if option.cpus_milli > pool.cpus_per_node * MILLI:
        found.append(
            Reason(
                code=Code.CPUS_PER_NODE,
                resource="cpus",
                asked=f"{option.cpus_milli / MILLI:g}",
                available=str(pool.cpus_per_node),
                unit="per node",
            )
        )
    if option.memory_mib > pool.memory_mib_per_node:
        found.append(
            Reason(
                code=Code.MEMORY_PER_NODE,
                resource="memory",
                asked=str(option.memory_mib),
                available=str(pool.memory_mib_per_node),
                unit="MiB per node",
            )
        )
    if not found and need_per_node_milli > 0:
        hold = pool.nodes * (pool.devices_per_node * MILLI // need_per_node_milli)
        if hold < nodes:
            found.append(
                Reason(
                    code=Code.GANG_TOO_LARGE,
                    resource="gang nodes of this shape",
                    asked=str(nodes),
                    available=str(hold),
                )
            )
    return found


def need_per_node_milli(option: ResourceOption, pool: Pool) -> int:
    """The dominant share of a node, in milli-devices; 0 when a node cannot hold it (ADR 0002)."""
    node = pool.devices_per_node * MILLI
    devices = option.devices_milli if pool.accelerator is not None else 0
    cpus = option.cpus_milli
    if option.devices_milli == 0 and cpus == 0 and option.memory_mib == 0:
        cpus = MILLI
    if devices > node or cpus > pool.cpus_per_node * MILLI:
        return 0
    if option.memory_mib > pool.memory_mib_per_node:
        return 0
    need = devices
    if cpus:
        need = max(need, -(-cpus * node // (pool.cpus_per_node * MILLI)))
    if option.memory_mib:
        need = max(need, -(-option.memory_mib * node // pool.memory_mib_per_node))
    return max(need, 1)


def shape_reasons(spec: JobSpec, pool: Pool) -> tuple[Reason, ...]:
    """Empty when at least one option fits; otherwise the reasons of the option that comes nearest
    (fewest reasons, then the order written)."""
    nearest: list[Reason] | None = None
    for option in spec.options:
        found = _option_reasons(option, spec.nodes, pool, need_per_node_milli(option, pool))
        if not found:
            return ()
        if nearest is None or len(found) < len(nearest):
            nearest = found
    return tuple(nearest or ())
