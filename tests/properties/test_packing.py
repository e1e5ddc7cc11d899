"""Node packing: the kernels equal a plain twin that shares no code with them, on random pools."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.twin import packing_twin as twin
from westward.placement import packing_state as state
from westward.placement.packing import fits, give, take
from westward.placement.packing_rules import LARGE, fragmentation
from westward.placement.packing_shadow import (
    begin_shadow,
    clear_reservation,
    earliest_nodes,
    release_shadow,
    reserve_shadow,
)
from westward.placement.packing_state import (
    Ask,
    Nodes,
    Scores,
    make_nodes,
    make_scores,
    make_shadow,
)
from westward.placement.packing_values import rest_values, typical_of

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
HELD_ROWS = 400
CPUS = (0, 1_000, 3_152, 8_000, 11_900, 16_000)
MEMORY = (0, 1_024, 16_384)

wishes = st.builds(
    twin.Wish,
    members=st.sampled_from([1, 1, 1, 2, 3]),
    devices_milli=st.sampled_from([0, 50, 160, 320, 470, 810, 999, 1000, 1000, 2000, 4000]),
    cpus=st.sampled_from(CPUS),
    memory=st.sampled_from(MEMORY),
    kinds=st.sampled_from([0, 0, 0, 1, 2, 3]),
)


@st.composite
def pools(draw: st.DrawFn) -> tuple[Nodes, twin.Pools]:
    """One to three pools of a few nodes each; some pools have no devices at all."""
    columns: list[tuple[int, int, int, int, int]] = []
    node_from = [0]
    for p in range(draw(st.integers(1, 3))):
        most = draw(st.sampled_from([0, 1, 4, 4, 8]))
        for _ in range(draw(st.integers(1, 6))):
            devices = draw(st.sampled_from([most, most, max(0, most // 2)]))
            cpus = draw(st.sampled_from([8_000, 32_000, 96_000]))
            memory = draw(st.sampled_from([16_384, 65_536]))
            columns.append((p, devices, cpus, memory, draw(st.sampled_from([1, 2]))))
        node_from.append(len(columns))
    table = np.array(columns, np.int64)
    nodes = make_nodes(np.array(node_from), *table.T[1:], held_rows=HELD_ROWS)
    plain = twin.Pools(
        [
            twin.Node(row, p, kind, cpus, cpus, memory, [1000] * devices)
            for row, (p, devices, cpus, memory, kind) in enumerate(columns)
        ],
        [int(unit) for unit in nodes.cpu_unit],
    )
    return nodes, plain


def ask_of(wish: twin.Wish, spec: int = -1) -> Ask:
    return Ask(wish.members, wish.devices_milli, wish.cpus, wish.memory, wish.kinds, spec)


def parts_of(chain: int, nodes: Nodes) -> list[twin.Part]:
    """What a chain of held rows says, read from the columns."""
    parts = []
    while chain != -1:
        mask = int(nodes.held_devices[chain])
        parts.append(
            twin.Part(
                int(nodes.held_node[chain]),
                tuple(d for d in range(state.MAX_DEVICES) if mask >> d & 1),
                int(nodes.held_milli[chain]),
                int(nodes.held_cpus_milli[chain]),
                int(nodes.held_memory_mib[chain]),
            )
        )
        chain = int(nodes.held_next[chain])
    return parts


def assert_same(nodes: Nodes, plain: twin.Pools) -> None:
    """Every column of the live state against the twin's nodes."""
    for node in plain.nodes:
        n = node.row
        assert nodes.milli[n, : len(node.devices)].tolist() == node.devices
        assert nodes.cpus_milli[n] == node.cpus
        assert nodes.memory_mib[n] == node.memory
        assert nodes.whole[n] == node.whole()
        assert nodes.whole_mask[n] == sum(
            1 << d for d, left in enumerate(node.devices) if left == 1000
        )
    for p, levels in enumerate(plain.levels):
        for level in range(nodes.level_head.shape[1]):
            assert walk(nodes.level_head[p, level], nodes.after) == levels.get(level, [])
        width = nodes.milli.shape[1]
        for share in range(state.SHARES):
            listed = walk(nodes.share_head[p, share], nodes.share_after)
            assert [divmod(x, width) for x in listed] == plain.shares[p].get(share, [])


