"""``westward whoami|org|project|member|token``: people and what they may do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from westward.cli.fail import Failure
from westward.cli.output import json_option, print_json, print_table
from westward.cli.server_option import find_operator_token, operator_option, server_option

F = TypeVar("F", bound=Callable[..., Any])
Json = dict[str, Any]
KINDS = ("project", "site", "dataset", "programme", "network")
ROLES = (
    "owner", "lead", "site-operator", "data-owner", "funder", "network-operator", "auditor",
)  # fmt: skip
SCOPES = ("read", "jobs", "data", "sites", "people", "metrics", "money")


def asking(command: F) -> F:
    """The options of every command here."""
    return operator_option(server_option(json_option(command)))


def client_for(server: str | None, operator_file: Path | None, *, changes: bool) -> Any:
    """As oneself; as the network's operator with --operator-token, or for a change where one has
    no token of one's own."""
    from westward.cli.client import Client
    from westward.cli.server_option import find_token

    if operator_file is not None or (changes and find_token() is None):
        return Client(server, find_operator_token(operator_file))
    return Client(server)


def _members_path(kind: str, place: str | None, *rest: str) -> str:
    from westward.cli.client import quoted

    if kind == "network":
        place = "network"
    if place is None:
        raise Failure(f"which {kind}? Write: {kind} NAME.")
    return "/".join(["/v1/members", kind, quoted(place), *rest])


