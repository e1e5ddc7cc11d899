"""Eight processes, one pot, kills in mid-write: ``make test-ledger``.

WESTWARD_HAMMER_S: seconds for each database (20; 300 for the long proof).
"""

from __future__ import annotations

import os

import pytest

from tests.databases import DATABASES
from tests.ledger_hammer.hammer import Found, on_postgres, on_sqlite

SECONDS = float(os.environ.get("WESTWARD_HAMMER_S", "20"))
PATIENCE_S = 300


@pytest.mark.long
@pytest.mark.timeout(SECONDS + PATIENCE_S)
@pytest.mark.parametrize("kind", DATABASES)
def test_nothing_is_overspent_doubled_or_lost(kind: str) -> None:
    found: Found = {"sqlite": on_sqlite, "postgres": on_postgres}[kind](SECONDS)
    assert found.faults == []
    # It was a hammering: processes died in it, and were told of transfers.
    assert found.kills >= 1
    assert found.told >= 10
    assert found.report.transfers > found.told