def walk(first: int, after: state.I32) -> list[int]:
    found = []
    while first != -1:
        found.append(int(first))
        first = after[first]
    return found


@QUICK
@given(pools(), st.lists(st.tuples(st.booleans(), wishes, st.integers(0, 50)), max_size=40))
def test_best_fit_takes_and_gives_as_the_twin_does(
    made: tuple[Nodes, twin.Pools], steps: list[tuple[bool, twin.Wish, int]]
) -> None:
    nodes, plain = made
    shadow, scores = make_shadow(nodes), make_scores(nodes)
    live: list[tuple[int, list[twin.Part]]] = []
    for back, wish, number in steps:
        if back and live:
            chain, parts = live.pop(number % len(live))
            give(chain, nodes)
            plain.give(parts)
        else:
            p = number % len(plain.unit)
            picks = plain.best_fit(p, wish)
            ask = ask_of(wish)
            if not (plain.unit[p] and wish.devices_milli):
                assert len(picks) == plain.count(p, wish)
            assert fits(p, ask, 5, False, nodes, shadow) == min(5, len(picks))
            chain = take(p, ask, state.BEST_FIT, 0, False, nodes, shadow, scores)
            expected = plain.take(p, wish, picks)
            assert (chain == -1) == (expected is None)
            if expected is not None:
                assert parts_of(chain, nodes) == expected
                live.append((chain, expected))
        assert_same(nodes, plain)
    for chain, parts in live:
        give(chain, nodes)
        plain.give(parts)
    assert_same(nodes, plain)
    assert nodes.held_free[1] == HELD_ROWS
    assert len(walk(int(nodes.held_free[0]), nodes.held_next)) == HELD_ROWS
    assert not nodes.tenants.any()


@QUICK
@given(
    pools(),
    st.lists(wishes, min_size=4, max_size=25),
    st.sampled_from(
        [
            state.BEST_FIT_SCORE, state.DOT_PRODUCT, state.GPU_PACKING, state.GPU_CLUSTERING,
            state.FGD, state.WESTWARD,
        ]
    ),
)  # fmt: skip
def test_a_scored_rule_takes_the_node_with_the_best_score(
    made: tuple[Nodes, twin.Pools], stream: list[twin.Wish], rule: int
) -> None:
    nodes, plain = made
    stream = [replace(wish, members=1) for wish in stream]
    scores, spec, usual, prices = learned(nodes, stream)
    shadow = make_shadow(nodes)
    tenants: dict[int, list[int]] = {node.row: [] for node in plain.nodes}
    for i, wish in enumerate(stream):
        p = i % len(plain.unit)
        options: dict[tuple[int, int | None], float] = {}
        for node in plain.in_pool(p):
            if wish.fits(node):
                for device, after in twin.placements(node, wish):
                    options[node.row, device] = twin_score(
                        rule, wish, node, after, device, usual, prices, tenants[node.row]
                    )
        chain = take(p, ask_of(wish, int(spec[i])), rule, 0, False, nodes, shadow, scores)
        assert (chain == -1) == (not options)
        if chain == -1:
            continue
        if rule in (state.FGD, state.WESTWARD):
            assert_cached(rule, scores, int(spec[i]), options)
        part = parts_of(chain, nodes)[0]
        device = part.devices[0] if 0 < wish.devices_milli < 1000 else None
        assert_best(rule, (part.node, device), options)
        assert plain.take(p, wish, [(part.node, device)]) == [part]
        tenants[part.node].append(wish.devices_milli)
        assert_same(nodes, plain)


