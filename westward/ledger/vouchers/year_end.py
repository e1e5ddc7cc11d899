"""A year's pro-rata pot shared out, and a claw-back spread over the projects that were paid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from westward.ledger.vouchers.claims import ClawBack
from westward.ledger.vouchers.period import share_out
from westward.ledger.vouchers.split import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitled:
    """What one claimant is entitled to of a year, by the account that has paid it meanwhile (of a
    supplier's reward: that is paid). Millionths."""

    claimant: str
    by_account: Mapping[str, int]

    @property
    def micros(self) -> int:
        return sum(self.by_account.values())


def close_year(entitled: Sequence[Entitled], pot_micros: int | None) -> dict[str, int]:
    """Account → millionths, above 0. The pot is shared among claimants, each one's part among its
    accounts; both in proportion and exact (``share_out``). ``pot_micros`` None: no limit."""
    parts = share_out({one.claimant: one.micros for one in entitled}, pot_micros)
    paid: dict[str, int] = defaultdict(int)
    for one in entitled:
        for account, micros in share_out(one.by_account, parts[one.claimant]).items():
            paid[account] += micros
    return {account: micros for account, micros in sorted(paid.items()) if micros}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidTo:
    """What a rule has paid for a project in one year, less what was taken back."""

    project: str
    payer: str
    year: int
    micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    project: str
    year: int
    micros: int


def paid_parts(rule: str, paid: Sequence[PaidTo]) -> tuple[Part, ...]:
    """As ``claw_back`` takes them."""
    return tuple(Part(payer=one.payer, rule=rule, year=one.year, micros=one.micros) for one in paid)


def spread(back: ClawBack, paid: Sequence[PaidTo]) -> tuple[TakenBack, ...]:
    """Who of the entity's projects owes what of each year: in proportion to what it had of it."""
    taken = []
    for part in sorted(back.parts, key=lambda one: one.year or 0):
        if part.year is None:
            continue
        had: dict[str, int] = defaultdict(int)
        for one in paid:
            if (one.year, one.payer) == (part.year, part.payer):
                had[one.project] += one.micros
        for project, micros in share_out(had, -part.micros).items():
            if micros:
                taken.append(TakenBack(project=project, year=part.year, micros=micros))
    return tuple(sorted(taken, key=lambda one: (one.year, one.project)))
