"""The site's scheduler stays in charge: waiting, preemption, cancelling, GPUs, what it tells."""

from __future__ import annotations

import json
import re
from typing import cast

import pytest

from tests.conformance.engines.engine_harness import Site
from tests.engines_up.helping import LONG, gone, pid_in, until
from tests.engines_up.slurm import Cluster
from westward.agent.engines.base import RunStatus
from westward.agent.engines.slurm import SlurmEngine

ALL_CPUS = {"cpus_per_node_milli": 16_000}


def slurm(site: Site) -> SlurmEngine:
    return cast(SlurmEngine, site.engine)


def job_of(site: Site, run: str) -> int:
    path = slurm(site).folder(run) / "slurm.json"
    until(path.exists, "Slurm has the job")
    return int(json.loads(path.read_text())["job_id"])


def fill(site: Site, nodes: int = 2) -> str:
    """A run that holds every CPU until the test's file ``go``."""
    run = site.start(f"until [ -e {site.folder}/go ]; do sleep 0.05; done", nodes=nodes, **ALL_CPUS)
    site.until_running(run)
    return run


def test_time_in_slurms_queue_is_not_running(site: Site) -> None:
    first = fill(site)
    second = site.start(f"date +%s%N > {site.folder}/ran")
    until(lambda: "PENDING" in site.look(second).engine_state, "it waits")
    view = site.look(second)
    assert (view.status, view.started) == (RunStatus.STARTING, False)
    assert site.engine.readings(second, -1) == ()
    (site.folder / "go").touch()
    assert site.finish(first).outcome == "succeeded"
    assert site.finish(second).outcome == "succeeded"
    wall_ms = sum(reading.wall_ms for reading in site.engine.readings(second, -1))
    assert wall_ms < 2_000, "waiting was not metered"


def test_a_waiting_run_is_stopped_without_ever_starting(site: Site) -> None:
    first = fill(site)
    second = site.start(f"touch {site.folder}/ran")
    until(lambda: "PENDING" in site.look(second).engine_state, "it waits")
    site.engine.stop(second, "cancelled")
    result = site.finish(second)
    assert (result.outcome, site.look(second).started) == ("cancelled", False)
    (site.folder / "go").touch()
    assert site.finish(first).outcome == "succeeded"
    assert not (site.folder / "ran").exists()


def test_a_run_put_out_by_other_work_is_no_success_though_it_ends_with_zero(
    site: Site, spot: Site
) -> None:
    script = (
        f"trap 'echo saved > {spot.folder}/saved; kill $child; exit 0' TERM; "
        f"sleep 1000 & child=$!; echo $child > {spot.folder}/child; wait"
    )
    run = spot.start(script, **ALL_CPUS)
    child = pid_in(spot.folder / "child")
    urgent = site.start("true", nodes=2, **ALL_CPUS)
    result = spot.finish(run)
    assert result.outcome == "lease-expired"
    assert "PREEMPTED" in result.detail
    assert gone(child)
    assert (spot.folder / "saved").read_text() == "saved\n", "it had time to save"
    assert site.finish(urgent).outcome == "succeeded"


def test_a_run_put_out_that_dies_of_it_is_no_failure_of_its_own(site: Site, spot: Site) -> None:
    run = spot.start(f"echo $$ > {spot.folder}/child; sleep 1000", nodes=2, **ALL_CPUS)
    pid_in(spot.folder / "child")
    urgent = site.start("true", nodes=2, **ALL_CPUS)
    result = spot.finish(run)
    assert (result.outcome, "PREEMPTED" in result.detail) == ("lease-expired", True)
    assert site.finish(urgent).outcome == "succeeded"


def test_cancelling_at_the_site_gives_the_run_back(site: Site, alpha: Cluster) -> None:
    run = site.start(f"echo $$ > {site.folder}/pid; sleep 1000")
    pid_in(site.folder / "pid")
    alpha.run("scancel", str(job_of(site, run)))
    result = site.finish(run)
    assert result.outcome == "lease-expired"
    assert "cancelled at the site" in result.detail


