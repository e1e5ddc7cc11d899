"""``westward site invite|list|show|cordon|drain|open|revoke``: for the network's operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from westward.cli.fail import Failure
from westward.cli.output import json_option, print_json, print_table
from westward.cli.pairs import read_pairs
from westward.cli.server_option import find_operator_token, operator_option, server_option

Json = dict[str, Any]


def _path(site: str, *rest: str) -> str:
    return "/".join(["/v1/joined", quote(site, safe=""), *rest])


def _client(server: str | None, operator_file: Path | None) -> Any:
    from westward.cli.client import Client

    return Client(server, find_operator_token(operator_file))


@click.command()
@click.argument("site", metavar="NAME")
@click.option("--zone", metavar="ZONE", help="A new site's electricity zone, one of the network's.")
@click.option("--place", metavar="PLACE", help="A new site's place: it has the latencies of PLACE.")
@click.option("--label", metavar="TEXT", default="", help="A new site's name for people.")
@click.option(
    "--tag",
    "tags",
    metavar="KEY=VALUE",
    multiple=True,
    help="For residency rules: country=CN. Repeatable.",
)
@click.option(
    "--valid",
    metavar="TIME",
    default="24h",
    show_default=True,
    help="How long the token holds: 30m, 24h, 7d.",
)
@operator_option
@server_option
@json_option
def invite(
    site: str,
    zone: str | None,
    place: str | None,
    label: str,
    tags: tuple[str, ...],
    valid: str,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Make a token with which the site NAME can join, once.

    A site of the network folder keeps what the folder says of it. For another one say at least
    --zone; zone, place and tags are your word, the rest is the site's own. The token is shown
    once; a second invitation voids the first if that was not used.
    """
    from westward.model.units import format_instant, parse_duration_ms

    try:
        ttl_ms = parse_duration_ms(valid)
    except ValueError as error:
        raise Failure(f"--valid: {error}") from None
    pairs = read_pairs("--tag", tags, "KEY=VALUE")
    client = _client(server, operator_file)
    body = {"zone": zone, "place": place, "label": label, "tags": pairs, "ttl_ms": ttl_ms}
    answer = client.post(_path(site, "invite"), body)
    if as_json:
        print_json(answer)
        return
    print(f"token     {answer['token']}   (until {format_instant(answer['expires_ms'])}, once)")
    print("at the site:")
    print(f"  westward site join {client.url} --token {answer['token']}")


@click.command("list")
@operator_option
@server_option
@json_option
def list_sites(operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """List every site: of the network folder, joined, invited, revoked."""
    answer = _client(server, operator_file).get("/v1/joined")
    if as_json:
        print_json(answer)
        return
    now_ms = answer["now_ms"]
    rows = [
        (
            one["site"],
            one["status"],
            _how(one),
            str(len(one["pools"])),
            str(len(one["live_runs"])),
            _ago(one["last_seen_ms"], now_ms),
            _ago(one["credential_since_ms"], now_ms),
        )
        for one in answer["sites"]
    ]
    head = ("SITE", "STATUS", "HOW", "POOLS", "RUNS", "SEEN", "CREDENTIAL")
    print_table(head, rows, right=(3, 4))


def _how(one: Json) -> str:
    """How the site came to be in the network."""
    words = ["folder"] if one["in_folder"] else []
    if one["joined"]:
        words.append("joined")
    if one["invited_until_ms"] is not None:
        words.append("invited")
    return "+".join(words) or "-"


def _ago(at_ms: int | None, now_ms: int) -> str:
    from westward.model.units import format_duration

    return "never" if at_ms is None else f"{format_duration(max(0, now_ms - at_ms))} ago"


@click.command()
@click.argument("site", metavar="NAME")
@operator_option
@server_option
@json_option
def show(site: str, operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """Show the site NAME: what it offers, what it found, who may use it, what runs there."""
    answer = _client(server, operator_file).get(_path(site))
    if as_json:
        print_json(answer)
    else:
        _print_site(answer)


def _print_site(one: Json) -> None:
    from westward.control.story import printable

    now_ms = one["now_ms"]
    print(f"{one['site']}   {one['status']}   ({_how(one)})")
    print(
        f"  agent       session {one['agent_session'] or '-'}, seen {_ago(one['last_seen_ms'], now_ms)}"
    )
    print(f"  credential  made {_ago(one['credential_since_ms'], now_ms)}")
    runs = ", ".join(one["live_runs"]) or "none"
    print(f"  live runs   {runs}")
    for pool, word in one["marks"].items():
        print(f"  marked      {pool or 'the whole site'}: {word}, by the network's operator")
    offer = one["offer"]
    offered = {pool["name"]: pool for pool in offer["pools"]} if offer else {}
    if offer:
        print(f"  offer       {_ago(one['offered_ms'], now_ms)}, status {offer['status']}")
    else:
        print("  offer       none" + ("" if one["in_folder"] else " yet"))
    for pool in one["pools"]:
        print(f"  pool        {_pool_line(pool, offered.get(pool['pool']), one['currency'])}")
    for found in offer["discovered"] if offer else ():
        kind = found["accelerator"] or "cpu"
        print(printable(f"  discovered  {found['name']}: {found['nodes']} nodes, {kind}"))


def _pool_line(pool: Json, offered: Json | None, currency: str) -> str:
    price = pool["price_micros_per_device_hour"]
    words = [
        f"{pool['pool']}: {pool['status']}",
        f"{pool['nodes']} x {pool['devices_per_node']} {pool['accelerator'] or 'cpu'}",
        "price unknown" if price is None else f"{price / 1e6:g} {currency}/device-h",
    ]
    if offered and offered["hours"]:
        words.append("hours " + "; ".join(offered["hours"]))
    for name in ("accounts", "purposes"):
        if pool[name]:
            words.append(f"only {name} {', '.join(pool[name])}")
    return ", ".join(words)


def _marking(name: str, status: str, told: str) -> click.Command:
    """The command that marks a site, or a pool of it, with ``status``."""

    @click.command(name, help=told)
    @click.argument("site", metavar="NAME")
    @click.option("--pool", metavar="POOL", help="Only this pool. [the whole site]")
    @operator_option
    @server_option
    @json_option
    def mark(
        site: str, pool: str | None, operator_file: Path | None, server: str | None, as_json: bool
    ) -> None:
        client = _client(server, operator_file)
        answer = client.post(_path(site, "status"), {"status": status, "pool": pool})
        if as_json:
            print_json(answer)
        else:
            _print_site(answer)

    return mark


cordon = _marking(
    "cordon",
    "cordoned",
    "Let nothing new start at the site NAME. What runs goes on; what waits goes elsewhere.",
)
drain = _marking(
    "drain", "draining", "Cordon the site NAME until it is empty: its status is then 'drained'."
)
open_site = _marking(
    "open",
    "open",
    "Take back your cordon or drain. The site's own word (site.yaml) still holds.",
)


@click.command()
@click.argument("site", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_option
@server_option
@json_option
def revoke(
    site: str, yes: bool, operator_file: Path | None, server: str | None, as_json: bool
) -> None:
    """Put the site NAME out: its credentials end, its agent stops its runs, nothing goes there.

    Its jobs are tried elsewhere once their leases have ended. To let it in again, invite it.
    """
    client = _client(server, operator_file)
    if not yes:
        runs = client.get(_path(site))["live_runs"]
        click.confirm(f"revoke {site}, with {len(runs)} live run(s)?", abort=True, err=True)
    answer = client.post(_path(site, "revoke"))
    if as_json:
        print_json(answer)
    else:
        print(f"{site} is revoked; {len(answer['live_runs'])} lease(s) run out")
