"""What is Kubernetes' own: what does not fit, pods that the site removes, lost nodes, deadlines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines_up.helping import ended, gone, grant, lease, output, pid_in, until
from tests.engines_up.kubernetes_cluster import KubernetesCluster
from westward.agent.engines.base import RunStatus
from westward.agent.engines.kubernetes_jobs import KubernetesEngine, from_options
from westward.agent.engines.kubernetes_link import Refused
from westward.agent.engines.kubernetes_pod import RUN_LABEL
from westward.agent.engines.processes import boot_ms

TTL_MS = 60_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubernetesCluster]:
    cluster = KubernetesCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def options(cluster: KubernetesCluster) -> dict[str, str]:
    return {
        "kubeconfig": str(cluster.kubeconfig), "image": "debian:12", "grace_ms": "300",
        "reading_ms": "500",
    }  # fmt: skip


@pytest.fixture
def engine(cluster: KubernetesCluster, tmp_path: Path) -> Iterator[KubernetesEngine]:
    engine = from_options(tmp_path / "state", "site-a", options(cluster))
    yield engine
    engine.close()


def left(cluster: KubernetesCluster, run_id: str) -> list[str]:
    """What of the run stands in the cluster."""
    query = f"?labelSelector={RUN_LABEL}%3D{run_id}"
    things: list[Any] = cluster.ask("GET", f"/apis/batch/v1/namespaces/default/jobs{query}")[
        "items"
    ]
    things += cluster.ask("GET", f"/api/v1/namespaces/default/pods{query}")["items"]
    return [thing["metadata"]["name"] for thing in things]


def pods(cluster: KubernetesCluster, run_id: str) -> list[dict[str, Any]]:
    query = f"?labelSelector={RUN_LABEL}%3D{run_id}"
    found: list[dict[str, Any]] = cluster.ask("GET", f"/api/v1/namespaces/default/pods{query}")[
        "items"
    ]
    return found


def test_what_does_not_fit_waits_says_why_and_can_be_stopped(
    engine: KubernetesEngine, cluster: KubernetesCluster
) -> None:
    run = grant("true", accelerator="H100", gpus_per_node=9, devices_per_node_milli=9000)
    engine.start(run, lease(TTL_MS))
    until(
        lambda: "Insufficient nvidia.com/gpu" in engine.look(run.run_id).engine_state, "it says so"
    )
    assert engine.look(run.run_id).status is RunStatus.STARTING
    engine.stop(run.run_id, "cancelled")
    assert ended(engine, run.run_id).outcome == "cancelled"
    assert not engine.look(run.run_id).started
    until(lambda: left(cluster, run.run_id) == [], "nothing of it is left")


def test_devices_are_counted_by_the_cluster(engine: KubernetesEngine, tmp_path: Path) -> None:
    gpus = {"accelerator": "H100", "gpus_per_node": 8, "devices_per_node_milli": 8000}
    script = f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    runs = [grant(script, **gpus) for _ in range(3)]
    for run in runs:
        engine.start(run, lease(TTL_MS * 10))
    until(lambda: sum(engine.look(run.run_id).started for run in runs) == 2, "two of three run")
    time.sleep(2)
    assert sum(engine.look(run.run_id).started for run in runs) == 2
    (tmp_path / "go").touch()
    assert {ended(engine, run.run_id).outcome for run in runs} == {"succeeded"}


def test_a_run_is_forgotten_by_the_cluster_too(
    engine: KubernetesEngine, cluster: KubernetesCluster
) -> None:
    run = grant("echo done", nodes=2)
    engine.start(run, lease(TTL_MS))
    assert ended(engine, run.run_id).outcome == "succeeded"
    services = cluster.ask("GET", "/api/v1/namespaces/default/services")["items"]
    assert run.run_id.replace("_", "-") in {each["metadata"]["name"] for each in services}
    engine.forget(run.run_id)
    until(lambda: left(cluster, run.run_id) == [], "its jobs and pods are gone")
    services = cluster.ask("GET", "/api/v1/namespaces/default/services")["items"]
    assert run.run_id.replace("_", "-") not in {each["metadata"]["name"] for each in services}


def test_a_name_that_is_anothers_is_refused(engine: KubernetesEngine) -> None:
    run = grant("echo once")
    engine.start(run, lease(TTL_MS))
    assert ended(engine, run.run_id).outcome == "succeeded"
    order = engine.runs.order(run.run_id)
    assert order is not None
    (body,) = order["jobs"]
    engine.link.create_job(body)
    body["metadata"]["labels"]["westward.io/token"] = "8"
    with pytest.raises(Refused, match="another job"):
        engine.link.create_job(body)


def test_a_pod_that_the_site_removes_ends_the_run_and_no_second_stays(
    engine: KubernetesEngine, cluster: KubernetesCluster, tmp_path: Path
) -> None:
    run = grant(f"echo $$ >> {tmp_path}/pids; sleep 1000")
    engine.start(run, lease(TTL_MS * 10))
    until((tmp_path / "pids").exists, "it runs")
    (pod,) = pods(cluster, run.run_id)
    cluster.ask("DELETE", f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}")
    result = ended(engine, run.run_id)
    assert result.outcome == "lease-expired"
    assert "removed a pod" in result.detail
    for pid in (tmp_path / "pids").read_text().split():
        assert gone(int(pid))


def test_a_job_that_somebody_deleted_has_vanished(
    engine: KubernetesEngine, cluster: KubernetesCluster, tmp_path: Path
) -> None:
    run = grant(f"echo $$ > {tmp_path}/pid; sleep 1000")
    engine.start(run, lease(TTL_MS * 10))
    pid = pid_in(tmp_path / "pid")
    name = run.run_id.replace("_", "-") + "-0"
    path = f"/apis/batch/v1/namespaces/default/jobs/{name}?propagationPolicy=Background"
    cluster.ask("DELETE", path)
    assert ended(engine, run.run_id).outcome == "lease-expired"
    assert gone(pid)


def test_a_lost_node_is_unknown_until_it_is_back(
    engine: KubernetesEngine, cluster: KubernetesCluster, tmp_path: Path
) -> None:
    run = grant(f"echo up; until [ -e {tmp_path}/go ]; do sleep 0.1; done; echo down")
    engine.start(run, lease(TTL_MS * 10))
    until(lambda: output(engine, run.run_id) == "up\n", "it runs")
    cluster.freeze("kubelet")
    try:
        until(lambda: engine.look(run.run_id).status is RunStatus.UNKNOWN, "nobody can say")
        assert "does not answer" in engine.look(run.run_id).engine_state
        assert len(pods(cluster, run.run_id)) == 1, "no second pod while the first may live"
    finally:
        cluster.thaw("kubelet")
    until(lambda: engine.look(run.run_id).status is RunStatus.RUNNING, "it is seen again")
    (tmp_path / "go").touch()
    assert ended(engine, run.run_id).outcome == "succeeded"
    assert output(engine, run.run_id) == "up\ndown\n"


def test_the_deadline_goes_ahead_of_the_lease_and_holds_without_an_agent(
    cluster: KubernetesCluster, tmp_path: Path
) -> None:
    ttl_ms = 20_000
    engine = from_options(tmp_path / "state", "site-a", options(cluster))
    run = grant(f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 1; done", ttl_ms=ttl_ms)
    try:
        engine.start(run, lease(ttl_ms))
        pid = pid_in(tmp_path / "pid")
        first = boot_ms() + ttl_ms
        while boot_ms() < first + ttl_ms // 2:
            last = lease(ttl_ms)
            engine.extend(run.run_id, last)
            time.sleep(ttl_ms / 5000)
        assert not gone(pid), "it outlived its first lease"
    finally:
        engine.close()
    until(lambda: gone(pid), "the cluster has ended it")
    assert boot_ms() <= last.kill_at, "before the lease was over"
    engine = from_options(tmp_path / "state", "site-a", options(cluster))
    try:
        assert ended(engine, run.run_id).outcome == "lease-expired"
    finally:
        engine.close()
