"""Which server a command talks to: ``--server``, else WESTWARD_SERVER, else the run folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from westward.cli.fail import Failure

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_DATA = Path("run")
SERVER_FILE = "server.json"
"""Written by ``westward up`` into its data folder while the server runs."""


def default_data() -> Path:
    """The data folder of ``westward up``, where nothing else is said."""
    return Path(os.environ.get("WESTWARD_DATA") or DEFAULT_DATA)


def server_option(command: F) -> F:
    return click.option(
        "--server",
        metavar="URL",
        envvar="WESTWARD_SERVER",
        help="The server to ask; several that share a store with commas between. [$WESTWARD_SERVER, else the one 'westward up' runs from here]",
    )(command)


OPERATOR_FILE = "operator.token"
"""In the server's data folder; the server makes it at its first start."""


def operator_option(command: F) -> F:
    return click.option(
        "--operator-token",
        "operator_file",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Holds the operator's token. [$WESTWARD_OPERATOR_TOKEN has the token itself, else "
        f"{OPERATOR_FILE} in the data folder of 'westward up']",
    )(command)


TOKEN_VARIABLE = "WESTWARD_TOKEN"
TOKEN_FILE_VARIABLE = "WESTWARD_TOKEN_FILE"


def token_path() -> Path:
    """Where the user's token is kept, if it is in a file."""
    named = os.environ.get(TOKEN_FILE_VARIABLE)
    return Path(named) if named else Path.home() / ".config" / "westward" / "token"


def find_token() -> str | None:
    """The user's token: $WESTWARD_TOKEN, else the file $WESTWARD_TOKEN_FILE, else
    ~/.config/westward/token if it is there. Raises Failure for a file that others can read."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token:
        return token
    named = os.environ.get(TOKEN_FILE_VARIABLE)
    path = token_path()
    try:
        if path.stat().st_mode & 0o077:
            raise Failure(f"{path} holds a token and others can read it. Run: chmod 600 {path}")
        return path.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        if named:
            raise Failure(f"there is no {path}, named by {TOKEN_FILE_VARIABLE}.") from None
        return None
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or "it is not a token"
        raise Failure(f"{path} cannot be read ({what}). Look at {TOKEN_FILE_VARIABLE}.") from None


def find_operator_token(file: Path | None) -> str:
    """The operator's, or else the user's own: that may be an operator's too. Raises Failure that
    says what to do."""
    if file is None and os.environ.get("WESTWARD_OPERATOR_TOKEN"):
        return os.environ["WESTWARD_OPERATOR_TOKEN"].strip()
    path = file or default_data() / OPERATOR_FILE
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        own = find_token() if file is None else None
        if own is not None:
            return own
        what = getattr(error, "strerror", None) or "it is not a token"
        raise Failure(
            f"this is for the network's operator, and {path} cannot be read ({what}). It lies in "
            "the server's data folder; name it with --operator-token FILE."
        ) from None


def find_server(server: str | None) -> str:
    """The URL without a trailing slash, or several with commas between. Raises Failure that says
    what to do."""
    if server is not None:
        urls = [one.strip().rstrip("/") for one in server.split(",")]
        for one in urls:
            if not one.startswith(("http://", "https://")):
                raise Failure(
                    f"--server {one!r} is no URL. Write for example http://127.0.0.1:8080"
                )
        return ",".join(urls)
    path = default_data() / SERVER_FILE
    try:
        url = json.loads(path.read_text(encoding="utf-8"))["url"]
    except FileNotFoundError:
        raise Failure(
            f"no Westward server is known: there is no {path}. Start one here with 'westward up', "
            "or name one with --server URL or WESTWARD_SERVER."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(
            f"{path} cannot be read ({error}). Start the server again with 'westward up'."
        ) from None
    return str(url).rstrip("/")
