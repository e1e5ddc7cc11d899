"""Who is killed, stopped, cut off, filled up, when; and how long until the first sign of recovery.

One thread: ``turn`` does what is due. Every act goes to one target (a server, a site, a run), and no
target is hit again before it is whole; different targets suffer at once.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import clocks
from tests.chaos.database import Database
from tests.chaos.eyes import Eyes
from tests.chaos.stand import SLURM_NODES, SLURM_SITE, Process, Stand
from tests.chaos.targets import Supervised, supervised
from tests.chaos.work import Witness
from tests.engines_up.slurm import Cluster

KILLS = {"supervisor": 34, "guard": 28, "both": 6, "agent": 14, "server": 3, "blackout": 0.4}
OTHERS = {
    "stop-agent": 3, "stop-server": 1, "stop-supervisor": 4, "cut": 4, "cut-long": 2, "delay": 3,
    "lossy": 3, "reset": 3, "disk-agent": 2, "disk-server": 2, "clock": 1,
}  # fmt: skip
"""How often, relative to one another."""
DATABASE = {
    "database-kill": 1.2, "database-session": 1.2, "database-restart": 0.8, "database-stop": 0.6,
    "disk-database": 0.6,
}  # fmt: skip
"""Of a PostgreSQL of our own."""
SLURM = {"slurmctld": 1.5, "slurmctld-stop": 1, "slurmd": 1.5}
"""Of a site whose engine is Slurm."""
UNDRAIN_EVERY_S = 10
"""How often somebody looks after Slurm's nodes."""
DOWN_LONG = 0.25
"""The part of killed agents and servers that stays away for longer than a lease."""
HITS_MOST = 1
"""Of one job by name: others lose it runs too, and a job that lost three is given up."""
NO_STORE = 2
"""Exit code of a server that cannot reach its database at its start."""
CLOCK_STEPS_S = (-3600, -40, -5, -1, 1, 5, 40, 3600)


