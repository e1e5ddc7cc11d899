"""What is wrong with an input: file, row, field, problem, remedy. All faults are told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong in one place.

    ``row`` is the line of the file as an editor counts it (1 is the first line), None when the
    fault concerns the file as a whole. ``field`` is the column or key path, "" for none.
    """

    file: str
    row: int | None
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = self.file
        if self.row is not None:
            place += f":{self.row}"
        if self.field:
            place += f" [{self.field}]"
        return f"{place}: {self.problem}. {self.remedy}"


class InputFaults(Exception):
    """An input was refused whole; nothing was changed. Carries every fault found."""

    def __init__(self, faults: Sequence[Fault]):
        if not faults:
            raise ValueError("InputFaults needs at least one fault")
        self.faults = tuple(
            sorted(
                faults,
                key=lambda f: (f.file, f.row if f.row is not None else 0, f.field, f.problem),
            )
        )
        super().__init__("\n".join(str(fault) for fault in self.faults))
