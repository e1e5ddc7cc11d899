"""Jobs that wait at one site and find a better one, as the server plans it (decision 0051)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from test_server_parts import NOW, POLICY, TTL, greet, job, look, network, state, store, submit

from westward.control.events import CancelRequested
from westward.control.records import Aim, JobRecord, JobState, RunRecord, RunState
from westward.model.job import ResourceOption
from westward.model.network import Network
from westward.model.plan import Placement, Plan, Policy
from westward.placement import plan
from westward.server.applier import Outcome, apply_plan, parts
from westward.server.core import Core
from westward.server.loops import Loops
from westward.server.settings import Settings
from westward.server.snapshot import live_pools, situation
from westward.server.sound import plan_sound
from westward.store.database import Store
from westward.store.decisions import last_decision
from westward.store.jobs import load_active, load_job, load_story
from westward.store.lifecycle import apply_event
from westward.store.results import Checkpoint
from westward.store.sites import list_sites

__all__ = ["network", "store"]  # fixtures
HOUR = 3_600_000


def look_again(
    store: Store, network: Network, policy: Policy = POLICY, *, at_once: int = 50
) -> tuple[Plan, Outcome]:
    """As the server's loop does it."""
    before = look(store, network)
    decided, broken = plan_sound(before, policy, review=policy.reviews)
    assert broken == []
    before = before.with_chosen(decided)
    outcome = Outcome()
    for part, asked in parts(decided, before, at_once):
        done = apply_plan(store, part, asked, TTL, NOW)
        outcome.changed_jobs += done.changed_jobs
        outcome.plan_again |= done.plan_again
    return decided, outcome


def place(store: Store, job_id: str) -> str:
    record = load_job(store, job_id)
    assert record is not None
    assert record.bound is not None
    return record.bound.pool


@pytest.fixture
def crowded(store: Store, network: Network) -> Store:
    """harbor alone is heard of: job_1 has its node for an hour, job_2 and job_3 wait for it."""
    greet(store, "harbor")
    submit(store, *(job(name, duration_ms=HOUR) for name in ("job_1", "job_2", "job_3")))
    look_again(store, network)
    assert [state(store, f"job_{n}") for n in (1, 2, 3)] == [
        JobState.LEASED, JobState.BOUND, JobState.BOUND,
    ]  # fmt: skip
    return store


def test_who_waits_goes_where_a_site_has_come_up(crowded: Store, network: Network) -> None:
    look_again(crowded, network)
    assert place(crowded, "job_2") == "harbor-east", "nowhere else to go"
    greet(crowded, "basin")  # two nodes
    before = load_job(crowded, "job_2")
    _, outcome = look_again(crowded, network)
    assert [state(crowded, f"job_{n}") for n in (2, 3)] == [JobState.LEASED] * 2
    assert [place(crowded, f"job_{n}") for n in (2, 3)] == ["basin-west"] * 2
    assert not outcome.plan_again
    after = load_job(crowded, "job_2")
    assert before is not None
    assert after is not None
    assert after.version == before.version + 2, "bound anew in one step, then leased"
    assert after.bound is not None
    assert after.bound.planned_start_ms == NOW
    (told,) = [one.text for one in load_story(crowded, "job_2") if "in place of" in one.text]
    assert told.startswith(
        "Placed in pool basin-west at basin in place of harbor-east, where it waited: "
    )
    assert "below harbor" in told
    decision = last_decision(crowded, "job_2")
    assert decision is not None
    assert isinstance(decision.answer, Placement)
    seen = {one.pool: one.estimate for one in decision.answer.alternatives}
    assert next(iter(seen)) == "basin-west", "the one taken comes first"
    assert seen["harbor-east"] is not None
    assert seen["harbor-east"].start_ms >= NOW + HOUR
    assert seen["plateau-west"] is None


def test_it_takes_the_option_that_fits_there(store: Store, network: Network) -> None:
    """An accelerator of harbor's, or else one of basin's and four cpus."""
    greet(store, "harbor")
    cards = (
        ResourceOption(accelerator="east-card", devices_milli=4000),
        ResourceOption(accelerator="west-card", devices_milli=1000, cpus_milli=4000),
    )
    submit(store, *(job(name, duration_ms=HOUR, options=cards) for name in ("job_1", "job_2")))
    look_again(store, network)
    greet(store, "basin")
    look_again(store, network)
    record = load_job(store, "job_2")
    assert record is not None
    assert record.bound is not None
    assert (record.bound.pool, record.bound.option) == ("basin-west", 1)
    assert (record.bound.need_milli, record.runs[0].need_milli) == (2000, 2000)


def test_pools_where_others_wait_are_not_among_the_alternatives(
    crowded: Store, network: Network
) -> None:
    """basin is full and has a queue; plateau, whose nodes have one card, has just come up."""
    greet(crowded, "basin")
    two_cards = (ResourceOption(accelerator="west-card", devices_milli=2000),)
    big = {"nodes": 2, "duration_ms": HOUR, "options": two_cards}
    submit(crowded, *(job(f"job_big{n}", **big) for n in range(2)))
    look_again(crowded, network, replace(POLICY, review_ms=0))
    greet(crowded, "plateau")
    look_again(crowded, network)
    decision = last_decision(crowded, "job_2")
    assert decision is not None
    assert isinstance(decision.answer, Placement)
    told = [one.pool for one in decision.answer.alternatives]
    assert told == ["plateau-west", "harbor-east"]


