"""Whatever bytes a folder holds: a network or InputFaults, never another exception."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import SMALL_NETWORK

from westward.model.faults import Fault, InputFaults
from westward.network.check import check_network
from westward.network.check_text import render_check
from westward.network.loader import load_network

FILES = sorted(
    str(path.relative_to(SMALL_NETWORK)) for path in SMALL_NETWORK.rglob("*") if path.is_file()
)
WORDS = b"series assumption name NaN 1e999 -0 2024-02-30 : - * &a { = ; , \" '".split()
SCRAPS = st.sampled_from([*WORDS, b"\n", b"\xff", b"\0", b"\xc2\xa0", b"", b"  "])


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(FILES),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 12),
            st.one_of(SCRAPS, st.binary(max_size=6), st.text(max_size=4).map(str.encode)),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_damaged_files_are_told_or_load(name: str, edits: list[tuple[float, int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "net"
        shutil.copytree(SMALL_NETWORK, folder)
        raw = (folder / name).read_bytes()
        for place, cut, scrap in edits:
            at = round(place * len(raw))
            raw = raw[:at] + scrap + raw[at + cut :]
        (folder / name).write_bytes(raw)
        faults: tuple[Fault, ...] = ()
        try:
            network = load_network(folder)
            assert render_check(check_network(network, folder))
        except InputFaults as error:
            faults = error.faults
        assert all(fault.remedy and fault.problem for fault in faults)
