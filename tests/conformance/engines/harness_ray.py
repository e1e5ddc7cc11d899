"""The conformance suite on a real Ray cluster: one head on this machine."""

from __future__ import annotations

from pathlib import Path

from engine_harness import Harness

from tests.engines_up.ray_cluster import RayCluster


class RayHarness(Harness):
    name = "ray"

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.cluster = RayCluster()

    def up(self) -> None:
        self.cluster.start()

    def down(self) -> None:
        self.cluster.stop()

    def options(self, state: Path) -> dict[str, str]:
        return {
            **super().options(state),
            "address": self.cluster.address,
            "token_file": str(self.cluster.token_file),
        }

    def lose_controller(self) -> None:
        self.cluster.freeze()

    def find_controller(self) -> None:
        self.cluster.thaw()
