"""The bash text that runs an imported sbatch script: Slurm's variables, then the script itself.

Where the script would have ``srun`` or ``scontrol show hostnames``, small stand-ins of the same
names answer: they start the tasks of this node, and list the nodes.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

END = "WESTWARD_SBATCH_SCRIPT"
_TRAP = "trap : TERM INT HUP USR1 USR2"
KILL_AFTER_S = 30
"""Slurm's default KillWait."""

SET_VARIABLES: tuple[str, ...] = (
    "SLURM_JOB_ID", "SLURM_JOBID", "SLURM_JOB_NAME", "SLURM_JOB_NUM_NODES", "SLURM_NNODES",
    "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NTASKS_PER_NODE", "SLURM_TASKS_PER_NODE",
    "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_JOB_CPUS_PER_NODE", "SLURM_MEM_PER_NODE",
    "SLURM_GPUS", "SLURM_GPUS_PER_NODE", "SLURM_GPUS_ON_NODE", "SLURM_SUBMIT_DIR", "SLURM_NODEID",
    "SLURM_PROCID", "SLURM_LOCALID", "SLURM_JOB_NODELIST", "SLURM_NODELIST", "SLURMD_NODENAME",
    "SLURM_RESTART_COUNT", "SLURM_JOB_ACCOUNT", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX",
)  # fmt: skip
"""Set where they are true (those of an array in an array only, and so on)."""

SRUN_FLAGS = frozenset(["l", "label", "u", "unbuffered", "K", "kill-on-bad-exit"])
SRUN_VALUES = frozenset(
    ["n", "ntasks", "N", "nodes", "c", "cpus-per-task", "ntasks-per-node", "wait"]
)
"""Options of srun that the stand-in knows; ``wait`` changes nothing here."""

_SRUN = r"""#!/bin/bash
# srun, as far as Westward has it: starts this node's share of the tasks and waits for them.
tasks= nodes= per_node= label=0
usage() { printf 'srun (of Westward): %s\n' "$1" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    --*=*) name=${1%%=*}; value=${1#*=}; shift; set -- "$name" "$value" "$@" ;;
  esac
  case $1 in
    -n|--ntasks) tasks=$2; shift 2 ;;
    -N|--nodes) nodes=$2; shift 2 ;;
    --ntasks-per-node) per_node=$2; shift 2 ;;
    -c|--cpus-per-task) export SLURM_CPUS_PER_TASK=$2; shift 2 ;;
    --wait) shift 2 ;;
    -l|--label) label=1; shift ;;
    -u|--unbuffered) shift ;;
    -K|--kill-on-bad-exit) shift; case ${1:-} in 0|1) shift ;; esac ;;
    -n?*) tasks=${1#-n}; shift ;;
    -N?*) nodes=${1#-N}; shift ;;
    -c?*) export SLURM_CPUS_PER_TASK=${1#-c}; shift ;;
    -*) usage "option $1 is not known here" ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || usage "there is nothing to start"
nodes=${nodes:-$SLURM_NNODES}
[ -n "$tasks" ] || { [ -z "$per_node" ] || tasks=$((nodes * per_node)); }
[ -n "$tasks" ] || { [ "$nodes" = "$SLURM_NNODES" ] && tasks=$SLURM_NTASKS || tasks=$nodes; }
[ "$tasks" -ge "$nodes" ] || nodes=$tasks
[ "$SLURM_NODEID" -lt "$nodes" ] || exit 0
base=$((tasks / nodes)) more=$((tasks % nodes))
if [ "$SLURM_NODEID" -lt "$more" ]; then mine=$((base + 1)) first=$((SLURM_NODEID * (base + 1)))
else mine=$base first=$((more + SLURM_NODEID * base)); fi
export SLURM_NTASKS=$tasks SLURM_NPROCS=$tasks SLURM_STEP_NUM_TASKS=$tasks
pids=()
for ((i = 0; i < mine; i++)); do
  export SLURM_PROCID=$((first + i)) SLURM_LOCALID=$i
  if [ "$label" = 1 ]; then
    ( set -o pipefail; "$@" 2>&1 | sed -u "s/^/$SLURM_PROCID: /" ) &
  else
    "$@" &
  fi
  pids+=($!)
done
code=0
for pid in "${pids[@]}"; do
  wait "$pid"; one=$?
  [ "$one" -le "$code" ] || code=$one
done
exit "$code"
"""
_SCONTROL = r"""#!/bin/bash
# scontrol, as far as Westward has it.
if [ "${1:-}" = show ] && [[ "${2:-}" == hostname* ]]; then
  printf '%s\n' "${3:-$SLURM_JOB_NODELIST}" | tr ',' '\n'
else
  printf 'scontrol (of Westward): only show hostnames is known here\n' >&2
  exit 2
fi
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an sbatch script asked for, per job; None = it did not say."""

    name: str
    nodes: int = 1
    tasks: int = 1
    tasks_per_node: int | None = None
    cpus_per_task: int | None = None
    cpus_per_node: int | None = None
    memory_mib: int | None = None
    gpus_per_node: int = 0
    account: str | None = None
    array: tuple[int, ...] = ()
    limit_s: int | None = None
    early: tuple[str, int] | None = None
    output: str | None = None
    error: str | None = None
    stdin: str | None = None
    every_node: bool = False


