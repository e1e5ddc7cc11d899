"""The processes of a world: its server and its sites' agents, each started, killed and started again.

Shipped code but for what the world puts in its place: clock, run ids, disk, network, engine.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from westward.agent.agent import Agent, Superseded
from westward.agent.link import Refused
from westward.faultsim.disk import DiskWriter
from westward.faultsim.folders import sites_gone
from westward.faultsim.loop import Crash, Process
from westward.faultsim.net import SimLink
from westward.faultsim.site import SimEngine, SiteMachine
from westward.server.aside import STORE_TROUBLE
from westward.server.clock import Clock
from westward.server.core import Core, Surroundings
from westward.server.loops import Loops
from westward.server.metrics import Metrics

if TYPE_CHECKING:
    from westward.faultsim.world import World

RESTART_MS = 1_500
"""After an agent ended by itself."""


class Server:
    """One server process; what it remembers is gone when it dies. The disk stays."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.process = Process("server")
        self.process.on_death = self._died
        self.core: Core | None = None
        self.loops: Loops | None = None
        self.down_ms = 500

    def start(self) -> None:
        world = self.world
        try:
            with world.loop.running():
                self.process.context.run(self._open)
        except Crash:
            return
        except STORE_TROUBLE:  # its disk is full: it ends, and is started again
            self.process.kill()
            return
        world.net.core, world.net.process = self.core, self.process

    def _open(self) -> None:
        world = self.world
        dice = world.thread_dice

        def boot_ms() -> int:
            return world.loop.now_us // 1000

        surroundings = Surroundings(
            open_clock=lambda: Clock(world.wall_ms, boot_ms, world.loop.time),
            new_run_id=world.new_run_id,
            open_writer=lambda store: DiskWriter(
                store, world.disk, world.loop, lambda: dice.random() < 0.3, world.committed
            ),
            open_metrics=_metrics,
        )
        self.core = Core(
            world.settings, world.network, world.disk.open(), world.vouchers, surroundings
        )
        world.money.sites_gone = sites_gone(world.folder, world.network)
        self.loops = Loops(self.core)
        self.loops.start()

    def stop(self) -> None:
        """In good order, as for an update."""
        if self.process.alive and self.loops is not None:
            self.world.injected("server-stopped")
            context = self.process.context.copy()
            self.world.loop.create_task(self._end(), context=context)

    async def _end(self) -> None:
        assert self.core is not None
        assert self.loops is not None
        self.core.closing = True
        await self.loops.stop()
        self.core.writer.close()
        self.process.kill()

    def _died(self) -> None:
        world = self.world
        world.injected("server-died")
        world.server_died()
        world.loop.at_us(
            world.loop.now_us + self.down_ms * 1000, world.start_server, context=world.outside
        )


_METRICS: list[Metrics] = []


def _metrics() -> Metrics:
    """One for all: making them takes longer than a world's first second, and nothing is decided by
    them."""
    if not _METRICS:
        _METRICS.append(Metrics())
    return _METRICS[0]


class AgentNode:
    """A site's agent and whoever starts it again."""

    def __init__(self, world: World, site: str) -> None:
        self.world = world
        self.site = site
        self.process = Process(f"agent {site}")
        self.process.alive = False
        self.agent: Agent | None = None
        self.down_ms = RESTART_MS

    def start(self) -> None:
        if self.process.alive:
            return
        world, machine = self.world, self.world.sites[self.site]
        self.process = Process(f"agent {self.site}")
        self.process.on_death = self._died
        self.down_ms = RESTART_MS
        self.process.context.run(self._open, machine)
        machine.news = self._news
        assert self.agent is not None
        world.note("agent of", self.site, "starts")
        world.loop.create_task(self._run(self.agent), context=self.process.context.copy())

    def _open(self, machine: SiteMachine) -> None:
        world = self.world
        dice = random.Random(f"{world.scenario.seed}-{self.site}-{world._agents}")
        with world.loop.running():
            link = SimLink(world.net, self.site, dice, machine.boot_ms)
            link.heard = self._heard
            files = world.files
            engine = SimEngine(machine) if files is None else files.engine(machine)
            self.agent = Agent(
                site=self.site, agent_id=world.new_agent_id(), pools=(),
                engine=engine, link=link, clock=machine.boot_ms, rng=dice,
            )  # fmt: skip

    async def _run(self, agent: Agent) -> None:
        try:
            await agent.run()
        except (Superseded, Refused) as error:
            self.world.note("agent of", self.site, "ends:", type(error).__name__)
        self.process.kill()

    def _news(self) -> None:
        """The engine's fifo."""
        if self.process.alive and self.agent is not None:
            self.world.loop.call_soon(self.agent.wake, context=self.process.context.copy())

    def _died(self) -> None:
        world = self.world
        world.note("agent of", self.site, "dies")
        world.injected("agent-died")
        world.loop.at_us(world.loop.now_us + self.down_ms * 1000, self.start, context=world.outside)

    def _heard(self, path: str, said: bytes, answer: bytes) -> None:
        """What the server has acknowledged must never be gone."""
        if self.world.files is not None:
            self.world.files.heard(path, said, answer)
        if path.endswith("/ended") and b'"accepted":true' in answer:
            self.world.truth.ends.add(path.split("/")[4])
