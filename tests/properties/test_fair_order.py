"""The live order of fair shares: the rehearsal's own, and right by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twin.small import HOUR, cards, world
from westward.model.job import JobSpec, ResourceOption
from westward.model.plan import FairStanding, Policy
from westward.model.scenario import Share
from westward.model.shares import ShareRow, ShareTerms, Use
from westward.placement import classes, plan
from westward.placement.fair_order import (
    decayed_use,
    entitlements,
    fair_tags,
    least_need_milli,
    share_table,
    standings,
)
from westward.simulate import fair as rehearsed
from westward.simulate.shares import ShareTables

NETWORK = world(cards("p", 4)).network
POLICY = Policy(defer_limit_ms=0)


def job(number: int, account: str, hours: float = 1.0, cards: int = 1, **more: object) -> JobSpec:
    return JobSpec(
        job_id=f"j{number:03d}", name="j", submit_ms=number, account=account,
        options=(ResourceOption(accelerator="card", devices_milli=1000),), nodes=cards,
        duration_ms=int(hours * HOUR), **more,
    )  # fmt: skip


def plain(kernel: object) -> object:
    """A kernel as the Python that it is written in."""
    return getattr(kernel, "py_func", kernel)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_order_is_the_rehearsals(data: st.DataObject) -> None:
    """The rehearsal's own functions, called one arrival after the other at one virtual time, give
    every job the tag that ours does, up to its rounding."""
    tenants = data.draw(st.integers(1, 6))
    groups = data.draw(
        st.lists(st.sampled_from(["", "A", "B"]), min_size=tenants, max_size=tenants)
    )
    weights = data.draw(st.lists(st.integers(1, 9), min_size=tenants, max_size=tenants))
    heads = {"A": data.draw(st.integers(1, 9)), "B": data.draw(st.integers(1, 9))}
    asks = data.draw(
        st.lists(
            st.tuples(st.integers(0, tenants - 1), st.integers(1, 4), st.integers(1, 40)),
            min_size=1, max_size=30,
        )
    )  # fmt: skip
    shares = [Share(programme=name, weight=float(head)) for name, head in heads.items()]
    rows = [ShareRow(kind="group", name=n, weight_milli=h * 1000) for n, h in heads.items()]
    for t, (group, weight) in enumerate(zip(groups, weights, strict=True)):
        shares.append(Share(tenant=t, programme=group or None, weight=float(weight)))
        rows.append(ShareRow(kind="project", name=f"t{t}", group=group, weight_milli=weight * 1000))
    empty = SimpleNamespace(
        fair=np.zeros(1), weight=np.zeros(0), programme=None, alive=np.zeros(1, dtype=np.int32),
        active=np.zeros(1), programme_rate=None,
    )  # fmt: skip
    empty._replace = lambda **changes: SimpleNamespace(**{**vars(empty), **changes})
    clock = ShareTables(shares, 4.0).grown(empty, tenants + 1)  # type: ignore[arg-type]
    count = len(asks)
    live = SimpleNamespace(
        tenant=np.zeros(count + tenants, dtype=np.int32),
        charged=np.zeros(count + tenants, dtype=np.int8),
    )
    state = SimpleNamespace(job_need=np.zeros(count + tenants, dtype=np.int64))
    tag_order, charge = plain(rehearsed.tag_order), plain(rehearsed.charge_share)
    for t in range(tenants):  # everybody is there, and has asked for nothing yet
        tag_order(count + t, t + 1, 0, live, clock)  # tenant 0 is those of no user
    seen = []
    for j, (t, need, hours) in enumerate(asks):
        order = tag_order(j, t + 1, 0, live, clock)
        seen.append((order & rehearsed.CLASS_MASK) >> rehearsed.TENANT_BITS)
        state.job_need[j] = need * 1000
        charge(j, hours * HOUR, SimpleNamespace(assumed_ms=HOUR), state, live, clock)
    parts = entitlements(rows, {}, [f"t{t}" for t in range(tenants)])
    jobs = [job(j, f"t{t}", hours, need) for j, (t, need, hours) in enumerate(asks)]
    tags = fair_tags(jobs, standings(parts, {}, {}), {}, NETWORK, HOUR)
    # One factor for all: what a device-ms over the whole network weighs in the rehearsal's tags.
    one = parts["t0"]
    scale = clock.programme_rate[clock.programme[2]] * clock.active[clock.programme[2]]
    scale = scale / clock.weight[2] * one.part
    for ours, theirs in zip(tags, seen, strict=True):
        assert ours * scale == pytest.approx(theirs, abs=count + tenants + 2, rel=1e-9)


def test_it_needs_what_the_kernel_says() -> None:
    option = ResourceOption(cpus_milli=1500, memory_mib=100)
    asks = replace(job(0, "a"), options=(option,), nodes=2)
    assert least_need_milli(asks, NETWORK) == 2 * 375
    assert least_need_milli(job(0, "a", cards=3), NETWORK) == 3000
    pools = SimpleNamespace(kind=[0], devices=[1], cpus_milli=[4000], memory_mib=[4096], nodes=[4])
    options = SimpleNamespace(devices_milli=[0], cpus_milli=[1500], memory_mib=[100])
    assert plain(classes.node_need_milli)(options, 0, pools, 0) == 375


# -- in plan()


def order_of(jobs: list[JobSpec], fair: tuple[FairStanding, ...]) -> list[str]:
    """One card, so that starts tell the order."""
    snapshot = replace(world(cards("p", 1)), fair=fair)
    found = plan(snapshot, jobs, replace(POLICY, discipline="conservative"), 1_000, explain=False)
    starts = sorted((one.estimate.start_ms, one.job_id) for one in found.placements)
    return [next(j.account or "" for j in jobs if j.job_id == name) for _, name in starts]


def test_plan_takes_projects_in_turn_by_their_parts() -> None:
    jobs = [job(n, "a") for n in range(6)] + [job(10 + n, "b") for n in range(3)]
    assert order_of(jobs, ()) == ["a"] * 6 + ["b"] * 3, "off: in order of arrival"
    parts = entitlements([], {}, ["a", "b"])
    fair = standings(parts, {}, {})
    assert order_of(jobs, fair)[:6] == ["a", "b", "a", "b", "a", "b"]
    rows = [ShareRow(kind="project", name="a", weight_milli=2_000)]
    fair = standings(entitlements(rows, {}, ["a", "b"]), {}, {})
    assert order_of(jobs, fair)[:6].count("a") == 4


def test_who_had_more_goes_behind_until_it_is_forgotten() -> None:
    jobs = [job(n, "a") for n in range(3)] + [job(10 + n, "b") for n in range(3)]
    parts = entitlements([], {}, ["a", "b"])
    terms = ShareTerms(half_life_ms=10 * HOUR, window_ms=100 * HOUR)
    uses = [Use(project="a", need_milli=1000, start_ms=0, end_ms=2 * HOUR)]
    soon = decayed_use(uses, terms, 2 * HOUR)
    assert order_of(jobs, standings(parts, soon, {}))[:2] == ["b", "b"]
    late = decayed_use(uses, terms, 60 * HOUR)
    assert order_of(jobs, standings(parts, late, {}))[:4].count("a") == 2
    assert decayed_use(uses, terms, 103 * HOUR) == {}, "outside the window"
    running = standings(parts, {}, {"b": 5.0 * HOUR})
    assert order_of(jobs, running)[:3] == ["a"] * 3, "what runs counts as promised"


def test_priority_goes_before_share() -> None:
    jobs = [job(n, "a") for n in range(3)] + [job(9, "b", priority=1)]
    fair = standings(entitlements([], {}, ["a", "b"]), {"b": 1e9}, {})
    assert order_of(jobs, fair)[0] == "b"


def test_one_project_is_served_as_without_shares() -> None:
    jobs = [job(n, "a", hours=1 + n % 3) for n in range(9)]
    fair = standings(entitlements([], {}, ["a"]), {"a": 5.0}, {})
    snapshot = world(cards("p", 2))
    policy = replace(POLICY, discipline="conservative")
    without = plan(snapshot, jobs, policy, 1_000)
    assert plan(replace(snapshot, fair=fair), jobs, policy, 1_000).placements == without.placements


# -- the sums that people check


def test_parts_by_hand() -> None:
    """City east weighs 3, lone 1: east's two projects 1 and 2, one of them by its organisation."""
    rows = [
        ShareRow(kind="group", name="east", weight_milli=3_000),
        ShareRow(kind="project", name="x", group="east", weight_milli=2_000),
        ShareRow(kind="organisation", name="acme", group="east"),
    ]
    parts = entitlements(rows, {"y": "acme", "z": "other"}, ["x", "y", "z"])
    assert [round(parts[name].part, 6) for name in "xyz"] == [0.5, 0.25, 0.25]


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1e12), min_size=1),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10**9)),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["", "g", "h"])),
)
def test_what_is_borrowed_is_owed(
    used: dict[str, float], weights: dict[str, int], groups: dict[str, str]
) -> None:
    rows = [
        ShareRow(kind="project", name=name, weight_milli=weight, group=groups.get(name, ""))
        for name, weight in weights.items()
    ]
    parts = entitlements(rows, {}, {*used, *weights})
    assert sum(one.part for one in parts.values()) == pytest.approx(1.0)
    table = share_table(parts, used)
    total = sum(used.values())
    assert sum(one.entitled_ms for one in table) == pytest.approx(total)
    borrowed, owed = sum(x.borrowed_ms for x in table), sum(x.owed_ms for x in table)
    assert borrowed == pytest.approx(owed, abs=1e-6 * max(1.0, total))


