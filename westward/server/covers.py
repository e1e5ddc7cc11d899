"""What vouchers would pay for whom right now: for the planner's sum, and for quotes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

from westward.ledger.accounts import Balances
from westward.ledger.road import pot_id
from westward.ledger.vouchers import NO_USAGE, Usage
from westward.ledger.vouchers.calendar import year_of
from westward.ledger.vouchers.covers import PoolPrice, pool_covers
from westward.model.network import Network
from westward.model.plan import Cover
from westward.model.units import MS_PER_MINUTE
from westward.model.voucher import NamedFact, Rule
from westward.store.database import Store
from westward.store.ledger_reading import balances_of
from westward.store.money import Party, load_parties, load_usage, project_of

AGAIN_MS = 5 * MS_PER_MINUTE
"""Nothing having changed, covers are worked out anew so often: claims and facts end by time alone."""
USAGE_MS = 5_000
"""Runs that are held for and settled change what is used all the time: it is looked at so often.
Claims, facts, contracts and what is paid into pots are never that old."""
PoolFacts = Mapping[str, tuple[NamedFact, ...]]
"""Pool → what its bills show for rules that ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the payers of some projects stand."""

    parties: Mapping[str, Party]
    """By project."""
    rules: tuple[Rule, ...]
    """Those that any of them has a claim under, each with the pot that its funder has filled."""
    usage: Usage

    def admitted(self, project: str) -> tuple[Rule, ...]:
        """The rules that the project's organisation has a claim under; no others pay for it."""
        claimed = {one.rule for one in self.parties[project].claims}
        return tuple(rule for rule in self.rules if rule.name in claimed)


def standing(
    store: Store, rules: Sequence[Rule], projects: Collection[str], unit: str, now_ms: int
) -> Standing:
    """Reads the store."""
    parties = load_parties(store, projects)
    claimed = {one.rule for party in parties.values() for one in party.claims}
    asked = [rule for rule in rules if rule.name in claimed]
    if not asked:
        return Standing(parties=parties, rules=(), usage=NO_USAGE)
    suppliers = frozenset(rule.name for rule in rules if rule.pays == "supplier")
    # All runs of an organisation are one claim under each rule: none is another one's claim.
    usage = replace(load_usage(store, suppliers), contract_claims={})
    pots = Pots(store, unit)
    return Standing(
        parties=parties,
        rules=filled(pots, asked, now_ms),
        usage=drawn(pots, asked, usage, now_ms),
    )


class Pots:
    """What the ledger says of funders' pots, each looked at once: what is posted after that look is
    not seen, so one is made for one sum."""

    def __init__(self, store: Store, unit: str) -> None:
        self._store = store
        self._unit = unit
        self._seen: dict[tuple[str, int], Balances] = {}

    def of(self, rules: Sequence[Rule], at_ms: int) -> dict[tuple[str, int], Balances]:
        """By rule that states a pot, and year: the years before and after too, for runs that last
        over a turn of the year. Reads the store."""
        asked = {
            (rule.name, year): pot_id(rule.name, year, self._unit)
            for rule in rules
            if rule.pot_year_micros.value is not None
            for year in _years_around(rule, at_ms)
        }
        if new := {key: name for key, name in asked.items() if key not in self._seen}:
            found = balances_of(self._store, sorted(new.values()))
            self._seen |= {
                key: found[name].balances if name in found else Balances()
                for key, name in new.items()
            }
        return {key: self._seen[key] for key in asked}


def filled(pots: Pots, rules: Sequence[Rule], at_ms: int) -> tuple[Rule, ...]:
    """``rules``, each with the pots that its funder has filled: one that was announced and is empty
    pays nothing. A rule that states no pot keeps none."""
    there = pots.of(rules, at_ms)
    made = []
    for rule in rules:
        if rule.pot_year_micros.value is not None:
            years = _years_around(rule, at_ms)
            by_year = {year: there[rule.name, year].credits_posted for year in years}
            now = by_year[year_of(at_ms, rule.utc_offset_minutes)]
            figure = replace(rule.pot_year_micros, value=now)
            rule = replace(rule, pot_year_micros=figure, pots_micros=by_year)
        made.append(rule)
    return tuple(made)


