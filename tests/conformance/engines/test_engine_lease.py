"""Leases, dead agents, lost controllers: nothing runs past its lease, nothing runs twice."""

from __future__ import annotations

import signal

from tests.conformance.engines.engine_harness import Site, short_lease
from tests.engines_up.helping import LONG, gone, pid_in, until
from westward.agent.engines import processes
from westward.agent.engines.base import RunStatus

KILLED = -signal.SIGKILL


def test_a_run_stops_by_itself_when_its_lease_is_not_renewed(site: Site) -> None:
    run = site.start(f"echo $$ > {site.folder}/pid; sleep 1000")
    pid = pid_in(site.folder / "pid")
    lease = short_lease(600, 900)
    site.engine.extend(run, lease)
    until(lambda: gone(pid), "the work has stopped")
    assert processes.boot_ms() >= lease.term_at - site.harness.early_ms
    assert site.finish(run).outcome == "lease-expired"


def test_renewal_keeps_a_run_alive_past_its_first_lease(site: Site) -> None:
    run = site.start(
        f"echo $$ > {site.folder}/pid; until [ -e {site.folder}/go ]; do sleep 0.02; done"
    )
    pid_in(site.folder / "pid")
    first = short_lease(2_000, 2_500)
    site.engine.extend(run, first)
    site.engine.extend(run, LONG)
    until(lambda: processes.boot_ms() > first.kill_at + 500, "the first lease is over")
    (site.folder / "go").touch()
    assert site.finish(run).outcome == "succeeded"


def test_a_lease_that_is_over_before_the_start_lets_nothing_run(site: Site) -> None:
    run = site.start(f"touch {site.folder}/ran", lease=short_lease(-1_000, -500))
    assert site.finish(run).outcome == "lease-expired"
    assert not (site.folder / "ran").exists()
    assert not site.look(run).started


def test_extending_an_unknown_run_changes_nothing(site: Site) -> None:
    site.engine.extend("run_nobody", LONG)
    assert site.engine.recover() == ()


def test_the_lease_also_ends_a_run_whose_agent_was_killed(site: Site) -> None:
    site.needs("lease-without-agent")
    script = f"sleep 1000 & echo $! > {site.folder}/child; wait"
    run, code = site.start_and_die(script, lease_left_ms=2_000)
    assert code == KILLED
    child = pid_in(site.folder / "child")
    until(lambda: gone(child), "the orphaned run has stopped itself")
    site.reopen()
    assert site.finish(run).outcome == "lease-expired"


def test_the_lease_ends_every_rank_of_a_gang_whose_agent_was_killed(site: Site) -> None:
    site.needs("lease-without-agent")
    site.needs("gang")
    script = (
        f"trap '' TERM; echo $$ > {site.folder}/rank$SKYPILOT_NODE_RANK; while :; do sleep 1; done"
    )
    files = tuple(site.folder / f"rank{rank}" for rank in (0, 1))
    run, code = site.start_and_die(script, files=files, lease_left_ms=2_000, nodes=2)
    assert code == KILLED
    pids = [pid_in(path) for path in files]
    for pid in pids:
        until(lambda pid=pid: gone(pid), "the orphaned rank has stopped itself")  # type: ignore[misc]
    site.reopen()
    assert site.finish(run).outcome == "lease-expired"


def test_a_new_agent_takes_over_what_an_earlier_one_started(site: Site) -> None:
    site.needs("restart")
    script = f"echo begun; until [ -e {site.folder}/go ]; do sleep 0.02; done; exit 6"
    run, code = site.start_and_die(script)
    assert code == KILLED
    site.reopen()
    assert [(held.run_id, held.token) for held in site.engine.recover()] == [(run, 7)]
    site.until_running(run)
    assert site.look(run).started
    (site.folder / "go").touch()
    result = site.finish(run)
    assert (result.outcome, result.exit_code) == ("failed", 6)
    assert site.output(run) == "begun\n"
    site.engine.forget(run)
    assert site.engine.recover() == ()


def test_an_agent_killed_at_any_moment_of_a_start_starts_nothing_twice(site: Site) -> None:
    """The jobs themselves note their tokens in a file outside."""
    site.needs("restart")
    witness = site.folder / "witness"
    witness.touch()
    script = f"echo $WESTWARD_RUN_ID $WESTWARD_TOKEN >> {witness}"
    runs = {}
    for token, after_ms in enumerate((0, 3, 10, 20, 40, 80, 160)):
        run, code = site.start_and_die(script, running=False, after_ms=after_ms, token=token)
        assert code == KILLED
        runs[run] = token
    site.reopen()
    held = {held.run_id: held.token for held in site.engine.recover()}
    assert held.items() <= runs.items()
    outcomes = {run: site.finish(run).outcome for run in held}
    lines = sorted(witness.read_text().splitlines())
    assert set(outcomes.values()) <= {"succeeded", "lease-expired"}
    assert len(lines) == len(set(lines)), "a run was run twice"
    succeeded = {f"{run} {runs[run]}" for run in held if outcomes[run] == "succeeded"}
    assert succeeded <= set(lines)
    site.reopen()
    again = {run: site.finish(run).outcome for run in held}
    assert again == outcomes, "a new agent sees what the one before has seen"
    assert sorted(witness.read_text().splitlines()) == lines


def test_a_site_that_cannot_note_a_run_says_so_and_keeps_nothing(site: Site) -> None:
    site.needs("disk-full")
    other = site.start(f"until [ -e {site.folder}/go ]; do sleep 0.02; done")
    _, code = site.start_and_die("echo never", full=True)
    assert code == 7, "start() raises OSError where nothing can be written"
    assert [held.run_id for held in site.engine.recover()] == [other]
    (site.folder / "go").touch()
    assert site.finish(other).outcome == "succeeded"


def test_a_controller_that_does_not_answer_makes_the_status_unknown(site: Site) -> None:
    site.needs("unknown-status")
    run = site.start(f"echo up; until [ -e {site.folder}/go ]; do sleep 0.02; done")
    site.until_running(run)
    until(lambda: site.output(run) == "up\n", "it has said something")
    with site.without_controller():
        until(lambda: site.look(run).status is RunStatus.UNKNOWN, "nobody can say")
        view = site.look(run)
        assert view.result is None
        assert view.started
        site.engine.extend(run, LONG)
    site.until_running(run)
    (site.folder / "go").touch()
    assert site.finish(run).outcome == "succeeded"


def test_a_stop_that_nobody_hears_is_kept_until_it_is_heard(site: Site) -> None:
    site.needs("unknown-status")
    run = site.start(f"sleep 1000 & echo $! > {site.folder}/child; wait")
    child = pid_in(site.folder / "child")
    with site.without_controller():
        site.engine.stop(run, "cancelled")
    assert site.finish(run).outcome == "cancelled"
    assert gone(child)
