"""A quote as plain text: a line a pool, then who pays at the first of them (or at all)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from westward.cli.plain_table import plain_table
from westward.ledger.vouchers.reasons import money
from westward.model.units import MS_PER_HOUR, format_duration, format_instant

Json = Mapping[str, Any]
_MILLI_MS_PER_DEVICE_HOUR = 1_000 * MS_PER_HOUR


def render_quote(answer: Json, *, everything: bool) -> str:
    """Ends with a newline."""
    currency, pools = answer["currency"], answer["pools"]
    lines = [f"project {answer['project']} of organisation {answer['organisation']}"]
    lines += _budget(answer["budget"], currency)
    if answer["duration_assumed"]:
        lines.append("The job states no duration: one is assumed.")
    lines.append("")
    if pools:
        lines += _table(pools, currency)
        for one in pools if everything else pools[:1]:
            lines += ["", *_pool(one, answer["budget"], currency)]
    else:
        lines.append("No pool can take this job now.")
    if answer["not_admitted"]:
        lines += ["", _not_admitted(answer["not_admitted"])]
    if answer["not_possible"]:
        lines += ["", "Not possible at:"]
        for one in answer["not_possible"]:
            lines.append(f"  {one['pool']}: {'; '.join(one['reasons'])}")
    lines += ["", "Nothing is held. What is billed is what is used, at the hours it is used in."]
    return "\n".join(lines) + "\n"


def _budget(budget: Json | None, currency: str) -> list[str]:
    if budget is None:
        return ["No budget: the project is billed."]
    text = f"budget {money(budget['available_micros'])} {currency}"
    if budget["held_micros"]:
        text += f", besides {money(budget['held_micros'])} held for its runs"
    return [text]


def _not_admitted(count: int) -> str:
    rules = "1 other rule" if count == 1 else f"{count} other rules"
    return f"{rules} of the network: the organisation has no claim. See: westward programme list"


def _table(pools: Sequence[Json], currency: str) -> list[str]:
    head = ("POOL", "START", "LENGTH", "PRICE", "FUNDED", f"YOU PAY {currency}")
    rows = [
        (
            one["pool"],
            "now" if one["starts_now"] else format_instant(one["start_ms"]),
            format_duration(one["duration_ms"]),
            money(one["price_micros"]),
            money(one["funded_micros"]),
            money(one["own_micros"]),
        )
        for one in pools
    ]
    return plain_table(head, rows, right=(3, 4, 5))


def _pool(one: Json, budget: Json | None, currency: str) -> list[str]:
    hours = one["device_milli_ms"] * 100 // _MILLI_MS_PER_DEVICE_HOUR
    lines = [f"{one['pool']} at {one['site']}:"]
    rows = [(f"devices, {hours // 100:,}.{hours % 100:02d} device-hours", one["device_micros"])]
    rows += [
        (name, one[key])
        for name, key in (
            ("power", "power_micros"),
            ("links", "transfer_micros"),
            ("data", "data_micros"),
            ("rounding", "rounding_micros"),
        )
        if one[key] or name == "power"
    ]
    rows.append(("price", one["price_micros"]))
    lines += plain_table(
        ("WHAT", currency), [(a, money(b)) for a, b in rows], right=(1,), indent="  "
    )
    lines.append("")
    for verdict in one["rules"]:
        lines += _verdict(verdict)
    parts = [
        (part["payer"], f"{part['rule']}, {part['year']}", part["micros"]) for part in one["parts"]
    ]
    parts.append(("the project", "its own", one["own_micros"]))
    shown = [(payer, by, money(micros)) for payer, by, micros in parts]
    lines += plain_table(("WHO PAYS", "BY", currency), shown, right=(2,), indent="  ")
    for reward in one["rewards"]:
        lines.append(
            f"  beside the bill: {reward['payer']} pays {reward['payee']} "
            f"{money(reward['micros'])} ({reward['rule']}, {reward['year']})"
        )
    if budget is not None:
        lines.append(f"  budget afterwards {money(one['budget_after_micros'])} {currency}")
        lines.append(f"  held at the start {money(one['hold_micros'])} {currency}")
        lacks = one["hold_micros"] - budget["available_micros"]
        if lacks > 0:
            lines.append(
                f"  the budget lacks {money(lacks)} {currency}: the job would wait for money"
            )
    return lines


def _verdict(verdict: Json) -> list[str]:
    if verdict["pays_micros"]:
        said = (
            f"pays {money(verdict['pays_micros'])} of {money(verdict['entitled_micros'])} "
            f"(its share of {money(verdict['counted_micros'])})"
        )
    elif verdict["deferred_micros"]:
        said = f"puts off {money(verdict['deferred_micros'])}"
    else:
        said = "refuses" if verdict["refused"] or not verdict["counted_micros"] else "pays nothing"
    lines = [f"  {verdict['rule']}: {said}"]
    lines += [f"    not: {one['text']} [{one['code']}]" for one in verdict["refused"]]
    lines += [f"    limit: {one['text']} [{one['code']}]" for one in verdict["limited"]]
    for left in verdict["left"]:
        for what, key in (("pot", "pot"), (f"cap of {left['beneficiary']}", "cap")):
            before, after = left[f"{key}_before_micros"], left[f"{key}_after_micros"]
            if before is not None and after is not None:
                lines.append(f"    {what} {left['year']}: {money(before)} → {money(after)}")
    return lines
