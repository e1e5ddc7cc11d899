"""``westward plan FILE``: the decision before anything runs."""

from __future__ import annotations

import sys
import time
from datetime import datetime
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
    from westward.model.plan import Plan, Policy, Snapshot


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
    default="easy",
    show_default=True,
    help="Which waiting jobs hold reservations: the first, or all. Only with --network.",
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
        from westward.cli.live_plan import ask_server

        decided, network, jobs = ask_server(server, files)
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
    use_interpreter()
    from westward.network.loader import load_network
    from westward.placement import plan as decide

    now_ms = _instant(at)
    loaded = load_network(folder)
    jobs = read_jobs(files, now_ms)
    return decide(_idle(loaded, now_ms), jobs, policy, now_ms), loaded, jobs


def use_interpreter() -> None:
    """One plan costs less than importing a compiler; where it is loaded already, it is used."""
    if "westward.placement.kernels" not in sys.modules:
        from westward.jit import interpret

        interpret()


def read_jobs(files: Sequence[Path], now_ms: int) -> list[JobSpec]:
    """The job files, numbered in the order given. All faults of all files at once."""
    from westward.formats.skypilot import read_task_file
    from westward.model.faults import Fault, InputFaults

    faults: list[Fault] = []
    jobs = []
    width = len(str(len(files)))
    for number, path in enumerate(files, start=1):
        try:
            jobs.append(read_task_file(path, job_id=f"job_{number:0{width}}", now_ms=now_ms))
        except InputFaults as found:
            faults += found.faults
    if faults:
        raise InputFaults(faults)
    return jobs


def _idle(network: Network, now_ms: int) -> Snapshot:
    """Every pool as the folder says, nothing running. A network that begins when it is started
    begins now."""
    from westward.model.plan import PoolState, Snapshot

    origin = now_ms
    if network.series_origin != "start":
        origin = round(datetime.fromisoformat(network.series_origin).timestamp() * 1000)
    return Snapshot(
        version=0,
        network=network,
        series_origin_ms=origin,
        pools=tuple(PoolState(pool=pool.name, status=pool.status) for pool in network.pools),
    )


def _instant(at: str | None) -> int:
    now_ms = time.time_ns() // 1_000_000
    if at is None:
        return now_ms
    from westward.model.units import parse_instant_ms

    try:
        return parse_instant_ms(at, now_ms)
    except ValueError as error:
        raise Failure(f"westward plan: --at: {error}.") from None
