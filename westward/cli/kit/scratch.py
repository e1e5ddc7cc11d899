"""A network of its own for the kit: one server, one site that joins it, on this machine.

Nothing of the site's real agent is touched: the kit has its own state folders. What the engine
starts is real, and ends with the kit.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from westward.cli.client import Client, job_path
from westward.cli.fail import Failure
from westward.cli.server_option import OPERATOR_FILE, SERVER_FILE
from westward.model.offer import PoolOffer

Json = dict[str, Any]
T = TypeVar("T")
PRICE = "3.6"
"""Per device-hour: a thousand millionths a device-second, so that bills can be read as a meter."""
MICROS_PER_DEVICE_S = 1_000
POWER_W = "100"
PUE = "1.25"
READY_WITHIN_S = 300.0
"""The server's first start on a machine compiles the kernels."""
EVENT_WITHIN_S = 90.0
STOP_WITHIN_S = 10.0
LOOK_EVERY_S = 0.05
OVER = ("succeeded", "failed", "cancelled", "refused")
NETWORK_FILES = {
    "network.yaml": (
        "name: kit\nlabel: The conformance kit's own network\nschema_version: 1\ncurrency: XXX\n"
        "series_origin: start\nstep: 1h\nsteps: 24\nsources: {}\n"
    ),
    "zones.csv": (
        "name,label,tariff_per_kwh,carbon_location_g_per_kwh,carbon_contract_g_per_kwh,source,"
        "valid_from,certainty,note\nkit,Kit,0,0,0,assumption,2026,,power costs the kit nothing\n"
    ),
    "places.csv": "name,label,lat_deg,lon_deg,source,valid_from,certainty,note\n",
    "links.csv": (
        "name,a,b,one_way_ms,bandwidth_gbps,price_per_gb,source,valid_from,certainty,note\n"
    ),
    "sites.csv": "name,label,zone\n",
    "pools.csv": "name,site,nodes,devices_per_node,cpus_per_node,memory_mib_per_node\n",
}
ACCELERATORS = "name,label,relative_speed,source,valid_from,certainty,note\n"


class Failed(Exception):
    """A check has failed; the text says what was expected and what was seen."""


def expect(true: object, text: str) -> None:
    if not true:
        raise Failed(text)


