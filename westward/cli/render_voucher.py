"""Voucher rules and split bills as plain text for a person who checks them."""

from __future__ import annotations

from collections.abc import Sequence

from westward.cli.plain_table import plain_table
from westward.ledger.vouchers.calendar import day_of
from westward.ledger.vouchers.eligibility import describe
from westward.ledger.vouchers.reasons import money, percent
from westward.ledger.vouchers.split import Part, Split, Verdict
from westward.model.units import MS_PER_HOUR
from westward.model.voucher import BillLine, Clauses, Figure, Rule

LIST_HEAD = ("NAME", "PLACE", "PAYS", "OF", "CAP A YEAR", "POT A YEAR", "SOURCE", "GRADE", "")
LIST_RIGHT = (2, 4, 5)
_MILLI_MS_PER_DEVICE_HOUR = 1_000 * MS_PER_HOUR


def amount(figure: Figure) -> str:
    """Full units; blank where nothing is published."""
    return "" if figure.value is None else money(figure.value).removesuffix(".00")


def share(rule: Rule) -> str:
    if rule.share_ppm.value is None:
        return ""
    highest = max([rule.share_ppm.value, *(t.share_ppm.value or 0 for t in rule.tiers)])
    low = percent(rule.share_ppm.value)
    return low if highest == rule.share_ppm.value else f"{low[:-2]}-{percent(highest)}"


def rule_row(rule: Rule) -> tuple[str, ...]:
    """One line of ``westward voucher list``. A blank figure is an empty cell."""
    label = "press only" if rule.standing == "press" else ""
    if rule.share_ppm.value is None and not rule.tiers:
        label = "shown, pays nothing: the share is not published"
    return (
        rule.name, rule.place, share(rule), rule.base if share(rule) else "",
        amount(rule.cap_entity_year_micros),
        amount(rule.pot_year_micros), rule.source, rule.grade, label,
    )  # fmt: skip


def render_rule(rule: Rule, sources: dict[str, str]) -> str:
    """Everything a rule states, each figure with its source and grade."""
    lines = [f"{rule.label} ({rule.name})", ""]

    def say(head: str, text: str, figure: Figure | None = None) -> None:
        origin = ""
        if figure is not None and figure.value is not None:
            origin = f"  [{figure.source}, {figure.grade}]"
        note = f"  ({figure.note})" if figure is not None and figure.note else ""
        lines.append(f"  {head:<26}{text}{origin}{note}".rstrip())

    def day(figure: Figure, before: int = 0) -> str:
        if figure.value is None:
            return ""
        return day_of(figure.value - before, rule.utc_offset_minutes).isoformat()

    def ppm(figure: Figure) -> str:
        return "" if figure.value is None else percent(figure.value)

    say("place", f"{rule.place} ({rule.level})")
    say("instrument", rule.instrument)
    say("funder", rule.funder)
    say("pays", "a reward to the supplier, beside the bill" if rule.pays == "supplier" else
        "part of the price")  # fmt: skip
    if rule.standing == "press":
        say("standing", "press only: pays nothing unless the network's operator adopts it")
    say("in force from", day(rule.valid_from_ms), rule.valid_from_ms)
    say("last day", day(rule.valid_until_ms, 1), rule.valid_until_ms)
    up_to = "up to " if rule.up_to and rule.share_ppm.value is not None else ""
    say("share", up_to + ppm(rule.share_ppm), rule.share_ppm)
    say("share of", rule.base)
    for tier in rule.tiers:
        say(f"  {tier.label}", f"{ppm(tier.share_ppm)} where {_clauses(tier.when)}", tier.share_ppm)
    if rule.includes:
        say("counts within", ", ".join(rule.includes))
    say("spend that counts", ", ".join(rule.spend))
    if rule.counts:
        say("", _clauses(rule.counts))
    cap = rule.cap_entity_year_micros
    also = "".join(f"; also stated: {money(one)}" for one in cap.also)
    say("cap per entity and year", amount(cap) + also, cap)
    for head, figure in (
        ("cap per claim", rule.cap_claim_micros),
        ("cap per contract", rule.cap_contract_micros),
    ):
        if figure.value is not None:
            say(head, amount(figure), figure)
    say("pot per year", amount(rule.pot_year_micros), rule.pot_year_micros)
    if rule.min_spend_year_micros.value is not None:
        say("least spend in a year", amount(rule.min_spend_year_micros), rule.min_spend_year_micros)
    if rule.auto_device_milli_ms.value is not None:
        hours = rule.auto_device_milli_ms.value // _MILLI_MS_PER_DEVICE_HOUR
        say("without approval", f"{hours:,} device-hours", rule.auto_device_milli_ms)
    if rule.entity_months.value is not None:
        say("an entity is paid for", f"{rule.entity_months.value} months", rule.entity_months)
    terms = rule.contract
    if terms.max_months.value is not None:
        say("contract at most", f"{terms.max_months.value} months", terms.max_months)
    if terms.signed_from_ms.value is not None:
        say("contract signed from", day(terms.signed_from_ms), terms.signed_from_ms)
    if terms.claims_max.value is not None:
        say("claims per contract", str(terms.claims_max.value), terms.claims_max)
    if terms.paid_first:
        say("contract", "signed and paid")
    for clause in rule.eligible:
        say("who", _clauses((clause,)))
    for flag, text in (
        (rule.unrelated_party, "buyer and seller are unrelated"),
        (rule.via_platform, "bought through the platform"),
        (rule.excludes == "any", "no other subsidy for the same spend"),
        (rule.excludes == "level", f"no other subsidy of the {rule.level} for the same spend"),
    ):
        if flag:
            say("only if", text)
    if rule.ceiling_ppm.value is not None:
        say("all funders together", f"at most {ppm(rule.ceiling_ppm)}", rule.ceiling_ppm)
    steps = [
        step.name + (f" (with {', '.join(step.evidence)})" if step.evidence else "")
        for step in rule.procedure
    ]
    say("procedure", " → ".join(steps))
    if rule.note:
        say("note", rule.note)
    lines += ["", "  Sources:"]
    for source in dict.fromkeys(part.strip() for part in rule.source.split(";")):
        lines.append(f"    {source}: {sources.get(source, '')}")
    return "\n".join(lines) + "\n"


