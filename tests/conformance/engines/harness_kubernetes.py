"""The conformance suite on a real Kubernetes control plane; pods run by ``tests/engines_up/kubelet.py``."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.engines.engine_harness import ClusterHarness
from tests.engines_up.kubernetes_cluster import KubernetesCluster


class KubernetesHarness(ClusterHarness[KubernetesCluster]):
    name = "kubernetes"

    def __init__(self, folder: Path):
        super().__init__(folder, KubernetesCluster())

    def options(self, state: Path) -> dict[str, str]:
        return {
            **super().options(state),
            "kubeconfig": str(self.cluster.kubeconfig),
            "image": "debian:12",
        }
