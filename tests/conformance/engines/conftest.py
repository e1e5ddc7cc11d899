"""Every test of this folder runs once for each engine under test (``engine_harness.chosen``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.engines.engine_harness import Harness, Site, chosen, session


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
