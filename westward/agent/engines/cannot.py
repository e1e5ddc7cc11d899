"""What each engine cannot do. The one table: the conformance suite leaves these out by name, and
``docs/engines.md`` prints it (``python -m westward.agent.engines.cannot``)."""

from __future__ import annotations

from westward.model.network import Lack

ABILITIES: dict[str, str] = {
    "gang": "several ranks, each with its own log; a failing rank ends the others",
    "gang-over-hosts": "ranks on different machines",
    "stop-signal": "a stop sends the job's own signal and waits its grace before KILL",
    "signal-exit-code": "a process killed by a signal is told from one that exits with 128 + n",
    "memory-limit": "a rank that takes more memory than was asked for is ended",
    "lease-without-agent": "the work stops by itself when nobody renews, though the agent is dead",
    "restart": "a new agent finds the runs of the one before",
    "setup": "the job's setup commands run once before its ranks",
    "file-mounts": "the job's working folder and file mounts are brought to it",
    "checkpoints": "what a job saves is kept between its runs and can go along to another site",
    "disk-full": "a run that the site cannot note is refused and leaves nothing behind",
    "unknown-status": "a controller that does not answer makes the status unknown",
    "queue": "the engine's own queue; a run that waits there is not running",
    "predicted-wait": "the wait in the engine's queue is predicted and scored",
    "accounting": "the engine's own account of a run, to hold Westward's meter against",
    "array": "many alike jobs handed to the engine as one",
    "isolation": "a job sees neither the files nor the processes of others",
}
"""By name: what is meant. The suite asks for each by name."""

CANNOT: dict[str, dict[str, str]] = {
    "local": {
        "gang-over-hosts": "one machine",
        "unknown-status": "there is no controller to lose: the kernel always answers",
        "queue": "runs start at once; Westward books the machine",
        "predicted-wait": "no queue",
        "accounting": "the supervisor's readings are the only account",
        "array": "each job is started by itself",
        "isolation": "processes of one user; resource limits only",
    },
    "slurm": {
        "array": "each job is one sbatch; all are asked after in one squeue",
        "isolation": "what the site's Slurm does (cgroups); jobs are the agent's user",
    },
    "ray": {
        "gang": "a Ray job has one entrypoint on one node; inside Ray it may spread over nodes",
        "gang-over-hosts": "no gangs",
        "file-mounts": "nothing is brought to Ray's nodes; such a job is refused by name",
        "checkpoints": "Ray's nodes see no folder of the agent's; a stopped job begins anew",
        "predicted-wait": "Westward books the cluster; Ray's own queue is seen, not predicted",
        "accounting": "Ray keeps start and end of a job, no use",
        "array": "each job is submitted by itself",
        "isolation": "processes of Ray's user",
    },
    "kubernetes": {
        "signal-exit-code": "a container tells 128 + n only",
        "file-mounts": "nothing is brought to the pods; such a job is refused by name",
        "checkpoints": "pods see no folder of the agent's; a stopped job begins anew",
        "predicted-wait": "Westward books the cluster; a pod that does not fit is seen, not predicted",
        "accounting": "the API server knows start and end, no use; cpu time and memory are not metered",
        "array": "each job is a Job by itself",
        "isolation": "the cluster's containers give it; no test here shows it",
    },
}
"""Engine → ability → why not. What is not listed is tested."""


def lacks(engine: str) -> tuple[Lack, ...]:
    """Of what jobs may ask for, what this engine cannot do: its agent tells the server, which sends
    no such jobs."""
    cannot = CANNOT.get(engine, {})
    return tuple(lack for lack, ability in _ABILITY_OF.items() if ability in cannot)


_ABILITY_OF: dict[Lack, str] = {"files": "file-mounts", "gangs": "gang"}


def as_markdown() -> str:
    """The table of ``docs/engines.md``: one row an ability, one column an engine."""
    engines = list(CANNOT)
    rows = ["| | " + " | ".join(engines) + " |", "|---" * (len(engines) + 1) + "|"]
    for ability, meaning in ABILITIES.items():
        cells = [
            f"no: {CANNOT[engine][ability]}" if ability in CANNOT[engine] else "yes"
            for engine in engines
        ]
        rows.append(f"| **{ability}**: {meaning} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")
