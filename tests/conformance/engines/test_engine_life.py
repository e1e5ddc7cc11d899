"""The life of a run, the same with every engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.engines.engine_harness import Site
from tests.engines_up.helping import LONG, gone, pid_in, until
from westward.agent.checkpoints import KeepsCheckpoints
from westward.agent.engines.base import AlreadyStarted
from westward.agent.engines.cannot import CANNOT
from westward.model.job import FileMount
from westward.model.wire import Grant


def test_a_run_succeeds_with_its_output_and_readings(site: Site) -> None:
    run = site.start("echo to-out; echo to-err >&2; sleep 0.5")
    result = site.finish(run)
    assert (result.outcome, result.exit_code, result.detail) == ("succeeded", 0, "")
    assert site.look(run).started
    assert sorted(site.output(run).split()) == ["to-err", "to-out"]
    readings = site.engine.readings(run, -1)
    assert [reading.sequence for reading in readings] == list(range(len(readings)))
    assert sum(reading.wall_ms for reading in readings) >= 500
    assert sum(reading.device_milli_ms for reading in readings) == 1000 * sum(
        reading.wall_ms for reading in readings
    )
    assert site.engine.ranks(run) == 1


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("nonsuch_", 127)])
def test_exit_codes_are_the_processs_own(site: Site, script: str, code: int) -> None:
    result = site.finish(site.start(script))
    assert (result.outcome, result.exit_code) == ("failed", code)


@pytest.mark.parametrize(("script", "code"), [("kill -9 $$", -9), ("kill -SEGV $$", -11)])
def test_a_killed_process_is_told_by_its_signal(site: Site, script: str, code: int) -> None:
    site.needs("signal-exit-code")
    result = site.finish(site.start(script))
    assert (result.outcome, result.exit_code) == ("failed", code)


def test_every_rank_runs_with_its_surroundings(site: Site) -> None:
    site.needs("gang")
    script = (
        "echo $SKYPILOT_NODE_RANK $SKYPILOT_NUM_NODES $SKYPILOT_TASK_ID $WESTWARD_JOB_ID "
        "$WESTWARD_RUN_ID $WESTWARD_ATTEMPT $WESTWARD_TOKEN $WESTWARD_SITE $WESTWARD_POOL $MINE; "
        'echo "$SKYPILOT_NODE_IPS" | wc -l; test -d "$WESTWARD_OUTPUT" && echo output'
    )
    grant = site.grant(script, nodes=2, envs=(("MINE", "x  y"),), attempt=3)
    site.engine.start(grant, LONG)
    assert site.finish(grant.run_id).outcome == "succeeded"
    assert site.engine.ranks(grant.run_id) == 2
    for rank in (0, 1):
        told = f"{rank} 2 {grant.run_id} job_1 {grant.run_id} 3 7 site-a {grant.pool} x y"
        assert site.output(grant.run_id, rank) == f"{told}\n2\noutput\n"


def test_what_a_job_saves_is_in_a_folder_that_the_agent_keeps(site: Site) -> None:
    site.needs("checkpoints")
    assert isinstance(site.engine, KeepsCheckpoints)
    folder = site.engine.checkpoint_root() / "job_1" / "files"
    folder.mkdir(parents=True)
    (folder / "first").write_text("earlier\n")
    run = site.start(f"cat {folder}/first > {folder}/second")
    assert site.finish(run).outcome == "succeeded"
    site.engine.forget(run)
    assert (folder / "second").read_text() == "earlier\n"


def test_engines_that_keep_no_checkpoints_do_not_say_so(site: Site) -> None:
    kept = "checkpoints" not in CANNOT[site.harness.name]
    assert isinstance(site.engine, KeepsCheckpoints) == kept


def test_a_job_cannot_hide_who_it_is_or_see_the_agents_secrets(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_SECRET", "s3cret")
    script = "echo $WESTWARD_RUN_ID ${AGENT_SECRET-hidden}"
    run = site.start(script, envs=(("WESTWARD_RUN_ID", "run_other"),))
    assert site.finish(run).outcome == "succeeded"
    assert site.output(run) == f"{run} hidden\n"


def test_texts_of_every_kind_reach_the_job(site: Site) -> None:
    awkward = "a 'b' \"c\" $HOME `d` \\e ;&|<> 数据"
    run = site.start('printf "%s" "$AWKWARD"', envs=(("AWKWARD", awkward),))
    assert site.finish(run).outcome == "succeeded"
    assert site.output(run) == awkward


def test_setup_comes_first_and_once(site: Site) -> None:
    site.needs("setup")
    run = site.start("cat from-setup", setup="echo ready >> from-setup", nodes=1)
    assert site.finish(run).outcome == "succeeded"
    assert site.output(run) == "ready\n"


def test_a_failed_setup_fails_the_run_before_it_runs(site: Site) -> None:
    site.needs("setup")
    run = site.start("echo never", setup="echo trying; exit 4")
    result = site.finish(run)
    assert (result.outcome, result.exit_code) == ("failed", 4)
    assert "setup" in result.detail
    assert site.output(run) == "trying\n"


def test_files_are_copied_and_mounted(site: Site) -> None:
    site.needs("file-mounts")
    source = site.folder / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a.txt").write_text("copied\n")
    mounts = (
        FileMount(target="in/b.txt", source=str(source / "sub" / "a.txt")),
        FileMount(target="~/shared", source=str(source), mode="MOUNT"),
    )
    script = (
        "cat sub/a.txt in/b.txt ~/shared/sub/a.txt; echo changed > sub/a.txt; echo new > ~/shared/n"
    )
    run = site.start(script, workdir=str(source), file_mounts=mounts)
    assert site.finish(run).outcome == "succeeded"
    assert site.output(run) == "copied\n" * 3
    assert (source / "sub" / "a.txt").read_text() == "copied\n"
    assert (source / "n").read_text() == "new\n"


def test_a_missing_file_fails_the_run_and_says_so(site: Site) -> None:
    site.needs("file-mounts")
    run = site.start("echo ran", workdir="/nonexistent/folder")
    result = site.finish(run)
    assert result.outcome == "failed"
    assert "no such folder" in result.detail
    assert site.output(run) == ""


def test_one_failed_rank_stops_the_gang(site: Site) -> None:
    site.needs("gang")
    script = (
        'if [ "$SKYPILOT_NODE_RANK" = 1 ]; then exit 5; fi; '
        f"echo $$ > {site.folder}/rank$SKYPILOT_NODE_RANK; sleep 1000"
    )
    run = site.start(script, nodes=2)
    result = site.finish(run)
    assert (result.outcome, result.exit_code) == ("failed", 5)
    assert "rank 1" in result.detail
    if (site.folder / "rank0").exists():
        assert gone(pid_in(site.folder / "rank0"))


def test_logs_of_several_ranks_are_read_from_any_byte(site: Site) -> None:
    site.needs("gang")
    script = 'for i in 1 2 3 4 5; do echo "rank $SKYPILOT_NODE_RANK line $i"; sleep 0.1; done'
    run = site.start(script, nodes=2)
    read = {0: b"", 1: b""}
    while True:
        over = site.look(run).result is not None
        for rank in read:
            while part := site.engine.read_log(run, rank, len(read[rank]), 7):
                read[rank] += part
        if over:
            break
    for rank, data in read.items():
        assert data.decode() == "".join(f"rank {rank} line {i}\n" for i in range(1, 6))
    assert site.engine.read_log(run, 0, 10**6, 10) == b""


def test_stop_ends_a_run_that_ignores_polite_requests(site: Site) -> None:
    script = f"trap '' TERM; sleep 1000 & echo $! > {site.folder}/child; while :; do wait; done"
    run = site.start(script)
    child = pid_in(site.folder / "child")
    site.engine.stop(run, "cancelled")
    site.engine.stop(run, "cancelled")
    assert site.finish(run).outcome == "cancelled"
    assert gone(child)


def test_a_run_may_tidy_up_when_asked_to_stop(site: Site) -> None:
    site.needs("stop-signal")
    script = (
        f"trap 'echo tidied; kill $child 2>/dev/null; exit 0' TERM; sleep 1000 & child=$!; "
        f"echo $child > {site.folder}/child; wait"
    )
    run = site.start(script)
    pid_in(site.folder / "child")
    site.engine.stop(run, "cancelled")
    assert site.finish(run).outcome == "cancelled"
    assert site.output(run) == "tidied\n"


def test_the_jobs_own_stop_signal_gives_it_time_to_save(site: Site) -> None:
    site.needs("stop-signal")
    save = f"trap 'sleep 1; echo saved > {site.folder}/saved; exit 0' USR1; echo up\n"
    run = site.start(save + "while :; do sleep 0.05; done", stop_signal="USR1", grace_ms=30_000)
    until(lambda: "up" in site.output(run), "the trap is set")
    site.engine.stop(run, "cancelled")
    assert site.finish(run).outcome == "cancelled"
    assert (site.folder / "saved").read_text() == "saved\n"


def test_every_rank_of_a_gang_may_save(site: Site) -> None:
    site.needs("gang")
    site.needs("stop-signal")
    save = f"trap 'echo saved > {site.folder}/saved$SKYPILOT_NODE_RANK; exit 0' USR1; echo up\n"
    run = site.start(
        save + "while :; do sleep 0.05; done", nodes=2, stop_signal="USR1", grace_ms=30_000
    )
    until(lambda: all("up" in site.output(run, rank) for rank in (0, 1)), "the traps are set")
    site.engine.stop(run, "cancelled")
    assert site.finish(run).outcome == "cancelled"
    for rank in (0, 1):
        assert (site.folder / f"saved{rank}").read_text() == "saved\n"


def test_an_unknown_stop_signal_is_refused_by_name(site: Site) -> None:
    with pytest.raises(ValueError, match="no signal is called 'SAVE'"):
        site.start("true", stop_signal="SAVE")
    assert site.engine.recover() == ()


def test_the_time_limit_ends_a_run(site: Site) -> None:
    run = site.start("sleep 1000", time_limit_ms=1_000)
    assert site.finish(run).outcome == "time-limit"


def test_a_gang_ends_at_its_time_limit(site: Site) -> None:
    site.needs("gang")
    run = site.start(
        f"sleep 1000 & echo $! > {site.folder}/child; wait", nodes=2, time_limit_ms=1_500
    )
    assert site.finish(run).outcome == "time-limit"
    if (site.folder / "child").exists():
        assert gone(pid_in(site.folder / "child"))


def test_readings_are_told_from_any_number_on(site: Site) -> None:
    run = site.start(f"while [ ! -e {site.folder}/go ]; do sleep 0.02; done")
    until(lambda: len(site.engine.readings(run, -1)) >= 3, "three intervals were metered")
    early = site.engine.readings(run, 1)
    (site.folder / "go").touch()
    site.finish(run)
    everything = site.engine.readings(run, -1)
    assert [reading.sequence for reading in everything] == list(range(len(everything)))
    assert everything[2 : 2 + len(early)] == early
    for after in (-1, 0, 2, len(everything) - 1, 1):
        assert site.engine.readings(run, after) == everything[after + 1 :]


def test_a_gang_is_metered_once_for_all_its_nodes(site: Site) -> None:
    site.needs("gang")
    run = site.start("sleep 1", nodes=2, devices_per_node_milli=500)
    assert site.finish(run).outcome == "succeeded"
    readings = site.engine.readings(run, -1)
    wall_ms = sum(reading.wall_ms for reading in readings)
    assert wall_ms >= 1_000
    assert sum(reading.device_milli_ms for reading in readings) == wall_ms * 2 * 500


def test_a_rank_that_takes_more_memory_than_was_asked_for_is_ended(site: Site) -> None:
    site.needs("memory-limit")
    take = "b = bytes(1) * 1; x = bytearray(400 << 20); print(len(x), flush=True); import time; time.sleep(1000)"
    run = site.start(f"python3 -c '{take}'", memory_per_node_mib=200)
    assert site.finish(run).outcome == "failed"


def test_a_run_is_never_started_twice(site: Site) -> None:
    what: Grant = site.grant(f"echo once >> {site.folder}/count")
    site.engine.start(what, LONG)
    with pytest.raises(AlreadyStarted):
        site.engine.start(what, LONG)
    site.finish(what.run_id)
    site.engine.forget(what.run_id)
    with pytest.raises(AlreadyStarted):
        site.engine.start(what, LONG)
    assert site.engine.recover() == ()
    assert (site.folder / "count").read_text() == "once\n"


def test_many_runs_at_once_are_kept_apart(site: Site) -> None:
    count = 6
    runs = [site.start(f"echo {number}; exit {number}") for number in range(count)]
    for number, run in enumerate(runs):
        result = site.finish(run)
        assert result.outcome == ("failed" if number else "succeeded")
        assert result.exit_code == number
        assert site.output(run) == f"{number}\n"
    assert {held.run_id for held in site.engine.recover()} == set(runs)


def test_the_site_is_discovered(site: Site) -> None:
    pools = site.engine.discover()
    assert pools
    for pool in pools:
        assert pool.nodes >= 1
        assert pool.cpus_milli_per_node is None or pool.cpus_milli_per_node >= 1000
        assert pool.memory_mib_per_node is None or pool.memory_mib_per_node > 0


def test_unknown_options_are_refused_by_name(site: Site, tmp_path: Path) -> None:
    from westward.agent.engines.registry import open_engine

    options = site.harness.options(site.state) | {"speed": "3"}
    with pytest.raises(ValueError, match="unknown engine option speed"):
        open_engine(site.harness.name, tmp_path / "other", "site-a", options)