def render_split(lines: Sequence[BillLine], split: Split, currency: str) -> str:
    """A bill, what each rule says to it, limits before and after, and who pays; then the sum."""
    rows = []
    for line in lines:
        facts = [f"{fact.name} {fact.value}".lower() for fact in line.facts]
        facts += ["via platform"] if line.via_platform else []
        hours = f"{line.device_milli_ms // _MILLI_MS_PER_DEVICE_HOUR:,}"
        rows.append((
            day_of(line.at_ms, 0).isoformat(), line.spend, line.seller,
            hours if line.device_milli_ms else "", money(line.micros), ", ".join(facts),
        ))  # fmt: skip
    head = ("DAY (UTC)", "SPEND", "SELLER", "DEVICE-HOURS", currency, "")
    text = plain_table(head, rows, right=(3, 4), indent="  ")
    text.append("")
    for verdict in split.verdicts:
        text += _verdict(verdict)
    text.append("")
    parts = [_part(part) for part in split.parts]
    text += plain_table(("WHO PAYS", "BY", currency), parts, right=(2,), indent="  ")
    total = money(sum(part.micros for part in split.parts))
    text.append(f"  sum of the parts {total}, price {money(split.price_micros)}")
    for reward in split.rewards:
        text.append(
            f"  beside the bill: {reward.payer} pays {reward.payee} {money(reward.micros)} "
            f"({reward.rule}, {reward.year})"
        )
    return "\n".join(text) + "\n"


def _part(part: Part) -> tuple[str, str, str]:
    by = f"{part.rule}, {part.year}" if part.rule else "its own"
    return part.payer, by, money(part.micros)


def _verdict(verdict: Verdict) -> list[str]:
    if verdict.pays_micros:
        said = (
            f"pays {money(verdict.pays_micros)} of {money(verdict.entitled_micros)} "
            f"(its share of {money(verdict.counted_micros)})"
        )
    elif verdict.deferred_micros:
        said = f"puts off {money(verdict.deferred_micros)}"
    else:
        said = "refuses" if verdict.refused or not verdict.counted_micros else "pays nothing"
    lines = [f"  {verdict.rule}: {said}"]
    lines += [f"    not: {reason.text} [{reason.code}]" for reason in verdict.refused]
    lines += [f"    limit: {reason.text} [{reason.code}]" for reason in verdict.limited]
    for left in verdict.left:
        for what, before, after in (
            ("pot", left.pot_before_micros, left.pot_after_micros),
            (f"cap of {left.beneficiary}", left.cap_before_micros, left.cap_after_micros),
        ):
            if before is not None and after is not None:
                lines.append(f"    {what} {left.year}: {money(before)} → {money(after)}")
    return lines


def _clauses(clauses: Clauses) -> str:
    return "; ".join(" or ".join(describe(one) for one in clause) for clause in clauses)
