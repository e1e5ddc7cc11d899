"""Dead agents, dead controllers, dead nodes, answers that never came: nothing twice, no false end."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from test_slurm_queue import ALL_CPUS, fill, job_of, slurm

from tests.conformance.engines.engine_harness import Site, short_lease
from tests.conformance.engines.harness_slurm import At
from tests.engines_up.helping import LONG, gone, pid_in, until
from tests.engines_up.slurm import Cluster
from westward.agent.engines.base import RunStatus


def jobs_named(cluster: Cluster, run: str) -> list[str]:
    return cluster.run("squeue", "-h", "--states=all", f"--name={run}", "-o", "%i %T").splitlines()


def test_an_agent_killed_while_slurm_is_asked_finds_the_job_by_its_name(
    site: Site, alpha: Cluster
) -> None:
    """sbatch is under way, its answer will be heard by nobody."""
    witness = site.folder / "witness"
    alpha.pause("slurmctld")
    try:
        run, code = site.start_and_die(f"echo ran >> {witness}", running=False, after_ms=1_500)
        assert code == -signal.SIGKILL
        folder = slurm(site).folder(run)
        assert (folder / "sbatch.sent").exists()
        assert not (folder / "slurm.json").exists()
        site.reopen()
        assert [held.run_id for held in site.engine.recover()] == [run]
        assert site.look(run).status is RunStatus.UNKNOWN
    finally:
        alpha.go_on("slurmctld")
    assert site.finish(run).outcome == "succeeded"
    assert witness.read_text() == "ran\n"
    assert len(jobs_named(alpha, run)) == 1, "handed in once"


def test_a_run_is_handed_in_once_the_controller_is_back(site: Site, alpha: Cluster) -> None:
    alpha.end("slurmctld")
    try:
        run = site.start("echo late")
        until(lambda: site.look(run).status is RunStatus.UNKNOWN, "nobody takes it")
        time.sleep(3)
    finally:
        alpha.start_controller()
    assert site.finish(run).outcome == "succeeded"
    assert len(jobs_named(alpha, run)) == 1


def test_a_run_outlives_its_controller(site: Site, alpha: Cluster) -> None:
    run = site.start(f"echo up; until [ -e {site.folder}/go ]; do sleep 0.05; done")
    until(lambda: site.output(run) == "up\n", "it runs")
    alpha.end("slurmctld")  # one that is killed forgets its last seconds: see below
    try:
        until(lambda: site.look(run).status is RunStatus.UNKNOWN, "nobody can say")
        (site.folder / "go").touch()
        assert site.finish(run).outcome == "succeeded", "its supervisor's word is enough"
    finally:
        alpha.start_controller()
    until(lambda: jobs_named(alpha, run)[0].endswith("COMPLETED"), "Slurm hears of it")


def test_a_second_job_of_a_run_runs_nothing(site: Site, alpha: Cluster) -> None:
    """Handed in twice, by whatever fault: the first batch step takes the run."""
    witness = site.folder / "witness"
    run = site.start(f"echo ran >> {witness}; until [ -e {site.folder}/go ]; do sleep 0.05; done")
    until(witness.exists, "it runs")
    arguments = json.loads((slurm(site).folder(run) / "sbatch.json").read_text())["arguments"]
    alpha.run("sbatch", *arguments)
    until(
        lambda: any(line.endswith(("FAILED", "CANCELLED")) for line in jobs_named(alpha, run)),
        "the second has ended by itself, or was called off while it waited",
    )
    assert site.look(run).status is RunStatus.RUNNING
    (site.folder / "go").touch()
    assert site.finish(run).outcome == "succeeded"
    assert witness.read_text() == "ran\n"


def watchers(run: str) -> tuple[str, str]:
    """Pids of a run's batch step, which guards, and of the supervisor below it."""
    tree = subprocess.run(
        ["ps", "-eww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    ours = [line.split()[:2] for line in tree.splitlines() if line.endswith(f"{run} batch")]
    guard = next(pid for pid, _ in ours if any(parent == pid for _, parent in ours))
    (supervisor,) = [pid for pid, parent in ours if parent == guard]
    return guard, supervisor


def test_a_dead_supervisor_is_never_success(site: Site) -> None:
    run = site.start(f"sleep 1000 & echo $! > {site.folder}/child; wait")
    child = pid_in(site.folder / "child")
    _, supervisor = watchers(run)
    subprocess.run(["kill", "-9", supervisor], check=False)
    result = site.finish(run)
    assert result.outcome == "lease-expired"
    assert "supervisor noted no end" in result.detail
    assert gone(child)


def test_a_killed_batch_step_is_not_over_while_its_work_goes_on(site: Site) -> None:
    """Slurm calls the job failed at once; where it tracks processes by their parents it leaves the
    supervisor, and what that runs, alone. (Found by the chaos run: the job ran twice at once.)"""
    run = site.start(f"sleep 1000 & echo $! > {site.folder}/child; wait")
    child = pid_in(site.folder / "child")
    batch, _ = watchers(run)
    subprocess.run(["kill", "-9", batch], check=False)
    result = site.finish(run)
    assert gone(child), "it was called over while its work went on"
    assert result.outcome == "lease-expired"


def test_a_lost_node_gives_the_run_back(site: Site, alpha: Cluster) -> None:
    """slurmd and what it watches over die, as when the machine does."""
    run = site.start(f"echo $$ > {site.folder}/rank$SKYPILOT_NODE_RANK; sleep 1000", nodes=2)
    pids = [pid_in(site.folder / f"rank{rank}") for rank in (0, 1)]
    job = job_of(site, run)
    site.engine.extend(run, short_lease(20_000, 22_000))
    alpha.end("alpha-n2", signal.SIGKILL)
    try:
        tree = subprocess.run(
            ["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout
        stepd = [
            int(line.split()[0]) for line in tree.splitlines() if f"slurmstepd: [{job}.0]" in line
        ]
        assert stepd
        supervisor = int(Path(f"/proc/{pids[1]}/stat").read_text().rpartition(")")[2].split()[1])
        guard = int(Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1])
        stepd_of_rank = int(Path(f"/proc/{guard}/stat").read_text().rpartition(")")[2].split()[1])
        assert stepd_of_rank in stepd
        for pid in (stepd_of_rank, guard, supervisor, pids[1]):
            subprocess.run(["kill", "-9", str(pid)], check=False)
        result = site.finish(run)
        assert result.outcome == "lease-expired", result
        for pid in pids:
            until(lambda pid=pid: gone(pid), "nothing of it lives")  # type: ignore[misc]
    finally:
        alpha.start_node(2)
        until(
            lambda: "State=IDLE " in alpha.run("scontrol", "-o", "show", "node", "alpha-n2"),
            "the node is back",
        )


def test_a_queued_job_whose_lease_ended_runs_nothing_when_its_turn_comes(
    site: Site, alpha: Cluster
) -> None:
    first = fill(site)
    grant = site.grant(f"touch {site.folder}/ran", **ALL_CPUS)
    site.engine.start(grant, LONG)
    until(lambda: "PENDING" in site.look(grant.run_id).engine_state, "it waits")
    lease = short_lease(0, 100)
    site.engine.extend(grant.run_id, lease)
    (site.folder / "go").touch()
    assert site.finish(first).outcome == "succeeded"
    assert site.finish(grant.run_id).outcome == "lease-expired"
    assert not (site.folder / "ran").exists()


def test_a_run_that_slurm_has_forgotten_is_stopped_before_its_end_is_told(
    delta: Cluster, tmp_path: Path
) -> None:
    """slurmctld is killed before it saved its state: it comes back and knows nothing of the job,
    which works on at its node."""
    other = Site(At(delta), tmp_path)
    pid_file = other.folder / "pid"
    delta.end("slurmctld")
    kept = {
        path: path.read_bytes() for path in (delta.folder / "state").glob("*") if path.is_file()
    }
    delta.start_controller()
    run = other.start(f"echo $$ > {pid_file}; sleep 1000")
    pid = pid_in(pid_file)
    job_of(other, run)
    delta.end("slurmctld", signal.SIGKILL)
    for path in (delta.folder / "state").glob("*"):
        if path.is_file() and path not in kept:
            path.unlink()
    for path, data in kept.items():
        path.write_bytes(data)
    delta.start_controller()
    result = other.finish(run)
    assert result.outcome == "lease-expired"
    assert gone(pid), "its end was told while it ran"
    other.close()
