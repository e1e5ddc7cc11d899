"""The stand: servers and agents as processes, a line for each party, folders that can run full.

The store and the number of servers are parameters: ``store`` empty is SQLite in the one server's
folder; a URL is given to every server (``--store``), each has a folder of its own, and every line
leads to whichever server answers. One site may be a Slurm cluster's (``slurm_site``).
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.database import Database
from tests.chaos.proxy import Line, Lines
from tests.engines_up.ports import free_block
from tests.engines_up.slurm import Cluster
from westward.agent.engines.processes import marked_processes

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
SITES = ("basin", "harbor", "plateau")
NODES = 8
"""Of each pool: there is always room, so that a lost run goes elsewhere at once."""
PATIENCE_S = 240
SLURM_SITE = "plateau"
"""The cheapest: most jobs go there first."""
SLURM_NODES, SLURM_CPUS = 2, 8


class Unanswered(Exception):
    """No answer, or none that can be read: ask again."""


@dataclass
class Process:
    """One process of ours and the command it is started with again."""

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    running: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        assert self.running is None, f"{self.name} runs already"
        with open(self.log, "ab") as out:
            self.running = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **self.environment},
            )
        self.starts += 1

    @property
    def lives(self) -> bool:
        return self.running is not None and self.running.poll() is None

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        self.running.wait()
        self.running = None

    def signal(self, number: signal.Signals) -> None:
        assert self.running is not None
        self.running.send_signal(number)

    def end(self) -> None:
        """As an operator ends it; killed if that takes too long."""
        if self.running is None:
            return
        self.signal(signal.SIGCONT)
        self.running.terminate()
        try:
            self.running.wait(20)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait()
        self.running = None


@dataclass
class Stand:
    """Everything lies below ``folder``. ``close`` ends every process that was started."""

    folder: Path
    seed: int
    store: str = ""
    server_count: int = 1
    lease: str = "5s"
    sites: tuple[str, ...] = SITES
    hosts: dict[str, str] = field(default_factory=dict)
    """By site: the address at which its line listens, if not loopback."""
    preload: str = ""
    """A library that shifts the wall clock (``clock.c``); empty: clocks stay as they are."""
    database: Database | None = None
    """The PostgreSQL that ``store`` names, where it is ours to kill."""
    cluster: Cluster | None = None
    """Behind SLURM_SITE; None: its engine is the local one, as the others'."""

    servers: list[Process] = field(default_factory=list)
    agents: dict[str, Process] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    """By server: where it listens, and did before it was killed."""
    mounted: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.network = even_network(self.folder / "network", slurm=self.cluster is not None)
        self.witness = self.folder / "witness.txt"
        self.carrier = Lines(self.seed)
        for number in range(self.server_count):
            self._add_server(f"server-{number}")
        for name in ("users", *self.sites):
            host = self.hosts.get(name, "127.0.0.1")
            self.lines[name] = self.carrier.add(name, lambda: list(self.ports.values()), host)
        for site in self.sites:
            self._add_agent(site)

    def _add_server(self, name: str) -> None:
        command = [
            sys.executable, "-m", "westward.server", "--network", str(self.network),
            "--data", str(self.data(name)), "--port", str(self._port(name)),
            "--lease", self.lease, "--margin", "300ms",
        ]  # fmt: skip
        if self.store:
            command += [
                "--store", self.store, "--name", name,
                "--checkpoints", str(self.folder / "checkpoints"),
                "--operator-token", str(self.folder / "operator.token"),
            ]  # fmt: skip
        self.servers.append(self._process(name, command))

    def _add_agent(self, site: str) -> None:
        command = [
            sys.executable, "-m", "westward.agent", "--server", self.lines[site].url,
            "--site", site, "--state", str(self.state(site)),
            "--option", "grace_ms=500", "--option", "reading_ms=1000",
        ]  # fmt: skip
        if self.cluster is not None and site == SLURM_SITE:
            command += [
                "--engine", "slurm", "--option", f"conf={self.cluster.conf}",
                "--option", "partition=main",
            ]  # fmt: skip
        # Slurm's commands, which the agent starts, would have its clock too: a cluster needs one.
        own_clock = "slurm" not in command
        self.agents[site] = self._process(site, command, own_clock=own_clock)

    def _process(self, name: str, command: list[str], *, own_clock: bool = True) -> Process:
        environment = {"PYTHONPATH": str(ROOT)}
        if self.preload and own_clock:
            clock = self.clock(name)
            clock.write_bytes(bytes(8))
            environment |= {"LD_PRELOAD": self.preload, "CHAOS_CLOCK": str(clock)}
        return Process(name, command, self.folder / f"{name}.log", environment)

    def data(self, server: str) -> Path:
        return self.folder / f"data-{server}"

    def state(self, site: str) -> Path:
        return self.folder / f"agent-{site}"

    def clock(self, name: str) -> Path:
        """Holds the process's offset from the machine's wall clock, eight bytes of nanoseconds."""
        return self.folder / f"{name}.clock"

    @property
    def database_url(self) -> str:
        return self.store or f"sqlite:///{self.data(self.servers[0].name) / 'westward.db'}"

    # -- folders of a size of their own

    def own_disk(self, folder: Path, mib: int) -> bool:
        """A small file system of its own for ``folder``. False: this machine does not let us."""
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "westward-chaos", str(folder)],
            check=False, capture_output=True,
        )  # fmt: skip
        if done.returncode == 0:
            self.mounted.append(folder)
        return done.returncode == 0

    # -- processes

    def start(self) -> None:
        for server in self.servers:
            self.start_server(server)
        for agent in self.agents.values():
            agent.start()
        self.until(self.all_open, "all sites are open")

    def start_server(self, server: Process) -> None:
        """Does not wait until it listens, after the first time."""
        announced = self.data(server.name) / "server.json"
        announced.unlink(missing_ok=True)
        first = server.starts == 0
        server.start()
        if first:
            self.until(lambda: announced.exists() or not server.lives, f"{server.name} listens")
            assert server.lives, server.log.read_text()[-2000:]

    def _port(self, name: str) -> int:
        """Below those that the kernel gives to whoever dials: nobody takes it while the server is
        away, not even a dial to it (which on loopback may meet itself)."""
        self.ports[name] = free_block(1)
        return self.ports[name]

    def all_open(self) -> bool:
        views = self.site_views()
        return all(views[site]["status"] == "open" for site in self.sites)

    def until(self, ask: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + patience_s
        while True:
            try:
                if ask():
                    return
            except Unanswered:
                pass
            if time.monotonic() > end:
                raise TimeoutError(f"gave up waiting until {what}")
            time.sleep(0.05)

    def end(self) -> None:
        """As operators end it: agents first, then servers. What is there then is on disk."""
        for agent in self.agents.values():
            agent.end()
        for server in self.servers:
            server.end()

    def close(self) -> None:
        """Ends what lives, whatever state it is in, and takes the disks away."""
        self.end()
        if self.cluster is not None:
            for name in self.cluster.processes:
                self.cluster.go_on(name)
            self.cluster.down()
            shutil.rmtree(self.cluster.folder, ignore_errors=True)
        for run in self.strays():
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(run, signal.SIGCONT)
                os.kill(run, signal.SIGKILL)
        self.carrier.close()
        for folder in self.mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
        self.mounted.clear()
        if self.database is not None:
            self.database.close()

    def keep(self, folder: Path) -> None:
        """A copy of everything, to be looked at."""
        shutil.copytree(self.folder, folder, symlinks=True, ignore=_only_files)
        if self.database is not None:
            self.database.keep(folder)
        if self.cluster is not None:
            shutil.copytree(self.cluster.folder / "log", folder / "slurm")

    def strays(self) -> list[int]:
        """Processes of jobs that are there now."""
        witness = f"WITNESS={self.witness}"
        return [seen.pid for seen in marked_processes(witness)]

    # -- talking to it

    def call(
        self, method: str, path: str, body: object = None, timeout_s: float = 10
    ) -> tuple[int, Any]:
        """As a user does, over the users' line. Raises Unanswered."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.lines["users"].url + path,
            data,
            {"content-type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise Unanswered(f"{path}: {error.code}") from error
            return error.code, json.load(error)
        except (OSError, ValueError, EOFError) as error:
            raise Unanswered(f"{path}: {error}") from error
        except Exception as error:  # http.client's own: a broken-off answer
            raise Unanswered(f"{path}: {error!r}") from error

    def get(self, path: str, timeout_s: float = 10) -> Any:
        status, answer = self.call("GET", path, timeout_s=timeout_s)
        if status != 200:
            raise Unanswered(f"{path}: {status} {answer}")
        return answer

    def site_views(self, timeout_s: float = 10) -> dict[str, Json]:
        return {one["site"]: one for one in self.get("/v1/sites", timeout_s)["sites"]}

    def counts(self) -> dict[str, int]:
        """Jobs by state."""
        return dict(self.get("/healthz")["jobs"])


def _only_files(folder: str, names: list[str]) -> list[str]:
    """Pipes and sockets cannot be copied."""
    return [
        name for name in names
        if not (Path(folder, name).is_file() or Path(folder, name).is_dir())
    ]  # fmt: skip


def even_network(folder: Path, *, slurm: bool = False) -> Path:
    """The laptop network with one price all day, so that no job waits for a cheaper hour, and with
    more nodes in every pool. ``slurm``: SLURM_SITE's pool is a cluster's."""
    shutil.copytree(ROOT / "networks" / "laptop", folder)
    shutil.rmtree(folder / "series", ignore_errors=True)
    (folder / "zones.facts.csv").unlink(missing_ok=True)
    pools = folder / "pools.csv"
    with open(pools, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["nodes"] = str(NODES)
        if slurm and row["site"] == SLURM_SITE:
            row |= {
                "engine": "slurm", "nodes": str(SLURM_NODES), "cpus_per_node": str(SLURM_CPUS),
            }  # fmt: skip
    with open(pools, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return folder