def test_gpus_are_slurms_to_hand_out(site: Site) -> None:
    script = f'echo "$CUDA_VISIBLE_DEVICES"; until [ -e {site.folder}/go ]; do sleep 0.05; done'
    gpus = {"gpus_per_node": 2, "accelerator": "H100"}
    runs = [site.start(script, **gpus) for _ in range(4)]
    for run in runs:
        until(lambda run=run: site.output(run), "it says its GPUs")  # type: ignore[misc]
    seen = sorted(site.output(run).strip() for run in runs)
    assert seen == ["0,1", "0,1", "2,3", "2,3"], "two nodes with four each"
    (site.folder / "go").touch()
    for run in runs:
        assert site.finish(run).outcome == "succeeded"


def test_a_gang_gets_its_gpus_on_every_node(site: Site) -> None:
    run = site.start(
        'echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES $SLURM_NNODES"', nodes=2, gpus_per_node=3
    )
    assert site.finish(run).outcome == "succeeded"
    assert [site.output(run, rank) for rank in (0, 1)] == [
        "alpha-n1 0,1,2 2\n",
        "alpha-n2 0,1,2 2\n",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gpus_per_node": 99}, "Slurm refused the job: .*not available"),
        ({"nodes": 99}, "Slurm would not start it: PartitionConfig"),
    ],
)
def test_what_slurm_refuses_is_handed_back_in_its_own_words(
    site: Site, changes: dict[str, int], words: str
) -> None:
    run = site.start("true", **changes)
    result = site.finish(run)
    assert result.outcome == "lease-expired"
    assert re.search(words, result.detail), result.detail


def test_a_time_limit_reaches_slurm_too(site: Site, alpha: Cluster) -> None:
    run = site.start("sleep 0.2", time_limit_ms=600_000)
    told = alpha.run("scontrol", "-o", "show", "job", str(job_of(site, run)))
    assert "TimeLimit=00:13:00" in told
    assert "Requeue=0" in told
    assert "Comment=westward site=site-a job=job_1 attempt=1 token=7" in told
    assert site.finish(run).outcome == "succeeded"


def test_slurms_own_records_tell_success_from_failure(site: Site) -> None:
    runs = {site.start(f"sleep 1; exit {code}"): code for code in (0, 3)}
    for run, code in runs.items():
        assert site.finish(run).exit_code == code
        until(lambda run=run: slurm(site).accounting(run), "Slurm's account is kept")  # type: ignore[misc]
        account = slurm(site).accounting(run)
        assert account is not None
        assert account.state == ("FAILED" if code else "COMPLETED")
        assert account.exit_code == f"{code}:0"
        assert account.elapsed_s >= 1
        assert "cpu=1" in account.alloc_tres


def test_accounts_are_kept_after_the_run_was_forgotten(site: Site) -> None:
    run = site.start("sleep 0.5")
    site.finish(run)
    site.engine.forget(run)
    until(lambda: slurm(site).accounting(run), "Slurm's account is kept")
    assert slurm(site).accounting(run) is not None


def test_waits_are_foretold_and_scored(site: Site) -> None:
    first = fill(site)
    grant = site.grant("true", time_limit_ms=60_000)
    assert slurm(site).predicted_wait_ms(grant) is not None
    site.engine.start(grant, LONG)
    until(lambda: "PENDING" in site.look(grant.run_id).engine_state, "it waits")
    (site.folder / "go").touch()
    assert site.finish(first).outcome == "succeeded"
    assert site.finish(grant.run_id).outcome == "succeeded"
    until(lambda: slurm(site).wait_score().runs >= 1, "a start was noted")
    score = slurm(site).wait_score()
    assert score.foretold <= score.runs
    assert slurm(site).predicted_wait_ms(site.grant("true", nodes=99)) is None


def test_partitions_are_discovered_with_their_nodes(site: Site, other: Site) -> None:
    found = {pool.name: pool for pool in site.engine.discover()}
    assert set(found) == {"main", "spot"}
    pool = found["main"]
    assert (pool.nodes, pool.accelerator, pool.devices_per_node) == (2, "h100", 4)
    assert (pool.cpus_milli_per_node, pool.memory_mib_per_node) == (16_000, 16_384)
    assert {pool.nodes for pool in other.engine.discover()} == {1}


def test_two_clusters_side_by_side_do_not_mix(site: Site, other: Site) -> None:
    script = 'echo "$SLURM_CLUSTER_NAME"'
    here, there = site.start(script), other.start(script)
    assert site.finish(here).outcome == other.finish(there).outcome == "succeeded"
    assert (site.output(here), other.output(there)) == ("alpha\n", "beta\n")
