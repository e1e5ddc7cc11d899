"""Every option of sbatch (Slurm 22.05 to 24.05): how it is written and what becomes of it.

``KEPT`` are honoured by the importer. ``WITHOUT_EFFECT`` change nothing about the job, or ask for
what Westward does anyway. ``REFUSED`` cannot be honoured. An option in none of them is unknown.
"""

from __future__ import annotations

from westward.formats.job_fields import Refused

SHORT: dict[str, str] = {
    "A": "account", "a": "array", "b": "begin", "B": "extra-node-info", "C": "constraint",
    "c": "cpus-per-task", "d": "dependency", "D": "chdir", "e": "error", "F": "nodefile",
    "G": "gpus", "h": "help", "H": "hold", "i": "input", "J": "job-name", "k": "no-kill",
    "L": "licenses", "M": "clusters", "m": "distribution", "N": "nodes", "n": "ntasks",
    "o": "output", "O": "overcommit", "p": "partition", "q": "qos", "Q": "quiet", "s":
    "oversubscribe", "S": "core-spec", "t": "time", "v": "verbose", "V": "version",
    "w": "nodelist", "W": "wait", "x": "exclude",
}  # fmt: skip

FLAGS = frozenset(
    [
        "contiguous",
        "help",
        "hold",
        "ignore-pbs",
        "no-requeue",
        "overcommit",
        "oversubscribe",
        "parsable",
        "quiet",
        "reboot",
        "requeue",
        "spread-job",
        "stepmgr",
        "test-only",
        "usage",
        "use-min-nodes",
        "verbose",
        "version",
        "wait",
    ]
)
"""Take no value."""
MAY_HAVE_VALUE = frozenset(
    ["exclusive", "get-user-env", "nice", "no-kill", "propagate", "resv-ports"]
)
"""With ``=VALUE`` only."""

KEPT: dict[str, str] = {
    "account": "westward.account",
    "array": "westward.array, at most 1,000 tasks; SLURM_ARRAY_TASK_ID and its kin are set; no %LIMIT",
    "begin": "westward.start_after: now+COUNT[seconds|minutes|hours|days|weeks], or a time with offset",
    "chdir": "the work folder, copied to the site",
    "comment": "a label of the job",
    "cpus-per-gpu": "cpus per node",
    "cpus-per-task": "cpus per node, times the tasks there",
    "deadline": "westward.deadline, same forms as begin",
    "dependency": "westward.after: afterok and afterany of jobs named by --job",
    "error": "a file below the job's output folder (and the job's log); %j %x %u %A %a %N %n %t",
    "export": "NAME=VALUE and NAME (its value here); NONE; ALL is told, see below",
    "gpus": "accelerators, divided evenly over the nodes",
    "gpus-per-node": "accelerators",
    "gpus-per-task": "accelerators, times the tasks of a node",
    "gres": "accelerators; of gpu only",
    "input": "standard input",
    "job-name": "name",
    "mem": "memory per node; K, M, G, T are powers of 1024, as in Slurm; not 0",
    "mem-per-cpu": "memory per node, times its cpus",
    "mem-per-gpu": "memory per node, times its gpus",
    "mincpus": "cpus per node, at least",
    "nodes": "num_nodes; a range must be one number",
    "ntasks": "how many tasks srun starts",
    "ntasks-per-node": "the same, by node",
    "output": "as error",
    "signal": "B:NAME@SECONDS before the time limit, to the script",
    "time": "the script is ended (TERM, 30 s later KILL); also westward.duration",
}

WITHOUT_EFFECT: dict[str, str] = {
    "ignore-pbs": "#PBS lines are never read",
    "open-mode": "each run begins in a fresh folder",
    "oversubscribe": "nodes are shared by devices and cpus anyway",
    "parsable": "it concerns what sbatch prints",
    "quiet": "it concerns what sbatch prints",
    "requeue": "a job whose site was lost is started again anyway",
    "time-min": "the whole time asked for is given",
    "verbose": "it concerns what sbatch prints",
}

_ONE_CLUSTER = "it names something of one Slurm cluster, and Westward chooses among many sites"
_SITE = "Name a site with --infra slurm/SITE, or say --leave-out {0}."
_FINE = "where tasks sit inside a node is the site's own business"
_DROP = "Say --leave-out {0} if the job can do without."

