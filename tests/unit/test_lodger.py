"""The lodger and the door, as two real processes on this machine: no engine between them."""

from __future__ import annotations

import ast
import asyncio
import base64
import json
import marshal
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from westward.agent.engines.base import LeaseTimes
from westward.agent.engines.door import Door
from westward.agent.engines.kit import (
    BOOTSTRAP,
    MARSHAL_VERSION,
    MODULES,
    MOST_BYTES,
    START,
    kit_beside,
    packed_kit,
    packed_order,
)
from westward.agent.engines.processes import boot_ms
from westward.agent.engines.ray_log import LogCutter
from westward.agent.engines.watched import WatchedRuns
from westward.model.job import Work
from westward.model.wire import Grant

LONG = LeaseTimes(term_at=2**60, kill_at=2**60)
KEY = "k" * 32
PATIENCE_S = 60


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, f"gave up waiting until {what}"
        time.sleep(0.02)


class Agent:
    """The agent's files and its door, on a loop of its own."""

    def __init__(self, folder: Path):
        self.runs = WatchedRuns(folder)
        self.door = Door(self.runs)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.port = self.call(self.door.open("127.0.0.1", 0))

    def call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def tell(self, run_id: str) -> None:
        self.loop.call_soon_threadsafe(self.door.tell, run_id)

    def shut(self) -> None:
        self.call(self.door.close())

    def take(self, lease: LeaseTimes = LONG, run_id: str = "run_1", ttl_ms: int = 15_000) -> None:
        grant = Grant(
            run_id=run_id, job_id="job_1", attempt=1, token=7, ttl_ms=ttl_ms, pool="p", nodes=1,
            devices_per_node_milli=500, accelerator=None, cpus_per_node_milli=1000,
            memory_per_node_mib=0, time_limit_ms=None, work=Work(),
        )  # fmt: skip
        order = {"key": KEY, "ttl_ms": ttl_ms, "devices_per_node_milli": 500}
        self.runs.take(grant, lease, order)

    def lodge(
        self,
        script: str,
        *,
        run_id: str = "run_1",
        ttl_ms: int = 15_000,
        kit: str | None = None,
        **changes: Any,
    ) -> subprocess.Popen[bytes]:
        supervised = {
            "run_id": run_id, "token": 7, "job_id": "job_1", "nodes": 1,
            "devices_per_node_milli": 500, "memory_per_node_mib": 0, "time_limit_ms": None,
            "setup": False, "run_text": script, "setup_text": "", "workdir": None,
            "file_mounts": [], "env": {"PATH": os.environ["PATH"]}, "grace_ms": 300,
            "stop_signal": int(signal.SIGTERM), "reading_every_ms": 200,
        }  # fmt: skip
        order = {
            "key": KEY, "door": f"http://127.0.0.1:{self.port}", "ttl_ms": ttl_ms, "hold_ms": 500,
            "supervised": supervised,
        } | changes  # fmt: skip
        env = {
            **os.environ,
            "WESTWARD_KIT": kit or packed_kit(),
            "WESTWARD_ORDER": packed_order(order),
        }
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BOOTSTRAP], env=env, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path / "state")
    yield agent
    agent.shut()


def read(lodger: subprocess.Popen[bytes]) -> tuple[bytes, dict[str, Any], int]:
    """(output of the job, the lodger's last word, its exit code)."""
    out, errors = lodger.communicate(timeout=PATIENCE_S)
    cutter = LogCutter(KEY)
    text = cutter.feed(out)
    assert cutter.end is not None, (out, errors)
    return text, cutter.end, lodger.returncode


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def pid_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().endswith("\n"), f"{path} is written")
    return int(path.read_text())


def test_a_run_is_let_in_metered_and_heard_to_the_end(agent: Agent) -> None:
    agent.take()
    text, end, code = read(agent.lodge("echo out; echo err >&2; sleep 0.5; exit 3"))
    assert sorted(text.split()) == [b"err", b"out"]
    assert (end["outcome"], end["exit_code"], code) == ("failed", 3, 3)
    assert agent.door.ends["run_1"].exit_code == 3
    readings = agent.runs.readings("run_1", -1)
    assert [reading.sequence for reading in readings] == list(range(len(readings)))
    wall_ms = sum(reading.wall_ms for reading in readings)
    assert wall_ms >= 500
    assert sum(reading.device_milli_ms for reading in readings) == 500 * wall_ms
    assert agent.runs.look("run_1").started
    assert end["readings"] == [], "all was heard at the door"


