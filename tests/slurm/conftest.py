"""Two real Slurm clusters side by side, for the session: ``make test-slurm``, not ``make test``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.engines.engine_harness import Site
from tests.conformance.engines.harness_slurm import PORT, At
from tests.engines_up.slurm import Cluster

# `make test` needs no root and no Slurm: it does not look here at all.
collect_ignore_glob = (
    [] if "slurm" in os.environ.get("WESTWARD_TEST_ENGINES", "") else ["test_*.py"]
)


def cluster_up(name: str, port: int, **options: object) -> Iterator[Cluster]:
    cluster = Cluster(Path(tempfile.mkdtemp(prefix=f"ww-{name}-")), name, port, **options)  # type: ignore[arg-type]
    cluster.up()
    yield cluster
    cluster.down()


@pytest.fixture(scope="session")
def alpha() -> Iterator[Cluster]:
    yield from cluster_up("alpha", PORT + 20)


@pytest.fixture(scope="session")
def beta() -> Iterator[Cluster]:
    yield from cluster_up("beta", PORT + 40, nodes=1, gpus=2)


@pytest.fixture
def delta() -> Iterator[Cluster]:
    """For one test alone: afterwards its nodes remember jobs that its slurmctld does not."""
    yield from cluster_up("delta", PORT + 80, nodes=1, gpus=0)


@pytest.fixture
def site(alpha: Cluster, tmp_path: Path) -> Iterator[Site]:
    site = Site(At(alpha), tmp_path)
    yield site
    site.close()


@pytest.fixture
def spot(alpha: Cluster, tmp_path: Path) -> Iterator[Site]:
    """The partition whose jobs the other one's may put out."""
    site = Site(At(alpha, partition="spot"), tmp_path / "spot")
    yield site
    site.close()


@pytest.fixture
def other(beta: Cluster, tmp_path: Path) -> Iterator[Site]:
    site = Site(At(beta), tmp_path / "other")
    yield site
    site.close()