def learned(
    nodes: Nodes, stream: list[twin.Wish]
) -> tuple[Scores, state.I64, list[twin.Usual], dict[int, float]]:
    """What the rules know of the workload, for the kernels and for the twin."""
    typical, spec = typical_of(
        np.array([wish.devices_milli for wish in stream]),
        np.array([wish.cpus for wish in stream]),
        np.array([wish.kinds for wish in stream]),
    )
    usual = [
        twin.Usual(int(m), int(d), int(c), int(k), float(w))
        for m, d, c, k, w in zip(*typical[:5], strict=True)
    ]
    # A part's price is the value of a rest of just its size.
    prices = {
        ask.milli: float(typical.rest_value[ask.milli]) / 1000
        for ask in usual
        if 0 < ask.milli < 1000
    }
    return make_scores(nodes, specs=int(spec.max()) + 1, typical=typical), spec, usual, prices


def twin_score(
    rule: int, wish: twin.Wish, before: twin.Node, after: twin.Node, device: int | None,
    usual: list[twin.Usual], prices: dict[int, float], tenants: list[int],
) -> float:  # fmt: skip
    if rule == state.BEST_FIT_SCORE:
        return twin.best_fit_score(after)
    if rule == state.DOT_PRODUCT:
        return twin.dot_product_score(before, wish)
    if rule == state.GPU_PACKING:
        return twin.packing_score(before, wish)
    if rule == state.GPU_CLUSTERING:
        return twin.clustering_score(before, wish, tenants)
    if rule == state.FGD:
        return twin.fgd_score(before, after, usual)
    return state.DEVICE_MILLI - twin.westward_loss(before, after, usual, prices, device)


def assert_cached(
    rule: int, scores: Scores, spec: int, options: dict[tuple[int, int | None], float]
) -> None:
    """Every node that was looked at has the score of its best device, rounded down."""
    shift = LARGE - state.DEVICE_MILLI if rule == state.WESTWARD else 0
    for row in sorted({row for row, _ in options}):
        best = max(score for (node, _), score in options.items() if node == row)
        found = int(scores.score[spec, row]) - shift
        assert math.floor(best - 1e-6) <= found <= math.floor(best + 1e-6)


def assert_best(
    rule: int, chosen: tuple[int, int | None], options: dict[tuple[int, int | None], float]
) -> None:
    """No option scores higher once rounded down; the lowest row wins a tie.

    A score within 1e-6 of a whole number may round either way: sums differ in their order."""
    low = {key: math.floor(score - 1e-6) for key, score in options.items()}
    high = {key: math.floor(score + 1e-6) for key, score in options.items()}
    assert high[chosen] >= max(low.values())
    if low == high:
        best = max(low.values())
        assert chosen[0] == min(row for (row, _), score in low.items() if score == best)


@QUICK
@given(pools(), st.lists(wishes, max_size=25), wishes, st.lists(wishes, max_size=8), st.randoms())
def test_the_shadow_is_the_twins_and_long_gangs_leave_the_head_its_nodes(
    made: tuple[Nodes, twin.Pools],
    running: list[twin.Wish],
    head: twin.Wish,
    others: list[twin.Wish],
    random: Random,
) -> None:
    nodes, plain = made
    shadow, scores = make_shadow(nodes), make_scores(nodes)
    chains: list[int] = []
    claims: list[list[twin.Part]] = []
    for wish in running:
        chain = take(0, ask_of(wish), state.BEST_FIT, 0, False, nodes, shadow, scores)
        parts = plain.take(0, wish, plain.best_fit(0, wish))
        if parts is not None:
            chains.append(chain)
            claims.append(parts)
    order = list(range(len(chains)))
    random.shuffle(order)
    chains = [chains[i] for i in order]
    claims = [claims[i] for i in order]
    if plain.unit[0] and head.devices_milli:
        return
    ended, kept = plain.shadow(0, head, claims)
    ask = ask_of(head)
    missing = begin_shadow(0, ask, nodes, shadow)
    if head.members > len(plain.in_pool(0)):
        assert missing == -1
        return
    assert missing == max(0, head.members - plain.count(0, head))
    done = 0
    while missing > 0 and done < len(chains):
        missing = release_shadow(0, ask, chains[done], nodes, shadow)
        done += 1
    assert (missing > 0) == (ended is None)
    if ended is None:
        return
    assert done == ended
    reserve_shadow(0, ask, nodes, shadow)
    assert np.flatnonzero(shadow.reserved).tolist() == sorted(kept)
    assert_same(nodes, plain)
    for wish in others:
        before = fits(0, ask_of(wish), 9, False, nodes, shadow)
        assert fits(0, ask_of(wish), 9, True, nodes, shadow) <= before
        chain = take(0, ask_of(wish), state.BEST_FIT, 0, True, nodes, shadow, scores)
        if chain != -1:
            for part in parts_of(chain, nodes):
                plain.change(part, -1)
    for parts in claims[:ended]:
        for part in parts:
            plain.change_free(part, +1)
    one = replace(head, members=1)
    assert all(one.fits(plain.nodes[row]) for row in kept)
    clear_reservation(0, shadow)
    assert not shadow.reserved.any()


