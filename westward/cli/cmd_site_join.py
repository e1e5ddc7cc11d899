"""``westward site join|run|apply``: on a machine of the site."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from westward.cli.fail import Failure
from westward.cli.pairs import read_pairs

if TYPE_CHECKING:
    from westward.agent.joining import Link
    from westward.agent.site_file import SiteFile
    from westward.model.offer import DiscoveredPool, Enrolled

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_STATE = "westward-site"
APPLY_WITHIN_S = 30.0
LOOK_EVERY_S = 0.05


def state_option(command: F) -> F:
    return click.option(
        "--state",
        metavar="DIR",
        envvar="WESTWARD_SITE_STATE",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(DEFAULT_STATE),
        show_default=True,
        help="The agent's folder, for it alone. [$WESTWARD_SITE_STATE]",
    )(command)


def engine_options(command: F) -> F:
    command = click.option(
        "--option",
        "options",
        metavar="NAME=VALUE",
        multiple=True,
        help="An option of the engine: docs/engines.md. Repeatable.",
    )(command)
    return click.option(
        "--engine",
        metavar="NAME",
        default="local",
        show_default=True,
        help="What starts the work here: local (plain processes), slurm, ray or kubernetes.",
    )(command)


def read_options(options: tuple[str, ...]) -> dict[str, str]:
    """Raises Failure with every one that is not NAME=VALUE."""
    return read_pairs("--option", options, "NAME=VALUE")


def _amount(least: float) -> Callable[[click.Context, click.Parameter, str], str]:
    """A number as it was written; blank stays blank."""

    def check(_context: click.Context, _option: click.Parameter, text: str) -> str:
        try:
            good = not text or least <= float(text) < math.inf
        except ValueError:
            good = False
        if not good:
            raise click.BadParameter(f"{text!r} is not a number of at least {least:g}")
        return text

    return check


@click.command()
@click.argument("url", metavar="URL")
@click.option("--token", metavar="TOKEN", envvar="WESTWARD_JOIN_TOKEN", help="The invitation.")
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.File(),
    help="Holds the invitation (- is standard input): other users of this machine cannot see it.",
)
@state_option
@engine_options
@click.option(
    "--offer",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A site.yaml of your own. [one is written with everything discovered]",
)
@click.option(
    "--price",
    metavar="AMOUNT",
    default="",
    callback=_amount(0),
    help="Per device-hour, of every pool, in the network's currency.",
)
@click.option(
    "--power-w",
    metavar="WATTS",
    default="",
    callback=_amount(0),
    help="Per device at full load, of every pool.",
)
@click.option(
    "--pue",
    metavar="RATIO",
    default="",
    callback=_amount(1),
    help="Facility power over IT power: 1.25.",
)
@click.option("--operator", metavar="TEXT", default="", help="Who runs the site.")
@click.option(
    "--ca",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM: trust these authorities, not the system's.",
)
@click.option("--proxy", metavar="URL", help="HTTP proxy to go through. [$HTTPS_PROXY]")
@click.option("--again", is_flag=True, help="The folder has joined before: join anew with it.")
@click.option("--no-start", is_flag=True, help="Join only; start later with 'westward site run'.")
def join(
    url: str,
    token: str | None,
    token_file: Any,
    state: Path,
    engine: str,
    options: tuple[str, ...],
    offer: Path | None,
    price: str,
    power_w: str,
    pue: str,
    operator: str,
    ca: Path | None,
    proxy: str | None,
    again: bool,
    no_start: bool,
) -> None:
    """Join the network at URL with this machine, and start to lease work.

    The agent dials out only. It uses the invitation up, keeps a credential of its own in the
    state folder, looks at what the engine has, and writes what is offered to site.yaml there:
    a blank stays blank, and a pool without a price gets no job that pays. Edit it and run
    'westward site apply'. The agent then runs until it is ended with Ctrl-C.
    """
    text = token_file.read().strip() if token_file else (token or "").strip()
    if not text:
        raise Failure("no token: give --token TOKEN or --token-file FILE (westward site invite).")
    if not url.startswith(("http://", "https://")):
        raise Failure(f"{url!r} is no URL. Write for example https://westward.example.org")
    if proxy is not None and not proxy.startswith("http://"):
        raise Failure(f"--proxy {proxy!r} is no URL. Write for example http://proxy:3128")
    # Everything that can be wrong at this end is looked at before the invitation is used up.
    _check_state(state, again)
    _check_ca(ca)
    values = read_options(options)
    prepared = _read_offer(offer) if offer is not None else None
    if prepared is not None:
        engine, values = prepared.engine, dict(prepared.options)
    found = discover(engine, state, values)
    if again:
        (state / "credential.json").unlink(missing_ok=True)
    enrolled = _enrol(url.rstrip("/"), text, state, proxy, ca)
    site = enrolled.site
    file = state / "site.yaml"
    if offer is not None:
        shutil.copyfile(offer, file)
    elif file.exists():
        print(f"kept      {file}, as it was")
    else:
        from westward.agent.joining import site_text

        file.write_text(
            site_text(
                enrolled, engine, list(values.items()), found,
                price=price, power_w=power_w, pue=pue, operator=operator,
            ),
            encoding="utf-8",
        )  # fmt: skip
    _save_link(state, url.rstrip("/"), site, proxy, ca)
    print(f"joined    {enrolled.network} as site {site}; credential and offer in {state}")
    _say_offer(state, site, enrolled)
    if no_start:
        print(f"start     westward site run --state {state}")
        return
    print("the agent runs until Ctrl-C", flush=True)
    _become_agent(state)


def _check_state(state: Path, again: bool) -> None:
    from westward.agent.joining import load_link

    try:
        link: Link | None = load_link(state)
    except ValueError:
        link = None
    if link is not None and not again:
        raise Failure(
            f"{state} has joined {link.server} as site {link.site}. Start its agent with 'westward "
            f"site run --state {state}'; --again joins anew; another site wants another --state."
        )
    try:
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o700)
    except OSError as error:
        raise Failure(f"--state {state}: {error.strerror}.") from None


def _check_ca(ca: Path | None) -> None:
    import ssl

    if ca is None:
        return
    try:
        ssl.create_default_context(cafile=str(ca))
    except OSError as error:
        raise Failure(f"--ca {ca} holds no certificates ({error}). Give a PEM file.") from None


def _read_offer(path: Path) -> SiteFile:
    """A prepared file; whose site it is of is held against the invitation later."""
    from westward.agent.site_file import read_site_file
    from westward.formats.yaml_nodes import read_tree

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"--offer {path} cannot be read: {error}.") from None
    tree, _ = read_tree(text, str(path))
    entry = tree.get("site") if tree is not None else None
    return read_site_file(text, entry.value.raw if entry else "", file=str(path))


def discover(engine: str, state: Path, options: Mapping[str, str]) -> tuple[DiscoveredPool, ...]:
    from westward.agent.data import take_settings
    from westward.agent.engines.registry import open_engine

    given = dict(options)
    try:
        take_settings(given)
        opened = open_engine(engine, state, "joining", given)
    except (ValueError, OSError, ImportError) as error:
        raise Failure(f"--engine {engine}: {error}.") from None
    try:
        return opened.discover()
    except OSError as error:
        raise Failure(f"the engine {engine} cannot say what there is: {error}.") from None
    finally:
        opened.close()


def _enrol(url: str, token: str, state: Path, proxy: str | None, ca: Path | None) -> Enrolled:
    from westward.agent.joining import enrol, refusal_text
    from westward.agent.link import Refused, Unreachable

    try:
        return enrol(url, token, state, proxy=proxy, ca=str(ca) if ca else None)
    except Refused as error:
        raise Failure(f"{url} refuses: {refusal_text(error)}.") from None
    except Unreachable as error:
        raise Failure(
            f"no Westward server answers at {url}: {error}. Look at the URL, --proxy and --ca; "
            "then run the same command again: the invitation is not lost."
        ) from None
    except ValueError as error:
        raise Failure(str(error)) from None


def _save_link(state: Path, url: str, site: str, proxy: str | None, ca: Path | None) -> None:
    from westward.agent.joining import CA_FILE, Link, save_link

    if ca is not None and ca.resolve() != (state / CA_FILE).resolve():
        shutil.copyfile(ca, state / CA_FILE)
    save_link(state, Link(server=url, site=site, proxy=proxy, ca=str(ca) if ca else None))


def _say_offer(state: Path, site: str, enrolled: Enrolled) -> None:
    """What is offered, and what is blank in it."""
    from westward.agent.joining import load_site_file
    from westward.model.faults import InputFaults

    try:
        file = load_site_file(state, site)
    except InputFaults as faults:
        raise Failure(
            f"the site has joined, but nothing is offered yet. Correct {state / 'site.yaml'}, then "
            f"'westward site run --state {state}':",
            *(str(fault) for fault in faults.faults),
        ) from None
    names = ", ".join(pool.name for pool in file.offer.pools) or "no pools"
    print(f"offers    {names} ({file.offer.engine})")
    if enrolled.in_folder:
        return
    blank = [] if file.offer.pue is not None else ["pue"]
    for key, words in (
        ("price_micros_per_device_hour", "price_per_device_hour"),
        ("power_w_per_device", "power_w_per_device"),
    ):
        blank += [
            f"{words} of {pool.name}" for pool in file.offer.pools if getattr(pool, key) is None
        ]
    if blank:
        print(f"blank     {', '.join(blank)}: no job that pays comes until they are stated")
        print(f"          edit {state / 'site.yaml'}, then: westward site apply --state {state}")


@click.command()
@state_option
def run(state: Path) -> None:
    """Start the agent of a site that has joined, in the foreground, until Ctrl-C.

    Exit codes: 2 it cannot start, 3 another agent has taken the site over, 4 the folder is in
    use, 5 the site was revoked or its credential is over.
    """
    _need_joined(state)
    _become_agent(state)


def _become_agent(state: Path) -> NoReturn:
    """The process becomes the agent: signals reach it as they come."""
    sys.stdout.flush()
    arguments = [sys.executable, "-m", "westward.agent", "--state", str(state)]
    os.execv(sys.executable, arguments)


def _need_joined(state: Path) -> Link:
    from westward.agent.joining import load_link

    try:
        link = load_link(state)
    except ValueError as error:
        raise Failure(str(error)) from None
    if link is None:
        raise Failure(
            f"{state} has not joined a network. First: westward site join URL --token TOKEN "
            f"--state {state}"
        )
    return link


@click.command()
@state_option
def apply(state: Path) -> int:
    """Offer what site.yaml says now. A file with faults changes nothing: each is told.

    The running agent reads the file and asks the server; without an agent only the file itself is
    looked at, and counts when the agent starts.
    """
    from westward.agent.joining import load_site_file

    link = _need_joined(state)
    try:
        file = load_site_file(state, link.site)  # InputFaults go up as they are
    except OSError as error:
        raise Failure(f"{state / 'site.yaml'} cannot be read: {error.strerror}.") from None
    names = ", ".join(pool.name for pool in file.offer.pools) or "no pools"
    pid = _agent_pid(state)
    if pid is None:
        print(f"site.yaml has no faults of its own ({names}). No agent runs; start it with")
        print(f"  westward site run --state {state}")
        return 0
    asked_ms = time.time_ns() // 1_000_000
    os.kill(pid, signal.SIGHUP)
    answer = _applied(state, file.text, asked_ms)
    if answer is None:
        print(
            f"the agent (process {pid}) was told, but has no answer from {link.server} yet; its "
            "log says why. It goes on asking."
        )
        return 0
    if answer["faults"]:
        raise Failure(
            *(_fault_line(fault, state) for fault in answer["faults"]),
            "Nothing was changed: the earlier offer stands.",
        )
    print(f"offered   {names}")
    return 0


def _fault_line(fault: dict[str, Any], state: Path) -> str:
    from westward.model.faults import Fault

    return str(Fault(**{**fault, "file": str(state / Path(fault["file"]).name)}))


def _agent_pid(state: Path) -> int | None:
    """Of the agent that holds the folder's lock; None: none runs."""
    import fcntl

    try:
        with open(state / "agent.lock", "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                return int(lock.read() or b"0") or None
    except (OSError, ValueError):
        return None


def _applied(state: Path, text: str, asked_ms: int) -> dict[str, Any] | None:
    """The agent's note on this very text, made since ``asked_ms``; None: not in time."""
    import hashlib

    digest = hashlib.sha256(text.encode()).hexdigest()
    end = time.monotonic() + APPLY_WITHIN_S
    while time.monotonic() < end:
        try:
            found = json.loads((state / "applied.json").read_text(encoding="utf-8"))
            if found["digest"] == digest and found["at_ms"] >= asked_ms:
                return dict(found)
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(LOOK_EVERY_S)
    return None
