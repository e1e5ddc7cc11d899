"""What is left after a chaos run, held against the witness. Reads the database with plain SQL.

Each check answers with sentences about what is wrong, and shares no code with what it checks; the
ledger's own auditor (which shares none with the ledger) is asked as well.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.chaos.work import Expected, Witness
from westward.agent.engines.folders import KEEP_FINISHED
from westward.store.database import Store, open_store
from westward.store.ledger_audit import audit_ledger

Row = Mapping[str, Any]
OVER = ("succeeded", "failed", "cancelled", "refused")
BEHIND = ("clearing:", "rounding:", "site:", "network-")
"""Accounts that nobody pays from."""
LOST_MOST = 3
"""Runs that a job may lose to its sites before it is given up, and says so."""
GONE = "meters whose files the site keeps no more"
SHOWN_MOST = 20
EXPECTED_TROUBLE = ("OperationalError", "disk is full", "No space left")
"""In logs of a run whose disks were filled."""


@dataclass
class Findings:
    """``wrong``: by check, a sentence for each fault. ``told``: figures that are no faults."""

    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    told: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return not any(self.wrong.values())

    def add(self, check: str, sentences: Iterable[str]) -> None:
        self.wrong[check] += list(sentences)


@dataclass
class Books:
    """All rows that are looked at."""

    jobs: dict[str, Row]
    runs: dict[str, Row]
    runs_of: dict[str, list[Row]]
    readings: dict[str, list[Row]]
    bills: dict[str, Row]
    paid: dict[str, int]
    """By run: what its payers paid for good, less what rounding gave back, in millionths."""


def read_books(store: Store) -> Books:
    with store.read() as connection:

        def rows(query: str) -> list[Row]:
            return [dict(row) for row in connection.execute(text(query)).mappings()]

        jobs = {row["job_id"]: row for row in rows("SELECT * FROM jobs")}
        runs = {row["run_id"]: row for row in rows("SELECT * FROM runs ORDER BY job_id, attempt")}
        readings: dict[str, list[Row]] = defaultdict(list)
        for row in rows("SELECT * FROM readings ORDER BY run_id, sequence"):
            readings[row["run_id"]].append(row)
        bills = {row["run_id"]: row for row in rows("SELECT * FROM bills")}
        paid: dict[str, int] = defaultdict(int)
        query = (
            "SELECT run_id, debit, credit, amount FROM ledger_transfers "
            "WHERE kind IN ('posted', 'post')"
        )
        for row in rows(query):
            paid[row["run_id"]] += row["amount"] * _from_payer(row["debit"], row["credit"])
    runs_of: dict[str, list[Row]] = defaultdict(list)
    for row in runs.values():
        runs_of[row["job_id"]].append(row)
    return Books(jobs, runs, runs_of, readings, bills, paid)


def _from_payer(debit: str, credit: str) -> int:
    """1: out of somebody's money (a project's, a pot's, the network's for what nobody funds); -1:
    back to it; 0: from hand to hand behind that."""
    return (not debit.startswith(BEHIND)) - (not credit.startswith(BEHIND))


def audit(
    database_url: str,
    witness: Witness,
    expected: Mapping[str, Expected],
    network: Path,
    states: Mapping[str, Path],
    *,
    one_clock: bool,
    apart_ms: int = 0,
) -> Findings:
    """``states``: agents' folders by site. ``one_clock``: nobody's clock was set, so that times of
    the server may be held against one another; ``apart_ms``: those of several servers may differ."""
    store = open_store(database_url, migrate=False)
    try:
        books = read_books(store)
        report = audit_ledger(store)
        broken = _integrity(store)
    finally:
        store.close()
    found = Findings()
    found.add("lost", lost(books, expected))
    found.add("results", results(books, expected, found.told))
    found.add("doubled", witness.doubled())
    found.add("witness", against_witness(books, witness, found.told))
    if one_clock:
        found.add("leases", leases(books, apart_ms))
    found.add("meter", meter(books, states, found.told))
    found.add("bills", bills(books, network))
    found.add("ledger", [str(fault) for fault in report.faults])
    if report.open_holds:
        found.add("ledger", [f"{report.open_holds} holds are open though every run is settled"])
    found.add("database", broken)
    found.told["transfers"] = report.transfers
    found.told["jobs"] = len(books.jobs)
    found.told["runs"] = len(books.runs)
    found.told["bills_micros"] = sum(row["total_micros"] for row in books.bills.values())
    return found


def _integrity(store: Store) -> list[str]:
    if store.engine.dialect.name != "sqlite":
        return []
    with store.read() as connection:
        told = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check")]
        keys = list(connection.exec_driver_sql("PRAGMA foreign_key_check"))
    return [*(one for one in told if one != "ok"), *(f"foreign key: {one}" for one in keys)]


def lost(books: Books, expected: Mapping[str, Expected]) -> list[str]:
    """Every job that was acknowledged is there, and is over; nothing is there that nobody gave."""
    wrong = [f"{job_id} is not there" for job_id in expected if job_id not in books.jobs]
    for job_id, row in books.jobs.items():
        if job_id not in expected:
            wrong.append(f"{job_id} was never handed in")
        if row["state"] not in OVER:
            wrong.append(f"{job_id} is not over: {row['state']}")
    live = [run_id for run_id, row in books.runs.items() if row["live"]]
    return wrong + [f"{run_id} still holds a lease" for run_id in live]


def results(books: Books, expected: Mapping[str, Expected], told: dict[str, int]) -> list[str]:
    """Each job ended as its program does; or was given up after so many lost runs, and says so."""
    wrong = []
    ended: Counter[str] = Counter()
    for job_id, wanted in expected.items():
        row = books.jobs.get(job_id)
        if row is None or row["state"] not in OVER:
            continue
        state = row["state"]
        runs = [run["state"] for run in books.runs_of[job_id]]
        given_up = state == "failed" and runs.count("lost") == LOST_MOST == len(runs)
        ended["given up after three lost runs" if given_up else state] += 1
        if given_up:
            continue
        if state != wanted and not (wanted == "cancelled" and state == "succeeded"):
            wrong.append(f"{job_id} is {state}, not {wanted}; its runs: {runs}")
        if state == "succeeded" and (runs.count("succeeded") != 1 or runs[-1] != "succeeded"):
            wrong.append(f"{job_id} succeeded with the runs {runs}")
        if state == "failed" and books.runs_of[job_id][-1]["exit_code"] != 3:
            wrong.append(f"{job_id} failed with {books.runs_of[job_id][-1]['exit_code']}, not 3")
    told.update({f"jobs {name}": count for name, count in sorted(ended.items())})
    told["jobs with more than one run"] = sum(len(runs) > 1 for runs in books.runs_of.values())
    states = Counter(row["state"] for row in books.runs.values())
    told.update({f"runs {name}": count for name, count in sorted(states.items())})
    return wrong


def against_witness(books: Books, witness: Witness, told: dict[str, int]) -> list[str]:
    """What the processes said of themselves is in the books, under the same token; and a run that
    succeeded there has ended here."""
    wrong = []
    for run in witness.executions.values():
        row = books.runs.get(run.run_id)
        if row is None:
            wrong.append(f"{run.run_id} ran, and the server does not know it")
        elif (row["job_id"], row["token"]) != (run.job_id, run.token):
            wrong.append(f"{run.run_id} ran as {run.job_id} with token {run.token}: {dict(row)}")
    for run_id, row in books.runs.items():
        if row["exit_code"] == 0 and row["state"] == "succeeded":
            seen = witness.executions.get(run_id)
            if seen is None or seen.ends != 1:
                wrong.append(f"{run_id} succeeded, but nobody saw its end: {seen}")
    twice = sum(sum(run.ends for run in runs) > 1 for runs in witness.by_job.values())
    told["jobs whose program ended twice, one after the other (the first end was never told)"] = (
        twice
    )
    return wrong


def leases(books: Books, apart_ms: int = 0) -> list[str]:
    """No run was granted before the last one's lease was over or its end was told."""
    wrong = []
    for job_id, runs in books.runs_of.items():
        for earlier, later in itertools.pairwise(runs):
            granted_ms = later["granted_ms"] + apart_ms
            if earlier["ended_ms"] is None or granted_ms < earlier["ended_ms"]:
                wrong.append(f"{job_id}: {later['run_id']} was granted while another held a lease")
            over = earlier["outcome"] == "lost"  # nobody told: only the lease's end allows it
            if over and granted_ms < earlier["lease_expires_ms"]:
                wrong.append(f"{job_id}: {later['run_id']} was granted before the lease's end")
    return wrong


