"""``westward faultsim``: play simulated worlds that fail, and look for what must never happen."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from westward.cli.fail import EXIT_JOB, EXIT_OK, Failure
from westward.cli.output import json_option, print_json
from westward.cli.progress import Progress

if TYPE_CHECKING:
    from westward.faultsim.many import Totals
    from westward.faultsim.verdicts import Verdict

SEEDS_MOST = 10_000_000


@click.command()
@click.option("--seeds", metavar="A..B", help="Play the worlds A to B-1. One number is one world.")
@click.option(
    "--story", metavar="FILE", type=click.Path(path_type=Path), help="Play a kept world again."
)
@click.option(
    "--ablate",
    metavar="NAMES",
    default="",
    help="Take protections away: fencing, idempotence, heartbeats, recheck, pending-transfer. "
    "Ends at the first world in which that is found; it is an error if none is.",
)
@click.option("--workers", metavar="N", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option("--shrink", "small", is_flag=True, help="Make the first failing world smaller.")
@click.option(
    "--keep", metavar="FILE", type=click.Path(path_type=Path), help="Write that world there."
)
@click.option("--coverage", is_flag=True, help="Count the lines played (one process, slow).")
@click.option(
    "--tally",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Add what is played to FILE as it goes (JSON); seeds that it holds of this code are not "
    "played again.",
)
@click.option("--trace", is_flag=True, help="Print everything that happens (one world).")
@json_option
def faultsim(
    seeds: str | None,
    story: Path | None,
    ablate: str,
    workers: int,
    small: bool,
    keep: Path | None,
    coverage: bool,
    tally: Path | None,
    trace: bool,
    as_json: bool,
) -> int:
    """Play the shipped server and agents in worlds that fail, under a virtual clock.

    A seed draws a small network, jobs and faults: crashes, lost and repeated messages, cut lines,
    full disks, clocks that jump, engines that lie. After every commit nothing may be lost, doubled
    or charged wrongly; once everything works again, everything must come to rest. The same seed
    plays the same world. Exit code 1: a rule was broken; its seed and command are printed.
    """
    from westward.faultsim.ablations import ABLATIONS

    names = tuple(one.strip() for one in ablate.split(",") if one.strip())
    wrong = [one for one in names if one not in ABLATIONS]
    if wrong:
        raise Failure(f"--ablate: there is no {wrong[0]!r}. There are: {', '.join(ABLATIONS)}.")
    if (seeds is None) == (story is None):
        raise Failure("Name either --seeds A..B or --story FILE.")
    if story is not None:
        return _story(story, trace)
    numbers = _range(seeds or "")
    if trace:
        return _traced(numbers[0], names)
    if coverage:
        from westward.faultsim.coverage import counted, table

        with counted() as found:
            totals = _play(numbers, names, 1, tally)
        print("\n".join(table(found)))
    else:
        totals = _play(numbers, names, workers, tally)
    _tell(totals, names, as_json)
    if totals.failed and (small or keep is not None):
        _shrink(totals.failed[0].seed, names, small, keep)
    if names:
        return EXIT_OK if totals.failed else EXIT_JOB
    return EXIT_JOB if totals.failed else EXIT_OK


def _range(text: str) -> range:
    first, dots, last = text.partition("..")
    try:
        start = int(first)
        stop = int(last) if dots else start + 1
    except ValueError:
        raise Failure(f"--seeds {text!r}: write two whole numbers, for example 0..1000.") from None
    if not 0 <= start < stop <= SEEDS_MOST:
        raise Failure(f"--seeds {text!r}: from 0 to {SEEDS_MOST}, the first before the last.")
    return range(start, stop)


def _play(
    numbers: Sequence[int], names: tuple[str, ...], workers: int, path: Path | None
) -> Totals:
    """Ctrl-C (or SIGTERM) ends it once the worlds that are being played are over; all that was
    played counts. A second one ends it at once."""
    from westward.faultsim.many import Totals, total
    from westward.faultsim.tally import Tally, code_of

    tally: Tally | None = None
    if path is not None:
        try:
            tally = Tally(path, code_of(), names)
        except (OSError, ValueError) as error:
            raise Failure(f"--tally: {error}.") from None
        asked, numbers = len(numbers), tally.left(numbers)
        print(f"{asked - len(numbers):,} of these worlds were played before", file=sys.stderr)
    progress, sums = Progress("worlds", "worlds", minutes=True), Totals()

    def told(verdict: Verdict) -> None:
        if tally is not None:
            tally.add(verdict)
        if verdict.rule and not names:  # hours may pass until the end tells them all
            progress.close()
            print(f"seed {verdict.seed}: {verdict.text}", file=sys.stderr, flush=True)

    stop = _Stop()
    had = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        for sums in total(
            numbers,
            names,
            workers,
            stop_at_first=bool(names),
            told=told,
            stopping=lambda: stop.asked,
        ):
            progress(sums.seeds, len(numbers))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    finally:
        for one, handler in had.items():
            signal.signal(one, handler)
        progress.close()
        if tally is not None:
            tally.save()
    return sums


class _Stop:
    """A handler of signals that lets what has begun come to its end."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, _signal: int, _frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("stopping: what was played until now counts", file=sys.stderr)


