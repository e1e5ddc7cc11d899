"""Fair shares by hand: who has left counts for nothing, and a late job that fits a gap lifts nobody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.twin.demands import HOUR, Ask, demand
from tests.twin.small import AT_ONCE, cards, world
from westward.model.scenario import Scenario, Share
from westward.simulate.engine import simulate

NETWORK = world(cards("p", 4)).network
FAIR = replace(AT_ONCE, fair_share=True)


def test_a_tenant_that_has_left_takes_no_part_of_its_programme() -> None:
    """Tenant 1 is done before the others come; its programme's half is then tenant 0's alone."""
    shares = (
        Share(programme="a", tenant=0, weight=1.0), Share(programme="a", tenant=1, weight=1.0),
        Share(programme="b", tenant=2, weight=1.0),
    )  # fmt: skip
    asks = [Ask(hours=0.5, user=1)]
    asks += [Ask(at=1 + user * 1e-6, user=user) for user in (0, 2) for _ in range(60)]
    work = demand(asks)
    result = simulate(NETWORK, work, FAIR, seed=1, zero_ms=0, scenario=Scenario(shares=shares))
    held = [int(((result.start_ms < 15 * HOUR) & (work.user == user)).sum()) for user in (0, 2)]
    assert sum(held) == 4 * 14
    assert held[0] == pytest.approx(held[1], abs=4)


def test_a_late_job_that_fits_a_gap_does_not_put_newcomers_last() -> None:
    """Three cards are held for ten hours. Tenant 0's six wide jobs wait; its last, small one passes
    them. Tenant 1, who comes then, still goes before most of the wide ones."""
    asks = [Ask(hours=10, cards=3, user=2)]
    asks += [Ask(at=0.1 + k * 1e-3, cards=4, user=0) for k in range(6)]
    asks += [Ask(at=0.2, user=0), Ask(at=2, cards=4, user=1)]
    work = demand(asks)
    result = simulate(NETWORK, work, FAIR, seed=1, zero_ms=0)
    small = int(np.flatnonzero((work.user == 0) & (work.nodes == 1))[0])
    newcomer = int(np.flatnonzero(work.user == 1)[0])
    wide = result.start_ms[(work.user == 0) & (work.nodes == 4)]
    assert result.start_ms[small] < HOUR
    assert (wide > result.start_ms[newcomer]).sum() >= 4
