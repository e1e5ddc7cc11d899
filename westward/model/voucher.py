"""Voucher rules: who pays which share of what, as data. One rule is one funder's one instrument.

Money in integer millionths, shares in parts per million, times in ms UTC, device time in
milli-device-milliseconds as the meters count it. A ``Figure`` without value is blank: nobody has
published it, or we have not seen it. It is never filled in (decision 0033).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

PPM = 1_000_000
"""Parts per million in the whole: 300,000 is 30 %."""

Base = Literal[
    "price", "rent", "contract-value", "settled-fee", "purchase", "power-bill", "facility-cost",
    "servers", "platform-settlement",
]  # fmt: skip
"""What the share is a share of. ``contract-value``: spend beyond the contract's value does not
count. The others name what the lines of the bill are; they do not change the arithmetic."""
BASES: tuple[str, ...] = get_args(Base)

Level = Literal["nation", "region", "province", "city", "district"]
LEVELS: tuple[str, ...] = get_args(Level)

Spend = Literal[
    "compute", "storage", "network", "security", "data", "model-calls", "facility", "servers",
    "electricity",
]  # fmt: skip
SPENDS: tuple[str, ...] = get_args(Spend)

Test = Literal["is", "one_of", "at_least", "at_most", "none_within_years"]
TESTS: tuple[str, ...] = get_args(Test)
Subject = Literal["entity", "contract", "line"]
SUBJECTS: tuple[str, ...] = get_args(Subject)

StepName = Literal["claim", "approve", "hold", "use", "settle", "redeem"]
STEPS: tuple[str, ...] = get_args(StepName)

FactValue = bool | int | str

NEVER = "none"
"""As the value of a dated fact: it has never happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number somebody stated, with who says so and how well. ``value`` None: blank."""

    value: int | None = None
    source: str = ""
    grade: str = ""
    note: str = ""
    also: tuple[int, ...] = ()
    """Other values the same source states for cases that we cannot tell apart; not used."""


BLANK = Figure()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One test of one named fact.

    ``none_within_years``: the fact is the date (2024-03-31) of the last such event or ``none``.
    """

    subject: Subject
    fact: str
    test: Test
    value: FactValue | tuple[str, ...]


Clauses = tuple[tuple[Condition, ...], ...]
"""Every clause must hold; of a clause's alternatives one is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Another share where these clauses hold. The first tier that fits is used."""

    label: str
    share_ppm: Figure
    when: Clauses


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractTerms:
    """What the rule asks of the contract under which the spend is made."""

    required: bool = False
    max_months: Figure = BLANK
    signed_from_ms: Figure = BLANK
    signed_until_ms: Figure = BLANK
    """Exclusive."""
    claims_max: Figure = BLANK
    """Claims under one contract."""
    paid_first: bool = False
    """Pays back only what the entity has paid: the contract's fact ``paid`` must be true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of the procedure and the evidence that must be handed in for it."""

    name: StepName
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    name: str
    label: str
    place: str
    level: Level
    instrument: str
    funder: str
    """The payer: parts of a split are named by it."""
    currency: str
    source: str
    grade: str
    note: str = ""
    standing: Literal["text", "press"] = "text"
    """``press``: no clause was ever seen. Pays only if the network's operator adopts it."""
    pays: Literal["price", "supplier"] = "price"
    """``supplier``: a reward to the seller, beside the bill."""
    valid_from_ms: Figure = BLANK
    valid_until_ms: Figure = BLANK
    """Exclusive."""
    utc_offset_minutes: int = 0
    """Where the rule's calendar years begin."""
    base: Base = "price"
    spend: tuple[Spend, ...] = ()
    """Kinds of spend that count; empty: not published."""
    share_ppm: Figure = BLANK
    up_to: bool = False
    """The share is a ceiling of what the funder may grant; it is used in full here."""
    tiers: tuple[Tier, ...] = ()
    includes: tuple[str, ...] = ()
    """Rules whose shares are counted within this one's: it pays what they leave."""
    cap_entity_year_micros: Figure = BLANK
    cap_claim_micros: Figure = BLANK
    cap_contract_micros: Figure = BLANK
    pot_year_micros: Figure = BLANK
    pots_micros: Mapping[int, int] | None = None
    """By year, what the funder has paid in so far; None: what was announced counts, every year."""
    min_spend_year_micros: Figure = BLANK
    """Of the entity, in the calendar year, in lines that count (this claim's included)."""
    auto_device_milli_ms: Figure = BLANK
    """Device time of an entity and year that needs no approval; beyond it an approved claim."""
    entity_months: Figure = BLANK
    """For how many calendar months an entity is paid, from its first paid line."""
    contract: ContractTerms = field(default_factory=ContractTerms)
    eligible: Clauses = ()
    counts: Clauses = ()
    """What a line must be, besides its kind of spend."""
    unrelated_party: bool = False
    via_platform: bool = False
    excludes: Literal["", "any", "level"] = ""
    """No double subsidy for one contract or bill: with any other rule, or any of its level."""
    order: int = 100
    """Lower pays first."""
    ceiling_ppm: Figure = BLANK
    """What all funders together may pay of a line, where this one pays. Blank: the whole."""
    sharing: Literal["first-come", "pro-rata"] = "first-come"
    procedure: tuple[Step, ...] = ()
    """Empty: not published; then no claim is asked for."""

    def pot_of(self, year: int) -> int | None:
        """Millionths that it may pay of ``year``; None: it states no pot."""
        announced = self.pot_year_micros.value
        if announced is None or self.pots_micros is None:
            return announced
        return self.pots_micros.get(year, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFact:
    """Something shown about an entity, a contract or a line, and by what."""

    name: str
    value: FactValue
    evidence: str = ""
    until_ms: int | None = None
    """From then on it is no longer known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    name: str
    facts: tuple[NamedFact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """``related`` None: nobody has said whether buyer and seller are related parties."""

    id: str
    value_micros: int | None = None
    signed_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    related: bool | None = None
    facts: tuple[NamedFact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """Part of a bill. ``at_ms`` decides year and validity; ``micros`` is never negative."""

    spend: Spend
    micros: int
    at_ms: int
    seller: str
    device_milli_ms: int = 0
    via_platform: bool = False
    facts: tuple[NamedFact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    step: StepName
    kind: str
    reference: str
    """Where it can be read: a number, an address, a digest."""
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherClaim:
    """An entity's claim under one rule. ``done``: the steps taken, in order."""

    id: str
    rule: str
    entity: str
    contract: str = ""
    done: tuple[StepName, ...] = ()
    approved_micros: int | None = None
    approved_device_milli_ms: int | None = None
    expires_ms: int | None = None
    """Lines at or after it are not paid."""
    revoked: bool = False
    evidence: tuple[Evidence, ...] = ()
