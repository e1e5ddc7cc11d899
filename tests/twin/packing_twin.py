"""Node packing again, in plain Python and with no code of the kernels: nodes as objects, lists as
lists, every choice by looking at all nodes. Shares nothing with ``westward.placement.packing*``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class Node:
    """One node and what is free on it."""

    row: int
    pool: int
    kind: int
    all_cpus: int
    cpus: int
    memory: int
    devices: list[int]
    level: int = 0

    def whole(self) -> int:
        return sum(1 for left in self.devices if left == 1000)


@dataclass(frozen=True)
class Wish:
    """What each of ``members`` distinct nodes must give."""

    members: int
    devices_milli: int
    cpus: int
    memory: int
    kinds: int = 0

    def fits(self, node: Node) -> bool:
        if node.cpus < self.cpus or node.memory < self.memory:
            return False
        if self.kinds and not self.kinds & node.kind:
            return False
        if self.devices_milli == 0:
            return True
        if self.devices_milli < 1000:
            return any(left >= self.devices_milli for left in node.devices)
        return node.whole() * 1000 >= self.devices_milli


@dataclass(frozen=True)
class Part:
    """What one member holds."""

    node: int
    devices: tuple[int, ...]
    milli: int
    cpus: int
    memory: int


@dataclass
class Pools:
    """All nodes; ``levels[p]`` lists, per level, rows from the most recently touched on."""

    nodes: list[Node]
    unit: list[int]
    levels: list[dict[int, list[int]]] = field(default_factory=list)
    shares: list[dict[int, list[tuple[int, int]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.levels = [{} for _ in self.unit]
        self.shares = [{} for _ in self.unit]
        for node in self.nodes:
            node.level = self.level_of(node)
            self.levels[node.pool].setdefault(node.level, []).append(node.row)

    def level_of(self, node: Node) -> int:
        unit = self.unit[node.pool]
        return node.cpus // unit if unit else node.whole()

    def in_pool(self, pool: int) -> list[Node]:
        return [node for node in self.nodes if node.pool == pool]

    def count(self, pool: int, wish: Wish) -> int:
        """How many members could stand on distinct nodes."""
        return sum(1 for node in self.in_pool(pool) if wish.fits(node))

    def best_fit(self, pool: int, wish: Wish) -> list[tuple[int, int | None]]:
        """Nodes (and the device of a fraction) in the order best fit takes them."""
        chosen: list[tuple[int, int | None]] = []
        taken: set[int] = set()
        fraction = 0 < wish.devices_milli < 1000
        if fraction:
            for share in range(wish.devices_milli // 50, 20):
                while True:
                    found = [
                        (self.nodes[row].devices[d], place, row, d)
                        for place, (row, d) in enumerate(self.shares[pool].get(share, []))
                        if row not in taken
                        and self.nodes[row].devices[d] >= wish.devices_milli
                        and wish.fits(self.nodes[row])
                    ]
                    if not found:
                        break
                    _, _, row, d = min(found)
                    chosen.append((row, d))
                    taken.add(row)
        if self.unit[pool]:
            if wish.devices_milli:
                return chosen
            lowest = 0
        else:
            lowest = 1 if fraction else wish.devices_milli // 1000
        for level in sorted(self.levels[pool]):
            for row in self.levels[pool][level]:
                if level >= lowest and row not in taken and wish.fits(self.nodes[row]):
                    device = self.nodes[row].devices.index(1000) if fraction else None
                    chosen.append((row, device))
                    taken.add(row)
        return chosen

    def take(self, pool: int, wish: Wish, picks: list[tuple[int, int | None]]) -> list[Part] | None:
        """The first ``members`` of the picks, or None if there are too few."""
        if len(picks) < wish.members:
            return None
        parts: list[Part] = []
        for row, device in picks[: wish.members]:
            node = self.nodes[row]
            if device is not None:
                used, milli = (device,), wish.devices_milli
            else:
                free = [d for d, left in enumerate(node.devices) if left == 1000]
                used = tuple(free[: wish.devices_milli // 1000])
                milli = 1000 if used else 0
            parts.append(Part(row, used, milli, wish.cpus, wish.memory))
        for part in reversed(parts):
            self.change(part, -1)
        return parts

    def give(self, parts: list[Part]) -> None:
        for part in parts:
            self.change(part, +1)

    def change(self, part: Part, sign: int) -> None:
        """Apply or undo a part, and keep the lists as the most recently touched order."""
        node = self.nodes[part.node]
        for d in part.devices:
            old = node.devices[d]
            new = old + sign * part.milli
            if 0 < old < 1000:
                self.shares[node.pool][old // 50].remove((node.row, d))
            if 0 < new < 1000:
                self.shares[node.pool].setdefault(new // 50, []).insert(0, (node.row, d))
            node.devices[d] = new
        node.cpus += sign * part.cpus
        node.memory += sign * part.memory
        level = self.level_of(node)
        if level != node.level:
            self.levels[node.pool][node.level].remove(node.row)
            self.levels[node.pool].setdefault(level, []).insert(0, node.row)
            node.level = level

    def shadow(
        self, pool: int, wish: Wish, claims: list[list[Part]]
    ) -> tuple[int | None, list[int]]:
        """How many claims must end, in this order, before the wish fits (None: never), and the
        nodes kept for it: those that came to fit while claims ended first, then those that fit."""
        now = [row for row, _ in self.best_fit(pool, wish)]
        ended = 0
        came: list[int] = []
        while len(now) + len(came) < wish.members:
            if ended == len(claims):
                for parts in claims:
                    for part in parts:
                        self.change_free(part, -1)
                return None, []
            for part in claims[ended]:
                fitted = wish.fits(self.nodes[part.node])
                self.change_free(part, +1)
                if not fitted and wish.fits(self.nodes[part.node]):
                    came.append(part.node)
            ended += 1
        for parts in claims[:ended]:
            for part in parts:
                self.change_free(part, -1)
        return ended, (came + now)[: wish.members]

    def change_free(self, part: Part, sign: int) -> None:
        """Only what is free, not the lists: for looking ahead and back again."""
        node = self.nodes[part.node]
        for d in part.devices:
            node.devices[d] += sign * part.milli
        node.cpus += sign * part.cpus
        node.memory += sign * part.memory


@dataclass(frozen=True)
class Usual:
    """One typical request and how often it comes."""

    milli: int
    devices: int
    cpus: int
    kinds: int
    weight: float


def fragmentation(node: Node, usual: list[Usual]) -> float:
    """FGD, equation by equation: idle thousandths that each typical request cannot use."""
    idle = sum(node.devices)
    total = 0.0
    for ask in usual:
        usable = [left for left in node.devices if left >= ask.milli]
        reachable = not ask.kinds or bool(ask.kinds & node.kind)
        if ask.milli and reachable and node.cpus >= ask.cpus and len(usable) >= ask.devices:
            total += ask.weight * sum(left for left in node.devices if left < ask.milli)
        else:
            total += ask.weight * idle
    return total


def placements(node: Node, wish: Wish) -> list[tuple[int | None, Node]]:
    """Every way to stand on a node that fits: the device of a fraction, and the node afterwards."""
    if 0 < wish.devices_milli < 1000:
        options: list[int | None] = [
            d for d, left in enumerate(node.devices) if left >= wish.devices_milli
        ]
    else:
        options = [None]
    ways: list[tuple[int | None, Node]] = []
    for device in options:
        devices = list(node.devices)
        if device is not None:
            devices[device] -= wish.devices_milli
        else:
            for _ in range(wish.devices_milli // 1000):
                devices[devices.index(1000)] = 0
        ways.append(
            (
                device,
                Node(
                    node.row,
                    node.pool,
                    node.kind,
                    node.all_cpus,
                    node.cpus - wish.cpus,
                    node.memory - wish.memory,
                    devices,
                ),
            )
        )
    return ways


def fgd_score(before: Node, after: Node, usual: list[Usual]) -> float:
    """Unrounded, as the other scores: the rule rounds down to whole numbers."""
    change = fragmentation(before, usual) - fragmentation(after, usual)
    return 100 / (1 + math.exp(-change / 1000))


def best_fit_score(after: Node) -> float:
    left = Fraction(after.cpus, 128_000) / 2 + Fraction(sum(after.devices), 8_000) / 2
    return float((1 - left) * 100)


def dot_product_score(before: Node, wish: Wish) -> float:
    cpus = Fraction(before.cpus, 128_000) * Fraction(wish.cpus, 128_000)
    devices = Fraction(sum(before.devices), 8_000) * Fraction(wish.devices_milli, 8_000)
    return float(100 * (1 - (cpus + devices) / 2))


def packing_score(before: Node, wish: Wish) -> float:
    """GpuPacking: shared devices, then free ones of used nodes, then idle nodes."""
    if wish.devices_milli == 0:
        return 0
    whole = before.whole()
    if whole == len(before.devices):
        return max(33 - whole, whole)
    tight = min((left for left in before.devices if left >= wish.devices_milli), default=1000)
    if wish.devices_milli < 1000 and tight < 1000:
        return max(100 - tight // 100, 50)
    return max(50 - max(1, wish.devices_milli // 1000), 33)


def clustering_score(before: Node, wish: Wish, tenants: list[int]) -> float:
    """GpuClustering; ``tenants``: thousandths of devices held by each member on the node."""
    if wish.devices_milli == 0:
        return 0
    sizes = {_size(milli) for milli in tenants if milli}
    score = 25 * (8_000 - sum(before.devices)) // 8_000
    if _size(wish.devices_milli) in sizes:
        return score + (75 if len(sizes) == 1 else 50)
    return score + (0 if sizes else 25)


def _size(milli: int) -> str:
    if milli < 1000:
        return "part"
    count = milli // 1000
    return "8+" if count >= 8 else "4-7" if count >= 4 else "2-3" if count >= 2 else "1"


def westward_loss(
    before: Node, after: Node, usual: list[Usual], prices: dict[int, float], device: int | None
) -> float:
    """Our rule: value lost by the device's rest, a tenth of stranded devices and fragmentation."""
    loss = 0.1 * (fragmentation(after, usual) - fragmentation(before, usual))
    asked = sum(ask.weight * ask.devices * ask.milli for ask in usual) / 1000
    if asked:
        per_device = sum(ask.weight * ask.cpus for ask in usual) / asked
        loss += 0.1 * (_stranded(after, per_device) - _stranded(before, per_device))
    if device is not None:
        loss += 1000 * rest_value(before.devices[device], prices)
        loss -= 1000 * rest_value(after.devices[device], prices)
    return loss


def _stranded(node: Node, cpus_per_device: float) -> float:
    return max(0.0, sum(node.devices) - 1000 * node.cpus / cpus_per_device)


def rest_value(size: int, prices: dict[int, float]) -> float:
    """The dearest set of parts that fits into a rest, by trying all."""
    best = 0.0
    for part, price in prices.items():
        if part <= size and price > 0:
            best = max(best, price + rest_value(size - part, prices))
    return best
