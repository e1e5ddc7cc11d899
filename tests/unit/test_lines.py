"""Tables begin where a line of the processor's cache begins, and hold what they are told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from westward.model.plan import Policy
from westward.network.loader import load_network
from westward.placement.columns import network_columns
from westward.placement.fresh_state import new_state
from westward.placement.lines import LINE, lined
from westward.placement.slots import jobs_of, new_slots, queue_of
from westward.simulate.heap import new_heap
from westward.simulate.live import LIVE_FIELDS


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_each_record_begins_a_line(count: int) -> None:
    table = lined(count, (("small", np.uint8), ("large", np.int64), ("several", np.int16, (5,))))
    assert len(table) == count
    assert table.dtype.itemsize % LINE == 0
    assert table.ctypes.data % LINE == 0
    assert table["large"].flags.aligned
    assert not any(table[name].any() for name in ("small", "large", "several"))


def test_what_is_read_of_those_who_wait_is_one_line() -> None:
    slots = new_slots(3, more=LIVE_FIELDS)
    columns = [*queue_of(slots).values(), jobs_of(slots).order, jobs_of(slots).klass]
    for row in range(len(slots)):
        lines = {(column[row:].ctypes.data) // LINE for column in columns}
        assert lines == {slots[row:].ctypes.data // LINE}


def test_the_children_of_an_event_lie_in_one_line() -> None:
    heap = new_heap(100)
    assert len(heap) == 100
    for parent in range(20):
        children = heap[4 * parent + 1 :].ctypes.data, heap[4 * parent + 4 :].ctypes.data
        assert children[0] // LINE == children[1] // LINE


def test_a_waiting_job_in_the_tree_is_one_line() -> None:
    network = load_network(Path(__file__).parents[2] / "networks" / "laptop")
    pools = network_columns(network, Policy().carbon_method).pools
    state = new_state(pools, new_slots(16), 64, conservative=False, ranked=True)
    assert state.tree.ctypes.data % LINE == 0
    assert state.tree.strides[0] == LINE
