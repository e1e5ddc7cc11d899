"""The kit's jobs, and the witness: a file in which they say themselves when they lived.

The witness is written by the jobs alone and read without asking agent or server. It must lie
where the engine's jobs can write (``--scratch``).
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

from westward.cli.kit.scratch import Failed

BEAT_S = 0.1
HEAD = """\
name: {name}
num_nodes: {nodes}
resources:
  cpus: 1
  infra: "*/{site}"
  labels:
    westward.duration: 10s
envs:
  WITNESS: {witness}
run: |
"""
BEATS = """\
say() { echo "$1 $WESTWARD_RUN_ID $WESTWARD_TOKEN $EPOCHREALTIME" >> "$WITNESS"; }
say start
for i in $(seq BEATS); do sleep 0.1; say beat; done
say end
"""
OUTPUT_LINES = 4_000
OUTPUT_TEXT = "".join(f"line {n} of the output, which must come whole\n" for n in range(4_000))


def task(name: str, site: str, script: str, witness: Path, nodes: int = 1) -> str:
    head = HEAD.format(name=name, nodes=nodes, site=site, witness=json.dumps(str(witness)))
    return head + "".join(f"  {line}\n" for line in script.splitlines())


def beats(seconds: float) -> str:
    """A job that says ten times a second that it lives."""
    return BEATS.replace("BEATS", str(round(seconds / BEAT_S)))


@dataclass(slots=True)
class Life:
    """One run as its own process told it. Seconds since 1970."""

    run_id: str
    token: int
    first_s: float
    last_s: float
    starts: int = 0
    ended: bool = False


def lives(witness: Path) -> list[Life]:
    """Every run that ever wrote, in the order of their beginnings."""
    found: dict[str, Life] = {}
    text = witness.read_text(encoding="utf-8") if witness.exists() else ""
    for line in text[: text.rfind("\n") + 1].splitlines():
        words = line.split()
        if len(words) != 4:
            continue
        word, run_id, token, at = words
        at_s = float(at.replace(",", "."))
        life = found.setdefault(run_id, Life(run_id, int(token), at_s, at_s))
        life.last_s = at_s
        life.starts += word == "start"
        life.ended = life.ended or word == "end"
    return sorted(found.values(), key=lambda life: life.first_s)


def check_lives(witness: Path, runs: int) -> list[Life]:
    """``runs`` lives, each begun once, none overlapping, tokens rising, the last one whole."""
    found = lives(witness)
    if len(found) != runs:
        raise Failed(f"{len(found)} runs have lived, not {runs}")
    for life in found:
        if life.starts != 1:
            raise Failed(f"run {life.run_id} was begun {life.starts} times")
    for earlier, later in itertools.pairwise(found):
        if earlier.last_s >= later.first_s:
            raise Failed(f"runs {earlier.run_id} and {later.run_id} lived at the same time")
        if earlier.token >= later.token:
            raise Failed("the fencing token did not rise from one run to the next")
    if not found[-1].ended:
        raise Failed("the last run did not come to its end")
    return found
