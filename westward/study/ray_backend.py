"""Cells as Ray tasks: the same cells, the same figures, on as many machines as joined the cluster.

Ray is an extra (``pip install 'westward[ray]'``) and imported only here. Every machine needs the
same Westward installed, and a recorded workload at the same path; the network travels with the
task. A worker with other sources gives another digest and is refused.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from westward.model.faults import Fault, InputFaults
from westward.study.cells import Cell, CellResult, run_cell
from westward.study.model import Study
from westward.study.runner import Backend

LOCAL = "local"
TRIES = 2
"""A task whose machine is lost is given to another so often."""
KNOCK_S = 10
QUEUED_PER_CPU = 4
"""Tasks handed to Ray ahead of the ones that run."""


def ray_cells(address: str, cpus: int | None = None) -> Backend:
    """``local`` starts a Ray of its own on this machine (``cpus`` workers; None: all) and ends it;
    any other address (host:port, auto, ray://…) joins a cluster. Raises InputFaults without Ray."""
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise InputFaults(
            [
                Fault(
                    "--ray",
                    None,
                    "",
                    "Ray is not installed here",
                    "Install it with: pip install 'westward[ray]'. Or use --jobs N, which "
                    "runs the same cells in N processes.",
                )
            ]
        ) from None

    def run(study: Study, cells: Sequence[Cell]) -> Iterator[tuple[Cell, CellResult]]:
        os.environ.setdefault("RAY_DISABLE_IMPORT_WARNING", "1")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        _join(ray, address, cpus)
        try:
            yield from _stream(ray, study, cells)
        finally:
            with contextlib.suppress(Exception):
                ray.shutdown()

    return run


def _join(ray: Any, address: str, cpus: int | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if address == LOCAL:
        # Its own loopback address: Ray replaces 127.0.0.1 by the machine's public one.
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            _node_ip_address="127.0.0.2",
            **quiet,
        )
        return
    try:
        _knock(address)
        host = address.rpartition(":")[0]
        # A cluster on loopback knows this machine by that address only.
        here = {"_node_ip_address": host} if host.startswith("127.") else {}
        ray.init(address=address, **here, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputFaults(
            [
                Fault(
                    "--ray",
                    None,
                    "",
                    f"no Ray cluster answers at {address} ({said})",
                    "Start one with 'ray start --head', or use --ray local.",
                )
            ]
        ) from None


def _knock(address: str) -> None:
    """Raises OSError at once where nothing listens: Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


def _stream(ray: Any, study: Study, cells: Sequence[Cell]) -> Iterator[tuple[Cell, CellResult]]:
    task = ray.remote(num_cpus=1, max_retries=TRIES)(run_cell)
    shared = ray.put(study)
    queued: dict[Any, Cell] = {}
    room = max(2, QUEUED_PER_CPU * int(ray.cluster_resources().get("CPU", 1)))
    ahead = iter(cells)
    try:
        while True:
            while len(queued) < room and (cell := next(ahead, None)) is not None:
                queued[task.remote(shared, cell)] = cell
            if not queued:
                return
            ready, _ = ray.wait(list(queued), num_returns=1)
            for reference in ready:
                yield queued.pop(reference), ray.get(reference)
    finally:
        for reference in queued:
            with contextlib.suppress(Exception):
                ray.cancel(reference, force=True)
