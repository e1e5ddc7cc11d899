"""``--outage SITE:FROM:UNTIL[:drain]``."""

from __future__ import annotations

from typing import Any

import click

from westward.model.scenario import Outage
from westward.model.units import parse_duration_ms


class OutageOption(click.ParamType[Outage]):
    """``guian:36h:60h``, ``guian:1d:2d:drain`` → Outage. Times count from the workload's zero."""

    name = "outage"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Outage:
        if isinstance(value, Outage):
            return value
        parts = str(value).split(":")
        if len(parts) not in (3, 4) or not parts[0] or (len(parts) == 4 and parts[3] != "drain"):
            self.fail(f"{value!r} is not SITE:FROM:UNTIL or SITE:FROM:UNTIL:drain", param, ctx)
        try:
            begin, end = (0 if t == "0" else parse_duration_ms(t) for t in parts[1:3])
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if end <= begin:
            self.fail(f"{value!r} ends before it begins", param, ctx)
        return Outage(
            site=parts[0],
            from_ms=begin,
            until_ms=end,
            kind="drain" if len(parts) == 4 else "outage",
        )
