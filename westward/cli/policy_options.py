"""The options that make a Policy, the same for ``plan`` and ``simulate``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from westward.cli.number import Number
from westward.model.plan import RULES, CarbonMethod, Discipline, Packing, Policy, Rule
from westward.model.units import MICROS, MS_PER_HOUR, parse_duration_ms

F = TypeVar("F", bound=Callable[..., Any])

DISCIPLINES = get_args(Discipline)
CARBON_METHODS = get_args(CarbonMethod)
PACKINGS = get_args(Packing)
MOST_MONEY = 1e9
REHEARSAL_REVIEW_MS = 60_000
REHEARSAL_PRICE_PERIOD_MS = 6 * MS_PER_HOUR
"""What ``westward simulate`` does unless told otherwise (docs/decisions/0018)."""


class DurationMs(click.ParamType[int]):
    """``90s``, ``1h30m`` → milliseconds, ``least_ms`` or more."""

    name = "duration"

    def __init__(self, *, least_ms: int = 0) -> None:
        self.least_ms = least_ms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            found = parse_duration_ms(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if found < self.least_ms:
            self.fail(f"{value!r} is too short; write for example 30s", param, ctx)
        return found


class Money(click.ParamType[float]):
    """A sum of the network's currency, 0 or more."""

    name = "money"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            amount = float(value)
        except ValueError:
            amount = math.nan
        if not 0.0 <= amount <= MOST_MONEY:
            self.fail(f"{value!r} is no sum from 0 to {MOST_MONEY:,.0f}", param, ctx)
        return amount


def figure_options(command: F) -> F:
    """Every figure of the sum that is on nobody's price list."""
    base = Policy()
    for option in (
        click.option(
            "--defer-limit",
            type=DurationMs(),
            metavar="TIME",
            default=base.defer_limit_ms,
            help="How far past its earliest start a job may be put off for a better hour. [1d]",
        ),
        click.option(
            "--carbon-method",
            type=click.Choice(CARBON_METHODS),
            default=base.carbon_method,
            show_default=True,
            help="Grid average where the power is drawn, or after contracted green power.",
        ),
        click.option(
            "--carbon-price",
            type=Money(),
            metavar="MONEY",
            default=base.carbon_price_micros_per_tonne / MICROS,
            show_default=True,
            help="Per tonne of CO2, in the network's currency.",
        ),
        click.option(
            "--wait-value",
            type=Money(),
            metavar="MONEY",
            default=base.wait_value_micros_per_device_hour / MICROS,
            show_default=True,
            help="Of a device-hour of waiting, for jobs that state none.",
        ),
        click.option(
            "--assume-duration",
            type=DurationMs(least_ms=1),
            metavar="TIME",
            default=base.assumed_duration_ms,
            help="What jobs that state no duration are thought to take. [1h]",
        ),
    ):
        command = option(command)
    return command


def waiting_options(command: F) -> F:
    """What may happen to jobs that wait: of rehearsals, where the clock can be stopped."""
    for option in (
        click.option(
            "--price-period",
            type=DurationMs(),
            metavar="TIME",
            default=REHEARSAL_PRICE_PERIOD_MS,
            help="So often price capacity anew by what waits, runs and is expected, and add the "
            "price to the sum; 0s = never. [6h; with --stream 0s]",
        ),
        click.option(
            "--review",
            type=DurationMs(),
            metavar="TIME",
            default=REHEARSAL_REVIEW_MS,
            help="Waiting jobs look at other pools again when a run has ended, at most so often; "
            "0s = never. [1m]",
        ),
    ):
        command = option(command)
    return command


def stopping_options(command: F) -> F:
    """What may stop a running job: of rehearsals only."""
    base = Policy()
    for option in (
        click.option(
            "--move-hurdle",
            type=click.IntRange(0, 100),
            metavar="PERCENT",
            default=base.move_hurdle_percent,
            show_default=True,
            help="With --reconsider: what stopping must save, of the cost of going on.",
        ),
        click.option(
            "--checkpoint-gb",
            type=Number(0.0, 1e6),
            metavar="GB",
            default=base.checkpoint_gb_per_device,
            show_default=True,
            help="Of a checkpoint, per device: what a stopped job takes along to another site.",
        ),
        click.option(
            "--reconsider",
            type=DurationMs(),
            metavar="TIME",
            default=base.reconsider_ms,
            help="So often compare running jobs that save checkpoints with going on later or "
            "elsewhere, and stop those that gain. [never]",
        ),
        click.option(
            "--preempt",
            is_flag=True,
            default=base.preemption,
            help="The first of a queue may stop running jobs of lower priority.",
        ),
    ):
        command = option(command)
    return command


def packing_option(command: F) -> F:
    """For rehearsals only: ``plan`` is not told on which nodes claims stand."""
    return click.option(
        "--packing",
        type=click.Choice(PACKINGS),
        default="pool",
        show_default=True,
        help="Count each pool as one number, or start jobs on nodes chosen by this rule.",
    )(command)


def make_policy(
    rule: Rule,
    discipline: Discipline,
    *,
    defer_limit: int,
    carbon_method: CarbonMethod,
    carbon_price: float,
    wait_value: float,
    assume_duration: int | None = None,
    review: int = 0,
    price_period: int = 0,
    preempt: bool = False,
    reconsider: int = 0,
    checkpoint_gb: float | None = None,
    move_hurdle: int | None = None,
    packing: Packing = "pool",
) -> Policy:
    """Money as floats from the command line becomes millionths here and nowhere else."""
    base = Policy()
    return Policy(
        rule=rule,
        discipline=discipline,
        wait_value_micros_per_device_hour=round(wait_value * MICROS),
        carbon_price_micros_per_tonne=round(carbon_price * MICROS),
        carbon_method=carbon_method,
        defer_limit_ms=defer_limit,
        assumed_duration_ms=(
            base.assumed_duration_ms if assume_duration is None else assume_duration
        ),
        review_ms=review,
        price_period_ms=price_period,
        preemption=preempt,
        reconsider_ms=reconsider,
        checkpoint_gb_per_device=(
            base.checkpoint_gb_per_device if checkpoint_gb is None else checkpoint_gb
        ),
        move_hurdle_percent=base.move_hurdle_percent if move_hurdle is None else move_hurdle,
        packing=packing,
    )


def rule_choice() -> click.Choice[Rule]:
    """The rules by name."""
    return click.Choice(RULES)
