"""Rehearse more jobs than memory holds: blocks come in, what is over goes out through a sink.

The loop is ``simulate``'s and the runs are the same, whatever the size of the blocks. With a
``checkpoint`` file an interrupted rehearsal goes on from the last one and ends as if it had never
been interrupted (docs/decisions/0019).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from westward.model.network import Network
from westward.model.plan import Policy
from westward.model.scenario import Scenario
from westward.model.workload import Workload
from westward.placement.state import F64
from westward.simulate.checkpoint import freeze, outside_arrays, read, thaw, write
from westward.simulate.engine import DEFAULT_ORIGIN_MS, stretch
from westward.simulate.happenings import Happenings
from westward.simulate.live import Records
from westward.simulate.machine import Machine
from westward.simulate.totals import Totals

FEED_JOBS = 1 << 16
"""Rows fed to the loop at a time: their columns stay in the processor's cache."""
EVERY_JOBS = 5_000_000
"""Jobs between checkpoints."""


class KeptSink(Protocol):
    """A ``Sink`` that can say where it stands and go back there."""

    def take(self, count: int, records: Records, money: F64) -> None: ...

    def save(self) -> dict[str, Any]:
        """Arrays by name. Everything taken so far is safe when this returns."""

    def load(self, saved: dict[str, Any]) -> None:
        """Go back to where ``save`` was called."""


class Both:
    """Hands everything to two sinks."""

    def __init__(self, first: KeptSink, second: KeptSink) -> None:
        self._sinks = (first, second)

    def take(self, count: int, records: Records, money: F64) -> None:
        for sink in self._sinks:
            sink.take(count, records, money)

    def save(self) -> dict[str, Any]:
        return {f"{k}.{name}": v for k in (0, 1) for name, v in self._sinks[k].save().items()}

    def load(self, saved: dict[str, Any]) -> None:
        for k in (0, 1):
            mine = f"{k}."
            self._sinks[k].load({n[2:]: v for n, v in saved.items() if n.startswith(mine)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """How a streamed rehearsal went. What it found is in the sink."""

    jobs: int
    """Arrived so far, those before a resume included."""
    done: bool
    """False: stopped; the checkpoint says where to go on."""
    resumed_at: int
    """Jobs that an earlier process had rehearsed."""
    events: int
    slots: int
    """See ``Machine.slots``."""
    wall_s: float
    cpu_s: float
    """Of the rehearsal in this process, making or reading the blocks left out."""


class AnotherRun(ValueError):
    """The checkpoint belongs to other arguments."""


def rehearse_stream(
    network: Network,
    blocks: Iterable[Workload],
    policy: Policy,
    *,
    seed: int,
    sink: KeptSink,
    zero_ms: int | None = None,
    scenario: Scenario | None = None,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    checkpoint: Path | None = None,
    every_jobs: int = EVERY_JOBS,
    feed_jobs: int = FEED_JOBS,
) -> Streamed:
    """Rehearse successive ``blocks`` (by submit time, as one workload); same arguments, same runs.

    ``zero_ms``, ``scenario``: as for ``simulate``. ``progress`` is told the jobs arrived; ``stop`` is asked
    between stretches: True ends it at a checkpoint. ``checkpoint``: written every ``every_jobs``
    and removed at the end; when it is there, the rehearsal goes on from it, given the same blocks
    from the first. Raises AnotherRun when it was written under other arguments, ValueError
    when a checkpoint is asked for and ``outside_arrays`` names anything. Packing by scores takes the
    first ``feed_jobs`` jobs for the usual ones, where ``simulate`` takes the whole workload.
    """
    wall = time.perf_counter()
    outside = outside_arrays(policy, scenario)
    if checkpoint is not None and outside:
        raise ValueError(f"a rehearsal with {', '.join(outside)} cannot be resumed yet")
    origin = network.origin_ms(DEFAULT_ORIGIN_MS)
    machine = Machine(
        network,
        policy,
        sink,
        seed=seed,
        origin_ms=origin,
        zero_ms=origin if zero_ms is None else zero_ms,
        scenario=scenario,
    )
    Happenings(machine, () if scenario is None else scenario.outages)
    jobs = resumed = 0
    finger = ""
    clock = _Cpu()
    saved_at = 0
    ahead = _stretches(blocks, feed_jobs)
    block = next(ahead, None)
    if block is not None and checkpoint is not None:
        finger = _fingerprint(network, block, policy, seed, machine.zero_ms, scenario)
        if checkpoint.exists():
            jobs = resumed = saved_at = _resume(machine, sink, checkpoint, finger)
            block = _skipped(block, ahead, jobs)
    while block is not None:
        following = next(ahead, None)
        clock.start()
        machine.feed(block, more=following is not None)
        jobs += len(block)
        clock.pause()
        if progress is not None:
            progress(jobs)
        stopped = following is not None and stop is not None and stop()
        due = stopped or (following is not None and jobs - saved_at >= every_jobs)
        if checkpoint is not None and due:
            clock.start()
            _save(machine, sink, checkpoint, finger, jobs)
            clock.pause()
            saved_at = jobs
        if stopped:
            break
        block = following
    if block is None:
        sink.save()
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)
    return Streamed(
        jobs=jobs,
        done=block is None,
        resumed_at=resumed,
        events=machine.events,
        slots=machine.slots,
        wall_s=time.perf_counter() - wall,
        cpu_s=clock.spent,
    )


def totals_for(network: Network, policy: Policy) -> Totals:
    return Totals(len(network.pools), policy.wait_value_micros_per_device_hour)


class _Cpu:
    """CPU seconds between ``start`` and ``pause``."""

    def __init__(self) -> None:
        self.spent = 0.0
        self._since = 0.0

    def start(self) -> None:
        self._since = time.process_time()

    def pause(self) -> None:
        self.spent += time.process_time() - self._since


def _stretches(blocks: Iterable[Workload], rows: int) -> Iterator[Workload]:
    """The same jobs in pieces of at most so many rows, none empty."""
    for block in blocks:
        for first in range(0, len(block), rows):
            yield stretch(block, first, min(len(block), first + rows))


def _skipped(first: Workload, ahead: Iterator[Workload], jobs: int) -> Workload | None:
    """The stretch that begins after so many jobs."""
    block: Workload | None = first
    while block is not None and jobs >= len(block):
        jobs -= len(block)
        block = next(ahead, None)
    return block if block is None or jobs == 0 else stretch(block, jobs, len(block))


def _fingerprint(
    network: Network, block: Workload, policy: Policy, seed: int, zero_ms: int,
    scenario: Scenario | None,
) -> str:  # fmt: skip
    played = asdict(scenario or Scenario())
    what = [network.digest, block.digest, asdict(policy), seed, zero_ms, played]
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def _save(machine: Machine, sink: KeptSink, path: Path, finger: str, jobs: int) -> None:
    arrays = freeze(machine)
    arrays |= {f"sink.{name}": np.asarray(value) for name, value in sink.save().items()}
    arrays["jobs"] = np.array([jobs], dtype=np.int64)
    arrays["finger"] = np.frombuffer(finger.encode(), dtype=np.uint8)
    write(path, arrays)


def _resume(machine: Machine, sink: KeptSink, path: Path, finger: str) -> int:
    """Returns how many jobs have arrived."""
    kept = read(path)
    if kept["finger"].tobytes().decode() != finger:
        raise AnotherRun(f"{path} belongs to another network, workload, policy or seed")
    thaw(machine, kept)
    sink.load({name[5:]: value for name, value in kept.items() if name.startswith("sink.")})
    return int(kept["jobs"][0])
