"""``westward up``: a network on this machine, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click

from westward.cli.fail import Failure
from westward.cli.output import json_option
from westward.cli.server_option import DEFAULT_DATA, default_data

LOOK_EVERY_S = 0.2


@click.command()
@click.option(
    "--network",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("networks/laptop"),
    show_default=True,
    help="The network folder. Its sites become processes on this machine.",
)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where database, logs and outputs are kept. [$WESTWARD_DATA, else ./run; "
    "with --demo ./run/demo]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=0,
    help="Of the server, on loopback. [any]",
)
@click.option(
    "--policy",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="How the server chooses: the keys of a study's policies, as they were rehearsed.",
)
@click.option(
    "--demo",
    is_flag=True,
    help="Run the three jobs in ./examples on a fresh network, show the result, and stop.",
)
@json_option
def up(
    folder: Path, data: Path | None, port: int, policy: Path | None, demo: bool, as_json: bool
) -> int:
    """Start a network on this machine: one server and one agent per site, until Ctrl-C.

    Each is a process of its own; the agents dial out to the server over real sockets. Jobs and
    their history stay in the data folder and are there again at the next start. A process that
    dies is told and ends the rest (exit code 1); nothing is restarted behind your back.

    With --json one line is printed when all sites are connected: url, sites, data.
    """
    if demo and as_json:
        raise Failure("westward up: --demo prints for people; leave --json out.")
    if demo and policy is not None:
        raise Failure("westward up: --demo shows the server's own policy; leave --policy out.")
    signal.signal(signal.SIGTERM, _interrupt)
    if demo:
        from westward.cli.demo import demonstrate

        return demonstrate(folder, data or DEFAULT_DATA / "demo", port)
    return _serve(folder, data or default_data(), port, policy, as_json)


def _serve(folder: Path, data: Path, port: int, policy: Path | None, as_json: bool) -> int:
    from westward.cli.local_network import local_network
    from westward.formats.policy_file import read_live_policy
    from westward.model.plan import Policy
    from westward.network.loader import load_network

    network = load_network(folder)
    if policy is not None:
        read_live_policy(policy, Policy())  # its faults are told here, not in the server's log
    if not as_json:
        print(f"starting {network.name}: {network.label} ...", flush=True)
    names = [site.name for site in network.sites]
    try:
        with local_network(folder, data, names, port=port, policy=policy) as running:
            if as_json:
                ready = {"url": running.url, "sites": names, "data": str(data.resolve())}
                print(json.dumps(ready), flush=True)
            else:
                print(_usage(running.url, names, data), flush=True)
            while True:
                running.check()
                time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        print(
            f"stopped. Jobs that were running end with their lease and are tried again when\n"
            f"'westward up' runs on {data} again.",
            file=sys.stderr if as_json else sys.stdout,
        )
        return 0


def _usage(url: str, sites: list[str], data: Path) -> str:
    lines = [f"server    {url}   (API: {url}/docs)", f"sites     {', '.join(sites)}: connected"]
    lines.append(f"data      {data} (logs: server.log, sites/*.log)")
    if data != default_data():
        lines.append(f"first     export WESTWARD_SERVER={url}")
    lines += [
        "try       westward sites",
        "          westward plan examples/flexible-batch.yaml",
        "          westward submit examples/flexible-batch.yaml --wait",
        "Ctrl-C stops the network.",
    ]
    return "\n".join(lines)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends things as tidily as Ctrl-C."""
    raise KeyboardInterrupt
