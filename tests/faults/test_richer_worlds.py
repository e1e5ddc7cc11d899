"""What came to the simulator in session 7: each play does what it is for, and its rules can fail."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from westward.control import machine
from westward.control.machine import Step
from westward.faultsim import copies
from westward.faultsim.build import network_of
from westward.faultsim.checkers import Broken
from westward.faultsim.disk import Disk
from westward.faultsim.folders import edited, unpriced
from westward.faultsim.moving import Moves
from westward.faultsim.richer import with_richer
from westward.faultsim.scenario import Act, JobPlan, Scenario, SitePlan, Whim, draw
from westward.faultsim.world import World
from westward.model.plan import Policy
from westward.server import loops
from westward.server.core import Core

CALM: dict[str, Any] = {
    "tariff": (),
    "rules": None,
    "pot_micros": None,
    "hold_ms": 0,
    "post_ms": 0,
    "at_once": 0,
    "review_ms": 0,
}


@pytest.fixture(scope="module")
def disk() -> Disk:
    return Disk()


def job(number: int, **changes: Any) -> JobPlan:
    values: dict[str, Any] = {
        "job_id": f"job_{number}", "at_ms": 500, "cards": 1, "nodes": 1, "work_ms": 8_000,
        "stated_ms": 8_000, "exit_code": 0, "heals": False, "saves": True, "region": None,
        "attempts": 1, "after": None, "after_any": False, "project": "alpha", "priority": 0,
        "start_after_ms": None, "grace_ms": 200,
    }  # fmt: skip
    return JobPlan(**(values | changes))


def site(name: str, price_micros: int, cards: int = 2) -> SitePlan:
    return SitePlan(
        name=name, cards=(cards,), price_micros=price_micros, region="east", boot_ms=5_000,
        drift_ppm=0,
    )  # fmt: skip


def calm(jobs: list[JobPlan], acts: list[Act], **changes: Any) -> Scenario:
    """A world in which nothing goes on but what is asked for here."""
    bare = replace(draw(3), faults=(), whims=(), budgets=(), year_turns=False, **CALM)
    sites = (site("site0", 1_000_000), site("site1", 7_777_777))
    whole = replace(
        bare, heal_ms=30_000, ttl_ms=8_000, preempt=False, reconsider_ms=0, sites=sites,
        jobs=tuple(jobs), acts=tuple(acts), delay_ms=1, thread_us=0, discipline="conservative",
    )  # fmt: skip
    return replace(whole, **changes)


def act(kind: str, at_ms: int, target: str = "", size: int = 0) -> Act:
    return Act(at_ms=at_ms, kind=kind, target=target, size=size)


def test_every_play_comes_up_and_leaves_other_worlds_alone() -> None:
    kinds: Counter[str] = Counter()
    same = 0
    for seed in range(400):
        one = draw(seed)
        kinds.update({act.kind for act in one.acts})
        same += with_richer(replace(one, acts=())) == replace(one, acts=())
    new = ("folder", "poison", "wrong-caller", "possible", "account", "stray")
    assert all(kinds[kind] >= 5 for kind in new), kinds
    assert same > 200, "most worlds get nothing new"


def test_a_run_whose_price_is_struck_out_has_its_bill_once_the_folder_is_whole(disk: Disk) -> None:
    for size in range(6):
        world = World(calm([job(0), job(1)], [act("folder", 6_000, "site0", size)]), disk)
        verdict = world.play()
        assert verdict.text == ""
        assert verdict.injected["folder-edited"] == 1
        bills = disk.raw.execute("SELECT COUNT(*) FROM bills").fetchone()
        assert bills[0] >= 2


@pytest.mark.parametrize("size", range(6))
def test_each_edit_of_the_folder_takes_something_away(size: int) -> None:
    whole = network_of(calm([job(0)], []))
    less = edited(whole, "site0", size)
    assert less != whole
    assert ("site0" in unpriced(less)) == (size < 4)
    assert "site1" not in unpriced(less) or size == 3


def test_a_poisoned_job_is_set_aside_and_the_others_run(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    tell_aside = Core._tell_aside

    def kept(core: Core, broken: Any, aside: Any) -> None:
        told.append((broken.key, broken.step))
        tell_aside(core, broken, aside)

    monkeypatch.setattr(Core, "_tell_aside", kept)
    closed = [act("cordon", 1, "site0"), act("cordon", 1, "site1")]
    opened = [act("open", 6_000, "site0"), act("open", 6_000, "site1")]
    acts = [*closed, act("poison", 2_500, "job_1", 0), *opened]
    verdict = World(calm([job(at) for at in range(4)], acts), disk).play()
    assert verdict.text == ""
    assert ("job_1", "plan it") in told
    assert {key for key, _ in told} == {"job_1"}
    rows = disk.raw.execute("SELECT job_id, finished_ms FROM jobs ORDER BY finished_ms").fetchall()
    assert [row[0] for row in rows][-1] == "job_1"


def test_a_planner_that_cannot_bisect_is_missed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from westward.placement import plan

    monkeypatch.setattr(
        loops, "plan_sound", lambda one, policy, **_: (plan(one.snapshot, one.to_place, policy, one.now_ms), [])
    )  # fmt: skip
    acts = [act("cordon", 1, "site0"), act("cordon", 1, "site1"), act("poison", 2_500, "job_1", 0)]
    verdict = World(calm([job(0), job(1)], acts), disk).play()
    assert "the plan loop failed" in verdict.text


def test_a_move_pays_and_one_that_does_not_is_told(disk: Disk) -> None:
    acts = [act("cordon", 1, "site0"), act("open", 6_000, "site0")]
    plan = job(0, work_ms=60_000, stated_ms=60_000)
    verdict = World(calm([plan], acts, reconsider_ms=1_000), disk).play()
    assert verdict.text == ""
    assert verdict.injected["moved-by-the-planner"] == 1

    raw = sqlite3.connect(":memory:")
    raw.execute("CREATE TABLE jobs (job_id, state, pause, aim)")
    raw.execute("CREATE TABLE runs (run_id, job_id, site, pool, started_ms, live)")
    pause = '{"kind":"move","by":"the planner"}'
    raw.execute("INSERT INTO jobs VALUES ('j', 'suspending', ?, '{\"site\":\"site1\"}')", (pause,))
    raw.execute("INSERT INTO runs VALUES ('r', 'j', 'site0', 'site0-0', 1, 1)")
    seen = Counter[str]()

    def look() -> None:
        Moves(raw, calm([plan], [], reconsider_ms=1_000), lambda kind: seen.update([kind])).look()

    with pytest.raises(Broken, match="move-does-not-pay"):
        look()
    raw.execute("UPDATE runs SET started_ms = NULL")
    with pytest.raises(Broken, match="site0-0, which has no own queue"):
        look()
    raw.execute("UPDATE runs SET site = 'site1', pool = 'site1-0'")
    look()
    assert seen == {"moved-by-the-planner": 1, "called-back-by-the-planner": 2}


def test_a_running_job_keeps_its_place_before_those_who_wait_there(disk: Disk) -> None:
    """Found by simulation: what it costs to stay was worked out behind the queue of its own pool,
    so that the wait of others made a dearer site look cheap."""
    sites = (site("site0", 1_000_000, cards=1), site("site1", 7_777_777))
    jobs = [
        job(0, work_ms=60_000, stated_ms=60_000),
        job(1, at_ms=3_000, work_ms=60_000, stated_ms=240_000, region="west"),
    ]
    west = replace(sites[0], region="west")
    verdict = World(
        calm(jobs, [], sites=(west, sites[1]), reconsider_ms=1_000), disk
    ).play()  # fmt: skip
    assert verdict.text == ""
    assert "moved-by-the-planner" not in verdict.injected


LATE = [act("cordon", 1, "site0"), act("open", 20_000, "site0")]
"""The cheap site opens when jobs wait at the dear one, which has room for one."""


def late_world(**changes: Any) -> Scenario:
    sites = (site("site0", 1_000_000), site("site1", 7_777_777, cards=1))
    jobs = [job(at, at_ms=500 + 1_000 * at, work_ms=120_000, stated_ms=120_000) for at in range(3)]
    return calm(jobs, LATE, sites=sites, **changes)


def test_who_waits_goes_where_a_cheaper_site_has_opened(disk: Disk) -> None:
    verdict = World(late_world(review_ms=3_000), disk).play()
    assert verdict.text == ""
    assert verdict.injected["moved-while-it-waited"] == 2
    verdict = World(late_world(), disk).play()
    assert verdict.text == ""
    assert "moved-while-it-waited" not in verdict.injected


def test_who_is_left_waiting_is_told(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Policy, "reviews", False)
    verdict = World(late_world(review_ms=3_000), disk).play()
    assert "left-waiting: job_1 at site1-0, while site0-0 stood free" in verdict.text


def test_a_move_that_nobody_asked_for_is_told(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Policy, "reviews", True)
    verdict = World(late_world(), disk).play()
    assert "moved-unasked: job_1 from site1-0 to site0-0" in verdict.text


def test_wrong_callers_are_refused(disk: Disk) -> None:
    acts = [act("wrong-caller", at_ms) for at_ms in (900, 2_500, 5_000, 9_500, 20_000)]
    jobs = [job(0), job(1, after="job_0"), job(2, saves=False), job(3, nodes=2)]
    verdict = World(calm(jobs, acts), disk).play()
    assert verdict.text == ""


def test_a_machine_that_heeds_a_stale_token_is_missed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def heeded(*_args: object) -> None:
        heard.append("asked")

    monkeypatch.setattr(machine, "_stale", heeded)
    verdict = World(calm([job(0)], [act("wrong-caller", 4_000)]), disk).play()
    assert heard
    assert verdict.rule != ""


def test_a_store_that_checks_nothing_is_missed(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    from westward.control import validate

    monkeypatch.setattr(validate, "check", lambda _record: None)
    verdict = World(calm([job(0)], [act("wrong-caller", 4_000)]), disk).play()
    assert verdict.rule == "wrong-record-written"


def test_an_end_that_comes_out_otherwise_is_missed(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = machine.handle

    def longer(record: Any, event: Any, now_ms: int) -> Step:
        step = handle(record, event, now_ms)
        return replace(step, story=tuple(replace(one, text="x" * 5_000) for one in step.story))

    monkeypatch.setattr(copies, "handle", longer)
    verdict = World(calm([job(0)], [act("wrong-caller", 4_000)]), disk).play()
    assert verdict.rule == "end-otherwise"


def test_money_held_for_a_run_that_never_came_is_given_back(disk: Disk) -> None:
    verdict = World(calm([job(0)], [act("stray", 4_000, "job_0")], hold_ms=3_000), disk).play()
    assert verdict.text == ""
    query = "SELECT COUNT(*) FROM ledger_transfers WHERE run_id LIKE 'run_stray%' AND kind = 'void'"
    assert disk.raw.execute(query).fetchone()[0] >= 1


def test_no_bill_is_saved_while_its_money_is_refused(disk: Disk) -> None:
    """Whichever account counts in another unit: in the end every run has its bill."""
    for size in range(4):
        verdict = World(calm([job(0), job(1)], [act("account", 5_000, size=size)]), disk).play()
        assert verdict.text == ""
        assert verdict.injected["account-spoiled"] == 1


def test_a_move_of_a_job_that_cannot_be_planned_is_refused_with_the_reason(disk: Disk) -> None:
    """Found by simulation: it was an internal error."""
    whims = (
        Whim(at_ms=2_000, kind="suspend", job_id="job_0"),
        Whim(at_ms=4_000, kind="move", job_id="job_0", to="site1"),
    )
    acts = [act("poison", 3_000, "job_0", 0)]
    lines: list[str] = []
    verdict = World(calm([job(0)], acts, whims=whims), disk, lines.append).play()
    assert verdict.text == ""
    assert any(line.endswith("answers users move 409") for line in lines)
