"""The bash script that runs a TES task's executors in order on a site's own host.

A TES path is absolute inside a container. Here every path that the task declares lies below
``$PWD/tes/RANK``, and where a declared path stands in a command or a variable the real one is put
in: as a whole path or the beginning of one, never in the middle of a word.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable

from westward.formats.tes_log import TAIL_BYTES
from westward.formats.tes_model import TesExecutor, TesInput, TesOutput, TesTask

SYSTEM_EXIT_CODE = 121
"""The script's own exit code when inputs or outputs failed, and no executor did."""
_WILD = re.compile(r"\[[!^]?[A-Za-z0-9._-]+\]|[*?]")
"""Wildcards of POSIX 2.13 as they may stand in ``outputs[].path``."""

_HEAD = r"""# Written by Westward from a GA4GH TES task. Executors run in order; each one's end is told in the
# log by a line that begins with the ASCII record separator.
tes_rank=${SKYPILOT_NODE_RANK:-0}
tes_root="$PWD/tes/$tes_rank"
tes_logs="$PWD/tes/log-$tes_rank"
tes_summary=()
tes_outputs=0
tes_code=0
tes_stopped=0
mkdir -p "$tes_root" "$tes_logs" || exit 121
mkfifo "$tes_logs/nap" || exit 121
trap 'tes_stopped=1' TERM INT HUP USR1 USR2

tes_now() {
  local now=${EPOCHREALTIME:-$(date +%s).000000}
  now=${now/[.,]/}
  printf %s "${now%???}"
}
tes_b64() {
  local text
  text=$(base64 | tr -d '\n')
  printf %s "${text:--}"
}
tes_tell() { printf '\036TES @WORD@ %s\n' "$*"; }
tes_problem() {
  tes_tell problem "$(printf %s "$1" | tes_b64)"
  printf '%s\n' "$1" >&2
  tes_code=121
}

# tes_run INDEX IGNORE STDOUT STDERR: both streams go to the log as they come, to the files the task
# names (if any), and their ends into the record. The helpers outlive a TERM so that what the
# executor says last is kept.
tes_run() {
  local code start end pipe pids=()
  for pipe in o e ot et; do
    rm -f "$tes_logs/$pipe"
    mkfifo "$tes_logs/$pipe" || return 121
  done
  ( trap '' TERM INT HUP USR1 USR2; exec tail -c @TAIL@ <"$tes_logs/ot" >"$tes_logs/out" ) & pids+=($!)
  ( trap '' TERM INT HUP USR1 USR2; exec tail -c @TAIL@ <"$tes_logs/et" >"$tes_logs/err" ) & pids+=($!)
  ( trap '' TERM INT HUP USR1 USR2; exec tee "$tes_logs/ot" ${3:+"$3"} <"$tes_logs/o" ) & pids+=($!)
  ( trap '' TERM INT HUP USR1 USR2; exec tee "$tes_logs/et" ${4:+"$4"} <"$tes_logs/e" >&2 ) & pids+=($!)
  start=$(tes_now)
  ( trap - TERM INT HUP USR1 USR2; "tes_executor_$1" ) >"$tes_logs/o" 2>"$tes_logs/e" </dev/null
  code=$?
  end=$(tes_now)
  # What the executor left in the background may hold its output open: five seconds, then on.
  ( read -r -t 5 <>"$tes_logs/nap"; kill -KILL "${pids[2]}" "${pids[3]}" ) 2>/dev/null &
  local guard=$!
  wait "${pids[@]}" 2>/dev/null
  kill -KILL "$guard" 2>/dev/null
  wait "$guard" 2>/dev/null
  tes_tell end "$1" "$code" "$start" "$end" "$(tes_b64 <"$tes_logs/out")" "$(tes_b64 <"$tes_logs/err")"
  tes_summary+=("$1,$code,$start,$end")
  if [ "$2" = 0 ] || [ "$tes_stopped" = 1 ]; then tes_code=$code; fi
  if [ "$tes_stopped" = 1 ] && [ "$tes_code" = 0 ]; then tes_code=143; fi
}
tes_go_on() { [ "$tes_code" = 0 ] && [ "$tes_stopped" = 0 ]; }

# tes_told FILE PATH URL: one output file of the task, as it now lies at its URL.
tes_told() {
  tes_tell output "$(printf %s "$2" | tes_b64)" "$(printf %s "$3" | tes_b64)" "$(wc -c <"$1" | tr -d ' ')"
  tes_outputs=$((tes_outputs + 1))
}
# tes_put SOURCE TARGET PATH URL
tes_put() {
  local file
  if [ -d "$1" ]; then
    mkdir -p "$2" && cp -rL "$1/." "$2/" || { tes_problem "output $3 cannot be copied to $4"; return; }
    while IFS= read -r -d '' file; do
      tes_told "$file" "$3${file#"$1"}" "$4${file#"$1"}"
    done < <(find -L "$1" -type f -print0)
  elif [ -e "$1" ]; then
    mkdir -p "$(dirname "$2")" && cp -L "$1" "$2" || { tes_problem "output $3 cannot be copied to $4"; return; }
    tes_told "$1" "$3" "$4"
  else
    tes_problem "output $3 was not written by any executor"
  fi
}
"""
_TAIL = r"""
tes_tell summary "$tes_outputs" "${tes_summary[@]}"
exit "$tes_code"
"""