def run_text(script: str, shape: Shape) -> str:
    """The whole of ``run:``."""
    lines = ["# Slurm's variables, where they are true of this job."]
    lines += [f"export {name}={value}" for name, value in variables(shape)]
    if shape.nodes > 1 and not shape.every_node:
        lines += [
            "# sbatch starts the script on the first node only.",
            '[ "$SLURM_NODEID" = 0 ] || exit 0',
        ]
    lines += [
        'sbatch_dir="$PWD/.sbatch/$SLURM_NODEID"',
        'mkdir -p "$sbatch_dir/bin"',
        *_file("bin/srun", _SRUN),
        *_file("bin/scontrol", _SCONTROL),
        *_file("script", script),
        'chmod +x "$sbatch_dir/script" "$sbatch_dir"/bin/*',
        'export PATH="$sbatch_dir/bin:$PATH"',
        *_start(shape),
    ]
    return "\n".join(lines) + "\n"


def variables(shape: Shape) -> list[tuple[str, str]]:
    """Names and bash words."""
    base, more = divmod(shape.tasks, shape.nodes)
    layout = (
        f"{base}(x{shape.nodes})"
        if not more
        else f"{base + 1}(x{more}),{base}(x{shape.nodes - more})"
    )
    layout = str(shape.tasks) if shape.nodes == 1 else layout
    found = [
        ("SLURM_JOB_ID", '"$WESTWARD_JOB_ID"'),
        ("SLURM_JOBID", '"$WESTWARD_JOB_ID"'),
        ("SLURM_JOB_NAME", shlex.quote(shape.name)),
        ("SLURM_JOB_NUM_NODES", str(shape.nodes)),
        ("SLURM_NNODES", str(shape.nodes)),
        ("SLURM_NTASKS", str(shape.tasks)),
        ("SLURM_NPROCS", str(shape.tasks)),
        ("SLURM_TASKS_PER_NODE", shlex.quote(layout)),
        ("SLURM_SUBMIT_DIR", '"$PWD"'),
        ("SLURM_NODEID", '"${SKYPILOT_NODE_RANK:-0}"'),
        ("SLURM_PROCID", '"$SLURM_NODEID"' if shape.every_node else "0"),
        ("SLURM_LOCALID", "0"),
        ("SLURM_JOB_NODELIST", '"$(printf %s "${SKYPILOT_NODE_IPS:-127.0.0.1}" | tr \'\\n\' ,)"'),
        ("SLURM_NODELIST", '"$SLURM_JOB_NODELIST"'),
        ("SLURMD_NODENAME", '"$(uname -n)"'),
        ("SLURM_RESTART_COUNT", "$((${WESTWARD_ATTEMPT:-1} - 1))"),
    ]
    if shape.tasks_per_node is not None:
        found.append(("SLURM_NTASKS_PER_NODE", str(shape.tasks_per_node)))
    if shape.cpus_per_task is not None:
        found.append(("SLURM_CPUS_PER_TASK", str(shape.cpus_per_task)))
    if shape.cpus_per_node is not None:
        many = f"(x{shape.nodes})" if shape.nodes > 1 else ""
        found.append(("SLURM_CPUS_ON_NODE", str(shape.cpus_per_node)))
        found.append(("SLURM_JOB_CPUS_PER_NODE", shlex.quote(f"{shape.cpus_per_node}{many}")))
    if shape.memory_mib is not None:
        found.append(("SLURM_MEM_PER_NODE", str(shape.memory_mib)))
    if shape.gpus_per_node:
        found.append(("SLURM_GPUS", str(shape.gpus_per_node * shape.nodes)))
        found.append(("SLURM_GPUS_PER_NODE", str(shape.gpus_per_node)))
        found.append(("SLURM_GPUS_ON_NODE", str(shape.gpus_per_node)))
    if shape.account is not None:
        found.append(("SLURM_JOB_ACCOUNT", shlex.quote(shape.account)))
    if shape.array:
        found += _array(shape.array)
    return found