def test_use_halves_with_each_half_life() -> None:
    terms = ShareTerms(half_life_ms=HOUR, window_ms=10 * HOUR)
    minute = [Use(project="a", need_milli=2000, start_ms=0, end_ms=60)]
    assert decayed_use(minute, terms, 60)["a"] == pytest.approx(120, rel=1e-4)
    assert decayed_use(minute, terms, HOUR + 60)["a"] == pytest.approx(60, rel=1e-4)
    steady = [Use(project="a", need_milli=1000, start_ms=-(10**12), end_ms=0)]
    endless = ShareTerms(half_life_ms=HOUR, window_ms=100 * HOUR)
    assert decayed_use(steady, endless, 0)["a"] == pytest.approx(HOUR / math.log(2))


def test_nobody_can_hold_back_what_is_free() -> None:
    """Shares are an order, no quota: alone, the project that borrowed most takes everything."""
    jobs = [job(n, "a") for n in range(4)]
    fair = standings(entitlements([], {}, ["a", "b"]), {"a": 1e12}, {})
    found = plan(replace(world(cards("p", 4)), fair=fair), jobs, POLICY, 1_000, explain=False)
    assert all(one.starts_now for one in found.placements)


def test_the_rehearsals_report_has_the_same_table() -> None:
    from tests.properties.test_fair_share import backlog, rehearse
    from westward.simulate.metrics import policy_summary

    asks = backlog(0, 40) + backlog(1, 40) + backlog(1, 1, at=12.0)
    shares = (Share(tenant=0, weight=1.0), Share(tenant=1, weight=3.0))
    told = policy_summary(rehearse(asks, *shares), until_ms=24 * HOUR)["shares"]
    lines = {one["project"]: one for one in told["rows"]}
    assert lines["user-0"]["part"] == pytest.approx(0.25)
    assert told["used_device_hours"] == pytest.approx(48, rel=0.06), "four cards, twelve hours"
    for name in ("user-0", "user-1"):
        line = lines[name]
        assert line["used_device_hours"] == pytest.approx(
            line["entitled_device_hours"]
            + line["borrowed_device_hours"]
            - line["owed_device_hours"]
        )
    assert lines["user-1"]["used_device_hours"] > 2 * lines["user-0"]["used_device_hours"]
    off = policy_summary(rehearse(asks, fair=False), until_ms=24 * HOUR)
    assert "shares" not in off
