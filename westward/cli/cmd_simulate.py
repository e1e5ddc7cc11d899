"""``westward simulate NETWORK``: rehearse a workload with the live decision code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from westward.cli.fail import EXIT_INTERRUPTED, Failure
from westward.cli.number import Number
from westward.cli.outage_option import OutageOption
from westward.cli.output import json_option, print_json, print_table
from westward.cli.policy_options import (
    DISCIPLINES,
    figure_options,
    make_policy,
    packing_option,
    rule_choice,
    stopping_options,
    waiting_options,
)
from westward.cli.progress import Notes, Progress
from westward.cli.scenario_options import make_scenario, scenario_options
from westward.cli.trace_options import NAMES as TRACE_OPTIONS
from westward.cli.trace_options import make_trace_options, trace_options
from westward.model.plan import Discipline, Policy, Rule
from westward.model.scenario import Outage, Scenario, VoucherPlay

if TYPE_CHECKING:
    from westward.model.network import Network
    from westward.model.workload import Workload
    from westward.simulate.results import SimulationResult

DEFAULT_LOAD = 0.8


@click.command()
@click.argument("folder", metavar="NETWORK", type=click.Path(path_type=Path))
@click.option(
    "--workload",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A recorded workload (.gz as it is).",
)
@click.option(
    "--format",
    "kind",
    metavar="FMT",
    help="Of FILE. [found by its first line; see 'westward workload formats']",
)
@click.option(
    "--generate",
    "count",
    metavar="JOBS",
    type=click.IntRange(min=1),
    help="Generate so many jobs instead.",
)
@click.option(
    "--load",
    type=Number(0.0, 1000.0, min_open=True),
    metavar="N",
    help="With --generate: devices asked for over devices there are. [0.8]",
)
@click.option(
    "--policy",
    "rules",
    type=rule_choice(),
    multiple=True,
    default=("westward",),
    help="The rule that chooses; give it several times to compare. [westward]",
)
@click.option(
    "--discipline",
    type=click.Choice(DISCIPLINES),
    default="easy",
    show_default=True,
    help="Which waiting jobs hold reservations: the first of a queue, or all.",
)
@figure_options
@waiting_options
@stopping_options
@click.option(
    "--outage",
    "outages",
    type=OutageOption(),
    multiple=True,
    metavar="SITE:FROM:UNTIL[:drain]",
    help="The site takes no work from FROM to UNTIL after the workload's zero (36h:60h); what "
    "runs there is lost, or with :drain runs on. May be given several times.",
)
@packing_option
@scenario_options
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Of all that is drawn.",
)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    metavar="N",
    help="Scale the pools to N devices in all.",
)
@click.option(
    "--as-of", metavar="DATE", help="Use the network's facts in force on this day. [latest]"
)
@trace_options
@click.option(
    "--stream",
    is_flag=True,
    help="With --generate: keep only what is alive, write runs as they end.",
)
@click.option("--describe", is_flag=True, help="Only describe the workload; nothing is written.")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where the results go: a new folder, or one with earlier results.",
)
@json_option
def simulate(
    folder: Path,
    workload: Path | None,
    kind: str | None,
    count: int | None,
    load: float | None,
    rules: tuple[Rule, ...],
    discipline: Discipline,
    seed: int,
    devices: int | None,
    as_of: str | None,
    outages: tuple[Outage, ...],
    stream: bool,
    describe: bool,
    out: Path | None,
    as_json: bool,
    **figures: Any,
) -> int:
    """Rehearse a workload on the network folder NETWORK, under one or more rules.

    Nothing runs: arrivals and ends are played through the very decision code that runs live, on
    a virtual clock. The same arguments give the same tables, byte for byte.

    DIR gets tables of jobs and hours (Parquet), summary.json, plots, and report.html, which needs
    no other file. Stopped half-way, nothing is written.

    With --stream, for more jobs than memory holds: DIR gets runs/part-*.parquet, a row a run, and
    summary.json. Ctrl-C leaves DIR so that the same command goes on where it stopped; for that
    capacity is not priced (--price-period 0s) unless you ask for it. With it, or with --packing,
    --fair-share, --outage, --reconsider or --forecast-error, Ctrl-C begins anew.
    """
    _check(workload, kind, count, load, out, describe)
    stated = {name: figures.pop(name) for name in TRACE_OPTIONS}
    if figures["packing"] != "pool" and discipline != "easy":
        raise Failure(f"--packing {figures['packing']} goes with --discipline easy.")
    fair_share = figures.pop("fair_share")
    vouchers = figures.pop("vouchers")
    if figures["shares"] and not fair_share:
        raise Failure("--share goes with --fair-share; without it jobs wait in order of arrival.")
    if stream:
        _check_stream(count, describe, rules, vouchers=vouchers)
        _unless_told(figures, "price_period")
    if out is not None and not stream:
        from westward.simulate.outputs import check_destination

        check_destination(out)
    from westward.network.loader import load_network

    network = load_network(folder, as_of=as_of)
    if devices is not None:
        from westward.simulate.scale import scale_network

        try:
            network = scale_network(network, devices)
        except ValueError as problem:
            raise Failure(f"--devices {devices}: {problem}.") from None
    _check_sites(network, outages)
    play = _voucher_play(folder, network) if vouchers else None
    scenario = make_scenario(figures, outages, seed, play)
    if stream and out is not None and count is not None:
        from westward.cli.stream_run import run_stream

        policy = replace(make_policy(rules[0], discipline, **figures), fair_share=fair_share)
        return run_stream(
            network, policy, jobs=count, load=DEFAULT_LOAD if load is None else load, seed=seed,
            out=out, as_json=as_json, scenario=scenario,
        )  # fmt: skip
    jobs = _workload(network, workload, kind, count, load, seed, stated)
    if describe or out is None:
        _describe(jobs, as_json)
        return 0
    policies = [make_policy(rule, discipline, **figures) for rule in dict.fromkeys(rules)]
    policies = [replace(policy, fair_share=fair_share) for policy in policies]
    try:
        results = _rehearse(network, jobs, policies, seed, scenario)
        _write(results, out)
    except KeyboardInterrupt:
        print(f"interrupted: {out} was not written", file=sys.stderr)
        return EXIT_INTERRUPTED
    _tell(results, out, as_json)
    return 0


def _check(
    workload: Path | None,
    kind: str | None,
    count: int | None,
    load: float | None,
    out: Path | None,
    describe: bool,
) -> None:
    """What click cannot say: options that belong together or exclude each other."""
    lines = []
    if (workload is None) == (count is None):
        lines.append("give either --workload FILE or --generate JOBS.")
    if workload is None and kind is not None:
        lines.append("--format describes a --workload FILE, and there is none.")
    if count is None and load is not None:
        lines.append("--load goes with --generate; a recorded workload has the load it has.")
    if out is None and not describe:
        lines.append("say where the results go with --out DIR, or only --describe the workload.")
    if lines:
        raise Failure(*(f"westward simulate: {line}" for line in lines))


def _voucher_play(folder: Path, network: Network) -> VoucherPlay:
    from westward.network.entity_files import load_play
    from westward.network.voucher_files import load_vouchers

    found = load_vouchers(folder)
    if found is None:
        raise Failure(f"--vouchers: {folder} has no folder of voucher rules (vouchers/).")
    return load_play(folder, network, found)


def _check_stream(
    count: int | None, describe: bool, rules: tuple[Rule, ...], *, vouchers: bool
) -> None:
    lines = []
    if count is None:
        lines.append("--stream goes with --generate JOBS.")
    if describe:
        lines.append("--stream rehearses; --describe does not. Give one of them.")
    if len(dict.fromkeys(rules)) > 1:
        lines.append("--stream takes one --policy; rehearse the others into folders of their own.")
    if vouchers:
        lines.append("--stream keeps no ledger. Leave out --vouchers, or --stream.")
    if lines:
        raise Failure(*(f"westward simulate: {line}" for line in lines))


def _unless_told(figures: dict[str, Any], name: str) -> None:
    """Off unless it was asked for: what would keep a streamed rehearsal from being resumed."""
    if click.get_current_context().get_parameter_source(name) is ParameterSource.DEFAULT:
        figures[name] = 0


def _check_sites(network: Network, outages: Sequence[Outage]) -> None:
    known = [site.name for site in network.sites]
    lines = [
        f"--outage {one.site}: the network has no such site; it has {', '.join(known)}."
        for one in outages
        if one.site not in known
    ]
    if lines:
        raise Failure(*lines)


def _workload(
    network: Network,
    path: Path | None,
    kind: str | None,
    count: int | None,
    load: float | None,
    seed: int,
    stated: dict[str, Any],
) -> Workload:
    if path is not None:
        from westward.formats.traces import read_workload

        return read_workload(path, kind, options=make_trace_options(**stated))
    from westward.formats.generate import GeneratorOptions, generate
    from westward.simulate.scale import devices_of

    assert count is not None
    return generate(
        count,
        seed,
        capacity_devices=devices_of(network),
        load=DEFAULT_LOAD if load is None else load,
        options=GeneratorOptions(homes=len(network.sites)),
    )


def _describe(jobs: Workload, as_json: bool) -> None:
    from westward.formats.traces import describe

    lines = describe(jobs)
    if as_json:
        print_json({"name": jobs.name, "format": jobs.format, "digest": jobs.digest,
                    "rows_read": jobs.rows_read, "jobs": len(jobs), "description": lines})  # fmt: skip
        return
    print("\n".join(lines))


def _rehearse(
    network: Network,
    jobs: Workload,
    policies: Sequence[Policy],
    seed: int,
    scenario: Scenario | None,
) -> list[SimulationResult]:
    from westward.simulate.engine import simulate

    results = []
    for policy in policies:
        bar = Progress(policy.rule)
        try:
            results.append(
                simulate(network, jobs, policy, seed=seed, progress=bar, scenario=scenario)
            )
        finally:
            bar.close()
    return results


def _write(results: Sequence[SimulationResult], out: Path) -> None:
    """Whole or not at all: the writer fills a folder beside ``out`` and renames it."""
    from westward.simulate.outputs import write_outputs
    from westward.simulate.results import Provenance

    provenance = Provenance.here(commit=_commit(), command=shlex.join(["westward", *sys.argv[1:]]))
    note = Notes()
    try:
        write_outputs(results, out, provenance=provenance, progress=note)
    finally:
        note.close()


def _commit() -> str | None:
    """The checkout's commit, "+changes" where files differ; None outside a checkout."""
    import subprocess

    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *arguments],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no") else commit


def _tell(results: Sequence[SimulationResult], out: Path, as_json: bool) -> None:
    if as_json:
        import json

        print_json(json.loads((out / "summary.json").read_text(encoding="utf-8")))
        return
    from westward.simulate.compare import comparison, format_value

    labels = [result.label for result in results]
    currency = results[0].network.currency
    table = comparison(results, labels)
    rows = [
        (
            metric["label"],
            *(format_value(metric["values"][name], metric["unit"], currency) for name in labels),
        )
        for metric in table["metrics"]
    ]
    print_table(("PER POLICY", *labels), rows, right=tuple(range(1, len(labels) + 1)))
    if len(results) > 1:
        print("\n".join(table["coverage_words"]))
    for win in table["rival_wins"][:5]:
        print(f"a rival wins: {win['words']}")
    if len(table["rival_wins"]) > 5:
        print(f"... and {len(table['rival_wins']) - 5} more, in the report")
    speed = sum(len(result) for result in results) / max(
        1e-9, sum(result.wall_s for result in results)
    )
    print(f"{speed:,.0f} jobs/s; results in {out}, to read: {out / 'report.html'}")
