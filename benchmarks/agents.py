"""A thousand agents hold their leases with ten thousand running jobs.

    python benchmarks/agents.py                    # about three minutes
    python benchmarks/agents.py --agents 200 --jobs 2000 --seconds 20
    python benchmarks/agents.py --write            # and into benchmarks/SITES.md

The server is the real one, a process of its own. The agents are coroutines of this process, each
with its own connection, speaking the real protocol through the agent's own HTTP code: hello, long
polls that list and renew what they hold, "started" for every grant. What they do not do is run
anything. While they hold, a part of the polls asks for an answer at once: how long that takes is how
long a renewal takes, durable in the database. Meanwhile no lease may end.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from side import Server, fsync_ms, load, machine, point, write_section

from westward.agent.link import ServerLink, SessionEnded, Unreachable
from westward.model.wire import Grant, HeldRun, Hello, Poll, Reading, Readings, RunStarted

ARRAY = 1_000
PROBES = 10
PROBE_EVERY_S = 1.0
"""So often so many agents, drawn anew, ask for an answer at once."""
AGAIN_AFTER_S = (0.1, 1.0)
"""Between these an agent waits before it asks again, after a poll that failed."""
FILL_MOST_S = 900
"""Until all jobs run; then something is wrong."""
HERE = Path(__file__).resolve().parent
GOAL_CORES, GOAL_MB = 0.5, 500

TASK = """
name: held
resources:
  accelerators: card:1
  labels:
    westward.duration: 1d
    westward.array: "{count}"
run: sleep 86400
"""


def write_network(folder: Path, sites: int, devices: int) -> None:
    """A folder of ``sites`` sites, each with one pool of ``devices`` devices."""
    folder.mkdir()
    (folder / "network.yaml").write_text(
        "name: many\nlabel: Many sites\nschema_version: 1\ncurrency: CNY\n"
        "description: Made for a benchmark; no number describes a real place.\n"
        "series_origin: start\nstep: 1h\nsteps: 24\nsources: {}\n"
    )
    facts = {"source": "assumption", "valid_from": "2026", "certainty": "", "note": "made up"}
    names = [f"site-{number:04d}" for number in range(sites)]
    tables: dict[str, list[dict[str, object]]] = {
        "accelerators": [
            {"name": "card", "label": "A card", "vendor": "none", "relative_speed": 1}
        ],
        "zones": [
            {"name": "zone", "label": "Zone", "tariff_per_kwh": 0.5,
             "carbon_location_g_per_kwh": 500, "carbon_contract_g_per_kwh": 500}
        ],
        "places": [{"name": "city", "label": "City", "lat_deg": 31, "lon_deg": 121}],
        "links": [
            {"name": "city--site-0000", "a": "city", "b": "site-0000", "one_way_ms": 1,
             "bandwidth_gbps": 10, "price_per_gb": 0}
        ],
        "sites": [
            {"name": name, "label": name, "operator": "nobody", "zone": "zone", "country": "XX",
             "province": "P", "side": "east", "hub": "hub", "lat_deg": 31, "lon_deg": 121, "pue": 1.2}
            for name in names
        ],
        "pools": [
            {"name": f"{name}-p", "site": name, "engine": "local", "managed": "true",
             "accelerator": "card", "nodes": 1, "devices_per_node": devices, "cpus_per_node": 64,
             "memory_mib_per_node": 65536, "price_per_device_hour": 0.5,
             "power_w_per_device": 400, "status": "open"}
            for name in names
        ],
    }  # fmt: skip
    for table, rows in tables.items():
        with open(folder / f"{table}.csv", "w", newline="") as file:
            out = csv.DictWriter(file, [*rows[0], *facts])
            out.writeheader()
            out.writerows({**row, **facts} for row in rows)


@dataclass
class Tally:
    """What all agents together saw."""

    polls: int = 0
    renewed: int = 0
    failed: int = 0
    lost: int = 0
    probes_ms: list[float] = field(default_factory=list)
    greeted: int = 0
    started: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """An agent was greeted, or a job started."""
    readings_ms: list[float] = field(default_factory=list)

    async def until(self, done: Callable[[], bool], end_s: float) -> None:
        """Returns once ``done``; RuntimeError when the monotonic clock passes ``end_s``."""
        while not done():
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), end_s - time.monotonic())
            except TimeoutError:
                told = f"{self.greeted} agents said hello, {self.started} jobs started"
                raise RuntimeError(f"gave up after {FILL_MOST_S} s: {told}") from None


class Agent:
    """One site's agent without an engine."""

    def __init__(self, site: str, link: ServerLink, tally: Tally):
        self.site = site
        self.link = link
        self.tally = tally
        self.held: dict[str, int] = {}
        self.session = 0
        self.readings = 0
        self.probe = False
        self.telling: set[asyncio.Task[None]] = set()

    async def run(self, first_after_s: float) -> None:
        await asyncio.sleep(first_after_s)
        hello = Hello(site=self.site, agent_id=f"a-{self.site}", pools=(f"{self.site}-p",))
        welcome = await self.link.hello(hello)
        self.session = welcome.agent_session
        self.tally.greeted += 1
        self.tally.news.set()
        wait_ms = 0
        while True:
            try:
                await self._poll(wait_ms)
            except (Unreachable, SessionEnded):
                self.tally.failed += 1
                await asyncio.sleep(random.uniform(*AGAIN_AFTER_S))
                wait_ms = 0
                continue
            if self.probe:
                self.probe = False
                began = time.perf_counter()
                await self._poll(0)
                self.tally.probes_ms.append((time.perf_counter() - began) * 1000)
            wait_ms = welcome.poll_wait_ms

    async def _poll(self, wait_ms: int) -> None:
        runs = tuple(HeldRun(run_id=run, token=token) for run, token in self.held.items())
        answer = await self.link.poll(
            Poll(agent_session=self.session, site=self.site, runs=runs, wait_ms=wait_ms),
            wait_ms + 30_000,
        )
        self.tally.polls += 1
        self.tally.renewed += len(answer.leases)
        self.tally.lost += len(answer.unknown) + len(answer.stops)
        for run_id in answer.unknown:
            self.held.pop(run_id, None)
        fresh = [grant for grant in answer.grants if grant.run_id not in self.held]
        self.held.update((grant.run_id, grant.token) for grant in fresh)
        if fresh:  # beside the polls, as the agent's shippers do
            task = asyncio.create_task(self._tell(fresh))
            self.telling.add(task)
            task.add_done_callback(self.telling.discard)

    async def _tell(self, fresh: list[Grant]) -> None:
        for grant in fresh:
            ack = await self.link.report(grant.run_id, RunStarted(token=grant.token))
            self.tally.started += ack.accepted
            self.tally.news.set()

    async def meter(self, every_s: float) -> None:
        """A reading of each run so often, as engines send them."""
        await asyncio.sleep(random.uniform(0, every_s))
        while True:
            for run_id, token in list(self.held.items()):
                one = Reading(
                    sequence=self.readings, wall_ms=int(every_s * 1000),
                    device_milli_ms=int(every_s * 1_000_000), cpu_ms=0, max_rss_kib=0,
                )  # fmt: skip
                began = time.perf_counter()
                await self.link.report(run_id, Readings(token=token, readings=(one,)))
                self.tally.readings_ms.append((time.perf_counter() - began) * 1000)
            self.readings += 1
            await asyncio.sleep(every_s)


