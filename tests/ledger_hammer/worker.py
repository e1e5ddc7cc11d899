"""One of the processes that hammer the pot. It may be killed at any instruction.

Before it asks for anything it writes down what it asks, after an answer what it was told: one line
each, appended by one write, so that the file outlives the process and is an outside witness.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from westward.ledger.transfers import Accepted, Outcome, RefusalCode, Transfer, TransferKind
from westward.store import Store, open_store
from westward.store.ledger import expire_due, post, post_each

POT, RESERVE = "pot:one:CNY", "pot:two:CNY"
SITES = tuple(f"site:{number}:CNY" for number in range(4))
AMOUNT_MOST = 3_000_000
BATCH_MOST = 8
SEEN_MOST = 500
PAUSE_S = 0.05


class Wrong(Exception):
    """The ledger answered what it must never answer."""


class Worker:
    def __init__(self, store: Store, me: str, witness: Path, seed: int) -> None:
        self.store, self.me, self.random = store, me, random.Random(seed)
        self.file = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.accepted: list[Transfer] = []
        """Some of what this process was told was accepted, before its death too."""
        self.doubtful: list[Transfer] = []
        self.count = 0
        os.write(self.file, b"\n")  # ends the line that a kill may have torn
        self.remember(witness)

    def remember(self, witness: Path) -> None:
        """What an earlier life of this process asked, and was told."""
        asked: dict[str, Transfer] = {}
        told: set[str] = set()
        for entry in read_witness(witness):
            self.count = max(self.count, entry["n"])
            if "ask" in entry:
                last = [_read(one) for one in entry["ask"]]
                asked |= {one.transfer_id: one for one in last}
                self.doubtful = last
            else:
                told |= set(entry["accepted"])
                self.doubtful = []
        self.accepted = [asked[name] for name in sorted(told) if name in asked][-SEEN_MOST:]

    def write(self, **entry: object) -> None:
        line = json.dumps({"n": self.count, **entry}, separators=(",", ":")) + "\n"
        os.write(self.file, line.encode())

    def step(self) -> None:
        if self.doubtful:  # the last life died between asking and hearing
            batch, self.doubtful = self.doubtful, []
        else:
            draw = self.random.random()
            if draw < 0.08:
                expire_due(self.store, now_ms(), 50)
                return
            if draw < 0.22 and self.accepted:
                self.repeat()
                return
            batch = self.batch()
        self.count += 1
        self.write(ask=[asdict(one) for one in batch])
        outcomes = self.ask(batch)
        accepted = [one.transfer.transfer_id for one in outcomes if isinstance(one, Accepted)]
        self.write(accepted=accepted)
        if len(outcomes) != len(batch):
            raise Wrong(f"{len(batch)} asked, {len(outcomes)} answered")
        self.accepted += [
            one
            for one, outcome in zip(batch, outcomes, strict=True)
            if isinstance(outcome, Accepted)
        ]
        del self.accepted[:-SEEN_MOST]

    def ask(self, batch: list[Transfer]) -> tuple[Outcome, ...]:
        """As one who posts alone, or as the server's writer does for several who wait together."""
        if self.random.random() < 0.5:
            return post(self.store, batch, now_ms())
        asked: list[list[Transfer]] = []
        for one in batch:
            if one.group_id and asked and asked[-1][0].group_id == one.group_id:
                asked[-1].append(one)
            else:
                asked.append([one])
        with self.store.together():
            told = post_each(self.store, asked, now_ms())
        return tuple(chain.from_iterable(told))

    def repeat(self) -> None:
        """The same again changes nothing; another amount under the same id is refused."""
        known = self.random.choice(self.accepted)
        if known.group_id:
            return
        answer = post(self.store, [known], now_ms())[0]
        if not (isinstance(answer, Accepted) and answer.repeated):
            raise Wrong(f"{known.transfer_id} was accepted, and then not: {answer}")
        if known.amount:
            other = replace(known, amount=known.amount + 1)
            answer = post(self.store, [other], now_ms())[0]
            if isinstance(answer, Accepted) or answer.code is not RefusalCode.OTHER_CONTENT:
                raise Wrong(f"{known.transfer_id} was taken with other content: {answer}")

    def batch(self) -> list[Transfer]:
        size = self.random.randint(1, BATCH_MOST)
        pendings = self.open_pendings()
        made = [self.one(number, pendings) for number in range(size)]
        if self.random.random() < 0.3:  # a job that two pots pay for: both or neither
            group = f"{self.me}-g{self.count + 1}"
            made += [
                replace(self.hold(f"{group}-{number}", payer), group_id=group, expires_ms=None)
                for number, payer in enumerate((POT, RESERVE))
            ]
        return made

    def one(self, number: int, pendings: list[str]) -> Transfer:
        transfer_id = f"{self.me}-{self.count + 1}-{number}"
        draw = self.random.random()
        if draw < 0.35 or not pendings:
            return self.hold(transfer_id, POT)
        if draw < 0.7:
            return Transfer(
                transfer_id=transfer_id,
                kind=TransferKind.POST,
                pending_id=self.random.choice(pendings),
                amount=self.random.randint(1, AMOUNT_MOST // 2),
            )
        if draw < 0.85:
            return Transfer(
                transfer_id=transfer_id,
                kind=TransferKind.VOID,
                pending_id=self.random.choice(pendings),
            )
        # A claw-back, so that the pot never runs dry for good.
        return Transfer(
            transfer_id=transfer_id,
            kind=TransferKind.POSTED,
            debit=self.random.choice(SITES),
            credit=self.random.choice((POT, POT, RESERVE)),
            amount=self.random.randint(1, AMOUNT_MOST * 2),
        )

    def hold(self, transfer_id: str, payer: str) -> Transfer:
        return Transfer(
            transfer_id=transfer_id,
            kind=TransferKind.PENDING,
            debit=payer,
            credit=self.random.choice(SITES),
            amount=self.random.randint(1, AMOUNT_MOST),
            expires_ms=now_ms() + self.random.randint(50, 5_000),
        )

    def open_pendings(self) -> list[str]:
        """Anybody's: processes meet at the same pending transfers too."""
        query = text(
            "SELECT transfer_id FROM ledger_holds WHERE state = 'open' "
            "ORDER BY expires_ms DESC LIMIT 12"
        )
        with self.store.read() as connection:
            return list(connection.execute(query).scalars())


def read_witness(path: Path) -> Iterator[dict[str, Any]]:
    """Its entries. A kill may tear a line: what was to be asked was then not asked yet, what was
    told was not heard whole."""
    for line in path.read_bytes().split(b"\n"):
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def _read(fields: dict[str, Any]) -> Transfer:
    return Transfer(**{**fields, "kind": TransferKind(fields["kind"])})


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def opened(url: str) -> Store:
    while True:
        try:
            return open_store(url, migrate=False)
        except OperationalError:  # the server is starting again
            time.sleep(PAUSE_S)


def main() -> None:
    url, me, witness, stop, seed = sys.argv[1:]
    store = opened(url)
    worker = Worker(store, me, Path(witness), int(seed))
    while not Path(stop).exists():
        try:
            worker.step()
        except OperationalError:
            # Locked for too long, or the server is gone: what was asked is in doubt, ask again.
            worker.remember(Path(witness))
            time.sleep(PAUSE_S)
    store.close()


if __name__ == "__main__":
    main()
