"""Which format a file has, by its first line. In doubt nothing is chosen: the caller must say."""

from __future__ import annotations

import re

from westward.formats.traces.gavel import FIELDS as GAVEL_FIELDS
from westward.formats.traces.gavel import MSR_FIELDS
from westward.formats.traces.registry import BY_NAME
from westward.formats.traces.source import Source, header_of
from westward.formats.traces.swf import FIELDS as SWF_FIELDS
from westward.formats.traces.swf import first_row_at
from westward.model.faults import InputFaults

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_SAMPLE_BYTES = 4_096


def candidates(source: Source) -> list[str]:
    """Names of the formats that the first line fits, in the order of the registry."""
    header = header_of(source)
    found = {name for name, entry in BY_NAME.items() if header in entry.headers}
    if len(source.first_line().split("\t")) in (len(GAVEL_FIELDS), len(MSR_FIELDS)):
        found.add("gavel")
    if _like_swf(source):
        found.add("swf")
    return [name for name in BY_NAME if name in found]


def detect(source: Source) -> str:
    """The one format that fits. Raises InputFaults naming the candidates when several fit, or
    those whose header comes nearest when none does."""
    fits = candidates(source)
    if len(fits) == 1:
        return fits[0]
    if fits:
        problem = f"the file may be any of {', '.join(fits)}"
        remedy = "Say which with the format."
        raise source.refuse(None, "", problem, remedy)
    raise _unknown(source)


def _like_swf(source: Source) -> bool:
    """Comments begin with ``;``; the first row has 18 numbers or more."""
    at = first_row_at(source.data)
    row = source.data[at : at + _SAMPLE_BYTES].partition(b"\n")[0].decode("utf-8", "replace")
    parts = row.split()
    if source.first_line().lstrip().startswith(";") and (not row or len(parts) >= 2):
        return True
    number = [bool(_NUMBER.fullmatch(part)) for part in parts[: len(SWF_FIELDS)]]
    return len(parts) >= len(SWF_FIELDS) and all(number)


def _unknown(source: Source) -> InputFaults:
    header = set(header_of(source))
    shared = {
        name: max((len(header & set(fields)) for fields in entry.headers), default=0)
        for name, entry in BY_NAME.items()
    }
    most = max(shared.values())
    near = [name for name in BY_NAME if shared[name] == most] if most else list(BY_NAME)
    which = "nearest by its columns" if most else "there are"
    return source.refuse(
        None,
        "",
        "the first line fits no known trace format",
        f"Say the format; {which}: {', '.join(near)}.",
    )
