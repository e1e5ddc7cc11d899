"""``python -m tests.chaos --kills 100 --jobs 500 --seed 1 --report FILE``: one slice of a chaos run.

Jobs are handed in over a line of the user's own, always so many on their way; meanwhile processes are
killed, stopped, cut off, and run out of disk. When both counts are reached (or ``--seconds`` are over)
everything is healed, every job is waited for, all processes are ended as an operator would, and the
books are held against the witness. The report gets one JSON line a slice; ``python -m
tests.chaos.total FILE`` adds the lines up. Exit code 1: something is wrong; the stand is then kept.

``--store postgresql`` starts a PostgreSQL of the slice's own, which is killed, restarted, stopped and
out of disk among the rest; ``--slurm`` puts a Slurm cluster behind one of the sites, whose daemons are
killed too. Root can have full disks (small file systems of their own) and Slurm; a C compiler, clocks
that are set. What is missing is left out, and the report says so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.chaos import clocks
from tests.chaos.audit import Findings, audit, read_books, trouble
from tests.chaos.database import Database
from tests.chaos.eyes import Eyes
from tests.chaos.killer import DATABASE, KILLS, OTHERS, SLURM, Killer, Wound
from tests.chaos.stand import SLURM_CPUS, SLURM_NODES, Stand, Unanswered
from tests.chaos.work import Expected, Order, Witness, Work
from tests.engines_up.ports import free_block
from tests.engines_up.slurm import Cluster
from tests.soak.measure import held, quantile
from westward.store.database import open_store

LEASE = "8s"
LEASE_S = 8.0
ON_THEIR_WAY = 36
"""Jobs handed in and not over. A killed server adds the time it is away."""
AGENT_DISK_MIB = 96
SERVER_DISK_MIB = 192
SETTLE_PATIENCE_S = 150
OWN = "postgresql"
"""As ``--store``: one of the slice's own."""
CLOCKS_APART_MS = 100
"""Servers of one PostgreSQL follow its clock, each for itself; they were seen a few ms apart."""
LOOK_S = 2.0
TURN_S = 0.03


class Users:
    """Hands jobs in, each until it is acknowledged, and cancels those that are to be."""

    def __init__(self, stand: Stand, eyes: Eyes, work: Work, jobs: int):
        self.stand = stand
        self.eyes = eyes
        self.work = work
        self.jobs = jobs
        self.expected: dict[str, Expected] = {}
        """Of every job that was acknowledged."""
        self.asked_again = 0
        self.broken: list[str] = []
        """Answers that no user should get."""
        self.stopping = threading.Event()
        self.to_cancel: list[str] = []
        self._thread = threading.Thread(target=self._for_ever, name="users", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """After the order that is under way, which may have arrived already. Does not wait: to get
        its answers it may need a server that others are to start again first."""
        self.stopping.set()

    @property
    def gone(self) -> bool:
        return not self._thread.is_alive()

    def _for_ever(self) -> None:
        while not self.stopping.is_set():
            if len(self.expected) - self.eyes.over >= ON_THEIR_WAY:
                self._cancel_some()
                time.sleep(0.05)
                continue
            self._hand_in(self.work.draw())
        self._cancel_some(everything=True)

    def _hand_in(self, order: Order) -> None:
        path = "/v1/jobs" if order.count == 1 else "/v1/batches"
        body = {"job_id": order.job_id, "task": order.text}
        while True:
            try:
                status, answer = self.stand.call("POST", path, body)
            except Unanswered:
                self.asked_again += 1
                time.sleep(0.1)
                continue
            if status in (200, 201):
                break
            self.broken.append(f"{order.job_id}: {status} {answer}")
            return
        for job_id in order.job_ids:
            self.expected[job_id] = order.expected
        if order.expected == "cancelled":
            self.to_cancel.append(order.job_id)

    def _cancel_some(self, *, everything: bool = False) -> None:
        """Those that have begun; at the end, all, however long that takes."""
        while self.to_cancel:
            for job_id in tuple(self.to_cancel):
                if not everything and job_id not in self.eyes.witness.by_job:
                    continue
                try:
                    self.stand.call("POST", f"/v1/jobs/{job_id}/cancel")
                    self.to_cancel.remove(job_id)
                except Unanswered:
                    time.sleep(0.2)
            if not everything:
                return


def main() -> int:
    options = _parse()
    signal.signal(signal.SIGTERM, lambda _n, _f: sys.exit(143))
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="westward-chaos-"))
    wanted = {**KILLS, **OTHERS, **DATABASE, **SLURM}
    left_out = {name: "not wanted" for name in options.without.split(",") if name}
    left_out |= {} if options.store == OWN else dict.fromkeys(DATABASE, "no PostgreSQL of its own")
    left_out |= {} if options.slurm else dict.fromkeys(SLURM, "no Slurm here (--slurm)")
    preload = "" if "clock" in left_out else clocks.build(folder)
    if "clock" not in left_out and not preload:
        left_out["clock"] = "no C compiler here"
    database = cluster = None
    if options.store == OWN:
        database = Database.start(own_disk="disk-database" not in left_out)
        if not database.own_disk:
            left_out.setdefault("disk-database", "no file systems of our own here (root is needed)")
    if options.slurm:
        cluster = slurm_cluster()
    stand = Stand(
        folder / "stand", options.seed, store=database.url if database else options.store,
        server_count=options.servers, lease=LEASE, preload=preload, database=database,
        cluster=cluster,
    )  # fmt: skip
    try:
        left_out |= _disks(stand, left_out)
        kinds = {k: v for k, v in wanted.items() if k not in left_out}
        report, findings = _slice(stand, options, kinds, begun)
        report["left_out"] = left_out
        if not findings.clean:
            kept = options.keep / f"chaos-{options.seed}-{os.getpid()}"
            stand.keep(kept)
            report["kept"] = str(kept)
    except Exception:
        stand.keep(options.keep / f"chaos-{options.seed}-{os.getpid()}")
        raise
    finally:
        stand.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(report, indent=1))
    if options.report is not None:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        with open(options.report, "a") as out:
            out.write(json.dumps(report) + "\n")
    return 0 if findings.clean else 1


