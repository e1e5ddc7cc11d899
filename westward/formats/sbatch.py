"""An sbatch script as a Westward job: a SkyPilot task to read, keep and hand in.

Every ``#SBATCH`` option is honoured, or without effect and said so, or refused by name with its
line; so is every Slurm command and variable that the script uses. All of them are told at once.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import yaml

from westward.formats import sbatch_values as values
from westward.formats.job_fields import suggestion
from westward.formats.listed import NAME
from westward.formats.sbatch_body import check_body
from westward.formats.sbatch_options import (
    ALL_OPTIONS,
    FLAGS,
    KEPT,
    MAY_HAVE_VALUE,
    REFUSED,
    SHORT,
    WITHOUT_EFFECT,
)
from westward.formats.sbatch_reader import Choices, Given, Reader
from westward.formats.sbatch_script import (
    Shape,
    run_text,
)
from westward.model.faults import InputFaults
from westward.model.units import format_duration

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The job file's text, and what should be said about it."""

    text: str
    notes: tuple[str, ...]
    array: bool = False


def read_sbatch(text: str, *, file: str, choices: Choices) -> Imported:
    """``text`` as a job file. Raises InputFaults with everything that cannot be honoured."""
    reader = Reader(file, choices)
    lines = text.split("\n")
    if not lines[0].startswith("#!"):
        reader.fault(
            1, "", "it does not begin with #!, so sbatch would refuse it", "Begin with #!/bin/bash."
        )
    body_from = _options(reader, lines)
    shape = _shape(reader)
    check_body(reader, lines, body_from, shape)
    task = _task(reader, text, shape)
    if reader.faults:
        raise InputFaults(reader.faults)
    return Imported(
        text=_written(task, reader, file), notes=tuple(reader.notes), array=bool(shape.array)
    )


# -- options


def _options(reader: Reader, lines: list[str]) -> int:
    """Reads the directives; returns the index of the script's first command."""
    first = len(lines)
    for index, line in enumerate(lines):
        text = line.strip()
        if index and text and not text.startswith("#"):
            first = index
            break
        if line.startswith("#SBATCH"):
            _directive(reader, line[len("#SBATCH") :], index + 1)
        elif line.startswith(("#PBS", "#BSUB")):
            reader.fault(index + 1, line.split()[0], "it is of another scheduler", "Remove it.")
    for index in range(first, len(lines)):
        if lines[index].startswith("#SBATCH"):
            reader.notes.append(
                f"line {index + 1}: {lines[index].strip()} stands after the first command: sbatch "
                "does not read it, and neither does the import"
            )
    return first


def _directive(reader: Reader, text: str, line: int) -> None:
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        reader.fault(line, "#SBATCH", f"it cannot be read: {error}", "Close the quotes.")
        return
    if words and words[0] in ("hetjob", "packjob"):
        reader.fault(
            line,
            words[0],
            "Westward cannot honour jobs of unlike parts: a gang's nodes are alike",
            "Make a job of each part.",
        )
        return
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = _whole_name(name)
        elif word.startswith("-") and len(word) > 1:
            name, value = SHORT.get(word[1], word[1]), word[2:]
            equals = "=" if value else ""
        else:
            reader.fault(line, word, "it is not an option", "Write --NAME=VALUE.")
            continue
        needs = name in ALL_OPTIONS and name not in FLAGS and name not in MAY_HAVE_VALUE
        if needs and not equals:
            if not words:
                reader.fault(line, f"--{name}", "it has no value", f"Write --{name}=VALUE.")
                continue
            value = words.pop(0)
        _note_option(reader, Given(name, value, line))


def _whole_name(name: str) -> str:
    """sbatch takes the beginning of a long option where that is clear, and some old names."""
    old = {"workdir": "chdir", "ntasks_per_node": "ntasks-per-node", "share": "oversubscribe"}
    if name in ALL_OPTIONS or not name:
        return old.get(name, name)
    longer = [one for one in ALL_OPTIONS if one.startswith(name)]
    return longer[0] if len(longer) == 1 else old.get(name, name)


def _note_option(reader: Reader, given: Given) -> None:
    name, place = given.name, f"--{given.name}"
    if name in reader.choices.leave_out:
        reader.notes.append(f"line {given.line}: {place} {given.value} was left out".rstrip())
    elif name in WITHOUT_EFFECT:
        reader.notes.append(f"line {given.line}: {place} has no effect: {WITHOUT_EFFECT[name]}")
    elif name in KEPT:
        reader.given[name] = given  # as in sbatch, the last one counts
    elif _asks_nothing(given):
        reader.notes.append(f"line {given.line}: {place}={given.value} asks for nothing")
    elif name in REFUSED:
        why = REFUSED[name]
        problem = f"Westward cannot honour it: {why.reason}"
        reader.fault(given.line, place, problem, why.remedy)
    else:
        remedy = suggestion(name, ALL_OPTIONS)
        if not remedy.startswith("Did"):
            remedy = "See docs/howto/sbatch.md for the options there are."
        reader.fault(given.line, place, "sbatch has no such option", remedy)


