"""A Ray cluster of one head on loopback, with pretended GPUs, from its own virtual environment."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.engines_up.ports import free_block
from westward.agent.engines import processes

ROOT = Path(__file__).resolve().parents[2]
HEAD = "127.0.0.2"
"""Ray replaces 127.0.0.1 by the machine's outside address."""
UP_S = 150
TRIES = 5
DOWN_S = 15


def ray_programs() -> Path:
    """The bin folder of the environment with Ray. RuntimeError says how to make it."""
    found = Path(os.environ.get("WESTWARD_RAY_VENV", ROOT / ".venv-ray")) / "bin"
    if not (found / "ray").exists():
        raise RuntimeError(f"no Ray in {found}: `make test-ray` installs it")
    return found


class RayCluster:
    """One head. ``start`` may be called again after ``kill``: the same ports, an empty memory."""

    def __init__(self, *, cpus: int = 16, gpus: int = 8, custom: str = '{"site_lab": 2}'):
        # Ray's sockets lie below this folder, and their paths may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="wray-", dir="/tmp"))
        self.token_file = self.folder / "token"
        self.token_file.write_text(secrets.token_hex(32))
        self.token_file.chmod(0o600)
        self.base = free_block(300)
        self.address = f"http://127.0.0.1:{self.base + 2}"
        self.sizes = (cpus, gpus, custom)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until the Jobs API answers and a node has joined. Parts of Ray give each other half a
        minute to come up, and all of it ends when a busy machine takes longer: tried again."""
        for left in range(TRIES - 1, -1, -1):
            if self._try():
                return
            tail = (self.folder / "ray.log").read_text(errors="replace")[-2000:]
            assert left, f"Ray did not come up in {TRIES} times {UP_S} s:\n{tail}"
            self._end_all()

    def _try(self) -> bool:
        programs = ray_programs()
        cpus, gpus, custom = self.sizes
        ports = {
            "port": 0, "ray-client-server-port": 1, "dashboard-port": 2,
            "dashboard-agent-listen-port": 3, "dashboard-agent-grpc-port": 4,
            "runtime-env-agent-port": 5, "metrics-export-port": 6, "node-manager-port": 7,
            "object-manager-port": 8, "min-worker-port": 20, "max-worker-port": 299,
        }  # fmt: skip
        command = [
            str(programs / "ray"), "start", "--head", "--block", "--disable-usage-stats",
            f"--node-ip-address={HEAD}", "--dashboard-host=127.0.0.1", "--include-dashboard=true",
            f"--num-cpus={cpus}", f"--num-gpus={gpus}", f"--resources={custom}",
            "--memory=4000000000", "--object-store-memory=100000000",
            f"--temp-dir={self.folder / 'ray'}",
            *(f"--{name}={self.base + offset}" for name, offset in ports.items()),
        ]  # fmt: skip
        with open(self.folder / "ray.log", "ab") as log:
            self.process = subprocess.Popen(
                command, env=self.env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        end = time.monotonic() + UP_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.3)
        return True

    def env(self) -> dict[str, str]:
        """For Ray's own commands too. The token is this cluster's; the user's own is not touched."""
        programs = ray_programs()
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "RAY_raylet_start_wait_time_s": str(UP_S),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            "RAY_API_SERVER_ADDRESS": self.address,
        }

    @property
    def python(self) -> Path:
        """An interpreter that has Ray."""
        return ray_programs() / "python"

    def answers(self) -> bool:
        request = urllib.request.Request(
            f"{self.address}/api/v0/nodes",
            headers={"Authorization": f"Bearer {self.token_file.read_text()}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return b"ALIVE" in response.read()
        except OSError:
            return False

    def own(self) -> list[processes.ProcessSeen]:
        """Every process of this cluster: all know its token's path."""
        return processes.marked_processes(f"RAY_AUTH_TOKEN_PATH={self.token_file}")

    def dashboard(self) -> int:
        """The process behind the Jobs API."""
        for seen in self.own():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{seen.pid}/cmdline").read_bytes()
                if b"dashboard/dashboard.py" in words:
                    return seen.pid
        raise AssertionError("the dashboard runs nowhere")

    def freeze(self) -> None:
        os.kill(self.dashboard(), signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.dashboard(), signal.SIGCONT)

    def kill(self) -> None:
        """The head is lost from one moment to the next, with all that Ray runs there; processes
        of jobs that left Ray's own sessions live on."""
        for seen in self.own():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{seen.pid}/cmdline").read_bytes()
                if b"/ray/" in words or b"ray::" in words or b"bin/ray" in words:
                    os.kill(seen.pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        self._end_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_all(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(DOWN_S)
        while left := self.own():
            processes.signal_each(left, signal.SIGKILL)
            time.sleep(0.1)
        if self.process is not None:
            self.process.wait()
