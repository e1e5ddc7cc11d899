"""``westward site``: for who runs a site (join, run, apply, test) and who runs the network."""

from __future__ import annotations

import click

from westward.cli.lazy import Entry, LazyGroup

_SITE = "westward.cli.cmd_site_join"
_NETWORK = "westward.cli.cmd_site_operator"
ENTRIES = {
    "join": Entry(_SITE, "join", "At the site: join a network with an invitation."),
    "run": Entry(_SITE, "run", "At the site: start the agent of a site that has joined."),
    "apply": Entry(_SITE, "apply", "At the site: offer what site.yaml says now."),
    "test": Entry("westward.cli.cmd_site_test", "test", "At the site: run the conformance kit."),
    "invite": Entry(_NETWORK, "invite", "Network's operator: make a one-time token for a site."),
    "list": Entry(_NETWORK, "list_sites", "Network's operator: list the sites, joined or not."),
    "show": Entry(_NETWORK, "show", "Network's operator: one site, its offer and what runs there."),
    "cordon": Entry(_NETWORK, "cordon", "Network's operator: nothing new at a site or pool."),
    "drain": Entry(_NETWORK, "drain", "Network's operator: let a site or pool run empty."),
    "open": Entry(_NETWORK, "open_site", "Network's operator: take cordon or drain back."),
    "revoke": Entry(_NETWORK, "revoke", "Network's operator: put a site out at once."),
}


@click.group(cls=LazyGroup, entries=ENTRIES)
def site() -> None:
    """Join a network with a machine of yours; invite sites and look after them.

    Joining: the network's operator runs 'westward site invite NAME' and hands over the token; the
    site's operator runs 'westward site join URL --token TOKEN'. The site opens no port.
    """