class Paths:
    """Puts the job's own folder before the declared paths."""

    def __init__(self, declared: Iterable[str]) -> None:
        longest_first = sorted({path.rstrip("/") for path in declared}, key=lambda p: (-len(p), p))
        self._pattern = (
            re.compile(
                r"(?:(?<![\w./-])|(?<=^-[A-Za-z])|(?<=\s-[A-Za-z]))(?:"
                + "|".join(re.escape(path) for path in longest_first)
                + r")(?=$|/|[^\w.-])"
            )
            if longest_first
            else None
        )

    def word(self, text: str) -> str:
        """``text`` as one bash word, with the real paths in place of the declared ones."""
        if self._pattern is None:
            return shlex.quote(text)
        parts: list[str] = []
        at = 0
        for match in self._pattern.finditer(text):
            if match.start() > at:
                parts.append(shlex.quote(text[at : match.start()]))
            parts.append('"$tes_root"')
            at = match.start()
        if at < len(text) or not parts:
            parts.append(shlex.quote(text[at:]))
        return "".join(parts)


def declared_paths(task: TesTask) -> list[str]:
    """Every path that the task says is its own."""
    paths = [one.path for one in task.inputs or ()]
    for output in task.outputs or ():
        paths.append(_literal_folder(output.path))
        if output.path_prefix and is_wild(output.path):
            paths.append(output.path_prefix)
    paths.extend(task.volumes or ())
    for executor in task.executors:
        streams = (executor.workdir, executor.stdin, executor.stdout, executor.stderr)
        paths.extend(path for path in streams if path)
    return [path for path in paths if path.strip("/")]


def is_wild(path: str) -> bool:
    return _WILD.search(path) is not None


def _literal_folder(path: str) -> str:
    """The part of a path before its first wildcard; the path itself without one."""
    match = _WILD.search(path)
    return path if match is None else path[: match.start()].rpartition("/")[0]


def real(path: str) -> str:
    """A declared path as a bash word."""
    return '"$tes_root"' + shlex.quote(path)


def bash_script(task: TesTask, word: str) -> str:
    """The whole script. ``word`` marks its records; inputs by URL lie at ``tes/in/INDEX``."""
    paths = Paths(declared_paths(task))
    lines = [_HEAD.replace("@WORD@", word).replace("@TAIL@", str(TAIL_BYTES))]
    lines += [f"mkdir -p {real(path)}" for path in task.volumes or ()]
    for index, one in enumerate(task.inputs or ()):
        lines += _input(index, one)
    for index, executor in enumerate(task.executors):
        lines += _executor(index, executor, paths)
    for index, executor in enumerate(task.executors):
        out, err = (real(p) if p else "''" for p in (executor.stdout, executor.stderr))
        ignore = 1 if executor.ignore_error else 0
        lines.append(f"tes_go_on && tes_run {index} {ignore} {out} {err}")
    if task.outputs:
        lines.append('if tes_go_on && [ "$tes_rank" = 0 ]; then')
        for output in task.outputs:
            lines += [f"  {line}" for line in _output(output)]
        lines.append("fi")
    return "\n".join(lines) + _TAIL


def _input(index: int, one: TesInput) -> list[str]:
    made = f'mkdir -p "$(dirname {real(one.path)})"'
    if one.content:
        text = base64.b64encode(one.content.encode()).decode()
        put = f"base64 -d <<<{text} >{real(one.path)}"
    else:
        put = f'ln -sfn "$PWD/tes/in/{index}" {real(one.path)}'
    return [f"{made} && {put} || tes_problem {shlex.quote(f'input {one.path} cannot be placed')}"]


def _executor(index: int, executor: TesExecutor, paths: Paths) -> list[str]:
    lines = [f"tes_executor_{index}() {{"]
    if executor.workdir and executor.workdir.strip("/"):
        lines.append(
            f"  mkdir -p {real(executor.workdir)} && cd {real(executor.workdir)} || exit 1"
        )
    for name, value in (executor.env or {}).items():
        lines.append(f"  export {name}={paths.word(value)}")
    if executor.stdin:
        lines.append(f"  exec <{real(executor.stdin)}")
    command = " ".join(paths.word(part) for part in executor.command)
    lines += [f"  exec -- {command}", "}"]
    for path in (executor.stdout, executor.stderr):
        if path:
            lines.append(f'mkdir -p "$(dirname {real(path)})"')
    return lines


def _output(output: TesOutput) -> list[str]:
    target = local_path(output.url)
    if target is None:
        raise ValueError(f"{output.url} is no path of a site")
    url = output.url.rstrip("/")
    if not is_wild(output.path):
        parts = (real(output.path), *map(shlex.quote, (target, output.path, url)))
        return [f"tes_put {' '.join(parts)}"]
    prefix = (output.path_prefix or "").rstrip("/")
    base = shlex.quote(target.rstrip("/"))
    return [
        "shopt -s nullglob",
        f'for tes_file in "$tes_root"{_glob(output.path)}; do',
        f'  tes_rest=${{tes_file#"$tes_root"{shlex.quote(prefix)}}}',
        f'  tes_put "$tes_file" {base}"$tes_rest" "${{tes_file#"$tes_root"}}" {shlex.quote(url)}"$tes_rest"',
        "done",
        "shopt -u nullglob",
    ]


def _glob(path: str) -> str:
    """Everything quoted but the wildcards."""
    parts: list[str] = []
    at = 0
    for match in _WILD.finditer(path):
        if match.start() > at:
            parts.append(shlex.quote(path[at : match.start()]))
        parts.append(match[0])
        at = match.end()
    if at < len(path):
        parts.append(shlex.quote(path[at:]))
    return "".join(parts)


def local_path(url: str) -> str | None:
    """The site's path that ``file://`` or a plain absolute path names; None for anything else."""
    from urllib.parse import unquote, urlsplit

    if url.startswith("/"):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme.lower() != "file" or parts.netloc not in ("", "localhost"):
        return None
    path = unquote(parts.path)
    return path if path.startswith("/") else None