def slurm_cluster() -> Cluster:
    """Up and idle, in a folder of its own (a socket's path must be short)."""
    cluster = Cluster(
        Path(tempfile.mkdtemp(prefix="ww-chaos-")), "chaos", free_block(1 + SLURM_NODES),
        nodes=SLURM_NODES, cpus=SLURM_CPUS, gpus=0,
    )  # fmt: skip
    cluster.up()
    return cluster


def _disks(stand: Stand, left_out: dict[str, str]) -> dict[str, str]:
    """Small file systems for the agents and servers. Answers what cannot be done, and why."""
    missing = {}
    for kind, size, folders in (
        ("disk-agent", AGENT_DISK_MIB, [stand.state(site) for site in stand.agents]),
        ("disk-server", SERVER_DISK_MIB, [stand.data(one.name) for one in stand.servers]),
    ):
        if kind in left_out:
            continue
        if not all(stand.own_disk(folder, size) for folder in folders):
            missing[kind] = "no file systems of our own here (root is needed)"
    return missing


def _slice(
    stand: Stand, options: argparse.Namespace, kinds: dict[str, float], begun: float
) -> tuple[dict[str, Any], Findings]:
    rng = random.Random(options.seed)
    witness = Witness(stand.witness)
    eyes = Eyes(stand, witness)
    work = Work(stand.witness, random.Random(rng.random()), f"s{options.seed}")
    killer = Killer(stand, eyes, witness, rng, options.every, kinds, LEASE_S)
    users = Users(stand, eyes, work, options.jobs)
    stand.start()
    eyes.start()
    users.start()
    peaks: Counter[str] = Counter()
    started = time.monotonic()
    end = begun + options.seconds
    next_look = 0.0
    while time.monotonic() < end:
        jobs_done = len(users.expected) >= options.jobs
        kills_done = killer.killed >= options.kills
        if jobs_done and kills_done:
            break
        witness.read()
        killer.turn(strike=not kills_done)
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_S
            _look(stand, peaks)
        time.sleep(TURN_S)
    struck_s = time.monotonic() - started
    users.stop()
    settled = _settle(stand, users, killer, witness)
    eyes.close()
    strays = stand.strays()
    stand.end()
    witness.read()
    findings = audit(
        stand.database_url,
        witness,
        users.expected,
        stand.network,
        {site: stand.state(site) for site in stand.agents},
        one_clock=bool(options.store) or not killer.others["clock"],
        apart_ms=CLOCKS_APART_MS if options.store else 0,
    )
    if stand.database is not None:
        findings.add("database", stand.database.sound())
    findings.add("settling", settled)
    findings.add("answers", users.broken)
    findings.add("died", killer.died)
    findings.add("left behind", [f"process {pid} of a job still lives" for pid in strays])
    logs = trouble(stand.folder.glob("*.log"))
    return _report(options, killer, users, witness, findings, peaks, logs, struck_s), findings


def _look(stand: Stand, peaks: Counter[str]) -> None:
    for name, process in (
        *((f"server {one.name}", one) for one in stand.servers),
        *((f"agent {site}", one) for site, one in stand.agents.items()),
    ):
        if not process.lives or process.running is None:
            continue
        found = held(process.running.pid)
        if found is not None:
            kind = name.split()[0]
            for key in ("rss_kib", "handles", "threads"):
                peaks[f"{kind} {key}"] = max(peaks[f"{kind} {key}"], getattr(found, key))


