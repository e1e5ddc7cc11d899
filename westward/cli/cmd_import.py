"""``westward import sbatch FILE``: what others wrote, as a job file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from uuid import uuid4

import click

from westward.cli.fail import EXIT_OK, Failure
from westward.cli.output import json_option, print_json
from westward.cli.pairs import read_pairs
from westward.cli.server_option import server_option


@click.group("import")
def import_group() -> None:
    """Turn a script for another system into a Westward job file."""


@import_group.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="JOB.yaml",
    type=click.Path(path_type=Path),
    help="Write the job file there. [standard output]",
)
@click.option("--submit", is_flag=True, help="Hand the job in at once.")
@click.option(
    "--leave-out",
    metavar="NAME,...",
    multiple=True,
    help="Options, Slurm commands and SLURM_ variables that the job can do without "
    "(partition,mail-type). What was left out stands at the head of the job file.",
)
@click.option(
    "--gpu",
    "gpus",
    metavar="[WORD=]KIND",
    multiple=True,
    help="The network's accelerator for Slurm's word (a100=A100), or for gpus of no stated kind.",
)
@click.option("--infra", metavar="PLACE", help="Where it may run: slurm/SITE, */SITE. [anywhere]")
@click.option(
    "--every-node",
    is_flag=True,
    help="Run the whole script on every node; srun starts that node's share of the tasks. (sbatch "
    "runs it on the first node only.)",
)
@click.option(
    "--no-workdir", is_flag=True, help="Do not take the script's own folder along to the site."
)
@click.option(
    "--job",
    "jobs",
    metavar="ID=JOB",
    multiple=True,
    help="The Westward job that stands for a Slurm job id of --dependency. Repeatable.",
)
@server_option
@json_option
def sbatch(
    file: Path,
    output: Path | None,
    submit: bool,
    leave_out: tuple[str, ...],
    gpus: tuple[str, ...],
    infra: str | None,
    every_node: bool,
    no_workdir: bool,
    jobs: tuple[str, ...],
    server: str | None,
    as_json: bool,
) -> int:
    """Turn the sbatch script FILE into a Westward job file.

    Each #SBATCH option is honoured, or without effect and said so, or refused by name with its
    line; all refusals are told at once. Slurm's variables are set where they are true of the job,
    and srun starts its tasks. docs/howto/sbatch.md lists every option.
    """
    from westward.cli.client import Client
    from westward.cli.cmd_submit import hand_in
    from westward.formats.sbatch import read_sbatch
    from westward.formats.sbatch_reader import Choices
    from westward.formats.skypilot import read_task, read_task_text

    if submit and output is not None:
        raise Failure("westward import sbatch: give --submit or -o, not both.")
    folder = file.resolve().parent
    beside = output is not None and output.resolve().parent == folder
    choices = Choices(
        leave_out=frozenset(
            name.strip().lstrip("-") for part in leave_out for name in part.split(",")
        ),
        gpu_kinds=read_pairs("--gpu", gpus, "KIND or WORD=KIND", alone=""),
        infra=infra,
        every_node=every_node,
        jobs=read_pairs("--job", jobs, "ID=JOB"),
        environment=os.environ,
        workdir=None if no_workdir else ("." if beside else str(folder)),
    )
    text = read_task_text(file)
    imported = read_sbatch(text, file=str(file), choices=choices)
    job_id = f"job_{uuid4().hex[:12]}"
    read_task(
        imported.text, file=f"{file} (as a job)", job_id=job_id, now_ms=0,
        base_dir=folder, check_paths=True,
    )  # fmt: skip
    for note in imported.notes:
        print(note, file=sys.stderr)
    if submit:
        return hand_in(
            Client(server), imported.text, file=file, job_id=job_id, several=imported.array,
            wait=False, as_json=as_json,
        )  # fmt: skip
    if output is not None:
        output.write_text(imported.text, encoding="utf-8")
    elif as_json:
        print_json({"task": imported.text, "notes": list(imported.notes)})
    else:
        print(imported.text, end="")
    return EXIT_OK
