"""Fair shares of the live network: in which order jobs of several projects wait, and who owes whom.

The order is that of rehearsals (``simulate.fair``: start-time fair queueing, decision 0017): a job's
tag is its project's virtual finish, which the job's work over the project's part moves on; jobs are in
order of priority, then tag. It is worked out before the kernels, which take jobs in the order in which
they are given, so that no kernel knows of shares. A property test holds the two to the same order.

One thing differs. A rehearsal remembers what each project was served from its first hour; a server
begins each pass from what its runs have used, decayed: who had more than its part goes behind those
who had less, until that is forgotten. Device time is in device-ms; floats, since they only rank.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from westward.model.job import JobSpec, ResourceOption
from westward.model.network import Network, Pool
from westward.model.people import LOCAL_PROJECT
from westward.model.plan import FairStanding
from westward.model.shares import Entitlement, ShareRow, ShareTerms, Use

MILLI = 1_000


def entitlements(
    rows: Iterable[ShareRow], organisation_of: Mapping[str, str], projects: Iterable[str]
) -> dict[str, Entitlement]:
    """Each project's part of the network, were all of ``projects`` and nobody else to want some."""
    by_name = {(row.kind, row.name): row for row in rows}
    placed: dict[str, tuple[str, int]] = {}
    for project in sorted(set(projects)):
        row = by_name.get(("project", project))
        if row is None:
            row = by_name.get(("organisation", organisation_of.get(project, "")))
        placed[project] = ("", 1_000) if row is None else (row.group, row.weight_milli)
    within: dict[tuple[str, str], int] = defaultdict(int)
    heads: dict[tuple[str, str], int] = {}
    for project, (group, weight) in placed.items():
        key = (group, "") if group else ("", project)
        within[key] += weight
        head = by_name.get(("group", group)) if group else None
        # A project of no group weighs by itself among the groups.
        heads[key] = weight if not group else 1_000 if head is None else head.weight_milli
    all_heads = sum(heads.values())
    found = {}
    for project, (group, weight) in placed.items():
        key = (group, "") if group else ("", project)
        found[project] = Entitlement(
            project=project, group=group, weight_milli=weight, group_weight_milli=heads[key],
            part=heads[key] / all_heads * (weight / within[key]),
        )  # fmt: skip
    return found


def decayed_use(uses: Iterable[Use], terms: ShareTerms, now_ms: int) -> dict[str, float]:
    """Device-ms by project, each moment of use halved for every half-life that it is past."""
    life = float(terms.half_life_ms)
    scale = life / 0.6931471805599453  # ln 2: the integral of 2^(-t / life)
    used: dict[str, float] = defaultdict(float)
    for use in uses:
        start = max(use.start_ms, now_ms - terms.window_ms)
        end = min(use.end_ms, now_ms)
        if end > start:
            late, early = 2.0 ** ((end - now_ms) / life), 2.0 ** ((start - now_ms) / life)
            used[use.project] += use.need_milli / MILLI * scale * (late - early)
    return dict(used)


def standings(
    parts: Mapping[str, Entitlement], used: Mapping[str, float], promised: Mapping[str, float]
) -> tuple[FairStanding, ...]:
    """``promised``: device-ms that running jobs are expected to use still. They count in full, as a
    job's work does in a rehearsal from the moment it is bound."""
    return tuple(
        FairStanding(
            account=project,
            part=one.part,
            served_ms=(used.get(project, 0.0) + promised.get(project, 0.0)) / one.part,
        )
        for project, one in sorted(parts.items())
    )


def fair_tags(
    jobs: Sequence[JobSpec],
    fair: Sequence[FairStanding],
    needs: Mapping[str, int],
    network: Network,
    assumed_ms: int,
) -> list[float]:
    """By job: its start tag, in device-ms over part. ``jobs`` in the order in which they would go
    without shares. ``needs``: milli-devices of those that are bound; others take the least that any
    pool would give them.

    A project that stands nowhere in ``fair`` goes as one of the smallest part that has used nothing.
    """
    standing = {one.account: one for one in fair}
    least = min((one.part for one in fair), default=1.0)
    finish = {name: one.served_ms for name, one in standing.items()}
    known: dict[tuple[object, ...], int] = {}
    tags = []
    for job in jobs:
        account = job.account or LOCAL_PROJECT
        tag = finish.get(account, 0.0)
        tags.append(tag)
        need = needs.get(job.job_id)
        if need is None:
            shape = (job.nodes, job.options)
            need = known.get(shape)
            if need is None:
                need = known[shape] = least_need_milli(job, network)
        part = standing[account].part if account in standing else least
        asked_ms = job.duration_ms if job.duration_ms is not None else assumed_ms
        finish[account] = tag + need / MILLI * asked_ms / part
    return tags


def least_need_milli(job: JobSpec, network: Network) -> int:
    """What the job takes where it takes least: its dominant share of a node, over all nodes. At least
    1; a job that fits nowhere is refused, whatever it would take."""
    needs = [
        need * job.nodes
        for option in job.options
        for pool in network.pools
        if (need := _node_need(option, pool))
    ]
    return min(needs, default=1)


def _node_need(option: ResourceOption, pool: Pool) -> int:
    """As ``placement.classes.node_need_milli``; 0: a node cannot hold it."""
    node, cpus_milli = pool.devices_per_node * MILLI, pool.cpus_per_node * MILLI
    memory_mib = pool.memory_mib_per_node
    other_kind = option.accelerator is not None and option.accelerator != pool.accelerator
    need = 0 if pool.accelerator is None else option.devices_milli
    if (
        other_kind or need > node or option.cpus_milli > cpus_milli
        or option.memory_mib > memory_mib
    ):  # fmt: skip
        return 0
    if option.cpus_milli > 0:
        need = max(need, -(-option.cpus_milli * node // cpus_milli))
    if option.memory_mib > 0:
        need = max(need, -(-option.memory_mib * node // memory_mib))
    return max(need, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One project's line, in device-ms of decayed use. ``borrowed``: beyond its part of all that was
    used; ``owed``: short of it. Over everybody the two are the same sum."""

    entitlement: Entitlement
    entitled_ms: float
    used_ms: float

    @property
    def borrowed_ms(self) -> float:
        return max(0.0, self.used_ms - self.entitled_ms)

    @property
    def owed_ms(self) -> float:
        return max(0.0, self.entitled_ms - self.used_ms)


def share_table(parts: Mapping[str, Entitlement], used: Mapping[str, float]) -> tuple[Account, ...]:
    """By project. What anybody used who has no part is not shared out."""
    total = sum(used.get(project, 0.0) for project in parts)
    return tuple(
        Account(entitlement=one, entitled_ms=one.part * total, used_ms=used.get(project, 0.0))
        for project, one in sorted(parts.items())
    )
