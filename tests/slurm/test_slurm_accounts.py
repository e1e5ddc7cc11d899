"""Westward's meter against sacct, job by job: a cluster with slurmdbd and MariaDB."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_slurm_queue import slurm

from tests.conformance.engines.engine_harness import Site
from tests.conformance.engines.harness_slurm import PORT, At
from tests.engines_up.helping import until
from tests.engines_up.slurm import Cluster
from westward.agent.engines.slurm_accounting import Accounting, reconcile

MOST_S = 3
"""Slurm counts whole seconds, from before the supervisor starts until after it has ended."""


@pytest.fixture(scope="module")
def gamma() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ww-gamma-"))
    folder.chmod(0o755)  # MariaDB runs as its own user
    cluster = Cluster(folder, "gamma", PORT + 60, database=PORT + 70)
    cluster.up()
    yield cluster
    cluster.down()


def test_the_meter_agrees_with_sacct_job_by_job(gamma: Cluster, tmp_path: Path) -> None:
    site = Site(At(gamma), tmp_path)
    burn = "import time; t = time.process_time()\nwhile time.process_time() < t + 1: pass"
    burns = site.start(
        f"x=$(head -c 50000000 /dev/zero | tr '\\0' x); python3 -c '{burn}'; sleep 2"
    )
    gang = site.start("sleep 2", nodes=2, gpus_per_node=2)
    fails = site.start("sleep 1; exit 3")
    ended = {run: site.finish(run) for run in (burns, gang, fails)}
    accounts: dict[str, Accounting] = {}
    for run in ended:
        until(lambda run=run: slurm(site).accounting(run), "sacct knows it")  # type: ignore[misc]
        account = slurm(site).accounting(run)
        assert account is not None
        accounts[run] = account
        found = reconcile(run, site.engine.readings(run, -1), account)
        print(found)
        assert abs(found.difference_ms) <= 1000 * MOST_S, found
        assert account.source == "sacct"
    assert accounts[fails].exit_code == "3:0"
    assert "gres/gpu=4" in accounts[gang].alloc_tres
    assert accounts[burns].state == "COMPLETED"
    rss_kib = accounts[burns].max_rss_kib
    metered = max(reading.max_rss_kib for reading in site.engine.readings(burns, -1))
    assert rss_kib is None or rss_kib > 0
    assert metered > 0
    cpu_ms = accounts[burns].cpu_ms
    assert cpu_ms is not None
    assert cpu_ms >= 900
    site.close()
