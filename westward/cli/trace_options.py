"""What a recorded workload does not state and the user can: options of commands that read one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from westward.cli.number import Number

if TYPE_CHECKING:
    from westward.formats.traces import TraceOptions

F = TypeVar("F", bound=Callable[..., Any])

_POSITIVE = Number(0.0, 1e12, min_open=True)
_OPTIONS = (
    click.option(
        "--processors",
        type=click.Choice(("allocated", "requested")),
        default="allocated",
        show_default=True,
        help="swf: which number of processors counts.",
    ),
    click.option(
        "--processors-as",
        type=click.Choice(("devices", "cpus")),
        default="devices",
        show_default=True,
        help="swf, gaia: a recorded processor asks for a device of any kind, or for a cpu.",
    ),
    click.option(
        "--time-unit",
        type=click.Choice(("auto", "hours", "seconds")),
        default="auto",
        show_default=True,
        help="gaia: of its times.",
    ),
    click.option(
        "--devices-per-node",
        type=click.IntRange(1, 1024),
        default=1,
        show_default=True,
        metavar="N",
        help="philly, muri, elasticflow, gavel, sia: devices that a gang may hold on one node.",
    ),
    click.option(
        "--unfinished",
        type=click.Choice(("drop", "until-end")),
        default="drop",
        show_default=True,
        help="alibaba-dlrm: instances without a recorded begin or end.",
    ),
    click.option(
        "--tokens-per-s-in",
        type=_POSITIVE,
        metavar="N",
        help="azure-llm: speed of reading a context, one request.",
    ),
    click.option(
        "--tokens-per-s-out",
        type=_POSITIVE,
        metavar="N",
        help="azure-llm: speed of writing an answer, one request.",
    ),
    click.option(
        "--request-devices-milli",
        type=click.IntRange(1, 1_000_000),
        metavar="N",
        help="azure-llm, alibaba-genai: thousandths of a device that a request holds.",
    ),
    click.option(
        "--steps-per-s",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="gavel: CSV name,value with each job type's steps a second.",
    ),
    click.option(
        "--run-s",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="sia: CSV name,value with each application's run time in seconds.",
    ),
)
NAMES = (
    "processors",
    "processors_as",
    "time_unit",
    "devices_per_node",
    "unfinished",
    "tokens_per_s_in",
    "tokens_per_s_out",
    "request_devices_milli",
    "steps_per_s",
    "run_s",
)


def trace_options(command: F) -> F:
    """Adds the options; the command takes them as ``**given`` for ``make_trace_options``."""
    wrapped: Any = command
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return cast(F, wrapped)


def make_trace_options(**given: Any) -> TraceOptions:
    """From the values click parsed. Raises InputFaults for figure files that are wrong, all at
    once."""
    from westward.formats.traces import TraceOptions, read_figures
    from westward.model.faults import Fault, InputFaults

    values = dict(given)
    values["processors_are_devices"] = values.pop("processors_as") == "devices"
    faults: list[Fault] = []
    for name in ("steps_per_s", "run_s"):
        path = values.pop(name)
        if path is None:
            continue
        try:
            values[name] = read_figures(path)
        except InputFaults as wrong:
            faults.extend(wrong.faults)
    if faults:
        raise InputFaults(faults)
    return TraceOptions(**values)
