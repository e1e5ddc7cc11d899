"""``westward share``: who is entitled to which part of the network, and who had more or less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from westward.cli.cmd_people import asking, client_for
from westward.cli.fail import Failure
from westward.cli.output import print_json, print_table

Json = dict[str, Any]
KINDS = ("project", "organisation", "group")


@click.group()
def share() -> None:
    """Fair shares: in which order jobs of several projects wait.

    A group (a city, a programme) has a weight among groups, a project one within its group. What one
    leaves others may use; who had more than its part then goes behind, until that is forgotten.
    """


@share.command("list")
@click.option("--why", is_flag=True, help="A sentence for each project.")
@asking
def list_shares(why: bool, operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """Show what your projects are entitled to, have used, borrowed and are owed."""
    _print(client_for(server, operator_file, changes=False).get("/v1/shares"), as_json, why)


@share.command("set")
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
@click.argument("name", metavar="NAME")
@click.option("--weight", metavar="NUMBER", default="1", help="Such as 3 or 0.5.")
@click.option("--group", default="", help="The group that it is in: a city, a programme.")
@asking
def set_share(
    kind: str, name: str, weight: str, group: str,
    operator_file: Path | None, server: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Give a project, an organisation's projects or a group a weight. For the network's operator.

    KIND is project, organisation or group. The first share turns fair shares on.
    """
    body = {"kind": kind, "name": name, "weight_milli": _milli(weight), "group": group}
    client = client_for(server, operator_file, changes=True)
    _print(client.post("/v1/shares", body), as_json)


@share.command("remove")
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
@click.argument("name", metavar="NAME")
@asking
def remove_share(
    kind: str, name: str, operator_file: Path | None, server: str | None, as_json: bool
) -> None:
    """Let it weigh 1 again. With the last share removed jobs wait in order of arrival."""
    client = client_for(server, operator_file, changes=True)
    _print(client.post("/v1/shares/remove", {"kind": kind, "name": name}), as_json)


@share.command("terms")
@click.option("--half-life", metavar="TIME", required=True, help="Use counts half after it.")
@click.option("--window", metavar="TIME", help="Older use does not count. [four half-lives]")
@asking
def terms(
    half_life: str,
    window: str | None,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Say how fast use is forgotten. For the network's operator."""
    from westward.model.units import parse_duration_ms

    try:
        life_ms = parse_duration_ms(half_life)
        window_ms = 4 * life_ms if window is None else parse_duration_ms(window)
    except ValueError as error:
        raise Failure(f"--half-life or --window: {error}") from None
    body = {"half_life_ms": life_ms, "window_ms": window_ms}
    client = client_for(server, operator_file, changes=True)
    _print(client.post("/v1/shares/terms", body), as_json)


def _milli(text: str) -> int:
    from decimal import Decimal, InvalidOperation

    try:
        value = Decimal(text) * 1_000
        if value != int(value) or not 0 < value <= 10**9:
            raise ValueError
    except (InvalidOperation, ValueError, OverflowError):
        raise Failure(f"--weight {text!r}: write a number above 0, three places at most.") from None
    return int(value)


def _print(answer: Json, as_json: bool, why: bool = False) -> None:
    if as_json:
        print_json(answer)
        return
    from westward.model.units import format_duration

    if not answer["on"]:
        print("No shares are set: jobs of one priority wait in order of arrival.")
    rows = [
        (
            one["project"], one["group"], f"{one['part']:.1%}",
            *(
                f"{one[f'{name}_device_hours']:,.1f}"
                for name in ("entitled", "used", "borrowed", "owed")
            ),
        )
        for one in answer["projects"]
    ]  # fmt: skip
    head = ("PROJECT", "GROUP", "PART", "ENTITLED", "USED", "BORROWED", "OWED")
    print_table(head, rows, right=(2, 3, 4, 5, 6))
    print(
        f"Device-hours of the last {format_duration(answer['window_ms'])}; use counts half after "
        f"{format_duration(answer['half_life_ms'])}."
    )
    if why:
        for one in answer["projects"]:
            print(one["explanation"])
