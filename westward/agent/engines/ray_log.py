"""Cuts a run's own output out of what Ray's log says: Ray's remarks stand before, our last word after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from westward.agent.engines.lodger import BEGIN, END

_BEGIN = BEGIN.encode() + b"\n"
_END = END.encode()
_MARK = b"\x1e"
LAST_WORD_MOST_BYTES = 16_384


@dataclass
class LogCutter:
    """Fed the log from its beginning, in pieces of any size. ``skip`` bytes of the run's output
    are known already; ``key`` tells our last word from whatever the job prints."""

    key: str
    skip: int = 0
    end: dict[str, Any] | None = None
    _begun: bool = False
    _kept: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """What of the run's output came new with ``data``."""
        self._kept += data
        if not self._begun:
            at = self._kept.find(_BEGIN)
            if at < 0:
                self._kept = self._kept[-len(_BEGIN) :]
                return b""
            self._kept = self._kept[at + len(_BEGIN) :]
            self._begun = True
        return self._new(self._cut())

    def rest(self) -> bytes:
        """The log is over: what looked like the beginning of a last word was none."""
        rest, self._kept = (self._kept if self._begun else b""), b""
        return self._new(rest)

    def _cut(self) -> bytes:
        out = b""
        while self.end is None:
            at = self._kept.find(_MARK)
            if at < 0:
                out, self._kept = out + self._kept, b""
                break
            out, self._kept = out + self._kept[:at], self._kept[at:]
            if not self._may_be_last_word():
                out, self._kept = out + self._kept[:1], self._kept[1:]
            elif b"\n" in self._kept:
                self._read_last_word()
                if self.end is None:
                    out, self._kept = out + self._kept[:1], self._kept[1:]
            else:
                break  # the rest of the line is still to come
        return out

    def _may_be_last_word(self) -> bool:
        known = self._kept[: len(_END)]
        return _END.startswith(known) and len(self._kept) <= LAST_WORD_MOST_BYTES

    def _read_last_word(self) -> None:
        line = self._kept[len(_END) : self._kept.index(b"\n")]
        try:
            word = json.loads(line)
        except ValueError:
            return
        if isinstance(word, dict) and word.get("key") == self.key:
            self.end = word
            self._kept = b""

    def _new(self, data: bytes) -> bytes:
        known = min(self.skip, len(data))
        self.skip -= known
        return data[known:]
