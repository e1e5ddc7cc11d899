"""Every reader of ``parsers``, given spoiled examples: an answer or its promised refusal, soon.

``make test`` takes five of each; ``make test-hostile`` takes WESTWARD_HOSTILE_VALUES, of every one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.hostile.conftest import FUZZ_HOME
from tests.hostile.parsers import Edit, Subject, edits, spoiled, subjects, watched
from westward.model.faults import InputFaults

SUBJECTS = subjects()
NO_JOB_LISTS = ["trace alibaba-genai", "trace helios", "trace alibaba-spot"]
"""Formats that hold no jobs: "trace, any" describes them."""
MOST = int(os.environ.get("WESTWARD_HOSTILE_VALUES", "500")) if FUZZ_HOME else 5


def check_told(error: Exception) -> None:
    assert str(error)
    if isinstance(error, InputFaults):
        assert error.faults
        assert all(one.problem and one.remedy for one in error.faults)


@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda one: one.name)
def test_spoiled_input(subject: Subject, tmp_path: Path, tally: dict[str, int]) -> None:
    done = 0

    @settings(
        max_examples=MOST, deadline=None, database=None, derandomize=not FUZZ_HOME,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(seed=st.sampled_from(subject.seeds), changes=edits())
    def tried(seed: bytes, changes: list[Edit]) -> None:
        nonlocal done
        done += 1
        data = spoiled(seed, changes)
        with watched(subject.name):
            try:
                subject.read(data, tmp_path)
            except subject.refusals as error:
                check_told(error)

    tried()
    tally["parsers"] = tally.get("parsers", 0) + done
    tally[f"parsers: {subject.name}"] = done


def test_the_examples_are_read_as_they_are(tmp_path: Path) -> None:
    """Else spoiling them would try the first check alone."""
    unread = []
    for subject in SUBJECTS:
        good = 0
        for index, seed in enumerate(subject.seeds):
            folder = tmp_path / str(abs(hash((subject.name, index))))
            folder.mkdir()
            try:
                subject.read(seed, folder)
                good += 1
            except subject.refusals:
                pass
        if not good:
            unread.append(subject.name)
    assert unread == NO_JOB_LISTS