@click.command()
@asking
def whoami(operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """Tell who you are to the server, your roles, and what your token may be used for."""
    from westward.model.units import format_instant

    answer = client_for(server, operator_file, changes=False).get("/v1/whoami")
    if as_json:
        print_json(answer)
        return
    print(answer["user"])
    if answer["everything"]:
        print("  this server tells no users apart: you may do everything")
        return
    for one in answer["grants"]:
        place = "" if one["kind"] == "network" else f" of {one['kind']} {one['place']}"
        print(f"  {one['role']}{place}")
    print(f"  scopes   {' '.join(answer['scopes'])}")
    if answer["expires_ms"] is not None:
        print(f"  token    {answer['token_id']}, until {format_instant(answer['expires_ms'])}")


@click.group()
def org() -> None:
    """Organisations. Each has projects."""


@org.command("create")
@click.argument("name", metavar="NAME")
@click.option("--label", metavar="TEXT", default="", help="Its name for people.")
@asking
def create_org(
    name: str, label: str, operator_file: Path | None, server: str | None, as_json: bool
) -> None:
    """Make the organisation NAME. For the network's operator."""
    client = client_for(server, operator_file, changes=True)
    answer = client.post("/v1/organisations", {"organisation": name, "label": label})
    if as_json:
        print_json(answer)
    else:
        print(f"organisation {name}")


@org.command("list")
@asking
def list_orgs(operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """List the organisations of your projects; for who oversees the network all."""
    answer = client_for(server, operator_file, changes=False).get("/v1/organisations")
    if as_json:
        print_json(answer)
        return
    rows = [(one["organisation"], one["label"]) for one in answer["organisations"]]
    print_table(("ORGANISATION", "LABEL"), rows)


@click.group()
def project() -> None:
    """Projects: what jobs are of (westward.account), and who pays."""


@project.command("create")
@click.argument("name", metavar="NAME")
@click.option("--org", "organisation", metavar="ORGANISATION", required=True, help="Whose it is.")
@click.option("--label", metavar="TEXT", default="", help="Its name for people.")
@asking
def create_project(
    name: str,
    organisation: str,
    label: str,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Make the project NAME. For the network's operator."""
    client = client_for(server, operator_file, changes=True)
    body = {"project": name, "organisation": organisation, "label": label}
    answer = client.post("/v1/projects", body)
    if as_json:
        print_json(answer)
    else:
        print(f"project {name} of {organisation}")


@project.command("list")
@asking
def list_projects(operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """List your projects; for who oversees the network all."""
    answer = client_for(server, operator_file, changes=False).get("/v1/projects")
    if as_json:
        print_json(answer)
        return
    rows = [(one["project"], one["organisation"], one["label"]) for one in answer["projects"]]
    print_table(("PROJECT", "ORGANISATION", "LABEL"), rows)


@click.group()
def member() -> None:
    """Who holds which role where.

    PLACE is: project NAME (roles owner, lead), site NAME (site-operator), dataset NAME
    (data-owner), programme NAME (funder), or network (network-operator, auditor).
    """


def _changing(name: str, rest: tuple[str, ...], told: str) -> click.Command:
    @member.command(name, help=told)
    @click.argument("user", metavar="USER")
    @click.argument("role", metavar="ROLE", type=click.Choice(ROLES))
    @click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
    @click.argument("place", metavar="[NAME]", required=False)
    @asking
    def change(
        user: str,
        role: str,
        kind: str,
        place: str | None,
        operator_file: Path | None,
        server: str | None,
        as_json: bool,
    ) -> None:
        path = _members_path(kind, place, *rest)
        client = client_for(server, operator_file, changes=True)
        _print_members(client.post(path, {"user": user, "role": role}), as_json)

    return change


add = _changing("add", (), "Give USER the ROLE at a place: add li owner project vision.")
remove = _changing("remove", ("remove",), "Take the ROLE from USER, at once.")


@member.command("list")
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
@click.argument("place", metavar="[NAME]", required=False)
@asking
def list_members(
    kind: str, place: str | None, operator_file: Path | None, server: str | None, as_json: bool
) -> None:
    """List who holds a role at a place: list project vision."""
    path = _members_path(kind, place)
    _print_members(client_for(server, operator_file, changes=False).get(path), as_json)


def _print_members(answer: Json, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    rows = [(one["user"], one["role"], one["added_by"]) for one in answer["members"]]
    print_table(("USER", "ROLE", "GIVEN BY"), rows)


@member.command("forget-login")
@click.argument("user", metavar="USER")
@asking
def forget_login(user: str, operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """Let USER log in by another account of the provider than before. For the network's operator.

    The first log-in binds a name to the provider's account; one that gets the name later is refused.
    """
    answer = client_for(server, operator_file, changes=True).post(
        "/v1/login/forget", {"user": user}
    )
    if as_json:
        print_json(answer)
    elif answer["forgotten"]:
        print(f"{user}: the next log-in by this name may be by another account")
    else:
        print(f"{user} has not logged in yet")


@click.group()
def token() -> None:
    """Tokens. A token is shown once; put it into WESTWARD_TOKEN, or a file of mode 600."""


@token.command("mint")
@click.option("--user", metavar="USER", help="For whom. [yourself]")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it may be used for; repeatable. [all that yours may]",
)
@click.option("--valid", metavar="TIME", default="90d", show_default=True, help="At most 400d.")
@click.option("--label", metavar="TEXT", default="", help="What it is for.")
@asking
def mint(
    user: str | None,
    scopes: tuple[str, ...],
    valid: str,
    label: str,
    operator_file: Path | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Make a token, for yourself, or as the network's operator for anybody."""
    from westward.model.units import format_instant, parse_duration_ms

    try:
        ttl_ms = parse_duration_ms(valid)
    except ValueError as error:
        raise Failure(f"--valid: {error}") from None
    client = client_for(server, operator_file, changes=True)
    body = {"user": user, "scopes": list(scopes) or None, "ttl_ms": ttl_ms, "label": label}
    answer = client.post("/v1/tokens", body)
    if as_json:
        print_json(answer)
        return
    print(answer["token"])
    until = format_instant(answer["expires_ms"])
    scopes_text = " ".join(answer["scopes"])
    click.echo(f"{answer['token_id']} of {answer['user']} until {until}: {scopes_text}", err=True)


@token.command("list")
@asking
def list_tokens(operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """List your tokens, without their secrets; for who oversees the network all."""
    from westward.model.units import format_instant

    answer = client_for(server, operator_file, changes=False).get("/v1/tokens")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            one["token_id"],
            one["user"],
            "revoked" if one["revoked_ms"] is not None else format_instant(one["expires_ms"]),
            "never" if one["used_ms"] is None else format_instant(one["used_ms"]),
            " ".join(one["scopes"]),
            one["label"],
        )
        for one in answer["tokens"]
    ]
    print_table(("TOKEN", "USER", "UNTIL", "USED", "SCOPES", "LABEL"), rows)


@token.command("revoke")
@click.argument("token_id", metavar="TOKEN_ID")
@asking
def revoke(token_id: str, operator_file: Path | None, server: str | None, as_json: bool) -> None:
    """End a token at once: yours, or as the network's operator anybody's."""
    from westward.cli.client import quoted

    client = client_for(server, operator_file, changes=True)
    answer = client.post(f"/v1/tokens/{quoted(token_id)}/revoke")
    if as_json:
        print_json(answer)
    else:
        print(f"{token_id} is revoked")
