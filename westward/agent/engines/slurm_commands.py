"""Slurm's own commands, and what they say. Every call ends within its time limit.

Commands run with a small environment of our own: an operator's ``SBATCH_*`` and ``SQUEUE_*``
variables change nothing, and nothing of the agent's surroundings reaches a job. Times are asked
for as seconds since 1970 (``SLURM_TIME_FORMAT=%s``), so that no time zone comes in.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from westward.agent.engines.base import DiscoveredPool

QUERY_S = 8
SUBMIT_S = 40
"""slurmctld may be slow to take a job; after this the submission is found out by its name."""
PASSED_ON = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER")
AWAY = ("Unable to contact slurm controller", "connect failure", "Connection refused")
"""The request was never sent."""
NO_ANSWER = ("timed out", "Zero Bytes", "Unexpected message", "Transport endpoint", "Broken pipe")
"""The request was sent; whether it was heeded is not known."""
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
LIVING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
QUEUE_FORMAT = "%i|%T|%S|%V|%r|%N|%j"


class SlurmSilent(OSError):
    """No answer. Whether the request was heeded is not known."""


class SlurmAway(SlurmSilent):
    """The controller cannot be reached: the request was not heeded."""


class SlurmRefused(Exception):
    """Slurm said no; the text is Slurm's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A line of squeue. ``start_s``: when it started or, for one that waits, is thought to."""

    job_id: int
    name: str
    state: str
    reason: str
    start_s: int | None
    submit_s: int | None

    @property
    def over(self) -> bool:
        return self.state not in WAITING and self.state not in LIVING


@dataclass(frozen=True)
class Commands:
    """``conf``: the path of slurm.conf where it is not Slurm's default."""

    conf: str | None = None

    @property
    def env(self) -> dict[str, str]:
        env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        conf = self.conf or os.environ.get("SLURM_CONF")
        if conf is not None:
            env["SLURM_CONF"] = conf
        env["SLURM_TIME_FORMAT"] = "%s"
        return env

    def run(
        self, *command: str, timeout_s: float = QUERY_S, keep_open: Sequence[int] = ()
    ) -> tuple[str, str]:
        """(output, errors) of a command that ended with 0. SlurmSilent, SlurmRefused.

        ``keep_open``: file descriptors that the command holds as long as it lives.
        """
        try:
            done = subprocess.run(
                command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
                pass_fds=keep_open,
            )
        except subprocess.TimeoutExpired:
            raise SlurmSilent(f"{command[0]}: no answer within {timeout_s:g} s") from None
        said = done.stderr.strip()
        if done.returncode == 0:
            return done.stdout, said
        if any(text in said for text in AWAY):
            raise SlurmAway(f"{command[0]}: {said}")
        if any(text in said for text in NO_ANSWER):
            raise SlurmSilent(f"{command[0]}: {said}")
        raise SlurmRefused(f"{command[0]}: {said or f'ended with {done.returncode}'}")

    def submit(self, arguments: Sequence[str], lock: int) -> int:
        """Job id of the submitted job."""
        out, _ = self.run("sbatch", *arguments, timeout_s=SUBMIT_S, keep_open=(lock,))
        return int(out.strip().split(";")[0])

    def expected_start_s(self, arguments: Sequence[str]) -> int | None:
        """When Slurm would start such a job if it were handed in now; None = it does not say."""
        try:
            _, said = self.run("sbatch", "--test-only", *arguments)
        except SlurmRefused:
            return None
        found = re.search(r"to start at (\d+)", said)
        return int(found.group(1)) if found else None

    def queue(self) -> list[QueuedJob]:
        """All jobs of this user that Slurm remembers, also those that ended some minutes ago."""
        out, _ = self._ask(
            "squeue", "--noheader", "--all", "--states=all", f"--user={os.getuid()}",
            f"--format={QUEUE_FORMAT}",
        )  # fmt: skip
        return [job for line in out.splitlines() if (job := _queued(line)) is not None]

    def cancel(self, *arguments: str) -> None:
        self._ask("scancel", "--quiet", *arguments)

    def job(self, job_id: int) -> dict[str, str]:
        """What scontrol says of a job, by name; empty once Slurm has forgotten it."""
        try:
            out, _ = self.run("scontrol", "--oneliner", "show", "job", str(job_id))
        except SlurmRefused:
            return {}
        return dict(word.partition("=")[::2] for word in out.split())

    def accounted(self, job_id: int, fields: Sequence[str]) -> list[dict[str, str]] | None:
        """sacct's rows: the job, then its steps; empty = not yet there. None: the site keeps no
        accounts."""
        try:
            out, _ = self.run(
                "sacct", "--noheader", "--parsable2", f"--jobs={job_id}",
                f"--format={','.join(fields)}",
            )  # fmt: skip
        except SlurmRefused:
            return None
        return [
            dict(zip(fields, line.split("|"), strict=False)) for line in out.splitlines() if line
        ]

    def pools(self) -> tuple[DiscoveredPool, ...]:
        """Partitions; one that has unlike nodes appears once for each kind."""
        out, _ = self._ask("sinfo", "--noheader", "--all", "--format=%R|%D|%c|%m|%G|%a|%l")
        return tuple(_pool(line) for line in out.splitlines() if line.count("|") >= 6)

    def _ask(self, *command: str) -> tuple[str, str]:
        """A question that Slurm has no reason to refuse: any failure is no answer."""
        try:
            return self.run(*command)
        except SlurmRefused as error:
            raise SlurmSilent(str(error)) from error


def _queued(line: str) -> QueuedJob | None:
    fields = line.split("|", 6)
    if len(fields) < 7 or not fields[0].isdecimal():
        return None  # a task of somebody's array
    return QueuedJob(
        job_id=int(fields[0]),
        name=fields[6],
        state=fields[1],
        reason=fields[4],
        start_s=_number(fields[2]),
        submit_s=_number(fields[3]),
    )


def _pool(line: str) -> DiscoveredPool:
    name, nodes, cpus, memory, gres, state, limit = line.split("|", 6)
    kind, devices = gpus(gres)
    return DiscoveredPool(
        name=name,
        nodes=int(nodes),
        accelerator=kind,
        devices_per_node=devices,
        cpus_milli_per_node=_milli(cpus),
        memory_mib_per_node=_number(memory.rstrip("+")),
        labels=(("gres", gres), ("state", state), ("time_limit", limit)),
    )


def gpus(gres: str) -> tuple[str | None, int]:
    """The first GPU kind of a GRES text and how many: ``gpu:h100:4(S:0-1),x:2`` → h100, 4."""
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        words = part.split(":")
        if words[0] == "gpu" and words[-1].isdecimal():
            return (words[1] if len(words) > 2 else None), int(words[-1])
    return None, 0


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _milli(text: str) -> int | None:
    count = _number(text.rstrip("+"))
    return None if count is None else 1000 * count