def _tell(sums: Totals, names: tuple[str, ...], as_json: bool) -> None:
    failed = sorted(sums.failed, key=lambda one: one.seed)
    if as_json:
        print_json(
            {
                "seeds": sums.seeds,
                "failed": [{"seed": v.seed, "rule": v.rule, "text": v.text} for v in failed],
                "jobs": sums.jobs,
                "runs": sums.runs,
                "commits": sums.commits,
                "virtual_ms": sums.virtual_ms,
                "seconds": round(sums.seconds, 3),
                "cpu_seconds": round(sums.cpu_s, 3),
                "seeds_per_minute": round(sums.per_minute, 1),
                "injected": dict(sorted(sums.injected.items())),
                "ablated": list(names),
            }
        )
        return
    for verdict in failed:
        _tell_one(verdict, names)
    print(
        f"{sums.seeds:,} worlds, {len(failed)} with a broken rule; {sums.jobs:,} jobs, "
        f"{sums.runs:,} runs, {sums.commits:,} commits, {sums.virtual_ms / 3_600_000:,.1f} hours "
        f"of virtual time in {sums.seconds:,.0f} s ({sums.per_minute:,.0f} worlds a minute, "
        f"{1000 * sums.cpu_s / max(1, sums.seeds):,.0f} ms of CPU time a world)"
    )
    for kind, count in sorted(sums.injected.items()):
        print(f"  {count:>9,}  {kind}")


def _tell_one(verdict: Verdict, names: tuple[str, ...]) -> None:
    print(f"seed {verdict.seed}: {verdict.text}")
    without = f" --ablate {','.join(names)}" if names else ""
    print(f"  again: westward faultsim --seeds {verdict.seed}{without} --trace")


def _traced(seed: int, names: tuple[str, ...]) -> int:
    from westward.faultsim.disk import Disk
    from westward.faultsim.scenario import draw
    from westward.faultsim.world import World

    verdict = World(draw(seed, names), Disk(), print).play()
    print(f"trace {verdict.trace}: {verdict.text or 'no rule was broken'}")
    return EXIT_JOB if verdict.rule else EXIT_OK


def _story(path: Path, trace: bool) -> int:
    from westward.faultsim.disk import Disk
    from westward.faultsim.scenario import load
    from westward.faultsim.world import World

    try:
        scenario = load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{path}: not a kept world ({error}). Write one with --keep.") from None
    verdict = World(scenario, Disk(), print if trace else None).play()
    print(f"trace {verdict.trace}: {verdict.text or 'no rule was broken'}")
    return EXIT_JOB if verdict.rule else EXIT_OK


def _shrink(seed: int, names: tuple[str, ...], small: bool, keep: Path | None) -> None:
    from westward.faultsim.disk import Disk
    from westward.faultsim.scenario import draw
    from westward.faultsim.shrink import shrink
    from westward.faultsim.world import World

    disk, scenario = Disk(), draw(seed, names)
    if small:
        rule = World(scenario, disk).play().rule
        scenario = shrink(
            scenario, rule, disk, lambda line: print(f"  smaller: {line}", file=sys.stderr)
        )
    if keep is None:
        print(scenario.dump())
    else:
        keep.write_text(scenario.dump() + "\n", encoding="utf-8")
        print(f"kept: westward faultsim --story {keep} --trace")