def meter(books: Books, states: Mapping[str, Path], told: dict[str, int]) -> list[str]:
    """What the server has of each run's meter is a part, from the first on, of what the site's
    supervisor wrote; all of it for runs whose end was told."""
    wrong = []
    compared = 0
    for run_id, row in books.runs.items():
        there = books.readings.get(run_id, [])
        if [one["sequence"] for one in there] != list(range(len(there))):
            wrong.append(f"{run_id}: readings are missing between the first and the last")
        folder = states[row["site"]]
        files = [folder / name / run_id / "readings.jsonl" for name in ("finished", "runs")]
        file = next((one for one in files if one.exists()), None)
        if file is None:
            if _pruned(folder):
                told[GONE] = told.get(GONE, 0) + 1
            elif there:
                wrong.append(f"{run_id}: the server has readings, its site has none")
            continue
        written = [json.loads(line) for line in file.read_text().splitlines() if line]
        compared += 1
        keys = ("sequence", "wall_ms", "device_milli_ms", "cpu_ms", "max_rss_kib")
        for mine, theirs in zip(there, written, strict=False):
            if any(mine[key] != theirs[key] for key in keys):
                wrong.append(f"{run_id}: reading {mine['sequence']} is not what the site wrote")
        if len(there) > len(written):
            wrong.append(f"{run_id}: more readings at the server than at the site")
        if row["state"] in ("succeeded", "failed") and len(there) != len(written):
            wrong.append(f"{run_id}: its end was told, {len(written) - len(there)} readings not")
    told["meters compared with the sites' files"] = compared
    return wrong


