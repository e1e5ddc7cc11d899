"""What is Ray's own: its resources, its queue, its submission ids, and a head that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines_up.helping import ended, gone, grant, lease, output, pid_in, until
from tests.engines_up.ray_cluster import RayCluster
from westward.agent.engines.base import RunStatus
from westward.agent.engines.ray_jobs import RayEngine, from_options
from westward.agent.engines.ray_link import Missing, RayLink

TTL_MS = 60_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    cluster = RayCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def options(cluster: RayCluster) -> dict[str, str]:
    return {
        "address": cluster.address, "token_file": str(cluster.token_file), "grace_ms": "300",
        "reading_ms": "500",
    }  # fmt: skip


@pytest.fixture
def engine(cluster: RayCluster, tmp_path: Path) -> Iterator[RayEngine]:
    engine = from_options(tmp_path / "state", "site-a", options(cluster))
    yield engine
    engine.close()


def test_parts_of_a_device_are_booked_and_shown_to_the_job(engine: RayEngine) -> None:
    script = 'echo "$CUDA_VISIBLE_DEVICES $SKYPILOT_NUM_GPUS_PER_NODE"'
    half = {"accelerator": "H100", "gpus_per_node": 1, "devices_per_node_milli": 500}
    pair = {"accelerator": "H100", "gpus_per_node": 2, "devices_per_node_milli": 2000}
    first, second = grant(script, **half), grant(script, **pair)
    for each in (first, second):
        engine.start(each, lease(TTL_MS))
    assert ended(engine, first.run_id).outcome == "succeeded"
    assert ended(engine, second.run_id).outcome == "succeeded"
    devices, asked = output(engine, first.run_id).split()
    assert devices.isdecimal()
    assert asked == "1"
    devices, asked = output(engine, second.run_id).split()
    assert len(set(devices.split(","))) == 2
    assert asked == "2"


def test_a_job_may_use_ray_itself_and_sees_nothing_of_ours(
    engine: RayEngine, cluster: RayCluster
) -> None:
    script = (
        "import os, ray; ray.init(log_to_driver=False)\n"
        "names = ray.get(ray.remote(lambda: sorted(os.environ)).remote())\n"
        "print('WESTWARD_RUN_ID' in names, 'WESTWARD_KIT' in names, 'WESTWARD_ORDER' in names)"
    )
    run = grant(f"{cluster.python} - <<'PY'\n{script}\nPY")
    engine.start(run, lease(TTL_MS))
    result = ended(engine, run.run_id)
    assert result.outcome == "succeeded", output(engine, run.run_id)
    assert output(engine, run.run_id).splitlines()[-1] == "True False False"


def test_a_run_that_waits_in_rays_queue_is_not_running_and_can_be_stopped(
    cluster: RayCluster, tmp_path: Path
) -> None:
    all_of_it = options(cluster) | {"resources": "site_lab=2"}
    engine = from_options(tmp_path / "state", "site-a", all_of_it)
    try:
        first = grant(f"echo $$ > {tmp_path}/pid; sleep 1000")
        second = grant(f"touch {tmp_path}/ran")
        engine.start(first, lease(TTL_MS * 10))
        pid = pid_in(tmp_path / "pid")
        engine.start(second, lease(TTL_MS * 10))
        until(lambda: "pending" in engine.look(second.run_id).engine_state, "it waits")
        assert engine.look(second.run_id).status is RunStatus.STARTING
        assert not engine.look(second.run_id).started
        engine.stop(second.run_id, "cancelled")
        assert ended(engine, second.run_id).outcome == "cancelled"
        engine.stop(first.run_id, "cancelled")
        assert ended(engine, first.run_id).outcome == "cancelled"
        assert gone(pid)
        assert not (tmp_path / "ran").exists()
    finally:
        engine.close()


def test_one_id_is_one_job_and_is_forgotten_with_the_run(
    engine: RayEngine, cluster: RayCluster, tmp_path: Path
) -> None:
    run = grant(f"echo once >> {tmp_path}/count")
    engine.start(run, lease(TTL_MS))
    assert ended(engine, run.run_id).outcome == "succeeded"
    order = engine.runs.order(run.run_id)
    assert order is not None

    async def again(body: dict[str, object]) -> None:
        link = RayLink(cluster.address, cluster.token_file.read_text())
        try:
            await link.submit(body)
            assert (await link.info(run.run_id))["status"] == "SUCCEEDED"
        finally:
            await link.close()

    async def is_known() -> bool:
        link = RayLink(cluster.address, cluster.token_file.read_text())
        try:
            await link.info(run.run_id)
        except Missing:
            return False
        finally:
            await link.close()
        return True

    asyncio.run(again(order["submission"]))
    engine.forget(run.run_id)
    until(lambda: not asyncio.run(is_known()), "Ray has forgotten it")
    assert (tmp_path / "count").read_text() == "once\n"


def test_ray_that_starts_a_run_again_under_another_id_runs_it_not(
    engine: RayEngine, cluster: RayCluster, tmp_path: Path
) -> None:
    """As after a restart of a head that remembers: the same order, a second process."""
    script = f"echo begun >> {tmp_path}/count; until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    run = grant(script)
    engine.start(run, lease(TTL_MS * 10))
    until((tmp_path / "count").exists, "it runs")
    order = engine.runs.order(run.run_id)
    assert order is not None

    async def twin() -> str:
        link = RayLink(cluster.address, cluster.token_file.read_text())
        try:
            name = f"{run.run_id}-twin"
            await link.submit({**order["submission"], "submission_id": name})
            while (status := (await link.info(name))["status"]) in ("PENDING", "RUNNING"):
                await asyncio.sleep(0.2)
            return str(status)
        finally:
            await link.close()

    assert asyncio.run(twin()) == "FAILED"
    (tmp_path / "go").touch()
    assert ended(engine, run.run_id).outcome == "succeeded"
    assert (tmp_path / "count").read_text() == "begun\n"


def test_a_lost_head_is_unknown_and_never_success(
    cluster: RayCluster, engine: RayEngine, tmp_path: Path
) -> None:
    """Last: it kills the cluster's head, and starts another at the same address."""
    ttl_ms = 20_000
    run = grant(f"echo $$ > {tmp_path}/pid; sleep 1000", ttl_ms=ttl_ms)
    engine.start(run, lease(ttl_ms * 10))
    pid = pid_in(tmp_path / "pid")
    until(lambda: engine.look(run.run_id).status is RunStatus.RUNNING, "it runs")
    cluster.kill()
    until(lambda: engine.look(run.run_id).status is RunStatus.UNKNOWN, "nobody can say")
    assert engine.look(run.run_id).result is None
    until(lambda: engine.look(run.run_id).status is RunStatus.VANISHED, "its promise is over")
    assert gone(pid), "nothing of a vanished run lives"
    engine.clean(run.run_id, "the head was lost")
    assert ended(engine, run.run_id).outcome == "lease-expired"
    cluster.start()
    after = grant("echo again")
    engine.start(after, lease(TTL_MS * 10))
    assert ended(engine, after.run_id).outcome == "succeeded"
    assert ended(engine, run.run_id).outcome == "lease-expired"