def _asks_nothing(given: Given) -> bool:
    nothing = {"mail-type": "NONE", "nice": "0", "no-kill": "off"}
    return given.value.upper() == nothing.get(given.name, "\0").upper()


# -- what is asked for


def _shape(reader: Reader) -> Shape:
    nodes = reader.take("nodes", values.node_count)
    tasks = reader.take("ntasks", values.whole)
    per_node = reader.take("ntasks-per-node", values.whole)
    per_task = reader.take("cpus-per-task", values.whole)
    if nodes is None:
        nodes = math.ceil(tasks / per_node) if tasks and per_node else 1
    if tasks is None:
        tasks = nodes * (per_node or 1)
    most = math.ceil(tasks / nodes)
    if tasks < nodes:
        reader.fault(
            reader.line_of("ntasks", "nodes"),
            "--ntasks",
            f"{tasks} tasks leave some of {nodes} nodes without one",
            "Ask for fewer nodes.",
        )
    elif per_node is not None and most > per_node:
        reader.fault(
            reader.line_of("ntasks-per-node"),
            "--ntasks-per-node",
            f"{tasks} tasks on {nodes} nodes are more than {per_node} a node",
            "Make the three agree.",
        )
    kind, gpus = _gpus(reader, nodes, most)
    cpus = _cpus(reader, most, per_task, gpus)
    name = reader.take("job-name", str) or _stem(reader.file)
    if NAME.fullmatch(name) is None:
        better = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:63] or "job"
        reader.notes.append(f"the job is called {better}: {name!r} is no name of a job")
        name = better
    early = reader.take("signal", values.early_signal)
    limit = reader.take("time", values.limit_seconds)
    if early is not None and limit is None:
        reader.fault(
            reader.line_of("signal"),
            "--signal",
            "it counts from the time limit, and there is none",
            "Add --time.",
        )
    shape = Shape(
        name=name,
        nodes=nodes,
        tasks=tasks,
        tasks_per_node=per_node,
        cpus_per_task=per_task,
        cpus_per_node=cpus,
        memory_mib=_memory(reader, cpus or most, gpus),
        gpus_per_node=gpus,
        account=reader.take("account", str),
        limit_s=limit,
        early=early,
        output=reader.take("output", _relative),
        error=reader.take("error", _relative),
        stdin=reader.take("input", str),
        every_node=reader.choices.every_node,
    )
    ids = reader.take("array", values.array_tasks)
    if ids is not None:
        shape = replace(shape, array=tuple(ids))
    reader.kind = kind
    return shape


def _gpus(reader: Reader, nodes: int, tasks_per_node: int) -> tuple[str | None, int]:
    """Kind and count per node, from whichever of the four options is there."""
    found: list[tuple[str, str | None, int]] = []
    for name in ("gres", "gpus-per-node", "gpus", "gpus-per-task"):
        read = reader.take(name, values.gres if name == "gres" else values.accelerator)
        if read is None:
            continue
        kind, count = read
        if name == "gpus-per-task":
            count *= tasks_per_node
        if name == "gpus":
            if count % nodes:
                problem = f"{count} gpus cannot be divided evenly over {nodes} nodes"
                reader.fault(reader.line_of(name), "--gpus", problem, "Write --gpus-per-node.")
                continue
            count //= nodes
        found.append((name, kind, count))
    if not found:
        return None, 0
    name, kind, count = found[0]
    for other, its_kind, its_count in found[1:]:
        kind = kind or its_kind
        if its_count != count or (its_kind or kind) != kind:
            problem = f"it asks for {its_count} gpus a node, --{name} for {count}"
            reader.fault(reader.line_of(other), f"--{other}", problem, "Keep one of them.")
    if count == 0:
        return None, 0
    kinds = reader.choices.gpu_kinds
    if (kind or "") not in kinds and kind is None:
        reader.fault(
            reader.line_of(name),
            f"--{name}",
            "it does not say which kind of gpu, and Westward's sites have several",
            "Say for example --gpu A100.",
        )
    return kinds.get(kind or "", kind), count


def _cpus(reader: Reader, tasks_per_node: int, per_task: int | None, gpus: int) -> int | None:
    """Per node; None: nothing was said about cpus or tasks."""
    per_gpu = reader.take("cpus-per-gpu", values.whole)
    least = reader.take("mincpus", values.whole)
    asked = [least] if least else []
    if per_task is not None or tasks_per_node > 1:
        asked.append(tasks_per_node * (per_task or 1))
    if per_gpu is not None:
        asked.append(per_gpu * gpus)
        if not gpus:
            line = reader.line_of("cpus-per-gpu")
            reader.fault(
                line, "--cpus-per-gpu", "no gpu is asked for", "Ask for one, or remove it."
            )
    return max(asked, default=None)


