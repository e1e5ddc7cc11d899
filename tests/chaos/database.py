"""A PostgreSQL of the slice's own, that can be killed, ended, stopped and started again.

Killed means SIGKILL to every process of it at once, with the postmaster held first so that none is
born meanwhile: what was not written is gone, as far as a machine that stays up can show it. Stopped
means that all of them stand still and answer nobody.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.targets import parent_of
from tests.engines_up.postgres import USER, Postgres

NAME = "chaos"
SETTINGS = ("max_wal_size=48MB", "min_wal_size=32MB", "wal_level=minimal", "max_wal_senders=0")
"""The log is kept short, so that it fits beside the data on a small disk."""
GONE_S = 20
DISK_MIB = 384


@dataclass
class Database:
    postgres: Postgres
    url: str = ""
    own_disk: bool = False
    """Its data lies on a small file system of its own."""
    starting: subprocess.Popen[bytes] | None = None
    frozen: list[int] = field(default_factory=list)

    @classmethod
    def start(cls, *, own_disk: bool) -> Database:
        """``own_disk``: try to give it one."""
        made = cls(Postgres(Path(tempfile.mkdtemp(prefix="westward-pg-")), SETTINGS))
        made.data.mkdir()
        if own_disk:
            mount = ("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "westward-chaos")
            done = subprocess.run([*mount, str(made.data)], check=False, capture_output=True)
            made.own_disk = done.returncode == 0
        try:
            made.postgres.begin()
            made.url = made.postgres.create(NAME)
        except BaseException:
            made._unmount()
            raise
        return made

    @property
    def data(self) -> Path:
        return self.postgres.folder / "data"

    @property
    def main(self) -> int:
        """The postmaster's process; 0: there is none."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return 0
        return pid if parent_of(pid) and _is_postgres(pid) else 0

    @property
    def lives(self) -> bool:
        """Or is about to."""
        if self.starting is not None and self.starting.poll() is None:
            return True
        return self.main != 0

    def processes(self) -> list[int]:
        """The postmaster first, held; then its children."""
        main = self.main
        if not main:
            return []
        _send(main, signal.SIGSTOP)
        return [main, *(pid for pid in _pids() if parent_of(pid) == main)]

    def kill(self) -> int:
        """How many processes it was."""
        self._until_started()
        there = self.processes()
        for pid in there:
            _send(pid, signal.SIGKILL)
        end = time.monotonic() + GONE_S
        while any(parent_of(pid) for pid in there):
            assert time.monotonic() < end, "processes of PostgreSQL survive SIGKILL"
            time.sleep(0.01)
        # PostgreSQL minds its lock files as long as anything has that number, be it dead.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for lock in self.postgres.folder.glob(".s.PGSQL.*.lock"):
            lock.unlink(missing_ok=True)
        return len(there)

    def kill_one(self, pick: float) -> bool:
        """One of those that serve a session: PostgreSQL then ends all of them and recovers.
        ``pick``: which, from 0 to below 1."""
        main = self.main
        there = [pid for pid in _pids() if main and parent_of(pid) == main and _serves(pid)]
        return bool(there) and _send(there[int(pick * len(there))], signal.SIGKILL)

    def end(self) -> None:
        """As an operator ends it for a restart: sessions are broken off, all is written. Does not
        wait."""
        self._until_started()
        self._control("-m", "fast", "-W", "stop")

    def freeze(self) -> None:
        self.frozen = self.processes()
        for pid in self.frozen:
            _send(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        for pid in reversed(self.frozen):
            _send(pid, signal.SIGCONT)
        self.frozen = []

    def again(self) -> None:
        """Starts it over its data, and does not wait until it answers. One that is still ending is
        waited for."""
        end = time.monotonic() + GONE_S
        while self.main and time.monotonic() < end:
            time.sleep(0.02)
        self.starting = self.postgres.starting()

    def _until_started(self) -> None:
        if self.starting is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.starting.wait(GONE_S)

    def _control(self, *words: str) -> None:
        command = self.postgres.program("pg_ctl", "-D", str(self.data), *words)
        quiet = subprocess.DEVNULL
        subprocess.run(command, check=False, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/")

    def sound(self) -> list[str]:
        """What PostgreSQL's own checker of tables and indexes has to say."""
        command = self.postgres.program(
            "pg_amcheck", "--install-missing", "--heapallindexed",
            "-h", str(self.postgres.folder), "-U", USER, NAME,
        )  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
        told = [*done.stdout.splitlines(), *done.stderr.splitlines()]
        return [] if done.returncode == 0 else told[:20] or ["pg_amcheck failed"]

    def keep(self, folder: Path) -> None:
        """A dump, and its log."""
        command = self.postgres.program(
            "pg_dump", "-h", str(self.postgres.folder), "-U", USER, "-Fc", NAME
        )
        with open(folder / "database.dump", "wb") as out:
            subprocess.run(command, check=False, stdout=out, cwd="/")
        shutil.copy(self.postgres.folder / "log", folder / "postgresql.log")

    def close(self) -> None:
        self.go_on()
        self._until_started()
        if self.main:
            self._control("-m", "immediate", "-w", "stop")
        self._unmount()
        shutil.rmtree(self.postgres.folder, ignore_errors=True)

    def _unmount(self) -> None:
        if self.own_disk:
            subprocess.run(["umount", "-l", str(self.data)], check=False)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _is_postgres(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    except OSError:
        return False


def _serves(pid: int) -> bool:
    """Its title names user and database, as those of sessions do."""
    try:
        return f"postgres: {USER} {NAME} " in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def _send(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
