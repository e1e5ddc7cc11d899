"""Log lines that one message cannot forge another with, nor a terminal be moved by."""

from __future__ import annotations

import logging
import re
from typing import Any

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ALSO_LINES = re.compile("[\t\n]")


def harmless(text: str, *, one_line: bool = False) -> str:
    """``text`` with what moves a terminal's cursor, turns its writing round or is half a character
    written out (``\\x1b``). Tabs and line ends stay unless it is to be ``one_line``."""
    text = _CONTROL.sub(_written, text)
    return _ALSO_LINES.sub(_written, text) if one_line else text


def _written(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]


class OneLine(logging.Formatter):
    """A message is one line, whatever stands in it; a traceback follows with its own lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return harmless(super().formatMessage(record), one_line=True)

    def formatException(self, ei: Any) -> str:
        return harmless(super().formatException(ei))
