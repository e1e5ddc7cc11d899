"""What the two benchmarks of the live service share: a server as a process of its own, what a
process used, and figures in words."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

PATIENCE_S = 180
LOOK_EVERY_S = 0.05
TICKS = os.sysconf("SC_CLK_TCK")
T = TypeVar("T")


def until(ask: Callable[[], T], what: str, every_s: float = LOOK_EVERY_S) -> T:
    """Ask until the answer is true. RuntimeError when patience is over."""
    end = time.monotonic() + PATIENCE_S
    while not (answer := ask()):
        if time.monotonic() > end:
            raise RuntimeError(f"gave up waiting until {what}")
        time.sleep(every_s)
    return answer


@dataclass
class Process:
    """A child of ours, its output in a file."""

    child: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, log: Path, *command: str, env: dict[str, str] | None = None) -> Process:
        with open(log, "ab") as out:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
                start_new_session=True,
            )  # fmt: skip
        return cls(child, log)

    def lives(self) -> bool:
        """True; RuntimeError with the end of its output if it ended."""
        if self.child.poll() is None:
            return True
        raise RuntimeError(f"{self.log.stem} ended:\n{self.log.read_text()[-2000:]}")

    def cpu_s(self) -> float:
        """Processor time of all its threads until now."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mb(self) -> tuple[float, float]:
        """Resident now, and at most so far."""
        text = Path(f"/proc/{self.child.pid}/status").read_text()
        kib = {
            line.split(":")[0]: int(line.split()[1])
            for line in text.splitlines()
            if line.startswith(("VmRSS", "VmHWM"))
        }
        return kib["VmRSS"] / 1024, kib["VmHWM"] / 1024

    def end(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


@dataclass
class Server(Process):
    """``python -m westward.server`` on loopback."""

    url: str = ""

    @classmethod
    def open(cls, folder: Path, network: Path, *options: str) -> Server:
        data = folder / "data"
        made = Process.start(
            folder / "server.log", sys.executable, "-m", "westward.server",
            "--network", str(network), "--data", str(data), "--log-level", "warning", *options,
        )  # fmt: skip
        announced = data / "server.json"
        until(lambda: made.lives() and announced.exists(), "the server listens")
        return cls(made.child, made.log, json.loads(announced.read_text())["url"])

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON, or its text. RuntimeError when it is a refusal."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.code} {error.read()[:500]!r}") from error
        return text.decode() if path == "/metrics" else json.loads(text)

    def counted(self, name: str) -> float:
        """Sum over all labels of one of its metrics."""
        lines = self.call("GET", "/metrics").splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((name + " ", name + "{"))
        )


def point(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of the values do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def fsync_ms(folder: Path, times: int = 100) -> float:
    """Median time to make 4 KiB durable where the database lies: what every durable answer waits
    for."""
    path, took = folder / "fsync.try", []
    file = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    for _ in range(times):
        began = time.perf_counter()
        os.write(file, b"x" * 4096)
        os.fdatasync(file)
        took.append((time.perf_counter() - began) * 1000)
    os.close(file)
    path.unlink()
    return point(took, 50)


def machine() -> str:
    model = next(
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def write_section(page: Path, name: str, text: str) -> None:
    """Replaces one marked section of a page, or adds it."""
    old = page.read_text(encoding="utf-8") if page.exists() else "# Measured at live sites\n"
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = old.partition(begin)
    after = rest.partition(end)[2] if found else ""
    glue = "" if found else "\n"
    page.write_text(f"{before}{glue}{begin}{text.rstrip()}\n{end}{after}", encoding="utf-8")
