"""What a call may raise. Nothing else of the transport comes through."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from westward.sdk._generated import FaultView


class ApiError(Exception):
    """The server refused. ``code`` is stable (``not-found``, ``invalid-input``, ...); ``faults``
    lists what is wrong with an input: file, row, field, problem, remedy."""

    def __init__(
        self, status: int, code: str, message: str, faults: tuple[FaultView, ...] = ()
    ) -> None:
        self.status = status
        self.code = code
        self.faults = faults
        lines = [f"{message} ({code})"]
        for fault in faults:
            row = "" if fault["row"] is None else f":{fault['row']}"
            lines.append(
                f"{fault['file']}{row} [{fault['field']}]: {fault['problem']}. {fault['remedy']}"
            )
        super().__init__("\n".join(lines))


class Unreachable(Exception):
    """No usable answer, however often it was asked within the client's ``retry_for_s``."""


class WaitTimeout(TimeoutError):
    """The job is not over after the time given."""
