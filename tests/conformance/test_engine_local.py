"""What only the local engine has: supervisors, guards, limits. The rest: ``engines/``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.engines.engine_harness import LocalHarness, Site
from tests.engines_up import helping
from tests.engines_up.helping import LONG, gone, pid_in, until
from westward.agent.engines import processes
from westward.agent.engines.base import LeaseTimes, RunResult, RunStatus
from westward.agent.engines.local import LocalEngine
from westward.agent.engines.registry import open_engine
from westward.model.job import FileMount
from westward.model.wire import Grant


def grant(script: str, **changes: Any) -> Grant:
    return helping.grant(script, **({"run_id": "run_1"} | changes))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine(tmp_path / "state", "site-a", grace_ms=300, reading_every_ms=200)
    yield engine
    for held in engine.recover():
        engine.stop(held.run_id, "cancelled")
        until(lambda held=held: not alive(engine, held.run_id), "the run is gone")


def alive(engine: LocalEngine, run_id: str) -> bool:
    return engine.look(run_id).status in (RunStatus.STARTING, RunStatus.RUNNING)


def finish(engine: LocalEngine, run_id: str = "run_1") -> RunResult:
    until(lambda: not alive(engine, run_id), "the run has ended")
    view = engine.look(run_id)
    assert view.result is not None, (engine.folder(run_id) / "supervisor.log").read_text()
    return view.result


def output(engine: LocalEngine) -> str:
    return helping.output(engine, "run_1")


def test_the_agents_own_python_is_at_hand(engine: LocalEngine) -> None:
    engine.start(grant('"$WESTWARD_PYTHON" -c "import yaml"'), LONG)
    assert finish(engine).outcome == "succeeded"


def test_children_that_escape_group_session_and_parent_are_killed(
    engine: LocalEngine, tmp_path: Path
) -> None:
    escape = (
        "import os, time, sys\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.environ.clear()\n"
        f"open('{tmp_path}/escaped', 'w').write(f'{{os.getpid()}}\\n')\n"
        "time.sleep(1000)\n"
    )
    (tmp_path / "escape.py").write_text(escape)
    script = f"{sys.executable} {tmp_path}/escape.py; while [ ! -s {tmp_path}/escaped ]; do :; done"
    engine.start(grant(script), LONG)
    assert finish(engine).outcome == "succeeded"
    assert gone(pid_in(tmp_path / "escaped"))


def test_a_second_supervisor_of_the_same_run_does_nothing(
    engine: LocalEngine, tmp_path: Path
) -> None:
    from westward.agent.engines.local import SOURCE_ROOT

    engine.start(grant(f"echo once >> {tmp_path}/count"), LONG)
    finish(engine)
    again = processes.supervisor_command(SOURCE_ROOT, str(engine.folder("run_1")))
    assert subprocess.run(again, check=False).returncode == 1
    assert (tmp_path / "count").read_text() == "once\n"


def test_a_vanished_supervisor_is_unknown_and_never_success(
    engine: LocalEngine, tmp_path: Path
) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/child; wait"
    engine.start(grant(script), LONG)
    child = pid_in(tmp_path / "child")
    supervisor = json.loads((engine.folder("run_1") / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: engine.look("run_1").status is RunStatus.VANISHED, "the supervisor is missed")
    engine.clean("run_1", "the supervisor vanished")
    assert gone(child)
    assert finish(engine).outcome == "lease-expired"


def test_a_process_cannot_take_more_memory_than_was_asked_for(engine: LocalEngine) -> None:
    script = f"{sys.executable} -c 'x = bytearray(400 << 20); print(\"got it\")'"
    engine.start(grant(script, memory_per_node_mib=200), LONG)
    result = finish(engine)
    assert result.outcome == "failed"
    assert "MemoryError" in output(engine)
    assert "got it" not in output(engine)


def test_processes_together_cannot_take_more_memory_than_was_asked_for(
    engine: LocalEngine,
) -> None:
    one = f"{sys.executable} -c 'x = b\"1\" * (60 << 20); import time; time.sleep(1000)' & "
    engine.start(grant(one * 4 + "wait", memory_per_node_mib=120), LONG)
    result = finish(engine)
    assert result.outcome == "failed"
    assert "MiB of memory" in result.detail


def test_metered_cpu_time_is_what_was_burnt(engine: LocalEngine) -> None:
    burn = "import time; t = time.process_time()\nwhile time.process_time() < t + 0.5: pass"
    engine.start(grant(f'{sys.executable} -c "{burn}" & wait'), LONG)
    assert finish(engine).outcome == "succeeded"
    cpu_ms = sum(reading.cpu_ms for reading in engine.readings("run_1", -1))
    assert 500 <= cpu_ms < 2500


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workdir": "/nonexistent/folder"}, "no such folder"),
        ({"workdir": "relative"}, "relative"),
        ({"file_mounts": (FileMount(target="x", source="s3://bucket/x"),)}, "cannot be fetched"),
        ({"file_mounts": (FileMount(target="/etc/x", source="/etc/hosts"),)}, "below the working"),
        ({"file_mounts": (FileMount(target="../x", source="/etc/hosts"),)}, "below the working"),
        ({"file_mounts": (FileMount(target="x", source="/nonexistent"),)}, "does not exist"),
    ],
)
def test_a_missing_file_fails_the_run_and_says_so(
    engine: LocalEngine, changes: dict[str, object], words: str
) -> None:
    engine.start(grant("echo ran", **changes), LONG)
    result = finish(engine)
    assert result.outcome == "failed"
    assert words in result.detail
    assert output(engine) == ""
    assert not engine.look("run_1").started


def test_a_run_whose_agent_died_before_the_supervisor_began_is_never_begun_later(
    engine: LocalEngine, tmp_path: Path
) -> None:
    """The crash between writing the order and launching, played by hand."""
    from westward.agent.engines.local import SOURCE_ROOT

    engine.start(grant("true"), LONG)
    finish(engine)
    half = engine.folder("run_2")
    half.mkdir()
    for name in ("work", "home", "output"):
        (half / name).mkdir()
    order = json.loads((engine.folder("run_1") / "order.json").read_text())
    (half / "run.sh").write_text(f"touch {tmp_path}/begun")
    (half / "order.json").write_text(json.dumps(order | {"run_id": "run_2", "token": 8}))
    engine.extend("run_2", LONG)

    assert [(held.run_id, held.token) for held in engine.recover()] == [("run_1", 7), ("run_2", 8)]
    assert engine.look("run_2").status is RunStatus.VANISHED
    engine.clean("run_2", "the agent died before it began")
    late = processes.supervisor_command(SOURCE_ROOT, str(half))
    assert subprocess.run(late, check=False).returncode == 1
    assert not (tmp_path / "begun").exists()
    assert finish(engine, "run_2").outcome == "lease-expired"


def test_an_order_that_was_never_whole_is_dropped(engine: LocalEngine) -> None:
    engine.folder("run_3").mkdir()
    assert engine.recover() == ()
    assert not engine.folder("run_3").exists()


def test_a_broken_deadline_counts_as_an_ended_lease(engine: LocalEngine, tmp_path: Path) -> None:
    engine.start(grant(f"touch {tmp_path}/up; sleep 1000"), LONG)
    until((tmp_path / "up").exists, "it runs")
    (engine.folder("run_1") / "deadline.json").write_text("{")
    assert finish(engine).outcome == "lease-expired"


def test_a_killed_supervisor_leaves_nothing_behind_though_no_agent_looks(tmp_path: Path) -> None:
    """Grandchildren too: the rank's bash dies with its supervisor, what it started would not."""
    site = Site(LocalHarness(tmp_path), tmp_path)
    script = f"setsid sleep 1000 & echo $! > {tmp_path}/child; sleep 1000; true"
    run, code = site.start_and_die(script)
    assert code == -signal.SIGKILL
    child = pid_in(tmp_path / "child")
    assert isinstance(site.engine, LocalEngine)
    folder = site.engine.folder(run)
    os.kill(json.loads((folder / "supervisor.json").read_text())["pid"], signal.SIGKILL)
    until(lambda: gone(child), "the grandchild is gone")
    until(lambda: site.engine.look(run).status is RunStatus.VANISHED, "the supervisor is missed")
    assert not (folder / "exit.json").exists(), "nobody has looked after it"
    site.close()


