"""A quick slice of this folder is in ``make test``; ``make test-hostile`` sets WESTWARD_TEST_HOSTILE
(the folder of the fuzzing environment) and tries everything, and counts it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

FUZZ_HOME = os.environ.get("WESTWARD_TEST_HOSTILE")
collect_ignore = (
    [] if FUZZ_HOME else ["test_schema.py", "test_streams.py", "test_live_job_files.py"]
)


@pytest.fixture(scope="session")
def whole() -> bool:
    """Whether everything is tried."""
    return FUZZ_HOME is not None


@pytest.fixture(scope="session")
def every(whole: bool) -> int:
    """Of long lists of cases one in so many is taken; a prime, so that all kinds come by. All are
    taken over PostgreSQL too (``make test-replicas``)."""
    return 1 if whole or os.environ.get("WESTWARD_TEST_POSTGRES") else 97


@pytest.fixture(scope="session")
def tally() -> Iterator[dict[str, int]]:
    """Cases tried by kind; written to the file that WESTWARD_HOSTILE_REPORT names."""
    counts: dict[str, int] = {}
    yield counts
    report = os.environ.get("WESTWARD_HOSTILE_REPORT")
    if report:
        path = Path(report)
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**before, **counts}, indent=1, sort_keys=True) + "\n")
