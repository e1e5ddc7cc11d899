"""Mutations of what the event loop adds to the planner, each with the tests that should notice it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Suite:
    """Test files below tests/, and pytest's -k expression for those of use here."""

    files: tuple[str, ...]
    only: str = ""


SUITES = {
    "review": Suite(
        ("parity/test_loop_equals_plan.py", "properties/test_stays_put.py"),
        "look_again or stays_put",
    ),
    "interruptions": Suite(
        ("properties/test_interruptions.py", "properties/test_stays_put.py"),
        "not compiled_equals and not what_cannot_bite",
    ),
    "packing": Suite(
        ("properties/test_packing.py", "properties/test_packing_loop.py"), "not compiled_equals"
    ),
    "fair": Suite(
        (
            "properties/test_fair_share.py",
            "properties/test_ranked.py",
            "properties/test_virtual_time.py",
        )
    ),
    "roster": Suite(("properties/test_roster.py",)),
    "everything": Suite(("properties/test_everything_at_once.py",), "not compiled"),
    "links": Suite(("properties/test_shared_links.py", "properties/test_delegated.py")),
    "sites": Suite(("properties/test_site_waits.py",)),
    "intervals": Suite(("unit/test_wait_intervals.py",), "not recorded"),
    "table": Suite(("properties/test_run_sum.py",)),
    "heap": Suite(("properties/test_heap.py",)),
    "live": Suite(
        ("unit/test_looking_again.py", "unit/test_expected.py", "stories/test_job_stories.py")
    ),
}
MUTATIONS: dict[str, tuple[str, str, str, str]] = {
    "moved-keeps-its-option": ("live", "placement/planner.py", "options[tables.answers.fresh[: len(everyone)] == 1] = -1", "pass"),
    "moved-from-where-it-is-kept": ("live", "placement/planner.py", "if row not in kept and", "if"),
    "moved-sees-queues-elsewhere": ("live", "placement/planner.py", "one.estimate is None or one.pool not in crowded", "True"),
    "moved-without-a-word": ("live", "placement/planner.py", "moves(row, p, int(best.pool))", "pass"),
    "looks-again-at-each-pass": ("live", "server/loops.py", "policy.reviews and began >= self._review_at_s", "policy.reviews"),
    "looks-again-for-nothing": ("live", "server/loops.py", "before = before.with_chosen(decided)", "pass"),
    "looks-again-though-wanted-here": ("live", "server/snapshot.py", "record.aim or record.unable_sites or saved", "record.unable_sites or saved"),
    "looks-again-where-it-was-given-back": ("live", "server/snapshot.py", "record.aim or record.unable_sites or saved", "record.aim or saved"),
    "looks-again-without-its-checkpoint": ("live", "server/snapshot.py", "record.aim or record.unable_sites or saved", "record.aim or record.unable_sites"),
    "bound-anew-by-whomever": ("live", "control/machine.py", "if event.leaves != waited_at:", "if False:"),
    "moved-by-losing-its-place": ("live", "server/applier.py", "if pool and not looked_again:", "if pool:"),
    "expected-for-ever": ("live", "server/expected.py", "asked_s - self._at_s > FRESH_S", "False"),
    "expected-asked-each-time": ("live", "server/expected.py", "if self._at_s is None or asked_s", "if True or asked_s"),
    "expected-as-bound": ("live", "server/views.py", "starts_ms.get(record.job_id, record.bound.planned_start_ms)", "record.bound.planned_start_ms"),
    "expected-not-heard-of-plans": ("live", "server/loops.py", "core.expected.learn(decided, began)", "pass"),
    "beyond-the-table-free": ("table", "placement/pricing.py", "rest_ms = base + steps * costs.window[1]", "rest_ms = end_ms"),
    "beyond-forgets-carbon": ("table", "placement/pricing.py", "return device + power + grams * rules.carbon_price", "return device + power"),
    "before-the-table-free": ("table", "placement/pricing.py", "rest_ms = start_ms", "rest_ms = end_ms"),
    "heap-of-two-children": ("heap", "simulate/heap.py", "down += (other - down) * int(heap[other] < heap[down])", "other = down"),
    "review-never": ("review", "simulate/loop.py", "idle = idle or state.head[p] < 0", "idle = False"),
    "review-one-deeper": ("review", "simulate/loop.py", "while j >= 0 and looked < rules.review_depth:", "while j >= 0 and looked <= rules.review_depth:"),
    "review-leaves-moved-data": ("review", "placement/kernels.py", "if inputs.dataset[i] >= 0 or inputs.site[i] != pools.site[p]:", "if False:"),
    "victims-dearest-first": ("roster", "placement/roster.py", "low = min(low, roster.floor[i])", "low = roster.floor[i]"),
    "victims-first-in-order": ("roster", "placement/roster.py", "order[roster.job[r]] > order[roster.job[best]]", "order[roster.job[r]] < order[roster.job[best]]"),
    "roster-moved-row-unseen": ("roster", "placement/roster.py", "        if r // ROWS != head:\n", "        if False:\n"),
    "roster-forgets-checkpoints": ("roster", "placement/roster.py", "roster.soonest_ms[b] = soonest", "roster.soonest_ms[b] = NEVER_SAVED"),
    "roster-bound-too-high": ("roster", "placement/roster.py", "roster.least_need[b] = min(roster.least_need[b], roster.need[r])", "roster.least_need[b] = roster.need[r]"),
    "roster-equal-bounds-first-come": ("roster", "placement/roster.py", "            if mine == NONE:\n                best = i\n                break", "            if mine == NONE:\n                continue"),
    "victims-not-needed": ("interruptions", "placement/preempt.py", "if released - need >= missing:", "if False:"),
    "checkpoint-keeps-everything": ("interruptions", "placement/preempt.py", "return elapsed_ms // checkpoint_ms * checkpoint_ms", "return elapsed_ms"),
    "preempt-for-the-put-off": ("interruptions", "simulate/interrupt.py", "or state.job_not_before_ms[head] > now:", "or False:"),
    "site-open-while-one-outage-lasts": ("interruptions", "simulate/happenings.py", "self._down[pools.site] > 0", "self._down[pools.site] == 1"),
    "drain-loses-runs": ("interruptions", "simulate/happenings.py", "            if lost:\n", "            if change > 0:\n"),
    "share-too-small": ("packing", "placement/packing.py", "if need <= milli < least", "if milli < least"),
    "loosest-share": ("packing", "placement/packing.py", "                least = milli\n", "                least = DEVICE_MILLI\n"),
    "nodes-not-given-back": ("packing", "placement/dispatch_nodes.py", "give(state.job_chain[j], nodes)\n    state.job_chain[j] = NONE\n    look_at", "state.job_chain[j] = NONE\n    look_at"),
    "head-reserves-no-nodes": ("packing", "placement/dispatch_nodes.py", "reserve_shadow(p, ask, packing.nodes, packing.shadow)", "pass"),
    "long-gang-takes-the-heads-devices": ("packing", "placement/dispatch_nodes.py", "if not long or need <= state.shadow_extra[p]:", "if True:"),
    "nodes-window-forgets-the-list": ("everything", "placement/dispatch_nodes.py", "if count < state.queued_count[p]:", "if False:"),
    "nodes-window-keeps-who-started": ("everything", "placement/dispatch_nodes.py", "leave_window(newcomer, p, count, state)", "state.window_count[p] = count"),
    "nodes-window-forgets-the-head": ("everything", "placement/dispatch_nodes.py", "kept = keep_in_window(head, p, 0,", "keep_in_window(head, p, 0,"),
    "shadow-extra-not-spent": ("packing", "placement/dispatch_nodes.py", "state.shadow_extra[p] -= need", "state.shadow_extra[p] -= 0"),
    "share-ignores-weight": ("fair", "simulate/fair.py", "share = clock.weight[t] / clock.active[group]", "share = 1.0"),
    "share-keeps-credit": ("fair", "simulate/fair.py", "tag = max(clock.fair[0], clock.fair[t])", "tag = clock.fair[t]"),
    "share-charges-nobody": ("fair", "simulate/fair.py", "clock.fair[t] += work", "clock.fair[t] += 0 * work"),
    "share-of-the-absent": ("fair", "simulate/fair.py", "clock.active[group] -= clock.weight[t]", "clock.active[group] -= 0"),
    "late-job-lifts-the-virtual-time": ("fair", "simulate/fair.py", "tag = min(tag, (jobs.order[head]", "tag = max(tag, (jobs.order[head]"),
    "tree-keeps-work-of-the-gone": ("fair", "placement/ranked.py", "state.tree[at, WORK] -= work\n        at =", "state.tree[at, WORK] -= 0\n        at ="),
    "tree-counts-those-behind": ("fair", "placement/ranked.py", "                need -= state.tree[at, NEED]\n", "                need -= 0\n"),
    "link-never-busy": ("links", "placement/kernels.py", "traffic.link_free_ms[source, site] = arrival", "traffic.link_free_ms[source, site] = 0"),
    "copy-never-kept": ("links", "placement/kernels.py", "if known < 0 or known > arrival:", "if False:"),
    "delegated-wait-not-learnt": ("links", "placement/delegated.py", "state.wait_log[p, size] += WAIT_PACE", "state.wait_log[p, size] += 0 * WAIT_PACE"),
    "those-who-wait-tell-nothing": ("links", "placement/delegated.py", "wait_ms = max(wait_ms, WAIT_OVER_AGE * age_ms)", "wait_ms = max(wait_ms, 0 * age_ms)"),
    "rate-tells-nothing": ("links", "placement/delegated.py", "wait_ms = max(wait_ms, ahead_milli", "wait_ms = max(wait_ms, 0 * ahead_milli"),
    "idle-hours-count-as-serving": ("links", "placement/delegated.py", "now if waiting > 0 else -1", "now"),
    "larger-ones-tell-too": ("links", "placement/delegated.py", "range(size + 1)", "range(WAIT_SIZES)"),
    "who-left-still-waits": ("links", "placement/delegated.py", "state.job_not_before_ms[j], -1, state", "state.job_not_before_ms[j], 0, state"),
    "users-of-the-site-are-seen": ("links", "placement/delegated.py", "    if jobs.pinned[j] == 0:\n        count_ours(p, state.job_need[j], state.job_not_before_ms[j], 1, state)", "    if True:\n        count_ours(p, state.job_need[j], state.job_not_before_ms[j], 1, state)"),
    "delegated-by-priority": ("links", "placement/waiting.py", "rank = NEVER_MS  #", "rank = rank + 0  #"),
    "limit-before-the-site": ("links", "placement/waiting.py", "limit_ms -= wait_ms", "limit_ms -= 100 * wait_ms"),
    "site-wait-never-forgotten": ("sites", "placement/site_waits.py", "left = 0.5 ** (", "left = 1.0 + 0 * ("),
    "site-wait-keeps-its-prior": ("sites", "placement/site_waits.py", "/ np.where(heard, weight, 1.0)", "/ 1.0"),
    "site-wait-of-smaller-ones-unheard": ("sites", "placement/site_waits.py", "np.maximum.accumulate(wait_ms).tolist()", "wait_ms.tolist()"),
    "who-stands-there-counts-once": ("sites", "placement/site_waits.py", "max(told_ms, int(WAIT_OVER_AGE * waited_ms))", "told_ms"),
    "late-only-at-the-start": ("intervals", "simulate/told.py", "if _waits(key, live, clock):\n            live.late", "if False:\n            live.late"),
    "late-counted-twice": ("intervals", "simulate/told.py", "if live.late[j] == 0 and now > live.high_ms[j]:", "if now > live.high_ms[j]:"),
    "started-counted-as-late": ("intervals", "simulate/told.py", "live.first[j] == 1\n        and ", ""),
    "late-counted-as-within-too": ("intervals", "placement/intervals.py", "    if not late:\n", "    if True:\n"),
    "early-taken-for-within": ("intervals", "placement/intervals.py", "beyond = 1.0 if early else 0.0", "beyond = 0.0"),
    "delegated-in-one-pot": ("intervals", "simulate/told.py", "live.told_as[j] = delegated", "live.told_as[j] = 0"),
    "late-jobs-run-away": ("intervals", "placement/intervals.py", "if learnt[HIGH] >= told_high + AHEAD:", "if False:"),
    "first-steps-small": ("intervals", "placement/intervals.py", "return STEP + MORE_AT_FIRST", "return STEP + 0 * MORE_AT_FIRST"),
    "interval-before-it-can-start": ("intervals", "placement/intervals.py", "return max(low, from_ms), max(high, from_ms)", "return low, high"),
}  # fmt: skip
"""Name → suite, file below westward/, text, what stands there in its place.

Left out, since they change no answer: reviewing when nobody's queue is empty (there is nowhere to
go), and letting ``choose_victims`` see runs of the head's own class (``make_way`` has made sure that
lower ones suffice).
"""