def _settle(stand: Stand, users: Users, killer: Killer, witness: Witness) -> list[str]:
    """Everything heals; every job comes to its end, every run to its bill."""
    end = time.monotonic() + SETTLE_PATIENCE_S

    def meanwhile(ready: bool) -> bool:
        witness.read()
        killer.turn(strike=False)
        return ready

    try:
        stand.until(
            lambda: meanwhile(killer.at_rest and users.gone), "all is healed", SETTLE_PATIENCE_S
        )
        if stand.cluster is not None:
            _nodes_again(stand.cluster)
        stand.until(
            lambda: meanwhile(_all_over(stand.counts(), len(users.expected))),
            "every job is over",
            end - time.monotonic(),
        )
        stand.until(lambda: meanwhile(_all_settled(stand)), "every run has its bill", 30)
        stand.until(
            lambda: meanwhile(all(one.back is not None for one in killer.wounds)),
            "everybody hit has made progress",
            20,
        )
    except TimeoutError as error:
        return [str(error)]
    return []


def _nodes_again(cluster: Cluster) -> None:
    """As an operator would: a slurmd that found no slurmctld when it started never asks again, and
    jobs wait in Slurm's queue for its node. Jobs outlive their slurmd."""
    for number in range(1, SLURM_NODES + 1):
        cluster.end(f"{cluster.name}-n{number}", signal.SIGKILL)
        cluster.start_node(number)


def _all_over(counts: dict[str, int], jobs: int) -> bool:
    over = sum(counts.get(state, 0) for state in ("succeeded", "failed", "cancelled", "refused"))
    return over >= jobs


def _all_settled(stand: Stand) -> bool:
    store = open_store(stand.database_url, migrate=False)
    try:
        books = read_books(store)
    finally:
        store.close()
    return all(run["settled_ms"] is not None for run in books.runs.values())


def _report(
    options: argparse.Namespace,
    killer: Killer,
    users: Users,
    witness: Witness,
    findings: Findings,
    peaks: Counter[str],
    logs: Counter[str],
    struck_s: float,
) -> dict[str, Any]:
    recovery: dict[str, list[list[float | None]]] = {}
    for wound in killer.wounds:
        recovery.setdefault(wound.kind, []).append(_times(wound, wound.back))
        for sign in (*wound.signs, *wound.seen):
            name = f"{wound.kind}: {sign}"
            recovery.setdefault(name, []).append(_times(wound, wound.seen.get(sign)))
    whole = [one.back - one.at for one in killer.wounds if one.back is not None]
    return {
        "seed": options.seed,
        "store": options.store.partition(":")[0] or "sqlite",
        "servers": options.servers,
        "slurm": options.slurm,
        "struck_s": round(struck_s, 1),
        "load": os.getloadavg(),
        "jobs": len(users.expected),
        "executions": len(witness.executions),
        "killed": killer.killed,
        "kills": dict(killer.kills),
        "others": dict(killer.others),
        "clean": findings.clean,
        "wrong": {name: found[:20] for name, found in findings.wrong.items() if found},
        "wrong_counts": {name: len(found) for name, found in findings.wrong.items()},
        "told": findings.told,
        "recovery_p50_s": round(quantile(whole, 0.5), 2),
        "recovery_p99_s": round(quantile(whole, 0.99), 2),
        "recovery": recovery,
        "peaks": dict(peaks),
        "trouble": dict(logs),
        "asked_again": users.asked_again,
        "answers_lost": sum(line.lost for line in killer.stand.lines.values()),
    }


def _times(wound: Wound, came: float | None) -> list[float | None]:
    """Seconds from the blow, and from when who was hit was whole again (0: it did not wait)."""
    if came is None:
        return [None, None]
    whole = None if wound.whole is None else round(max(0.0, came - wound.whole), 3)
    return [round(came - wound.at, 3), whole]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="at least so many SIGKILLs")
    parser.add_argument("--jobs", type=int, default=200, help="at least so many jobs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=300, help="then no more is done")
    parser.add_argument("--every", type=float, default=1.2, help="mean seconds between two acts")
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument(
        "--store", default="", help=f"{OWN}: one of its own; or a URL (default: SQLite)"
    )
    parser.add_argument("--slurm", action="store_true", help="one site is a Slurm cluster (root)")
    parser.add_argument("--without", default="", help="kinds left out, with commas")
    parser.add_argument("--report", type=Path, help="gets one line of JSON")
    parser.add_argument("--keep", type=Path, default=Path("out"), help="where a bad stand is kept")
    options = parser.parse_args()
    unknown = {one for one in options.without.split(",") if one} - {
        *KILLS,
        *OTHERS,
        *DATABASE,
        *SLURM,
    }
    if options.servers > 1 and not options.store:
        parser.error("--servers: several share a PostgreSQL (--store postgresql)")
    if unknown:
        parser.error(f"--without: there is no {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