def drawn(pots: Pots, rules: Sequence[Rule], usage: Usage, at_ms: int) -> Usage:
    """``usage``, but of what ``filled`` says is in the pots as much is gone as the ledger has it: a
    dispute's correction and a claw-back move a pot's money too, and a run that was promised more
    than there is would be refused for ever. Not so of sellers' rewards: they are counted at the
    start and move at the end, and neither of those two touches them."""
    held_for = [rule for rule in rules if rule.pays != "supplier"]
    gone = {
        key: pot.credits_posted - pot.available for key, pot in pots.of(held_for, at_ms).items()
    }
    return replace(usage, pot={**usage.pot, **gone}) if gone else usage


def _years_around(rule: Rule, at_ms: int) -> tuple[int, ...]:
    year = year_of(at_ms, rule.utc_offset_minutes)
    return year - 1, year, year + 1


@dataclass(slots=True)
class CoverCache:
    """Of one server. Threads may share it."""

    changing: Lock = field(default_factory=Lock)
    network: Network | None = None
    usage: Usage | None = None
    turn: int = -1
    used_ms: int = 0
    """When ``usage`` was taken over."""
    by_account: dict[str, tuple[Party, tuple[Rule, ...], tuple[Cover, ...]]] = field(
        default_factory=dict
    )
    """From whom and what it was worked out, and the covers."""

    def fits(self, network: Network, usage: Usage, now_ms: int) -> None:
        """Forgets everything unless it was worked out from the same."""
        turn = now_ms // AGAIN_MS
        same = self.network is network and self.turn == turn
        old = not self.used_ms <= now_ms < self.used_ms + USAGE_MS
        if same and not (old and self.usage != usage):
            return
        self.by_account.clear()
        self.network, self.turn, self.used_ms = network, turn, now_ms
        self.usage = usage


def covers_of(
    store: Store,
    rules: Sequence[Rule],
    network: Network,
    accounts: Collection[str | None],
    now_ms: int,
    *,
    facts: PoolFacts | None = None,
    adopted: frozenset[str] = frozenset(),
    kept: CoverCache | None = None,
) -> tuple[Cover, ...]:
    """For each account whose organisation was admitted anywhere, and each pool that states a price:
    what funders pay of a device-hour now. Reads the store; with ``kept`` only what has changed is
    worked out again. A job without account is nobody's: it has no covers.
    """
    asked = sorted({one for one in accounts if one is not None})
    if not asked or not rules:
        return ()
    projects = {account: project_of(account) for account in asked}
    there = standing(store, rules, set(projects.values()), network.currency, now_ms)
    if not there.rules:
        return ()
    kept = kept or CoverCache()
    found: list[Cover] = []
    with kept.changing:
        kept.fits(network, there.usage, now_ms)
        for account in asked:
            party = there.parties[projects[account]]
            if not party.claims:
                continue
            own = there.admitted(projects[account])
            known = kept.by_account.get(account)
            if known is None or known[:2] != (party, own):
                made = _covers(account, party, own, there.usage, network, now_ms, facts, adopted)
                known = kept.by_account[account] = (party, own, made)
            found += known[2]
    return tuple(found)


def _covers(
    account: str,
    party: Party,
    rules: tuple[Rule, ...],
    usage: Usage,
    network: Network,
    now_ms: int,
    facts: PoolFacts | None,
    adopted: frozenset[str],
) -> tuple[Cover, ...]:
    priced = [
        PoolPrice(
            pool=pool.name,
            site=pool.site,
            micros_per_device_hour=pool.price_micros_per_device_hour,
            facts=(facts or {}).get(pool.name, ()),
        )
        for pool in network.pools
        if pool.price_micros_per_device_hour
    ]
    paid = pool_covers(
        priced, rules, party.entity, usage, now_ms,
        claims=party.claims, contract=party.contract, adopted=adopted,
    )  # fmt: skip
    return tuple(
        Cover(account=account, pool=pool, micros_per_device_hour=micros)
        for pool, micros in paid.items()
        if micros
    )