def _array(ids: tuple[int, ...]) -> list[tuple[str, str]]:
    step = ids[1] - ids[0] if len(ids) > 1 else 1
    if all(have == ids[0] + step * index for index, have in enumerate(ids)):
        task = f"$(({ids[0]} + {step} * WESTWARD_ARRAY_INDEX))"
    else:
        listed = " ".join(map(str, ids))
        task = f'"$(set -- {listed}; shift "$WESTWARD_ARRAY_INDEX"; printf %s "$1")"'
    return [
        ("SLURM_ARRAY_JOB_ID", '"${WESTWARD_ARRAY_ID:-$WESTWARD_JOB_ID}"'),
        ("SLURM_ARRAY_TASK_ID", task),
        ("SLURM_ARRAY_TASK_COUNT", str(len(ids))),
        ("SLURM_ARRAY_TASK_MIN", str(min(ids))),
        ("SLURM_ARRAY_TASK_MAX", str(max(ids))),
    ]


def _file(name: str, text: str) -> list[str]:
    return [f"cat >\"$sbatch_dir/{name}\" <<'{END}'", text.rstrip("\n"), END]


def _start(shape: Shape) -> list[str]:
    """The script with its input, time limit, early signal and output files.

    The watchers wait by ``read -t``: a ``sleep`` would outlive them and hold the output open.
    """
    command = '"$sbatch_dir/script"'
    if shape.stdin is not None:
        command += f" <{shlex.quote(shape.stdin)}"
    lines = [_TRAP, "sbatch_run() {"]
    if shape.limit_s is None:
        lines += [f"  exec {command}", "}"]
    else:
        lines += [f"  {_TRAP}", '  mkfifo "$sbatch_dir/nap"', f"  {command} &"]
        lines += ["  local script=$! code watch=()"]
        if shape.early is not None:
            name, before_s = shape.early
            nap = f'read -r -t {max(0, shape.limit_s - before_s)} <>"$sbatch_dir/nap"'
            lines += [f"  ( {nap}; kill -{name} $script ) 2>/dev/null & watch+=($!)"]
        nap = 'read -r -t {0} <>"$sbatch_dir/nap"'
        lines += [
            f"  ( {nap.format(shape.limit_s)}",
            f"    printf 'the time limit of {shape.limit_s} s is over\\n' >&2",
            '    : >"$sbatch_dir/over"; kill -TERM $script',
            f"    {nap.format(KILL_AFTER_S)}; kill -KILL $script ) & watch+=($!)",
            "  wait $script; code=$?",
            "  # A signal that came for this shell ended the wait, not the script.",
            "  while kill -0 $script 2>/dev/null; do wait $script; code=$?; done",
            '  kill -KILL "${watch[@]}" 2>/dev/null',
            '  if [ -e "$sbatch_dir/over" ] && [ $code = 0 ]; then code=124; fi',
            "  return $code",
            "}",
        ]
    if shape.output is None and shape.error is None:
        return [*lines, "sbatch_run"]
    lines += [
        'sbatch_out="${WESTWARD_OUTPUT:-$PWD}"',
        'sbatch_keep() { trap \'\' TERM INT HUP USR1 USR2; mkdir -p "$(dirname "$1")"; exec tee "$1"; }',
    ]
    if shape.error is None:
        lines.append(
            f'sbatch_run 2>&1 | sbatch_keep "$sbatch_out"/{_pattern(shape.output or "", shape)}'
        )
        return [*lines, 'exit "${PIPESTATUS[0]}"']
    output = f'"$sbatch_out"/{_pattern(shape.output, shape)}' if shape.output else "/dev/null"
    lines += [
        f'{{ sbatch_run 2>&1 >&3 3>&- | sbatch_keep "$sbatch_out"/{_pattern(shape.error, shape)} >&2 3>&-',
        f'  exit "${{PIPESTATUS[0]}}"; }} 3>&1 | sbatch_keep {output}',
        'exit "${PIPESTATUS[0]}"',
    ]
    return lines


def _pattern(text: str, shape: Shape) -> str:
    """``slurm-%j.out`` as a bash word."""
    stands = {
        "%": "%", "j": '"$SLURM_JOB_ID"', "J": '"$SLURM_JOB_ID"', "A": '"${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}"',
        "a": '"${SLURM_ARRAY_TASK_ID:-4294967294}"', "x": shlex.quote(shape.name), "u": '"$(id -un)"',
        "N": '"$SLURMD_NODENAME"', "n": '"$SLURM_NODEID"', "t": "0", "s": "batch",
    }  # fmt: skip
    word, at = "", 0
    while at < len(text):
        if text[at] != "%":
            end = text.find("%", at)
            end = len(text) if end < 0 else end
            word += shlex.quote(text[at:end])
            at = end
            continue
        end = at + 1
        while end < len(text) and text[end].isdecimal():
            end += 1
        word += stands.get(text[end : end + 1], shlex.quote(text[at : end + 1]))
        at = end + 1
    return word
