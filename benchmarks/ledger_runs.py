"""Runs that the server's own writer holds money for, and settles, a second. Part of ``ledger.py``.

The server's functions as they are: ``Purse.reserve`` for the starts of one part of a plan,
``settle_runs`` for runs that have ended, each with its split, its record of money and its bill; on
the network ``laptop``, for one project without vouchers. Working out what a run has cost is a
reader's work and not counted; nor is what puts jobs and runs there.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, insert, select

from westward.control.records import Binding, RunState
from westward.model.job import JobSpec, ResourceOption, Work
from westward.network.loader import load_network
from westward.server.applier import run_charge
from westward.server.billing import SETTLED_AT_ONCE, Owed, settle_runs
from westward.server.loops import APPLIED_AT_ONCE
from westward.server.purse import Purse, Start
from westward.server.settings import LIVE_POLICY
from westward.server.writer import Bulk, Writer
from westward.store import Store
from westward.store.jobs import submit_jobs
from westward.store.metering import unsettled_runs
from westward.store.money_schema import LEDGER_TRANSFERS
from westward.store.results import Submission
from westward.store.schema import READINGS, RUNS

NOW = 1_800_000_000_000
HOUR = 3_600_000
NEED_MILLI = 4_000
POOL, SITE = "harbor-east", "harbor"


class Rate(NamedTuple):
    runs: float
    transfers: float
    """Both a second."""


def through_purse(store: Store, seconds: float) -> tuple[Rate, Rate]:
    """Held for, and settled: rounds of APPLIED_AT_ONCE runs until each took ``seconds``."""
    network = load_network(Path(__file__).resolve().parents[1] / "networks" / "laptop")
    purse = Purse(policy=LIVE_POLICY, series_origin_ms=NOW, unit=network.currency)
    bulk = Bulk(partial(settle_runs, store, purse), SETTLED_AT_ONCE)

    async def rounds() -> tuple[Rate, Rate]:
        writer = Writer(store)
        took, made, count = [0.0, 0.0], [0, 0], 0
        while min(took) < seconds:
            starts = await writer.write(partial(_submit, store, count))
            before, began = _transfers(store), time.monotonic()
            short = await writer.write(partial(purse.reserve, store, network, starts, NOW))
            took[0] += time.monotonic() - began
            held = _transfers(store)
            made[0] += held - before
            if short:
                raise RuntimeError(f"not held for: {short}")
            await writer.write(partial(_end, store, starts, count))
            owed = [
                Owed(ended=one, charged=run_charge(store, network, purse, one), now_ms=NOW + HOUR)
                for one in unsettled_runs(store)
            ]
            began = time.monotonic()
            first = await asyncio.gather(*(writer.write_in_bulk(bulk, one) for one in owed))
            took[1] += time.monotonic() - began
            made[1] += _transfers(store) - held
            if first != [True] * APPLIED_AT_ONCE:
                raise RuntimeError(f"not settled: {first}")
            count += APPLIED_AT_ONCE
        writer.close()
        hold, end = (Rate(count / s, t / s) for s, t in zip(took, made, strict=True))
        return hold, end

    return asyncio.run(rounds())


def _submit(store: Store, count: int) -> list[Start]:
    jobs = [
        JobSpec(
            job_id=f"job_{count + n}", name="", submit_ms=NOW, nodes=1, duration_ms=HOUR,
            options=(ResourceOption(cpus_milli=NEED_MILLI),), work=Work(run="true"), account="lab",
        )
        for n in range(APPLIED_AT_ONCE)
    ]  # fmt: skip
    submit_jobs(store, [Submission(job=one, body_digest=one.job_id) for one in jobs], NOW)
    place = Binding(
        pool=POOL, site=SITE, option=0, need_milli=NEED_MILLI, duration_ms=HOUR, not_before_ms=NOW,
        planned_start_ms=NOW,
    )  # fmt: skip
    return [Start(run_id=f"run_{one.job_id}", job=one, place=place) for one in jobs]


def _end(store: Store, starts: list[Start], count: int) -> None:
    """As if each had run for an hour: the rows that agents' reports leave."""
    with store.write() as connection:
        connection.execute(
            insert(RUNS),
            [
                {"run_id": one.run_id, "job_id": one.job.job_id, "attempt": 1, "pool": POOL,
                 "site": SITE, "token": count + n + 1, "need_milli": NEED_MILLI,
                 "state": RunState.SUCCEEDED.value, "live": 0, "lease_expires_ms": NOW,
                 "granted_ms": NOW, "started_ms": NOW, "ended_ms": NOW + HOUR,
                 "outcome": "succeeded", "exit_code": 0, "detail": ""}
                for n, one in enumerate(starts)
            ],
        )  # fmt: skip
        connection.execute(
            insert(READINGS),
            [
                {"run_id": one.run_id, "sequence": 0, "wall_ms": HOUR,
                 "device_milli_ms": NEED_MILLI * HOUR, "cpu_ms": 1, "max_rss_kib": 1,
                 "received_ms": NOW + HOUR}
                for one in starts
            ],
        )  # fmt: skip


def _transfers(store: Store) -> int:
    with store.read() as connection:
        return connection.execute(select(func.count()).select_from(LEDGER_TRANSFERS)).scalar_one()
