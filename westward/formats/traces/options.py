"""What a reader of traces may be told, and its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from westward.model.units import MILLI

TimeUnit = Literal["auto", "hours", "seconds"]
Processors = Literal["allocated", "requested"]
Unfinished = Literal["drop", "until-end"]

MAX_DEVICES_PER_NODE = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """What no file states and only the caller can say. Nothing here is guessed.

    ``processors``: which SWF field counts (the other stands in where it is unknown).
    ``time_unit``: of gaia's times; auto decides by the values and refuses when in doubt.
    ``processors_are_devices``: each SWF processor or gaia cpu asks for one whole device of any
    kind, so that an old log loads pools of accelerators; else for one cpu and no device.
    ``devices_per_node``: where a format states only a number of GPUs, how many one node holds.
    ``unfinished``: rows that still ran when the recording ended: dropped, or run to its end.
    ``tokens_per_s_in``, ``tokens_per_s_out``: how fast a request's context is read and its answer
    written, per request (azure-llm, which records tokens but no times).
    ``request_devices_milli``: share of a device that a request holds (1000 = a whole one).
    ``steps_per_s``: speed of a gavel job type on the reference device, by name, or by
    ``name@GPUs`` for a gang of that size (looked up first).
    ``run_s``: run time of a sia application in seconds, by name or ``name@replicas``.
    """

    processors: Processors = "allocated"
    time_unit: TimeUnit = "auto"
    processors_are_devices: bool = True
    devices_per_node: int = 1
    unfinished: Unfinished = "drop"
    tokens_per_s_in: float | None = None
    tokens_per_s_out: float | None = None
    request_devices_milli: int | None = None
    steps_per_s: Mapping[str, float] = field(default_factory=dict)
    run_s: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (
            self.devices_per_node > MAX_DEVICES_PER_NODE
            or (self.request_devices_milli or 0) > MAX_DEVICES_PER_NODE * MILLI
        ):
            raise ValueError(f"a node holds at most {MAX_DEVICES_PER_NODE} devices")
        stated = (
            self.devices_per_node,
            self.tokens_per_s_in,
            self.tokens_per_s_out,
            self.request_devices_milli,
            *self.steps_per_s.values(),
            *self.run_s.values(),
        )
        if not all(value is None or 0 < value < float("inf") for value in stated):
            raise ValueError("every figure stated for a trace must be above 0 and finite")