def test_a_second_lodger_of_a_run_is_sent_away_and_runs_nothing(
    agent: Agent, tmp_path: Path
) -> None:
    agent.take()
    first = agent.lodge(
        f"echo once >> {tmp_path}/count; until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    )
    until((tmp_path / "count").exists, "the first runs")
    _, end, _ = read(agent.lodge(f"echo twice >> {tmp_path}/count"))
    assert end["outcome"] == "lease-expired"
    assert "another process has begun this run" in end["detail"]
    (tmp_path / "go").touch()
    assert read(first)[1]["outcome"] == "succeeded"
    assert (tmp_path / "count").read_text() == "once\n"


def test_a_lodger_that_finds_no_door_runs_nothing(agent: Agent, tmp_path: Path) -> None:
    agent.take(ttl_ms=1_000)
    agent.shut()
    _, end, _ = read(agent.lodge(f"touch {tmp_path}/ran", ttl_ms=1_000))
    assert end["outcome"] == "lease-expired"
    assert "cannot be reached" in end["detail"]
    assert not (tmp_path / "ran").exists()


def test_a_run_that_is_not_held_or_over_is_not_let_in(agent: Agent, tmp_path: Path) -> None:
    _, end, _ = read(agent.lodge(f"touch {tmp_path}/ran"))
    assert "not held here" in end["detail"]
    agent.take()
    agent.runs.clean("run_1", "given up")
    _, end, _ = read(agent.lodge(f"touch {tmp_path}/ran"))
    assert "the run is over" in end["detail"]
    assert not (tmp_path / "ran").exists()


def test_the_work_stops_before_its_lease_ends_when_the_agent_is_gone(
    agent: Agent, tmp_path: Path
) -> None:
    agent.take(ttl_ms=3_000)
    lodger = agent.lodge(
        f"trap '' TERM; echo $$ > {tmp_path}/pid; sleep 1000 & wait; sleep 1000", ttl_ms=3_000
    )
    pid = pid_in(tmp_path / "pid")
    agent.shut()
    promised = agent.door.promised["run_1"]
    assert promised <= boot_ms() + 3_000, "never more than one lease ahead"
    until(lambda: gone(pid), "the work has stopped")
    _, end, _ = read(lodger)
    assert end["outcome"] == "lease-expired"
    assert end["readings"], "what nobody heard stands in the last word"
    until(lambda: agent.door.silent("run_1"), "the promise is over")


def test_the_work_stops_when_its_lodger_was_killed(agent: Agent, tmp_path: Path) -> None:
    agent.take(ttl_ms=3_000)
    lodger = agent.lodge(f"sleep 1000 & echo $! > {tmp_path}/pid; wait", ttl_ms=3_000)
    pid = pid_in(tmp_path / "pid")
    lodger.kill()
    lodger.communicate()
    until(lambda: gone(pid), "the work has stopped")
    assert boot_ms() <= agent.door.promised["run_1"]


def test_a_stop_is_heard_at_once_and_the_job_may_save(agent: Agent, tmp_path: Path) -> None:
    agent.take()
    script = (
        f"trap 'echo saved; exit 0' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"
    )
    lodger = agent.lodge(script, hold_ms=30_000)
    pid_in(tmp_path / "pid")
    agent.runs.stop("run_1", "cancelled")
    agent.tell("run_1")
    text, end, _ = read(lodger)
    assert end["outcome"] == "cancelled"
    assert text.endswith(b"saved\n")


def test_renewals_carry_a_run_over_its_first_lease(agent: Agent, tmp_path: Path) -> None:
    now = boot_ms()
    first = LeaseTimes(term_at=now + 3_000, kill_at=now + 3_500)
    agent.take(first)
    lodger = agent.lodge(
        f"echo $$ > {tmp_path}/pid; until [ -e {tmp_path}/go ]; do sleep 0.05; done"
    )
    pid_in(tmp_path / "pid")
    agent.runs.extend("run_1", LONG)
    agent.tell("run_1")
    until(lambda: boot_ms() > first.kill_at + 300, "the first lease is over")
    (tmp_path / "go").touch()
    assert read(lodger)[1]["outcome"] == "succeeded"


def test_wrong_keys_and_nonsense_are_refused(agent: Agent) -> None:
    agent.take()

    def ask(run_id: str, body: bytes) -> int:
        url = f"http://127.0.0.1:{agent.port}/v1/runs/{run_id}"
        try:
            urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=10)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    wrong = json.dumps({"key": "wrong", "instance": "i"}).encode()
    assert ask("run_1", wrong) == 403
    assert ask("run_2", wrong) == 410
    assert ask("run_1", b"[1, 2]") == 400
    assert ask("run_1", b"\xff") == 400
    assert agent.runs.marked("run_1", "instance") is None


