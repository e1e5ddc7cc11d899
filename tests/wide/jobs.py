"""The fifty jobs: texts, ids, and how each must end.

Each rank of each run tells an outside witness that it began, where, under which token, and that
it ended (``Told``): what is checked afterwards does not rest on Westward's word alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BEGIN, END = "begin", "end"
WHO = "$WESTWARD_JOB_ID $WESTWARD_RUN_ID $WESTWARD_TOKEN $WESTWARD_SITE $SKYPILOT_NODE_RANK"


@dataclass(frozen=True, slots=True)
class Told:
    """One line of the witness."""

    word: str
    job_id: str
    run_id: str
    token: int
    site: str
    rank: int


@dataclass
class Book:
    """Writes the jobs and reads what they told."""

    folder: Path

    @property
    def witness(self) -> Path:
        return self.folder / "witness.txt"

    def told(self) -> list[Told]:
        text = self.witness.read_text() if self.witness.exists() else ""
        found = []
        for row in text[: text.rfind("\n") + 1].splitlines():
            word, job, run, token, site, rank = row.split()
            found.append(Told(word, job, run, int(token), site, int(rank)))
        return found

    def task(
        self,
        name: str,
        run: str,
        *,
        where: str = "",
        cpus: int = 1,
        nodes: int = 1,
        accelerators: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> str:
        terms = {"duration": "10s", **(labels or {})}
        lines = [f"name: {name}", f"num_nodes: {nodes}", "resources:", f"  cpus: {cpus}"]
        lines += [f"  infra: {where!r}"] if where else []
        lines += [f"  accelerators: {{{accelerators}}}"] if accelerators else []
        lines += ["  labels:", *(f"    westward.{key}: {value!r}" for key, value in terms.items())]
        lines += ["run: |", f'  echo "{BEGIN} {WHO}" >> {self.witness}']
        lines += [f"  {row}" for row in run.splitlines()]
        lines += [f'  echo "{END} {WHO}" >> {self.witness}']
        return "\n".join(lines) + "\n"

    def readers(self) -> dict[str, str]:
        """Four jobs that each read a data set of the catalogue, and say its digest."""
        return {
            f"job_reads-{name}": self.task(
                f"reads-{name}", "sha256sum data/corpus/whole.bin", where=where,
                labels={"inputs": f"dataset:corpus-{name}=data/corpus"},
            )
            for name, where in READERS.items()
        }  # fmt: skip

    def rest(self) -> dict[str, str]:
        """What is handed in all at once, by id: 41 jobs, of which arrays and DAGs are several."""
        task = self.task
        cards = 'echo "cards $CUDA_VISIBLE_DEVICES"\nsleep 2'
        return {
            "job_sweep-alpha": task(
                "sweep-alpha", "sleep $((WESTWARD_ARRAY_INDEX % 4))", where="slurm/alpha",
                labels={"array": "7"},
            ),
            "job_sweep-beta": task(
                "sweep-beta", 'sleep "$pause"\necho "seed $seed"', where="slurm/beta",
                labels={"array": "seed=1|2|3|4,pause=1|3"},
            ),
            "job_sweep-ray": task("sweep-ray", "sleep 1", where="*/ray", labels={"array": "4"}),
            "job_roam": task("roam", "sleep 1", labels={"array": "6"}),
            "job_gang-alpha-1": task(
                "gang-alpha-1", cards, where="slurm/alpha", nodes=2, accelerators="H100: 2"
            ),
            "job_gang-alpha-2": task(
                "gang-alpha-2", cards, where="slurm/alpha", nodes=2, accelerators="H100: 1"
            ),
            "job_gang-beta": task(
                "gang-beta", cards, where="slurm/beta", nodes=2, accelerators="H100: 1"
            ),
            "job_cards-alpha": task("cards-alpha", cards, accelerators="H100: 4"),
            "job_cards-beta-1": task(
                "cards-beta-1", cards, where="slurm/beta", accelerators="H100: 2"
            ),
            "job_cards-beta-2": task(
                "cards-beta-2", cards, where="slurm/beta", accelerators="H100: 1"
            ),
            "job_cards-ray": task("cards-ray", cards, accelerators="L4: 2"),
            "job_half-ray": task("half-ray", cards, accelerators="L4: 0.5"),
            "job_fails": task("fails", "sleep 1\nexit 3", where="slurm/alpha"),
            "job_retried": task(
                "retried", '[ "$WESTWARD_ATTEMPT" = 2 ] || exit 75', where="slurm/beta",
                labels={"retry": "attempts=2,on=75,backoff=1s"},
            ),
            "job_cancelled": task("cancelled", "sleep 600", where="slurm/beta"),
            "job_dag": "---\n".join(
                (
                    task("prepare", "sleep 1", where="ssh/home"),
                    task(
                        "train", "sleep 2", where="slurm/alpha",
                        labels={"array": "3", "after": "prepare"},
                    ),
                    task("collect", "sleep 1", where="slurm/beta", labels={"after": "train"}),
                )
            ),
        }  # fmt: skip


READERS = {
    "one": "slurm/alpha", "two": "slurm/alpha", "three": "slurm/beta", "four": "ssh/home",
}  # fmt: skip
"""Data set and reader → where the reader runs."""
ENDS = {"job_fails": ("failed", 3), "job_cancelled": ("cancelled", -15)}
"""State and exit code at the end (−15: ended by TERM); of all others: succeeded, 0."""
