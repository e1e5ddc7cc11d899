"""The jobs of a chaos run, and what they leave outside Westward: the witness.

A job is a shell that appends lines to one file (O_APPEND, a line is one write): who it is when it
begins, a beat now and then, and who it is when it ends. Nothing of Westward writes or reads that
file, and each process is known by job, run and token. ``/proc/uptime`` gives the time: seconds since
boot to the hundredth, the clock on which agents count leases, and reading it starts no process.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Expected = Literal["succeeded", "failed", "cancelled"]
BEAT_S = 0.15
EXIT_CODE = 3
"""Of a job that is to fail."""

TASK = """
name: {name}
resources:
  cpus: 1
{infra}
  labels:
    westward.duration: 5s
{array}
envs:
  WITNESS: {witness}
  BEATS: "{beats}"
  CODE: "{code}"
run: |
  say() {{ read -r up _ < /proc/uptime; echo "$1 $WESTWARD_JOB_ID $WESTWARD_RUN_ID $WESTWARD_TOKEN $up" >> "$WITNESS"; }}
  say begin
  for ((i = 0; i < BEATS; i++)); do sleep {beat_s}; say beat; done
  say end
  exit $CODE
"""


@dataclass(frozen=True)
class Order:
    """What is handed in with one request. ``count`` jobs; more than one: an array."""

    job_id: str
    text: str
    expected: Expected
    count: int = 1

    @property
    def job_ids(self) -> tuple[str, ...]:
        if self.count == 1:
            return (self.job_id,)
        return tuple(f"{self.job_id}.{index}" for index in range(self.count))


@dataclass
class Work:
    """Draws orders; the same seed draws the same ones."""

    witness: Path
    rng: random.Random
    prefix: str
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def draw(self) -> Order:
        job_id = f"job_{self.prefix}-{next(self.numbers)}"
        die = self.rng.random()
        if die < 0.04:
            return self.order(job_id, beats=self.rng.randint(1, 4), expected="failed")
        if die < 0.08:
            return self.order(job_id, beats=100, expected="cancelled")
        if die < 0.13:
            return self.order(job_id, beats=self.rng.randint(1, 3), count=5)
        if die < 0.33:
            return self.order(job_id, beats=self.rng.randint(20, 60))
        return self.order(job_id, beats=self.rng.randint(1, 6))

    def order(
        self,
        job_id: str,
        *,
        beats: int,
        expected: Expected = "succeeded",
        count: int = 1,
        site: str = "",
    ) -> Order:
        """``site``: it runs nowhere else."""
        text = TASK.format(
            name=expected,
            infra=f'  infra: "*/{site}"' if site else "",
            array=f'    westward.array: "{count}"' if count > 1 else "",
            witness=self.witness,
            beats=beats,
            code=EXIT_CODE if expected == "failed" else 0,
            beat_s=BEAT_S,
        )
        return Order(job_id, text, expected, count)


@dataclass
class Execution:
    """One run's process as far as it was seen: it lived at least from ``first`` to ``last``
    (hundredths of a second since boot)."""

    job_id: str
    run_id: str
    token: int
    first: int
    last: int
    begins: int = 0
    ends: int = 0


@dataclass
class Witness:
    """Reads the file on from where it was left."""

    file: Path
    executions: dict[str, Execution] = field(default_factory=dict)
    by_job: dict[str, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    newest_token: int = 0
    """The highest token under which anything has begun."""
    _offset: int = 0

    def read(self) -> None:
        if not self.file.exists():
            return
        with open(self.file, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        self.take(whole.decode().splitlines())

    def take(self, lines: Iterable[str]) -> None:
        for line in lines:
            word, job_id, run_id, token, up = line.split()
            at = round(float(up) * 100)
            run = self.executions.get(run_id)
            if run is None:
                run = Execution(job_id, run_id, int(token), first=at, last=at)
                self.executions[run_id] = run
                self.by_job[job_id].append(run)
                self.newest_token = max(self.newest_token, run.token)
            run.last = max(run.last, at)
            run.begins += word == "begin"
            run.ends += word == "end"

    def newest(self, count: int) -> list[Execution]:
        """So many of those that began last."""
        return list(itertools.islice(reversed(self.executions.values()), count))

    def doubled(self) -> list[str]:
        """What must not be: a run begun twice, two runs of a job alive at once, a token that did
        not rise. A sentence each."""
        found = []
        for run in self.executions.values():
            if run.begins != 1 or run.ends > 1:
                found.append(f"{run.run_id} began {run.begins} times, ended {run.ends} times")
        for job_id, runs in self.by_job.items():
            runs.sort(key=lambda run: (run.first, run.token))
            for earlier, later in itertools.pairwise(runs):
                if earlier.last >= later.first:
                    found.append(f"{job_id}: {earlier.run_id} and {later.run_id} at once")
                if earlier.token >= later.token:
                    found.append(f"{job_id}: the token of {later.run_id} did not rise")
        return found
