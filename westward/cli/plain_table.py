"""Plain text tables: the same bytes whatever the width of the terminal, so files can hold them."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "  "


def plain_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    indent: str = "",
) -> list[str]:
    """Lines of a table with a heading. Columns whose index is in ``right`` align right (numbers).

    No line ends with a space. Raises ValueError for a row of another length than ``head``.
    """
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"a row of {len(row)} cells under {len(head)} headings")
    table = [head, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(head))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + GAP.join(cells)).rstrip())
    return lines


def enough_digits(values: Sequence[float], *, keep: int = 2, least: int = 2, most: int = 6) -> int:
    """Decimals for a column, so that its smallest value other than 0 keeps ``keep`` digits.

    ``values`` in the unit they are printed in. Between ``least`` and ``most``.
    """
    sizes = [abs(value) for value in values if abs(value) >= 0.5 * 10.0**-most]
    if not sizes:
        return least
    smallest = min(sizes)
    digits = least
    while digits < most and smallest * 10.0**digits < 10.0 ** (keep - 1):
        digits += 1
    return digits


def fixed(value: float, digits: int) -> str:
    """``value`` with ``digits`` decimals; a negative zero is a zero."""
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text
