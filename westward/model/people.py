"""People: organisations, projects, who holds which role where, and what a token may be used for.

Nothing is known of a person but a name. What one may do is a set of grants, each a role at a place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

LOCAL_PROJECT = "local"
"""Of jobs that name no project; built in, as is the organisation of that name."""
NETWORK = "network"
"""The one place of the kind ``network``."""
PlaceKind = Literal["project", "site", "dataset", "programme", "network"]
PLACE_KINDS: tuple[PlaceKind, ...] = ("project", "site", "dataset", "programme", "network")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,98}[A-Za-z0-9])?")
NAME_FORM = "1 to 100 letters, digits and . _ @ + - within"


class Role(StrEnum):
    """``OWNER`` is a job owner: one who submits jobs of a project."""

    OWNER = "owner"
    LEAD = "lead"
    SITE_OPERATOR = "site-operator"
    DATA_OWNER = "data-owner"
    FUNDER = "funder"
    NETWORK_OPERATOR = "network-operator"
    AUDITOR = "auditor"


ROLE_KIND: dict[Role, PlaceKind] = {
    Role.OWNER: "project",
    Role.LEAD: "project",
    Role.SITE_OPERATOR: "site",
    Role.DATA_OWNER: "dataset",
    Role.FUNDER: "programme",
    Role.NETWORK_OPERATOR: "network",
    Role.AUDITOR: "network",
}
"""At which kind of place a role is held."""


class Scope(StrEnum):
    """What a token may be used for, whatever its person may do."""

    READ = "read"
    JOBS = "jobs"
    DATA = "data"
    SITES = "sites"
    PEOPLE = "people"
    METRICS = "metrics"
    MONEY = "money"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Place:
    kind: PlaceKind
    name: str

    def __str__(self) -> str:
        return self.name if self.kind == "network" else f"{self.kind} {self.name}"


WHOLE_NETWORK = Place("network", NETWORK)


@dataclass(frozen=True, slots=True)
class Grant:
    """One role at one place. Raises ValueError for a place of the wrong kind."""

    role: Role
    place: Place

    def __post_init__(self) -> None:
        if ROLE_KIND[self.role] != self.place.kind:
            raise ValueError(f"{self.role.value} is a role in a {ROLE_KIND[self.role]}")
        if self.place.kind == "network" and self.place.name != NETWORK:
            raise ValueError("there is one network")


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    organisation: str
    label: str
    created_ms: int
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """``project`` is what jobs name as their account."""

    project: str
    organisation: str
    label: str
    created_ms: int
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A grant and since when, by whose word."""

    user: str
    grant: Grant
    added_ms: int
    added_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Without the secret, which is kept nowhere. ``digest``: its SHA-256 (hex). ``used_ms``: the
    last use, to the hour; None: never. ``made_by``: a user's name."""

    token_id: str
    digest: str
    user: str
    scopes: frozenset[Scope]
    label: str
    created_ms: int
    expires_ms: int
    made_by: str
    revoked_ms: int | None = None
    used_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks. ``everything``: the one user of a server that tells no users apart; the grants do
    not matter then. ``expires_ms`` None: what was shown does not expire."""

    user: str
    grants: frozenset[Grant] = frozenset()
    scopes: frozenset[Scope] = frozenset()
    everything: bool = False
    token_id: str | None = None
    expires_ms: int | None = None

    def by(self, told: str) -> str:
        """The name to note for what is asked: where users are not told apart, as they say."""
        return told if self.everything else self.user

    def has(self, role: Role) -> bool:
        return any(grant.role is role for grant in self.grants)

    def projects(self, *roles: Role) -> tuple[str, ...]:
        """Those in which one of ``roles`` is held, by name."""
        return tuple(sorted({one.place.name for one in self.grants if one.role in roles}))


LOCAL = Principal(user="local", scopes=ALL_SCOPES, everything=True)
NOBODY = Principal(user="")


def is_name(text: str) -> bool:
    """Whether it may be the name of a person, an organisation, a project or a programme."""
    return _NAME.fullmatch(text) is not None


def conflict(held: frozenset[Grant], wanted: Grant) -> bool:
    """Whether ``wanted`` may not be held beside ``held``: an auditor holds nothing else."""
    others = held - {wanted}
    if wanted.role is Role.AUDITOR:
        return bool(others)
    return any(one.role is Role.AUDITOR for one in others)
