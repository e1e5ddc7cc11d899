"""Rules of sites that take no work for a while: nothing starts there, and what an outage ends, ended.

At one instant sites come back, then sites go, then runs end, then jobs are placed: a run may end at
the very beginning of an outage, and one may start at its very end.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.checker.case import Case
from tests.checker.rehearsal import FINISHED

LOST = "site-lost"


@dataclass(frozen=True, slots=True)
class Window:
    """The site takes no work in [from, until), absolute ms; ``loses``: what runs there is lost."""

    site: str
    from_ms: int
    until_ms: int
    loses: bool


def windows(case: Case) -> list[Window]:
    scenario = case.rehearsal.summary.get("scenario") or {}
    return [
        Window(
            one["site"],
            case.zero_ms + one["from_ms"],
            case.zero_ms + one["until_ms"],
            one["kind"] == "outage",
        )
        for one in scenario.get("outages", ())
    ]


def check_outages(case: Case) -> None:
    """``closed-site`` (a start while the site takes no work), ``lost-site`` (a run through an
    outage) and ``lost-for-nothing`` (a run said to be lost when no outage began)."""
    closed = windows(case)
    begins = {(one.site, one.from_ms) for one in closed if one.loses}
    for segment in case.rehearsal.segments:
        pool = case.pool(segment.pool)
        if pool is None:
            continue  # told already
        if segment.why == LOST and (pool.site, segment.end_ms) not in begins:
            case.say(
                "lost-for-nothing",
                f"its run ended at {segment.end_ms}: no outage began",
                segment.row,
            )
        for one in closed:
            if one.site != pool.site or segment.end_ms < one.from_ms:
                continue
            if one.from_ms <= segment.start_ms < one.until_ms:
                case.say(
                    "closed-site",
                    f"it started at {segment.start_ms}; {one.site} takes no work from "
                    f"{one.from_ms} to {one.until_ms}",
                    segment.row,
                )
            elif one.loses and segment.start_ms < one.from_ms:
                case.reach["lost-site"] += 1
                ended = segment.end_ms == one.from_ms and segment.why in (LOST, FINISHED)
                if not ended:
                    case.say(
                        "lost-site",
                        f"{one.site} is lost at {one.from_ms}, its run went on to {segment.end_ms} "
                        f"({segment.why})",
                        segment.row,
                    )
        case.reach["closed-site"] += any(one.site == pool.site for one in closed)
