"""The options of ``simulate`` that say what the network is like while a workload is rehearsed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from westward.model.scenario import ForecastError, Outage, Scenario, Share, VoucherPlay

F = TypeVar("F", bound=Callable[..., Any])
MOST_PERCENT = 300.0


class Percents(click.ParamType[tuple[float, float]]):
    """``10,30`` → (0.1, 0.3)."""

    name = "percents"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        if isinstance(value, tuple):
            return (float(value[0]), float(value[1]))
        parts = str(value).split(",")
        try:
            numbers = [float(part) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) != 2 or not all(0.0 <= one <= MOST_PERCENT for one in numbers):
            self.fail(
                f"{value!r} is not two percentages from 0 to {MOST_PERCENT:.0f} such as 10,30",
                param,
                ctx,
            )
        return numbers[0] / 100.0, numbers[1] / 100.0


class ShareOf(click.ParamType[Share]):
    """``3=2.5``: tenant 3 weighs 2.5; ``physics=4``: a programme; ``physics/3=1``: both."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Share:
        if isinstance(value, Share):
            return value
        name, _, number = str(value).rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not name or not (weight > 0.0 and math.isfinite(weight)):
            self.fail(f"{value!r}: say WHO=WEIGHT, a weight above 0", param, ctx)
        programme, slash, tenant = name.rpartition("/")
        if tenant.isdecimal():
            return Share(weight=weight, tenant=int(tenant), programme=programme or None)
        if slash:
            self.fail(f"{value!r}: a tenant is a number, as the workload's users are", param, ctx)
        return Share(weight=weight, programme=tenant)


def scenario_options(command: F) -> F:
    """Shares, links, forecasts, delegated pools: each off unless asked for."""
    for option in (
        click.option(
            "--delegated-pools",
            is_flag=True,
            help="Pools that are not managed keep their own order; waits there are learnt.",
        ),
        click.option(
            "--forecast-error",
            type=Percents(),
            metavar="TARIFF,CARBON",
            help="The planner sees hours ahead with errors of so many percent.",
        ),
        click.option(
            "--shared-links",
            is_flag=True,
            help="Transfers over one link queue behind each other.",
        ),
        click.option(
            "--share",
            "shares",
            type=ShareOf(),
            metavar="WHO=WEIGHT",
            multiple=True,
            help="With --fair-share: TENANT, PROGRAMME or PROGRAMME/TENANT and its weight. [1]",
        ),
        click.option(
            "--vouchers",
            is_flag=True,
            help="Funders pay by NETWORK/vouchers for the organisations of NETWORK/entities.yaml.",
        ),
        click.option(
            "--fair-share",
            is_flag=True,
            help="Jobs wait by their users' shares of the network, not by arrival.",
        ),
    ):
        command = option(command)
    return command


def make_scenario(
    options: dict[str, Any],
    outages: tuple[Outage, ...],
    seed: int,
    vouchers: VoucherPlay | None = None,
) -> Scenario | None:
    """Takes its options out of ``options``; None where nothing was asked for."""
    error = options.pop("forecast_error")
    shared = options.pop("shared_links")
    shares = options.pop("shares")
    delegated = options.pop("delegated_pools")
    asked = outages or error is not None or shared or shares or delegated
    if not asked and vouchers is None:
        return None
    forecast = None
    if error is not None:
        forecast = ForecastError(tariff_sigma=error[0], carbon_sigma=error[1], seed=seed)
    return Scenario(
        outages=outages,
        forecast=forecast,
        shared_links=shared,
        shares=shares,
        delegated_pools=delegated,
        vouchers=vouchers,
    )