def _memory(reader: Reader, cpus: int, gpus: int) -> int | None:
    found = {
        name: mib
        for name in ("mem", "mem-per-cpu", "mem-per-gpu")
        if (mib := reader.take(name, values.memory_mib)) is not None
    }
    if len(found) > 1:
        names = " and ".join(f"--{name}" for name in found)
        line = reader.line_of(*found)
        reader.fault(line, names, "they exclude each other", "Keep one of them.")
    if "mem-per-cpu" in found:
        return values.whole_mib(found["mem-per-cpu"] * cpus)
    if "mem-per-gpu" in found:
        if not gpus:
            line = reader.line_of("mem-per-gpu")
            reader.fault(line, "--mem-per-gpu", "no gpu is asked for", "Ask for one, or remove it.")
        return values.whole_mib(found["mem-per-gpu"] * max(1, gpus))
    return values.whole_mib(found["mem"]) if "mem" in found else None


def _relative(text: str) -> str:
    if text == "/dev/null":
        raise ValueError("a job's output is always kept; leave the option out")
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise ValueError(
            f"{text!r} lies outside of the job's output folder; write a relative path (the job's "
            "log is kept in any case: 'westward logs')"
        )
    return text


def _stem(file: str) -> str:
    name = file.rpartition("/")[2]
    return name if NAME.fullmatch(name) else "job"


# -- the job file


def _task(reader: Reader, text: str, shape: Shape) -> dict[str, Any]:
    task: dict[str, Any] = {"name": shape.name}
    workdir = reader.take("chdir", str) or reader.choices.workdir
    if workdir is not None:
        task["workdir"] = workdir
    if shape.nodes > 1:
        task["num_nodes"] = shape.nodes
    resources: dict[str, Any] = {}
    if reader.choices.infra is not None:
        resources["infra"] = reader.choices.infra
    if reader.kind and shape.gpus_per_node:
        resources["accelerators"] = f"{reader.kind}:{shape.gpus_per_node}"
    if shape.cpus_per_node is not None:
        resources["cpus"] = shape.cpus_per_node
    if shape.memory_mib is not None:
        resources["memory"] = f"{shape.memory_mib}MB"
    labels = _labels(reader, shape)
    if labels:
        resources["labels"] = labels
    if resources:
        task["resources"] = resources
    envs = _exported(reader)
    if envs:
        task["envs"] = envs
    task["run"] = run_text(text, shape)
    return task


def _labels(reader: Reader, shape: Shape) -> dict[str, str]:
    labels: dict[str, str] = {}
    if shape.limit_s is not None:
        labels["westward.duration"] = _exact(shape.limit_s)
    for option, term in (("begin", "westward.start_after"), ("deadline", "westward.deadline")):
        moment = reader.take(option, values.instant)
        if moment is not None:
            labels[term] = moment
    if shape.account is not None:
        labels["westward.account"] = shape.account
    if shape.array:
        labels["westward.array"] = str(len(shape.array))
    after = reader.take("dependency", lambda text: values.dependency(text, reader.choices.jobs))
    if after:
        labels["westward.after"] = after
    comment = reader.take("comment", str)
    if comment:
        labels["slurm.comment"] = comment
    return labels


def _exact(seconds: int) -> str:
    text = format_duration(seconds * 1000)
    return text if seconds % 60 == 0 and seconds < 86_400 else f"{seconds}s"


def _exported(reader: Reader) -> dict[str, str]:
    given = reader.given.get("export")
    if given is None:
        return {}
    envs: dict[str, str] = {}
    for part in given.value.split(","):
        name, equals, value = part.strip().partition("=")
        if name.upper() in ("NONE", "NIL") and not equals:
            continue
        if name.upper() == "ALL" and not equals:
            reader.notes.append(
                f"line {given.line}: --export=ALL: the variables of this shell stay here; jobs see "
                "the site's, and what is named"
            )
        elif equals:
            envs[name] = value
        elif name in reader.choices.environment:
            envs[name] = reader.choices.environment[name]
        else:
            problem = f"the variable {name} is not set here"
            reader.fault(given.line, "--export", problem, f"Write {name}=VALUE.")
    return envs


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _written(task: dict[str, Any], reader: Reader, file: str) -> str:
    head = [f"# Imported from the sbatch script {file.rpartition('/')[2]}."]
    head += [f"# {note}" for note in reader.notes]
    body = yaml.dump(task, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return "\n".join(head) + "\n" + body