def test_in_parts_as_well(crowded: Store, network: Network) -> None:
    greet(crowded, "basin")
    look_again(crowded, network, at_once=1)
    assert [state(crowded, f"job_{n}") for n in (2, 3)] == [JobState.LEASED] * 2


@pytest.mark.parametrize(
    "policy", [replace(POLICY, review_ms=0), replace(POLICY, rule="earliest-start")]
)
def test_without_a_review_they_stay(crowded: Store, network: Network, policy: Policy) -> None:
    greet(crowded, "basin")
    look_again(crowded, network, policy)
    assert [place(crowded, f"job_{n}") for n in (2, 3)] == ["harbor-east"] * 2


def test_nobody_goes_where_others_wait(crowded: Store, network: Network) -> None:
    greet(crowded, "basin")
    submit(crowded, *(job(f"job_big{n}", nodes=2, duration_ms=HOUR) for n in range(2)))
    still = replace(POLICY, review_ms=0)
    look_again(crowded, network, still)
    assert {place(crowded, f"job_big{n}") for n in range(2)} == {"basin-west"}
    decided, _ = look_again(crowded, network)
    assert [place(crowded, f"job_{n}") for n in (2, 3)] == ["harbor-east"] * 2
    assert list(decided.chosen()) == []


def test_who_is_wanted_here_or_was_given_back_elsewhere_keeps_its_pool(
    crowded: Store, network: Network
) -> None:
    greet(crowded, "basin")
    active = load_active(crowded)
    given_back = RunRecord(
        run_id="run_x", attempt=1, pool="basin-west", site="basin", token=0, need_milli=4000,
        state=RunState.LOST, lease_expires_ms=NOW, granted_ms=NOW, ended_ms=NOW, outcome="lease-expired",
    )  # fmt: skip
    changed = {
        "job_2": {"aim": Aim(site="harbor")},
        "job_3": {"runs": (given_back,)},
    }
    records = tuple(replace(one, **changed.get(one.job_id, {})) for one in active.records)
    statuses = live_pools(network, list_sites(crowded), NOW - TTL)

    def chosen(records: Sequence[JobRecord], saved: Mapping[str, Checkpoint]) -> list[str]:
        known = replace(active, records=tuple(records))
        before = situation(network, NOW, known, statuses, NOW, checkpoints=saved)
        decided, _ = plan_sound(before, POLICY, review=True)
        return sorted(decided.chosen())

    assert chosen(active.records, {}) == ["job_2", "job_3"]
    assert chosen(records, {}) == []
    saved = Checkpoint(
        job_id="job_2", run_id="run_0", site="harbor", saved_ms=NOW, size_bytes=1, sent_bytes=0,
        at_server=True, files=(),
    )  # fmt: skip
    assert chosen(active.records, {"job_2": saved}) == ["job_3"]


def test_a_move_made_on_an_old_view_is_dropped(crowded: Store, network: Network) -> None:
    """The owner cancels between planning and applying."""
    greet(crowded, "basin")
    before = look(crowded, network)
    decided, _ = plan_sound(before, POLICY, review=True)
    before = before.with_chosen(decided)
    apply_event(crowded, "job_2", CancelRequested(), NOW)
    outcome = apply_plan(crowded, decided, before, TTL, NOW)
    assert outcome.plan_again
    assert state(crowded, "job_2") is JobState.CANCELLED
    assert place(crowded, "job_3") == "basin-west"


def test_telling_why_changes_no_decision(crowded: Store, network: Network) -> None:
    greet(crowded, "basin")
    submit(crowded, *(job(f"job_new{n}", duration_ms=HOUR) for n in range(3)))
    before = look(crowded, network)
    plans = [
        plan(before.snapshot, before.to_place, POLICY, NOW, review=True, **how)
        for how in ({"explain": False}, {"explain": True}, {"explain_most": 3})
    ]
    told = [[replace(one, alternatives=()) for one in each.placements] for each in plans]
    assert told[0] == told[1] == told[2]
    assert [sorted(each.chosen()) for each in plans] == [sorted(plans[0].chosen())] * 3
    assert [sum(bool(one.alternatives) for one in each.placements) for each in plans] == [0, 5, 1]


def test_the_loop_looks_again_at_most_so_often(
    crowded: Store, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def passes(*at_s: float) -> list[str]:
        core = Core(Settings(network=tmp_path, data=tmp_path, policy=POLICY), network, crowded)
        monkeypatch.setattr(core.clock, "now_ms", lambda: NOW)
        loops, places = Loops(core), []
        try:
            for now_s in at_s:
                monkeypatch.setattr(core.clock, "elapsed_s", partial(float, now_s))
                await loops._plan(look(crowded, network))
                places.append(place(crowded, "job_2"))
                greet(crowded, "basin")
            moved = core.metrics.registry.get_sample_value("westward_waiting_jobs_moved_total")
            assert moved == 2.0, "job_2 and job_3"
        finally:
            core.writer.close()
            core.readers.shutdown()
        return places

    found = asyncio.run(passes(1.0, 2.0, 60.9, 61.1))
    assert found == ["harbor-east", "harbor-east", "harbor-east", "basin-west"]
