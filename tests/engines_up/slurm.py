"""A real Slurm cluster on loopback: munged, slurmctld and some slurmd, each a process of ours.

``python -m tests.engines_up.slurm check`` installs what is missing (Debian, as root) or fails
saying what to install; ``... slurm up DIR NAME PORT`` starts one cluster until Ctrl-C or TERM.
Needs root: slurmd starts jobs as their users. Several clusters stand side by side, each with its
own folder, key, socket and ports (PORT and one more for each node). Nodes claim more CPUs,
memory and GPUs than the machine has: nothing is pinned, and a GPU is a link to /dev/null, of
which Slurm hands out the numbers.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from westward.agent.engines.processes import marked_processes, signal_each

PACKAGES = ("slurm-wlm", "slurm-wlm-basic-plugins", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
DATABASE_PACKAGES = ("slurmdbd", "mariadb-server")
DATABASE_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db")
START_S = 60
STOP_S = 8


def installed(programs: tuple[str, ...], packages: tuple[str, ...]) -> None:
    """Every program is here, by apt if need be; else SystemExit says what to install."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in programs if shutil.which(name, path=path) is None]
    if not missing:
        return
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    said = ""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {' '.join(packages)}", file=sys.stderr)
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=env, check=False, capture_output=True)
        done = subprocess.run(install, env=env, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return
        said = f": {done.stderr.strip().splitlines()[-1:]}"
    raise SystemExit(
        f"not found: {', '.join(missing)}{said}. As root on Debian: {' '.join(install)}"
    )


@dataclass
class Cluster:
    """One cluster. ``conf`` is what Slurm's commands need as SLURM_CONF."""

    folder: Path
    name: str
    port: int
    nodes: int = 2
    gpus: int = 4
    cpus: int = 16
    memory_mib: int = 16_384
    options: tuple[str, ...] = ()
    """More lines for slurm.conf."""
    database: int | None = None
    """Port of a slurmdbd of our own; it is started with the cluster."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()

    @property
    def conf(self) -> Path:
        return self.folder / "etc" / "slurm.conf"

    @property
    def env(self) -> dict[str, str]:
        """The environment for Slurm's commands."""
        return os.environ | {"SLURM_CONF": str(self.conf)}

    def up(self) -> None:
        if os.geteuid() != 0:
            raise SystemExit("a Slurm cluster needs root: its daemons start jobs as their users")
        installed(PROGRAMS, PACKAGES)
        for name in ("etc", "run", "log", "spool", "dev"):
            (self.folder / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        (self.folder / "state").mkdir(mode=0o700, exist_ok=True)
        self._write_files()
        try:
            self._munge()
            if self.database is not None:
                self._database()
            self.start_controller()
            for number in range(1, self.nodes + 1):
                self.start_node(number)
            self._until_idle()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End what was started, last first, by process id."""
        for what in reversed(list(self.processes)):
            self.end(what)
        # A slurmstepd that cannot tell its slurmctld of a job's end waits for ever.
        signal_each(marked_processes(f"SLURM_CONF={self.conf}"), signal.SIGKILL)

    def run(self, *command: str, check: bool = True, timeout_s: float = 30) -> str:
        """Output of one of Slurm's commands."""
        done = subprocess.run(
            command, env=self.env, check=False, capture_output=True, text=True, timeout=timeout_s
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    # -- single daemons

    def start_controller(self) -> None:
        self._spawn("slurmctld", "slurmctld", "-D", "-f", str(self.conf))

    def start_node(self, number: int) -> None:
        node = f"{self.name}-n{number}"
        (self.folder / "spool" / node).mkdir(exist_ok=True)
        self._spawn(node, "slurmd", "-D", "-f", str(self.conf), "-N", node)

    def resume_drained(self) -> list[str]:
        """As an operator does: a controller that finds a job of the same number on a node that came
        back drains the node, and it takes nothing until somebody says so. The nodes' names."""
        told = self.run("sinfo", "-h", "-N", "-t", "drain", "-o", "%N", check=False)
        nodes = sorted(set(told.split()))
        for node in nodes:
            self.run("scontrol", "update", f"NodeName={node}", "State=RESUME", check=False)
        return nodes

    def end(self, what: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one daemon of ours; KILL follows after a while (a slurmd alone ignores TERM)."""
        process = self.processes.pop(what, None)
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self, what: str) -> None:
        """The daemon stands still: who asks it gets no answer."""
        self.processes[what].send_signal(signal.SIGSTOP)

    def go_on(self, what: str) -> None:
        self.processes[what].send_signal(signal.SIGCONT)

    def _spawn(self, what: str, *command: str) -> None:
        """In a session of its own; output to log/WHAT.out."""
        env = self.env | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
        for name in [name for name in env if name.startswith(("SLURM_", "SBATCH_"))]:
            if name != "SLURM_CONF":
                del env[name]
        with open(self.folder / "log" / f"{what}.out", "ab") as out:
            self.processes[what] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
                start_new_session=True,
            )  # fmt: skip

    def _munge(self) -> None:
        key = self.folder / "etc" / "munge.key"
        if not key.exists():
            key.write_bytes(secrets.token_bytes(1024))
            key.chmod(0o600)
        run, state = self.folder / "run" / "munge", self.folder / "state" / "munge"
        run.mkdir(mode=0o755, exist_ok=True)
        state.mkdir(mode=0o700, exist_ok=True)
        self._spawn(
            "munged", "munged", "--foreground", "--force", f"--key-file={key}",
            f"--socket={self.socket}", f"--pid-file={run}/pid", f"--log-file={self.folder}/log/munged",
            f"--seed-file={state}/seed",
        )  # fmt: skip
        self._wait(self.socket.exists, "munged")

    def _database(self) -> None:
        """MariaDB and slurmdbd, for sacct; MariaDB takes the port above slurmdbd's."""
        assert self.database is not None
        installed(DATABASE_PROGRAMS, DATABASE_PACKAGES)
        data, run = self.folder / "mysql", self.folder / "run" / "mysql"
        sock = run / "sock"
        for folder in (data, run):
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, "mysql")
        if not (data / "mysql").exists():
            subprocess.run(
                [
                    "mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}",
                    "--auth-root-authentication-method=normal", "--skip-test-db",
                ],
                check=True, capture_output=True,
            )  # fmt: skip
        self._spawn(
            "mariadbd", "mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}",
            f"--port={self.database + 1}", "--bind-address=127.0.0.1", f"--socket={sock}",
            f"--pid-file={run}/pid", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=32M",
            "--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=2",
        )  # fmt: skip
        client = ["mariadb", "--no-defaults", "-uroot", f"--socket={sock}"]
        self._wait(lambda: _succeeds([*client, "-e", "select 1"]), "mariadbd")
        orders = (
            "create database if not exists slurm_acct_db; "
            "create user if not exists 'slurm'@'127.0.0.1' identified by 'for-tests'; "
            "grant all on slurm_acct_db.* to 'slurm'@'127.0.0.1';"
        )
        subprocess.run([*client, "-e", orders], check=True)
        conf = self.folder / "etc" / "slurmdbd.conf"
        conf.write_text(
            f"AuthType=auth/munge\nAuthInfo=socket={self.socket}\nDbdHost={_host()}\n"
            f"DbdAddr=127.0.0.1\nDbdPort={self.database}\nSlurmUser=root\n"
            f"PidFile={self.folder}/run/slurmdbd.pid\nLogFile={self.folder}/log/slurmdbd\n"
            "StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\n"
            f"StoragePort={self.database + 1}\nStorageUser=slurm\nStoragePass=for-tests\n"
            "StorageLoc=slurm_acct_db\n"
        )
        conf.chmod(0o600)
        self._spawn("slurmdbd", "slurmdbd", "-D")
        port = self.database
        self._wait(lambda: _listens(port), "slurmdbd")
        self.run("sacctmgr", "-i", "add", "cluster", self.name, check=False)

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "munge" / "socket"

    def _write_files(self) -> None:
        folder, host = self.folder, _host()
        accounting = "AccountingStorageType=accounting_storage/none"
        if self.database is not None:
            accounting = (
                "AccountingStorageType=accounting_storage/slurmdbd\n"
                f"AccountingStorageHost=127.0.0.1\nAccountingStoragePort={self.database}\n"
                f"AccountingStoragePass={self.socket}\nAccountingStorageTRES=gres/gpu"
            )
        names = f"{self.name}-n[1-{self.nodes}]"
        gres = f"Gres=gpu:h100:{self.gpus}" if self.gpus else ""
        for number in range(self.gpus):
            link = folder / "dev" / f"nvidia{number}"
            if not link.is_symlink():
                link.symlink_to("/dev/null")
        lines = [
            f"ClusterName={self.name}",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={self.port}",
            "SlurmUser=root",
            "SlurmdUser=root",
            "AuthType=auth/munge",
            f"AuthInfo=socket={self.socket},cred_expire=5",
            "CredType=cred/munge",
            "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",
            f"StateSaveLocation={folder}/state",
            f"SlurmdSpoolDir={folder}/spool/%n",
            f"SlurmctldPidFile={folder}/run/slurmctld.pid",
            f"SlurmdPidFile={folder}/run/slurmd.%n.pid",
            f"SlurmctldLogFile={folder}/log/slurmctld",
            f"SlurmdLogFile={folder}/log/slurmd.%n",
            "ProctrackType=proctrack/linuxproc",  # no cgroups: a bare machine may mix both kinds
            "TaskPlugin=task/none",
            "JobAcctGatherType=jobacct_gather/linux",
            "JobAcctGatherFrequency=task=1",
            "MpiDefault=none",
            "SlurmdParameters=config_overrides",  # nodes may be larger than the machine
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "DefMemPerCPU=64",
            "GresTypes=gpu",
            "ReturnToService=2",
            "KillWait=2",
            "SlurmdTimeout=10",
            "SlurmctldTimeout=30",
            "MessageTimeout=10",
            "SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=2",
            "PriorityType=priority/basic",
            "PreemptType=preempt/partition_prio",
            "PreemptMode=REQUEUE",
            "JobCompType=jobcomp/filetxt",
            f"JobCompLoc={folder}/log/jobcomp",
            accounting,
            *self.options,
            *(
                f"NodeName={self.name}-n{number} NodeHostname={host} NodeAddr=127.0.0.1"
                f" Port={self.port + number} CPUs={self.cpus} Boards=1 SocketsPerBoard=1"
                f" CoresPerSocket={self.cpus} ThreadsPerCore=1 RealMemory={self.memory_mib} {gres}"
                for number in range(1, self.nodes + 1)
            ),
            "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=10"
            " PreemptMode=OFF",
            "PartitionName=spot Nodes=ALL Default=NO MaxTime=1-0 PriorityTier=1"
            " PreemptMode=REQUEUE",
        ]
        self.conf.write_text("\n".join(lines) + "\n")
        etc = folder / "etc"
        devices = f"NodeName={names} Name=gpu Type=h100 File={folder}/dev/nvidia[0-{self.gpus - 1}]"
        (etc / "gres.conf").write_text(f"{devices}\n" if self.gpus else "")
        (etc / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")

    # -- waiting

    def _until_idle(self) -> None:
        def idle() -> bool:
            seen = self.run(
                "sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%n", check=False
            )
            return len(seen.split()) >= self.nodes

        self._wait(idle, f"nodes of {self.name}")

    def _wait(self, true: object, what: str) -> None:
        end = time.monotonic() + START_S
        while not true():  # type: ignore[operator]
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead or time.monotonic() > end:
                logs = self.folder / "log"
                told = [f"{what} did not come up; ended: {dead}"]
                for path in sorted(logs.iterdir()):
                    told += [f"{path.name}: {line}" for line in _tail(path, 3)]
                raise RuntimeError("\n".join(told))
            time.sleep(0.1)


def _tail(path: Path, lines: int) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-lines:]


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _host() -> str:
    return socket.gethostname().split(".")[0]


def main(arguments: list[str]) -> int:
    if arguments == ["check"]:
        installed(PROGRAMS, PACKAGES)
        return 0
    if len(arguments) != 4 or arguments[0] != "up":
        print(__doc__, file=sys.stderr)
        return 2
    cluster = Cluster(Path(arguments[1]), arguments[2], int(arguments[3]))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    cluster.up()
    print(f"export SLURM_CONF={cluster.conf}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    cluster.down()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
