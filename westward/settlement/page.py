"""An invoice as one printable HTML page: no script, no font, no picture from anywhere.

Every name comes from somebody else and is escaped. Rows are of one height, so that what is a page
here is a page of paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from jinja2 import Environment, PackageLoader, StrictUndefined

from westward.model.units import BYTES_PER_GB, MS_PER_HOUR
from westward.settlement.charges import Part
from westward.settlement.invoices import Invoice
from westward.settlement.money import (
    decimals_of,
    exact_shown,
    fixed_text,
    rounded_micros,
    rounded_shown,
)
from westward.settlement.periods import local_text

PART_TEXT: Mapping[Part, str] = {
    "device": "Device time",
    "power": "Electricity",
    "transfer": "Network links",
    "data": "Data sets read",
    "rounding": "Rounding of bills",
}
ROWS_SHOWN = 6
"""Of sites, and of payers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a paper needs and the network does not know: lines of text each."""

    number: str = ""
    """"" = project and month."""
    issuer: tuple[str, ...] = ()
    recipient: tuple[str, ...] = ()
    payment: tuple[str, ...] = ()
    due: str = ""
    notes: tuple[str, ...] = ()


def render_invoice(paper: Invoice, details: Details, *, network: str, currency: str) -> str:
    environment = Environment(
        loader=PackageLoader("westward.settlement", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    offset = paper.period.offset_minutes
    environment.filters["exact"] = exact_shown
    environment.filters["rounded"] = lambda micros: rounded_shown(micros, currency)
    environment.filters["local"] = lambda at_ms: local_text(at_ms, offset)
    environment.filters["hours"] = _device_hours
    template = environment.get_template("invoice.html.j2")
    own = paper.own_micros
    return template.render(
        paper=paper,
        details=details,
        network=network,
        currency=currency,
        number=details.number or f"{paper.project}-{paper.period.name}",
        part_text=PART_TEXT,
        parts=[part for part, micros in paper.by_part.items() if micros],
        payers=_payers(paper),
        others_pay=sum(paper.by_payer.values()) - own,
        own=own,
        payable=rounded_micros(own, currency),
        digits=decimals_of(currency),
        first_day=local_text(paper.period.start_ms, offset)[:10],
        last_day=local_text(paper.period.end_ms - 1, offset)[:10],
        last_page=paper.pages[-1].number,
        sites_shown=_sites(paper),
        quantities=_quantities(paper),
    )


def _payers(paper: Invoice) -> Sequence[tuple[str, str, int]]:
    """Those who pay most, the project last: it pays what the others leave."""
    found = [
        (payer, reason, micros)
        for (payer, reason), micros in paper.by_payer.items()
        if payer != paper.project
    ]
    own = [
        (payer, reason, micros)
        for (payer, reason), micros in paper.by_payer.items()
        if payer == paper.project
    ]
    return [*_most(found, "payers"), *own]


def _sites(paper: Invoice) -> Sequence[tuple[str, int]]:
    rows = _most([(site, "", micros) for site, micros in paper.by_site.items()], "sites")
    return [(site, micros) for site, _, micros in rows]


def _most(rows: Sequence[tuple[str, str, int]], what: str) -> Sequence[tuple[str, str, int]]:
    """The largest; the rest in one row."""
    found = sorted(rows, key=lambda one: (-one[2], one))
    if len(found) <= ROWS_SHOWN:
        return found
    rest = found[ROWS_SHOWN - 1 :]
    total = sum(micros for _, _, micros in rest)
    return [*found[: ROWS_SHOWN - 1], (f"{len(rest)} other {what}", "", total)]


def _quantities(paper: Invoice) -> Mapping[Part, str]:
    """``12.500000 device-hours``; "" where there is none."""
    units: Mapping[Part, tuple[str, int]] = {
        "device": ("device-hours", 1_000 * MS_PER_HOUR),
        "power": ("kWh", 3_600_000),
        "transfer": ("GB", BYTES_PER_GB),
        "data": ("GB", BYTES_PER_GB),
    }
    return {
        part: f"{_shown(Fraction(paper.quantities[part], units[part][1]))} {units[part][0]}"
        if part in units and paper.quantities[part]
        else ""
        for part in paper.by_part
    }


def _device_hours(device_milli_ms: int) -> str:
    return _shown(Fraction(device_milli_ms, 1_000 * MS_PER_HOUR))


def _shown(value: Fraction) -> str:
    return f"{Decimal(fixed_text(value, 6)):,}"
