"""From which copy a run reads a data set: its terms are checked before a byte is given."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from westward.control.machine import Ignored
from westward.model.dataset import DataSet, Replica, broken_terms, tag_of
from westward.model.job import JobSpec
from westward.model.network import Network
from westward.model.units import BYTES_PER_GB, MS_PER_S
from westward.model.wire import DataAsk, DataSource
from westward.server.data_names import Copies
from westward.store.catalogue import load_dataset
from westward.store.data_runs import DataUse, note_use, reader_of, tell_suspect
from westward.store.database import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """How dear and how slow it is to bring a copy; ``price`` None: it cannot be brought."""

    price: int | None
    seconds_per_gb: float


def choose_copy(
    network: Network, found: DataSet, to_site: str, refused: Collection[str]
) -> Replica | None:
    """The cheapest to bring, then the fastest, then by name, as the planner chose (its rule is
    ``placement.kernels.move``); one that was found wrong only after all others."""
    ranked = []
    for one in found.replicas:
        line = _line(network, one.site, to_site)
        if one.site not in refused and line.price is not None:
            rank = (one.suspect is not None, line.price, line.seconds_per_gb, one.site)
            ranked.append((rank, one))
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def bring_ms(network: Network, job: JobSpec, copies: Copies, to_site: str) -> int:
    """How long the job's data sets take to come to a site, one after the other, from the copies
    that the planner counts on: by so much before its start a run is to be granted."""
    whole = 0.0
    for one in job.datasets:
        lines = [
            _line(network, site, to_site) for site in copies.get((one.dataset, one.version), ())
        ]
        ranked = [(line.price, line.seconds_per_gb) for line in lines if line.price is not None]
        if ranked:
            whole += min(ranked)[1] * one.size_bytes / BYTES_PER_GB * MS_PER_S
    return math.ceil(whole)


def _line(network: Network, from_site: str, to_site: str) -> _Line:
    if from_site == to_site:
        return _Line(price=0, seconds_per_gb=0.0)
    link = network.link(from_site, to_site)
    if link is None or link.price_micros_per_gb is None or not link.bandwidth_gbps:
        return _Line(price=None, seconds_per_gb=0.0)
    return _Line(price=link.price_micros_per_gb, seconds_per_gb=8 / link.bandwidth_gbps)


def give_source(
    store: Store, network: Network, run_id: str, ask: DataAsk, now_ms: int
) -> DataSource | Ignored:
    """Where the run may read from. Writes the proof before it answers: call it as a writer."""
    reader = reader_of(store, run_id, ask.token)
    if isinstance(reader, Ignored):
        return reader
    reference = f"{ask.dataset}@{ask.version}"
    wanted = next(
        (
            one
            for one in reader.job.datasets
            if (one.dataset, one.version) == (ask.dataset, ask.version)
        ),
        None,
    )
    found = load_dataset(store, ask.dataset, ask.version) if wanted is not None else None
    if wanted is None or found is None:
        return DataSource(reason=f"the job does not read {reference}")
    suspect = (ask.refused[-1], ask.problem) if ask.suspect and ask.refused else None
    problem, chosen = _judge(network, found, reader.site, ask.refused)
    if problem is not None or chosen is None:
        if suspect is not None:
            tell_suspect(store, run_id, ask.token, found.name, found.version, *suspect, now_ms)
        return DataSource(reason=problem or f"there is no (other) copy of {reference}")
    site = network.site(reader.site)
    use = DataUse(
        run_id=run_id,
        dataset=found.name,
        version=found.version,
        digest=found.digest,
        from_site=chosen.site,
        url=chosen.url,
        to_site=reader.site,
        terms=found.residency,
        tags=tuple((rule.key, tag_of(site, rule.key) or "") for rule in found.residency),
        checked_ms=now_ms,
        staged_ms=None,
        cached=False,
    )
    refusal = note_use(store, ask.token, use, suspect, now_ms)
    if refusal is not None:
        return refusal
    return DataSource(site=chosen.site, url=chosen.url, digest=found.digest, files=found.files)


def _judge(
    network: Network, found: DataSet, to_site: str, refused: Collection[str]
) -> tuple[str | None, Replica | None]:
    site = next((one for one in network.sites if one.name == to_site), None)
    if site is None:
        return f"the network has no site {to_site} any more", None
    broken = broken_terms(found.residency, site)
    if broken:
        terms = ", ".join(f"{rule.key} must be {' or '.join(rule.values)}" for rule in broken)
        return f"{found.reference} may not come to {to_site}: {terms}", None
    return None, choose_copy(network, found, to_site, refused)
