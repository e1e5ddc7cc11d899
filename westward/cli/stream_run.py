"""``westward simulate --stream``: more jobs than memory holds, stopped and gone on with."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from westward.cli.fail import EXIT_INTERRUPTED, Failure
from westward.cli.output import print_json

if TYPE_CHECKING:
    from westward.model.network import Network
    from westward.model.plan import Policy
    from westward.model.scenario import Scenario

CHECKPOINT = "checkpoint.npz"
SUMMARY = "summary.json"
RUNS = "runs"
TELL_S = 0.5


class _Stop:
    """The first Ctrl-C asks for an end at the next checkpoint, the second ends at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    @contextmanager
    def listening(self) -> Iterator[None]:
        def heard(number: int, frame: FrameType | None) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        before = signal.signal(signal.SIGINT, heard)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


class _Line:
    """Jobs done and the rate, on a terminal."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._began = self._told = time.monotonic()
        self._from: int | None = None
        self._live = sys.stderr.isatty()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if self._from is None:
            self._from, self._began = done, now
        if not self._live or now - self._told < TELL_S:
            return
        self._told = now
        rate = (done - self._from) / max(1e-9, now - self._began)
        left = (self._jobs - done) / max(1.0, rate)
        text = f"{done:,} of {self._jobs:,} jobs, {rate:,.0f} jobs/s, {left:,.0f} s left"
        print(f"\r{text:<76}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._live:
            print("\r" + " " * 76 + "\r", end="", file=sys.stderr, flush=True)


def check_folder(out: Path) -> bool:
    """True when ``out`` holds a checkpoint to go on from, False when the rehearsal begins there
    (stopped before the first checkpoint, it begins anew). Raises Failure for any other folder."""
    if out.exists() and not out.is_dir():
        raise Failure(f"{out} is not a folder; name a new one with --out.")
    found = {path.name for path in out.iterdir()} if out.exists() else set()
    if CHECKPOINT in found:
        return True
    if SUMMARY in found and RUNS in found:
        raise Failure(f"{out} holds a finished rehearsal; give another folder.")
    if found - {RUNS, CHECKPOINT + ".part"} or not _ours(out / RUNS):
        raise Failure(
            f"{out} is not empty and holds no interrupted rehearsal; give another folder."
        )
    return False


def _ours(runs: Path) -> bool:
    return not runs.exists() or all(path.name.startswith("part-") for path in runs.iterdir())


def run_stream(
    network: Network, policy: Policy, *, jobs: int, load: float, seed: int, out: Path,
    as_json: bool, scenario: Scenario | None = None,
) -> int:  # fmt: skip
    """Returns the exit code. Files: see ``westward simulate --help``."""
    from westward.formats.generate import GeneratorOptions, generate_blocks
    from westward.simulate.checkpoint import outside_arrays
    from westward.simulate.parts import Parts
    from westward.simulate.scale import devices_of
    from westward.simulate.stream import AnotherRun, Both, rehearse_stream, totals_for

    going_on = check_folder(out)
    outside = outside_arrays(policy, scenario)
    if outside and going_on:
        raise Failure(
            f"{out} holds an interrupted rehearsal of something else: one with "
            f"{', '.join(outside)} cannot be resumed. Give another folder."
        )
    if outside:
        print(
            f"no checkpoints: a rehearsal with {', '.join(outside)} cannot be resumed",
            file=sys.stderr,
        )
    blocks = generate_blocks(
        jobs, seed, capacity_devices=devices_of(network), load=load,
        options=GeneratorOptions(homes=len(network.sites)),
    )  # fmt: skip
    (out / RUNS).mkdir(parents=True, exist_ok=True)
    if not going_on:
        for old in (out / RUNS).glob("part-*"):
            old.unlink()
    totals, parts = totals_for(network, policy), Parts(out / RUNS)
    stop, line = _Stop(), _Line(jobs)
    try:
        with stop.listening():
            done = rehearse_stream(
                network, blocks, policy, seed=seed, sink=Both(totals, parts),
                progress=line, stop=stop, checkpoint=None if outside else out / CHECKPOINT, scenario=scenario,
            )  # fmt: skip
    except AnotherRun:
        raise Failure(
            f"{out} holds an interrupted rehearsal of something else. Give the arguments it was "
            "begun with, or another folder."
        ) from None
    except ValueError as problem:
        raise Failure(f"westward simulate --stream: {problem}.") from None
    except KeyboardInterrupt:
        line.close()
        print("interrupted at once", file=sys.stderr)
        _say_how_to_go_on(out)
        return EXIT_INTERRUPTED
    finally:
        line.close()
    if not done.done:
        print(f"interrupted after {done.jobs:,} of {jobs:,} jobs", file=sys.stderr)
        _say_how_to_go_on(out)
        return EXIT_INTERRUPTED
    summary = _summary(totals.summary(), network, policy, jobs, load, seed, parts.parts)
    part = out / (SUMMARY + ".part")
    part.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    os.replace(part, out / SUMMARY)
    if as_json:
        print_json(summary)
        return 0
    _tell(summary, network)
    rate = (done.jobs - done.resumed_at) / max(1e-9, done.wall_s)
    print(f"{rate:,.0f} jobs/s, making the jobs and writing their runs included; results in {out}")
    return 0


def _say_how_to_go_on(out: Path) -> None:
    if (out / CHECKPOINT).exists():
        print(f"to go on, give the same command again: {out} knows where it stands",
              file=sys.stderr)  # fmt: skip
    else:
        print("nothing was kept yet: the same command begins anew", file=sys.stderr)


def _summary(
    found: dict[str, Any], network: Network, policy: Policy, jobs: int, load: float, seed: int,
    parts: int,
) -> dict[str, Any]:  # fmt: skip
    hours = found.pop("device_hours")
    return {
        "network": network.name,
        "network_digest": network.digest,
        "currency": network.currency,
        "rule": policy.rule,
        "discipline": policy.discipline,
        "generated_jobs": jobs,
        "load": load,
        "seed": seed,
        "parts": parts,
        **found,
        "device_hours": {pool.name: hours[k] for k, pool in enumerate(network.pools)},
    }


def _tell(summary: dict[str, Any], network: Network) -> None:
    minute = 60_000.0
    print(
        f"{summary['finished']:,} jobs finished, {summary['refused']:,} refused; waits: mean "
        f"{summary['mean_wait_ms'] / minute:,.1f} min, median {summary['p50_wait_ms'] / minute:,.1f}, "
        f"95 % within {summary['p95_wait_ms'] / minute:,.1f}; {summary['late']:,} of "
        f"{summary['with_deadline']:,} deadlines missed"
    )
    million = 1e6
    print(
        f"devices {summary['device_micros'] / million:,.0f}, power "
        f"{summary['power_micros'] / million:,.0f}, transfer "
        f"{summary['transfer_micros'] / million:,.0f}, waiting valued at "
        f"{summary['wait_micros'] / million:,.0f} {network.currency}; "
        f"{summary['grams'] / million:,.1f} t CO2; checksum {summary['checksum']}"
    )
