"""Who pays which part of a bill: voucher rules judged exactly (decision 0033)."""

from westward.ledger.vouchers.claims import ClawBack, advance, claw_back, pending_step
from westward.ledger.vouchers.effective import PriceAfter, PriceLine, price_after_vouchers
from westward.ledger.vouchers.period import share_out
from westward.ledger.vouchers.split import NO_SPLIT, Split, increments, split
from westward.ledger.vouchers.usage import NO_USAGE, Usage, released, used

__all__ = [
    "NO_SPLIT",
    "NO_USAGE",
    "ClawBack",
    "PriceAfter",
    "PriceLine",
    "Split",
    "Usage",
    "advance",
    "claw_back",
    "increments",
    "pending_step",
    "price_after_vouchers",
    "released",
    "share_out",
    "split",
    "used",
]
