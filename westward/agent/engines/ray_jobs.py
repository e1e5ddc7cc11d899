"""Runs jobs on a Ray cluster through its Jobs API. Ray places them; Westward holds their leases.

One Ray job per run, with the run's id as submission_id: Ray itself refuses a second. What Ray starts
is a lodger (``lodger.py``), which asks this agent's door for leave and lease; so the work stops by
itself when the agent is gone, and starts once even should Ray start it twice. The engine's own
thread does all the asking; decision record 0021 says what is held and what is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import secrets
import shlex
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from westward.agent.engines import processes
from westward.agent.engines.base import DiscoveredPool, LeaseTimes, RunView
from westward.agent.engines.door import Door
from westward.agent.engines.folders import supervisor_order, told_env
from westward.agent.engines.kit import BOOTSTRAP, kit_beside, packed_order
from westward.agent.engines.options import known
from westward.agent.engines.ray_link import RayLink, Unreachable
from westward.agent.engines.ray_nodes import pools_of
from westward.agent.engines.ray_watch import RayWatch
from westward.agent.engines.watched import WatchedEngine, WatchedRuns, refuse_files
from westward.model.wire import Grant, Outcome

READING_EVERY_MS = 5_000
GRACE_MS = 5_000
HOLD_SHARE = 10
"""The door holds a question for a tenth of the lease when it has no news."""
ADDRESS = "http://127.0.0.1:8265"
DOOR = "127.0.0.1:0"
OPTIONS = (
    "address", "token_file", "door", "python", "resources", "kinds", "grace_ms", "reading_ms",
)  # fmt: skip
ASKED_S = 20
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """As the operator wrote them; ``from_options`` says what each is."""

    address: str = ADDRESS
    token: str | None = None
    door_host: str = "127.0.0.1"
    door_port: int = 0
    python: str = "python3"
    resources: tuple[tuple[str, float], ...] = ()
    kinds: bool = False
    grace_ms: int = GRACE_MS
    reading_ms: int = READING_EVERY_MS


@dataclass
class RayEngine(WatchedEngine):
    """One site's Ray cluster; ``state`` is the agent's own folder on a local disk."""

    state: Path
    site: str
    options: RayOptions = field(default_factory=RayOptions)

    def __post_init__(self) -> None:
        self.runs = WatchedRuns(self.state)
        self.door = Door(self.runs)
        self.link = RayLink(self.options.address, self.options.token)
        self.watch = RayWatch(self.runs, self.door, self.link)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ray", daemon=True)
        self._thread.start()
        try:
            self.door_url = self._call(self._open_door())
        except OSError:
            self.close()
            raise
        for run_id in self.runs.held():
            if not self.runs.has_ended(run_id):
                self._loop.call_soon_threadsafe(self.watch.follow, run_id)

    async def _open_door(self) -> str:
        """The port it had before, if it was free to choose: runs know it by that."""
        host, port = self.options.door_host, self.options.door_port
        noted = self.runs.root / "door.json"
        if port == 0:
            port = int((processes.read_json(str(noted)) or {}).get("port", 0))
        try:
            port = await self.door.open(host, port)
        except OSError as error:
            raise OSError(f"the door {host}:{port} cannot be opened: {error}") from error
        processes.write_atomic(str(noted), json.dumps({"port": port}))
        return f"http://{host}:{port}"

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(ASKED_S)

    def close(self) -> None:
        async def end() -> None:
            await self.watch.close()
            await self.door.close()
            await self.link.close()

        if self._loop.is_closed():
            return
        with contextlib.suppress(TimeoutError):
            self._call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ASKED_S)
        self._loop.close()
        self.runs.close()

    # -- a run's life

    def start(self, grant: Grant, lease: LeaseTimes) -> None:
        if grant.nodes != 1:
            raise ValueError(
                f"nodes is {grant.nodes}: a Ray job has one entrypoint, this engine runs one node. "
                "Ask for one node and let the job spread over Ray itself"
            )
        refuse_files(grant, "ray")
        order = self._order(grant)
        self.runs.take(grant, lease, order)
        self._loop.call_soon_threadsafe(self.watch.follow, grant.run_id)

    def _order(self, grant: Grant) -> dict[str, Any]:
        key = secrets.token_hex(16)
        env = {**told_env(grant, self.site), "SKYPILOT_NODE_IPS": "127.0.0.1"}
        supervised = supervisor_order(
            grant,
            env=env,
            grace_ms=self.options.grace_ms,
            reading_every_ms=self.options.reading_ms,
        )
        lodged = {
            "key": key,
            "door": self.door_url,
            "ttl_ms": grant.ttl_ms,
            "hold_ms": grant.ttl_ms // HOLD_SHARE,
            "supervised": {
                **supervised,
                "run_text": grant.work.run,
                "setup_text": grant.work.setup,
            },
        }
        return {
            "key": key,
            "ttl_ms": grant.ttl_ms,
            "devices_per_node_milli": grant.devices_per_node_milli,
            "submission": self._submission(grant, env, packed_order(lodged)),
        }

    def _submission(self, grant: Grant, env: dict[str, str], order: str) -> dict[str, Any]:
        """The body of ``POST /api/jobs/``."""
        body: dict[str, Any] = {
            "submission_id": grant.run_id,
            "entrypoint": f"exec {shlex.quote(self.options.python)} -I -S -c {shlex.quote(BOOTSTRAP)}",
            "runtime_env": {
                "env_vars": {**env, "WESTWARD_KIT": kit_beside(order), "WESTWARD_ORDER": order}
            },
            "metadata": {
                "westward_site": self.site,
                "westward_job": grant.job_id,
                "westward_token": str(grant.token),
            },
            "entrypoint_num_cpus": grant.cpus_per_node_milli / 1000,
            "entrypoint_num_gpus": gpus(grant),
        }
        if grant.memory_per_node_mib:
            body["entrypoint_memory"] = grant.memory_per_node_mib << 20
        resources = dict(self.options.resources)
        if self.options.kinds and grant.accelerator is not None:
            resources[f"accelerator_type:{grant.accelerator}"] = 0.001
        if resources:
            body["entrypoint_resources"] = resources
        return body

    def extend(self, run_id: str, lease: LeaseTimes) -> None:
        self.runs.extend(run_id, lease)
        self._loop.call_soon_threadsafe(self.door.tell, run_id)

    def stop(self, run_id: str, outcome: Outcome) -> None:
        if self.runs.stop(run_id, outcome):
            self._loop.call_soon_threadsafe(self.watch.stop, run_id)

    def clean(self, run_id: str, detail: str) -> None:
        self.runs.clean(run_id, detail)
        self._loop.call_soon_threadsafe(self.door.tell, run_id)

    def forget(self, run_id: str) -> None:
        self._loop.call_soon_threadsafe(self.watch.forget, run_id)
        self.runs.forget(run_id)

    # -- what is known, without asking

    def look(self, run_id: str) -> RunView:
        view = super().look(run_id)
        if view.result is None and run_id not in self.watch.tasks and self.runs.order(run_id):
            self._loop.call_soon_threadsafe(self.watch.follow, run_id)
        return view

    def discover(self) -> tuple[DiscoveredPool, ...]:
        try:
            return pools_of(self._call(self.link.nodes()))
        except (Unreachable, TimeoutError) as error:
            raise OSError(f"Ray cannot be asked: {error}") from error


def gpus(grant: Grant) -> float:
    """GPUs to book with Ray: whole ones, or a part of one (Ray takes no 1.5)."""
    if grant.gpus_per_node == 1 and 0 < grant.devices_per_node_milli < 1000:
        return grant.devices_per_node_milli / 1000
    return float(grant.gpus_per_node)


def from_options(state: Path, site: str, options: Mapping[str, str]) -> RayEngine:
    """``address`` of Ray's dashboard; ``token_file`` with Ray's token; ``door`` HOST:PORT by which
    Ray's nodes reach this agent; ``python`` at the nodes; ``resources`` NAME=AMOUNT,... asked for
    every job; ``kinds`` yes: also Ray's accelerator_type of the pool's kind; ``grace_ms``,
    ``reading_ms``. ValueError names every fault.
    """
    known(options, OPTIONS)
    faults: list[str] = []
    found: dict[str, Any] = {}
    address = options.get("address", ADDRESS).rstrip("/")
    if not address.startswith(("http://", "https://")):
        faults.append(f"address: {address!r} is not http://HOST:PORT")
    found["address"] = address
    if "token_file" in options:
        try:
            found["token"] = Path(options["token_file"]).read_text(encoding="utf-8").strip()
        except OSError as error:
            faults.append(f"token_file: {options['token_file']}: {error.strerror}")
    host, colon, port = options.get("door", DOOR).rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        faults.append(f"door: {options['door']!r} is not HOST:PORT")
    else:
        found.update(door_host=host, door_port=int(port))
    if "python" in options:
        found["python"] = options["python"]
    found["resources"] = _resources(options.get("resources", ""), faults)
    if options.get("kinds", "no") not in ("yes", "no"):
        faults.append(f"kinds: {options['kinds']!r} is not yes or no")
    found["kinds"] = options.get("kinds") == "yes"
    for name in ("grace_ms", "reading_ms"):
        if name in options and not options[name].isdecimal():
            faults.append(f"{name}: {options[name]!r} is not a whole number")
        elif name in options:
            found[name] = int(options[name])
    if faults:
        raise ValueError("; ".join(f"engine option {fault}" for fault in faults))
    try:
        return RayEngine(state, site, RayOptions(**found))
    except OSError as error:
        raise ValueError(f"engine option door: {error}") from error


def _resources(text: str, faults: list[str]) -> tuple[tuple[str, float], ...]:
    found = []
    for part in filter(None, text.split(",")):
        name, _, amount = part.rpartition("=")
        try:
            value = float(amount)
        except ValueError:
            value = math.nan
        if not name or not 0 < value < math.inf:
            faults.append(f"resources: {part!r} is not NAME=AMOUNT with an amount above 0")
        else:
            found.append((name, value))
    return tuple(found)
