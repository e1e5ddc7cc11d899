"""Everyone and every token, kept in memory: who a secret stands for, what they may do.

The store is the truth; this is read from it at the start and after each change, before the change
is answered: a revocation is in force when it is told. Threads may read: it is replaced, not edited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from westward.model.people import (
    ALL_SCOPES,
    WHOLE_NETWORK,
    Grant,
    Member,
    Organisation,
    Principal,
    Project,
    Role,
    Token,
)
from westward.store.database import Store
from westward.store.people import all_members, all_organisations, all_projects, all_tokens

OPERATOR = Principal(
    user="operator",
    grants=frozenset({Grant(Role.NETWORK_OPERATOR, WHOLE_NETWORK)}),
    scopes=ALL_SCOPES,
)
"""Whoever shows the token in the server's data folder."""
SERVER = "westward"
"""By whose word tokens are made that a log-in ends in."""
RESERVED = ("local", "operator", SERVER)
"""Names that nobody can have: they stand for the server's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everything at one moment."""

    organisations: Mapping[str, Organisation]
    projects: Mapping[str, Project]
    members: tuple[Member, ...]
    tokens: Mapping[str, Token]
    """By digest; ended ones too, so that they can be refused by name."""
    principals: Mapping[str, Principal]
    """By digest, of every token that is not revoked."""
    by_id: Mapping[str, Token]
    used: dict[str, int] = field(default_factory=dict)
    """When each digest was last noted as used, by this process."""


def load_people(store: Store, before: People | None = None) -> People:
    """Reads the store."""
    members = all_members(store)
    grants: dict[str, set[Grant]] = {}
    for one in members:
        grants.setdefault(one.user, set()).add(one.grant)
    held = {user: frozenset(own) for user, own in grants.items()}
    tokens = all_tokens(store)
    return People(
        organisations={one.organisation: one for one in all_organisations(store)},
        projects={one.project: one for one in all_projects(store)},
        members=members,
        tokens={one.digest: one for one in tokens},
        principals={
            one.digest: Principal(
                user=one.user,
                grants=held.get(one.user, frozenset()),
                scopes=one.scopes,
                token_id=one.token_id,
                expires_ms=one.expires_ms,
            )
            for one in tokens
            if one.revoked_ms is None
        },
        by_id={one.token_id: one for one in tokens},
        used={} if before is None else before.used,
    )
