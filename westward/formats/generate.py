"""A seeded workload for machines without traces, and for tests at sizes no trace has.

Jobs are drawn first, and the span of time follows from the load that was asked for: fixing the
span instead and drawing until the load fits would make one long job change all others.
``generate_blocks`` gives the same jobs block by block, for more of them than memory holds.
"""

from __future__ import annotations

from westward.formats.generate_options import (
    DAY_PROFILE,
    GENERATOR_VERSION,
    MAX_JOBS,
    NATIONAL,
    NATIONAL_DEFERRABLE,
    GeneratorOptions,
    check_arguments,
)
from westward.formats.generate_stream import drawn, gather, generate_blocks
from westward.model.workload import Workload

__all__ = [
    "DAY_PROFILE",
    "GENERATOR_VERSION",
    "MAX_JOBS",
    "NATIONAL",
    "NATIONAL_DEFERRABLE",
    "GeneratorOptions",
    "generate",
    "generate_blocks",
]


def generate(
    jobs: int,
    seed: int,
    *,
    capacity_devices: int,
    load: float,
    options: GeneratorOptions | None = None,
) -> Workload:
    """``jobs`` jobs that offer ``load`` × ``capacity_devices`` devices over their span.

    Offered load = Σ devices × duration / (capacity × span). The same arguments give the same
    columns with the same numpy on the same kind of processor (``exp`` may differ in its last
    digit between kinds). Raises InputFaults for impossible parameters.
    """
    chosen = options or GeneratorOptions()
    check_arguments(jobs, seed, capacity_devices, load, chosen)
    return gather(drawn(jobs, seed, capacity_devices, load, chosen), jobs)
