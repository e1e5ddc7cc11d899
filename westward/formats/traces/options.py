"""What a reader of traces may be told, and its defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TimeUnit = Literal["auto", "hours", "seconds"]
Processors = Literal["allocated", "requested"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """``processors``: which SWF field counts (the other stands in where it is unknown).
    ``time_unit``: of gaia's times; auto decides by the values and refuses when in doubt.
    ``processors_are_devices``: each SWF processor or gaia cpu asks for one whole device of any
    kind, so that an old log loads pools of accelerators; else for one cpu and no device.
    """

    processors: Processors = "allocated"
    time_unit: TimeUnit = "auto"
    processors_are_devices: bool = True
