"""Westward's own terms, written as text in ``resources.labels`` so the file stays SkyPilot.

Each parser takes the label's text and raises ``ValueError`` with one sentence on what is wrong.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import cast

from westward.formats.data_terms import parse_inputs, parse_outputs
from westward.formats.life_terms import (
    ArrayTerm,
    parse_after,
    parse_array,
    parse_checkpoint,
    parse_retry,
)
from westward.formats.listed import known_form, parts
from westward.model.job import (
    After,
    Checkpoint,
    DataInput,
    DataOutput,
    InputData,
    LatencyMode,
    LatencyRule,
    Retry,
    TagRule,
)
from westward.model.units import (
    MICROS,
    format_duration,
    parse_duration_ms,
    parse_instant_ms,
)

LATENCY_MODES = ("one-way", "round-trip")

_LATENCY = re.compile(r"(?P<place>[^<>=\s]+)\s*<=\s*(?P<limit>[0-9.]+)\s*ms(?:\s+(?P<mode>\S+))?")
_VALUE_OF_WAIT = re.compile(r"(?P<amount>\d+(?:\.\d+)?)\s*/\s*h")

_EXAMPLES = {
    "westward.deadline": '6h or "2030-11-22T18:00:00+08:00"',
    "westward.start_after": '6h or "2030-11-22T18:00:00+08:00"',
    "westward.duration": "90s or 1h30m",
    "westward.residency": "province=Gansu|Ningxia",
    "westward.latency": "shanghai<=20ms one-way",
    "westward.account": "lab-7",
    "westward.purpose": "research",
    "westward.checkpoint": "ckpt/last.npz every 10m signal USR1 grace 30s",
    "westward.after": "prepare,afterany:clean (or none)",
    "westward.array": '"20" or lr=0.1|0.01,seed=1|2|3',
    "westward.retry": "attempts=5,on=75|137,never=2,backoff=30s",
    "westward.inputs": "qingyang=10GB,guian=2GB or dataset:corpus=data/corpus",
    "westward.outputs": "model=weights",
    "westward.value_of_wait": "3.5/h",
    "westward.home": "qingyang",
}


def example(term: str) -> str:
    """How a value of ``term`` looks, for a remedy."""
    return _EXAMPLES[term]


@dataclass(slots=True)
class Terms:
    """The terms a job states; None or empty where it states nothing."""

    deadline_ms: int | None = None
    start_after_ms: int | None = None
    duration_ms: int | None = None
    residency: tuple[TagRule, ...] = ()
    latency: tuple[LatencyRule, ...] = ()
    account: str | None = None
    purpose: str | None = None
    checkpoint: Checkpoint | None = None
    inputs: tuple[InputData, ...] = ()
    datasets: tuple[DataInput, ...] = ()
    outputs: tuple[DataOutput, ...] = ()
    wait_value_micros_per_hour: int | None = None
    home_site: str | None = None
    after: tuple[After, ...] | None = None
    """None: not stated. The job ids are empty until the names are looked up."""
    array: ArrayTerm | None = None
    retry: Retry | None = None


def read_term(terms: Terms, term: str, text: str, now_ms: int) -> None:
    """Put the term named ``term`` into ``terms``. Raises ValueError."""
    if term == "westward.deadline":
        terms.deadline_ms = parse_instant_ms(text, now_ms)
    elif term == "westward.start_after":
        terms.start_after_ms = parse_instant_ms(text, now_ms)
    elif term == "westward.duration":
        terms.duration_ms = _positive_duration(text)
    elif term == "westward.residency":
        terms.residency = parse_residency(text)
    elif term == "westward.latency":
        terms.latency = parse_latency(text)
    elif term == "westward.account":
        terms.account = known_form(text, "an account")
    elif term == "westward.purpose":
        terms.purpose = known_form(text, "a purpose")
    elif term == "westward.checkpoint":
        terms.checkpoint = parse_checkpoint(text)
    elif term == "westward.inputs":
        terms.inputs, terms.datasets = parse_inputs(text)
    elif term == "westward.outputs":
        terms.outputs = parse_outputs(text)
    elif term == "westward.value_of_wait":
        terms.wait_value_micros_per_hour = parse_value_of_wait(text)
    elif term == "westward.after":
        terms.after = parse_after(text)
    elif term == "westward.array":
        terms.array = parse_array(text)
    elif term == "westward.retry":
        terms.retry = parse_retry(text)
    elif term == "westward.home":
        terms.home_site = known_form(text, "a site")
    else:
        raise KeyError(term)


def contradictions(terms: Terms, now_ms: int) -> list[tuple[str, str, str]]:
    """Terms that cannot all hold: (term, problem, remedy)."""
    if terms.deadline_ms is None:
        return []
    term = "westward.deadline"
    if terms.deadline_ms <= now_ms:
        ago = format_duration(now_ms - terms.deadline_ms)
        return [(term, f"the deadline passed {ago} ago", "Give a time in the future.")]
    begin_ms = max(now_ms, terms.start_after_ms or now_ms)
    if terms.deadline_ms <= begin_ms:
        over = format_duration(begin_ms - terms.deadline_ms)
        problem = f"the deadline lies {over} before westward.start_after"
        return [(term, problem, "Move one of the two.")]
    window_ms = terms.deadline_ms - begin_ms
    if terms.duration_ms is not None and terms.duration_ms > window_ms:
        problem = (
            f"the job takes {format_duration(terms.duration_ms)} and the deadline leaves "
            f"{format_duration(window_ms)}"
        )
        return [(term, problem, "Give a later deadline or a shorter westward.duration.")]
    return []


def parse_residency(text: str) -> tuple[TagRule, ...]:
    """``province=Gansu|Ningxia,country=CN``: every key must hold, any of its values."""
    rules: list[TagRule] = []
    for part in parts(text):
        key, equals, rest = part.partition("=")
        values = tuple(value.strip() for value in rest.split("|"))
        if not equals or not key.strip() or not all(values):
            raise ValueError(f"{part!r} is not KEY=VALUE or KEY=VALUE|VALUE")
        if key.strip() in [rule.key for rule in rules]:
            raise ValueError(f"the key {key.strip()!r} stands twice; join its values with |")
        rules.append(TagRule(key=key.strip(), values=values))
    return tuple(rules)


def parse_latency(text: str) -> tuple[LatencyRule, ...]:
    """``shanghai<=20ms one-way``, several joined by commas; the mode has no default."""
    rules: list[LatencyRule] = []
    for part in parts(text):
        match = _LATENCY.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not PLACE<=NUMBERms one-way (or round-trip)")
        if match["mode"] is None:
            raise ValueError(f"{part!r} does not say whether it counts one-way or round-trip")
        if match["mode"] not in LATENCY_MODES:
            raise ValueError(f"{match['mode']!r} is neither one-way nor round-trip")
        try:
            limit_ms = float(match["limit"])
        except ValueError:
            raise ValueError(f"{match['limit']!r} is not a number of milliseconds") from None
        if limit_ms <= 0 or not math.isfinite(limit_ms):
            raise ValueError(f"a limit of {match['limit']} ms cannot be kept")
        mode = cast(LatencyMode, match["mode"])
        rules.append(LatencyRule(place=match["place"], limit_ms=limit_ms, mode=mode))
    return tuple(rules)


def parse_value_of_wait(text: str) -> int:
    """``3.5/h`` → millionths of the currency per hour that the job waits."""
    match = _VALUE_OF_WAIT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not AMOUNT/h")
    return round(float(match["amount"]) * MICROS)


def _positive_duration(text: str) -> int:
    span_ms = parse_duration_ms(text)
    if span_ms <= 0:
        raise ValueError(f"{text!r} is no time at all")
    return span_ms
