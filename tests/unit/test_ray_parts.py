"""What the Ray engine asks of Ray, and how it reads its options. No cluster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from westward.agent.engines.base import AlreadyStarted, LeaseTimes
from westward.agent.engines.processes import boot_ms
from westward.agent.engines.ray_jobs import RayEngine, RayOptions, from_options, gpus
from westward.agent.engines.ray_nodes import pools_of
from westward.model.job import FileMount, Work
from westward.model.wire import Grant

LONG = LeaseTimes(term_at=2**60, kill_at=2**60)


def grant(**changes: Any) -> Grant:
    values: dict[str, Any] = {
        "run_id": "run_1", "job_id": "job_1", "attempt": 1, "token": 7, "ttl_ms": 15_000,
        "pool": "p", "nodes": 1, "devices_per_node_milli": 500, "accelerator": "H100",
        "cpus_per_node_milli": 1500, "memory_per_node_mib": 300, "time_limit_ms": None,
        "gpus_per_node": 1, "work": Work(run="true", envs=(("X", "y"),)),
    }  # fmt: skip
    return Grant(**(values | changes))


@pytest.mark.parametrize(
    ("count", "milli", "booked"),
    [(1, 500, 0.5), (1, 1000, 1.0), (1, 1500, 1.0), (4, 4000, 4.0), (0, 2000, 0.0)],
)
def test_gpus_are_whole_or_a_part_of_one(count: int, milli: int, booked: float) -> None:
    assert gpus(grant(gpus_per_node=count, devices_per_node_milli=milli)) == booked


def test_a_submission_asks_for_what_was_granted(tmp_path: Path) -> None:
    options = RayOptions(address="http://127.0.0.1:1", resources=(("site_lab", 0.5),), kinds=True)
    engine = RayEngine(tmp_path, "site-a", options)
    try:
        engine.start(grant(), LONG)
        with pytest.raises(AlreadyStarted):
            engine.start(grant(), LONG)
        order = engine.runs.order("run_1")
    finally:
        engine.close()
    assert order is not None
    body = order["submission"]
    assert body["submission_id"] == "run_1"
    assert body["entrypoint_num_gpus"] == 0.5
    assert body["entrypoint_num_cpus"] == 1.5
    assert body["entrypoint_memory"] == 300 << 20
    assert body["entrypoint_resources"] == {"site_lab": 0.5, "accelerator_type:H100": 0.001}
    assert body["runtime_env"]["env_vars"]["X"] == "y"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": 2}, "nodes is 2: a Ray job has one entrypoint"),
        ({"work": Work(workdir="/data")}, "workdir /data"),
        ({"work": Work(file_mounts=(FileMount(target="in", source="s3://b"),))}, "file_mounts in"),
        ({"stop_signal": "SAVE"}, "no signal is called 'SAVE'"),
    ],
)
def test_what_ray_cannot_do_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    engine = RayEngine(tmp_path, "site-a", RayOptions(address="http://127.0.0.1:1"))
    try:
        with pytest.raises(ValueError, match=words):
            engine.start(grant(**changes), LONG)
        assert engine.recover() == ()
    finally:
        engine.close()


def test_a_cluster_that_was_never_there_is_unknown_and_then_over(tmp_path: Path) -> None:
    engine = RayEngine(tmp_path, "site-a", RayOptions(address="http://127.0.0.1:1"))
    try:
        now = boot_ms()
        engine.start(grant(), LeaseTimes(term_at=now + 1_500, kill_at=now + 1_700))
        seen = set()
        while (view := engine.look("run_1")).result is None:
            seen.add(view.status.value)
            time.sleep(0.01)
        assert "unknown" in seen
        assert seen <= {"starting", "unknown"}
        assert view.result.outcome == "lease-expired"
        with pytest.raises(OSError, match="Ray cannot be asked"):
            engine.discover()
    finally:
        engine.close()


def test_every_fault_of_the_options_is_named(tmp_path: Path) -> None:
    options = {
        "address": "localhost:8265", "door": "here", "grace_ms": "soon", "kinds": "maybe",
        "resources": "a=1,b=0,=2", "token_file": str(tmp_path / "none"),
    }  # fmt: skip
    with pytest.raises(ValueError, match="address: 'localhost:8265'") as refusal:
        from_options(tmp_path, "site-a", options)
    for name in ("door", "grace_ms", "kinds", "token_file"):
        assert f"engine option {name}: " in str(refusal.value)
    assert "'b=0'" in str(refusal.value)
    assert "'=2'" in str(refusal.value)


def test_the_doors_port_is_kept_over_restarts(tmp_path: Path) -> None:
    urls = []
    for _ in range(2):
        engine = RayEngine(tmp_path, "site-a", RayOptions(address="http://127.0.0.1:1"))
        urls.append(engine.door_url)
        engine.close()
    assert urls[0] == urls[1]


def test_alike_nodes_are_one_pool() -> None:
    big = {"CPU": 8.0, "GPU": 4.0, "memory": 2 << 30, "accelerator_type:H100": 1.0, "lab": 2.0}
    own = {"node:10.0.0.1": 1.0, "object_store_memory": 1e9}
    nodes = [
        {"state": "ALIVE", "resources_total": {**big, **own}, "labels": {"ray.io/node-id": "1"}},
        {"state": "ALIVE", "resources_total": big, "labels": {"ray.io/node-id": "2"}},
        {"state": "ALIVE", "resources_total": {"CPU": 2.0}, "labels": {"rack": "3"}},
        {"state": "DEAD", "resources_total": big, "labels": {}},
    ]
    first, second = pools_of(nodes)
    assert (first.nodes, first.accelerator, first.devices_per_node) == (2, "H100", 4)
    assert (first.cpus_milli_per_node, first.memory_mib_per_node) == (8000, 2048)
    assert first.labels == (("resource:lab", "2"),)
    assert (second.nodes, second.accelerator, second.labels) == (1, None, (("rack", "3"),))
