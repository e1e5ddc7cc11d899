"""Every test of this folder runs once for each engine under test (``engine_harness.chosen``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = str(Path(__file__).resolve().parents[3])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from engine_harness import Harness, Site, chosen, session  # noqa: E402


@pytest.fixture(scope="session", params=chosen())
def harness(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    with session(request.param, tmp_path_factory.mktemp("up")) as harness:
        yield harness


@pytest.fixture
def site(harness: Harness, tmp_path: Path) -> Iterator[Site]:
    site = Site(harness, tmp_path)
    yield site
    site.close()
