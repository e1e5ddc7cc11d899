"""``westward study run|check|list``: what-if studies."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from westward.cli.fail import EXIT_INTERRUPTED, Failure
from westward.cli.output import json_option, print_json, print_table
from westward.model.faults import InputFaults

if TYPE_CHECKING:
    from westward.study.model import Study
    from westward.study.runner import Backend

FOLDER = Path("studies")


@click.group()
def study() -> None:
    """Ask what if: overrides of a network × workloads × policies × seeds, and one report."""


@study.command()
@click.argument("file", metavar="STUDY", type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    required=True,
    help="Where the results go: a new folder, or one of an earlier or interrupted study.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rehearse in N processes. [as many as processors]",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Rehearse on a Ray cluster; 'local' starts one on this machine for this study.",
)
@click.option("--quick", is_flag=True, help="Few jobs and seeds: to see that it works.")
@json_option
def run(
    file: Path, out: Path, jobs: int | None, ray: str | None, quick: bool, as_json: bool
) -> int:
    """Run the study file STUDY and write its table, plots and report to DIR.

    Every finished rehearsal is kept in DIR at once: after Ctrl-C the same command goes on from
    there, and a rehearsal whose inputs have not changed is never run twice. The results do not
    depend on the number of processes or machines.
    """
    from westward.simulate.results import Provenance
    from westward.study.outputs import open_folder, write_outputs
    from westward.study.reader import read_study
    from westward.study.runner import CellStore, run_study

    asked = read_study(file, quick=quick)
    backend = _backend(jobs, ray)
    store = CellStore(open_folder(out, asked))
    bar = _Cells()
    try:
        results = run_study(asked, store, backend, bar)
        bar.close()
        from westward.cli.cmd_simulate import _commit

        provenance = Provenance.here(commit=_commit())
        answer = write_outputs(asked, results, out, provenance=provenance, note=bar.note)
    except KeyboardInterrupt:
        bar.close()
        print(
            f"interrupted: {bar.done} of {bar.count} rehearsals are kept in {out}; "
            "the same command goes on from there",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    finally:
        bar.close()
    if as_json:
        import json

        print_json(json.loads((out / "study.json").read_text(encoding="utf-8")))
        return 0
    for words in asked.skipped:
        print(f"left out: {words}")
    print("\n".join(answer))
    print(
        f"Simulation only: {len(results)} rehearsals ({bar.stored} kept from before), "
        f"{sum(r.jobs for r in results.values()):,} jobs, {bar.seconds:.1f} s. "
        f"To read: {out / 'report.html'}"
    )
    return 0


@study.command()
@click.argument("file", metavar="STUDY", type=click.Path(path_type=Path))
@json_option
def check(file: Path, as_json: bool) -> int:
    """Check the study file STUDY: all faults at once, or what it would run."""
    from westward.study.reader import read_study

    found = read_study(file)
    cells = len(found.workloads) * len(found.policies) * len(found.overrides) * len(found.seeds)
    if as_json:
        print_json(
            {
                "name": found.name,
                "title": found.title,
                "question": found.question,
                "workloads": [entry.name for entry in found.workloads],
                "skipped": list(found.skipped),
                "policies": [entry.name for entry in found.policies],
                "overrides": [entry.name for entry in found.overrides],
                "seeds": list(found.seeds),
                "metrics": list(found.metrics),
                "rehearsals": cells,
            }
        )
        return 0
    print(f"{found.name}: {found.title}")
    print(f"network    {found.network.name}, {found.capacity_devices:,} devices")
    print(f"workloads  {', '.join(entry.name for entry in found.workloads)}")
    for words in found.skipped:
        print(f"left out   {words}")
    print(f"policies   {', '.join(entry.name for entry in found.policies)}")
    print(f"overrides  {', '.join(entry.name for entry in found.overrides)}")
    print(f"seeds      {', '.join(map(str, found.seeds))}")
    print(f"metrics    {', '.join(found.metrics)}")
    print(f"{cells} rehearsals; no faults")
    return 0


@study.command(name="list")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=FOLDER)
@json_option
def list_studies(folder: Path, as_json: bool) -> int:
    """List the study files of DIR [studies] and the question of each."""
    from westward.study.reader import read_study

    if not os.path.isdir(folder):
        raise Failure(f"there is no folder {folder}. Name the one that holds the study files.")
    found: list[tuple[str, Study | None]] = []
    for path in sorted(each for each in folder.glob("*.yaml") if each.is_file()):
        try:
            found.append((str(path), read_study(path)))
        except InputFaults:
            found.append((str(path), None))
    if as_json:
        print_json(
            [
                {
                    "file": path,
                    "name": one.name if one else None,
                    "question": one.question if one else None,
                }
                for path, one in found
            ]
        )
        return 0
    rows = [
        (path, one.question if one else "has faults: westward study check tells them")
        for path, one in found
    ]
    print_table(("STUDY", "QUESTION"), rows)
    return 0


def _backend(jobs: int | None, ray: str | None) -> Backend:
    if ray is not None:
        from westward.study.ray_backend import LOCAL, ray_cells

        if jobs is not None and ray != LOCAL:
            raise Failure("--jobs counts processes of this machine; a cluster has its own.")
        return ray_cells(ray, jobs)
    import os

    from westward.study.runner import processes

    return processes(jobs if jobs is not None else os.cpu_count() or 1)


class _Cells:
    """A line on stderr, on a terminal only: rehearsals done, and the time that is left."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._began = time.monotonic()
        self._length = 0
        self.done = self.count = self.stored = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, done: int, count: int, stored: int) -> None:
        self.done, self.count, self.stored = done, count, stored
        fresh = done - stored
        left = f", about {self.seconds / fresh * (count - done):.0f} s left" if fresh else ""
        kept = f" ({stored} kept from before)" if stored else ""
        self._write(f"{done} of {count} rehearsals{kept}{left}")

    def note(self, what: str) -> None:
        self._write(f"writing {what}")

    def close(self) -> None:
        if self._live and self._length:
            print("\r" + " " * self._length + "\r", end="", file=sys.stderr, flush=True)
            self._length = 0

    def _write(self, text: str) -> None:
        if self._live:
            print(f"\r{text.ljust(self._length)}", end="", file=sys.stderr, flush=True)
            self._length = max(self._length, len(text))
