"""What the answers about people hold; part of ``openapi``."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class GrantView(TypedDict):
    role: str
    kind: str
    place: str


class WhoamiView(TypedDict):
    """``everything``: the server tells no users apart."""

    user: str
    users_told_apart: bool
    everything: bool
    grants: list[GrantView]
    scopes: list[str]
    token_id: str | None
    expires_ms: int | None


class OrganisationView(TypedDict):
    organisation: str
    label: str
    created_ms: int
    created_by: str


class OrganisationsView(TypedDict):
    organisations: list[OrganisationView]


class ProjectView(TypedDict):
    """``project`` is what its jobs name as their account."""

    project: str
    organisation: str
    label: str
    created_ms: int
    created_by: str


class ProjectsView(TypedDict):
    projects: list[ProjectView]


class MemberView(TypedDict):
    user: str
    role: str
    added_ms: int
    added_by: str


class MembersView(TypedDict):
    kind: str
    place: str
    members: list[MemberView]


class TokenView(TypedDict):
    """``token``, the secret, is told once, when it is made. ``used_ms`` is to the hour."""

    token_id: str
    user: str
    scopes: list[str]
    label: str
    created_ms: int
    expires_ms: int
    revoked_ms: int | None
    used_ms: int | None
    made_by: str
    token: NotRequired[str]


class ShareRowView(TypedDict):
    kind: str
    name: str
    group: str
    weight: float


class ShareAccountView(TypedDict):
    """``part``: of the network. Decayed use; over all projects borrowed and owed are the same sum."""

    project: str
    group: str
    part: float
    entitled_device_hours: float
    used_device_hours: float
    borrowed_device_hours: float
    owed_device_hours: float
    explanation: str


class SharesView(TypedDict):
    """``shares``: what is set, for who oversees the network."""

    on: bool
    half_life_ms: int
    window_ms: int
    used_device_hours: float
    shares: list[ShareRowView]
    projects: list[ShareAccountView]


class LoginView(TypedDict):
    """The token of a log-in. ``token``, the secret, is told this once."""

    user: str
    token: str
    token_id: str
    scopes: list[str]
    expires_ms: int


class LogoutView(TypedDict):
    """``ended``: the token's id; null: none that a log-in had made was shown."""

    ended: str | None
    end_session_url: str | None


class ForgottenView(TypedDict):
    user: str
    forgotten: bool


class TokensView(TypedDict):
    tokens: list[TokenView]
