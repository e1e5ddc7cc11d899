"""The conformance suite on a real Kubernetes control plane; pods run by ``tests/engines_up/kubelet.py``."""

from __future__ import annotations

from pathlib import Path

from engine_harness import Harness

from tests.engines_up.kubernetes_cluster import KubernetesCluster


class KubernetesHarness(Harness):
    name = "kubernetes"

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.cluster = KubernetesCluster()

    def up(self) -> None:
        self.cluster.start()

    def down(self) -> None:
        self.cluster.stop()

    def options(self, state: Path) -> dict[str, str]:
        return {
            **super().options(state),
            "kubeconfig": str(self.cluster.kubeconfig),
            "image": "debian:12",
        }

    def lose_controller(self) -> None:
        self.cluster.freeze("apiserver")

    def find_controller(self) -> None:
        self.cluster.thaw("apiserver")
