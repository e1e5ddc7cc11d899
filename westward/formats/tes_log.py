"""What a TES task's script tells through the job's log, and how it is read back.

A record is one line that begins with the ASCII record separator, so that it can follow output
without a newline, and carries a word drawn for this task, so that a program's own output is not
mistaken for one. Fields are separated by blanks; texts are base64. A field that a killed script
could not write ends the record early, and such a record counts for nothing.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

SEPARATOR = "\x1e"
TAIL_BYTES = 8 * 1024
"""Of each of an executor's streams, in its record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorEnd:
    """One executor that came to its end. Times are ms UTC on the site's own clock."""

    index: int
    exit_code: int
    start_ms: int
    end_ms: int
    stdout: str | None = None
    """The stream's last bytes; None: only known from the summary."""
    stderr: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    path: str
    url: str
    size_bytes: int


@dataclass(slots=True)
class TaskRecords:
    """All that a piece of log tells. ``whole``: the script came to its own end and nothing of what
    it told is missing."""

    ends: dict[int, ExecutorEnd] = field(default_factory=dict)
    outputs: list[OutputFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    whole: bool = False


def read_records(log: bytes, word: str) -> TaskRecords:
    """The records of the task with this ``word`` in a piece of its log (any piece)."""
    found = TaskRecords()
    for piece in log.split(f"{SEPARATOR}TES {word} ".encode())[1:]:
        line, newline, _ = piece.partition(b"\n")
        if not newline:
            continue
        try:
            _take(found, line.decode("ascii").split(" "))
        except (ValueError, IndexError, UnicodeDecodeError, binascii.Error):
            continue
    return found


def _take(found: TaskRecords, fields: list[str]) -> None:
    kind = fields[0]
    if kind == "end":
        index, code, start, end = (int(one) for one in fields[1:5])
        found.ends[index] = ExecutorEnd(
            index=index,
            exit_code=code,
            start_ms=start,
            end_ms=end,
            stdout=_text(fields[5]),
            stderr=_text(fields[6]),
        )
    elif kind == "output":
        found.outputs.append(
            OutputFile(path=_text(fields[1]), url=_text(fields[2]), size_bytes=int(fields[3]))
        )
    elif kind == "problem":
        found.problems.append(_text(fields[1]))
    elif kind == "summary":
        outputs = int(fields[1])
        for one in fields[2:]:
            index, code, start, end = (int(part) for part in one.split(","))
            if index not in found.ends:
                found.ends[index] = ExecutorEnd(
                    index=index, exit_code=code, start_ms=start, end_ms=end
                )
        told = all(one.stdout is not None for one in found.ends.values())
        found.whole = told and outputs == len(found.outputs)


def _text(field_text: str) -> str:
    """base64 → text; ``-`` stands for nothing. What is not UTF-8 is replaced."""
    if field_text == "-":
        return ""
    return base64.b64decode(field_text, validate=True).decode("utf-8", "replace")
