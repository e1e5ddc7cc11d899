"""Who is killed, stopped, cut off, filled up, when; and how long until the first sign of recovery.

One thread: ``turn`` does what is due. Every act goes to one target (a server, a site, a run), and no
target is hit again before it is whole; different targets suffer at once.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import clocks
from tests.chaos.eyes import Eyes
from tests.chaos.stand import Process, Stand
from tests.chaos.targets import Supervised, supervised
from tests.chaos.work import Witness

KILLS = {"supervisor": 34, "guard": 28, "both": 6, "agent": 14, "server": 3, "blackout": 0.4}
OTHERS = {
    "stop-agent": 3, "stop-server": 1, "stop-supervisor": 4, "cut": 4, "cut-long": 2, "delay": 3,
    "lossy": 3, "reset": 3, "disk-agent": 2, "disk-server": 2, "clock": 1,
}  # fmt: skip
"""How often, relative to one another."""
DOWN_LONG = 0.25
"""The part of killed agents and servers that stays away for longer than a lease."""
HITS_MOST = 1
"""Of one job by name: others lose it runs too, and a job that lost three is given up."""
CLOCK_STEPS_S = (-3600, -40, -5, -1, 1, 5, 40, 3600)


@dataclass
class Wound:
    """``back``: the first progress of who was hit. Times are of ``time.monotonic``."""

    kind: str
    target: str
    at: float
    whole: float | None = None
    """When the process was started again, the line healed, the disk freed."""
    back: float | None = None
    has_progress: Callable[[], bool] = lambda: True


@dataclass
class Killer:
    stand: Stand
    eyes: Eyes
    witness: Witness
    rng: random.Random
    every_s: float
    kinds: dict[str, float]
    lease_s: float
    kills: Counter[str] = field(default_factory=Counter)
    """Processes sent a SIGKILL, by what they were."""
    others: Counter[str] = field(default_factory=Counter)
    wounds: list[Wound] = field(default_factory=list)
    died: list[str] = field(default_factory=list)
    """Processes that ended though nobody killed them; they are started again."""
    hits: Counter[str] = field(default_factory=Counter)
    """By target, so far."""
    healing: set[str] = field(default_factory=set)
    """Targets that are hit and not whole yet."""
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _number: itertools.count[int] = field(default_factory=itertools.count)
    _next: float = 0.0

    @property
    def killed(self) -> int:
        return sum(self.kills.values())

    def turn(self, *, strike: bool) -> None:
        """What is due now; with ``strike`` also the next act."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        for wound in self.wounds:
            if wound.back is None and wound.whole is not None and wound.has_progress():
                wound.back = time.monotonic()
        self._notice_dead()
        if strike and now >= self._next:
            self._next = now + self.rng.expovariate(1 / self.every_s)
            kind = self.rng.choices(list(self.kinds), list(self.kinds.values()))[0]
            getattr(self, "do_" + kind.replace("-", "_"))()

    def _notice_dead(self) -> None:
        for process in (*self.stand.servers, *self.stand.agents.values()):
            if process.running is None or process.lives:
                continue
            last = process.log.read_text(errors="replace")[-300:]
            self.died.append(f"{process.name} ended with {process.running.returncode}: {last}")
            process.running = None
            if process in self.stand.servers:
                self.stand.start_server(process)
            else:
                process.start()

    @property
    def at_rest(self) -> bool:
        return not self._due

    def _in(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._number), act))

    def _hit(self, kind: str, target: str, progress: Callable[[], bool]) -> Wound:
        self.hits[target] += 1
        wound = Wound(kind, target, time.monotonic(), has_progress=progress)
        self.wounds.append(wound)
        self.healing.add(target)
        return wound

    def _heal(self, wound: Wound) -> None:
        wound.whole = time.monotonic()
        self.healing.discard(wound.target)

    def _site(self) -> str | None:
        there = [site for site in self.stand.agents if site not in self.healing]
        return self.rng.choice(there) if there else None

    def _server(self) -> Process | None:
        there = [one for one in self.stand.servers if one.name not in self.healing]
        return self.rng.choice(there) if there else None

    def _run(self) -> Supervised | None:
        there = [
            one
            for site in self.stand.agents
            for one in supervised(self.stand.state(site))
            if one.job_id not in self.healing and self.hits[one.job_id] < HITS_MOST
        ]
        return self.rng.choice(there) if there else None

    def _pause_s(self) -> float:
        if self.rng.random() < DOWN_LONG:
            return self.lease_s + self.rng.uniform(0.5, 3)
        return self.rng.uniform(0, 1.5)

    # -- kills

    def _kill_run(self, kind: str) -> None:
        run = self._run()
        if run is None:
            return
        if not (run.kill_both() if kind == "both" else run.kill(kind)):
            return
        for one in ("guard", "supervisor") if kind == "both" else (kind,):
            self.kills[one] += 1
        self._heal(self._hit(kind, run.job_id, self.eyes.job_goes_on(run.job_id, run.run_id)))

    def do_supervisor(self) -> None:
        self._kill_run("supervisor")

    def do_guard(self) -> None:
        self._kill_run("guard")

    def do_both(self) -> None:
        self._kill_run("both")

    def do_agent(self) -> None:
        site = self._site()
        if site is not None:
            self._kill_agent(site, self._pause_s(), "agent")

    def _kill_agent(self, site: str, pause_s: float, kind: str) -> None:
        agent = self.stand.agents[site]
        wound = self._hit(kind, site, self.eyes.new_session(site))
        agent.kill()
        self.kills["agent"] += 1

        def again() -> None:
            agent.start()
            self._heal(wound)

        self._in(pause_s, again)

    def do_server(self) -> None:
        server = self._server()
        if server is not None:
            self._kill_server(server, self._pause_s(), "server")

    def _kill_server(self, server: Process, pause_s: float, kind: str) -> None:
        wound = self._hit(kind, server.name, self.eyes.sites_heard_again())
        server.kill()
        self.kills["server"] += 1

        def again() -> None:
            self.stand.start_server(server)
            self._heal(wound)

        self._in(pause_s, again)

    def do_blackout(self) -> None:
        """Everything at once, as when the power goes: servers, agents, supervisors and guards."""
        if self.healing & {*self.stand.agents, *(one.name for one in self.stand.servers)}:
            return
        runs = [one for s in self.stand.agents for one in supervised(self.stand.state(s))]
        pause_s = self._pause_s()
        for server in self.stand.servers:
            self._kill_server(server, pause_s, "blackout-server")
        for site in self.stand.agents:
            self._kill_agent(site, pause_s, "blackout-agent")
        for run in runs:
            if run.kill_both():
                self.kills["guard"] += 1
                self.kills["supervisor"] += 1

    # -- what is no kill

    def _stop(self, kind: str, target: str, pid: int, for_s: float, ok: Callable[[], bool]) -> None:
        wound = self._hit(kind, target, ok)
        os.kill(pid, signal.SIGSTOP)
        self.others[kind] += 1

        def go_on() -> None:
            os.kill(pid, signal.SIGCONT)
            self._heal(wound)

        self._in(for_s, go_on)

    def do_stop_agent(self) -> None:
        site = self._site()
        process = self.stand.agents[site].running if site else None
        if site is not None and process is not None:
            for_s = self.lease_s + self.rng.uniform(0.5, 3)
            self._stop("stop-agent", site, process.pid, for_s, self.eyes.heard_again(site))

    def do_stop_server(self) -> None:
        server = self._server()
        if server is not None and server.running is not None:
            for_s = self.rng.uniform(0.5, self.lease_s + 2)
            ok = self.eyes.sites_heard_again()
            self._stop("stop-server", server.name, server.running.pid, for_s, ok)

    def do_stop_supervisor(self) -> None:
        """Stopped for a while, or for good: its guard ends it once the lease is over."""
        run = self._run()
        if run is None or not run.send(signal.SIGSTOP):
            return
        self.others["stop-supervisor"] += 1
        wound = self._hit(
            "stop-supervisor", run.job_id, self.eyes.job_goes_on(run.job_id, run.run_id)
        )

        def go_on() -> None:
            run.send(signal.SIGCONT)
            self._heal(wound)

        self._in(self.rng.uniform(1, self.lease_s * 2), go_on)

    def _line(self, kind: str, for_s: float, act: Callable[[str], None]) -> None:
        site = self._site()
        if site is None:
            return
        wound = self._hit(kind, site, self.eyes.heard_again(site))
        act(site)
        self.others[kind] += 1

        def heal() -> None:
            self.stand.carrier.heal(self.stand.lines[site])
            self._heal(wound)

        self._in(for_s, heal)

    def _cut(self, site: str) -> None:
        self.stand.carrier.cut(self.stand.lines[site])

    def do_cut(self) -> None:
        self._line("cut", self.rng.uniform(0.3, self.lease_s * 0.6), self._cut)

    def do_cut_long(self) -> None:
        self._line("cut-long", self.lease_s + self.rng.uniform(0.5, 4), self._cut)

    def do_delay(self) -> None:
        def slow(site: str) -> None:
            self.stand.lines[site].delay_s = self.rng.uniform(0.05, 0.5)

        self._line("delay", self.rng.uniform(2, 8), slow)

    def do_lossy(self) -> None:
        def lose(site: str) -> None:
            self.stand.lines[site].lose = self.rng.uniform(0.1, 0.5)

        self._line("lossy", self.rng.uniform(2, 8), lose)

    def do_reset(self) -> None:
        self._line("reset", 0.0, lambda site: self.stand.carrier.reset(self.stand.lines[site]))

    def _fill(
        self, kind: str, target: str, disk: Path, for_s: float, ok: Callable[[], bool]
    ) -> None:
        wound = self._hit(kind, target, ok)
        filler = disk / "filler"
        fill(filler)
        self.others[kind] += 1

        def free() -> None:
            filler.unlink(missing_ok=True)
            self._heal(wound)

        self._in(for_s, free)

    def do_disk_agent(self) -> None:
        site = self._site()
        if site is not None:
            ok = self.eyes.heard_again(site)
            self._fill("disk-agent", site, self.stand.state(site), self.rng.uniform(0.5, 5), ok)

    def do_disk_server(self) -> None:
        server = self._server()
        if server is not None:
            ok = self.eyes.sites_heard_again()
            disk = self.stand.data(server.name)
            self._fill("disk-server", server.name, disk, self.rng.uniform(0.5, 5), ok)

    def do_clock(self) -> None:
        """A wall clock is set. A server reads its own only at its start: so it is killed as well."""
        name = self.rng.choice([*self.stand.agents, *(one.name for one in self.stand.servers)])
        clocks.step(self.stand.clock(name), 1000 * self.rng.choice(CLOCK_STEPS_S))
        self.others["clock"] += 1
        server = next((one for one in self.stand.servers if one.name == name), None)
        if server is not None and name not in self.healing:
            self._kill_server(server, self._pause_s(), "server")


def fill(filler: Path, write: Callable[[bytes], int] | None = None) -> None:
    """Until nothing more goes in, not one byte. ``write``: instead of to the file."""
    with open(filler, "wb", buffering=0) as out:
        put = write or (lambda block: out.write(block) or 0)
        block = bytes(2**20)
        while block:
            try:
                put(block)
            except OSError:
                block = block[: len(block) // 2]
