"""Live preemption chooses whom a rehearsal would; and small facts of dependencies and circles."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.twin.small import HOUR, cards
from tests.twin.stopped import network, workload
from westward.control.dependencies import Met, Never, Waiting, judge
from westward.control.preempt import Runner, choose_victims
from westward.control.records import TERMINAL_JOB_STATES, JobState
from westward.formats.cycles import find_cycle
from westward.model.job import After
from westward.model.plan import Policy
from westward.simulate.engine import simulate
from westward.simulate.results import SEGMENT_ENDS

MINUTE = HOUR // 60
runners = st.lists(
    st.tuples(
        st.integers(1, 4), st.integers(-1, 1), st.integers(0, 50), st.sampled_from([5, 7, 100])
    ),
    max_size=7,
).map(
    lambda rows: [
        Runner(
            job_id=f"job_{order}",
            need_milli=need,
            priority=priority,
            started_ms=started,
            checkpoint_ms=every,
            order=order,
        )
        for order, (need, priority, started, every) in enumerate(rows)
    ]
)


@settings(max_examples=500, deadline=None)
@given(running=runners, missing=st.integers(1, 12), below=st.integers(-1, 2))
def test_victims(running: list[Runner], missing: int, below: int) -> None:
    """Held to what the words say, not to how the function says it."""
    found = choose_victims(running, missing, below, 60)
    chosen = [one for one in running if one.job_id in found]
    may = [one for one in running if one.priority < below]
    if sum(one.need_milli for one in may) < missing:
        assert found == (), "nobody falls if all would not do"
        return
    assert len(chosen) == len(found) > 0
    assert all(one.priority < below for one in chosen)
    freed = sum(one.need_milli for one in chosen)
    assert freed >= missing
    assert all(freed - one.need_milli < missing for one in chosen), "nobody falls for nothing"
    # No set that spares the highest priority chosen would do.
    top = max(one.priority for one in chosen)
    assert sum(one.need_milli for one in may if one.priority < top) < missing


def test_the_cheapest_of_equals_falls_first() -> None:
    def runner(job_id: str, started_ms: int, order: int) -> Runner:
        return Runner(
            job_id=job_id,
            need_milli=1,
            priority=0,
            started_ms=started_ms,
            checkpoint_ms=10,
            order=order,
        )

    fresh, stale = runner("fresh", 19, 1), runner("stale", 11, 2)
    assert choose_victims([stale, fresh], 1, 1, 20) == ("fresh",), "1 ms is lost, not 9"
    assert choose_victims([runner("a", 0, 1), runner("b", 0, 2)], 1, 1, 20) == ("b",)
    assert choose_victims([fresh], 0, 1, 20) == ()


states = st.sampled_from(list(JobState))


@settings(max_examples=300, deadline=None)
@given(
    modes=st.lists(st.sampled_from(["ok", "any"]), min_size=1, max_size=4),
    data=st.data(),
)
def test_dependencies(modes: list[str], data: st.DataObject) -> None:
    after = [After(job_id=f"j{i}", mode=mode, name=f"n{i}") for i, mode in enumerate(modes)]  # type: ignore[arg-type]
    found = {one.job_id: data.draw(st.lists(states, max_size=3)) for one in after}
    answer = judge(after, found)

    def over(one: After) -> bool:
        return bool(found[one.job_id]) and all(s in TERMINAL_JOB_STATES for s in found[one.job_id])

    def spoiled(one: After) -> bool:
        bad = set(TERMINAL_JOB_STATES) - {JobState.SUCCEEDED}
        return one.mode == "ok" and any(s in bad for s in found[one.job_id])

    if any(spoiled(one) for one in after):
        assert isinstance(answer, Never)
        assert spoiled(answer.cause)
    elif all(over(one) for one in after):
        assert isinstance(answer, Met)
    else:
        assert isinstance(answer, Waiting)
        assert answer.on == tuple(one for one in after if not over(one))


@settings(max_examples=300, deadline=None)
@given(
    edges=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=12),
)
def test_circles(edges: list[tuple[int, int]]) -> None:
    """Against the plain way: names are taken out while one of them waits for nothing left."""
    follows: dict[str, list[str]] = {str(node): [] for node in range(6)}
    for a, b in edges:
        follows[str(a)].append(str(b))
    left = dict(follows)
    while free := [name for name, on in left.items() if not set(on) & set(left)]:
        for name in free:
            del left[name]
    circle = find_cycle(follows)
    assert bool(circle) == bool(left)
    for one, following in itertools.pairwise((*circle, *circle[:1])):
        assert following in follows[one]


@pytest.mark.parametrize("seed", range(40))
def test_live_and_rehearsal_choose_alike(seed: int) -> None:
    """Jobs run on all cards of one pool; an urgent one comes. Whom the rehearsal puts out, the
    live rule would have."""
    rng = random.Random(seed)
    count = rng.randint(1, 6)
    needs = [rng.randint(1, 3) for _ in range(count)]
    starts = [rng.randrange(0, 60) * MINUTE for _ in range(count)]
    priority = [rng.choice((-1, 0, 1)) for _ in range(count)]
    every = [rng.choice((7, 20, 45)) * MINUTE for _ in range(count)]
    urgent, at_ms, missing = rng.choice((0, 1, 2)), 61 * MINUTE, rng.randint(1, sum(needs))
    work = workload(
        submit_ms=[*starts, at_ms], duration_ms=[50 * HOUR] * (count + 1),
        nodes=[*needs, missing], priority=[*priority, urgent], checkpoint_ms=[*every, 0],
    )  # fmt: skip
    pool = cards("p", sum(needs))
    result = simulate(network((pool,)), work, Policy(preemption=True), seed=1, zero_ms=0)
    runs = result.segments
    put_out: set[int] = set()
    if runs is not None:
        told = zip(runs.row.tolist(), runs.end_ms.tolist(), runs.why.tolist(), strict=True)
        put_out = {
            row for row, end, why in told if SEGMENT_ENDS[why] == "preempted" if end == at_ms
        }
    running = [
        Runner(
            job_id=str(row),
            need_milli=needs[row] * 1000,
            priority=priority[row],
            started_ms=starts[row],
            checkpoint_ms=every[row],
            order=row,
        )
        for row in range(count)
    ]
    chosen = choose_victims(running, missing * 1000, urgent, at_ms)
    assert put_out == {int(row) for row in chosen}
