"""A bill that is cut at a year's turn: what vouchers see is as much as what is earned."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from westward.ledger.charged import SPEND_FIELDS, _netted, add_bills
from westward.ledger.price import Bill
from westward.ledger.road import bill_lines, spent

EMPTY = Bill(
    device_milli_ms=0, energy_j=0, carbon_location_ug=None, carbon_contract_ug=None,
    device_micros=0, power_micros=0, transfer_micros=0, rounding_micros=0, total_micros=0,
    carbon_shown_micros=None,
)  # fmt: skip
amounts = st.tuples(*(st.integers(-1_000, 1_000) for _ in SPEND_FIELDS))


@given(years=st.lists(amounts, min_size=1, max_size=4))
def test_lines_are_as_much_as_is_earned_whatever_the_signs(years: list[tuple[int, ...]]) -> None:
    """Power at a negative price in one year and a positive one in the next."""
    parts = [replace(EMPTY, **dict(zip(SPEND_FIELDS, year, strict=True))) for year in years]
    whole = parts[0]
    for part in parts[1:]:
        whole = add_bills(whole, part)
    seen = _netted(parts)
    lines = [line for part in seen for line in bill_lines(part, "a", 0)]
    assert sum(line.micros for line in lines) == sum(spent(whole, "a", "CNY").values())
    for part, before in zip(seen, parts, strict=True):
        for name in SPEND_FIELDS:
            assert 0 <= getattr(part, name) <= max(0, getattr(before, name))
    if len(parts) == 1:
        assert bill_lines(seen[0], "a", 0) == bill_lines(parts[0], "a", 0)