def test_earliest_nodes_stops_at_the_claim_that_frees_enough() -> None:
    nodes = make_nodes(
        np.array([0, 2]), *np.array([[2, 2], [64_000] * 2, [65_536] * 2, [1, 1]]), held_rows=8
    )
    shadow, scores = make_shadow(nodes), make_scores(nodes)
    one = Ask(1, 1000, 1_000, 0, 0, -1)
    chains = np.array([take(0, one, 0, 0, False, nodes, shadow, scores) for _ in range(4)])
    assert (chains >= 0).all()
    assert nodes.held_node[chains].tolist() == [0, 0, 1, 1]
    both = Ask(1, 2000, 1_000, 0, 0, -1)
    order = chains[[0, 2, 3, 1]]
    assert begin_shadow(0, both, nodes, shadow) == 1
    assert earliest_nodes(0, both, order, 0, 2, nodes, shadow) == 2
    assert not shadow.reserved.any()
    assert earliest_nodes(0, both, order, 2, 4, nodes, shadow) == 2
    assert shadow.reserved.tolist() == [0, 1]
    assert begin_shadow(0, both, nodes, shadow) == 1
    assert not shadow.reserved.any()


def test_a_shared_device_is_free_for_the_head_only_when_all_its_tenants_ended() -> None:
    nodes = make_nodes(np.array([0, 1]), *np.array([[1], [64_000], [65_536], [1]]), held_rows=8)
    shadow, scores = make_shadow(nodes), make_scores(nodes)
    half = Ask(1, 400, 1_000, 0, 0, -1)
    chains = np.array([take(0, half, 0, 0, False, nodes, shadow, scores) for _ in range(2)])
    whole = Ask(1, 1000, 1_000, 0, 0, -1)
    assert begin_shadow(0, whole, nodes, shadow) == 1
    assert earliest_nodes(0, whole, chains, 0, 2, nodes, shadow) == 1


def test_clustering_prefers_nodes_with_nothing_but_its_own_size() -> None:
    nodes = make_nodes(
        np.array([0, 2]), *np.array([[8, 8], [96_000] * 2, [65_536] * 2, [1, 2]]), held_rows=8
    )
    shadow, scores = make_shadow(nodes), make_scores(nodes)
    for milli, kind in ((1000, 1), (470, 1), (2000, 1), (1000, 2)):
        take(0, Ask(1, milli, 0, 0, kind, -1), 0, 0, False, nodes, shadow, scores)
    one = Ask(1, 1000, 0, 0, 0, -1)
    chain = take(0, one, state.GPU_CLUSTERING, 0, False, nodes, shadow, scores)
    assert nodes.held_node[chain] == 1


