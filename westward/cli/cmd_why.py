"""``westward why JOB``."""

from __future__ import annotations

from typing import Any

import click

from westward.cli.output import json_option, print_json
from westward.cli.server_option import server_option


@click.command()
@click.argument("job", metavar="JOB")
@server_option
@json_option
def why(job: str, server: str | None, as_json: bool) -> None:
    """Tell why JOB (an id or a name) is where it is, and what happened to it.

    The newest decision with its alternatives, each term of the sum, and the reasons against
    every pool that refused; then the job's story, pending or finished.
    """
    from westward.cli.client import Client, job_path

    client = Client(server)
    job_id = client.job(job)
    answer = client.get(job_path(job_id, "why"))
    if as_json:
        print_json(answer)
        return
    detail = client.get(job_path(job_id))
    print(_text(client, answer, detail), end="")


def _text(client: Any, answer: dict[str, Any], detail: dict[str, Any]) -> str:
    from westward.cli.follow import job_line
    from westward.model.units import format_instant

    lines = [job_line(detail)]
    lines += _bill(detail, answer["currency"])
    lines += _checkpoint(detail)
    if detail["state"] == "held" and answer["decision"] is None:
        lines += ["", "not decided: it is held"]
    elif answer["decision"] is not None:
        lines += ["", "THE DECISION", *_decision(client, answer["decision"], detail)]
    else:
        lines += ["", "not decided yet: the planner looks at it within seconds"]
    lines += ["", "THE STORY (UTC)"]
    lines += [f"  {format_instant(line['at_ms'])}  {line['text']}" for line in answer["story"]]
    return "\n".join(lines) + "\n"


def _checkpoint(detail: dict[str, Any]) -> list[str]:
    """What its runs saved when they were stopped, and what was moved of it."""
    if not detail["checkpoints"]:
        return []
    last = detail["checkpoints"][-1]
    where = "kept by the server" if last["at_server"] else "there only: too large to be moved"
    text = f"checkpoint: {last['size_bytes'] / 1e6:.4g} MB saved at {last['site']}, {where}"
    moved = sum(move["size_bytes"] for move in detail["moves"])
    if moved:
        times = "once" if len(detail["moves"]) == 1 else f"{len(detail['moves'])} times"
        text += f"; brought to another site {times}, {moved / 1e6:.4g} MB in all"
    return [text]


def _decision(client: Any, decision: dict[str, Any], detail: dict[str, Any]) -> list[str]:
    """The saved decision in the very form of ``westward plan``."""
    from pydantic import TypeAdapter

    from westward.cli.live_plan import decision_as_plan
    from westward.cli.render_plan import render_answer
    from westward.model.job import JobSpec
    from westward.model.network import Network
    from westward.model.units import format_instant

    plan = decision_as_plan(decision)
    network = TypeAdapter(Network).validate_python(
        client.get("/v1/snapshot")["snapshot"]["network"]
    )
    job = TypeAdapter(JobSpec).validate_python(detail["request"])
    answer = plan.placements[0] if plan.placements else plan.refusals[0]
    text = render_answer(answer, plan, network, job)
    when = f"decided at {format_instant(plan.now_ms)} on snapshot {plan.snapshot_version}; "
    when += f"'now' is that moment; rule {plan.policy.rule}, {plan.policy.discipline}"
    return [f"  {when}", *text.splitlines()[1:]]


def _bill(detail: dict[str, Any], currency: str) -> list[str]:
    from westward.cli.client import total_of
    from westward.model.units import format_mass, format_money

    bills = detail["bills"]
    price = total_of(bills, "price_micros")
    if not bills or price is None:
        return []
    grams = total_of(bills, "carbon_location_g")
    carbon = "CO2 not known" if grams is None else f"{format_mass(grams)} CO2 (location-based)"
    energy = total_of(bills, "energy_kwh") or 0.0
    runs = "1 run" if len(bills) == 1 else f"{len(bills)} runs"
    return [f"metered over {runs}: {format_money(price, currency)}, {energy:.4g} kWh, {carbon}"]
