"""Which processes stand at a site now: read from its runs' folders and from the kernel."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from westward.agent.engines.processes import read_json


@dataclass(frozen=True)
class Supervised:
    """A run that is under way: its supervisor, and the guard that is the supervisor's parent."""

    run_id: str
    job_id: str
    supervisor: int
    guard: int

    def kill(self, what: str) -> bool:
        """``supervisor`` or ``guard``. False: it has ended meanwhile."""
        return _send(getattr(self, what), signal.SIGKILL)

    def kill_both(self) -> bool:
        """The guard first: it would otherwise see the other's end."""
        return _send(self.guard, signal.SIGKILL) and _send(self.supervisor, signal.SIGKILL)

    def send(self, number: signal.Signals) -> bool:
        return _send(self.supervisor, number)


def supervised(state: Path) -> list[Supervised]:
    """The runs below an agent's folder whose supervisor lives on this machine."""
    found = []
    runs = state / "runs"
    batches: dict[str, int] | None = None
    for name in os.listdir(runs) if runs.is_dir() else ():
        noted = read_json(str(runs / name / "supervisor.json"))
        order = read_json(str(runs / name / "order.json"))
        if not noted or not order or (runs / name / "exit.json").exists():
            continue
        if "pid" in noted:
            pid = int(noted["pid"])
        else:  # Slurm's: it notes the cluster's number of its job
            batches = _batches() if batches is None else batches
            pid = batches.get(str((runs / name).resolve()), 0)
        guard = parent_of(pid)
        if guard > 1 and _stands_in(pid, runs / name) and _stands_in(guard, runs / name):
            found.append(Supervised(name, str(order["job_id"]), pid, guard))
    return found


def newest_order(state: Path) -> int:
    """The highest token of the runs that an agent's folder holds; 0 of none."""
    runs = state / "runs"
    names = os.listdir(runs) if runs.is_dir() else []
    orders = (read_json(str(runs / name / "order.json")) for name in names)
    return max((int(order["token"]) for order in orders if order), default=0)


def _batches() -> dict[str, int]:
    """Supervisors in Slurm's batch steps, by the folder of their run. Their guard runs the same
    command; it is the parent."""
    seen: dict[int, str] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                if words[-2:-1] == [b"batch"] and len(words) > 3:
                    seen[int(name)] = os.fsdecode(words[-3])
    return {folder: pid for pid, folder in seen.items() if seen.get(parent_of(pid)) == folder}


def parent_of(pid: int) -> int:
    """0: there is no such process, or it is dead already."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    state, parent = text[text.rindex(")") + 2 :].split()[:2]
    return 0 if state in "ZX" else int(parent)


def _stands_in(pid: int, folder: Path) -> bool:
    """The number of a process that has ended may be another's by now; ours work in their folder."""
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder.resolve())
    except OSError:
        return False


def _send(pid: int, number: signal.Signals) -> bool:
    if not parent_of(pid):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