def until(ask: Callable[[], T], what: str, within_s: float = EVENT_WITHIN_S) -> T:
    """Ask until the answer is true. Raises Failed."""
    end = time.monotonic() + within_s
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"waited {within_s:g} s in vain until {what}")
        time.sleep(LOOK_EVERY_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is tested: an engine with its options, and one pool of it."""

    engine: str
    options: tuple[tuple[str, str], ...]
    pool: PoolOffer
    engine_pool: str | None


@dataclass(slots=True)
class Scratch:
    """Processes and folders below ``folder``; ``close`` ends them all."""

    folder: Path
    subject: Subject
    lease_s: int
    site: str = "kit"
    pool_name: str = "kit-pool"
    micros_per_device_s: float = MICROS_PER_DEVICE_S
    url: str = ""
    server: subprocess.Popen[bytes] | None = None
    agents: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    mounts: list[Path] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)
    """Every job of the kit, by id."""

    @property
    def data(self) -> Path:
        return self.folder / "server"

    @property
    def client(self) -> Client:
        if self.server is None:  # somebody else's network: no operator's rights there
            return Client(self.url)
        return Client(self.url, (self.data / OPERATOR_FILE).read_text(encoding="ascii").strip())

    def state(self, site: str) -> Path:
        return self.folder / f"site-{site}"

    def start_server(self) -> None:
        network = self.folder / "network"
        network.mkdir(exist_ok=True)
        kind = self.subject.pool.accelerator
        row = f"{kind},{kind},1,assumption,2026,,as fast as itself\n" if kind else ""
        for name, text in {**NETWORK_FILES, "accelerators.csv": ACCELERATORS + row}.items():
            (network / name).write_text(text, encoding="utf-8")
        announced = self.data / SERVER_FILE
        announced.unlink(missing_ok=True)
        port = self.url.rpartition(":")[2] or "0"
        self.server = self._spawn(
            [
                sys.executable,
                "-m",
                "westward.server",
                "--network",
                str(network),
                "--data",
                str(self.data),
                "--port",
                port,
                "--lease",
                f"{self.lease_s}s",
                "--margin",
                "500ms",
                "--require-credentials",
            ],
            "server",
        )
        server = self.server

        def listens() -> bool:
            if server.poll() is not None:
                raise Failed(f"the server ended: {self.tail('server')}")
            return announced.exists()

        until(listens, "the kit's server listens", READY_WITHIN_S)
        self.url = json.loads(announced.read_text(encoding="utf-8"))["url"]

    def invite(self, site: str) -> str:
        answer = self.client.post(f"/v1/joined/{site}/invite", {"zone": "kit"})
        return str(answer["token"])

    def join(self, site: str, token: str, state: Path | None = None) -> None:
        """As the site's operator does it: by the command. Raises Failed."""
        offer = self.folder / f"{site}.yaml"
        offer.write_text(self.offer_text(site), encoding="utf-8")
        arguments = [sys.executable, "-m", "westward.cli.main", "site", "join", self.url]
        arguments += ["--token-file", "-", "--state", str(state or self.state(site))]
        done = subprocess.run(
            [*arguments, "--offer", str(offer), "--no-start"],
            input=token.encode(),
            capture_output=True,
            timeout=EVENT_WITHIN_S,
            check=False,
        )
        if done.returncode != 0:
            raise Failed(f"joining: {done.stderr.decode(errors='replace').strip()}")

    def offer_text(self, site: str) -> str:
        """The subject's pool, open to everybody, at the kit's price."""
        pool = self.subject.pool
        shape: dict[str, object] = {
            "name": f"{site}-pool",
            "engine_pool": self.subject.engine_pool,
            "managed": pool.managed,
            "accelerator": pool.accelerator,
            "nodes": pool.nodes,
            "devices_per_node": pool.devices_per_node,
            "cpus_per_node": pool.cpus_per_node,
            "memory_mib_per_node": pool.memory_mib_per_node,
            "power_w_per_device": POWER_W,
            "price_per_device_hour": PRICE,
        }
        lines = [f"site: {site}", f"engine: {self.subject.engine}", f"pue: {PUE}"]
        lines += [f"options: {json.dumps(dict(self.subject.options))}", "pools:"]
        rows = [f"{key}: {json.dumps(value)}" for key, value in shape.items() if value is not None]
        lines += ["  - " + rows[0], *("    " + row for row in rows[1:])]
        return "\n".join(lines) + "\n"

    def start_agent(
        self, site: str, state: Path | None = None, under: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """``under``: a command that starts the agent, such as unshare."""
        state = state or self.state(site)
        command = [*under, sys.executable, "-m", "westward.agent", "--state", str(state)]
        agent = self._spawn(command, site)
        self.agents[site] = agent
        pool = f"{site}-pool"

        def is_open() -> bool:
            if agent.poll() is not None:
                raise Failed(f"the agent ended: {self.tail(site)}")
            return self.pool(pool)["status"] == "open" if self.has_pool(pool) else False

        until(is_open, f"the pool {pool} is open")
        return agent

    def has_pool(self, name: str) -> bool:
        return any(pool["pool"] == name for pool in self._pools())

    def pool(self, name: str) -> Json:
        return next(pool for pool in self._pools() if pool["pool"] == name)

    def _pools(self) -> list[Json]:
        sites = self.client.get("/v1/sites")["sites"]
        return [pool for site in sites for pool in site["pools"]]

    def _spawn(self, command: Sequence[str], log: str) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{log}.log", "ab") as out:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=_environment(),
            )

    def tail(self, log: str) -> str:
        text = (self.folder / f"{log}.log").read_text(encoding="utf-8", errors="replace")
        return " / ".join(text.splitlines()[-4:])

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL: it has no chance to say goodbye."""
        process.kill()
        process.wait()

    def stop_agent(self, site: str) -> None:
        agent = self.agents.pop(site, None)
        if agent is not None and agent.poll() is None:
            agent.terminate()
            try:
                agent.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill(agent)

    def submit(self, text: str) -> str:
        answer = self.client.post("/v1/jobs", {"task": text, "file": "kit.yaml"})
        if answer["state"] == "refused":
            raise Failed(f"the job was refused: {answer['ending']}")
        self.submitted.append(str(answer["job_id"]))
        return self.submitted[-1]

    def job(self, job_id: str) -> Json:
        return self.client.get_patiently(job_path(job_id))

    def until_state(self, job_id: str, *states: str, within_s: float = EVENT_WITHIN_S) -> Json:
        """Follow a job until it is in one of ``states``. Raises Failed if it ends otherwise."""
        end = time.monotonic() + within_s
        job = self.job(job_id)
        while job["state"] not in states:
            late = time.monotonic() > end
            if late or job["state"] in OVER:
                raise Failed(
                    f"the job is {job['state']}, not {' or '.join(states)}: {self.story(job_id)}"
                )
            path = job_path(job_id)
            job = self.client.get_patiently(path, wait_ms=2_000, unless_state=job["state"])
        return job

    def story(self, job_id: str) -> str:
        lines = self.client.get(job_path(job_id, "why"))["story"]
        return "; ".join(line["text"] for line in lines[-4:])

    def close(self) -> None:
        """End everything; runs that are still held are cancelled first, so that none stays."""
        if self.url and (self.server is None or self.server.poll() is None):
            self._cancel_all()
        for site in list(self.agents):
            self.stop_agent(site)
        if self.server is not None and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill(self.server)
        for path in self.mounts:
            subprocess.run(["umount", str(path)], check=False, capture_output=True)

    def _cancel_all(self) -> None:
        try:
            client = self.client
            left = [
                job_id
                for job_id in self.submitted
                if client.get(job_path(job_id))["state"] not in OVER
            ]
            for job_id in left:
                client.post(job_path(job_id, "cancel"))
            for job_id in left:
                self.until_state(job_id, *OVER, within_s=4.0 * self.lease_s)
        except (Failure, Failed, OSError) as error:
            print(f"kit: cleaning up: {error}", file=sys.stderr)


def _environment() -> Mapping[str, str]:
    """Of the kit's processes: no settings of the user's real network."""
    return {key: value for key, value in os.environ.items() if not key.startswith("WESTWARD_")}
