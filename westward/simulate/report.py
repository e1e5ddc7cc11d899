"""The report: one HTML file with its figures inside, which a planner can read without us.

It asks nothing of the network, runs no script, and is laid out for a phone and for paper.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from westward.model.network import Network
from westward.model.units import MICROS, format_duration, format_instant
from westward.simulate.compare import WIN_SHARE, format_value
from westward.simulate.conditions import conditions, intervals
from westward.simulate.flowmap import HOMES_TEXT
from westward.simulate.plots import Plot, policy_colours

WINS_SHOWN_MAX = 60
"""Places where a rival wins that the report spells out; ``summary.json`` holds all."""

TERM_TEXT = {
    "device": "price per device-hour × devices × run time: what the payer is charged for hardware",
    "power": "power drawn × the zone's tariff at each hour × PUE, over the run",
    "carbon": "grams emitted × the policy's carbon price. A weight in the choice, not a bill",
    "transfer": "input data moved away from its home × the link's price",
    "wait": "time from submission to start × the value of waiting. A weight, not a bill",
}


def render_report(summary: dict[str, Any], plots: Sequence[Plot], *, network: Network) -> str:
    """The whole page as text. ``summary`` is the contents of ``summary.json``."""
    environment = Environment(
        loader=PackageLoader("westward.simulate", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    currency = network.currency
    labels = [policy["label"] for policy in summary["policies"]]
    environment.filters["duration"] = _duration
    environment.filters["instant"] = lambda ms: format_instant(ms) if ms is not None else "n/a"
    environment.filters["money"] = lambda micros: format_value(micros, "money", currency)
    environment.filters["value"] = lambda value, unit: format_value(value, unit, currency)
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["share"] = _share
    return environment.get_template("report.html.j2").render(
        s=summary,
        network=network,
        labels=labels,
        colours=policy_colours(labels),
        headline=_headline(summary),
        conditions=conditions(summary["policies"]),
        intervals=intervals(summary["policies"]),
        wins=_grouped_wins(summary["comparison"]["rival_wins"]),
        wins_shown_max=WINS_SHOWN_MAX,
        terms=TERM_TEXT,
        homes_text=HOMES_TEXT,
        figures=[_figure(plot) for plot in plots],
        assumptions=[fact for fact in network.facts if fact.assumption],
        micros=MICROS,
    )


def _duration(ms: float | None) -> str:
    return "n/a" if ms is None else format_duration(round(ms))


def _share(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value * 100:.2g}%" if 0 < value < 0.01 else f"{value:.1%}"


def _figure(plot: Plot) -> dict[str, str | None]:
    data = base64.b64encode(plot.path.read_bytes()).decode("ascii")
    return {
        "kind": plot.kind,
        "title": plot.title,
        "caption": plot.caption,
        "policy": plot.policy,
        "uri": f"data:image/png;base64,{data}",
    }


def _headline(summary: dict[str, Any]) -> list[str]:
    """Our rule against the best rival, what that covers, and on how many metrics it loses."""
    compared = summary["comparison"]
    ours, apart = compared["baseline"], {row["label"] for row in compared["set_apart"]}
    if ours is None or len(summary["policies"]) < 2:
        return list(compared["coverage_words"])
    currency = summary["inputs"]["network"]["currency"]
    cost = next(row for row in compared["metrics"] if row["key"] == "total_cost")
    rivals = [label for label in compared["common"]["policies"] if label != ours]
    words = []
    if ours in apart:
        words.append(
            f"{ours} refused too many jobs for its sums to be compared with those of the others."
        )
    elif rivals:
        best = min(rivals, key=lambda label: (cost["values"][label], label))
        mine, least = cost["values"][ours], cost["values"][best]
        words.append(
            f"On the sum of all five cost terms {ours} comes to "
            f"{format_value(mine, 'money', currency)}, {_against(mine, least)} the best of the "
            f"other policies ({best}, {format_value(least, 'money', currency)})."
        )
    words += compared["coverage_words"]
    for label, pair in cost["apart"].items():
        # The partner's value on the left: a rule set apart is the one that is measured against.
        mine, other = pair["partner_value"], cost["values"][label]
        words.append(
            f"Over the {pair['jobs']:,} jobs that {label} placed too, {pair['partner']} comes to "
            f"{format_value(mine, 'money', currency)}, {_against(mine, other)} {label} "
            f"({format_value(other, 'money', currency)})."
        )
    if ours not in apart and rivals:
        words.append(_lost(compared, ours))
    for group in compared["identical"]:
        words.append(f"{', '.join(group)} placed every job alike on this workload.")
    return words


def _against(mine: float, other: float) -> str:
    """``3.1% below`` and the like; within the win share they are the same."""
    change = (other - mine) / other if other else 0.0
    if abs(change) < WIN_SHARE:
        return "the same as"
    return f"{_share(abs(change))} {'below' if change > 0 else 'above'}"


def _lost(compared: dict[str, Any], ours: str) -> str:
    lost = [
        row["label"].lower()
        for row in compared["metrics"]
        if row["best"] and ours not in row["best"]
    ]
    if not lost:
        return "No other policy is better on any of the metrics in the table."
    return f"Another policy is better on {len(lost)} of the metrics: {'; '.join(lost)}."


def _grouped_wins(wins: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a place and metric: the best rival in full, the others by name.

    A rule set apart has lines of its own, because they are over other jobs.
    """
    lines: dict[tuple[str, ...], dict[str, Any]] = {}
    for win in wins:
        key = (win["where"], win["metric"], win["rival"] if win["both_placed"] else "")
        if key in lines:
            lines[key]["others"].append(win["rival"])
        else:
            lines[key] = {"words": win["words"], "where": win["where"], "others": []}
    return list(lines.values())
