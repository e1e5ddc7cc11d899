"""``allows``: whether somebody may do something. See docs/decisions/0034.

Rules are data (``server.access`` has the table); this reads one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from westward.model.people import WHOLE_NETWORK, Place, Principal, Role, Scope

Code = Literal["scope-missing", "auditor-changes-nothing", "role-missing", "hidden"]
READERS = frozenset({Role.OWNER, Role.LEAD, Role.NETWORK_OPERATOR, Role.AUDITOR})
"""Roles that see the jobs of a project (the last two: of every project)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One of ``roles``, held at a place of the object or at the network, or with ``oneself`` the
    person the object belongs to, or ``anyone`` with a good token. ``seen_by``: who may know that
    the object exists; None: everyone. ``scope`` None: a token of any scope will do.

    Raises ValueError where an auditor could change something.
    """

    scope: Scope | None
    change: bool
    roles: frozenset[Role] = frozenset()
    oneself: bool = False
    anyone: bool = False
    seen_by: frozenset[Role] | None = None

    def __post_init__(self) -> None:
        if self.change and (Role.AUDITOR in self.roles or self.anyone):
            raise ValueError("a rule that changes names its roles, and not the auditor's")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is asked about: the places whose roles count, and whose it is (a token's person)."""

    places: frozenset[Place] = frozenset()
    user: str | None = None


NOTHING = About()


@dataclass(frozen=True, slots=True)
class Allowed:
    pass


@dataclass(frozen=True, slots=True)
class Denied:
    """``hidden``: the asker may not even know that the object exists."""

    code: Code


Verdict: TypeAlias = Allowed | Denied


def may_ask(principal: Principal, rule: Rule) -> Verdict:
    """What can be said before the object is known."""
    if principal.everything:
        return Allowed()
    if rule.scope is not None and rule.scope not in principal.scopes:
        return Denied("scope-missing")
    if rule.change and principal.has(Role.AUDITOR):
        return Denied("auditor-changes-nothing")
    return Allowed()


def allows(principal: Principal, rule: Rule, about: About = NOTHING) -> Verdict:
    asked = may_ask(principal, rule)
    if isinstance(asked, Denied) or principal.everything or rule.anyone:
        return asked
    own = rule.oneself and about.user is not None and about.user == principal.user
    if own or _holds(principal, rule.roles, about):
        return Allowed()
    if rule.seen_by is not None and not _holds(principal, rule.seen_by, about):
        return Denied("hidden")
    return Denied("role-missing")


def _holds(principal: Principal, roles: frozenset[Role], about: About) -> bool:
    return any(
        grant.role in roles and (grant.place == WHOLE_NETWORK or grant.place in about.places)
        for grant in principal.grants
    )


def of_project(project: str) -> About:
    return About(places=frozenset({Place("project", project)}))


def readable(principal: Principal) -> frozenset[str] | None:
    """Projects whose jobs ``principal`` may see; None: all."""
    everywhere = principal.has(Role.NETWORK_OPERATOR) or principal.has(Role.AUDITOR)
    if principal.everything or everywhere:
        return None
    return frozenset(principal.projects(Role.OWNER, Role.LEAD))


def reads(principal: Principal, project: str) -> bool:
    """Whether jobs of ``project`` are among those ``principal`` may see."""
    own = readable(principal)
    return own is None or project in own
