"""``westward login|logout``: a token by way of the browser, from the provider the server names."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import click

from westward.cli.fail import Failure
from westward.cli.output import json_option, print_json
from westward.cli.server_option import server_option, token_path

Json = dict[str, Any]
WAIT_S = 600
"""For somebody who looks for the password; the server waits no longer either."""
SERVERS_OWN = "westward"
"""By whom tokens are made that a log-in ends in."""


@click.command()
@click.option(
    "--no-browser",
    is_flag=True,
    help="Print the address: open it on any machine, and type in the code that it ends with.",
)
@click.option(
    "--replace", is_flag=True, help="Even where the file holds a token that is good still."
)
@server_option
@json_option
def login(no_browser: bool, replace: bool, server: str | None, as_json: bool) -> None:
    """Log in by your organisation's provider, and keep the token.

    It opens a browser; the token goes to ~/.config/westward/token (or $WESTWARD_TOKEN_FILE), where
    the other commands find it, and ends after some hours.
    """
    from westward.cli.client import Client

    client = Client(server, "")  # the one that is kept may be over, or not there yet
    _check_transport(client.url)
    path = token_path()
    if not replace:
        _check_kept(client.url, path)
    code, verifier = (_by_hand if no_browser else _by_browser)(client.url)
    answer = client.post("/v1/login/token", {"code": code, "verifier": verifier})
    _keep(path, answer.pop("token"))
    if as_json:
        print_json({**answer, "file": str(path)})
        return
    from westward.model.units import format_instant

    until = format_instant(answer["expires_ms"])
    print(f"You are {answer['user']} until {until}; the token is in {path}.")
    if os.environ.get("WESTWARD_TOKEN"):
        print("WESTWARD_TOKEN is set and goes before it: unset it.")


@click.command()
@server_option
@json_option
def logout(server: str | None, as_json: bool) -> None:
    """End the token that 'westward login' fetched, at the server and here."""
    from westward.cli.client import Client

    answer = Client(server).post("/v1/logout")
    path = token_path()
    if answer["ended"] is not None and not os.environ.get("WESTWARD_TOKEN"):
        path.unlink(missing_ok=True)
    if as_json:
        print_json(answer)
        return
    if answer["ended"] is None:
        print("Nothing to end: the token here is not from a log-in, or is over. (westward token)")
    else:
        print(f"Token {answer['ended']} is over.")
    if answer["end_session_url"]:
        print(f"At the provider you may be logged in still: {answer['end_session_url']}")


def _by_hand(url: str) -> tuple[str, str]:
    """The code and its verifier."""
    verifier, challenge = _secrets()
    address = f"{url}/v1/login?{urlencode({'cli_challenge': challenge})}"
    click.echo(f"Open this address in a browser and log in:\n\n  {address}\n", err=True)
    code = click.prompt("The code it shows", type=str, err=True)
    return code.strip(), verifier


def _by_browser(url: str) -> tuple[str, str]:
    """The same; the code comes back to a port of this machine that listens for it alone."""
    import secrets
    import webbrowser

    verifier, challenge = _secrets()
    state = secrets.token_urlsafe(16)
    waiting = _Waiting(state)
    with HTTPServer(("127.0.0.1", 0), waiting.handler()) as listening:
        asked = {
            "cli_challenge": challenge, "cli_port": listening.server_port, "cli_state": state,
        }  # fmt: skip
        address = f"{url}/v1/login?{urlencode(asked)}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.1})
        thread.daemon = True
        thread.start()
        click.echo(f"Log in in the browser. If none opens, go to:\n\n  {address}\n", err=True)
        try:
            webbrowser.open(address)
            came = waiting.done.wait(WAIT_S)
        finally:
            listening.shutdown()
    if not came:
        raise Failure("nobody logged in. Try again, or with --no-browser.")
    return waiting.code, verifier


class _Waiting:
    def __init__(self, state: str) -> None:
        self.state = state
        self.code = ""
        self.done = threading.Event()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        waiting = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = parse_qs(urlsplit(self.path).query)
                good = found.get("state") == [waiting.state] and len(found.get("code", ())) == 1
                text = "Done: go back to the terminal." if good else "Nobody waits for this."
                body = text.encode()
                self.send_response(200 if good else 404)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                if good:
                    waiting.code = found["code"][0]
                    waiting.done.set()

            def log_message(self, *_: object) -> None:
                """Its line would show the code."""

        return Handler


def _secrets() -> tuple[str, str]:
    """A verifier and its challenge (RFC 7636)."""
    import hashlib
    import secrets
    from base64 import urlsafe_b64encode

    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, urlsafe_b64encode(digest).rstrip(b"=").decode()


def _check_transport(url: str) -> None:
    from ipaddress import ip_address

    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    if parts.scheme != "https" and not here:
        raise Failure(f"{url} is plain HTTP: whoever listens would have the token. Use https://.")


def _check_kept(url: str, path: Path) -> None:
    """Raises Failure where ``path`` holds a good token that no log-in can bring back."""
    from westward.cli.client import Client

    try:
        client = Client(url, path.read_text(encoding="ascii").strip())
        own = client.get("/v1/whoami").get("token_id")
        tokens = client.get("/v1/tokens")["tokens"] if own is not None else []
    except (OSError, ValueError, Failure):
        return  # there is none, it is over, or it is another server's
    if any(one["token_id"] == own and one["made_by"] != SERVERS_OWN for one in tokens):
        raise Failure(
            f"{path} holds the token {own}, which is good still. --replace writes over it; "
            "$WESTWARD_TOKEN_FILE names another file."
        )


def _keep(path: Path, token: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "w", encoding="ascii") as out:
        out.write(token + "\n")
    os.replace(temporary, path)
