"""A plain second opinion on ``westward.ledger.vouchers.split``: fractions, datetimes, no sharing.

Written from decision 0033 and the field docs of ``Rule`` alone. It reads the same frozen types and
gives only what everybody pays: {(rule, year): micros}, rewards and put-off amounts apart.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from westward.model.voucher import BillLine, Contract, Entity, Rule


def _local(at_ms: int, rule: Rule) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        milliseconds=at_ms, minutes=rule.utc_offset_minutes
    )


def _plus_months(day: datetime, months: int) -> datetime:
    year, month = day.year + (day.month - 1 + months) // 12, (day.month - 1 + months) % 12 + 1
    for last in (day.day, 30, 29, 28):
        try:
            return day.replace(year=year, month=month, day=last)
        except ValueError:
            continue
    raise AssertionError


def _condition(one, who, contract, line) -> bool:
    of = {"entity": who.facts, "contract": contract.facts if contract else (), "line": line.facts}
    known = {f.value for f in of[one.subject] if f.name == one.fact}
    if len(known) != 1:
        return False
    (value,) = known
    if one.test == "is":
        return value == one.value and isinstance(value, bool) == isinstance(one.value, bool)
    if one.test == "one_of":
        return value in one.value
    if isinstance(value, (bool, str)):
        return False
    return value >= one.value if one.test == "at_least" else value <= one.value


def _all(clauses, who, contract, line) -> bool:
    return all(any(_condition(c, who, contract, line) for c in clause) for clause in clauses)


def _share(rule: Rule, rules: dict[str, Rule], who, contract, line) -> Fraction | None:
    figure = rule.share_ppm.value
    for tier in rule.tiers:
        if _all(tier.when, who, contract, line):
            figure = tier.share_ppm.value
            break
    if figure is None:
        return None
    share = Fraction(figure, 10**6)
    for name in rule.includes:
        inner = _share(rules[name], rules, who, contract, line) if name in rules else None
        if inner is None:
            return None
        share -= inner
    return max(share, Fraction(0))


def _treat(rule, rules, line: BillLine, entity, contract: Contract | None, adopted, claim):
    """(year, share, beneficiary), or None where the rule refuses the line."""
    if rule.standing == "press" and rule.name not in adopted:
        return None
    if rule.unrelated_party and (contract is None or contract.related is not False):
        return None
    if contract is None and (
        rule.contract.required
        or rule.base == "contract-value"
        or rule.cap_contract_micros.value is not None
    ):
        return None
    if rule.base == "contract-value" and contract.value_micros is None:
        return None
    if claim is not None and (claim.revoked or line.at_ms >= (claim.expires_ms or math.inf)):
        return None
    first, end = rule.valid_from_ms.value, rule.valid_until_ms.value
    if (first is not None and line.at_ms < first) or (end is not None and line.at_ms >= end):
        return None
    if line.spend not in rule.spend or (rule.via_platform and not line.via_platform):
        return None
    who = Entity(name=line.seller) if rule.pays == "supplier" else entity
    if not _all(rule.eligible, who, contract, line) or not _all(rule.counts, who, contract, line):
        return None
    share = _share(rule, rules, who, contract, line)
    return None if share is None else (_local(line.at_ms, rule).year, share, who.name)


def plain_split(lines, rules, usage, entity, *, contract=None, adopted=frozenset(), claims=()):
    named = {rule.name: rule for rule in rules}
    claim_of = {one.rule: one for one in claims if one.entity == entity.name}
    ordered = sorted(rules, key=lambda rule: (rule.order, rule.name))
    treated = {}
    for rule in ordered:
        claim = claim_of.get(rule.name)
        said = [_treat(rule, named, line, entity, contract, adopted, claim) for line in lines]
        if rule.entity_months.value is not None:
            starts: dict[str, int] = {}
            for line, one in zip(lines, said, strict=True):
                if one is not None:
                    known = usage.first_paid_ms.get((rule.name, one[2]))
                    times = [t for t in (known, starts.get(one[2]), line.at_ms) if t is not None]
                    starts[one[2]] = min(times)
            for at, (line, one) in enumerate(zip(lines, said, strict=True)):
                if one is not None:
                    start = _local(starts[one[2]], rule)
                    if _local(line.at_ms, rule) >= _plus_months(start, rule.entity_months.value):
                        said[at] = None
        treated[rule.name] = said
    groups: dict[tuple, list[int]] = {}
    for at in sorted(range(len(lines)), key=lambda i: lines[i].at_ms):
        key = (lines[at].spend, *(_key(treated[r.name][at]) for r in ordered))
        groups.setdefault(key, []).append(at)
    blocks = list(groups.values())  # in order of their first line
    paid = {rule.name: {} for rule in ordered}  # (block, year, who) → micros
    taken = [Fraction(0)] * len(blocks)
    lowest = [Fraction(1)] * len(blocks)
    parts, rewards, deferred = {}, {}, {}
    for rule in ordered:
        terms = [treated[rule.name][block[0]] for block in blocks]
        if rule.pays == "price" and _clash(rule, named, paid, usage, contract):
            continue
        counted_so_far = Fraction(0)
        hours: dict[tuple[str, int], Fraction] = {}
        mine = paid[rule.name]
        claim = claim_of.get(rule.name)
        for number, (block, term) in enumerate(zip(blocks, terms, strict=True)):
            if term is None:
                continue
            year, share, who = term
            total = sum(lines[at].micros for at in block)
            device = sum(lines[at].device_milli_ms for at in block)
            least = rule.min_spend_year_micros.value
            if least is not None:
                spent = usage.spend.get((rule.name, who, year), 0) + sum(
                    lines[at].micros
                    for b, t in zip(blocks, terms, strict=True)
                    if t is not None and (t[0], t[2]) == (year, who)
                    for at in b
                )
                if spent < least:
                    continue
            counted = Fraction(total)
            auto = rule.auto_device_milli_ms.value
            if auto is not None:
                open_ = max(0, auto - usage.device_milli_ms.get((rule.name, who, year), 0))
                if claim is not None and claim.approved_device_milli_ms is not None:
                    open_ = max(open_, claim.approved_device_milli_ms)
                open_ -= hours.get((who, year), 0)
                if device == 0:
                    counted = Fraction(0)
                elif device > open_:
                    counted = Fraction(math.floor(Fraction(total * open_) / device))
                    device = open_
            if rule.base == "contract-value":
                before = usage.contract_counted.get((rule.name, contract.id), 0)
                room = max(Fraction(0), contract.value_micros - before - counted_so_far)
                counted = min(counted, room)
            counted_so_far += counted
            bounds = [Fraction(math.floor(counted * share))]
            if rule.pot_year_micros.value is not None and rule.sharing == "first-come":
                gone = usage.pot.get((rule.name, year), 0)
                gone += sum(m for (_, y, _w), m in mine.items() if y == year)
                bounds.append(Fraction(rule.pot_year_micros.value - gone))
            if rule.cap_entity_year_micros.value is not None:
                gone = usage.entity.get((rule.name, who, year), 0)
                gone += sum(m for (_, y, w), m in mine.items() if (y, w) == (year, who))
                bounds.append(Fraction(rule.cap_entity_year_micros.value - gone))
            if rule.cap_claim_micros.value is not None:
                bounds.append(Fraction(rule.cap_claim_micros.value) - sum(mine.values()))
            if claim is not None and claim.approved_micros is not None:
                bounds.append(Fraction(claim.approved_micros) - sum(mine.values()))
            if rule.cap_contract_micros.value is not None:
                gone = usage.contract.get((rule.name, contract.id), 0) + sum(mine.values())
                bounds.append(Fraction(rule.cap_contract_micros.value - gone))
            if rule.pays == "price":
                own = rule.ceiling_ppm.value
                top = min(lowest[number], Fraction(1) if own is None else Fraction(own, 10**6))
                bounds.append(Fraction(math.floor(total * top)) - taken[number])
            amount = max(Fraction(0), min(bounds))
            if amount == 0:
                continue
            assert amount.denominator == 1
            mine[number, year, who] = int(amount)
            hours[who, year] = hours.get((who, year), 0) + device
            if rule.pays == "price":
                taken[number] += amount
                lowest[number] = top
            if rule.sharing == "pro-rata":
                deferred[rule.name] = deferred.get(rule.name, 0) + int(amount)
            elif rule.pays == "price":
                parts[rule.name, year] = parts.get((rule.name, year), 0) + int(amount)
            else:
                key = (rule.name, year, who)
                rewards[key] = rewards.get(key, 0) + int(amount)
    return parts, rewards, deferred


def _key(term):
    return "no" if term is None else term


def _clash(rule, named, paid, usage, contract) -> bool:
    funders = {name for name, amounts in paid.items() if sum(amounts.values())}
    if contract is not None:
        funders |= usage.contract_rules.get(contract.id, frozenset())
    for name in funders - {rule.name}:
        other = named[name]
        if other.pays == "supplier" or name in rule.includes or rule.name in other.includes:
            continue
        for a, b in ((rule, other), (other, rule)):
            if a.excludes == "any" or (a.excludes == "level" and a.level == b.level):
                return True
    return False