@dataclass
class Wound:
    """``back``: the first progress of who was hit, looked for once it is whole; ``seen``: by name,
    the first sign of others' progress since the blow. Times are of ``time.monotonic``."""

    kind: str
    target: str
    at: float
    whole: float | None = None
    """When the process was started again, the line healed, the disk freed."""
    back: float | None = None
    has_progress: Callable[[], bool] = lambda: True
    signs: dict[str, Callable[[], bool]] = field(default_factory=dict)
    """Those that were not seen yet."""
    seen: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        if self.back is None and self.whole is not None and self.has_progress():
            self.back = time.monotonic()
        for name, has_come in tuple(self.signs.items()):
            if has_come():
                del self.signs[name]
                self.seen[name] = time.monotonic()


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
    _undrain_next: float = 0.0

    @property
    def killed(self) -> int:
        return sum(self.kills.values())

    def turn(self, *, strike: bool) -> None:
        """What is due now; with ``strike`` also the next act."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        for wound in self.wounds:
            wound.look()
        self._notice_dead()
        self._undrain(now)
        if strike and now >= self._next:
            self._next = now + self.rng.expovariate(1 / self.every_s)
            kind = self.rng.choices(list(self.kinds), list(self.kinds.values()))[0]
            getattr(self, "do_" + kind.replace("-", "_"))()

    def _undrain(self, now: float) -> None:
        cluster = self.stand.cluster
        if cluster is None or now < self._undrain_next or "slurmctld" in self.healing:
            return
        self._undrain_next = now + UNDRAIN_EVERY_S
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.others["node resumed by the operator"] += len(cluster.resume_drained())

    def _notice_dead(self) -> None:
        for process in (*self.stand.servers, *self.stand.agents.values()):
            if process.running is None or process.lives:
                continue
            last = process.log.read_text(errors="replace")[-300:]
            if process.running.returncode == NO_STORE and "--store: " in last:
                # As documented: whoever starts servers starts it again.
                self.others["started without a database"] += 1
            else:
                self.died.append(f"{process.name} ended with {process.running.returncode}: {last}")
            process.running = None
            if process in self.stand.servers:
                self.stand.start_server(process)
            else:
                process.start()
        database = self.stand.database
        if database is not None and "database" not in self.healing and not database.lives:
            self.died.append("PostgreSQL ended")
            database.again()

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

    def _everybody(self) -> dict[str, Callable[[], bool]]:
        """What all wait for when a server or the database is hit."""
        return {
            "a user is answered": self.eyes.answers_again(),
            "a site's beat is taken": self.eyes.sites_heard_again(),
            "a run begins": self.eyes.a_run_begins(),
        }

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
        wound.signs = {"the site's beat is taken": self.eyes.heard_again(site)}
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
        wound.signs = self._everybody()
        self.kills["server"] += 1

        def again() -> None:
            self.stand.start_server(server)
            self._heal(wound)

        self._in(pause_s, again)

    def do_blackout(self) -> None:
        """Everything at once, as when the power goes: servers, agents, supervisors and guards, and
        the database where it is ours."""
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
        if self.stand.database is not None:
            self.do_database_kill()

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
            self.wounds[-1].signs = self._everybody()

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

    # -- the database, where it is ours

    def _database(
        self, kind: str, for_s: float, hit: Callable[[Database], bool], *, ends: bool = False
    ) -> None:
        """``hit`` at once; after ``for_s`` it stands again, whatever has become of it. ``ends``: by
        the hit it does."""
        database = self.stand.database
        if database is None or "database" in self.healing:
            return
        wound = self._hit(kind, "database", self.eyes.sites_heard_again())
        if not hit(database):
            self.wounds.remove(wound)
            self.healing.discard("database")
            return
        wound.signs = self._everybody()
        self.others[kind] += 1

        def again() -> None:
            (database.data / "filler").unlink(missing_ok=True)
            database.go_on()
            if ends or not database.lives:
                database.again()
            self._heal(wound)

        self._in(for_s, again)

    def do_database_kill(self) -> None:
        for_s = self.rng.uniform(0, 4)
        self._database("database-kill", for_s, lambda one: one.kill() > 0, ends=True)

    def do_database_session(self) -> None:
        """PostgreSQL ends all sessions and recovers by itself."""
        pick = self.rng.random()
        self._database("database-session", 0.0, lambda one: one.kill_one(pick))

    def do_database_restart(self) -> None:
        def end(database: Database) -> bool:
            database.end()
            return True

        self._database("database-restart", 0.0, end, ends=True)

    def do_database_stop(self) -> None:
        def freeze(database: Database) -> bool:
            database.freeze()
            return bool(database.frozen)

        self._database("database-stop", self.rng.uniform(0.5, self.lease_s + 2), freeze)

    def do_disk_database(self) -> None:
        """What it cannot write ends a transaction, or the whole of it."""

        def full(database: Database) -> bool:
            fill(database.data / "filler")
            return True

        self._database("disk-database", self.rng.uniform(0.5, 5), full)

    # -- Slurm's daemons, at the site that has them

    def _daemon(self, kind: str, name: str, hit: Callable[[Cluster], Callable[[], None]]) -> None:
        """``hit`` answers what puts it right."""
        cluster = self.stand.cluster
        if cluster is None or name in self.healing:
            return
        wound = self._hit(kind, name, self.eyes.heard_again(SLURM_SITE))
        right = hit(cluster)
        self.others[kind] += 1

        def again() -> None:
            right()
            there = self.stand.state(SLURM_SITE)
            wound.signs = {"a run begins there": self.eyes.a_run_begins(there)}
            self._heal(wound)

        self._in(self._pause_s(), again)

    def do_slurmctld(self) -> None:
        def kill(cluster: Cluster) -> Callable[[], None]:
            cluster.end("slurmctld", signal.SIGKILL)
            return cluster.start_controller

        self._daemon("slurmctld", "slurmctld", kill)

    def do_slurmctld_stop(self) -> None:
        def stop(cluster: Cluster) -> Callable[[], None]:
            cluster.pause("slurmctld")
            return lambda: cluster.go_on("slurmctld")

        self._daemon("slurmctld-stop", "slurmctld", stop)

    def do_slurmd(self) -> None:
        """The jobs that it started go on under their own watchers."""
        number = self.rng.randint(1, SLURM_NODES)

        def kill(cluster: Cluster) -> Callable[[], None]:
            cluster.end(f"{cluster.name}-n{number}", signal.SIGKILL)
            return lambda: cluster.start_node(number)

        self._daemon("slurmd", f"slurmd {number}", kill)

    # -- clocks

    def do_clock(self) -> None:
        """A wall clock is set. A server reads its own only at its start: so it is killed as well."""
        there = [*self.stand.agents, *(one.name for one in self.stand.servers)]
        name = self.rng.choice([one for one in there if self.stand.clock(one).exists()])
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
