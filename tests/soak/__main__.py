"""``python -m tests.soak --minutes 60 --out FOLDER``: constant work, kills and cancels, watched.

Jobs come at a steady rate; one in twelve is cancelled; every few seconds a supervisor or its guard
is killed, and every minute the agent of one site (the other sites' agent is never touched, nor is the
server: their memory is what is watched). A third site is played by this process (``probe``) and holds
five runs whose renewals are timed. Once a minute a row is written to ``soak.csv``; at the end come the
plot and the verdict: what must be flat is judged by the median of all pairs' slopes after the first
quarter. Exit code 1: something grows that must not, or the run was too short to tell (under seven
minutes).

Rows grow by design: nothing is ever deleted from the database (jobs, runs, stories, decisions,
readings, ledger). So does what the server keeps of requests it has read, up to 20,000 of them.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import queue
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.chaos.stand import Stand, Unanswered
from tests.chaos.targets import Supervised, supervised
from tests.chaos.work import Work
from tests.soak.measure import Held, Slope, held, quantile, slope
from tests.soak.plot import draw
from tests.soak.probe import Probe
from westward.agent import data

STEADY, SHAKEN, PROBED = "basin", "harbor", "plateau"
PROBE_RUNS = 5
EVERY_S = 60.0
LOOK_S = 5.0
CANCELLED = 1 / 12
ROOM = 40
"""Jobs that may be on their way at once: beyond it the machine is too slow for the rate, and waits."""
FLAT = {
    "server_rss_kib": 0.05,
    "server_handles": 0.05,
    "server_threads": 0.05,
    "agent_rss_kib": 0.05,
    "agent_handles": 0.05,
    "submit_p50_ms": 0.25,
    "renew_p50_ms": 0.25,
}
"""What must not grow, and by which part of its level it may over the time looked at: latencies
follow the load of the machine, memory holds what was read once (see above)."""
CALM = ("submit_p50_ms", "renew_p50_ms")
"""Judged by the calmer half of the minutes: on a machine that others use too they follow its load."""
POOLED = {"agent_threads": 1 + min(32, (os.cpu_count() or 1) + 4) + data.READERS + 1}
"""What has a bound and may fill up slowly to it: a pool opens a thread when all are busy at once. The
agent's are asyncio's own, that for data, and one timer."""
GROWS = ("database_mib", "jobs")


class Submitter:
    """Hands jobs in at ``per_s``; counts, times, and cancels some a moment later."""

    def __init__(self, stand: Stand, per_s: float, seed: int):
        self.stand = stand
        self.per_s = per_s
        self.rng = random.Random(seed)
        self.work = Work(stand.witness, random.Random(seed + 1), "soak")
        self.numbers = itertools.count()
        self.took_s: list[float] = []
        self.submitted = self.cancelled = self.failed = self.held_back = 0
        self.to_cancel: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
        self.over = 0
        """Jobs that are, told by who looks."""
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._submit, name="submit", daemon=True),
            threading.Thread(target=self._cancel, name="cancel", daemon=True),
        ]

    def start(self) -> None:
        for one in self._threads:
            one.start()

    def close(self) -> None:
        self._ending.set()
        for one in self._threads:
            one.join()

    def take(self) -> list[float]:
        took, self.took_s = self.took_s, []
        return took

    def _submit(self) -> None:
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + self.rng.expovariate(self.per_s), time.monotonic() - 5)
            if self.submitted - self.over > ROOM:
                self.held_back += 1
                continue
            self._one()

    def _one(self) -> None:
        cancel = self.rng.random() < CANCELLED
        job_id = f"job_soak-{next(self.numbers)}"
        order = self.work.order(
            job_id,
            beats=60 if cancel else self.rng.choice((1, 2, 4, 20)),
            site=self.rng.choice((STEADY, SHAKEN)),
        )
        body = {"job_id": order.job_id, "task": order.text}
        while not self._ending.is_set():
            begun = time.perf_counter()
            try:
                self.stand.call("POST", "/v1/jobs", body)
            except Unanswered:
                self.failed += 1
                time.sleep(0.2)
                continue
            self.took_s.append(time.perf_counter() - begun)
            self.submitted += 1
            if cancel:
                self.to_cancel.put((time.monotonic() + 2, job_id))
            return

    def _cancel(self) -> None:
        while not self._ending.is_set():
            try:
                at, job_id = self.to_cancel.get(timeout=0.5)
            except queue.Empty:
                continue
            self._ending.wait(max(0.0, at - time.monotonic()))
            try:
                self.stand.call("POST", f"/v1/jobs/{job_id}/cancel")
                self.cancelled += 1
            except Unanswered:
                self.to_cancel.put((time.monotonic() + 1, job_id))


def main() -> int:
    options = _parse()
    signal.signal(signal.SIGTERM, lambda _n, _f: sys.exit(143))
    os.nice(options.nice)
    options.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="westward-soak-"))
    stand = Stand(folder / "stand", options.seed, store=options.store, lease="15s")
    stand.agents.pop(PROBED)
    probe = Probe(stand, PROBED)
    submitter = Submitter(stand, options.per_second, options.seed)
    try:
        stand.start_server(stand.servers[0])
        for agent in stand.agents.values():
            agent.start()
        probe.start()
        stand.until(stand.all_open, "all sites are open")
        for number in range(PROBE_RUNS):
            order = submitter.work.order(f"job_held-{number}", beats=1, site=PROBED)
            stand.call("POST", "/v1/jobs", {"job_id": order.job_id, "task": order.text})
        stand.until(lambda: len(probe.held) == PROBE_RUNS, "the probe holds its runs")
        submitter.start()
        rows, kills = _watch(stand, probe, submitter, options)
    finally:
        submitter.close()
        probe.close()
        stand.close()
        shutil.rmtree(folder, ignore_errors=True)
    return _tell(rows, kills, submitter, options.out)


def _watch(
    stand: Stand, probe: Probe, submitter: Submitter, options: argparse.Namespace
) -> tuple[list[dict[str, float]], dict[str, int]]:
    """A row a minute, and how many of what were killed. Kills are made here too."""
    rng = random.Random(options.seed + 2)
    begun = last = time.monotonic()
    end = begun + options.minutes * 60
    samples: dict[str, list[Held]] = {"server": [], "agent": []}
    rows: list[dict[str, float]] = []
    kills = {"supervisor": 0, "guard": 0, "agent": 0}
    next_agent_kill = begun + EVERY_S / 2
    while (now := time.monotonic()) < end:
        for name, process in (("server", stand.servers[0]), ("agent", stand.agents[STEADY])):
            assert process.running is not None
            found = held(process.running.pid)
            assert found is not None, f"the {name} has ended: see {process.log}"
            samples[name].append(found)
        counts = _counts(stand)
        if counts is not None:
            submitter.over = sum(
                counts.get(state, 0) for state in ("succeeded", "failed", "cancelled")
            )
        if rng.random() < 0.5:
            _kill_one(stand, rng, kills)
        if now >= next_agent_kill:
            next_agent_kill = now + EVERY_S
            stand.agents[SHAKEN].kill()
            kills["agent"] += 1
            time.sleep(rng.uniform(0, 1))
            stand.agents[SHAKEN].start()
        if now - last >= EVERY_S:
            last = now
            rows.append(_row(stand, probe, submitter, samples, now - begun))
            samples = {"server": [], "agent": []}
            _write(rows, options.out / "soak.csv")
            print(" ".join(f"{k}={v:g}" for k, v in rows[-1].items()), flush=True)
        time.sleep(LOOK_S)
    return rows, kills


def _counts(stand: Stand) -> dict[str, int] | None:
    try:
        return stand.counts()
    except Unanswered:
        return None


def _kill_one(stand: Stand, rng: random.Random, kills: dict[str, int]) -> None:
    there: list[Supervised] = [
        one for site in (STEADY, SHAKEN) for one in supervised(stand.state(site))
    ]
    if not there:
        return
    chosen = rng.choice(there)
    what = rng.choice(("supervisor", "guard"))
    if chosen.kill(what):
        kills[what] += 1


def _row(
    stand: Stand,
    probe: Probe,
    submitter: Submitter,
    samples: dict[str, list[Held]],
    at_s: float,
) -> dict[str, float]:
    """Medians of the minute."""
    row: dict[str, float] = {"at_s": round(at_s), "load": os.getloadavg()[0]}
    for name, seen in samples.items():
        for key in ("rss_kib", "pss_kib", "handles", "threads"):
            row[f"{name}_{key}"] = quantile([getattr(one, key) for one in seen], 0.5)
    for name, took in (("submit", submitter.take()), ("renew", probe.take())):
        row[f"{name}_p50_ms"] = round(1000 * quantile(took, 0.5), 2)
        row[f"{name}_p99_ms"] = round(1000 * quantile(took, 0.99), 2)
    folder = stand.data(stand.servers[0].name)
    row["database_mib"] = sum(one.stat().st_size for one in folder.glob("westward.db*")) / 2**20
    row["jobs"] = submitter.submitted
    row["jobs_over"] = submitter.over
    return row


def _write(rows: list[dict[str, float]], file: Path) -> None:
    with open(file, "w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def slopes_of(rows: list[dict[str, float]]) -> dict[str, Slope | None]:
    usual = quantile([row["load"] for row in rows], 0.5)
    calm = [row for row in rows if row["load"] <= usual]
    found = {}
    for name in (*FLAT, *POOLED, *GROWS):
        looked_at = calm if name in CALM else rows
        found[name] = slope([row["at_s"] for row in looked_at], [row[name] for row in looked_at])
    return found


def judge(rows: list[dict[str, float]], slopes: dict[str, Slope | None]) -> dict[str, bool | None]:
    """By name whether it is flat, or within its bound; None: too short to tell."""
    verdict: dict[str, bool | None] = {
        name: None if (one := slopes[name]) is None else one.growth < most
        for name, most in FLAT.items()
    }
    for name, most in POOLED.items():
        verdict[name] = max(row[name] for row in rows) <= most
    return verdict


def _tell(
    rows: list[dict[str, float]], kills: dict[str, int], submitter: Submitter, out: Path
) -> int:
    slopes = slopes_of(rows)
    verdict = judge(rows, slopes)
    report = {
        "minutes": len(rows),
        "jobs": submitter.submitted,
        "cancelled": submitter.cancelled,
        "asked_again": submitter.failed,
        "held_back": submitter.held_back,
        "kills": kills,
        "load": [min(row["load"] for row in rows), max(row["load"] for row in rows)],
        "slopes": {
            name: None
            if one is None
            else {
                "per_hour": round(one.per_hour, 3),
                "level": round(one.level, 3),
                "growth": round(one.growth, 4),
            }
            for name, one in slopes.items()
        },
        "flat": verdict,
    }
    (out / "soak.json").write_text(json.dumps(report, indent=1) + "\n")
    draw(rows, out / "soak.png")
    print(json.dumps(report, indent=1))
    return 0 if all(verdict.values()) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--per-second", type=float, default=1.0, help="jobs handed in")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--store", default="", help="URL of the store (default: SQLite)")
    parser.add_argument("--out", type=Path, default=Path("out/soak"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
