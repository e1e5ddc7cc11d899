"""The conformance suite's view of an engine: how to bring it up, open it, and lose its controller.

To add an engine: a subclass of ``Harness`` in a module of its own, one line in ``HARNESSES``, one
column in ``westward/agent/engines/cannot.py``, and a make target that sets
``WESTWARD_TEST_ENGINES``. The tests see ``Engine`` alone, and run on the machine of the jobs:
jobs write to the tests' own folders.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import pytest

from tests.engines_up.helping import LONG, grant, output, until
from westward.agent.engines import processes
from westward.agent.engines.base import Engine, LeaseTimes, RunResult, RunStatus, RunView
from westward.agent.engines.cannot import CANNOT
from westward.agent.engines.registry import open_engine
from westward.model.wire import Grant

HARNESSES = {
    "local": "engine_harness:LocalHarness",
    "slurm": "harness_slurm:SlurmHarness",
    "ray": "harness_ray:RayHarness",
    "kubernetes": "harness_kubernetes:KubernetesHarness",
}
"""Engine → module:class. Modules are loaded when asked for."""


class Harness:
    """One engine of a real kind. An object lives as long as the test session."""

    name: ClassVar[str]
    pool: ClassVar[str] = "p"
    early_ms: ClassVar[int] = 0
    """How much before the lease's TERM the work may stop (nodes with clocks of their own)."""

    def __init__(self, folder: Path):
        """``folder``: empty, kept for the session."""
        self.folder = folder

    def up(self) -> None:
        """Start the real thing (a slurmctld, a Ray head …). Fails saying what to install."""

    def down(self) -> None:
        """End what ``up`` started, by its process ids."""

    def options(self, state: Path) -> dict[str, str]:
        """The engine's options, with a grace of 300 ms and a reading each 200 ms."""
        return {"grace_ms": "300", "reading_ms": "200"}


class ControlledHarness(Harness, ABC):
    """An engine with a controller that can be lost: one that can do ``unknown-status``."""

    @abstractmethod
    def lose_controller(self) -> None:
        """From now on the engine's controller does not answer."""

    @abstractmethod
    def find_controller(self) -> None:
        """It answers again."""


