"""``westward site test``: the provider conformance kit."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from westward.cli.cmd_site_join import engine_options, read_options
from westward.cli.fail import EXIT_JOB, EXIT_OK, Failure
from westward.cli.output import json_option, print_json

if TYPE_CHECKING:
    from westward.cli.kit.scratch import Scratch, Subject
    from westward.model.offer import PoolOffer

NAME_WIDTH = 14
LEAST_LEASE_S = 4


@click.command()
@engine_options
@click.option(
    "--state",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="A site that has joined: engine, options and pools of its site.yaml. (Only read.)",
)
@click.option("--pool", metavar="POOL", help="The pool to test. [the first]")
@click.option(
    "--only", metavar="CHECK", multiple=True, help="Only this check (and join). Repeatable."
)
@click.option(
    "--lease", "lease_s", metavar="SECONDS", type=click.IntRange(LEAST_LEASE_S, 600), default=6,
    show_default=True, help="How long a lease of the kit's own network holds without news.",
)  # fmt: skip
@click.option(
    "--scratch",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="For the kit's files; the engine's jobs must be able to write there. [a temporary one]",
)
@click.option("--keep", is_flag=True, help="Keep the kit's files.")
@click.option(
    "--server",
    metavar="URL",
    help="Instead: send the ordinary jobs of the kit to --site of this live network. Nothing is "
    "killed or filled there.",
)
@click.option("--site", metavar="NAME", help="The site for --server.")
@json_option
def test(
    engine: str,
    options: tuple[str, ...],
    state: Path | None,
    pool: str | None,
    only: tuple[str, ...],
    lease_s: int,
    scratch: Path | None,
    keep: bool,
    server: str | None,
    site: str | None,
    as_json: bool,
) -> int:
    """Run the provider conformance kit against an engine on this machine.

    The kit starts a network of its own here (a server and an agent, on loopback), joins it as a
    site does, and puts real jobs through the engine: start, logs, exit code, meter, cancel, a lost
    agent, a full disk, a clock that is off. One line for each check; exit code 1 if one failed.
    What this machine does not allow is told as not tested.
    """
    from westward.cli.kit.checks import CHECKS, LIFE, NAMES
    from westward.cli.kit.scratch import Scratch

    strange = [name for name in only if name not in NAMES]
    if strange:
        known = ", ".join(NAMES)
        raise Failure(*(f"--only {name!r} is no check: {known}." for name in strange))
    if (server is None) != (site is None):
        raise Failure("--server and --site go together.")
    folder = Path(tempfile.mkdtemp(prefix="westward-kit-", dir=scratch and _made(scratch)))
    folder.chmod(0o755)
    kit: Scratch | None = None
    try:
        if server is not None and site is not None:
            kit = _live(server, site, pool, folder, lease_s)
        else:
            subject = _subject(engine, read_options(options), state, pool, folder)
            kit = Scratch(folder=folder, subject=subject, lease_s=lease_s)
        subject = kit.subject
        shape = subject.pool
        if not as_json:
            print(
                f"engine {subject.engine}, {shape.nodes} nodes of {shape.cpus_per_node} cpus, "
                f"{shape.devices_per_node or 'no'} {shape.accelerator or 'devices'}; files in {folder}",
                flush=True,
            )
        rows = []
        checks = CHECKS if server is None else LIFE
        wanted = [one for one in checks if not only or one[0] in ("join", *only)]
        for name, check in wanted:
            row = _run(name, check, kit)
            rows.append(row)
            if not as_json:
                _print(row)
            if name == "join" and row["result"] != "passed":
                break
    finally:
        if kit is not None:
            kit.close()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    failed = sum(row["result"] == "failed" for row in rows)
    if as_json:
        print_json({"engine": subject.engine, "checks": rows, "failed": failed})
    else:
        untested = sum(row["result"] == "not tested" for row in rows)
        passed = len(rows) - failed - untested
        print(f"{passed} passed, {failed} failed, {untested} not tested")
    return EXIT_JOB if failed else EXIT_OK


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"--scratch {folder}: {error.strerror}.") from None
    return folder


def _run(name: str, check: Any, kit: Scratch) -> dict[str, Any]:
    from westward.cli.kit.checks import Untested
    from westward.cli.kit.scratch import Failed
    from westward.model.faults import InputFaults

    begun_s = time.monotonic()
    try:
        if not kit.url:
            kit.start_server()
            begun_s = time.monotonic()
        said, result = check(kit), "passed"
    except Untested as error:
        said, result = str(error), "not tested"
    except (Failed, Failure, InputFaults, OSError) as error:
        said, result = str(error), "failed"
    return {
        "check": name,
        "result": result,
        "took_s": round(time.monotonic() - begun_s, 2),
        "said": " ".join(said.split()),
    }


def _print(row: dict[str, Any]) -> None:
    name = row["check"].ljust(NAME_WIDTH)
    print(f"{row['result']:<10}  {name} {row['took_s']:6.1f} s   {row['said']}")
    sys.stdout.flush()


def _live(server: str, site: str, pool: str | None, folder: Path, lease_s: int) -> Scratch:
    """The kit pointed at a pool of a network that is there already."""
    from westward.cli.client import Client
    from westward.cli.kit.scratch import Scratch, Subject
    from westward.model.offer import PoolOffer

    sites = Client(server).get("/v1/sites")["sites"]
    own = [one for row in sites if row["site"] == site for one in row["pools"]]
    chosen = [one for one in own if pool is None or one["pool"] == pool]
    if not chosen:
        names = ", ".join(row["site"] for row in sites)
        raise Failure(f"no such pool at site {site!r}; the sites are {names}.")
    first = chosen[0]
    price = first["price_micros_per_device_hour"]
    if first["status"] != "open" or price is None:
        why = "has no price" if price is None else f"is {first['status']}"
        raise Failure(f"pool {first['pool']} {why}: no job can be sent there.")
    shape = PoolOffer(
        name=first["pool"],
        accelerator=first["accelerator"],
        nodes=first["nodes"],
        devices_per_node=first["devices_per_node"],
        cpus_per_node=2,
    )
    return Scratch(
        folder=folder,
        subject=Subject(engine=first["engine"], options=(), pool=shape, engine_pool=None),
        lease_s=lease_s,
        site=site,
        pool_name=first["pool"],
        micros_per_device_s=price / 3_600,
        url=Client(server).url,
    )


def _subject(
    engine: str, options: dict[str, str], state: Path | None, pool: str | None, folder: Path
) -> Subject:
    """What is tested: of the joined site's own file, or of what the engine discovers."""
    from westward.cli.kit.scratch import Subject

    engine_pools: dict[str, str] = {}
    pools: list[PoolOffer] = []
    if state is not None:
        from westward.agent.joining import load_link, load_site_file

        try:
            link = load_link(state)
            if link is None:
                raise Failure(f"{state} has not joined a network; leave --state out.")
            file = load_site_file(state, link.site)
        except (ValueError, OSError) as error:
            raise Failure(f"--state {state}: {error}.") from None
        engine, options = file.engine, dict(file.options)
        engine_pools = file.engine_pools
        # A pool of a network folder states no shape of its own: then the engine is asked.
        pools = [one for one in file.offer.pools if one.nodes is not None]
    if not pools:
        pools, found = _discovered(engine, options, folder)
        engine_pools = {**found, **engine_pools}
    chosen = [one for one in pools if pool is None or one.name == pool]
    if not chosen:
        names = ", ".join(one.name for one in pools) or "none"
        raise Failure(f"--pool {pool!r}: the site has {names}." if pool else "no pool was found.")
    first = chosen[0]
    return Subject(
        engine=engine,
        options=tuple(options.items()),
        pool=first,
        engine_pool=engine_pools.get(first.name),
    )


def _discovered(
    engine: str, options: dict[str, str], folder: Path
) -> tuple[list[PoolOffer], dict[str, str]]:
    """The engine's pools as offers under their own names."""
    from westward.cli.cmd_site_join import discover
    from westward.model.offer import PoolOffer

    state = folder / "discovery"
    found = discover(engine, state, options)
    pools = [
        PoolOffer(
            name=one.name,
            accelerator=one.accelerator,
            nodes=one.nodes,
            devices_per_node=one.devices_per_node or None,
            # An engine that cannot say is asked for no more than the kit's own jobs need.
            cpus_per_node=max(1, (one.cpus_milli_per_node or 1_000) // 1_000),
            memory_mib_per_node=one.memory_mib_per_node or 1_024,
        )
        for one in found
    ]
    names = {} if engine == "local" else {one.name: one.name for one in found}
    return pools, names
