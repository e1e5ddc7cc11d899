"""A real PostgreSQL server of our own: a folder, a Unix socket, no port, no password.

``python -m tests.engines_up.postgres check`` says whether the programs are here (Debian's package
``postgresql`` is installed, as root, if not). PostgreSQL refuses to run as root, so for root the
server is a process of the user ``postgres`` that the package makes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.engines_up.slurm import installed

PACKAGES = ("postgresql",)
PROGRAMS = ("initdb", "pg_ctl", "pgbench", "psql")
USER = "postgres"
START_S = 60


def programs_path() -> str:
    """PATH with Debian's folders of PostgreSQL's own programs, the newest version first."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])


def available() -> bool:
    return all(shutil.which(name, path=programs_path()) for name in ("initdb", "pg_ctl"))


@dataclass
class Postgres:
    """A running server whose data, socket and log lie in ``folder``."""

    folder: Path
    options: tuple[str, ...] = ()

    @classmethod
    def start(cls, *options: str) -> Postgres:
        """In a new folder below the temporary one. ``options``: ``name=value`` of its settings.
        Commits are durable (fsync stays on)."""
        folder = Path(tempfile.mkdtemp(prefix="westward-pg-"))
        made = cls(folder, options)
        made.begin()
        return made

    def begin(self) -> None:
        """Makes the data and starts the server. ``data`` below the folder may stand there, empty."""
        folder = self.folder
        if os.geteuid() == 0:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, USER)
        try:
            self._run(
                "initdb", "-D", str(folder / "data"), "-U", USER, "-A", "trust", "-E", "UTF8",
                "--locale=C", "--no-sync",
            )  # fmt: skip
            self.again()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def again(self) -> None:
        """Starts the server over its data."""
        self._run(*self._start_command())

    def starting(self) -> subprocess.Popen[bytes]:
        """The program that starts the server over its data, and ends once that answers."""
        quiet = subprocess.DEVNULL
        command = self.program(*self._start_command())
        return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/")

    def _start_command(self) -> list[str]:
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", *self.options]
        words = " ".join(f"-c {setting}" for setting in settings)
        return [
            "pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-o", words,
            "-w", "-t", str(START_S), "start",
        ]  # fmt: skip

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def create(self, database: str) -> str:
        """A new empty database; its URL."""
        self._run("createdb", "-h", str(self.folder), "-U", USER, database)
        return self.url(database)

    def drop(self, database: str) -> None:
        self._run("dropdb", "-f", "-h", str(self.folder), "-U", USER, database)

    def kill(self) -> None:
        """As a power cut would: no last words to the disk."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "fast", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def program(self, *command: str) -> list[str]:
        """The command line that runs one of PostgreSQL's programs as the server's user."""
        found = shutil.which(command[0], path=programs_path())
        if found is None:
            raise RuntimeError(f"{command[0]} not found: python -m tests.engines_up.postgres check")
        as_user = (
            ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
            if os.geteuid() == 0
            else []
        )
        return [*as_user, found, *command[1:]]

    def _run(self, *command: str) -> None:
        # Not captured through pipes: the server would inherit them and keep them open.
        with tempfile.TemporaryFile() as out:
            done = subprocess.run(
                self.program(*command), stdout=out, stderr=out, cwd="/", check=False
            )
            if done.returncode != 0:
                out.seek(0)
                raise RuntimeError(f"{command[0]}: {out.read().decode(errors='replace')[-2000:]}")


def main() -> None:
    if sys.argv[1:] != ["check"]:
        raise SystemExit("usage: python -m tests.engines_up.postgres check")
    if not available():
        installed(PROGRAMS, PACKAGES)


if __name__ == "__main__":
    main()
