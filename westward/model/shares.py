"""Shares of the network: who is entitled to which part of it when not everybody's jobs can run.

Two levels, as in rehearsals (``model.scenario.Share``): a group (a city, a programme, several
organisations) has a weight among groups, a project one within its group. A project of no group is a
group of its own. What a group or a project does not use is lent to whoever waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from westward.model.units import MS_PER_DAY

ShareKind = Literal["group", "organisation", "project"]
SHARE_KINDS: tuple[ShareKind, ...] = get_args(ShareKind)
WEIGHT_MOST_MILLI = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRow:
    """``group`` of a group's own row is blank. An organisation's row stands for each of its projects
    that has none of its own. ``weight_milli``: thousandths; whoever is not named weighs 1."""

    kind: ShareKind
    name: str
    weight_milli: int = 1_000
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareTerms:
    """Use counts half after ``half_life_ms``, a quarter after two of them, and not at all once it is
    older than ``window_ms``."""

    half_life_ms: int = 7 * MS_PER_DAY
    window_ms: int = 28 * MS_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Devices that a project held from ``start_ms`` to before ``end_ms``."""

    project: str
    need_milli: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """``part``: of the whole network, above 0, at most 1; those of everybody asked about sum to 1."""

    project: str
    group: str
    """Blank: the project is one by itself."""
    weight_milli: int
    group_weight_milli: int
    part: float
