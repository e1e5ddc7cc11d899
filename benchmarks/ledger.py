"""Durable transfers a second, on SQLite and PostgreSQL, beside pgbench's TPC-B-like in the same run.

    python benchmarks/ledger.py            # about two minutes; needs PostgreSQL's programs
    python benchmarks/ledger.py --write    # and into benchmarks/LEDGER.md

Both work on the same server with its default settings: every commit waits for the disk. pgbench's
TPC-B-like transaction updates three rows, reads one and adds one, over SCALE branches. Ours takes as many pots; each transfer locks two accounts, updates both, and adds a row,
and every second one holds or takes from a hold as well. Afterwards the auditor balances all of it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ledger_runs import APPLIED_AT_ONCE, SETTLED_AT_ONCE, Rate, through_purse
from side import fsync_ms, load, machine, write_section

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests.engines_up starts PostgreSQL


from tests.engines_up.postgres import Postgres
from westward.ledger.accounts import Account, AccountKind
from westward.ledger.transfers import Accepted, Transfer, TransferKind
from westward.server.writer import Bulk, Writer
from westward.store import Store, open_store
from westward.store.ledger import open_accounts, post, post_each
from westward.store.ledger_audit import audit_ledger

HERE = Path(__file__).resolve().parent
CLIENTS, THREADS, SCALE = 8, 2, 10
CALLERS = 64
BATCH = 200
SITES = 100
GOAL_RATIO, GOAL_BATCHED = 0.5, 5_000


def prepare(url: str) -> Store:
    """Ten pots with more than they can spend, and a hundred sites."""
    store = open_store(url)
    outside = Account(account_id="out", kind=AccountKind.EXTERNAL, unit="CNY", overdraft=True)
    pots = [Account(account_id=f"pot-{n}", kind=AccountKind.POT, unit="CNY") for n in range(SCALE)]
    sites = [
        Account(account_id=f"site-{n}", kind=AccountKind.SITE, unit="CNY") for n in range(SITES)
    ]
    open_accounts(store, [outside, *pots, *sites], 1)
    funding = [
        Transfer(
            transfer_id=f"fund-{pot.account_id}", kind=TransferKind.POSTED, debit="out",
            credit=pot.account_id, amount=10**15,
        )
        for pot in pots
    ]  # fmt: skip
    post(store, funding, 1)
    return store


class Maker:
    """Transfers as a network makes them: hold, take the half, give back, and plain ones."""

    def __init__(self, name: str) -> None:
        self.name, self.count, self.random = name, 0, random.Random(name)
        self.held = ""

    def next(self) -> Transfer:
        self.count += 1
        transfer_id = f"{self.name}-{self.count}"
        phase = self.count % 4
        if phase == 2:
            return Transfer(
                transfer_id=transfer_id, kind=TransferKind.POST, pending_id=self.held, amount=500
            )
        if phase == 3:
            return Transfer(transfer_id=transfer_id, kind=TransferKind.VOID, pending_id=self.held)
        self.held = transfer_id
        return Transfer(
            transfer_id=transfer_id,
            kind=TransferKind.PENDING if phase == 1 else TransferKind.POSTED,
            debit=f"pot-{self.random.randrange(SCALE)}",
            credit=f"site-{self.random.randrange(SITES)}",
            amount=1_000,
            category="compute",
            job_id=f"job-{self.name}",
        )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def post_for(store: Store, name: str, batch: int, seconds: float) -> int:
    """One caller, ``batch`` transfers a transaction."""
    maker, done, end = Maker(name), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        outcomes = post(store, [maker.next() for _ in range(batch)], now_ms())
        if not all(isinstance(one, Accepted) for one in outcomes):
            raise RuntimeError(f"refused: {outcomes}")
        done += batch
    return done


def many_processes(url: str, batch: int, seconds: float) -> float:
    """CLIENTS processes, each with a connection of its own. Transfers a second."""
    children = [
        subprocess.Popen(
            [sys.executable, __file__, "--child", url, f"c{number}-{batch}", str(batch), str(seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(CLIENTS)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            raise RuntimeError("a client did not start")
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    done = sum(int(child.communicate()[0]) for child in children)
    if any(child.returncode for child in children):
        raise RuntimeError("a client failed")
    return done / seconds


def through_writer(store: Store, name: str, seconds: float) -> float:
    """As the server settles: CALLERS at once, one transfer each, each answered by itself. Those who
    wait together are one batch of the ledger in a transaction of the writer."""
    bulk = Bulk(lambda asked: post_each(store, asked, now_ms()), BATCH)

    async def all_of_them() -> int:
        writer, end = Writer(store), time.monotonic() + seconds

        async def caller(number: int) -> int:
            maker, done = Maker(f"{name}-{number}"), 0
            while time.monotonic() < end:
                (outcome,) = await writer.write_in_bulk(bulk, [maker.next()])
                if not isinstance(outcome, Accepted):
                    raise RuntimeError(f"refused: {outcome}")
                done += 1
            return done

        counts = await asyncio.gather(*map(caller, range(CALLERS)))
        writer.close()
        return sum(counts)

    return asyncio.run(all_of_them()) / seconds


def pgbench(server: Postgres, seconds: int) -> dict[int, float]:
    """Transactions a second of its built-in TPC-B-like script, by the number of its clients."""
    server.create("pgbench")
    where = ["-h", str(server.folder), "-U", "postgres", "pgbench"]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = server.program("pgbench", *options, *where)
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")

    run("-i", "-q", "-s", str(SCALE))
    rates = {}
    for clients in (CLIENTS, 1):
        done = run(
            "-b", "tpcb-like", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, THREADS)),
            "-T", str(seconds),
        )  # fmt: skip
        found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
        if found is None:
            raise RuntimeError(done.stdout)
        rates[clients] = float(found.group(1))
    server.drop("pgbench")
    return rates


def measure(store: Store, url: str, seconds: float, say: Callable[[str, float], None]) -> None:
    """The ways of posting to one database, then the audit."""
    say("one caller, one transfer a commit", post_for(store, "one", 1, seconds) / seconds)
    say(f"{CLIENTS} processes, one transfer a commit", many_processes(url, 1, seconds))
    say(
        f"{CALLERS} callers of one server's writer, one transfer each",
        through_writer(store, "w", seconds),
    )
    say(f"one caller, {BATCH} transfers a commit", post_for(store, "b", BATCH, seconds) / seconds)
    report = audit_ledger(store)
    if report.faults:
        raise RuntimeError(f"the audit found {report.faults[:5]}")


def table(seconds: int) -> str:
    figures: list[tuple[str, str, float]] = []
    runs: list[tuple[str, str, Rate]] = []

    def held_and_settled(database: str, store: Store) -> None:
        hold, end = through_purse(store, seconds / 2)
        runs.append((database, f"held for before they start, {APPLIED_AT_ONCE} a work", hold))
        runs.append((database, f"settled, up to {SETTLED_AT_ONCE} a work", end))
        report = audit_ledger(store)
        if report.faults:
            raise RuntimeError(f"the audit found {report.faults[:5]}")

    with tempfile.TemporaryDirectory(prefix="westward-ledger-") as name:
        disk_ms = fsync_ms(Path(name))
        url = f"sqlite:///{name}/ledger.db"
        store = prepare(url)
        measure(store, url, seconds, lambda what, rate: figures.append(("SQLite", what, rate)))
        store.close()
        store = open_store(f"sqlite:///{name}/runs.db")
        held_and_settled("SQLite", store)
        store.close()
    server = Postgres.start()
    try:
        before = pgbench(server, seconds)
        url = server.create("ledger")
        store = prepare(url)
        measure(store, url, seconds, lambda what, rate: figures.append(("PostgreSQL", what, rate)))
        store.close()
        store = open_store(server.create("runs"))
        held_and_settled("PostgreSQL", store)
        store.close()
        after = pgbench(server, seconds)
    finally:
        server.stop()
    rival = {clients: max(before[clients], after[clients]) for clients in before}
    lines = [
        f"{machine()}; load before {load()}; {seconds} s each; a 4 KiB fdatasync takes {disk_ms:.2f} ms "
        "(median) where the databases lie. The auditor balanced every ledger afterwards.",
        "",
        f"| database | how | transfers/s | of pgbench -c {CLIENTS} | of pgbench -c 1 |",
        "|---|---|---|---|---|",
        *(
            f"| PostgreSQL | pgbench TPC-B-like, -c {clients} -s {SCALE} -M prepared (before "
            f"{before[clients]:,.0f}, after {after[clients]:,.0f}; the better counts) | {rate:,.0f} "
            f"| {rate / rival[CLIENTS]:.2f} | {rate / rival[1]:.2f} |"
            for clients, rate in rival.items()
        ),
        *(
            f"| {database} | {what} | {rate:,.0f} | {rate / rival[CLIENTS]:.2f} "
            f"| {rate / rival[1]:.2f} |"
            for database, what, rate in figures
        ),
        "",
        "Runs through the server's own purse and writer (`ledger_runs.py`):",
        "",
        "| database | what | runs/s | transfers/s |",
        "|---|---|---|---|",
        *(
            f"| {database} | {what} | {rate.runs:,.0f} | {rate.transfers:,.0f} |"
            for database, what, rate in runs
        ),
        "",
        f"Goals: at least {GOAL_RATIO} of pgbench, at least {GOAL_BATCHED:,} a second in batches.",
    ]
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        url, name, batch, seconds = sys.argv[2:]
        store = open_store(url, migrate=False)
        store.engine.connect().close()
        print("ready", flush=True)
        sys.stdin.readline()
        print(post_for(store, name, int(batch), float(seconds)))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = table(options.seconds)
    print(text)
    if options.write:
        write_section(HERE / "LEDGER.md", "throughput", text)


if __name__ == "__main__":
    main()
