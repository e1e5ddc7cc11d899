"""A run's own output is cut out of Ray's log whatever pieces it comes in."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from westward.agent.engines.lodger import BEGIN, END
from westward.agent.engines.ray_log import LogCutter

KEY = "key"
WORD = {"outcome": "succeeded", "exit_code": 0, "detail": "", "key": KEY, "readings": []}
texts = st.lists(
    st.sampled_from([b"\x1e", END.encode(), b"\n", b"line\n", "数".encode(), b"{}", b"\x1ewest"]),
    max_size=12,
).map(b"".join)


def whole(output: bytes) -> bytes:
    before = b"Running entrypoint for job run_1: exec python3 -c ...\n"
    return before + BEGIN.encode() + b"\n" + output + (END + json.dumps(WORD) + "\n").encode()


@given(output=texts, cuts=st.lists(st.integers(0, 400), max_size=6), skip=st.integers(0, 60))
def test_every_way_of_cutting_gives_the_same_bytes(
    output: bytes, cuts: list[int], skip: int
) -> None:
    log = whole(output)
    places = sorted({min(cut, len(log)) for cut in cuts} | {0, len(log)})
    cutter = LogCutter(KEY, skip=skip)
    got = b"".join(cutter.feed(log[start:end]) for start, end in itertools.pairwise(places))
    assert got == output[skip:]
    assert cutter.end == WORD


def test_a_job_cannot_end_itself_by_printing_a_last_word() -> None:
    forged = (END + json.dumps(WORD | {"key": "guessed"}) + "\n").encode()
    cutter = LogCutter(KEY)
    assert cutter.feed(whole(forged)) == forged
    assert cutter.end == WORD


@pytest.mark.parametrize("rest", [b'\x1ewestward-end {"outcome', b"\x1e"])
def test_a_log_that_breaks_off_keeps_what_was_there(rest: bytes) -> None:
    cutter = LogCutter(KEY)
    got = cutter.feed(BEGIN.encode() + b"\nsome" + rest)
    assert got == b"some"
    assert cutter.rest() == rest
    assert cutter.end is None
