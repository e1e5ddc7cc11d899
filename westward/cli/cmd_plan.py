"""``westward plan FILE``: the decision before anything runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from westward.cli.fail import Failure
from westward.cli.output import json_option, print_json
from westward.cli.policy_options import DISCIPLINES, figure_options, make_policy, rule_choice
from westward.cli.server_option import server_option
from westward.model.plan import Discipline, Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from westward.model.job import JobSpec
    from westward.model.network import Network
    from westward.model.plan import Plan, Policy


@click.command()
@click.argument(
    "files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True
)
@click.option(
    "--network",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Plan on this network folder, idle and alone; needs no server.",
)
@click.option(
    "--explain/--brief",
    default=True,
    help="The whole sum with alternatives and reasons (default), or one line a job.",
)
@click.option(
    "--policy",
    "rule",
    type=rule_choice(),
    default="westward",
    show_default=True,
    help="The rule that chooses. Only with --network.",
)
@click.option(
    "--discipline",
    type=click.Choice(DISCIPLINES),
    default="conservative",
    show_default=True,
    help="Which waiting jobs hold reservations: the first of a queue, or (as a server does) all. "
    "Only with --network.",
)
@figure_options
@click.option(
    "--at",
    "at",
    metavar="TIME",
    help="Plan as of this ISO time with offset, such as 2026-11-22T18:00:00Z. Only with "
    "--network. [now]",
)
@server_option
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    files: tuple[Path, ...],
    folder: Path | None,
    explain: bool,
    rule: Rule,
    discipline: Discipline,
    at: str | None,
    server: str | None,
    as_json: bool,
    **figures: Any,
) -> None:
    """Show where and when the jobs in FILE would run, what that costs, and why. Nothing runs.

    Several files are planned together, as if handed in at the same moment. A job that no pool
    can take is an answer too: each pool's reason, and the cheapest change that would help.

    Without --network the running server is asked, which knows what runs and waits right now.
    """
    if folder is None:
        _refuse_folder_options(ctx)
        from westward.cli.client import Refused
        from westward.cli.live_plan import ask_each, ask_server, print_each

        try:
            decided, network, jobs = ask_server(server, files)
        except Refused as refused:
            if refused.reason != "role-missing":
                raise
            each = ask_each(server, files)
            if as_json:
                print_json({"decisions": each})
            else:
                print_each(each)
            return
    else:
        policy = make_policy(rule, discipline, **figures)
        decided, network, jobs = _plan_on_folder(folder, files, policy, at)
    if as_json:
        from westward.cli.plan_json import plan_json

        print_json(plan_json(decided, network, jobs))
        return
    from westward.cli.render_plan import render_brief, render_plan

    print((render_plan if explain else render_brief)(decided, network, jobs), end="")


def _refuse_folder_options(ctx: click.Context) -> None:
    """The server has its own policy and clock: an option it would ignore is refused."""
    given = [
        f"--{name.replace('_', '-') if name != 'rule' else 'policy'}"
        for name in ctx.params
        if name not in ("files", "folder", "explain", "server", "as_json")
        and ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise Failure(
            f"westward plan: {', '.join(sorted(given))} cannot be asked of a running server, which "
            "plans by its own policy and clock. Add --network DIR to plan on a folder."
        )


def _plan_on_folder(
    folder: Path, files: Sequence[Path], policy: Policy, at: str | None
) -> tuple[Plan, Network, list[JobSpec]]:
    """Plan on the idle network of a folder. Raises InputFaults with the faults of all files."""
    from westward.cli.job_files import read_jobs, use_interpreter

    use_interpreter()
    from westward.model.plan import idle_snapshot
    from westward.network.loader import load_network
    from westward.placement import plan as decide

    now_ms = _instant(at)
    loaded = load_network(folder)
    jobs = read_jobs(files, now_ms)
    return decide(idle_snapshot(loaded, now_ms), jobs, policy, now_ms), loaded, jobs


def _instant(at: str | None) -> int:
    now_ms = time.time_ns() // 1_000_000
    if at is None:
        return now_ms
    from westward.model.units import parse_instant_ms

    try:
        return parse_instant_ms(at, now_ms)
    except ValueError as error:
        raise Failure(f"westward plan: --at: {error}.") from None
