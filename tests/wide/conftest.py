"""The wide network once for all tests here: ``make test-wide``, not ``make test``."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.wide.grid import Wide  # noqa: E402
from tests.wide.story import Story, play  # noqa: E402

# `make test` needs no root, no Slurm, no Ray: it does not look here at all.
collect_ignore_glob = [] if "wide" in os.environ.get("WESTWARD_TEST_ENGINES", "") else ["test_*.py"]


@pytest.fixture(scope="session")
def story() -> Iterator[Story]:
    """Everything has been run; the network still stands, and the test is at its hub."""
    folder = Path(tempfile.mkdtemp(prefix="ww-wide-"))
    folder.chmod(0o755)  # MariaDB and Slurm's jobs look into it as their own users
    wide = Wide(folder)
    try:
        wide.up()
        with wide.hub.entered():
            yield play(wide)
    finally:
        wide.down()
    shutil.rmtree(folder, ignore_errors=True)