def _pruned(folder: Path) -> bool:
    """A site keeps the files of so many runs that are over, the newest."""
    return len(list((folder / "finished").iterdir())) >= KEEP_FINISHED


def bills(books: Books, network: Path) -> list[str]:
    """One bill a run; it is the price of the readings, worked out anew, and was paid to the
    millionth."""
    pools = {row["name"]: row for row in _table(network / "pools.csv")}
    sites = {row["name"]: row for row in _table(network / "sites.csv")}
    zones = {row["name"]: row for row in _table(network / "zones.csv")}
    wrong = []
    for run_id, row in books.runs.items():
        bill = books.bills.get(run_id)
        if bill is None or row["settled_ms"] is None:
            wrong.append(f"{run_id} has no bill")
            continue
        milli_ms = sum(one["device_milli_ms"] for one in books.readings.get(run_id, []))
        pool, site = pools[row["pool"]], sites[row["site"]]
        hours = milli_ms / 1000 / 3_600_000
        kwh = hours * float(pool["power_w_per_device"]) / 1000 * float(site["pue"])
        tariff = float(zones[site["zone"]]["tariff_per_kwh"])
        micros = 1e6 * (hours * float(pool["price_per_device_hour"]) + kwh * tariff)
        if bill["device_milli_ms"] != milli_ms:
            wrong.append(f"{run_id}: billed {bill['device_milli_ms']}, metered {milli_ms}")
        if not math.isclose(bill["total_micros"], micros, abs_tol=2):
            wrong.append(f"{run_id}: {bill['total_micros']} millionths, worked out {micros:.3f}")
        if books.paid.get(run_id, 0) != bill["total_micros"]:
            wrong.append(
                f"{run_id}: billed {bill['total_micros']}, the ledger has {books.paid.get(run_id, 0)}"
            )
    return wrong + [f"{one}: a bill without a run" for one in books.bills if one not in books.runs]


def _table(file: Path) -> list[dict[str, str]]:
    with open(file, newline="") as source:
        return list(csv.DictReader(source))


def trouble(logs: Iterable[Path]) -> Counter[str]:
    """Tracebacks and critical lines of all logs, by their last or own line without numbers."""
    seen: Counter[str] = Counter()
    for log in logs:
        lines = log.read_text(errors="replace").splitlines()
        for index, line in enumerate(lines):
            if line.startswith("Traceback"):
                end = next((one for one in lines[index + 1 :] if not one.startswith(" ")), "?")
                seen[_kind(end)] += 1
            elif line.startswith("{") and '"traceback"' in line:
                seen[_kind(str(json.loads(line)["traceback"]).splitlines()[-1])] += 1
            elif " CRITICAL " in line[:60]:
                seen[_kind(line[24:])] += 1
    return seen


def _kind(line: str) -> str:
    return re.sub(r"(run|job|agt)_[\w.-]+|\d+", "…", line)[:160]