def test_bytes_that_are_no_text_are_shown(agent: Agent) -> None:
    agent.take()
    text, _, _ = read(agent.lodge(r"printf 'a\xff\xe6\x95\xb0\xe6'"))
    assert text.decode() == "a\\xff数\\xe6"


LOADED = """
import sys
from westward.agent.engines.{module} import main
import westward.agent.engines.staging as staging
print(sorted(name for name in sys.modules if name.startswith("westward")))
print(folder, staging.stage.__name__, main.__code__.co_filename)
sys.exit()
"""


def other_python(kit: str, start: str) -> str:
    """The kit as a Python with another bytecode sees it, or one changed otherwise."""
    held = marshal.loads(zlib.decompress(base64.b64decode(kit)))
    held["start"] = start
    return base64.b64encode(zlib.compress(marshal.dumps(held, MARSHAL_VERSION))).decode()


@pytest.mark.parametrize("way", ["compiled", "texts alone", "another Python"])
def test_the_kit_needs_nothing_but_itself(tmp_path: Path, way: str) -> None:
    """As at a node: no site packages, none of our other modules. Compiled, nothing is written."""
    start = START.partition("from westward")[0] + LOADED.format(module="lodger")
    if way == "another Python":
        start = start.replace("from _frozen", 'k["magic"] = b"other"\nfrom _frozen')
    kit = other_python(packed_kit(compiled=way != "texts alone"), start)
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", BOOTSTRAP], check=True, capture_output=True, text=True,
        env={"TMPDIR": str(tmp_path), "WESTWARD_KIT": kit},
    )  # fmt: skip
    names, told = ran.stdout.splitlines()
    package = ["westward", "westward.agent", "westward.agent.engines"]
    assert ast.literal_eval(names) == sorted(
        [*package, *(f"{package[-1]}.{one}" for one in MODULES)]
    )
    folder, stage, place = told.split()
    assert Path(folder).parent == tmp_path
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    assert stage == "stage"
    written = sorted(one.name for one in Path(folder).rglob("*.py"))
    if way == "compiled":
        assert (written, place) == ([], "lodger.py")
    else:
        assert written == sorted(f"{one}.py" for one in MODULES)
        assert place.startswith(folder)


def test_a_run_where_another_python_compiles_the_texts(agent: Agent) -> None:
    agent.take()
    kit = other_python(
        packed_kit(), START.replace("from _frozen", 'k["magic"] = b"other"\nfrom _frozen')
    )
    text, end, code = read(agent.lodge("echo out; exit 3", kit=kit))
    assert (text, end["outcome"], code) == (b"out\n", "failed", 3)


def test_kit_and_order_fit_into_one_variable() -> None:
    """Ray puts all variables of a job into one, and Linux takes 128 KiB of each."""
    room = MOST_BYTES - len(packed_kit())
    assert room > 40_000
    assert kit_beside("x" * room) == packed_kit()
    assert kit_beside("x" * (room + 1)) == packed_kit(compiled=False)
    assert MOST_BYTES - len(packed_kit(compiled=False)) > 85_000, "left for the job's own texts"


def test_an_order_too_long_for_a_variable_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 8[0-9]{4} go"):
        packed_order({"run_text": os.urandom(200_000).hex()})
