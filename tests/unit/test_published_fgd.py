"""The FGD experiment: its arrivals, its binning, and one short run of each rule on the real trace."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from benchmarks.published import fgd  # noqa: E402
from westward.placement.packing_state import BEST_FIT_SCORE, FGD, RANDOM, WESTWARD  # noqa: E402


def test_openb_is_read_whole() -> None:
    cluster, requests = fgd.read_openb(fgd.DEFAULT)
    assert len(cluster.devices) == 1_213
    assert cluster.milli == 6_212_000
    assert int(cluster.cpus_milli.sum()) == 107_018_000
    assert len(requests.milli) == 8_152
    assert int(requests.milli.sum()) == 6_086_800
    assert not requests.kinds.any()
    _, bound = fgd.read_openb("openb_pod_list_gpuspec33")
    assert 0.3 < np.count_nonzero(bound.kinds) / np.count_nonzero(bound.milli) < 0.36
    of_nodes = int(np.bitwise_or.reduce(cluster.kind)) | 1 << fgd.UNKNOWN_KIND
    assert not (bound.kinds & ~of_nodes).any()


def test_arrivals_start_with_every_recorded_request_and_stop_at_130_percent() -> None:
    cluster, requests = fgd.read_openb(fgd.DEFAULT)
    order = fgd.arrivals(requests, cluster.milli, np.random.default_rng(1))
    recorded = len(requests.milli)
    assert sorted(order[:recorded].tolist()) == list(range(recorded))
    asked = int(requests.milli[order].sum())
    goal = fgd.TUNE * cluster.milli
    assert goal - 8_000 <= asked < goal + 8_000
    assert not np.array_equal(
        order, fgd.arrivals(requests, cluster.milli, np.random.default_rng(2))
    )


def test_more_recorded_than_130_percent_is_tuned_down() -> None:
    _, requests = fgd.read_openb(fgd.DEFAULT)
    order = fgd.arrivals(requests, 2_000_000, np.random.default_rng(1))
    assert len(set(order.tolist())) == len(order) < len(requests.milli)
    assert 0 <= fgd.TUNE * 2_000_000 - int(requests.milli[order].sum()) < 8_000


def test_ratio_is_the_mean_of_the_arrivals_that_round_to_the_mark() -> None:
    asked = np.array([994, 996, 1_004, 1_006])
    used = np.array([100, 500, 600, 900])
    assert fgd.ratio_at(100, asked, used, 1_000) == pytest.approx(55.0)
    assert fgd.ratio_at(102, asked, used, 1_000) == pytest.approx(90.0)


def test_published_means_are_the_papers() -> None:
    means = fgd.published(fgd.DEFAULT)
    assert list(means) == [name for name, _ in fgd.RULES]
    assert means["06-FGD"][120] == pytest.approx(95.35, abs=0.005)
    assert means["01-Random"][100] == pytest.approx(86.30, abs=0.005)


def test_one_seed_has_the_published_order_and_ours_above() -> None:
    """One run of four rules; the table of ten seeds is the benchmark's."""
    cluster, requests = fgd.read_openb(fgd.DEFAULT)
    theirs = fgd.published(fgd.DEFAULT)
    ratio = {}
    for rule in (RANDOM, BEST_FIT_SCORE, FGD, WESTWARD):
        asked, used, nodes = fgd.run(cluster, requests, rule, 7)
        assert (np.diff(used) >= 0).all()
        assert int(used[-1]) == cluster.milli - int(nodes.milli.sum())
        assert nodes.cpus_milli.min() >= 0
        assert nodes.memory_mib.min() >= 0
        ratio[rule] = fgd.ratio_at(120, asked, used, cluster.milli)
    assert ratio[RANDOM] == pytest.approx(theirs["01-Random"][120], abs=1.0)
    assert ratio[BEST_FIT_SCORE] == pytest.approx(theirs["05-BestFit"][120], abs=0.5)
    assert ratio[FGD] == pytest.approx(theirs["06-FGD"][120], abs=0.5)
    assert ratio[WESTWARD] > ratio[FGD] > ratio[BEST_FIT_SCORE] > ratio[RANDOM]


def test_a_run_repeats_to_the_unit() -> None:
    cluster, requests = fgd.read_openb(fgd.DEFAULT)
    first, second = (fgd.run(cluster, requests, WESTWARD, 3)[1] for _ in range(2))
    assert np.array_equal(first, second)