class Cluster(Protocol):
    """A cluster of ``tests/engines_up`` whose controller can be frozen."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...


C = TypeVar("C", bound=Cluster)


class ClusterHarness(ControlledHarness, Generic[C]):
    """An engine on a cluster that stands for the session."""

    def __init__(self, folder: Path, cluster: C):
        super().__init__(folder)
        self.cluster = cluster

    def up(self) -> None:
        self.cluster.start()

    def down(self) -> None:
        self.cluster.stop()

    def lose_controller(self) -> None:
        self.cluster.freeze()

    def find_controller(self) -> None:
        self.cluster.thaw()


class LocalHarness(Harness):
    name = "local"


def load(name: str, folder: Path) -> Harness:
    module, _, cls = HARNESSES[name].partition(":")
    harness: Harness = getattr(importlib.import_module(f"{__package__}.{module}"), cls)(folder)
    return harness


@dataclass
class Site:
    """One state folder with one engine object open, as an agent has it."""

    harness: Harness
    folder: Path
    """For the test's own files."""

    def __post_init__(self) -> None:
        self.state = self.folder / "state"
        self.state.mkdir(parents=True)
        self.engine = self.open()

    def open(self) -> Engine:
        options = self.harness.options(self.state)
        return open_engine(self.harness.name, self.state, "site-a", options)

    def reopen(self) -> None:
        """The agent was restarted: nothing but files is left of it."""
        self.engine.close()
        self.engine = self.open()

    def needs(self, ability: str) -> None:
        """Leave the test out where the table says that the engine cannot do it."""
        why = CANNOT[self.harness.name].get(ability)
        if why is not None:
            pytest.skip(f"{self.harness.name} cannot do {ability}: {why}")

    def grant(self, script: str, **changes: Any) -> Grant:
        """A grant with a run id of its own, for this site's pool."""
        return grant(script, **({"pool": self.harness.pool, "ttl_ms": 15_000} | changes))

    def start(self, script: str, lease: LeaseTimes = LONG, **changes: Any) -> str:
        grant = self.grant(script, **changes)
        self.engine.start(grant, lease)
        return grant.run_id

    def start_and_die(
        self,
        script: str,
        *,
        running: bool = True,
        after_ms: int = 0,
        files: tuple[Path, ...] = (),
        lease_left_ms: int | None = None,
        full: bool = False,
        **changes: Any,
    ) -> tuple[str, int]:
        """Start a run in a process of its own that is then killed with -9: (run id, exit code).

        ``running``: once the run is seen running and has written ``files``; else ``after_ms`` after start() has returned or
        was entered. ``lease_left_ms``: the lease's last renewal before death. ``full``: the process
        can write no byte to any file; exit code 7 says that start() raised OSError. A site has one
        agent at a time: this one's engine is closed meanwhile.
        """
        self.engine.close()
        grant = self.grant(script, **changes)
        engine = self.harness
        order = {
            "name": engine.name, "state": self.state, "options": engine.options(self.state),
            "grant": grant, "running": running, "files": files, "after_ms": after_ms,
            "lease_left_ms": lease_left_ms, "full": full,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", AGENT_STAND_IN, pickle.dumps(order).hex()],
            check=False,
            cwd=Path(__file__).resolve().parents[3],
        )
        self.engine = self.open()
        return grant.run_id, done.returncode

    def look(self, run_id: str) -> RunView:
        """As the agent looks: what has vanished is cleaned up."""
        view = self.engine.look(run_id)
        if view.status is RunStatus.VANISHED:
            self.engine.clean(run_id, "nothing watched over it any more")
            view = self.engine.look(run_id)
        return view

    def finish(self, run_id: str) -> RunResult:
        until(lambda: self.look(run_id).result is not None, f"{run_id} has ended")
        view = self.look(run_id)
        assert view.status is RunStatus.ENDED
        assert view.result is not None
        return view.result

    def until_running(self, run_id: str) -> None:
        until(lambda: self.look(run_id).status is RunStatus.RUNNING, f"{run_id} runs")

    def output(self, run_id: str, rank: int = 0) -> str:
        return output(self.engine, run_id, rank)

    @contextlib.contextmanager
    def without_controller(self) -> Iterator[None]:
        """Inside, the engine's controller does not answer (needs ``unknown-status``)."""
        assert isinstance(self.harness, ControlledHarness), f"{self.harness.name} has none"
        self.harness.lose_controller()
        try:
            yield
        finally:
            self.harness.find_controller()

    def close(self) -> None:
        for held in self.engine.recover():
            if self.look(held.run_id).result is None:
                self.engine.stop(held.run_id, "cancelled")
        for held in self.engine.recover():
            self.finish(held.run_id)
        self.engine.close()


AGENT_STAND_IN = """
import os, pickle, resource, signal, sys, threading, time
sys.path.insert(0, os.getcwd())
from westward.agent.engines.base import LeaseTimes, RunStatus
from westward.agent.engines.processes import boot_ms
from westward.agent.engines.registry import open_engine
order = pickle.loads(bytes.fromhex(sys.argv[1]))
engine = open_engine(order["name"], order["state"], "site-a", order["options"])
run_id = order["grant"].run_id
if order["full"]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        engine.start(order["grant"], LeaseTimes(term_at=2**60, kill_at=2**60))
    except OSError:
        os._exit(7)
    os._exit(8)
if not order["running"] and order["after_ms"] >= 0:
    def die():
        time.sleep(order["after_ms"] / 1000)
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=die).start()
engine.start(order["grant"], LeaseTimes(term_at=2**60, kill_at=2**60))
while order["running"] and engine.look(run_id).status is not RunStatus.RUNNING:
    time.sleep(0.02)
while not all(path.exists() for path in order["files"]):
    time.sleep(0.02)
if order["lease_left_ms"] is not None:
    now = boot_ms()
    left = order["lease_left_ms"]
    engine.extend(run_id, LeaseTimes(term_at=now + left, kill_at=now + left + 200))
while not order["running"]:
    time.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def chosen() -> list[str]:
    """Engines under test: WESTWARD_TEST_ENGINES, else the one that needs nothing installed."""
    names = os.environ.get("WESTWARD_TEST_ENGINES", "local").split(",")
    strange = [name for name in names if name not in HARNESSES]
    if strange:
        raise ValueError(f"WESTWARD_TEST_ENGINES: no engine {strange}: known are {list(HARNESSES)}")
    return names


@contextlib.contextmanager
def session(name: str, folder: Path) -> Iterator[Harness]:
    harness = load(name, folder)
    try:
        harness.up()
        yield harness
    finally:
        harness.down()


def short_lease(term_ms: int, kill_ms: int) -> LeaseTimes:
    now = processes.boot_ms()
    return LeaseTimes(term_at=now + term_ms, kill_at=now + kill_ms)
