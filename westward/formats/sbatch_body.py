"""What an sbatch script's own lines need of Slurm: commands and variables that are not there."""

from __future__ import annotations

import re
import shlex

from westward.formats.sbatch_reader import Reader
from westward.formats.sbatch_script import (
    END,
    SET_VARIABLES,
    SRUN_FLAGS,
    SRUN_VALUES,
    Shape,
    variables,
)

COMMANDS = ("salloc", "sattach", "sbatch", "sbcast", "scancel", "sacct", "sinfo", "squeue", "sstat")
"""Of Slurm, that a script cannot use away from a cluster."""
_COMMAND = re.compile(r"(?:^|[;&|(`]|\b(?:then|do|else|exec|time)\b)\s*(\w+)(?=\s|$|[;&|)`])")
_VARIABLE = re.compile(r"\$\{?(SLURM_\w+|SLURMD_\w+|SLURM\w+)")


def check_body(reader: Reader, lines: list[str], first: int, shape: Shape) -> None:
    """Faults for what the lines from ``first`` on use and the job will not have."""
    left_out = reader.choices.leave_out
    known = {name for name, _ in variables(shape)}
    told: set[str] = set()
    for index in range(first, len(lines)):
        line = lines[index]
        code = "" if line.lstrip().startswith("#") else line
        for name in _VARIABLE.findall(code):
            if name in known or name in left_out or name in told:
                continue
            told.add(name)
            why = "is not true of this job" if name in SET_VARIABLES else "has no meaning here"
            remedy = f"Set it in the script, or say --leave-out {name}."
            reader.fault(index + 1, name, f"the script reads it, and it {why}", remedy)
        for match in _COMMAND.finditer(code):
            _command(reader, match[1], code[match.end(1) :], index + 1, shape)
        if line == END:
            reader.fault(index + 1, "", f"a line {END} cannot be carried along", "Change it.")


def _command(reader: Reader, name: str, rest: str, line: int, shape: Shape) -> None:
    if name in reader.choices.leave_out:
        return
    remedy = f"Remove it, or say --leave-out {name}."
    if name in COMMANDS:
        reader.fault(line, name, "the script asks a Slurm cluster, and may run anywhere", remedy)
    elif name == "scontrol" and not re.match(r"\s+show\s+hostnames?\b", rest):
        reader.fault(line, name, "only 'scontrol show hostnames' is known away from Slurm", remedy)
    elif name == "srun":
        if shape.nodes > 1 and not shape.every_node:
            reader.fault(
                line,
                name,
                "it would start tasks on other nodes, and Westward starts the script on each node",
                "Say --every-node: the whole script runs on each, and srun starts its own share.",
            )
        for option in _srun_options(rest):
            problem = f"{option} of srun is not known away from Slurm"
            reader.fault(line, name, problem, "Remove it, or say --leave-out srun.")
    elif name in ("mpirun", "mpiexec") and shape.nodes > 1:
        reader.fault(line, name, "nothing tells it the other nodes away from Slurm", remedy)


def _srun_options(rest: str) -> list[str]:
    """Those that the stand-in does not know; none where the line cannot be taken apart."""
    try:
        words = shlex.split(re.split(r"[;&|)`]", rest)[0].rstrip("\\"))
    except ValueError:
        return []
    unknown = []
    while words and words[0].startswith("-") and words[0] != "--":
        word = words.pop(0)
        long = word.startswith("--")
        name = word[2:].partition("=")[0] if long else word[1]
        if name in SRUN_VALUES:
            if not ("=" in word if long else len(word) > 2) and words:
                words.pop(0)
        elif name not in SRUN_FLAGS:
            unknown.append(word)
    return unknown
