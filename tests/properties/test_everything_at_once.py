"""Packing, kinds, prices, shared links, preemption and fair shares in one rehearsal.

``tests.twin.crowded`` watches the interpreted loop: at every step the reservation that is kept for a
head is the one a new look at all claims gives, a head that fits never waits, and who is put out is
who a plain search would put out. Compiled, the same rehearsals give the same runs on the same nodes.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from test_schedules import EAST_WEST, TRACES, assert_sound, rehearse

from tests.checker.case import Case
from tests.checker.check import check_case, check_folder
from tests.checker.rehearsal import Rehearsal
from tests.twin.crowded import draw, in_plain, play
from tests.twin.small import HOUR, cards, world
from tests.twin.stopped import workload
from westward.jit import compiled
from westward.model.plan import Policy
from westward.simulate.engine import simulate

ROOT = Path(__file__).resolve().parents[2]

WATCH = """
import json, sys
from westward.jit import interpret
interpret()
from tests.twin.crowded import watched
met = watched(range(0, 40), everything=True) + watched(range(1000, 1060), everything=False)
print(json.dumps(met))
"""
PLAY = """
import sys
from westward.jit import interpret
interpret()
from tests.twin.crowded import draw, in_plain, play
for seed in range(int(sys.argv[1])):
    print(in_plain(play(draw(seed, everything=seed % 2 == 0))))
"""


def other_process(code: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_step_is_what_a_plain_look_says() -> None:
    import json

    met: Counter[str] = Counter(json.loads(other_process(WATCH)[-1]))
    assert met["kept"] > 1_000
    assert met["blocked"] > 4_000
    assert met["left behind"] > 2_000
    assert met["preempted"] > 300
    assert met["preempted for nodes alone"] > 80
    assert met["nobody would do"] > 3_000


def test_compiled_equals_interpreted() -> None:
    assert compiled()
    count = 30
    theirs = other_process(PLAY, str(count))
    assert theirs == [in_plain(play(draw(s, everything=s % 2 == 0))) for s in range(count)]


def test_one_is_put_out_for_a_node_though_devices_are_free() -> None:
    """Two nodes of two cards, one of each taken. A job of two cards and higher priority finds two
    cards free, on no one node: the run that has lost least falls, and it alone."""
    minute = HOUR // 60
    work = workload(
        submit_ms=[0, minute, 10 * minute], duration_ms=[2 * HOUR, 2 * HOUR, HOUR],
        nodes=[1, 1, 1], devices_milli=[1000, 1000, 2000], priority=[0, 0, 1],
        cpus_milli=[3000, 3000, 1000],
    )  # fmt: skip
    network = world(replace(cards("p", 2), devices_per_node=2)).network
    policy = Policy(packing="best-fit", preemption=True)
    result = simulate(network, work, policy, seed=1, zero_ms=0)
    runs = result.runs
    assert runs is not None
    assert runs.node is not None
    told = sorted(zip(runs.row.tolist(), runs.start_ms.tolist(), runs.node.tolist(), strict=True))
    # Row 1 has run for nine minutes, row 0 for ten.
    assert told == [
        (0, 0, 0), (1, minute, 1), (1, 10 * minute + HOUR, 1), (2, 10 * minute, 1),
    ]  # fmt: skip
    waits = simulate(network, work, replace(policy, preemption=False), seed=1, zero_ms=0)
    assert waits.start_ms.tolist() == [0, minute, 2 * HOUR]


def test_a_kept_reservation_counts_what_a_backfill_gives_back() -> None:
    """Two nodes of two cards. The head needs one whole node: promised for minute 50. A backfill
    until 40 stands beside a run said to end at 100, which ends at 10: now 40 will do."""
    minute = HOUR // 60
    work = workload(
        submit_ms=[0, 0, minute, 2 * minute],
        duration_ms=[50 * minute, 10 * minute, 9 * minute, 38 * minute],
        estimate_ms=[50 * minute, 100 * minute, 9 * minute, 38 * minute],
        devices_milli=[2000, 1000, 2000, 1000],
    )
    network = world(replace(cards("p", 2), devices_per_node=2)).network
    result = simulate(network, work, Policy(packing="best-fit"), seed=1, zero_ms=0)
    assert (result.start_ms // minute).tolist() == [0, 0, 40, 2]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """openb's head, whose jobs have priorities by quality of service, on too few devices."""
    folder = tmp_path_factory.mktemp("openb")
    pods = folder / "openb.csv"
    with (TRACES / "openb" / "openb_pod_list_default.csv").open() as file:
        pods.write_text("".join(line for line, _ in zip(file, range(2_501), strict=False)))
    rehearse(
        folder / "out", "--workload", pods, "--format", "openb", "--devices", 150,
        "--packing", "best-fit", "--preempt", "--fair-share", "--shared-links",
    )  # fmt: skip
    found = check_folder(folder / "out", EAST_WEST, pods)
    assert_sound(found, jobs=2_500, passed=0)
    return found[0].case


def test_a_recorded_cluster_by_nodes_with_preemption(recorded: Case) -> None:
    assert recorded.reach["preempted"] >= 20, recorded.reach
    assert recorded.reach["needless"] >= 10, recorded.reach


def spoilt(case: Case, rehearsal: Rehearsal) -> set[str]:
    ends = [row["end_ms"] for row in rehearsal.rows if row["end_ms"] is not None]
    bad = Case(rehearsal, case.network, case.source)
    return {violation.rule for violation in check_case(bad, max(ends)).violations}


def test_preemption_for_nobody_is_caught(recorded: Case) -> None:
    """The one who came starts a millisecond later; and a policy that stops nobody."""
    segments = recorded.rehearsal.segments
    fell = next(one for one in segments if one.why == "preempted")
    late = [
        replace(one, start_ms=one.start_ms + 1)
        if one.pool == fell.pool and one.start_ms == fell.end_ms else one
        for one in segments
    ]  # fmt: skip
    assert "preempted" in spoilt(recorded, replace(recorded.rehearsal, segments=late))
    tame = {**recorded.rehearsal.policy, "preemption": False}
    assert "preempted" in spoilt(recorded, replace(recorded.rehearsal, policy=tame))


def test_a_needless_victim_is_caught(recorded: Case) -> None:
    """All others have left that pool before: whoever fell could have stayed."""
    segments = recorded.rehearsal.segments
    fell = next(one for one in segments if one.why == "preempted")
    now = fell.end_ms
    alone = [
        one for one in segments
        if one.pool != fell.pool or one.start_ms == now or one is fell
    ]  # fmt: skip
    assert "needless" in spoilt(recorded, replace(recorded.rehearsal, segments=alone))


def test_the_table_of_runs_tells_the_nodes_of_each_piece(recorded: Case) -> None:
    again = Counter(one.row for one in recorded.rehearsal.segments)
    assert max(again.values()) >= 2
    assert all(one.nodes for one in recorded.rehearsal.segments)