async def probe(agents: list[Agent]) -> None:
    """Now and then some agents are to ask for an answer at once when their poll is over."""
    while True:
        for agent in random.sample(agents, min(PROBES, len(agents))):
            agent.probe = True
        await asyncio.sleep(PROBE_EVERY_S)


async def measure(server: Server, asked: argparse.Namespace) -> dict[str, float]:
    tally = Tally()
    agents = [
        Agent(f"site-{number:04d}", ServerLink(server.url, random.Random(number)), tally)
        for number in range(asked.agents)
    ]
    began = time.monotonic()
    tasks = [
        asyncio.create_task(agent.run(number * asked.ramp / asked.agents))
        for number, agent in enumerate(agents)
    ]
    try:
        await tally.until(lambda: tally.greeted == len(agents), began + FILL_MOST_S)
        said_s = time.monotonic() - began
        print(f"{asked.agents} agents said hello in {said_s:.0f} s", flush=True)
        asked_for = 0

        def all_started() -> bool:
            return tally.started >= asked_for

        while asked_for < asked.jobs:
            count = min(ARRAY, asked.jobs - asked_for)
            body = {"task": TASK.format(count=count)}
            await asyncio.to_thread(server.call, "POST", "/v1/batches", body)
            asked_for += count
            await tally.until(all_started, began + FILL_MOST_S)
        filled_s = time.monotonic() - began
        print(f"{tally.started} jobs run after {filled_s:.0f} s", flush=True)
        if asked.readings:
            tasks += [asyncio.create_task(agent.meter(asked.readings)) for agent in agents]
        tasks.append(asyncio.create_task(probe(agents)))
        await asyncio.sleep(asked.settle)
        tally.polls = tally.renewed = tally.failed = tally.lost = 0
        expired = await asyncio.to_thread(server.counted, "westward_leases_expired_total")
        tally.probes_ms.clear()
        tally.readings_ms.clear()
        cpu_s, mine_s, wall_s = server.cpu_s(), time.process_time(), time.monotonic()
        await asyncio.sleep(asked.seconds)
        took_s = time.monotonic() - wall_s
        found = {
            "cores": (server.cpu_s() - cpu_s) / took_s,
            "client_cores": (time.process_time() - mine_s) / took_s,
            "took_s": took_s,
            "polls_per_s": tally.polls / took_s,
            "renewals_per_s": tally.renewed / took_s,
            "readings_per_s": len(tally.readings_ms) / took_s,
            "probes": len(tally.probes_ms),
            "p50_ms": point(tally.probes_ms, 50),
            "p99_ms": point(tally.probes_ms, 99),
            "worst_ms": max(tally.probes_ms),
            "failed": tally.failed,
            "lost": tally.lost,
            "filled_s": filled_s,
        }
        found["rss_mb"], found["peak_mb"] = server.memory_mb()
        found["expired_filling"] = expired
        ended = await asyncio.to_thread(server.counted, "westward_leases_expired_total")
        found["expired"] = ended - expired
        return found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for agent in agents:
            await agent.link.close()


