"""Faults, as they strike a world, and the end of them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from westward.faultsim.loop import Process
from westward.faultsim.scenario import FaultPlan

if TYPE_CHECKING:
    from westward.faultsim.world import World


def strike(world: World, fault: FaultPlan) -> None:
    """It begins; what it begins may wait for its moment. Nothing does any more after the heal."""
    if world.healed:
        return
    world.note("fault", fault.kind, fault.target, fault.for_ms)
    end_us = world.loop.now_us + fault.for_ms * 1000
    kind = fault.kind
    if kind.startswith("server") or kind in ("clock-jump", "slow-disk", "full-disk"):
        _server_fault(world, fault, end_us)
    elif kind in ("cut-up", "cut-down", "cut-both", "loss", "duplicates", "delays"):
        world.net.windows[kind, fault.target] = end_us
        world.net.share[kind] = 0.1 + 0.6 * (fault.size % 100) / 100
    else:
        _site_fault(world, fault, end_us)


def _server_fault(world: World, fault: FaultPlan, end_us: int) -> None:
    server, disk = world.server, world.disk
    match fault.kind:
        case "clock-jump":
            world.injected(fault.kind)
            world.wall_offset_ms += (fault.size % 120_001) - 60_000
        case "slow-disk":
            world.slow_until_us = end_us
        case "full-disk":
            disk.full, disk.give_up_whole = True, fault.size % 2 == 0
            world.loop.at_us(end_us, _disk_freed, world, context=world.outside)
        case "server-crash-in-write":
            disk.crash_at_write = disk.writes + 1 + fault.size % 40
        case "server-crash-before-commit":
            disk.crash_before_commit = True
        case "server-crash-after-commit":
            disk.crash_after_commit = True
        case _ if server is None or not server.process.alive:
            return
        case "server-crash":
            world.injected(fault.kind)
            server.down_ms = fault.for_ms
            server.process.kill()
        case "server-crash-at-step":
            server.process.die_at_step = server.process.steps + 1 + fault.size % 200
        case "server-pause":
            _pause(world, fault.kind, server.process, end_us)


def _site_fault(world: World, fault: FaultPlan, end_us: int) -> None:
    site, node = world.sites[fault.target], world.agents[fault.target]
    match fault.kind:
        case "engine-unknown":
            site.unknown_until_us = end_us
        case "engine-vanished":
            if site.lose_watch():
                world.injected(fault.kind)
        case "engine-late-exit":
            site.late_until_us, site.late_us = end_us, fault.size * 8
        case "engine-forgets-to-forget":
            site.remembers = True
        case "engine-changes-its-mind":
            site.changes_its_mind = True
        case "site-disk-full":
            site.full_until_us = end_us
        case "site-reboot":
            world.injected(fault.kind)
            site.reboot()
            node.down_ms = fault.for_ms
            node.process.kill()
        case "agent-crash":
            if node.process.alive:
                world.injected(fault.kind)
                node.down_ms = fault.for_ms
                node.process.kill()
        case "agent-crash-at-step":
            node.process.die_at_step = node.process.steps + 1 + fault.size % 100
        case "agent-pause":
            if node.process.alive:
                _pause(world, fault.kind, node.process, end_us)


def _pause(world: World, kind: str, process: Process, end_us: int) -> None:
    world.injected(kind)
    process.paused = True
    world.loop.at_us(end_us, world.loop.resume, process, context=world.outside)


def _disk_freed(world: World) -> None:
    if world.disk.refused:
        world.injected_kinds["full-disk"] += world.disk.refused
        world.disk.refused = 0
    world.disk.full = False


def call_off(world: World) -> None:
    """Whatever lasts, and whatever was armed and has not struck."""
    disk = world.disk
    _disk_freed(world)
    disk.crash_at_write = None
    disk.crash_before_commit = disk.crash_after_commit = False
    world.slow_until_us = 0
    world.net.heal()
    processes = [node.process for node in world.agents.values()]
    if world.server is not None:
        processes.append(world.server.process)
    for process in processes:
        process.die_at_step = None
        world.loop.resume(process)
    for site in world.sites.values():
        site.unknown_until_us = site.full_until_us = site.late_until_us = 0
        site.remembers = site.changes_its_mind = False
        for piece in site.pieces.values():
            piece.shown_from_us = 0
