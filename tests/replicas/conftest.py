"""These tests need a real PostgreSQL: ``make test-replicas`` sets it up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines_up.postgres import Postgres
from tests.replicas.fleet import Fleet

if not os.environ.get("WESTWARD_TEST_REPLICAS"):
    collect_ignore_glob = ["test_fleet*.py", "test_point_in_time.py"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    made = Postgres.start()
    yield made
    made.stop()


@pytest.fixture
def fleet(tmp_path: Path, postgres: Postgres) -> Iterator[Fleet]:
    made = Fleet(tmp_path, lease="6s", postgres=postgres)
    yield made
    made.close()