def test_a_gang_takes_all_or_nothing_and_on_distinct_nodes() -> None:
    nodes = make_nodes(
        np.array([0, 3]), *np.array([[8] * 3, [96_000] * 3, [65_536] * 3, [1] * 3]), held_rows=4
    )
    shadow, scores = make_shadow(nodes), make_scores(nodes)
    for rule in range(len(state.RULE_NAMES)):
        gang = Ask(3, 1000, 1_000, 0, 0, -1)
        chain = take(0, gang, rule, 7, False, nodes, shadow, scores)
        assert sorted(part.node for part in parts_of(chain, nodes)) == [0, 1, 2]
        give(chain, nodes)
        assert take(0, gang._replace(members=4), rule, 7, False, nodes, shadow, scores) == -1
        assert (nodes.whole == 8).all()


def test_random_is_the_seeds_and_reaches_every_node() -> None:
    nodes = make_nodes(
        np.array([0, 8]), *np.array([[4] * 8, [96_000] * 8, [65_536] * 8, [1] * 8]), held_rows=4
    )
    shadow, scores = make_shadow(nodes), make_scores(nodes)
    ask = Ask(1, 470, 1_000, 0, 0, -1)

    def once(seed: int) -> twin.Part:
        chain = take(0, ask, state.RANDOM, seed, False, nodes, shadow, scores)
        part = parts_of(chain, nodes)[0]
        give(chain, nodes)
        return part

    drawn = [once(seed) for seed in range(300)]
    assert drawn == [once(seed) for seed in range(300)]
    assert {(part.node, part.devices[0]) for part in drawn} == {
        (n, d) for n in range(8) for d in range(4)
    }


def test_more_members_than_rows_to_hold_them_is_an_error() -> None:
    nodes = make_nodes(np.array([0, 1]), *np.array([[8], [96_000], [65_536], [1]]), held_rows=1)
    shadow, scores = make_shadow(nodes), make_scores(nodes)
    one = Ask(1, 1000, 0, 0, 0, -1)
    assert take(0, one, 0, 0, False, nodes, shadow, scores) == 0
    with pytest.raises(ValueError, match="rows"):
        take(0, one, 0, 0, False, nodes, shadow, scores)


def test_a_rest_is_worth_what_parts_can_be_sold_of_it() -> None:
    """Halves and thirds only: prices 1/2 and 1/3. Parts of 810 with few parts of 160: the rest
    beside an 810 is worth nothing, for most of them stay alone."""
    halves = rest_values(np.array([500, 330]), np.array([0.5, 0.5]))
    assert halves[[0, 329, 330, 499, 500, 830, 1000]].tolist() == pytest.approx(
        [0, 0, 1000 / 3, 1000 / 3, 500, 2500 / 3, 1000]
    )
    lone = rest_values(np.array([810, 160]), np.array([0.9, 0.1]))
    assert lone[[190, 809, 810, 1000]].tolist() == pytest.approx([0, 0, 1000, 1000])
    assert rest_values(np.array([0, 1000]), np.array([0.5, 0.5])).tolist() == [0.0] * 1001


def test_node_columns_of_unequal_length_or_too_many_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="one row per node"):
        make_nodes(np.array([0, 2]), *np.array([[8], [1], [1], [1]]), held_rows=1)
    with pytest.raises(ValueError, match="at most 30"):
        make_nodes(np.array([0, 1]), *np.array([[31], [1], [1], [1]]), held_rows=1)
    with pytest.raises(ValueError, match="no requests"):
        typical_of(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


def test_a_rest_that_just_fits_a_usual_part_is_no_fragment() -> None:
    nodes = make_nodes(np.array([0, 1]), *np.array([[1], [64_000], [65_536], [1]]), held_rows=1)
    halves = typical_of(np.array([500]), np.array([1_000]), np.array([0]))[0]
    scores = make_scores(nodes, typical=halves)
    assert fragmentation(0, 64_000, 0, 500, 0, nodes, scores) == 0.0
    assert fragmentation(0, 64_000, 0, 499, 0, nodes, scores) == 499.0
    assert fragmentation(0, 999, 0, 500, 0, nodes, scores) == 500.0
