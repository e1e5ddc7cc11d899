"""What meter readings show is posted while the run goes on; its end posts or gives back the rest.

A reader works out the bill so far and the transfers; the writer posts them if nobody has touched the
run's money since. Postings of a run are numbered: what was posted and how far stands in the same
transaction, so that neither a repeat nor a crash posts anything twice. See docs/decisions/0037.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from westward.control.records import RunRecord
from westward.ledger.price import PriceUnknown
from westward.ledger.road import Billed, RunOnRoad, covered, post, so_far
from westward.ledger.transfers import Accepted, Transfer
from westward.ledger.vouchers import Split, released
from westward.model.network import Network
from westward.model.units import MS_PER_HOUR
from westward.server.applier import run_charge
from westward.server.aside import STORE_TROUBLE
from westward.server.covers import Pots
from westward.server.purse import Purse
from westward.store import ledger, money
from westward.store.database import Store
from westward.store.money import Party, RunMoney
from westward.store.readings import metered_milli_ms
from westward.store.results import RunToSettle

GROWTH = 10
"""A part is posted when it is a tenth of what was posted before, or an hour of the run's devices:
a run of ten hours is 49 parts of four or five rows, not 600."""
log = logging.getLogger("westward.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """``run``: its money as the transfers were made for."""

    run: RunMoney
    road: RunOnRoad
    party: Party
    billed: Billed
    transfers: tuple[Transfer, ...]


def postings(
    store: Store,
    purse: Purse,
    runs: Sequence[tuple[RunMoney, RunRecord]],
    network_at: Callable[[int], Network],
    now_ms: int,
) -> list[Posting]:
    """What may be posted of runs that go on: all that their holds have; the rest waits. Only
    reads. ``network_at``: by the time of the grant. A run without a price is told at its end."""
    metered = metered_milli_ms(store, [run.run_id for run, _ in runs])
    runs = [
        (run, record)
        for run, record in runs
        if _worth_rows(run, metered.get(run.run_id, 0), record)
    ]
    if not runs:
        return []
    parties = money.load_parties(store, {run.project for run, _ in runs})
    pots = Pots(store, purse.unit)
    usage = purse.usage_of(store, pots, parties.values(), now_ms)
    found = []
    for run, record in runs:
        party = parties[run.project]
        try:
            ended = RunToSettle(job_id=run.job_id, run=record)
            owed = run_charge(store, network_at(record.granted_ms), purse, ended, carbon=False)
            others = released(usage, run.counted.usage)
            began_ms = record.started_ms if record.started_ms is not None else record.granted_ms
            who: Split = purse.shares(pots, party, owed, others, began_ms)
        except STORE_TROUBLE:
            raise
        except (PriceUnknown, KeyError, ValueError) as error:
            log.debug("run %s: nothing is posted of its readings: %s", run.run_id, error)
            continue
        road = purse.on_road(run.run_id, run.job_id, run.site, party)
        # Nothing is held for sellers' rewards: were they paid now, others that were promised what is
        # left of the pot could not be paid at their end. (What an older release paid so stays.)
        paid = () if run.posted is None else run.posted.split.rewards
        billed = Billed(bill=so_far(owed.bill), split=replace(who, rewards=paid))
        held = purse.held_for(store, run)
        if covered(road, billed, held, run.posted):
            transfers = post(road, run.postings, billed, held, before=run.posted)
            found.append(
                Posting(run=run, road=road, party=party, billed=billed, transfers=transfers)
            )
    return found


def _worth_rows(run: RunMoney, metered: int, record: RunRecord) -> bool:
    """Looked at before the run is priced, which takes some 8 ms of a reader."""
    posted = 0 if run.posted is None else run.posted.bill.device_milli_ms
    grown = metered - posted
    return grown > 0 and (grown * GROWTH >= posted or grown >= record.need_milli * MS_PER_HOUR)


def post_readings(store: Store, purse: Purse, found: Sequence[Posting], now_ms: int) -> int:
    """Posts them in one batch; how many runs were posted for. A run whose money has changed since
    (it is over, or was held for further) is left for the next time."""
    with store.whole():
        known = money.load_runs(store, [one.run.run_id for one in found])
        same = [one for one in found if known.get(one.run.run_id) == one.run]
        for one in same:
            purse.open_for(store, one.road, one.party, one.billed.split, now_ms)
        asked = [one.transfers for one in same]
        posted = 0
        for one, answers in zip(same, ledger.post_each(store, asked, now_ms), strict=True):
            refused = [answer for answer in answers if not isinstance(answer, Accepted)]
            if refused:  # its end will post it, or say why not
                log.warning("run %s: its readings are not posted: %s", one.run.run_id, refused[0])
                continue
            posted += 1
            after = replace(one.run, postings=one.run.postings + 1, posted=one.billed)
            money.save_run(store, after)
        return posted
