"""Values of sbatch options. Each parser raises ValueError with one sentence on what is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from westward.formats.life_terms import ARRAY_MOST

_TIME = re.compile(
    r"(?:(?P<d>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"
    r"|(?P<h>\d+):(?P<hm>\d+):(?P<hs>\d+)|(?P<m>\d+)(?::(?P<s>\d+))?)"
)
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)b?", re.IGNORECASE)
_MIB_OF = {"k": 1 / 1024, "m": 1.0, "": 1.0, "g": 1024.0, "t": 1024.0**2}
_AFTER_NOW = re.compile(
    r"now(?:\+(\d+)\s*(s|sec\w*|m|min\w*|h|hour\w*|d|day\w*|w|week\w*)?)?", re.IGNORECASE
)
_SECONDS_OF = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_ARRAY_PART = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
_SIGNAL = re.compile(r"(?:(B|R|BR|RB):)?([A-Za-z0-9]+)(?:@(\d+))?")
_ACCELERATOR = re.compile(r"(?:([A-Za-z][\w.-]*):)?(\d+)|([A-Za-z][\w.-]*)")


def limit_seconds(text: str) -> int:
    """``30``, ``30:00``, ``1:00:00``, ``2-12``, ``2-12:30``, ``2-12:30:00``; minutes come first."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time limit; write for example 30 (minutes) or 1:00:00")
    part = {name: int(value) for name, value in match.groupdict().items() if value is not None}
    seconds = (
        part.get("d", 0) * 86_400
        + (part.get("dh", 0) + part.get("h", 0)) * 3_600
        + (part.get("dm", 0) + part.get("hm", 0) + part.get("m", 0)) * 60
        + part.get("ds", 0)
        + part.get("hs", 0)
        + part.get("s", 0)
    )
    if seconds <= 0:
        raise ValueError(f"{text!r} is no time (in Slurm: no limit), which cannot be promised")
    return seconds


def memory_mib(text: str) -> float:
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount of memory; write for example 16G or 4000M")
    mib = float(match[1]) * _MIB_OF[match[2].lower()]
    if mib <= 0:
        raise ValueError("0 asks for all of a node's memory; say how much is needed")
    return mib


def instant(text: str) -> str:
    """``now+2hours`` → ``7200s``; a time with an offset stays. Others depend on where it is read."""
    match = _AFTER_NOW.fullmatch(text.strip())
    if match is not None:
        seconds = int(match[1] or 0) * _SECONDS_OF[(match[2] or "s")[0].lower()]
        return f"{seconds}s"
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)", text.strip()):
        return text.strip()
    raise ValueError(f"{text!r} does not say of which time zone it is; write now+6hours")


def array_tasks(text: str) -> list[int]:
    """``0-15:4,20`` → the task ids in order."""
    if "%" in text:
        raise ValueError("a limit on how many run at once (%) cannot be kept; leave the % part out")
    ids: dict[int, None] = {}
    for part in text.split(","):
        match = _ARRAY_PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part!r} is not a task id or range; write for example 0-9 or 1,3,5")
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step < 1 or (last - first) // step >= ARRAY_MOST:
            raise ValueError(f"{part!r} is no range, or has more than {ARRAY_MOST} tasks")
        ids.update(dict.fromkeys(range(first, last + 1, step)))
    if len(ids) > ARRAY_MOST:
        raise ValueError(f"{len(ids)} tasks are more than {ARRAY_MOST}")
    return list(ids)


def dependency(text: str, jobs: Mapping[str, str]) -> str:
    """``afterok:17:18,afterany:19`` → ``afterok:JOB,…`` by ``jobs``, Slurm id → Westward job."""
    found: list[str] = []
    for part in text.split(","):
        word, *ids = part.strip().split(":")
        if word not in ("afterok", "afterany") or not ids:
            raise ValueError(f"{part.strip()!r} cannot be kept; afterok:ID and afterany:ID can")
        for one in ids:
            if one not in jobs:
                raise ValueError(f"which Westward job is {one}? Say --job {one}=JOB")
            found.append(f"{word}:{jobs[one]}")
    return ",".join(found)


def whole(text: str, least: int = 1) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise ValueError(f"{text!r} is not a whole number from {least}")
    return int(text)


def node_count(text: str) -> int:
    low, dash, high = text.strip().partition("-")
    if dash and low != high:
        raise ValueError(f"{text!r} leaves the number of nodes open; write one number")
    return whole(low)


def accelerator(text: str) -> tuple[str | None, int]:
    """``a100:4``, ``4``, ``a100`` → (kind or None, count)."""
    match = _ACCELERATOR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not [KIND:]COUNT")
    return (match[3], 1) if match[3] else (match[1], whole(match[2], least=0))


def gres(text: str) -> tuple[str | None, int]:
    """``gpu``, ``gpu:2``, ``gpu:a100:4`` (also ``gres/gpu:…``) → (kind or None, count)."""
    if text.strip().lower() == "none":
        return None, 0
    if "," in text:
        raise ValueError("several resources cannot be asked for; keep the one of gpu")
    name, colon, rest = text.strip().removeprefix("gres/").partition(":")
    if name != "gpu":
        raise ValueError(f"{name!r} is a resource of one cluster; only gpu is known everywhere")
    return accelerator(rest.split("(")[0]) if colon else (None, 1)


def early_signal(text: str) -> tuple[str, int]:
    """``B:USR1@120`` → (name, seconds before the limit)."""
    match = _SIGNAL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not B:NAME@SECONDS")
    if match[1] != "B":
        raise ValueError(
            "a signal for the steps alone cannot be sent; write B:NAME@SECONDS, and pass it on"
        )
    return match[2].upper().removeprefix("SIG"), int(match[3] or 60)


def even_share(total: int, parts: int, what: str) -> int:
    if total % parts:
        raise ValueError(f"{total} {what} cannot be divided evenly over {parts} nodes")
    return total // parts


def whole_mib(mib: float) -> int:
    return max(1, math.ceil(mib))
