"""A policy as a study writes it, and as a server is given it: what was rehearsed can be adopted.

An entry of a study's ``policies:`` and the file of ``westward server --policy`` have the same keys.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from westward.formats.sections import Faults, Section, read_file, read_root
from westward.model.faults import InputFaults
from westward.model.plan import RULES, CarbonMethod, Discipline, Policy
from westward.model.units import MICROS

BEGIN = "Begin with rule: westward, or another key of a study's policies."
MOST_MONEY = 1e9
LIVE_LEAST_MS = 1_000
"""A server looks at nothing more often than that."""


def read_policy(section: Section, base: Policy) -> Policy:
    """The policy of a section; what is not stated is ``base``'s. Faults are noted in the section,
    which the caller ends with ``done``."""
    return replace(
        base,
        rule=cast(Any, section.choice("rule", base.rule, RULES)),
        discipline=cast(
            Any, section.choice("discipline", base.discipline, get_args(Discipline))
        ),
        wait_value_micros_per_device_hour=_money(
            section, "wait_value", base.wait_value_micros_per_device_hour
        ),
        carbon_price_micros_per_tonne=_money(
            section, "carbon_price", base.carbon_price_micros_per_tonne
        ),
        carbon_method=cast(
            Any, section.choice("carbon_method", base.carbon_method, get_args(CarbonMethod))
        ),
        defer_limit_ms=section.duration("defer_limit", base.defer_limit_ms),
        assumed_duration_ms=section.duration(
            "assume_duration", base.assumed_duration_ms, least_ms=1
        ),
        review_ms=section.duration("review", base.review_ms),
        price_period_ms=section.duration("price_period", base.price_period_ms),
        preemption=section.boolean("preempt", base.preemption),
        reconsider_ms=section.duration("reconsider", base.reconsider_ms),
        checkpoint_gb_per_device=section.number(
            "checkpoint_gb", base.checkpoint_gb_per_device, high=1e6
        ),
    )  # fmt: skip


def read_live_policy(file: Path, base: Policy) -> Policy:
    """The policy of a server. Raises InputFaults with all faults of the file, among them what can
    be rehearsed only."""
    faults = Faults(str(file))
    text = read_file(file, "Name a policy file (YAML).")
    root = read_root(text, faults, what="policy", begin=BEGIN)
    if root is None:
        raise InputFaults(faults.found)
    policy = read_policy(root, base)
    root.text("label")
    root.done()
    if policy.price_period_ms:
        root.fault("price_period", "a server posts no prices of capacity", "Rehearse with it only.")
    for key, value_ms in (
        ("assume_duration", policy.assumed_duration_ms),
        ("review", policy.review_ms),
        ("reconsider", policy.reconsider_ms),
    ):
        if 0 < value_ms < LIVE_LEAST_MS:
            root.fault(key, f"{value_ms} ms", "A server takes 1s or more.")
    if faults.found:
        raise InputFaults(faults.found)
    return policy


def _money(section: Section, key: str, base_micros: int) -> int:
    return round(section.number(key, base_micros / MICROS, high=MOST_MONEY) * MICROS)
