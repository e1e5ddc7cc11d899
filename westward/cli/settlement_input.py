"""What the commands of settlement share: the month, and the server's rows as charges."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from westward.cli.fail import Failure

if TYPE_CHECKING:
    from westward.cli.client import Client
    from westward.settlement.charges import Charge
    from westward.settlement.focus import SiteFacts
    from westward.settlement.periods import Period

F = TypeVar("F", bound=Callable[..., Any])
Json = dict[str, Any]


def month_options(command: F) -> F:
    command = click.option(
        "--utc-offset",
        metavar="OFFSET",
        default="+00:00",
        show_default=True,
        envvar="WESTWARD_UTC_OFFSET",
        help="Of the clock by which the month begins and ends: +08:00. [$WESTWARD_UTC_OFFSET]",
    )(command)
    return click.option(
        "--month", metavar="YYYY-MM", required=True, help="The calendar month: 2026-11."
    )(command)


def by_option(command: F) -> F:
    return click.option(
        "--by", metavar="NAME", default="", help="Who says so. [the user of this machine]"
    )(command)


def read_period(month: str, utc_offset: str) -> Period:
    from westward.settlement.periods import parse_period

    try:
        return parse_period(month, utc_offset)
    except ValueError as error:
        raise Failure(f"{error}.") from None


def read_amount(text: str) -> int:
    """Millionths."""
    from westward.settlement.money import micros_of

    try:
        return micros_of(text)
    except ValueError as error:
        raise Failure(f"{error}.") from None


def who(by: str) -> str:
    return by or getpass.getuser()


def new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(6)}"


def fetch_charges(
    client: Client, period: Period, project: str | None = None
) -> tuple[Json, list[Charge], dict[str, SiteFacts]]:
    """(the answer's head, all charges of the month, what is known of the sites)."""
    from westward.cli.client import quoted
    from westward.settlement.charges import Charge
    from westward.settlement.focus import SiteFacts

    path = "/v1/charges" if project is None else f"/v1/projects/{quoted(project)}/charges"
    charges: list[Charge] = []
    after: str | None = None
    while True:
        page = client.get(path, month=period.name, utc_offset=period.offset, after=after)
        charges += [Charge(**row) for row in page["charges"]]
        after = page["next"]
        if after is None:
            break
    sites = {name: SiteFacts(**facts) for name, facts in page["sites"].items()}
    return page, charges, sites


def month_text(period: Period) -> str:
    return f"{period.name} (UTC{period.offset})"
