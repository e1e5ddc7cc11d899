"""Jobs that can be read and not be planned: figures in their rows that no estimate can be made of.

A request with such figures is refused where it is handed in; a hand at the database, or a bug of a
release before, may leave one all the same. One of them must cost nobody else his place in the plan.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

HUGE = 10**20
"""More than 64 bits."""

Spec = dict[str, Any]


def _at_top(name: str, value: object) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        spec[name] = value

    return change


def _of_option(name: str, value: object) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        spec["options"] = [{**one, name: value} for one in spec["options"]]

    return change


SPEC_POISONS: tuple[Callable[[Spec], None], ...] = (
    _at_top("duration_ms", HUGE),
    _at_top("duration_ms", -HUGE),
    _at_top("nodes", HUGE),
    _at_top("submit_ms", HUGE),
    _at_top("start_after_ms", HUGE),
    _at_top("deadline_ms", -HUGE),
    _at_top("priority", HUGE),
    _at_top("inputs", [{"site": "nowhere", "size_bytes": HUGE}]),
    _at_top("options", []),
    _of_option("devices_milli", HUGE),
    _of_option("cpus_milli", HUGE),
    _of_option("memory_mib", HUGE),
    _of_option("max_hourly_cost_micros", HUGE),
)
BOUND_POISONS: tuple[tuple[str, object], ...] = (
    ("option", 7),
    ("duration_ms", HUGE),
    ("need_milli", HUGE),
    ("not_before_ms", HUGE),
    ("planned_start_ms", -HUGE),
    ("pool", "nowhere"),
    ("site", "nowhere"),
)


def poisoned_spec(text: str, number: int) -> str:
    """A job's request, changed."""
    spec: Spec = json.loads(text)
    SPEC_POISONS[number % len(SPEC_POISONS)](spec)
    return json.dumps(spec)


def poisoned_place(text: str, number: int) -> str:
    """Where a job is bound to, changed."""
    name, value = BOUND_POISONS[number % len(BOUND_POISONS)]
    return json.dumps({**json.loads(text), name: value})
