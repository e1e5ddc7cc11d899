"""Why a pool or a job was refused: a stable code, the limiting resource, the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Stable codes; tests, the API and users' scripts rely on them."""

    POOL_NOT_OPEN = "pool-not-open"
    WRONG_SITE = "wrong-site"
    WRONG_ENGINE = "wrong-engine"
    WRONG_ACCELERATOR = "wrong-accelerator"
    DEVICES_PER_NODE = "devices-per-node"
    CPUS_PER_NODE = "cpus-per-node"
    MEMORY_PER_NODE = "memory-per-node"
    GANG_TOO_LARGE = "gang-too-large"
    RESIDENCY = "residency"
    ACCOUNT = "account"
    PURPOSE = "purpose"
    NO_FILES = "engine-brings-no-files"
    NO_GANGS = "engine-runs-no-gangs"
    LATENCY = "latency"
    LATENCY_UNKNOWN = "latency-unknown"
    NO_LINK = "no-link"
    PRICE_UNKNOWN = "price-unknown"
    CARBON_UNKNOWN = "carbon-unknown"
    OVER_HOURLY_COST = "over-hourly-cost"
    DEADLINE = "deadline"
    NOT_HOME = "not-home"
    NO_SITE_FITS = "no-site-fits"


CODE_TEXT: dict[Code, str] = {
    Code.POOL_NOT_OPEN: "the pool takes no new work",
    Code.WRONG_SITE: "the job names another site",
    Code.WRONG_ENGINE: "the job names another engine",
    Code.WRONG_ACCELERATOR: "the pool has another kind of accelerator",
    Code.DEVICES_PER_NODE: "a node has too few devices",
    Code.CPUS_PER_NODE: "a node has too few cpus",
    Code.MEMORY_PER_NODE: "a node has too little memory",
    Code.GANG_TOO_LARGE: "the whole pool is smaller than the gang",
    Code.RESIDENCY: "the site lies outside the data's residency rule",
    Code.ACCOUNT: "the pool takes only some accounts",
    Code.PURPOSE: "the pool takes only some purposes",
    Code.NO_FILES: "its engine brings no files or data sets to jobs",
    Code.NO_GANGS: "its engine runs jobs of one node only",
    Code.LATENCY: "the site is too far from the place asked for",
    Code.LATENCY_UNKNOWN: "no latency is known to the place asked for",
    Code.NO_LINK: "no link is known to move the input over",
    Code.PRICE_UNKNOWN: "no device price, power or tariff is known",
    Code.CARBON_UNKNOWN: "no carbon factor is known",
    Code.OVER_HOURLY_COST: "it costs more per hour than the job allows",
    Code.DEADLINE: "it would end after the deadline",
    Code.NOT_HOME: "the rule keeps every job at its home site",
    Code.NO_SITE_FITS: "no pool satisfies every hard constraint",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One refusal by one pool.

    ``resource`` names what ran short; ``asked`` and ``available`` are in ``unit``.
    """

    code: Code
    resource: str = ""
    asked: str = ""
    available: str = ""
    unit: str = ""

    def __str__(self) -> str:
        text = f"{self.code.value}: {CODE_TEXT[self.code]}"
        if self.asked or self.available:
            unit = f" {self.unit}" if self.unit else ""
            text += f" ({self.resource}: asked {self.asked}{unit}, there is {self.available}{unit})"
        return text
