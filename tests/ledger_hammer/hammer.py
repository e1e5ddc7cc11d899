"""Eight processes hammer one pot and are killed in mid-write; then everything is checked.

python -m tests.ledger_hammer.hammer sqlite 300
python -m tests.ledger_hammer.hammer postgres 300
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sqlalchemy import text

from tests.engines_up.postgres import Postgres
from tests.ledger_hammer.worker import POT, RESERVE, SITES, read_witness
from westward.ledger.accounts import Account, AccountKind
from westward.ledger.audit import AuditReport
from westward.ledger.transfers import EXPIRY_PREFIX, Accepted, Transfer, TransferKind
from westward.store import open_store
from westward.store.ledger import open_accounts, post
from westward.store.ledger_audit import audit_ledger

WORKERS = 8
FUNDS = 40_000_000
"""Some dozen reservations: the pot is nearly always at its end."""
KILL_EVERY_S = (0.2, 2.0)
PATIENCE_S = 120


@dataclass
class Found:
    """What the hammering left, and what is wrong with it."""

    report: AuditReport
    told: int
    """Transfers that some process was told were accepted."""
    unheard: int
    """Rows of which the process that asked was killed before it heard."""
    kills: int
    restarts_of_server: int
    seconds: float
    faults: list[str] = field(default_factory=list)


def hammer(url: str, folder: Path, seconds: float, crash: Callable[[], None] | None) -> Found:
    """``crash``: ends the database server and starts it again, once, at half time."""
    _prepare(url)
    stop = folder / "stop"
    draw = random.Random(20261122)
    began = time.monotonic()
    names = [f"w{number}" for number in range(WORKERS)]
    children = {name: _start(url, folder, name, stop, seed) for seed, name in enumerate(names)}
    sizes = dict.fromkeys(names, 0)
    """Of each witness file when its process was started."""
    kills = crashes = lives = 0
    ended_badly: list[str] = []
    try:
        while (now := time.monotonic() - began) < seconds:
            time.sleep(draw.uniform(*KILL_EVERY_S))
            if crash is not None and not crashes and now > seconds / 2:
                crash()
                crashes += 1
            for name, child in children.items():
                if child.poll() is not None:
                    ended_badly.append(f"{name} ended by itself: {_output(folder, name)}")
            if ended_badly:
                break
            busy = [name for name in names if _size(folder, name) > sizes[name]]
            if not busy:
                continue
            victim = draw.choice(busy)
            children[victim].send_signal(signal.SIGKILL)
            children[victim].wait()
            kills += 1
            lives += 1
            sizes[victim] = _size(folder, victim)
            children[victim] = _start(url, folder, victim, stop, WORKERS + lives)
    finally:
        stop.touch()
        for name, child in children.items():
            try:
                if child.wait(PATIENCE_S) != 0:
                    ended_badly.append(f"{name} failed: {_output(folder, name)}")
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                ended_badly.append(f"{name} did not stop")
    found = _check(url, folder)
    found.kills, found.restarts_of_server = kills, crashes
    found.seconds = time.monotonic() - began
    found.faults += ended_badly
    return found


def _prepare(url: str) -> None:
    store = open_store(url)
    outside = Account(
        account_id="external:CNY", kind=AccountKind.EXTERNAL, unit="CNY", overdraft=True
    )
    pots = [Account(account_id=one, kind=AccountKind.POT, unit="CNY") for one in (POT, RESERVE)]
    sites = [Account(account_id=one, kind=AccountKind.SITE, unit="CNY") for one in SITES]
    open_accounts(store, [outside, *pots, *sites], 1)
    funding = [
        Transfer(
            transfer_id=f"fund-{pot}", kind=TransferKind.POSTED, debit="external:CNY", credit=pot,
            amount=FUNDS, category="funding",
        )
        for pot in (POT, RESERVE)
    ]  # fmt: skip
    assert all(isinstance(one, Accepted) for one in post(store, funding, 1))
    store.close()


def _start(url: str, folder: Path, name: str, stop: Path, seed: int) -> subprocess.Popen[bytes]:
    with open(folder / f"{name}.log", "ab") as log:
        return subprocess.Popen(
            [
                sys.executable, "-m", "tests.ledger_hammer.worker", url, name,
                str(folder / f"{name}.witness"), str(stop), str(seed),
            ],
            cwd=Path(__file__).resolve().parents[2], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip


def _size(folder: Path, name: str) -> int:
    path = folder / f"{name}.witness"
    return path.stat().st_size if path.exists() else 0


def _output(folder: Path, name: str) -> str:
    return (folder / f"{name}.log").read_text(errors="replace")[-1500:]


def _check(url: str, folder: Path) -> Found:
    """The audit, and the witnesses' files against the rows."""
    store = open_store(url, migrate=False)
    report = audit_ledger(store)
    faults = [str(fault) for fault in report.faults]
    with store.read() as connection:
        query = text(
            "SELECT transfer_id, kind, debit, credit, amount, pending_id, group_id "
            "FROM ledger_transfers"
        )
        rows = {row["transfer_id"]: row for row in connection.execute(query).mappings()}
        count = connection.execute(text("SELECT COUNT(*) FROM ledger_transfers")).scalar_one()
        overspent = connection.execute(
            text(
                "SELECT account_id FROM ledger_accounts WHERE overdraft = 0 "
                "AND debits_pending + debits_posted > credits_posted"
            )
        ).scalars()
        faults += [f"{name} is overspent" for name in overspent]
    store.close()
    if count != len(rows):
        faults.append(f"{count} rows, {len(rows)} ids")
    asked: dict[str, dict[str, object]] = {}
    told: set[str] = set()
    for witness in sorted(folder.glob("*.witness")):
        for entry in read_witness(witness):
            for one in entry.get("ask", ()):
                asked[one["transfer_id"]] = one
            told |= set(entry.get("accepted", ()))
    ours = {name for name in rows if not name.startswith((EXPIRY_PREFIX, "fund-"))}
    faults += [f"{name} was accepted and is not there" for name in sorted(told - ours)]
    faults += [f"{name} is there and was never asked for" for name in sorted(ours - asked.keys())]
    for name in sorted(ours & asked.keys()):
        row, one = rows[name], asked[name]
        same = row["kind"] == one["kind"] and (row["pending_id"] or "") == one["pending_id"]
        same = same and (row["group_id"] or "") == one["group_id"]
        if one["amount"]:
            same = same and row["amount"] == one["amount"]
        if one["debit"]:
            same = same and (row["debit"], row["credit"]) == (one["debit"], one["credit"])
        if not same:
            faults.append(f"{name} was asked for as {one} and is there as {dict(row)}")
    return Found(
        report=report, told=len(told), unheard=len(ours - told), kills=0, restarts_of_server=0,
        seconds=0.0, faults=faults,
    )  # fmt: skip


def on_sqlite(seconds: float) -> Found:
    folder = Path(tempfile.mkdtemp(prefix="westward-hammer-"))
    try:
        return hammer(f"sqlite:///{folder}/hammer.db", folder, seconds, None)
    finally:
        shutil.rmtree(folder)


def on_postgres(seconds: float) -> Found:
    folder = Path(tempfile.mkdtemp(prefix="westward-hammer-"))
    server = Postgres.start()
    try:

        def crash() -> None:
            server.kill()
            server.again()

        return hammer(server.create("hammer"), folder, seconds, crash)
    finally:
        server.stop()
        shutil.rmtree(folder)


def main() -> None:
    where, seconds = sys.argv[1], float(sys.argv[2])
    found = {"sqlite": on_sqlite, "postgres": on_postgres}[where](seconds)
    told = asdict(found)
    told["report"].pop("faults")
    print(json.dumps({"where": where, **told}, indent=1))
    print(f"load {os.getloadavg()[0]:.1f}")
    sys.exit(1 if found.faults else 0)


if __name__ == "__main__":
    main()
