"""One bill, several payers: each rule's part, why it is no more, and what the entity pays.

``split`` takes the *whole* bill of a claim so far and what *others* have used. So its answer does
not depend on how the bill was cut into readings; ``increments`` says what is to be posted next.

Arithmetic: lines that every rule treats alike are summed first; a part is rounded down to the
millionth, once per rule and such group; the entity takes the rest. Parts therefore sum to the
price exactly, and no limit is passed by rounding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from westward.ledger.vouchers.reasons import Reason, money, percent
from westward.ledger.vouchers.terms import Asked, Outcome, Terms, outcomes
from westward.ledger.vouchers.usage import NO_USAGE, Usage
from westward.model.units import MS_PER_HOUR
from westward.model.voucher import PPM, BillLine, Contract, Entity, Rule, VoucherClaim

T = TypeVar("T")

_MILLI_MS_PER_DEVICE_HOUR = 1_000 * MS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """``rule`` "" and ``year`` None: the entity's own part."""

    payer: str
    rule: str
    year: int | None
    micros: int
    payee: str = ""
    """Of a supplier's reward; else whoever the bill is paid to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left of a rule's limits in one year, without and with this bill. None: no limit."""

    year: int
    beneficiary: str
    pot_before_micros: int | None
    pot_after_micros: int | None
    cap_before_micros: int | None
    cap_after_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One rule's answer to the bill."""

    rule: str
    funder: str
    counted_micros: int = 0
    """Spend that the share is taken of."""
    entitled_micros: int = 0
    """The share of it, before any limit."""
    pays_micros: int = 0
    deferred_micros: int = 0
    """Paid back at the period's end, pro rata, if the pot allows: not part of the parts."""
    refused: tuple[Reason, ...] = ()
    """For all lines or some."""
    limited: tuple[Reason, ...] = ()
    """Limits that made it pay less than its share."""
    left: tuple[Left, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """``parts`` sum to ``price_micros`` exactly; the last is the entity's own."""

    price_micros: int
    parts: tuple[Part, ...]
    rewards: tuple[Part, ...]
    """To suppliers, beside the price."""
    verdicts: tuple[Verdict, ...]
    """Every rule, in the order in which they pay."""
    own_by_spend: Mapping[str, int]
    """The entity's own part by kind of spend."""
    usage: Usage
    """What this bill uses, alone: add it with ``used``."""

    @property
    def own_micros(self) -> int:
        return self.parts[-1].micros

    @property
    def refused(self) -> tuple[tuple[str, Reason], ...]:
        """(rule, reason) of the rules that pay nothing now."""
        return tuple(
            (v.rule, reason)
            for v in self.verdicts
            if v.pays_micros == 0
            for reason in (*v.refused, *v.limited)
        )


NO_SPLIT = Split(price_micros=0, parts=(), rewards=(), verdicts=(), own_by_spend={}, usage=NO_USAGE)
"""Of a run that was never granted."""


def split(
    lines: Sequence[BillLine],
    claims: Sequence[VoucherClaim],
    rules: Sequence[Rule],
    usage: Usage,
    entity: Entity,
    at_ms: int,
    *,
    contract: Contract | None = None,
    sellers: Mapping[str, Entity] | None = None,
    adopted: frozenset[str] = frozenset(),
) -> Split:
    """Who pays which part of ``lines``, everything that this claim has been billed so far.

    ``claims``: this entity's, at most one a rule. ``usage``: of all others. ``at_ms``: when the
    contract's facts are read; everything else goes by the lines' own times. The order of
    ``lines`` and of ``rules`` does not matter. Raises ``ValueError`` for a negative line, two
    rules of one name or two claims under one rule.
    """
    if any(line.micros < 0 or line.device_milli_ms < 0 for line in lines):
        raise ValueError("a line of a bill cannot be negative: book a correction")
    named = _unique(rules, lambda rule: rule.name)
    asked = Asked(
        entity=entity,
        contract=contract,
        claims=_unique([c for c in claims if c.entity == entity.name], lambda claim: claim.rule),
        rules=named,
        sellers=sellers or {},
        usage=usage,
        at_ms=at_ms,
        adopted=adopted,
    )
    ordered = sorted(rules, key=lambda rule: (rule.order, rule.name))
    groups = _groups(lines, [outcomes(rule, lines, asked) for rule in ordered])
    work = _Work(asked, groups)
    verdicts = [work.rule(at, rule) for at, rule in enumerate(ordered)]
    price = sum(line.micros for line in lines)
    funded = sum(part.micros for part in work.parts)
    own = Part(payer=entity.name, rule="", year=None, micros=price - funded)
    return Split(
        price_micros=price,
        parts=(*work.parts, own),
        rewards=tuple(work.rewards),
        verdicts=tuple(verdicts),
        own_by_spend=work.own_by_spend(),
        usage=work.own_usage(),
    )


def increments(before: Split | None, after: Split) -> tuple[Part, ...]:
    """What is to be posted when a claim's split grows from ``before`` to ``after``.

    They sum to the growth of the price; over a whole job, to its last split. One below nought is
    a correction (see decision 0033). Rewards are among them, with their payee.
    """
    change: dict[tuple[str, str, int | None, str], int] = defaultdict(int)
    for sign, one in ((-1, before), (1, after)):
        for part in () if one is None else (*one.parts, *one.rewards):
            change[part.payer, part.rule, part.year, part.payee] += sign * part.micros
    return tuple(
        Part(payer=payer, rule=rule, year=year, payee=payee, micros=micros)
        for (payer, rule, year, payee), micros in change.items()
        if micros
    )


@dataclass(slots=True, kw_only=True)
class _Group:
    """Lines that every rule treats alike: pays for on the same terms, or refuses for whatever
    reason."""

    terms: tuple[Terms | None, ...]
    """By rule, in order of payment; None: it refuses."""
    reasons: tuple[list[Reason], ...]
    """By rule, of its refusals."""
    spend: str
    first_ms: int
    micros: int = 0
    device_milli_ms: int = 0
    paid_micros: int = 0
    """By funders so far, with what is paid at a period's end."""
    deferred_micros: int = 0
    ceiling_ppm: int = PPM
    """The lowest of those that paid."""


def _groups(lines: Sequence[BillLine], said: Sequence[Sequence[Outcome]]) -> list[_Group]:
    """In order of time, so that what comes first is paid first."""
    found: dict[tuple[str, tuple[Terms | None, ...]], _Group] = {}
    for at, line in enumerate(lines):
        treated = [of_rule[at] for of_rule in said]
        terms = tuple(one if isinstance(one, Terms) else None for one in treated)
        group = found.get((line.spend, terms))
        if group is None:
            reasons: tuple[list[Reason], ...] = tuple([] for _ in treated)
            group = _Group(terms=terms, reasons=reasons, spend=line.spend, first_ms=line.at_ms)
            found[line.spend, terms] = group
        for kept, one in zip(group.reasons, treated, strict=True):
            if not isinstance(one, Terms):
                kept.append(one)
        group.first_ms = min(group.first_ms, line.at_ms)
        group.micros += line.micros
        group.device_milli_ms += line.device_milli_ms
    return sorted(found.values(), key=lambda g: (g.first_ms, g.spend, repr(g.terms)))


@dataclass(slots=True)
class _Tally:
    """What one rule has used in this bill."""

    total: int = 0
    counted: int = 0
    entitled: int = 0
    deferred: int = 0
    spent: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    year: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    who: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    device: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    parts: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    first_ms: dict[str, int] = field(default_factory=dict)


class _Work:
    def __init__(self, asked: Asked, groups: Sequence[_Group]) -> None:
        self.asked = asked
        self.groups = groups
        self.parts: list[Part] = []
        self.rewards: list[Part] = []
        self.tallies: dict[str, _Tally] = {}

    def rule(self, at: int, rule: Rule) -> Verdict:
        tally = _Tally()
        refused = _Said()
        limited = _Said()
        open_groups = []
        for group in self.groups:
            terms = group.terms[at]
            if terms is not None:
                open_groups.append((group, terms))
                tally.spent[terms.beneficiary, terms.year] += group.micros
            for reason in sorted(group.reasons[at]):
                refused.add(reason)
        excluded = self._excluded(rule)
        if excluded is not None and open_groups:
            refused.add(excluded)
            open_groups = []
        for group, terms in open_groups:
            low = self._minimum(rule, terms, tally)
            if low is not None:
                refused.add(low)
            else:
                self._pay(rule, group, terms, tally, limited)
        self.tallies[rule.name] = tally
        self._parts(rule, tally)
        if tally.deferred:
            refused.add(
                Reason("at-period-end", "the pot is shared out pro rata at the period's end")
            )
        return Verdict(
            rule=rule.name,
            funder=rule.funder,
            counted_micros=tally.counted,
            entitled_micros=tally.entitled,
            pays_micros=tally.total - tally.deferred,
            deferred_micros=tally.deferred,
            refused=tuple(refused),
            limited=tuple(limited),
            left=tuple(self._left(rule, tally)),
        )

    def _pay(self, rule: Rule, group: _Group, terms: Terms, tally: _Tally, limited: _Said) -> None:
        counted, device = self._counted(rule, group, terms, tally, limited)
        entitled = counted * terms.share_ppm // PPM
        wanted = group.micros * terms.share_ppm // PPM
        limits = list(self._limits(rule, group, terms, tally))
        pays = max(0, min([entitled, *(limit for limit, _ in limits)]))
        for limit, reason in limits:
            if limit < entitled:
                limited.add(reason)
        tally.counted += counted
        tally.entitled += wanted
        if not pays:
            return
        tally.total += pays
        tally.who[terms.beneficiary, terms.year] += pays
        tally.device[terms.beneficiary, terms.year] += device
        first = tally.first_ms.get(terms.beneficiary, group.first_ms)
        tally.first_ms[terms.beneficiary] = min(first, group.first_ms)
        if rule.pays == "price":
            group.paid_micros += pays
            group.ceiling_ppm = min(group.ceiling_ppm, _ceiling(rule))
        if rule.sharing == "pro-rata":
            tally.deferred += pays
            group.deferred_micros += pays if rule.pays == "price" else 0
            return
        tally.year[terms.year] += pays
        tally.parts[terms.beneficiary, terms.year] += pays

    def _counted(
        self, rule: Rule, group: _Group, terms: Terms, tally: _Tally, limited: _Said
    ) -> tuple[int, int]:
        """Spend of the group that the share is taken of, and its device time."""
        counted, device = group.micros, group.device_milli_ms
        auto = rule.auto_device_milli_ms.value
        if auto is not None:
            key = (rule.name, terms.beneficiary, terms.year)
            claim = self.asked.claims.get(rule.name)
            approved = claim.approved_device_milli_ms if claim is not None else None
            free = max(auto - self.asked.usage.device_milli_ms.get(key, 0), approved or 0, 0)
            left = max(0, free - tally.device.get((terms.beneficiary, terms.year), 0))
            if not device:
                counted = 0
                limited.add(Reason("device-hours", "the bill states no device time"))
            elif device > left:
                counted, device = counted * left // device, left
                text = f"{_hours(free)} device-hours are open without (further) approval"
                limited.add(Reason("device-hours", text))
        contract = self.asked.contract
        if rule.base == "contract-value" and contract is not None:
            value = contract.value_micros or 0
            before = self.asked.usage.contract_counted.get((rule.name, contract.id), 0)
            left = max(0, value - before - tally.counted)
            if counted > left:
                counted = left
                text = f"spend beyond the contract's value of {money(value)} does not count"
                limited.add(Reason("contract-value", text))
        return counted, device

    def _limits(
        self, rule: Rule, group: _Group, terms: Terms, tally: _Tally
    ) -> Iterable[tuple[int, Reason]]:
        usage, year, who = self.asked.usage, terms.year, terms.beneficiary
        pot = rule.pot_of(year)
        if pot is not None and rule.sharing == "first-come":
            left = max(0, pot - usage.pot.get((rule.name, year), 0))
            text = f"{money(left)} were left of the pot of {money(pot)} for {year}"
            yield left - tally.year.get(year, 0), Reason("pot", text)
        cap = rule.cap_entity_year_micros.value
        if cap is not None:
            left = max(0, cap - usage.entity.get((rule.name, who, year), 0))
            text = f"{money(left)} were left of {who}'s cap of {money(cap)} for {year}"
            yield left - tally.who.get((who, year), 0), Reason("entity-cap", text)
        cap = rule.cap_claim_micros.value
        if cap is not None:
            yield cap - tally.total, Reason("claim-cap", f"at most {money(cap)} a claim")
        claim = self.asked.claims.get(rule.name)
        if claim is not None and claim.approved_micros is not None:
            text = f"{money(claim.approved_micros)} were approved"
            yield claim.approved_micros - tally.total, Reason("approved-amount", text)
        cap, contract = rule.cap_contract_micros.value, self.asked.contract
        if cap is not None and contract is not None:
            left = max(0, cap - usage.contract.get((rule.name, contract.id), 0))
            text = f"{money(left)} were left of the contract's cap of {money(cap)}"
            yield left - tally.total, Reason("contract-cap", text)
        if rule.pays == "price":
            ceiling = min(group.ceiling_ppm, _ceiling(rule))
            text = f"all funders together pay at most {percent(ceiling)}"
            yield group.micros * ceiling // PPM - group.paid_micros, Reason("ceiling", text)

    def _minimum(self, rule: Rule, terms: Terms, tally: _Tally) -> Reason | None:
        least = rule.min_spend_year_micros.value
        if least is None:
            return None
        before = self.asked.usage.spend.get((rule.name, terms.beneficiary, terms.year), 0)
        spent = before + tally.spent.get((terms.beneficiary, terms.year), 0)
        if spent >= least:
            return None
        text = f"{money(spent)} spent in {terms.year}; the least is {money(least)}"
        return Reason("minimum-spend", text)

    def _excluded(self, rule: Rule) -> Reason | None:
        """A rule that has paid for this bill or contract and does not go with this one."""
        if rule.pays == "supplier":
            return None
        paid = {name for name, tally in self.tallies.items() if tally.total}
        if self.asked.contract is not None:
            paid |= self.asked.usage.contract_rules.get(self.asked.contract.id, frozenset())
        for name in sorted(paid - {rule.name}):
            other = self.asked.rules.get(name)
            if other is not None and other.pays == "supplier":
                continue
            if _excludes(rule, other) or (other is not None and _excludes(other, rule)):
                return Reason("double-subsidy", f"{name} already pays for the same spend")
        return None

    def _parts(self, rule: Rule, tally: _Tally) -> None:
        if rule.pays == "supplier":
            self.rewards += [
                Part(payer=rule.funder, rule=rule.name, year=year, micros=micros, payee=who)
                for (who, year), micros in sorted(tally.parts.items())
            ]
            return
        self.parts += [
            Part(payer=rule.funder, rule=rule.name, year=year, micros=micros)
            for year, micros in sorted(tally.year.items())
        ]

    def _left(self, rule: Rule, tally: _Tally) -> Iterable[Left]:
        usage, cap = self.asked.usage, rule.cap_entity_year_micros
        for who, year in sorted(tally.spent):
            pot = rule.pot_of(year)
            pot_left = None if pot is None else pot - usage.pot.get((rule.name, year), 0)
            cap_left = (
                None
                if cap.value is None
                else cap.value - usage.entity.get((rule.name, who, year), 0)
            )
            yield Left(
                year=year,
                beneficiary=who,
                pot_before_micros=pot_left,
                pot_after_micros=None if pot_left is None else pot_left - tally.year.get(year, 0),
                cap_before_micros=cap_left,
                cap_after_micros=None
                if cap_left is None
                else cap_left - tally.who.get((who, year), 0),
            )

    def own_by_spend(self) -> dict[str, int]:
        own: dict[str, int] = defaultdict(int)
        for group in self.groups:
            own[group.spend] += group.micros - group.paid_micros + group.deferred_micros
        return dict(own)

    def own_usage(self) -> Usage:
        """What the bill uses of every rule."""
        paid = {name: tally for name, tally in self.tallies.items() if tally.total}
        contract = self.asked.contract
        of_contract = {} if contract is None else paid
        funders = frozenset(n for n in of_contract if self.asked.rules[n].pays == "price")
        key = contract.id if contract is not None else ""
        return Usage(
            pot={(n, year): m for n, t in paid.items() for year, m in t.year.items()},
            entity={(n, *who): m for n, t in paid.items() for who, m in t.who.items()},
            contract={(n, key): t.total for n, t in of_contract.items()},
            contract_counted={(n, key): t.counted for n, t in of_contract.items()},
            contract_claims={(n, key): 1 for n in of_contract},
            contract_rules={key: funders} if funders else {},
            spend={(n, *who): m for n, t in self.tallies.items() for who, m in t.spent.items()},
            device_milli_ms={(n, *who): m for n, t in paid.items() for who, m in t.device.items()},
            first_paid_ms={(n, who): at for n, t in paid.items() for who, at in t.first_ms.items()},
        )


class _Said(list[Reason]):
    """Reasons in the order met, each once."""

    def add(self, reason: Reason) -> None:
        if reason not in self:
            self.append(reason)


def _excludes(rule: Rule, other: Rule | None) -> bool:
    """A rule that is no longer here is taken for one of the same level: caution."""
    if not rule.excludes or (other is not None and _together(rule, other)):
        return False
    return rule.excludes == "any" or other is None or other.level == rule.level


def _together(rule: Rule, other: Rule) -> bool:
    return other.name in rule.includes or rule.name in other.includes


def _ceiling(rule: Rule) -> int:
    return PPM if rule.ceiling_ppm.value is None else min(PPM, rule.ceiling_ppm.value)


def _hours(milli_ms: int) -> str:
    whole, rest = divmod(milli_ms * 100 // _MILLI_MS_PER_DEVICE_HOUR, 100)
    return f"{whole:,}.{rest:02d}".removesuffix(".00")


def _unique(things: Iterable[T], name_of: Callable[[T], str]) -> dict[str, T]:
    found: dict[str, T] = {}
    for thing in things:
        if found.setdefault(name_of(thing), thing) is not thing:
            raise ValueError(f"{name_of(thing)!r} stands twice")
    return found
