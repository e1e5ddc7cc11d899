"""Charges, statements and facts for reconciliation, out of the store and the live network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from westward.ledger.price import PriceUnknown
from westward.ledger.rounding import round_half_even
from westward.model.units import MS_PER_HOUR
from westward.server.applier import charged_transfers, run_charge
from westward.server.core import Core
from westward.server.joined import network_at
from westward.settlement.charges import PARTS, BilledRun, Charge, Part, charges_of
from westward.settlement.focus import SiteFacts
from westward.settlement.periods import Period
from westward.settlement.reconcile import RunFacts
from westward.store.data_runs import load_moved
from westward.store.jobs import load_job
from westward.store.reconcile import load_run_facts
from westward.store.results import RunToSettle
from westward.store.settlement import billed_runs, correction_charges, every_billed_run

Cursor = tuple[int, str]
"""Time and run id of the last bill given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``next`` None: that was the last."""

    charges: tuple[Charge, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """Every sum of a month; each of the groupings adds up to ``charges_micros``."""

    charges_micros: int
    bills_micros: int
    """Of the bills posted, by the bills' own totals."""
    corrections_micros: int
    runs: int
    by_earner: Mapping[str, int]
    by_project: Mapping[str, int]
    by_payer: Mapping[str, int]
    by_part: Mapping[Part, int]


def charges_page(
    core: Core, period: Period, project: str | None, after: Cursor | None, limit: int
) -> Page:
    """The charges of at most ``limit`` bills, by when they were posted; corrections follow at the
    end. ``project``: of no other."""
    runs = billed_runs(core.store, period.start_ms, period.end_ms, after=after, limit=limit)
    charges = [
        one
        for run in runs
        if project is None or run.project == project
        for one in charges_of(_with_facts(core, run))
    ]
    if len(runs) == limit:
        return Page(charges=tuple(charges), next=(runs[-1].billed_ms, runs[-1].run_id))
    made = correction_charges(core.store, period.start_ms, period.end_ms)
    charges += [one for one in made if project is None or one.project == project]
    return Page(charges=tuple(charges), next=None)


def month_totals(core: Core, period: Period) -> Month:
    """Summed over all charges of the month, from every bill posted in it."""
    earners: dict[str, int] = {}
    projects: dict[str, int] = {}
    payers: dict[str, int] = {}
    parts: dict[Part, int] = dict.fromkeys(PARTS, 0)
    counted = {"runs": 0, "bills": 0, "corrections": 0}

    def charges() -> Iterator[Charge]:
        for run in every_billed_run(core.store, period.start_ms, period.end_ms):
            counted["runs"] += 1
            counted["bills"] += run.bill.total_micros
            yield from charges_of(run)
        for one in correction_charges(core.store, period.start_ms, period.end_ms):
            counted["corrections"] += one.micros
            yield one

    total = 0
    for one in charges():
        total += one.micros
        for sums, key in ((earners, one.earner), (projects, one.project), (payers, one.payer)):
            sums[key] = sums.get(key, 0) + one.micros
        parts[one.part] += one.micros
    return Month(
        charges_micros=total,
        bills_micros=counted["bills"],
        corrections_micros=counted["corrections"],
        runs=counted["runs"],
        by_earner=dict(sorted(earners.items())),
        by_project=dict(sorted(projects.items())),
        by_payer=dict(sorted(payers.items())),
        by_part=parts,
    )


def facts_page(
    core: Core, site: str, period: Period, after_token: int, limit: int
) -> tuple[tuple[RunFacts, ...], int | None]:
    """Facts of the site's runs, and the token to go on after (None: that was all)."""
    found = load_run_facts(core.store, site, period, after_token=after_token, limit=limit)
    facts = []
    for run, one in found:
        if not one.in_period:
            facts.append(one)
            continue
        ended = RunToSettle(job_id=one.job_id, run=run)
        facts.append(
            replace(
                one,
                price_micros=_price_again(core, ended),
                unpriced_bytes=_unpriced_bytes(core, ended),
            )
        )
    return tuple(facts), found[-1][0].token if len(found) == limit else None


def site_facts(core: Core) -> dict[str, SiteFacts]:
    """Of every site of the live network."""
    labels = {zone.name: zone.label for zone in core.network.zones}
    return {
        site.name: SiteFacts(
            label=site.label,
            operator=site.operator,
            region=site.zone,
            region_label=labels.get(site.zone, site.zone),
        )
        for site in core.network.sites
    }


def _price_again(core: Core, ended: RunToSettle) -> int | None:
    """The bill's total by the network as it stood at the grant; None: it cannot be told."""
    network = network_at(core.joined, ended.run.granted_ms)
    try:
        return run_charge(core.store, network, core.purse, ended).bill.total_micros
    except (PriceUnknown, KeyError, ValueError):
        return None


def _unpriced_bytes(core: Core, ended: RunToSettle) -> int:
    network = network_at(core.joined, ended.run.granted_ms)
    total = 0
    for one in load_moved(core.store, ended.job_id, ended.run.run_id):
        link = network.link(one.from_site, one.to_site)
        if one.from_site != one.to_site and (link is None or link.price_micros_per_gb is None):
            total += one.size_bytes
    return total


def _with_facts(core: Core, run: BilledRun) -> BilledRun:
    """How much was moved, and the price of device time: neither is in the bill. The pool's price
    of now is taken only where it gives the bill's very amount."""
    run = replace(run, device_price_micros=_device_price(core, run))
    if not run.bill.transfer_micros:
        return run
    record = load_job(core.store, run.job_id)
    own = record.run(run.run_id) if record is not None else None
    if own is None:
        return run
    ended = RunToSettle(job_id=run.job_id, run=own)
    moved = charged_transfers(core.store, network_at(core.joined, own.granted_ms), ended)
    return replace(run, moved_bytes=sum(one.size_bytes for one in moved))


def _device_price(core: Core, run: BilledRun) -> int | None:
    try:
        price = core.network.pool(run.pool).price_micros_per_device_hour
    except KeyError:
        return None
    if price is None:
        return None
    due = Fraction(run.bill.device_milli_ms * price, 1_000 * MS_PER_HOUR)
    return price if round_half_even(due) == run.bill.device_micros else None
