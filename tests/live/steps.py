"""A job that counts steps, saves how far it is, and tells an outside witness of every step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """
import json, os, signal, sys, time
here = os.environ["WESTWARD_CHECKPOINT"]
out = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
who = " ".join(os.environ["WESTWARD_" + key] for key in ("JOB_ID", "RUN_ID", "TOKEN", "SITE"))
def say(word, step):
    os.write(out, f"{word} {step} {who}\\n".encode())
def save(step):
    with open(here + ".part", "w") as file:
        json.dump({"done": step, "ballast": "x" * int(os.environ.get("BALLAST", "0"))}, file)
    os.replace(here + ".part", here)
stopping = []
signal.signal(getattr(signal, "SIG" + os.environ.get("SIGNAL", "TERM")), lambda *_: stopping.append(1))
done = 0
if os.environ["WESTWARD_RESUME"] == "1":
    done = json.load(open(here))["done"]
say("from", done)
print("going on from", done, flush=True)
while done < int(os.environ["STEPS"]):
    time.sleep(0.03)
    done += 1
    say("step", done)
    if stopping or done % int(os.environ.get("EVERY", "10")) == 0:
        save(done)
    if stopping:
        print("saved at", done, flush=True)
        sys.exit(0)
say("end", done)
"""


@dataclass
class Steps:
    """``tell`` gives what a job's runs told, in order: (word, step, run id, token, site)."""

    folder: Path

    def __post_init__(self) -> None:
        self.file = self.folder / "steps.txt"
        self.script = self.folder / "steps.py"
        self.script.write_text(SCRIPT)

    def task(
        self,
        steps: int,
        *,
        name: str = "count",
        envs: str = "",
        labels: str = "",
        resources: str = "",
        checkpoint: str = "state/last.json every 1s grace 20s",
    ) -> str:
        return (
            f"name: {name}\n"
            f"resources:\n  cpus: 1\n{resources}  labels:\n    westward.duration: 30s\n"
            + (f"    westward.checkpoint: {checkpoint}\n" if checkpoint else "")
            + f"{labels}envs:\n  WITNESS: {self.file}\n  STEPS: '{steps}'\n{envs}"
            f'run: |\n  exec "$WESTWARD_PYTHON" {self.script}\n'
        )

    def tell(self, job_id: str) -> list[tuple[str, int, str, int, str]]:
        found = []
        text = self.file.read_text() if self.file.exists() else ""
        for line in text[: text.rfind("\n") + 1].splitlines():
            word, step, job, run, token, site = line.split()
            if job == job_id:
                found.append((word, int(step), run, int(token), site))
        return found

    def at(self, job_id: str) -> int:
        """The newest step told."""
        told = self.tell(job_id)
        return told[-1][1] if told else 0

    def sites(self, job_id: str) -> list[str]:
        """Of its runs, in order."""
        return [site for word, _, _, _, site in self.tell(job_id) if word == "from"]

    def check(self, job_id: str, steps: int, *, repeated_most: int = 0) -> None:
        """Every step was done, each once; of the steps after a checkpoint at most
        ``repeated_most`` in all were done again. Each run began where one before had ended or
        saved; tokens rise; only one run ended the count."""
        told = self.tell(job_id)
        counts = Counter(step for word, step, *_ in told if word == "step")
        assert sorted(counts) == list(range(1, steps + 1)), f"{job_id}: {sorted(counts)}"
        again = sum(count - 1 for count in counts.values())
        assert again <= repeated_most, f"{job_id}: {again} steps were done twice: {counts}"
        assert [word for word, *_ in told].count("end") == 1
        tokens = [token for word, _, _, token, _ in told if word == "from"]
        assert tokens == sorted(set(tokens)), f"{job_id}: {tokens}"
        newest = 0
        for word, step, _, _, _ in told:
            if word == "from":
                assert step <= newest, f"{job_id}: a run began at {step}, beyond all that was done"
            elif word == "step":
                newest = max(newest, step)