_REASONS: dict[str, tuple[str, str]] = {
    "acctg-freq": ("sites meter as they are set up", _DROP),
    "batch": (_ONE_CLUSTER, _DROP),
    "bb": ("no site offers a burst buffer", _DROP),
    "bbf": ("no site offers a burst buffer", _DROP),
    "cluster-constraint": (_ONE_CLUSTER, _SITE),
    "clusters": (_ONE_CLUSTER, _SITE),
    "constraint": (
        _ONE_CLUSTER,
        "Ask with gres or gpus, or name a site with --infra; then --leave-out {0}.",
    ),
    "container": ("engines start processes, not containers", _DROP),
    "container-id": ("engines start processes, not containers", _DROP),
    "contiguous": (_FINE, _DROP),
    "core-spec": (_FINE, _DROP),
    "cores-per-socket": (_FINE, _DROP),
    "cpu-freq": ("no site lets a job set clock speeds", _DROP),
    "delay-boot": (_ONE_CLUSTER, _DROP),
    "distribution": (_FINE, _DROP),
    "exclude": (_ONE_CLUSTER, _DROP),
    "exclusive": (
        "a job holds the devices and cpus it asks for, not whole nodes",
        "Ask for all of a node's devices or cpus and say --leave-out {0}.",
    ),
    "export-file": ("variables are part of the job file", "Write them into --export."),
    "extra": (_ONE_CLUSTER, _DROP),
    "extra-node-info": (_FINE, _DROP),
    "get-user-env": ("jobs do not log in as their owner", _DROP),
    "gid": ("jobs run as the site's own account", _DROP),
    "gpu-bind": (_FINE, _DROP),
    "gpu-freq": ("no site lets a job set clock speeds", _DROP),
    "gpus-per-socket": (_FINE, "Write --gpus-per-node."),
    "gres-flags": (_FINE, _DROP),
    "help": ("it prints a page and submits nothing", "Remove it."),
    "hint": (_FINE, _DROP),
    "hold": ("jobs are handed in to be run", "Remove it, and hand the job in when it may run."),
    "kill-on-invalid-dep": ("a job that can never start is always ended", _DROP),
    "licenses": (_ONE_CLUSTER, _DROP),
    "mail-type": ("Westward sends no mail", "Ask 'westward jobs', or say --leave-out {0}."),
    "mail-user": ("Westward sends no mail", "Ask 'westward jobs', or say --leave-out {0}."),
    "mcs-label": (_ONE_CLUSTER, _DROP),
    "mem-bind": (_FINE, _DROP),
    "network": (_ONE_CLUSTER, _DROP),
    "nice": (
        "priorities of one cluster mean nothing on another",
        "Set `priority:` in the job file; then --leave-out {0}.",
    ),
    "no-kill": ("a gang ends when one of its nodes is lost", _DROP),
    "no-requeue": (
        "a job whose site was lost is started again, by Westward's own rule",
        "Let the script end at once when WESTWARD_ATTEMPT is above 1, and say --leave-out {0}.",
    ),
    "nodefile": (_ONE_CLUSTER, _SITE),
    "nodelist": (_ONE_CLUSTER, _SITE),
    "ntasks-per-core": (_FINE, _DROP),
    "ntasks-per-gpu": (_FINE, "Write --ntasks-per-node."),
    "ntasks-per-socket": (_FINE, "Write --ntasks-per-node."),
    "overcommit": ("a task gets the cpus it asks for", _DROP),
    "partition": (_ONE_CLUSTER, _SITE),
    "power": (_ONE_CLUSTER, _DROP),
    "prefer": (_ONE_CLUSTER, _DROP),
    "priority": (
        "priorities of one cluster mean nothing on another",
        "Set `priority:` in the job file; then --leave-out {0}.",
    ),
    "profile": ("sites meter as they are set up", _DROP),
    "propagate": ("limits of this machine mean nothing at a site", _DROP),
    "qos": (_ONE_CLUSTER, _DROP),
    "reboot": ("no site lets a job restart machines", _DROP),
    "reservation": (_ONE_CLUSTER, _SITE),
    "resv-ports": ("sites open no port", _DROP),
    "segment": (_ONE_CLUSTER, _DROP),
    "sockets-per-node": (_FINE, _DROP),
    "spread-job": (_FINE, _DROP),
    "stepmgr": (_ONE_CLUSTER, _DROP),
    "switches": (_ONE_CLUSTER, _DROP),
    "test-only": (
        "it submits nothing",
        "Use 'westward plan' on the imported file; remove it here.",
    ),
    "thread-spec": (_FINE, _DROP),
    "threads-per-core": (_FINE, _DROP),
    "tmp": ("no site states its disk space, so the wish could not be kept", _DROP),
    "tres-bind": (_FINE, _DROP),
    "tres-per-task": (_FINE, "Write --gpus-per-task and --cpus-per-task."),
    "uid": ("jobs run as the site's own account", _DROP),
    "usage": ("it prints a page and submits nothing", "Remove it."),
    "use-min-nodes": (_FINE, _DROP),
    "version": ("it prints a line and submits nothing", "Remove it."),
    "wait": ("it concerns sbatch, not the job", "Use 'westward submit --wait'; remove it here."),
    "wait-all-nodes": (_ONE_CLUSTER, _DROP),
    "wckey": (_ONE_CLUSTER, _DROP),
    "wrap": ("the script itself is what runs", "Remove it."),
}
REFUSED: dict[str, Refused] = {
    name: Refused(reason, remedy.format(name)) for name, (reason, remedy) in _REASONS.items()
}
ALL_OPTIONS: tuple[str, ...] = tuple(sorted({**KEPT, **WITHOUT_EFFECT, **REFUSED}))


def markdown_tables() -> str:
    """What ``docs/howto/sbatch.md`` lists; a test holds it to this."""
    lines = ["### Honoured", "", "| option | becomes |", "|---|---|"]
    lines += [f"| `--{name}` | {text} |" for name, text in KEPT.items()]
    lines += ["", "### Without effect", "", "| option | why |", "|---|---|"]
    lines += [f"| `--{name}` | {text} |" for name, text in WITHOUT_EFFECT.items()]
    lines += ["", "### Refused by name", "", "| option | why | instead |", "|---|---|---|"]
    lines += [f"| `--{name}` | {one.reason} | {one.remedy} |" for name, one in REFUSED.items()]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(markdown_tables())
