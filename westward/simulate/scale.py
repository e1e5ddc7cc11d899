"""A network with its pools scaled to a given number of devices: the same mix, another size."""

from __future__ import annotations

from dataclasses import replace

from westward.model.network import Network


def devices_of(network: Network) -> int:
    """Devices of all pools together (cores, for pools without accelerators)."""
    return sum(pool.nodes * pool.devices_per_node for pool in network.pools)


def scale_network(network: Network, devices: int) -> Network:
    """Nodes of every pool times one factor, so that there are ``devices`` devices in all.

    Nodes stay whole: the pools with the largest rest get one more each while it fits, so the
    result may miss the number by less than a node. A pool that has nodes keeps at least one.
    The digest is the folder's with ``+devices=N`` behind it, so that a reader can still check the
    folder. Raises ValueError where it is impossible.
    """
    have = devices_of(network)
    least = sum(pool.devices_per_node for pool in network.pools if pool.nodes)
    if devices < least:
        raise ValueError(
            f"{network.name} has pools of {least} devices at one node each. Give {least} or more"
        )
    exact = [pool.nodes * devices / have for pool in network.pools]
    nodes = [
        max(int(share), 1 if pool.nodes else 0)
        for share, pool in zip(exact, network.pools, strict=True)
    ]
    spare = devices - sum(n * p.devices_per_node for n, p in zip(nodes, network.pools, strict=True))
    by_rest = sorted(
        range(len(nodes)), key=lambda at: (nodes[at] - exact[at], network.pools[at].name)
    )
    for at in by_rest:
        pool = network.pools[at]
        if pool.nodes and pool.devices_per_node <= spare:
            nodes[at] += 1
            spare -= pool.devices_per_node
    for at in reversed(by_rest):
        # Pools held at one node may have taken too much: give it back where most was rounded up.
        per_node = network.pools[at].devices_per_node
        while spare < 0 and nodes[at] > 1:
            nodes[at] -= 1
            spare += per_node
    pools = tuple(
        replace(pool, nodes=count) for pool, count in zip(network.pools, nodes, strict=True)
    )
    scaled = replace(network, pools=pools)
    return replace(
        scaled,
        digest=f"{network.digest}+devices={devices}",
        label=f"{network.label}, scaled to {devices_of(scaled):,} devices",
    )
