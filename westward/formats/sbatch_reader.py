"""What reading an sbatch script gathers: its options, faults and notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from westward.model.faults import Fault

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the person who imports adds to the script."""

    leave_out: frozenset[str] = frozenset()
    """Options, commands and variables that the job can do without."""
    gpu_kinds: Mapping[str, str] = field(default_factory=dict)
    """Slurm's word for a kind of gpu (or "" for none stated) → the network's accelerator."""
    infra: str | None = None
    every_node: bool = False
    """Run the whole script on every node; srun starts that node's share."""
    jobs: Mapping[str, str] = field(default_factory=dict)
    """Slurm job id → Westward job, for --dependency."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Where --export=NAME takes its value."""
    workdir: str | None = "."


@dataclass(slots=True)
class Given:
    """One option as written."""

    name: str
    value: str
    line: int


class Reader:
    def __init__(self, file: str, choices: Choices) -> None:
        self.file = file
        self.choices = choices
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self.given: dict[str, Given] = {}
        self.kind: str | None = None

    def fault(self, line: int | None, name: str, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, line, name, problem, remedy))

    def take(self, name: str, read: Callable[[str], T]) -> T | None:
        """The option's value, once; a fault if it is wrong."""
        given = self.given.get(name)
        if given is None:
            return None
        try:
            return read(given.value)
        except ValueError as error:
            self.fault(given.line, f"--{name}", str(error), remedy(name))
            return None

    def line_of(self, *names: str) -> int | None:
        return next((self.given[name].line for name in names if name in self.given), None)


def remedy(name: str) -> str:
    """For a value that cannot be honoured."""
    return f"Correct it, or say --leave-out {name}."
