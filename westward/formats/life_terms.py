"""Terms about a job's life: what it follows, how many there are, when it is tried again, how it
saves. Each parser takes the label's text and raises ``ValueError`` with one sentence."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from westward.formats.job_fields import RESERVED_ENV_PREFIXES
from westward.model.job import After, AfterMode, Checkpoint, Retry
from westward.model.units import MS_PER_HOUR, parse_duration_ms

ARRAY_MOST = 1_000
"""Jobs of one array: they are submitted in one transaction."""
AFTER_MOST = 100
"""Names in one ``westward.after``."""
ATTEMPTS_MOST = 100
BACKOFF_MS = 10_000
EXIT_CODE_MOST = 255
GRACE_MOST_MS = MS_PER_HOUR
SIGNALS = ("TERM", "INT", "HUP", "USR1", "USR2", "CONT", "ALRM", "QUIT")
"""What a job may ask to be told to save by."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHECKPOINT = re.compile(
    r"(?P<path>\S.*?)\s+every\s+(?P<every>\S+)"
    r"(?:\s+signal\s+(?P<signal>\S+))?(?:\s+grace\s+(?P<grace>\S+))?"
)
_AFTER_MODES: dict[str, AfterMode] = {"afterok": "ok", "afterany": "any"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayTerm:
    """``count`` alike jobs; ``variables[i]`` are the environment variables of job i alone."""

    count: int
    variables: tuple[tuple[tuple[str, str], ...], ...] = ()

    def of(self, index: int) -> tuple[tuple[str, str], ...]:
        return self.variables[index] if self.variables else ()


def parse_after(text: str) -> tuple[After, ...]:
    """``prepare,afterany:clean``: names or ids; ``none`` says that it follows nothing."""
    if text.strip() == "none":
        return ()
    found: list[After] = []
    for part in text.split(","):
        word, colon, rest = part.strip().partition(":")
        mode, name = _AFTER_MODES.get(word), rest.strip()
        if not colon:
            mode, name = "ok", word
        if mode is None:
            raise ValueError(f"{part.strip()!r} is neither NAME, afterok:NAME nor afterany:NAME")
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is not the name or id of a job")
        if name in [one.name for one in found]:
            raise ValueError(f"{name!r} stands twice")
        found.append(After(job_id="", mode=mode, name=name))
    if len(found) > AFTER_MOST:
        raise ValueError(f"a job may follow {AFTER_MOST} others, not {len(found)}")
    return tuple(found)


def parse_array(text: str) -> ArrayTerm:
    """``20``, or ``lr=0.1|0.01,seed=1|2|3``: a job for each combination, the last varying first."""
    if text.strip().isdecimal():
        return ArrayTerm(count=_array_size(int(text)))
    axes: list[list[tuple[str, str]]] = []
    for part in text.split(","):
        name, equals, rest = part.partition("=")
        name, values = name.strip(), [value.strip() for value in rest.split("|")]
        if not equals or _VARIABLE.fullmatch(name) is None or not all(values):
            raise ValueError(f"{part.strip()!r} is neither a number of jobs nor NAME=VALUE|VALUE")
        if name.startswith(RESERVED_ENV_PREFIXES):
            raise ValueError(f"{name} is set by the engine for each rank; choose another name")
        if name in [axis[0][0] for axis in axes]:
            raise ValueError(f"the variable {name} stands twice; join its values with |")
        axes.append([(name, value) for value in values])
    size = 1
    for axis in axes:
        size = _array_size(size * len(axis))
    return ArrayTerm(count=size, variables=tuple(itertools.product(*axes)))


def _array_size(count: int) -> int:
    if not 1 <= count <= ARRAY_MOST:
        raise ValueError(f"an array has 1 to {ARRAY_MOST} jobs, not {count}")
    return count


def parse_retry(text: str) -> Retry:
    """``attempts=5,on=75|137,never=2,backoff=30s``; only ``attempts`` is needed."""
    given: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or key not in ("attempts", "on", "never", "backoff"):
            raise ValueError(
                f"{part.strip()!r} is none of attempts=N, on=CODE|CODE, never=CODE|CODE, "
                "backoff=DURATION"
            )
        if key in given:
            raise ValueError(f"{key} stands twice")
        given[key] = value
    if "attempts" not in given:
        raise ValueError("it does not say attempts=N, the runs that may fail in all")
    attempts = _number(given["attempts"], 1, ATTEMPTS_MOST, "attempts")
    on, never = (
        tuple(_number(code, 1, EXIT_CODE_MOST, key) for code in given[key].split("|"))
        if key in given
        else ()
        for key in ("on", "never")
    )
    both = sorted(set(on) & set(never))
    if both:
        raise ValueError(f"exit code {both[0]} stands under on and under never")
    backoff_ms = parse_duration_ms(given["backoff"]) if "backoff" in given else BACKOFF_MS
    if not 0 <= backoff_ms <= MS_PER_HOUR:
        raise ValueError(f"backoff={given['backoff']} is not between 0s and 1h")
    return Retry(attempts=attempts, on_exit_codes=on, never_on=never, backoff_ms=backoff_ms)


def _number(text: str, least: int, most: int, what: str) -> int:
    word = text.strip()
    if not word.isdecimal() or not least <= int(word) <= most:
        raise ValueError(f"{what}={word} is not a whole number from {least} to {most}")
    return int(word)


def parse_checkpoint(text: str) -> Checkpoint:
    """``PATH every 10m``, then, where wished, ``signal USR1`` and ``grace 30s``."""
    match = _CHECKPOINT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not PATH every DURATION [signal NAME] [grace DURATION]")
    path = PurePosixPath(match["path"])
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] == "~":
        raise ValueError(
            f"{match['path']!r} must be a relative path: it counts from the folder that the site "
            "keeps for the job, told as $WESTWARD_CHECKPOINT"
        )
    signal = (match["signal"] or "TERM").removeprefix("SIG")
    if signal not in SIGNALS:
        raise ValueError(f"{match['signal']!r} is not one of {', '.join(SIGNALS)}")
    every_ms = parse_duration_ms(match["every"])
    if every_ms <= 0:
        raise ValueError(f"{match['every']!r} is no time at all")
    grace_ms = None if match["grace"] is None else parse_duration_ms(match["grace"])
    if grace_ms is not None and not 0 < grace_ms <= GRACE_MOST_MS:
        raise ValueError(f"a grace of {match['grace']} is not between 1ms and 1h")
    return Checkpoint(path=str(path), every_ms=every_ms, signal=signal, grace_ms=grace_ms)
