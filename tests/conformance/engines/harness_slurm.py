"""Slurm under the conformance suite: one cluster for the session, two nodes with four GPUs each."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import ClassVar

from tests.conformance.engines.engine_harness import ControlledHarness
from tests.engines_up.slurm import Cluster

PORT = int(os.environ.get("WESTWARD_TEST_SLURM_PORT", "21800"))


class SlurmHarness(ControlledHarness):
    name: ClassVar[str] = "slurm"
    clock: ClassVar[str] = os.environ.get("WESTWARD_TEST_SLURM_CLOCK", "boot")
    """``ask``: the node asks the agent for its lease, as one with another clock does."""
    early_ms: ClassVar[int] = 3_000 if clock == "ask" else 0

    def __init__(self, folder: Path):
        super().__init__(folder)
        # A socket's path must be short.
        self.cluster = Cluster(Path(tempfile.mkdtemp(prefix="ww-slurm-")), "conf", PORT)

    def up(self) -> None:
        self.cluster.up()

    def down(self) -> None:
        self.cluster.down()

    def options(self, state: Path) -> dict[str, str]:
        return super().options(state) | {
            "conf": str(self.cluster.conf), "partition": "main", "clock": self.clock,
        }  # fmt: skip

    def lose_controller(self) -> None:
        self.cluster.pause("slurmctld")

    def find_controller(self) -> None:
        self.cluster.go_on("slurmctld")


class At(SlurmHarness):
    """A harness on a cluster that stands already."""

    def __init__(self, cluster: Cluster, **options: str):
        self.cluster = cluster
        self.more = options

    def options(self, state: Path) -> dict[str, str]:
        return super().options(state) | self.more
