"""The conformance suite on a real Ray cluster: one head on this machine."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.engines.engine_harness import ClusterHarness
from tests.engines_up.ray_cluster import RayCluster


class RayHarness(ClusterHarness[RayCluster]):
    name = "ray"

    def __init__(self, folder: Path):
        super().__init__(folder, RayCluster())

    def options(self, state: Path) -> dict[str, str]:
        return {
            **super().options(state),
            "address": self.cluster.address,
            "token_file": str(self.cluster.token_file),
        }
