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

from westward.model.units import MS_PER_HOUR
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
SITES_SHOWN = 6


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
    )


def _payers(paper: Invoice) -> Sequence[tuple[str, str, int]]:
    """The project last: it pays what the others leave."""
    found = [(payer, reason, micros) for (payer, reason), micros in paper.by_payer.items()]
    return sorted(found, key=lambda one: (one[0] == paper.project, one))


def _sites(paper: Invoice) -> Sequence[tuple[str, int]]:
    """Those with the most; the rest in one row."""
    found = sorted(paper.by_site.items(), key=lambda one: (-one[1], one[0]))
    if len(found) <= SITES_SHOWN:
        return found
    rest = found[SITES_SHOWN - 1 :]
    return [
        *found[: SITES_SHOWN - 1],
        (f"{len(rest)} other sites", sum(micros for _, micros in rest)),
    ]


def _device_hours(device_milli_ms: int) -> str:
    hours = Fraction(device_milli_ms, 1_000 * MS_PER_HOUR)
    return f"{Decimal(fixed_text(hours, 4)):,}"
