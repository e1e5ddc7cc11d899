"""How commands fail: a few lines on stderr and an exit code, never a traceback for bad input."""

from __future__ import annotations

EXIT_OK = 0
EXIT_JOB = 1
"""A job that was waited for did not succeed, or a child process of ``up`` died."""
EXIT_INPUT = 2
"""The request was wrong or could not be asked (bad file, bad option, no server)."""
EXIT_INTERRUPTED = 130


class Failure(Exception):
    """What to tell the user (one line per fault, each with a remedy) and the exit code."""

    def __init__(self, *lines: str, code: int = EXIT_INPUT) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.code = code