def page(asked: argparse.Namespace, found: dict[str, float], sync_ms: float) -> str:
    def verdict(value: float, goal: float) -> str:
        return "met" if value < goal else "missed"

    cores, peak = found["cores"], found["peak_mb"]
    return f"""
## A thousand agents

`{" ".join(["python", "benchmarks/agents.py", *sys.argv[1:]])}`: {asked.agents:,} agents over HTTP on loopback, {asked.jobs:,} running jobs, leases
of {asked.lease}, measured over {found["took_s"]:.0f} s.

| figure | measured | goal | |
|---|---|---|---|
| processor of the server, cores | {cores:.2f} | < {GOAL_CORES} | {verdict(cores, GOAL_CORES)} |
| memory, resident / at most since the start, MB | {found["rss_mb"]:.0f} / {peak:.0f} | < {GOAL_MB} | {verdict(peak, GOAL_MB)} |
| renewal asked for at once, p50 / p99 / worst, ms ({found["probes"]:.0f} asked) | {found["p50_ms"]:.0f} / {found["p99_ms"]:.0f} / {found["worst_ms"]:.0f} | | |
| polls / leases renewed / readings a second | {found["polls_per_s"]:.0f} / {found["renewals_per_s"]:,.0f} / {found["readings_per_s"]:.0f} | | |
| leases that ended, runs lost, polls that failed | {found["expired"]:.0f}, {found["lost"]:.0f}, {found["failed"]:.0f} | 0 | |

The agents' own process took {found["client_cores"]:.2f} cores. Filling the network took {found["filled_s"]:.0f} s
({found["expired_filling"]:.0f} leases ended in that time, their jobs were run anew). A write of 4 KiB
is durable after {sync_ms:.1f} ms here. Machine: {machine()}; load average {load()} at the end.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--lease", default="15s", help="the server's own default")
    parser.add_argument("--seconds", type=float, default=60, help="measured")
    parser.add_argument("--settle", type=float, default=20, help="before that")
    parser.add_argument("--ramp", type=float, default=10, help="seconds over which agents dial in")
    parser.add_argument(
        "--readings", type=float, default=0, metavar="S", help="each run sends a reading every S s"
    )
    parser.add_argument("--write", action="store_true", help="into benchmarks/SITES.md")
    parser.add_argument("--keep", type=Path, help="put everything there and leave it")
    asked = parser.parse_args()
    wanted = asked.agents * 2 + 500
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"{wanted} open files are needed and {hard} allowed: see `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with tempfile.TemporaryDirectory(prefix="westward-agents-") as folder:
        base = asked.keep or Path(folder)
        base.mkdir(exist_ok=True)
        write_network(base / "network", asked.agents, -(-asked.jobs // asked.agents))
        sync_ms = fsync_ms(base)
        server = Server.open(base, base / "network", "--lease", asked.lease)
        try:
            found = asyncio.run(measure(server, asked))
        finally:
            server.end()
    text = page(asked, found, sync_ms)
    print(text)
    if asked.write:
        write_section(HERE / "SITES.md", "agents", text)
    if found["expired"] or found["lost"]:
        raise SystemExit("leases were lost")


if __name__ == "__main__":
    main()