def test_a_stopped_supervisor_does_not_outlast_its_lease(
    engine: LocalEngine, tmp_path: Path
) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/child; wait"
    now = processes.boot_ms()
    engine.start(grant(script), LeaseTimes(term_at=now + 2_000, kill_at=now + 2_200))
    child = pid_in(tmp_path / "child")
    supervisor = json.loads((engine.folder("run_1") / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGSTOP)
    until(lambda: gone(child), "the job is gone")
    until(lambda: engine.look("run_1").status is RunStatus.VANISHED, "the supervisor is missed")
    engine.clean("run_1", "the supervisor was stopped")
    assert finish(engine).outcome == "lease-expired"


def test_a_run_goes_on_without_its_supervisors_guard(engine: LocalEngine, tmp_path: Path) -> None:
    engine.start(grant(f"until [ -e {tmp_path}/go ]; do sleep 0.01; done; echo on"), LONG)
    supervisor_file = engine.folder("run_1") / "supervisor.json"
    until(lambda: processes.read_json(str(supervisor_file)), "the supervisor is up")
    supervisor = json.loads(supervisor_file.read_text())["pid"]
    status = Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()
    os.kill(int(status[1]), signal.SIGKILL)
    (tmp_path / "go").touch()
    assert finish(engine).outcome == "succeeded"
    assert output(engine) == "on\n"


def test_a_log_without_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "rank0.log"
    block = bytes(range(1, 251)) * 1024  # no zero in it
    path.write_bytes(block * 20)
    before = path.stat()
    processes.hollow(str(path), len(block) * 4, len(block) * 2)
    after = path.stat()
    assert after.st_size == before.st_size
    assert after.st_blocks < before.st_blocks / 2, "this file system punches no holes?"
    data = path.read_bytes()
    assert data[: len(block) * 4] == block * 4
    assert data[-len(block) * 2 :] == block * 2
    assert 0 in data
    processes.hollow(str(tmp_path / "none.log"), 1, 1)


def test_a_line_that_does_not_fit_on_the_disk_is_not_half_written(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from westward.agent.engines.processes import append_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (25, 25))\n"
        "append_whole(sys.argv[2], 'x' * 19 + '\\n')\n"
        "try:\n    append_whole(sys.argv[2], 'y' * 19 + '\\n')\n"
        "except OSError:\n    sys.exit(7)\n"
    )
    root = str(Path(__file__).parents[2])
    path = tmp_path / "lines"
    ended = subprocess.run([sys.executable, "-c", code, root, str(path)], check=False)
    assert ended.returncode == 7
    assert path.read_text() == "x" * 19 + "\n"


def test_options_that_are_unknown_or_no_numbers_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown engine option speed"):
        open_engine("local", tmp_path, "site-a", {"speed": "3"})
    with pytest.raises(ValueError, match=r"grace_ms: 'soon' is not.*reading_ms: '-1' is not"):
        open_engine("local", tmp_path, "site-a", {"grace_ms": "soon", "reading_ms": "-1"})
    with pytest.raises(ValueError, match="no engine 'cloud': known are local, "):
        open_engine("cloud", tmp_path, "site-a", {})
